"""Readers' answers: the form of their file, and what the build asks of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lessons import SLUG, lesson
from trainloop.authoring.build import build
from trainloop.authoring.errors import LessonError
from trainloop.authoring.lesson import Lesson
from trainloop.authoring.readers import read_readers
from trainloop.sandbox.box import Box

RIGHT = """\
# relu: what readers wrote

## With max

Right.

```python
def relu(x):
    return torch.maximum(x, torch.tensor(0.0))
```
"""
WRONG = """
## The sign

Wrong. What it reads is true:

> That is the
> absolute value.

```python
def relu(x):
    return abs(x)
```
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box() as opened:
        yield opened


def written(course: Path, text: str) -> Lesson:
    """The tiny lesson in a course, with readers' answers."""
    folder = course / "notebooks"
    folder.mkdir(parents=True)
    found = lesson(folder)
    path = course / "tests" / "readers" / SLUG / "relu.md"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return found


def test_what_is_read(tmp_path: Path) -> None:
    first, second = read_readers(written(tmp_path, RIGHT + WRONG).path, "relu")
    assert (first.title, first.truth, first.sentence, first.line) == ("With max", "right", "", 3)
    assert (second.truth, second.sentence) == ("true", "That is the absolute value.")
    assert second.code == "def relu(x):\n    return abs(x)"
    assert read_readers(tmp_path / "notebooks" / SLUG / "lesson.md", "other") == ()


@pytest.mark.parametrize(
    "text",
    [
        WRONG.replace("> ", ""),
        RIGHT.replace("Right.", "Right.\n\n> A sentence."),
        RIGHT.replace("Right.", "Perhaps."),
        RIGHT.replace("```python", "```"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(LessonError, match="a section is a heading"):
        read_readers(written(tmp_path, text).path, "relu")


def test_the_build_runs_them(tmp_path: Path, box: Box) -> None:
    build(written(tmp_path, RIGHT + WRONG), box)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (RIGHT.replace("maximum", "minimum"), "this right answer loses points: keeps what is positive"),
        (WRONG.replace("abs(x)", "x.clamp(min=0)"), "this wrong answer gets full marks"),
        (WRONG.replace("absolute", "largest"), "now reads: That is the absolute value. See whether that is true"),
    ],
)
def test_the_build_refuses_what_comes_to_something_else(tmp_path: Path, box: Box, text: str, refused: str) -> None:
    with pytest.raises(LessonError, match=refused):
        build(written(tmp_path, text), box)

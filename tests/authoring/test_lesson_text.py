"""Lesson text: cells, attributes and, above all, lines."""

from pathlib import Path

import pytest

from tests.lessons import SLUG, TEXT, lesson, line_of, place_of, spoiled_lesson
from trainloop.authoring.errors import LessonError
from trainloop.authoring.lesson import read

REAL = Path(__file__).parents[2] / "notebooks" / "2.1-from-linear-to-nonlinear" / "lesson.md"
AWKWARD = """\
# A

n

```python
n
```


```python

n

```

```python
```

Text that ends in n

```python exercise="n"
n
```

```text
n
```

```python check="n" points=1
check("n", {"t": lambda: n})
```

```python
n
```
"""


def test_the_parts_of_an_exercise(tmp_path: Path) -> None:
    relu = lesson(tmp_path).exercises["relu"]
    assert (relu.title, relu.defines, relu.is_question, relu.check.points) == (
        "Exercise 1: ReLU",
        ("relu",),
        False,
        2.0,
    )
    assert [(check.title, check.hidden) for check in relu.checks] == [
        ("keeps what is positive", False),
        ("negative entries become zero", False),
        ("keeps what is positive", True),
        ("negative entries become zero", True),
    ]
    assert [check.worth for check in relu.checks if not check.hidden] == [1.0, 1.0]
    assert relu.checks[3].call == "relu(torch.tensor([[-1.5], [2.5]]))"
    assert relu.checks[3].line == line_of(TEXT, "[[-1.5], [2.5]]")
    assert (len(relu.mistakes), len(relu.alternatives)) == (4, 3)
    assert relu.mistakes[0].sentence == "That is the absolute value."
    assert relu.mistakes[0].code == "def relu(x):\n    return x.abs()"


@pytest.mark.parametrize("text", [TEXT, AWKWARD, REAL.read_text(encoding="utf-8")], ids=["tiny", "awkward", "real"])
def test_lines_are_those_of_the_file(tmp_path: Path, text: str) -> None:
    rows = text.splitlines()
    lines = []
    for cell in lesson(tmp_path, text, answers="").cells:
        height = cell.source.count("\n") + 1
        if cell.source:
            assert "\n".join(rows[cell.line - 1 : cell.line - 1 + height]) == cell.source
        if cell.kind != "markdown":
            assert any(row.startswith("```python") for row in rows[max(cell.line - 3, 0) : cell.line - 1])
        lines.append(cell.line)
    assert lines == sorted(set(lines))


def test_repeated_cells_have_lines_of_their_own(tmp_path: Path) -> None:
    code = [cell.line for cell in lesson(tmp_path, AWKWARD, answers="").cells if cell.kind != "markdown"]
    fences = [number for number, row in enumerate(AWKWARD.splitlines(), start=1) if row.startswith("```python")]
    assert code == [fence + 1 for fence in fences]


def test_a_question_is_an_answer_that_is_a_value(tmp_path: Path) -> None:
    text = AWKWARD.replace("\nn\n```\n\n```text", '\nn = "B"\n```\n\n```text')
    assert lesson(tmp_path, text, answers="").exercises["n"].is_question


WORTH = 'worth={"keeps what is positive": '


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ('```python exercise="relu"', '```python exercise="other"', "## relu", 'there is no exercise "relu"'),
        ('```python hints="relu"', '```python hints="rleu"', "hints = {", "is the name misspelt?"),
        ('```python hints="relu"', "```python hints", "hints = {", 'Write hints="name"'),
        ('hints="relu"', 'exercise="relu"', "hints = {", "names are given once"),
        ('hints="relu"', 'check="relu"', "hints = {", "names are given once"),
        ('check="relu" points=2', 'hints="relu"', "def relu", "has no check"),
        ('check="relu" points=2', 'check="relu" hints="relu"', 'check("relu"', "a cell is one thing"),
        ("## relu\n", "## rleu\n", "## rleu", 'there is no exercise "rleu"; there are: relu'),
        ("points=2", "points=-2", 'check("relu"', "points=-2 is not a number of points"),
        ("points=2", 'points="two"', 'check("relu"', "points='two' is not a number of points"),
        ("points=2", "points=true", 'check("relu"', "points=True is not a number of points"),
        ("points=2", "points", 'check("relu"', "points=None is not a number of points"),
        ("points=2", "points=NaN", 'check("relu"', "is not a number of points"),
        (
            f"{WORTH}1.0",
            f"{WORTH}0.3",
            'check("relu"',
            '"keeps what is positive" is worth 0.3; a title is worth half or whole points',
        ),
        (
            f"{WORTH}1.0",
            f"{WORTH}0",
            'check("relu"',
            '"keeps what is positive" is worth 0; a title is worth half or whole points',
        ),
        (f"{WORTH}1.0", f"{WORTH}-0.5", 'check("relu"', '"keeps what is positive" is worth -0.5; a title is worth'),
        (f"{WORTH}1.0", f"{WORTH}'all'", 'check("relu"', "worth= is a dictionary of numbers"),
        ("    return x.abs()", "    return x.abs((", "return x.abs((", "not Python"),
        ("    return (x + x.abs()) / 2", "  return x\n      return", "      return", "not Python"),
        ('    "keeps what', '    1: "keeps what', "keeps what", "not Python"),
        ('check("relu", {', 'check("rleu", {', 'check("rleu"', "the call and the fence disagree"),
        ('check("relu", {', 'chekc("relu", {', 'chekc("relu"', "a check cell calls check("),
        (
            "lambda: relu(torch.tensor([0.5, 3.0]))",
            "relu(torch.ones(2))",
            "torch.ones(2)",
            "an observation is a lambda",
        ),
        (
            '"keeps what is positive": lambda: relu(torch.tensor([[',
            "2: lambda: relu(torch.tensor([[",
            "    2:",
            "a check's title",
        ),
        ('    "keeps what is', '    **{}, "keeps what is', "keeps what", "a check's title is a text"),
    ],
)
def test_what_cannot_be_understood(tmp_path: Path, old: str, new: str, at: str, message: str) -> None:
    with pytest.raises(LessonError) as caught:
        spoiled_lesson(tmp_path, old, new)
    name, line = place_of(tmp_path, at)
    assert message in caught.value.message
    assert str(caught.value).startswith(f"{tmp_path / SLUG / name}:{line}: ")


def test_damaged_header(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text("---\njupyter: [\n---\n", encoding="utf-8")
    with pytest.raises(LessonError, match="jupytext cannot read it"):
        read(path)

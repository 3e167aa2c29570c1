"""Questions to predict as an author writes them: letters or a number, with a sentence for each answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lessons import lesson, line_of, spoiled
from trainloop.authoring.errors import LessonError
from trainloop.authoring.lesson import Prediction
from trainloop.authoring.lint import lint
from trainloop.authoring.notebooks import source_notebook

LETTERS = 'right = "B"\noptions = {"A": "Not\\n so.", "B": "So it is."}'
NUMBER = 'right = 86\nwithin = 5\nsentences = {"right": "Yes.", "low": "More.", "high": "Fewer."}'


def text(source: str, name: str = "width") -> str:
    return spoiled("A list of", f'Which?\n\n```python predict="{name}"\n{source}\n```\n\nA list of')


def asked(folder: Path, source: str) -> Prediction:
    return lesson(folder, text(source)).predictions["width"]


def test_letters(tmp_path: Path) -> None:
    one = asked(tmp_path, LETTERS)
    assert (one.name, one.right, one.within) == ("width", "B", None)
    assert one.sentences == {"A": "Not so.", "B": "So it is."}
    assert one.line == line_of(text(LETTERS), "right =")


def test_a_number(tmp_path: Path) -> None:
    one = asked(tmp_path, NUMBER)
    assert (one.right, one.within) == (86, 5)
    assert list(one.sentences) == ["right", "low", "high"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (LETTERS.replace("options", "choices"), "a question to predict is right ="),
        (LETTERS + "\nwithin = 1", "a question to predict is right ="),
        (LETTERS.replace('"B"\n', "len('B')\n"), "a question to predict is right ="),
        (LETTERS.replace('"So it is."', "2"), "a question to predict is right ="),
        (NUMBER.replace("86", '"86"'), "a question to predict is right ="),
        (NUMBER.replace("= 5", "= -5"), "a question to predict is right ="),
        (NUMBER.replace("within = 5\n", ""), "a question to predict is right ="),
        ("print(1)", "a question to predict is right ="),
        (LETTERS.replace('right = "B"', 'right = "C"'), "each answer has its sentence; needed: C"),
        (LETTERS.replace("So it is.", ""), "each answer has its sentence"),
        (LETTERS.replace('"A": "Not\\n so.", ', ""), "each answer has its sentence"),
        (NUMBER.replace('"low"', '"lower"'), "each answer has its sentence; needed: high, low, right"),
        (LETTERS.replace('"B"\n', '"B\n'), "not Python"),
    ],
)
def test_refused(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(LessonError) as caught:
        asked(tmp_path, source)
    assert message in caught.value.message
    assert caught.value.line == line_of(text(source), "print(1)" if source == "print(1)" else source.splitlines()[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [("relu", '"relu" is the name of something else, too'), ("", 'write predict="name"')],
)
def test_its_name(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(LessonError, match=message):
        lesson(tmp_path, text(LETTERS, name))


def test_a_name_is_given_once(tmp_path: Path) -> None:
    twice = text(LETTERS).replace("A list of", f'```python predict="width"\n{NUMBER}\n```\n\nA list of')
    with pytest.raises(LessonError, match="names are given once") as caught:
        lesson(tmp_path, twice)
    assert caught.value.line == line_of(twice, "right = 86")


OPTIONS = "Which?\n\n- **A**: this\n- **B**: that\n\n"


def test_the_text_offers_what_is_explained(tmp_path: Path) -> None:
    offered = text(LETTERS).replace("Which?\n\n", OPTIONS)
    assert lint(lesson(tmp_path, offered)) == []
    (error,) = lint(lesson(tmp_path, offered.replace("- **B**: that\n", "")))
    assert error.message.startswith("the text above offers A, and A, B are explained")
    assert error.line == line_of(offered, "right =") - 1
    (error,) = lint(lesson(tmp_path, text(LETTERS)))
    assert "offers no letters" in error.message
    assert lint(lesson(tmp_path, text(NUMBER))) == []
    (error,) = lint(lesson(tmp_path, text(NUMBER, "how-many")))
    assert '"how-many" is no name for a question' in error.message


def test_a_drawing_says_what_it_draws(tmp_path: Path) -> None:
    drawn = spoiled("```python\ntorch.arange", '```python drawing="three numbers"\ntorch.arange')
    (cell,) = (cell for cell in lesson(tmp_path, drawn).cells if cell.kind == "drawing")
    assert (cell.exercise, cell.source, cell.unknown) == ("three numbers", "torch.arange(3.0)", ())
    (error,) = lint(lesson(tmp_path, drawn.replace("three numbers", "")))
    assert (error.line, "what does it draw?" in error.message) == (cell.line, True)


def test_an_answer_may_take_the_name(tmp_path: Path) -> None:
    def asks(name: str) -> str:
        renamed = text(LETTERS).replace("relu", name)
        (cell,) = (c for c in source_notebook(lesson(tmp_path, renamed, "")).cells if c.id == "predict-width")
        return str(cell.source).partition("  #")[0]

    assert asks("relu") == 'predict("width", ...)'
    assert asks("predict") == 'trainloop.predict("width", ...)'

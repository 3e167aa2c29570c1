"""Questions with letters: every wrong option is a mistake with its own sentence, whatever else was answered."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.lessons import TEXT, lesson, line_of
from trainloop.authoring.build import Built, build
from trainloop.authoring.errors import LessonError
from trainloop.authoring.lint import lint
from trainloop.checks.values import encode
from trainloop.checks.verdict import judge
from trainloop.sandbox.box import Box

QUIZ = """\
### Exercise 2: Two questions

Difficulty 1 of 5, importance 4 of 5, about 1 minute.

#### Question 1

How many?

- **A**: none
- **B**: one
- **C**: all

#### Question 2

Which way?

- **A**: up
- **B**: down

```python exercise="quiz"
### BEGIN SOLUTION
q1, q2 = "B", "A"
### END SOLUTION
```

```python check="quiz" points=1
def letter(answer: str) -> str:
    return answer.strip().upper()


check("quiz", {
    "question 1": lambda: letter(q1),
    "question 2": lambda: letter(q2),
})
```

```python options="quiz"
options = {
    "q1": {
        "A": "None is too few.",
        "B": "One it is.",
        "C": "All are too many.",
    },
    "q2": {"A": "Up it goes.", "B": "Down is where it "
                                    "came from."},
}
```

## Summary
"""
WITH_QUIZ = TEXT.replace("## Summary\n", QUIZ, 1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    with Box() as box:
        return build(lesson(tmp_path_factory.mktemp("quiz"), WITH_QUIZ), box)


def answered(built: Built, **letters: str) -> dict[str, tuple[str, str]]:
    """Status and sentence of each question, by its check's title."""
    part = built.key.visible().exercises["quiz"]
    seen = {f"question {name[1:]}": {"saw": "value", "value": encode(letter)} for name, letter in letters.items()}
    return {check.title: (check.status, check.sentence) for check in judge(part, seen).checks}


def test_a_lesson_with_options_is_taken(tmp_path: Path) -> None:
    assert lint(lesson(tmp_path, WITH_QUIZ)) == []


def test_each_wrong_option_is_a_mistake(tmp_path: Path) -> None:
    quiz = lesson(tmp_path, WITH_QUIZ).exercises["quiz"]
    assert quiz.is_question
    assert quiz.title == "Exercise 2: Two questions"
    assert quiz.letters == {"q1": "B", "q2": "A"}
    assert [one.sentence for one in quiz.mistakes] == [
        "None is too few.",
        "All are too many.",
        "Down is where it came from.",
    ]
    assert quiz.mistakes[0].code == "q1 = 'A'\nq2 = 'A'"


@pytest.mark.parametrize(
    ("letters", "said"),
    [
        ({"q1": "B", "q2": "A"}, {"question 1": ("ok", ""), "question 2": ("ok", "")}),
        ({"q1": "A", "q2": "A"}, {"question 1": ("wrong", "None is too few."), "question 2": ("ok", "")}),
        (
            {"q1": "C", "q2": "B"},
            {"question 1": ("wrong", "All are too many."), "question 2": ("wrong", "Down is where it came from.")},
        ),
        (
            {"q1": "E", "q2": "B"},
            {
                "question 1": ("wrong", "This is none of the letters offered. Write one of them, between quotes."),
                "question 2": ("wrong", "Down is where it came from."),
            },
        ),
    ],
)
def test_a_letter_names_its_mistake_whatever_else_was_answered(
    built: Built, letters: dict[str, str], said: dict[str, tuple[str, str]]
) -> None:
    assert answered(built, **letters) == said


def test_a_letter_is_told_its_sentence_and_nothing_else(built: Built) -> None:
    seen = {"question 1": {"saw": "value", "value": encode("A")}, "question 2": {"saw": "value", "value": encode("A")}}
    assert judge(built.key.visible().exercises["quiz"], seen).checks[0].detail == ()


def test_a_question_that_was_left_out_says_so(built: Built) -> None:
    missing = {"saw": "missing", "name": "q2", "type": "NameError", "message": "", "line": 0, "code": ""}
    seen = {"question 1": {"saw": "value", "value": encode("B")}, "question 2": missing}
    first, second = judge(built.key.visible().exercises["quiz"], seen).checks
    assert (first.status, second.status) == ("ok", "missing")
    assert second.sentence.startswith("`q2` has no answer yet. Run the cell of this exercise, then this one.")


def test_the_worked_solution_explains_every_option(built: Built) -> None:
    slug = built.lesson.slug
    worked = nbformat.reads(built.files[Path("solutions", slug, f"{slug}.ipynb")], as_version=4)
    (why,) = [cell.source for cell in worked.cells if cell.id == "why-quiz"]
    for line in ("- **A**: None is too few.", "- **B** (right): One it is.", "- **C**: All are too many."):
        assert line in why.splitlines()


def test_what_students_get_tells_no_right_letter(built: Built) -> None:
    slug = built.lesson.slug
    released = nbformat.reads(built.files[Path("release", slug, f"{slug}.ipynb")], as_version=4)
    text = "\n".join(cell.source for cell in released.cells)
    assert '"B"' not in text
    assert "One it is." not in text + built.files[Path("release", slug, "checks.json")]


def test_one_list_may_serve_all_questions(tmp_path: Path) -> None:
    text = WITH_QUIZ.replace("#### Question 2\n\nWhich way?\n\n- **A**: up\n- **B**: down\n\n", "")
    text = text.replace('came from."},', 'came from.", "C": "Nowhere."},')
    assert lint(lesson(tmp_path, text)) == []


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("options = {", "answers = [{", "answers = [{", "not Python"),
        ('"q2": {"A": "Up it goes."', '"q3": {"A": "Up it goes."', "options = {", "do not correspond: q2, q3"),
        ('        "B": "One it is.",\n', "", '    "q1": {', '"q1" needs its right option, B'),
        ('"A": "None is too few."', '"A": len', "options = {", "an options cell is one dictionary"),
    ],
)
def test_what_cannot_be_understood(tmp_path: Path, old: str, new: str, at: str, message: str) -> None:
    assert old in WITH_QUIZ
    text = WITH_QUIZ.replace(old, new, 1)
    with pytest.raises(LessonError) as caught:
        lesson(tmp_path, text)
    assert message in caught.value.message
    assert message == "not Python" or caught.value.line == line_of(text, at)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- **C**: all\n", "", "the text above offers 4 options, and 5 are explained"),
        ('    "question 2": lambda: letter(q2),\n', "", 'no check of "quiz" looks at q2'),
        (
            '    "question 2": lambda: letter(q2),\n',
            '    ### BEGIN HIDDEN TESTS\n    "question 2": lambda: letter(q2),\n    ### END HIDDEN TESTS\n',
            "a check of a question is not hidden",
        ),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in WITH_QUIZ
    assert message in "\n".join(error.message for error in lint(lesson(tmp_path, WITH_QUIZ.replace(old, new, 1))))

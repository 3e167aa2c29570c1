"""The placement quiz: twenty questions across all modules, to find the lessons that are worth one's time.

`placement()` in a notebook, `trainloop placement` in a terminal. Nothing is marked or kept. Who answers "?" loses
nothing: not to know is what the quiz is for.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainloop.checks.words import paragraph, wrapped
from trainloop.errors import TrainloopError
from trainloop.syllabus import MODULES

LETTERS = "ABCD"
UNKNOWN = "?"
STRIDE = 7  # through the questions, which stand in the order of the lessons
RECAPS = {1: "1.6", 2: "2.7", 3: "3.9"}
PAGE = "docs/placement.md"


class PlacementError(TrainloopError):
    """The answers are no answers; the message says what is asked for."""


@dataclass(frozen=True)
class Question:
    """One question. `options` and `sentences` by letter."""

    lesson: str
    text: str
    right: str
    options: Mapping[str, str]
    sentences: Mapping[str, str]


@functools.cache
def questions() -> tuple[Question, ...]:
    """All of them, in the order in which they are asked: mixed, and always the same."""
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        plain = tomllib.load(file)["questions"]
    asked = [
        Question(
            one["lesson"],
            one["text"],
            one["right"],
            {letter: one[letter][0] for letter in LETTERS},
            {letter: one[letter][1] for letter in LETTERS},
        )
        for one in plain
    ]
    return tuple(asked[STRIDE * place % len(asked)] for place in range(len(asked)))


def placement(answers: str = "") -> None:
    """Print the questions; or, with answers, which lessons to do.

    Args:
        answers: a letter for each question in order, such as "B A ? C ...", "?" where one does not know.
    """
    try:
        print("\n".join(_asked() if not answers else advice(read_letters(answers))))
    except PlacementError as error:
        print(paragraph(str(error)))


def read_letters(text: str) -> list[str]:
    """The letters in a text, one a question.

    Raises:
        PlacementError: there are others, or too few or too many.
    """
    letters = re.findall(r"[^\s,;.]", text.upper())
    if odd := [one for one in letters if one not in LETTERS + UNKNOWN]:
        raise PlacementError(f"The answers are A, B, C, D, or ? where you do not know; {odd[0]!r} is none of them.")
    if len(letters) != len(questions()):
        raise PlacementError(f"There are {len(questions())} questions, and here are {len(letters)} answers.")
    return letters


def _asked() -> Iterator[str]:
    yield paragraph(
        'Answer from what you know; do not run anything. Then, in a new cell, all letters in a row, with "?" where you '
        'do not know: placement("B ? A ...")'
    )
    for number, one in enumerate(questions(), start=1):
        yield ""
        yield from asked(number, one)


def asked(number: int, one: Question) -> Iterator[str]:
    """A question with its options, in lines."""
    yield paragraph(f"{number}. {one.text}")
    for letter, option in one.options.items():
        yield f"   {letter}  {option}"


def advice(answers: Sequence[str]) -> Iterator[str]:
    """What the answers come to: the lessons to do, each with what was said against the answer, in lines."""
    wrong = {one.lesson: (one, letter) for one, letter in zip(questions(), answers, strict=True) if letter != one.right}
    yield f"{len(answers) - len(wrong)} of {len(answers)} right."
    if not wrong:
        recaps = ", ".join(RECAPS.values())
        yield paragraph(f"You know what this course teaches. The recaps have harder questions and drills: {recaps}.")
        return
    for module in MODULES:
        here = {lesson: title for lesson, title in module.lessons.items() if lesson in wrong}
        if not here:
            yield f"\nModule {module.number}, {module.title}: nothing to do but its recap, {RECAPS[module.number]}."
            continue
        yield f"\nModule {module.number}, {module.title}: do these, then its recap, {RECAPS[module.number]}."
        for lesson, title in here.items():
            one, letter = wrong[lesson]
            yield f"  {lesson}  {title}"
            if letter != UNKNOWN:
                yield from wrapped(f"You said {letter}: {one.options[letter]}. {one.sentences[letter]}")


def page() -> str:
    """The quiz as a page to read, with the answers at its end."""
    head = [
        "# Where to begin: twenty questions",
        "",
        "Answer from what you know, and note the letters. The answers stand at the end of the page, with the lesson",
        "that each question belongs to: those that you missed, or guessed, are the lessons for you. In a notebook",
        "`placement()`, from `trainloop`, asks the same; in a terminal, `trainloop placement`.",
    ]
    for number, one in enumerate(questions(), start=1):
        head += ["", f"## Question {number}", "", one.text, ""]
        head += [f"- **{letter}**: {option}" for letter, option in one.options.items()]
    titles = {lesson: title for module in MODULES for lesson, title in module.lessons.items()}
    head += ["", "## Answers", ""]
    for number, one in enumerate(questions(), start=1):
        head.append(f"{number}. **{one.right}**. {one.sentences[one.right]} Lesson {one.lesson}: {titles[one.lesson]}")
    return "\n".join(head) + "\n"

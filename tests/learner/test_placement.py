"""The placement quiz: that it covers the course, asks fairly, and names the lessons that were missed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conftest import ROOT
from tests.test_cli import refused, trainloop, words
from trainloop.learner.placement import (
    LETTERS,
    PAGE,
    RECAPS,
    PlacementError,
    advice,
    page,
    placement,
    questions,
    read_letters,
)
from trainloop.syllabus import MODULES

RIGHT = [one.right for one in questions()]


def test_one_question_a_lesson_but_for_the_recaps() -> None:
    lessons = [number for module in MODULES for number in module.lessons]
    asked = Counter(one.lesson for one in questions())
    assert asked == Counter([number for number in lessons if number not in ("1.6", "2.7")])
    assert set(RECAPS.values()) <= set(lessons)


def test_the_order_is_mixed_and_no_letter_gives_itself_away() -> None:
    modules = [one.lesson[0] for one in questions()]
    assert all(len(set(modules[place : place + 4])) > 1 for place in range(len(modules) - 3))
    assert set(Counter(RIGHT)) == set(LETTERS) and max(Counter(RIGHT).values()) <= len(RIGHT) / 2
    longest = sum(len(one.options[one.right]) == max(map(len, one.options.values())) for one in questions())
    assert longest <= len(RIGHT) / 2


def test_who_knows_all_is_sent_to_the_recaps() -> None:
    said = list(advice(RIGHT))
    assert said[0] == "20 of 20 right."
    assert "1.6, 2.7, 3.9" in " ".join(said[1].split())


def test_what_was_missed_is_named_with_the_sentence_of_that_answer() -> None:
    missed = next(place for place, one in enumerate(questions()) if one.lesson == "2.2")
    unknown = next(place for place, one in enumerate(questions()) if one.lesson == "3.4")
    answers = RIGHT.copy()
    answers[missed], answers[unknown] = "A", "?"
    said = "\n".join(advice(answers))
    assert said.startswith("18 of 20 right.")
    flat = " ".join(said.split())
    one = questions()[missed]
    assert f"2.2 Forward and Backward Passes You said A: {one.options['A']}. {one.sentences['A']}" in flat
    assert "3.4 Deeper Networks and Backprop Challenges" in flat and "You said ?" not in flat
    assert "Module 1, The Elementary Training Loop: nothing to do but its recap, 1.6." in flat
    assert [lesson for module in MODULES for lesson in module.lessons if f"\n  {lesson}  " in said] == ["2.2", "3.4"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("A B C", "There are 20 questions, and here are 3 answers."), ("E" + "A" * 19, "'E' is none of them")],
)
def test_other_answers_are_refused(text: str, why: str) -> None:
    with pytest.raises(PlacementError, match=why):
        read_letters(text)


def test_answers_are_read_as_people_write_them() -> None:
    assert read_letters(", ".join(RIGHT).lower()) == RIGHT


def test_in_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    placement()
    asked = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(f"{n}. {one.text}".split()) in asked for n, one in enumerate(questions(), start=1))
    placement("".join(RIGHT))
    assert capsys.readouterr().out.startswith("20 of 20 right.")
    placement("A")
    assert "here are 1 answers" in " ".join(capsys.readouterr().out.split())


def test_in_a_terminal() -> None:
    assert "20 of 20 right." in words(trainloop(ROOT, "placement", "--answers", " ".join(RIGHT)))
    refused(trainloop(ROOT, "placement"), "Give all answers at once")


def test_the_page_is_the_quiz() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "Write docs/placement.md anew: placement.page()"

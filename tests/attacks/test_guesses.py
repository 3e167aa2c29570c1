"""Marks by guesses: whoever takes over the process that makes the observations can report what they like.

Then nothing need be solved where a guess will do: labels from the nearest neighbours in what is given, arguments left
as they were, and 0 for everything else. Here every such guess is right, as no guesser's would be, and earns nothing.
Letters are paid as they are, for a question has no other numbers; how much they are worth is bounded.
"""

from __future__ import annotations

import pytest
import torch

from tests.conftest import ROOT
from trainloop.checks import rules, values
from trainloop.checks.key import CheckKey, ExerciseKey, Key
from trainloop.checks.values import Observation
from trainloop.checks.verdict import judge
from trainloop.course import Course

COURSE = Course(ROOT)


def guessed(check: CheckKey, zeros: bool = False) -> Observation:
    """The right one, where a guess may hit it; elsewhere none, or zeros of the right shape, which has to be known."""
    if check.rule["rule"] == "accuracy":
        return {"saw": "value", "value": check.rule["labels"]}
    wanted = check.expected.get("value")
    if check.caps:
        return check.expected
    if zeros and wanted is not None and values.is_array(wanted):
        return {"saw": "value", "value": values.encode(torch.zeros(wanted["shape"]))}
    return {"saw": "value", "value": values.encode(None)}


def coded(slug: str) -> list[ExerciseKey]:
    """The exercises of a lesson that are no questions."""
    exercises = Key.load(COURSE.key(slug)).exercises.values()
    return [one for one in exercises if not any(rules.is_option(check.rule) for check in one.checks)]


def solved(key: ExerciseKey) -> dict[str, Observation]:
    return {check.name: check.expected for check in key.checks}


@pytest.mark.parametrize("slug", COURSE.slugs())
def test_who_guesses_earns_nothing(slug: str) -> None:
    for zeros in (False, True):
        results = [judge(one, {check.name: guessed(check, zeros) for check in one.checks}) for one in coded(slug)]
        assert all(result.points == sum(check.points for check in result.checks) for result in results)
        earned = {f"{slug.split('-')[0]} {one.name}": one.points for one in results if one.points}
        assert results and earned == {}


RECAPS = ("1.6-", "2.7-", "3.9-")  # half quiz


@pytest.mark.parametrize("slug", COURSE.slugs())
def test_who_plays_back_what_is_public_earns_the_letters_alone(slug: str) -> None:
    """And these are few: a letter that can be checked at once can be found by trying."""
    exercises = Key.load(COURSE.key(slug)).exercises.values()
    nothing: Observation = {"saw": "value", "value": values.encode(None)}
    results = [
        judge(one, {check.name: nothing if check.hidden else check.expected for check in one.checks})
        for one in exercises
    ]
    letters = {one.name for one in exercises} - {one.name for one in coded(slug)}
    assert {result.name for result in results if result.points} <= letters
    earned, possible = sum(one.points for one in results), sum(one.points for one in exercises)
    assert earned / possible <= (0.6 if slug.startswith(RECAPS) else 0.25)


def test_right_predictions_count_beside_a_value() -> None:
    """Who solves the exercise has them paid, and so has who gets one of its values right."""
    slug = COURSE.slug("2.1")
    key = Key.load(COURSE.key(slug)).exercises["train"]
    paid = [check for check in key.checks if check.rule["rule"] == "accuracy" and check.points]
    assert [check.points for check in paid] == [0.5]
    assert judge(key, solved(key)).points == key.points
    value = next(check.title for check in key.checks if check.points and check.rule["rule"] == "close")
    one_right = {
        check.name: check.expected if check.title == value or check.rule["rule"] == "accuracy" else guessed(check)
        for check in key.checks
    }
    worth = sum(check.points for check in key.checks if check.title == value)
    assert judge(key, one_right).points == worth + 0.5

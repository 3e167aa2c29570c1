"""What the lessons of Module 1 named while each was one file: a mistake still reads its sentence, or as good a one.

`frozen/` holds their mistakes and other right answers, each with its whole code, as they were before mistakes became
edits. `frozen/changed.json` lists, by lesson, exercise and sentence, the sentences that may be read in its place; an
empty one stands for no name. It goes when issue 13 ends.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.samples import sampled
from trainloop.authoring.key_maker import observe_answers
from trainloop.authoring.lesson import read
from trainloop.checks.key import ExerciseKey, Key
from trainloop.checks.verdict import judge
from trainloop.course import Course
from trainloop.sandbox.box import Box

FROZEN = Path(__file__).parent / "frozen"
SLUGS = [path.name.removesuffix(".json.gz") for path in sorted(FROZEN.glob("*.json.gz"))]
CHANGED = json.loads((FROZEN / "changed.json").read_text(encoding="utf-8"))
SAMPLE = 6  # answers a lesson


@dataclass(frozen=True)
class Frozen:
    """An answer of then."""

    exercise: str
    kind: str
    sentence: str
    code: str


def frozen(slug: str) -> list[Frozen]:
    """All answers of a lesson."""
    return [Frozen(**one) for one in json.loads(gzip.decompress((FROZEN / f"{slug}.json.gz").read_bytes()))]


def fault(slug: str, answer: Frozen, part: ExerciseKey, seen: dict[str, Any]) -> str:
    """What is wrong with how an answer is judged today; empty, if nothing is."""
    result = judge(part, seen)
    if answer.kind == "alternative":
        return "" if result.points == part.points else "this right answer loses points"
    if result.points == part.points:
        return "this mistake gets full marks"
    named = {part.sentences[check.mistake] for check in result.checks if check.mistake is not None} or {""}
    others = named - {answer.sentence, *CHANGED.get(slug, {}).get(answer.exercise, {}).get(answer.sentence, ())}
    return f"reads {sorted(others)}" if others else ""


@pytest.mark.parametrize("slug", SLUGS)
def test_what_was_named_still_is(slug: str, shared_box: Box, pytestconfig: pytest.Config) -> None:
    course = Course(ROOT)
    answers = sampled(pytestconfig, frozen(slug), SAMPLE, f"frozen {slug}")
    lesson = read(course.text(slug))
    key = Key.load(course.key(slug))
    seen = observe_answers(lesson, [shared_box], [(one.exercise, one.code) for one in answers])
    faults = {
        f"{one.exercise}: {one.sentence}\n{one.code}": found
        for one in answers
        if (found := fault(slug, one, key.exercises[one.exercise], seen[one.exercise, one.code]))
    }
    assert faults == {}


def test_nothing_is_listed_as_changed_that_was_not_there() -> None:
    there = {(slug, one.exercise, one.sentence) for slug in SLUGS for one in frozen(slug)}
    listed = {(slug, name, sentence) for slug, of in CHANGED.items() for name, each in of.items() for sentence in each}
    assert listed <= there
    assert all(frozen(slug) for slug in SLUGS)

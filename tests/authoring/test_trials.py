"""Answers that are tried together come to what they come to alone; what was tried is not tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lessons import ANSWERS, lesson, spoiled_lesson
from trainloop.authoring import trials
from trainloop.authoring.key_maker import make_key
from trainloop.authoring.lesson import LessonError
from trainloop.authoring.trials import Kept
from trainloop.checks.key import Key
from trainloop.sandbox.box import Box
from trainloop.sandbox.job import Job, StepResult

ABS = "def relu(x):\n    return x.abs()\n"


class Counting(Box):
    """A box that counts the answers in the jobs it is given, and which of them ran in a process of their own."""

    def __init__(self, box: Box) -> None:
        super().__init__(box.limits, box.level)
        self.box = box
        self.together = self.alone = 0

    def run(self, job: Job) -> dict[str, StepResult]:
        answers = sum("def relu" in step.source for step in job.steps)
        self.together += answers if answers > 1 else 0
        self.alone += answers == 1
        return self.box.run(job)


@pytest.fixture(scope="module")
def opened() -> Iterator[Box]:
    with Box() as box:
        yield box


@pytest.fixture
def box(opened: Box) -> Counting:
    return Counting(opened)


@pytest.fixture(scope="module")
def alone(opened: Box, tmp_path_factory: pytest.TempPathFactory) -> Key:
    """The key of the tiny lesson, each answer in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "ANSWERS_PER_PROCESS", 1)
        return make_key(lesson(tmp_path_factory.mktemp("alone")), [opened])


def test_together_as_alone(box: Counting, alone: Key, tmp_path: Path) -> None:
    assert make_key(lesson(tmp_path), [box]) == alone
    assert (box.together, box.alone) == (9, 2)  # four mistakes, three others, 0, the reference; the reference, the stub


@pytest.mark.parametrize(
    ("left_behind", "tried_alone"),
    [
        ("torch.where = lambda condition, x, other: other", True),  # the reference calls it: it comes to something else
        ("torch.zeros_like = None\nraise SystemExit", True),
        ("raise SystemExit", False),
        ("def given(name):\n    return None\ncheck = None", False),
    ],
)
def test_what_an_answer_leaves_behind_reaches_no_other(
    box: Counting, alone: Key, left_behind: str, tried_alone: bool, tmp_path: Path
) -> None:
    spoiled = spoiled_lesson(tmp_path, ABS, f"{ABS}{left_behind}\n")
    assert make_key(spoiled, [box]) == alone
    assert box.alone == (10 if tried_alone else 2)


def test_an_answer_that_ends_the_process_is_tried_again_alone(box: Counting, tmp_path: Path) -> None:
    spoiled = spoiled_lesson(tmp_path, ABS, f"{ABS}import ctypes\nctypes.string_at(0)\n")
    kept = tmp_path / "kept.json"
    with pytest.raises(LessonError, match="this mistake gets no name"):
        make_key(spoiled, [box], kept=Kept(kept))
    assert box.alone == 3
    seen = [{one["saw"] for one in each.values()} for each in json.loads(kept.read_text()).values()]
    assert sorted(seen, key=str) == [{"missing"}, *[{"value"}] * 7]


def test_what_disagrees_with_the_known_key_is_tried_again_alone(box: Counting, alone: Key, tmp_path: Path) -> None:
    relu = alone.exercises["relu"]
    first, *others = relu.checks
    other = replace(first, mistakes=(*first.mistakes[:2], None, first.mistakes[3]))
    known = replace(alone, exercises={"relu": replace(relu, checks=(other, *others))})
    assert make_key(lesson(tmp_path), [box], known=known) == alone
    assert box.alone == 3
    assert make_key(lesson(tmp_path), [box], known=alone) == alone
    assert box.alone == 5


def test_what_one_answer_leaves_to_another_differs_in_the_opposite_order(opened: Box, tmp_path: Path) -> None:
    """The reference, tried last, notices nothing; but forwards and backwards are two keys. Here the second holds."""
    answers = ANSWERS.replace(ABS, f"{ABS}torch.left = 1\n", 1).replace(
        "clamp(max=0)", "clamp(max=vars(torch).get('left', 0))"
    )
    forwards, backwards = (
        make_key(lesson(tmp_path, answers=answers), [opened], backwards=back) for back in (False, True)
    )
    assert not forwards.agrees(backwards)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "ANSWERS_PER_PROCESS", 1)
        assert make_key(lesson(tmp_path, answers=answers), [opened]).agrees(backwards)


def test_what_was_tried_before_is_not_tried_again(box: Counting, alone: Key, tmp_path: Path) -> None:
    kept = tmp_path / "built" / "kept.json"
    for old, new, tried in (("", "", 11), ("Write it.", "Write that.", 2), ("x.abs()", "abs(x)", 3)):
        box.together = box.alone = 0
        assert make_key(spoiled_lesson(tmp_path, old, new), [box], kept=Kept(kept)) == alone
        assert box.together + box.alone == tried
    kept.write_text("[")
    assert Kept(kept).find(trials.Trial("relu", "", (), 0), {}) is None

"""A verdict that the machine may have caused, not the submission: tried once more, alone, and never kept.

It was too busy to compute, or short of memory, so that its kernel ended a process.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.grading.test_containment import AUTOGRADE, GRADE, answered, command, points, said
from tests.grading.test_turns import gate_is_shut
from tests.lessons import SLUG
from tests.pages import Class
from trainloop.grading import grade as grading
from trainloop.grading.grade import DOUBT, Graded, LessonBundle, Results, grade_folder
from trainloop.grading.gradebook import UNFINISHED
from trainloop.grading.turns import Turns
from trainloop.sandbox import isolation
from trainloop.sandbox.box import WAITED, Box
from trainloop.sandbox.isolation import Level, Usage
from trainloop.sandbox.job import KILLED, STALLED, Job, Limits, RunStatus, Step, StepResult

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

EVE, ADAM = "s5-eve", "s1"
MACHINES: list[tuple[RunStatus, str]] = [("timeout", STALLED), ("out of memory", KILLED)]


# ------------------------------------------------------------------------------------------- what a box says of itself


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box(Limits(cell_seconds=0.5, total_seconds=1.2), level="limits") as opened:
        yield opened


def run(box: Box, *sources: str) -> list[StepResult]:
    kinds = ["check" if source.startswith("check(") else "code" for source in sources]
    steps = [Step(str(n), kind, one) for n, (kind, one) in enumerate(zip(kinds, sources, strict=True))]  # type: ignore[arg-type]
    return list(box.run(Job(tuple(steps))).values())


@pytest.mark.parametrize(("share", "reason"), [(1.0, STALLED), (0.0, WAITED)])
def test_a_cell_that_does_not_compute_was_kept_waiting_or_waits(
    box: Box, share: float, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    monkeypatch.setattr(isolation, "usage", lambda *_: Usage(1, 0.0, share * (time.monotonic() - begun), 0))
    found = run(box, *["import time; time.sleep(60)"] * 4)
    assert (found[0].status, found[0].reason) == ("timeout", reason)
    assert (found[-1].status, found[-1].reason) == ("not run", STALLED if share else "")
    assert [one.may_be_the_machines for one in (found[0], found[-1])] == [bool(share)] * 2


def test_a_process_that_was_killed_from_outside_of_the_box(box: Box) -> None:
    for found in (*run(box, DEATH), *run(box, f'check("relu", {{"a": lambda: {DEATH}}})')):
        assert (found.status, found.reason) == ("out of memory", KILLED)
        assert found.may_be_the_machines


ANSWER = "seen = [0]\ndef relu(x):\n    seen[0] += 1\n    return x"
VISIBLE = 'check("relu", {"a": lambda: relu(1)})'
HIDDEN = 'check("relu", {"a": lambda: relu(2)})'
DEATH = "__import__('os').kill(__import__('os').getpid(), 9)"


def with_hidden(answer: str) -> Job:
    """Two exercises: whatever the first answer does, the second is right."""
    return Job(
        (
            Step("first", "code", answer),
            Step("check-first", "check", VISIBLE, titles=("a",), group="check-first"),
            Step("check-first.hidden", "check", HIDDEN, hidden=True, titles=("a",), group="check-first"),
            Step("second", "code", "print('printed')\n" + ANSWER),
            Step("check-second", "check", VISIBLE, titles=("a",), group="check-second"),
            Step("check-second.hidden", "check", HIDDEN, hidden=True, titles=("a",), group="check-second"),
        )
    )


@pytest.fixture(scope="module")
def patient() -> Iterator[Box]:
    with Box(Limits(cell_seconds=20.0, total_seconds=120.0), level="limits") as opened:
        yield opened


def test_once_in_doubt_no_hidden_check_is_handed_over_and_all_is_run_again(patient: Box, tmp_path: Path) -> None:
    job = with_hidden(f"import os\nif not os.path.exists('{tmp_path}/1'): open('{tmp_path}/1', 'w'); {DEATH}\n{ANSWER}")
    first = patient.run(job, careful=True)
    assert first["first"].reason == KILLED
    assert {first[name].status for name in ("check-first.hidden", "check-second.hidden")} == {"not run"}
    assert {one.status for one in patient.run(job, earlier=first).values()} == {"ok"}


def test_once_a_hidden_check_was_handed_over_only_what_is_in_question_is_seen_again(
    patient: Box, tmp_path: Path
) -> None:
    """What the second run prints, or observes in plain sight, may tell what the first one had been handed."""
    again = f"__import__('os').path.exists('{tmp_path}/1')"
    answer = f"print('again' if {again} else 'once')\ndef relu(x):\n    if {again}: return 'told'\n"
    answer += f"    if x == 2: open('{tmp_path}/1', 'w'); {DEATH}\n    return x"
    job = with_hidden(answer)
    first = patient.run(job, careful=True)
    assert (first["check-first.hidden"].reason, first["check-second.hidden"].status) == (KILLED, "ok")
    second = patient.run(job, earlier=copy.deepcopy(first))
    assert {name: second[name] for name in second if name != "check-first.hidden"} == {
        name: first[name] for name in first if name != "check-first.hidden"
    }
    assert second["first"].outputs[0]["text"] == "once\n"
    assert second["check-first.hidden"].checks["relu"]["a"]["value"]["data"] == "told"


# ------------------------------------------------------------------------------------------------- what is made of it


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Class:
    one = Class.build(tmp_path_factory.mktemp("two"))
    for student in (ADAM, EVE):
        one.hand_in(student, answered(one, student))
    return one


@dataclass
class Shaky:
    """A box on a machine that had better things to do than to run an answer, the first few times."""

    box: Box
    times: int
    status: RunStatus
    reason: str
    alone: list[bool] = field(default_factory=list)
    """For each time, whether everybody else was kept waiting."""

    @property
    def limits(self) -> Limits:
        return self.box.limits

    @property
    def level(self) -> Level:
        return self.box.level

    @property
    def memory(self) -> str:
        return self.box.memory

    def run(self, job: Job, **_: object) -> dict[str, StepResult]:
        self.alone.append(gate_is_shut(grading.turns().folder))
        found = self.box.run(job)
        return spoiled(found, self.status, self.reason) if len(self.alone) <= self.times else found


def spoiled(found: dict[str, StepResult], status: RunStatus, reason: str) -> dict[str, StepResult]:
    """What would have come of it if the answer's cell had not ended."""
    checks = {name: StepResult("error") for name in found if name.startswith("check-")}
    return {**found, **checks, "relu": StepResult(status, reason=reason)}


@dataclass(frozen=True)
class Try:
    """Grades the same submission, with the same kept verdicts, again and again."""

    one: Class
    kept: Results
    box: Box

    def grade(self, shaky: Shaky) -> Graded:
        folder = self.one.course.root / "submitted" / EVE / SLUG
        return grade_folder(LessonBundle.of(self.one.course, SLUG), folder, lambda: shaky, self.kept)  # type: ignore[arg-type, return-value]

    def shaky(self, times: int, status: RunStatus, reason: str) -> Shaky:
        return Shaky(self.box, times, status, reason)


@pytest.fixture
def again(two: Class, shared_box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Try:
    (tmp_path / "turns").mkdir()
    for name in ("gate", "running"):
        (tmp_path / "turns" / name).touch()
    monkeypatch.setattr(grading, "turns", lambda: Turns(tmp_path / "turns"))
    return Try(two, Results(tmp_path / "kept"), shared_box)


def sentences(graded: Graded) -> str:
    return " ".join(check.sentence for one in graded.exercises for check in one.checks)


@pytest.mark.parametrize(("status", "reason"), MACHINES)
def test_it_is_tried_again_alone_and_what_comes_then_counts(again: Try, status: RunStatus, reason: str) -> None:
    shaky = again.shaky(1, status, reason)
    graded = again.grade(shaky)
    assert shaky.alone == [False, True]
    assert (graded.status, graded.points, graded.notes) == ("ok", graded.possible, ())
    assert again.grade(shaky).status == "ok" and len(shaky.alone) == 2, "it is kept"


@pytest.mark.parametrize(("status", "reason"), MACHINES)
def test_what_fails_alone_too_is_given_and_not_kept(again: Try, status: RunStatus, reason: str) -> None:
    shaky = again.shaky(2, status, reason)
    graded = again.grade(shaky)
    assert shaky.alone == [False, True]
    assert (graded.status, graded.points, graded.notes) == (status, 0.0, (DOUBT,))
    assert reason in sentences(graded) and "loop" not in sentences(graded)
    assert again.grade(shaky).points == graded.possible and len(shaky.alone) == 3, "the next run tries again"
    assert again.grade(shaky).points == graded.possible and len(shaky.alone) == 3


def test_what_is_the_submissions_own_is_tried_once_and_kept(again: Try) -> None:
    waits = again.shaky(9, "timeout", WAITED)
    graded = again.grade(waits)
    assert (graded.status, graded.notes) == ("timeout", ())
    assert WAITED in sentences(graded) and "loop" not in sentences(graded)
    assert again.grade(waits).status == "timeout" and waits.alone == [False]


@pytest.mark.parametrize("words", [GRADE, AUTOGRADE])
def test_it_is_recorded_as_not_final_until_a_later_run_has_mended_it(
    two: Class, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = two.course.root
    for folder in (".trainloop/results", "autograded", "feedback"):
        for path in sorted((root / folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    real = Box.run

    def run(self: Box, job: Job, **_: object) -> dict[str, StepResult]:
        found = real(self, job)
        return spoiled(found, "timeout", STALLED) if any(EVE in step.source for step in job.steps) else found

    with monkeypatch.context() as patch:
        patch.setattr(Box, "run", run)
        assert command(root, *words) == 0, said(two)
        assert points(two) == {ADAM: 2.0, EVE: 0.0}
        assert two.verdict(EVE)["notes"] == [DOUBT]
        assert command(root, "nbgrader", "generate_feedback", SLUG) == 0, said(two)
    for student, is_final in ((ADAM, True), (EVE, False)):
        assert ("These points are not final" in two.feedback(student).read_text()) is not is_final
        for path in (two.autograded(student), two.feedback(student)):
            assert (path.parent / UNFINISHED).exists() is not is_final
    assert command(root, *AUTOGRADE) == 0, said(two)
    assert points(two) == {ADAM: 2.0, EVE: 2.0}
    assert command(root, "nbgrader", "generate_feedback", SLUG) == 0, said(two)
    assert "These points are not final" not in two.feedback(EVE).read_text()
    assert not [*root.rglob(UNFINISHED)]

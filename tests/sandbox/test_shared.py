"""Several threads share boxes: all are busy, none runs two jobs at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from trainloop.sandbox.hosts import BoxError
from trainloop.sandbox.job import Job, StepResult
from trainloop.sandbox.shared import Shared, opened_boxes


class Counting:
    """Stands for a box: knows how many jobs it ran, and whether two ever met."""

    def __init__(self, meeting: threading.Barrier | None = None) -> None:
        self.meeting = meeting
        self.busy = threading.Lock()
        self.ran = 0

    def run(self, job: Job) -> dict[str, StepResult]:
        assert self.busy.acquire(blocking=False), "two jobs at a time"
        try:
            if self.meeting is not None:
                self.meeting.wait(timeout=30)
            self.ran += 1
            return {}
        finally:
            self.busy.release()


def test_jobs_of_many_threads_run_in_all_boxes_and_one_at_a_time_in_each() -> None:
    meeting = threading.Barrier(2)  # each job waits until the other box has one, too
    boxes = [Counting(meeting), Counting(meeting)]
    shared = Shared(boxes)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shared.run, [Job(())] * 40)) == [{}] * 40
    assert [box.ran for box in boxes] == [20, 20]


def test_a_box_that_failed_is_used_again() -> None:
    class Failing(Counting):
        def run(self, job: Job) -> dict[str, StepResult]:
            super().run(job)
            raise RuntimeError("this once")

    box = Failing()
    shared = Shared([box])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="this once"):
            shared.run(Job(()))
    assert box.ran == 2


class Opening:
    """Stands for a box that opens when all others are opening, too."""

    def __init__(self, meeting: threading.Barrier, fails: bool) -> None:
        self.meeting, self.fails, self.is_open = meeting, fails, False

    def __enter__(self) -> Opening:
        self.meeting.wait(timeout=30)
        if self.fails:
            raise BoxError("There is no room for it.")
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False


@pytest.mark.parametrize("failing", [(), (1,)])
def test_boxes_open_side_by_side_and_are_closed_whatever_happens(
    failing: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = threading.Barrier(3)
    made: list[Opening] = []

    def box() -> Opening:
        made.append(Opening(meeting, len(made) in failing))
        return made[-1]

    monkeypatch.setattr("trainloop.sandbox.shared.Box", box)
    with pytest.raises(BoxError, match="no room") if failing else nullcontext(), opened_boxes(3) as boxes:
        assert boxes == made and all(one.is_open for one in made)
    assert len(made) == 3 and not any(one.is_open for one in made)

"""Several threads share boxes: all are busy, none runs two jobs at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trainloop.sandbox.job import Job, StepResult
from trainloop.sandbox.shared import Shared


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

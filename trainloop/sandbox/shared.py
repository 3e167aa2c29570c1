"""Boxes that several users share: each job goes to one that is free."""

from __future__ import annotations

from collections.abc import Iterable
from queue import SimpleQueue

from trainloop.sandbox.job import Job, Runs, StepResult


class Shared:
    """Runs jobs of any number of threads, as many at a time as there are boxes; the others wait.

    Args:
        boxes: which nobody else uses meanwhile.
    """

    def __init__(self, boxes: Iterable[Runs]) -> None:
        self._free: SimpleQueue[Runs] = SimpleQueue()
        for box in boxes:
            self._free.put(box)

    def run(self, job: Job) -> dict[str, StepResult]:
        """Run a job in the first box that is free."""
        box = self._free.get()
        try:
            return box.run(job)
        finally:
            self._free.put(box)

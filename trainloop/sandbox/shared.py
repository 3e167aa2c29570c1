"""Several boxes: opened side by side, and shared by several users, so that each job goes to one that is free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

from trainloop.sandbox.box import Box
from trainloop.sandbox.job import Job, Runs, StepResult


@contextmanager
def opened_boxes(count: int) -> Iterator[list[Box]]:
    """Open boxes, which takes each of them seconds, and close them at the end.

    Raises:
        BoxError: one did not start; those that did are closed.
    """
    with ExitStack() as stack:
        with ThreadPoolExecutor(count) as pool:
            boxes = list(pool.map(stack.enter_context, [Box() for _ in range(count)]))
        yield boxes


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

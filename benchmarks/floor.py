"""The floor: what the submissions' own cells compute, in a process that has everything loaded, with nothing around it.

No intake, no box, no verdict, no gradebook: the cells that must run, and the calls that the checks make, by `exec`.
Nothing that grades these submissions can take less time.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import torch

from tests.sample_class import Student
from trainloop import watch
from trainloop.checks import values
from trainloop.grading.grade import LessonBundle, steps_of
from trainloop.grading.intake import ingest
from trainloop.sandbox.job import Step

SLOW = 10  # times the median: it trains for seconds, and says nothing of what a submission costs beside that


class Floor:
    """Runs submissions with everything loaded, in processes of their own.

    Args:
        material: of the lesson.
        folder: to write submissions into; must exist.
    """

    def __init__(self, material: LessonBundle, folder: Path) -> None:
        self._material, self._folder = material, folder
        self._given = {name: torch.from_numpy(values.array(plain).copy()) for name, plain in material.key.given.items()}
        _warm_up()

    def seconds(self, submissions: Sequence[Student], cores: int) -> float:
        """Wall time of all submissions, dealt out to as many processes as there are cores."""
        jobs = [self._steps(student) for student in submissions]
        started = time.perf_counter()
        children = [_fork(jobs[core::cores], self._given) for core in range(cores)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        seconds = time.perf_counter() - started
        if any(codes):
            raise RuntimeError(f"A process of the floor ended with {codes}.")
        return seconds

    def slow(self, submissions: Sequence[Student]) -> list[Student]:
        """Those that take more than `SLOW` times as long as the median: one of them would be all that is measured."""
        alone = [self.seconds([student], 1) for student in submissions]
        most = SLOW * statistics.median(alone)
        return [student for student, seconds in zip(submissions, alone, strict=True) if seconds > most]

    def _steps(self, student: Student) -> Sequence[Step]:
        material, folder = self._material, self._folder / student.name / self._material.slug
        if not folder.exists():
            student.hand_in(folder, material.slug)
        return steps_of(material, ingest(folder, material.slug, material.base, material.released))


def _warm_up() -> None:
    """Load what torch and matplotlib load at first use."""
    for name in ("matplotlib.pyplot", "sklearn.datasets", "torch._dynamo"):
        importlib.import_module(name)
    matplotlib.use("agg")
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])


def _fork(jobs: Sequence[Sequence[Step]], given: Mapping[str, torch.Tensor]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        for steps in jobs:
            _run(steps, given)
        code = 0
    finally:
        os._exit(code)


def _observe(
    _: str,
    observations: Mapping[str, Callable[[], object]],
    rules: Mapping[str, Callable[[], object]] | None = None,
    worth: Mapping[str, float] | None = None,
) -> None:
    """In the place of `check`: make the calls, and nothing of what they return."""
    for call in {**observations, **(rules or {})}.values():
        torch.manual_seed(0)
        with contextlib.suppress(Exception):  # a wrong answer's own
            call()


def _run(steps: Sequence[Step], given: Mapping[str, torch.Tensor]) -> None:
    ours = {"check": _observe, "given": lambda name: given[name].clone(), "watch": watch}
    names: dict[str, object] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for step in steps:
            if step.kind == "check":
                exec(compile(step.source, step.id, "exec"), names | ours)
                continue
            with contextlib.suppress(Exception):  # a cell of the student's that does not run
                exec(compile(step.source, step.id, "exec"), names)

"""Engines: what carries submissions to boxes and brings verdicts back. One interface; here the one of this machine.

An engine only moves work. The box of each worker bounds the time and memory of a submission and holds it fast; what
our own side takes to listen to it and to judge it is bounded by a process of each worker's, which may die of it
(`aside`); the loop above (`batch`) decides what is tried again and what is written down. So an engine needs no clock of
its own, and two engines give the same verdicts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import threading
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Protocol

from trainloop.checks.values import Json
from trainloop.errors import TrainloopError
from trainloop.grading.aside import Aside, Bounds, LostError
from trainloop.grading.grade import Graded, LessonBundle, grade, identity
from trainloop.grading.intake import Intake
from trainloop.sandbox.box import Box
from trainloop.sandbox.hosts import BoxError
from trainloop.sandbox.isolation import IsolationError, Level
from trainloop.sandbox.job import Limits

STARTS_SECONDS = 600  # for a box to open and open again on a busy machine, beside the time of a submission
OPENINGS = 2  # a box that does not open twice in a row will not open for the next submission either


class EngineError(TrainloopError):
    """No submission can be graded here, or no longer; one sentence says why, and what to do."""


@dataclass(frozen=True)
class Setup:
    """All that decides about verdicts beside the submission. Every worker of a run has the same."""

    material: LessonBundle
    limits: Limits
    level: Level
    grader: str = field(default_factory=identity)

    @property
    def digest(self) -> str:
        """A name for it."""
        parts = [self.material.slug, self.material.key_digest, asdict(self.limits), self.level, self.grader]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """What came of one try at a submission: its verdict, or why the grader failed."""

    name: str
    graded: Graded | None = None
    failure: str = ""
    trying: bool = False  # the engine has begun it again by itself
    own: bool = False  # what failed was the work on this very submission: it says nothing about the others


class Engine(Protocol):
    """Where submissions are graded. A context manager, which ends everything that it started."""

    setup: Setup
    place: str  # in words

    @property
    def workers(self) -> int:
        """How many submissions are graded at the same time."""

    def submit(self, name: str, intake: Intake) -> None:
        """Have a submission graded, under a name that is not on its way already."""

    def next(self, wait: bool = True) -> Outcome | None:
        """What ended first, of those submitted; None if nothing has and `wait` is false.

        Raises:
            EngineError: nothing more can be graded.
        """

    def drop(self, name: str) -> None:
        """Forget a submission: nothing more is said about it."""

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class GradingWorker:
    """One worker's place: grades one submission after the other, in one box that it opens for the first."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._box: Box | None = None
        self._refused = ""  # why the box does not open

    def prepare(self) -> None:
        """Open the box if it is not open; `answer` says so where it cannot be."""
        try:
            self._box = self._box or self._open()
        except EngineError as error:
            self._refused = str(error)

    def answer(self, order: tuple[str, Intake]) -> Json:
        """One try at a submission, as JSON: {"graded": ...}, {"failed": why, "own": ...} or {"refused": why}."""
        if self._refused:
            return {"refused": self._refused}
        try:
            outcome = attempt(self, *order)
        except EngineError as error:
            return {"refused": str(error)}
        if outcome.graded is None:
            return {"failed": outcome.failure, "own": outcome.own}
        return {"graded": outcome.graded.dump()}

    def grade(self, intake: Intake) -> Graded:
        """The verdict on one submission.

        Raises:
            EngineError: the box does not open here, whatever is to run in it.
            BoxError: the box failed; the next submission gets a new one.
        """
        box = self._box or self._open()
        try:
            return grade(self.setup.material, intake, box)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the box."""
        box, self._box = self._box, None
        if box is not None:
            box.__exit__(None, None, None)

    def _open(self) -> Box:
        for left in reversed(range(OPENINGS)):
            try:
                self._box = Box(self.setup.limits, level=self.setup.level).__enter__()
                return self._box
            except IsolationError as error:
                raise EngineError(str(error)) from None
            except BoxError as error:
                if not left:
                    raise EngineError(f"The box does not open: {error}") from None
        raise AssertionError("unreachable")


class Threads:
    """The cores of this machine: threads, each with a process beside ours that holds a box.

    A thread waits for its process, and that for its box, most of the time; the submission runs in the box's processes.
    Boxes are opened as they are needed: three submissions open no more than three.
    """

    place = "on this machine"

    def __init__(self, setup: Setup, workers: int) -> None:
        self.setup = setup
        self._most = workers
        self._threads: list[threading.Thread] = []
        self._processes: list[Aside] = []
        self._waiting: queue.SimpleQueue[tuple[str, Intake] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Outcome | EngineError] = queue.SimpleQueue()

    @property
    def workers(self) -> int:
        return self._most

    def submit(self, name: str, intake: Intake) -> None:
        self._waiting.put((name, intake))
        if len(self._threads) < self._most:
            worker, limits = GradingWorker(self.setup), self.setup.limits
            seconds = int(2 * limits.total_seconds)
            bounds = Bounds(cpu_seconds=Bounds.cpu_seconds + seconds, seconds=STARTS_SECONDS + seconds)
            self._processes.append(Aside(worker.answer, worker.prepare, worker.close, bounds))
            # Daemons: whoever stops the command does not wait for the submissions that run. Their boxes end with us.
            work = threading.Thread(target=self._work, args=(self._processes[-1],), name="trainloop", daemon=True)
            self._threads.append(work)
            work.start()

    def next(self, wait: bool = True) -> Outcome | None:
        try:
            ended = self._ended.get(block=wait)
        except queue.Empty:
            return None
        if isinstance(ended, EngineError):
            raise ended
        return ended

    def drop(self, name: str) -> None:
        """Nothing to do: a thread tries once."""

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
        for _ in self._threads:
            self._waiting.put(None)
        if kind is None:
            for thread in self._threads:
                thread.join()
        else:
            for process in self._processes:
                process.kill()

    def _work(self, process: Aside) -> None:
        try:
            while (order := self._waiting.get()) is not None:
                self._ended.put(_ask(process, *order))
        except EngineError as error:
            self._ended.put(error)
        finally:
            process.close()


def _ask(process: Aside, name: str, intake: Intake) -> Outcome:
    """One try at a submission, in another process.

    Raises:
        EngineError: none can be graded there.
    """
    try:
        answer = process.ask((name, intake))
        if "refused" not in answer:
            return outcome_of(name, answer)
    except LostError as error:
        return Outcome(name, failure=str(error), own=error.own)
    except Exception as error:  # an answer that is none, or too much for us
        return Outcome(name, failure=fault(error), own=True)
    raise EngineError(answer["refused"])


def outcome_of(name: str, answer: Json) -> Outcome:
    """What `GradingWorker.answer` says about a submission, where it is not refused."""
    if "failed" in answer:
        return Outcome(name, failure=answer["failed"], own=answer["own"])
    return Outcome(name, Graded.load(answer["graded"]))


def fault(error: Exception) -> str:
    """What is said of an exception of our own."""
    return f"The grader has a fault here ({type(error).__name__}: {error})."


def attempt(worker: GradingWorker, name: str, intake: Intake) -> Outcome:
    """One try at a submission.

    Raises:
        EngineError: none can be graded by this worker.
    """
    try:
        return Outcome(name, worker.grade(intake))
    except EngineError:
        raise
    except BoxError as error:
        return Outcome(name, failure=str(error))
    except Exception as error:  # a fault of ours that one submission brings out must not stop the others
        return Outcome(name, failure=fault(error), own=True)

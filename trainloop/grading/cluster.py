"""The engine of many machines: Dask moves submissions to the workers of a scheduler, and verdicts back.

A worker needs this package and nothing of the course: the lesson's key and limits come to it once, with a plugin that
the scheduler hands to workers which join later, too; each submission comes as it was taken in. A worker process holds
one box. It refuses, in a sentence, to grade with another version of the grader or at a weaker level of isolation.

What Dask does not do is done here:

- It blames every task that was queued on a worker for the worker's death. Each task of ours announces itself when it
  begins and when it has ended, so that only the one that ran is blamed; the others are moved without a word.
- It has no time limit for a task. The box has.

A worker runs one submission at a time. Needs the optional extra "cluster".
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeAlias, cast
from uuid import uuid4

import dask
from distributed import Client, Future, KilledWorker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from trainloop.checks.values import Json
from trainloop.grading.engine import EngineError, GradingWorker, Outcome, Setup, fault, outcome_of
from trainloop.grading.grade import identity
from trainloop.grading.intake import Intake

CONNECT_SECONDS = 10.0
JOIN_SECONDS = 60.0  # for the first worker
STALL_SECONDS = 900.0  # without a single worker; a queue of batch jobs may take its time
LOOK_SECONDS = 2.0  # between two looks at the cluster
# Dask keeps its last messages, a thousand by default, with all that they carried: here submissions and verdicts.
FEW_MESSAGES = {"distributed.admin.low-level-log-length": 16}
MOVES = 20  # of a submission whose workers died before it began
TOPIC = "trainloop"
GO_ON = "What was graded before is kept: run the command again to go on."

Happened: TypeAlias = tuple[Literal["ended", "began", "idle", "lost"], str, str]  # what, key, worker


# --- On a worker -------------------------------------------------------------------------------------------------

_one_at_a_time = threading.Lock()
_grading_worker: GradingWorker | None = None  # this process's


class SetupPlugin(WorkerPlugin):
    """Brings the set-up of a run to a worker, and ends the worker's box when the run is over."""

    def __init__(self, setup: Setup) -> None:
        self.given = setup

    def teardown(self, worker: Any) -> None:
        """Called by Dask when the run is over or the worker closes."""
        if _one_at_a_time.acquire(blocking=False):  # else the submission that still runs keeps its box
            try:
                if _grading_worker is not None and _grading_worker.setup.digest == self.given.digest:
                    _close_unless("")
            finally:
                _one_at_a_time.release()


def work(plugin: str, key: str, intake: Intake) -> str:
    """A task: grade one submission on this worker. JSON: {"graded": ...}, {"failed": why} or {"refused": why}."""
    worker = get_worker()
    setup = cast(SetupPlugin, worker.plugins[plugin]).given
    here = identity()
    if here != setup.grader:
        return json.dumps({"refused": _other(worker.address, here, setup.grader)})
    with _one_at_a_time:
        grading_worker = _grading_worker_for(setup)
        worker.log_event(TOPIC, {"what": "began", "key": key, "worker": worker.address})
        try:
            answer = grading_worker.answer((key, intake))
            if "refused" in answer:
                answer["refused"] = f"The worker {worker.address} cannot grade. {answer['refused']}"
            return json.dumps(answer, ensure_ascii=False).encode().decode()  # half a character is a fault here
        except Exception as error:
            return json.dumps({"failed": fault(error), "own": True})
        finally:
            worker.log_event(TOPIC, {"what": "idle", "key": key, "worker": worker.address})


def _grading_worker_for(setup: Setup) -> GradingWorker:
    global _grading_worker
    _close_unless(setup.digest)
    if _grading_worker is None:
        _grading_worker = GradingWorker(setup)
    return _grading_worker


def _close_unless(digest: str) -> None:
    global _grading_worker
    if _grading_worker is not None and _grading_worker.setup.digest != digest:
        _grading_worker.close()
        _grading_worker = None


def _other(address: str, there: str, here: str) -> str:
    return (
        f"The worker {address} has another grader than this machine. There: {there}. Here: {here}. Install the same "
        "version of this course and of its packages on both, and start the worker again."
    )


# --- On the machine of the command -------------------------------------------------------------------------------


class _Client(Client):
    def __del__(self) -> None:
        """Closed by whoever opened it. Dask's own waits, when Python ends, for a connection that never was."""


def _connect(address: str) -> Client:
    dask.config.set(FEW_MESSAGES)
    options = {"timeout": CONNECT_SECONDS, "set_as_default": False, "name": "trainloop"}
    return _Client(address, **options)  # type: ignore[no-untyped-call]


@dataclass
class _Task:
    """A submission on its way, under the key that Dask knows it by now."""

    intake: Intake
    key: str = ""
    future: Future[str] | None = None
    moves: int = 0


class Cluster:
    """The workers of a Dask scheduler.

    Args:
        setup: for every worker.
        address: of the scheduler, such as `tcp://10.0.0.1:8786`; with `tls://`, Dask's configuration names the
            certificates.

    Raises:
        EngineError: the scheduler does not answer, has no worker, or has one that does not fit.
    """

    def __init__(self, setup: Setup, address: str) -> None:
        self.setup = setup
        self.place = f"at {address}"
        self._address = address
        self._plugin = f"trainloop-{uuid4().hex[:12]}"  # another run may be on the same workers
        self._tasks: dict[str, _Task] = {}
        self._names: dict[str, str] = {}  # key -> name, of every try
        self._running: dict[str, str] = {}  # worker -> key
        self._happened: queue.SimpleQueue[Happened] = queue.SimpleQueue()
        self._outcomes: deque[Outcome] = deque()
        self._count = 0
        self._workers = 0
        self._looked = self._seen = 0.0

    # --- Engine

    @property
    def workers(self) -> int:
        """How many workers there are now."""
        self._look()
        return self._workers

    def submit(self, name: str, intake: Intake) -> None:
        self._tasks[name] = _Task(intake)
        self._send(name)

    def next(self, wait: bool = True) -> Outcome | None:
        while not self._outcomes:
            try:
                what, key, worker = self._happened.get(block=wait, timeout=LOOK_SECONDS)
            except queue.Empty:
                if not wait:
                    return None
                self._look()
                continue
            match what:
                case "began":
                    self._running[worker] = key
                case "idle":
                    self._running.pop(worker, None)
                case "lost":
                    self._blame(worker, trying=True)
                case "ended":
                    self._take(key)
        return self._outcomes.popleft()

    def drop(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None and task.future is not None:
            task.future.cancel()

    def __enter__(self) -> Cluster:
        # Dask logs a traceback for each connection that ends; what matters of it is said by our own sentences.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        try:
            self._client = _connect(self._address)
        except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
            raise EngineError(
                f"No Dask scheduler answers at {self._address} ({error or type(error).__name__}). Is the address "
                "right, and is the scheduler running? Start one with: dask scheduler --host 127.0.0.1"
            ) from None
        try:
            self._prepare()
        except BaseException:
            self._client.close(timeout=CONNECT_SECONDS)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for task in list(self._tasks.values()):
            if task.future is not None and self._client.status == "running":
                task.future.cancel()
        self._tasks.clear()
        if self._client.status == "running":
            for topic in (TOPIC, "all"):
                self._client.unsubscribe_topic(topic)
            self._client.unregister_worker_plugin(self._plugin)
        self._client.close(timeout=CONNECT_SECONDS)

    # --- The parts

    def _prepare(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=JOIN_SECONDS)
        except TimeoutError:
            raise EngineError(
                f"The scheduler {self._address} has no worker, and none has joined within {JOIN_SECONDS:.0f} seconds. "
                f"Start some: dask worker {self._address} --nthreads 1"
            ) from None
        for address, threads in sorted(self._client.nthreads().items()):
            if threads != 1:
                raise EngineError(
                    f"The worker {address} runs {threads} tasks at a time, and a worker grades one. Start it with "
                    "--nthreads 1, and --nworkers for the number of processes."
                )
        for address, there in sorted(self._client.run(identity, on_error="return").items()):
            if there != self.setup.grader:
                raise EngineError(_other(address, str(there), self.setup.grader))
        self._client.register_plugin(SetupPlugin(self.setup), name=self._plugin)
        self._client.subscribe_topic(TOPIC, self._announced)
        self._client.subscribe_topic("all", self._removed)
        self._seen = time.monotonic()

    def _announced(self, event: tuple[float, Json]) -> None:
        message = event[1]
        if message["key"] in self._names:  # else it is another run's on this cluster
            self._happened.put((message["what"], message["key"], message["worker"]))

    def _removed(self, event: tuple[float, Json]) -> None:
        message = event[1]
        if message.get("action") == "remove-worker" and not message.get("expected"):
            self._happened.put(("lost", "", message["worker"]))

    def _send(self, name: str) -> None:
        task = self._tasks[name]
        self._count += 1
        task.key = f"{self._plugin}-{name[:16]}-{self._count}"
        self._names[task.key] = name
        key = task.key
        task.future = self._client.submit(work, self._plugin, key, task.intake, key=key, pure=False, retries=0)
        task.future.add_done_callback(lambda future: self._happened.put(("ended", key, "")))

    def _take(self, key: str) -> None:
        """A task has ended, in one way or another."""
        name = self._names.pop(key)
        task = self._tasks.get(name)
        if task is None or task.key != key or task.future is None:
            return
        if task.future.status == "finished":
            self._answer(name, json.loads(task.future.result()))
            return
        if task.future.status == "cancelled":
            raise self._gone()
        error = task.future.exception()
        if isinstance(error, KilledWorker):
            worker = error.last_worker.address
            if self._running.get(worker) == key:
                self._names[key] = name
                self._blame(worker, trying=False)
                del self._names[key]
            else:
                self._move(name)
            return
        del self._tasks[name]
        self._outcomes.append(Outcome(name, failure=f"The task failed ({type(error).__name__}: {error})."))

    def _answer(self, name: str, answer: Json) -> None:
        del self._tasks[name]
        if "refused" in answer:
            raise EngineError(answer["refused"])
        try:
            outcome = outcome_of(name, answer)
        except Exception as error:  # an answer that is none
            outcome = Outcome(name, failure=fault(error), own=True)
        self._outcomes.append(outcome)

    def _blame(self, worker: str, trying: bool) -> None:
        """A worker is gone: whatever ran on it may be why."""
        key = self._running.pop(worker, "")
        name = self._names.get(key, "")
        task = self._tasks.get(name)
        if task is None or task.key != key:
            return
        if not trying:
            del self._tasks[name]
        reason = f"The worker {worker} was gone while it graded this submission."
        self._outcomes.append(Outcome(name, failure=reason, trying=trying))

    def _move(self, name: str) -> None:
        """Dask gave up a submission that was only queued on workers which died."""
        task = self._tasks[name]
        task.moves += 1
        if task.moves <= MOVES:
            self._send(name)
        else:
            del self._tasks[name]
            self._outcomes.append(Outcome(name, failure=f"{MOVES} workers died before this submission began."))

    def _look(self) -> None:
        """Count the workers, now and then."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._client.status not in ("running", "connecting"):
            raise self._gone()
        try:
            self._workers = len(self._client.nthreads())
        except (OSError, TimeoutError):
            raise self._gone() from None
        if self._workers:
            self._seen = now
        elif now - self._seen > STALL_SECONDS:
            raise EngineError(
                f"The scheduler {self._address} has had no worker for {STALL_SECONDS / 60:.0f} minutes. Start some. "
                + GO_ON
            )

    def _gone(self) -> EngineError:
        return EngineError(f"The connection to the scheduler {self._address} was lost. {GO_ON}")

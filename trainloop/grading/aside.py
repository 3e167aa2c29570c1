"""A process beside ours that does the work on one submission at a time, and may die of it.

What a stranger's bytes make of parsing, judging and the like is bounded here: memory, computing time, time at all, and
the size of the answer. Whoever goes beyond them loses this one job. The process is a fork of ours, made ready by a
second one that replaces it when it has died, so that the next job waits for no import.

Orders and answers lie in unnamed files in memory, and only short words go through the socket: a process that is killed
in the middle of an answer leaves nothing behind that could be taken for one. An answer is JSON in strict UTF-8.

Only Linux bounds and forks safely. Elsewhere the work is done in our own process: what it raises still costs one job
only, but memory and time are not bounded.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import pickle
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from trainloop.errors import TrainloopError

FORKS = sys.platform == "linux"
PDEATHSIG = 1  # PR_SET_PDEATHSIG in linux/prctl.h
CLOSED, REPLACE = 0, 75  # exit statuses: was closed, wants to be replaced
WENT_WELL = b"\0"  # what an answer begins with, and no sentence
MAX_REASON = 500  # characters
RATHER_THAN_US = "500"  # whom the kernel ends first where memory is short


@dataclass(frozen=True)
class Bounds:
    """What the work on one submission may take on our side, beside what its cells take in the box."""

    memory_bytes: int = 2**30  # more than the process has when it begins
    cpu_seconds: int = 60
    seconds: int = 300  # in all: it may wait for a box
    answer_bytes: int = 128 * 2**20


class LostError(TrainloopError):
    """A job came to no answer. Says why."""

    def __init__(self, reason: str, own: bool = True) -> None:
        super().__init__(reason)
        self.own = own
        """Whether the job itself was the cause, as far as can be told."""


def _nothing() -> None:
    """Nothing is to be done."""


class Aside:
    """Does jobs one after the other in a process of its own. A context manager.

    Args:
        do: the work on one order; it gives JSON.
        prepare: called in the process before each job, outside of the bounds; what it raises is the answer.
        close: called in the process when it ends in peace.
        bounds: of one job.
    """

    def __init__(
        self,
        do: Callable[[Any], Any],
        prepare: Callable[[], None] = _nothing,
        close: Callable[[], None] = _nothing,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._do = do
        self._prepare = prepare
        self._close = close
        self._bounds = bounds
        self._supervisor = 0  # its process id
        self._number = 0  # of the job
        self._ending = threading.Lock()
        if FORKS:
            self._start()

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close() if kind is None else self.kill()

    def ask(self, order: object) -> Any:
        """The answer to one order.

        Raises:
            LostError: there is none.
        """
        if not FORKS:
            went_well, answer = _outcome(self._prepare, self._do, order)
            if not went_well:
                raise LostError(answer)
            return answer
        if not self._supervisor:
            self._start()
        self._number += 1
        _put(self._order, pickle.dumps(order))
        try:
            self._ours.send(b"do %d" % self._number)
            while True:
                word, _, number = self._ours.recv(64).partition(b" ")
                if word == b"died":
                    raise LostError(f"The process that worked on it is gone: {_why(int(number))}.")
                if word != b"done":
                    raise ConnectionError
                if int(number) == self._number:
                    return _unpacked(_get(self._answer))
        except ConnectionError:  # both processes are gone: somebody ended them
            self.kill()
            raise LostError("The processes that worked on it are gone.", own=False) from None

    def close(self) -> None:
        """End the process in peace, once it is idle."""
        if self._supervisor:
            with contextlib.suppress(OSError):
                self._ours.send(b"close 0")
            self._wait()
        elif not FORKS:
            self._close()

    def kill(self) -> None:
        """End it now. May be called from another thread, as the command is stopped."""
        if self._supervisor:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._supervisor, signal.SIGKILL)
            self._wait()

    def _wait(self) -> None:
        with self._ending:
            if self._supervisor:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(self._supervisor, 0)
                self._supervisor = 0
                self._ours.close()
                os.close(self._order)
                os.close(self._answer)

    # --- the two processes

    def _start(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._order, self._answer = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("order", "answer"))
        us = os.getpid()
        pid = _fork()
        if not pid:
            try:
                self._ours.close()
                self._supervise(theirs, us)
            finally:
                os._exit(1)
        self._supervisor = pid
        theirs.close()

    def _supervise(self, control: socket.socket, parent: int) -> NoReturn:
        """Have a process at work, and put another in its place when it dies."""
        _die_with(parent)
        gc.freeze()  # nothing of our parent's is ours to close
        us = os.getpid()
        while True:
            pid = _fork()
            if not pid:
                try:
                    _die_with(us)
                    self._serve(control)
                finally:
                    os._exit(1)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code == CLOSED:
                os._exit(0)
            if code != REPLACE:
                control.send(b"died %d" % code)

    def _serve(self, control: socket.socket) -> NoReturn:
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(RATHER_THAN_US)
        while True:
            word, _, number = control.recv(64).partition(b" ")
            if word != b"do":
                self._close()
                os._exit(CLOSED)
            went_well, answer = _outcome(self._prepare, self._bounded, pickle.loads(_get(self._order)))
            _put(self._answer, WENT_WELL + answer if went_well else answer.encode("utf-8", "replace"))
            control.send(b"done " + number)
            if not went_well:  # what is left of it is nobody's
                self._close()
                os._exit(REPLACE)

    def _bounded(self, order: object) -> bytes:
        with _bound(self._bounds):
            answer = json.dumps(self._do(order), ensure_ascii=False).encode("utf-8")
        if len(answer) > (most := self._bounds.answer_bytes):
            raise ValueError(f"what came of it has {len(answer):,} bytes, and no more than {most:,} may")
        return answer


def _outcome(prepare: Callable[[], None], do: Callable[[Any], Any], order: object) -> tuple[bool, Any]:
    """Whether a job went well, and what came of it: its answer, or what went wrong in a sentence."""
    try:
        prepare()
        return True, do(order)
    except Exception as error:  # of any kind: it costs this job, and no other
        fault = f"{type(error).__name__}: {error}"[:MAX_REASON].removesuffix(": ")
        said = str(error) if isinstance(error, TrainloopError) else f"The grader has a fault here ({fault})."
        return False, said


def _unpacked(answer: bytes) -> Any:
    if not answer.startswith(WENT_WELL):
        raise LostError(answer.decode())
    return json.loads(answer.removeprefix(WENT_WELL))


def _why(code: int) -> str:
    """What is known of a process's end, by its exit status."""
    said = {
        -signal.SIGXCPU: "it took too much computing time",
        -signal.SIGALRM: "it came to no end",
        -signal.SIGKILL: "it was killed, as the system does where memory is short",
    }
    return said.get(code, f"it ended with exit status {code}")


def _fork() -> int:
    """Fork. In the child a Ctrl+C, which is meant for the command, does nothing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings():  # of threads beside ours, from Python 3.12 on: the child uses nothing of theirs
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            signal.signal(signal.SIGINT, lambda *_: None)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return pid


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@contextlib.contextmanager
def _bound(bounds: Bounds) -> Iterator[None]:
    """Bound what this process takes until the end of the block. What was started before is not bound by it."""
    import resource  # not on Windows

    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + bounds.cpu_seconds
    data = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_DATA: data + bounds.memory_bytes}
    before = {kind: resource.getrlimit(kind) for kind in limits}
    for kind, most in limits.items():
        hard = before[kind][1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    signal.alarm(bounds.seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        for kind, limit in before.items():
            resource.setrlimit(kind, limit)


def _put(file: int, data: bytes) -> None:
    os.ftruncate(file, 0)
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done : done + 2**30], done)


def _get(file: int) -> bytes:
    size, data = os.fstat(file).st_size, bytearray()
    while len(data) < size:
        data += os.pread(file, size - len(data), len(data))
    return bytes(data)

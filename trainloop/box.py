"""The box: runs the cells of one submission in another process, and returns what came of each.

The process is preloaded once and forks for each job, see `worker`. All clocks are kept here, on the trusted side, and
all that comes back is bytes from a stranger: cut to size, checked field by field, ignored where it is anything else.
How far the process is shut off from the machine is a level of `isolation`.

When a cell runs out of time, crashes or exhausts memory, its process is ended with everything that it started, and the
job begins again in a fresh one with that cell left out, so that the exercises after it are still graded.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import IO, Any, Literal, Protocol, TypeAlias

from trainloop import isolation, values
from trainloop.isolation import Level, Usage
from trainloop.values import Json

Status: TypeAlias = Literal["ok", "error", "timeout", "out of memory", "crashed", "not run"]
Ending: TypeAlias = Literal["done", "timeout", "ended", "memory", "processes"]

START_SECONDS = 120.0  # for a process to load torch, on a busy machine
GRACE_SECONDS = 1.0  # for a process whose reports have stopped to die by itself, so that we learn what of
WATCH_SECONDS = 0.05  # between two looks at what the processes of a submission use
MEMORY_EXIT = 137  # what a worker exits with that has no memory left to go on
SEALS = 0b1111  # no writing, growing, shrinking, nor other seals: fcntl(2)
MAX_OUTPUTS = 1_000  # of one cell
MAX_CHECKS = 500  # in one check cell
MAX_NAME = 500  # characters in an exercise's name or a check's title


class BoxError(RuntimeError):
    """The box itself failed. It says nothing about the submission, which may be tried again."""


@dataclass(frozen=True)
class Step:
    """One cell to run: student-side code, or a check cell."""

    id: str
    kind: Literal["code", "check"]
    source: str
    hidden: bool = False  # a check that must not be there before all others have ended
    titles: tuple[str, ...] = ()  # of the observations that a check makes; none: all that it names
    group: str = ""  # when a step comes to no end, the others of its group are not tried


class _Titled(Protocol):
    """A check, as far as its steps are concerned."""

    @property
    def title(self) -> str: ...

    @property
    def hidden(self) -> bool: ...


def check_steps(name: str, visible: str, whole: str, checks: Iterable[_Titled]) -> Iterator[Step]:
    """The steps of one check cell: the observations in plain sight, then, from the whole cell, the hidden ones.

    Building and grading take the same two steps, so that an answer that writes into data which observations share
    comes to the same in both.

    Args:
        name: the id of the first step; `hidden_step` gives that of the second.
        visible: the cell without its hidden part.
        whole: the cell with it.
        checks: all checks of the cell.
    """
    known = list(checks)
    for hidden, step, source in ((False, name, visible), (True, hidden_step(name), whole)):
        if titles := tuple(check.title for check in known if check.hidden == hidden):
            yield Step(step, "check", source, hidden, titles, group=name)


def hidden_step(name: str) -> str:
    """The id of the step that makes the hidden observations of a check cell."""
    return f"{name}.hidden"  # a dot is in no id of ours


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: float = 20.0  # wall time of one code cell, or of one observation
    total_seconds: float = 180.0  # wall time of the whole submission, re-runs included
    memory_bytes: int = 3 * 2**30  # resident, of all its processes; address space of each: torch needs 1 GB to load
    processes: int = 128  # at a time, threads included
    open_files: int = 256  # of each process
    disk_bytes: int = 256 * 2**20  # of all files together; they lie in memory, on top of `memory_bytes`
    output_chars: int = 20_000  # text kept of one cell's output
    figures: int = 16  # images kept of one cell's output
    figure_bytes: int = 1_000_000  # of one PNG image; a larger one is not kept
    file_bytes: int = 64 * 2**20  # of one file that is written
    message_bytes: int = 32 * 2**20  # of one report: one observation, or the output of one cell
    report_bytes: int = 256 * 2**20  # of all reports together


@dataclass(frozen=True)
class Job:
    """The steps of one submission, in order, and the encoded arrays that `given(name)` hands to check cells."""

    steps: tuple[Step, ...]
    given: Mapping[str, Json] = field(default_factory=dict)


@dataclass
class StepResult:
    """What came of one step.

    `outputs` are nbformat 4 outputs of a code cell. `error` describes the exception that stopped the cell, as
    `values.raised` does. `checks` are a check cell's observations: exercise -> title -> observation. An observation
    that was not reached, or during which the process died, is absent.
    """

    status: Status = "not run"
    seconds: float = 0.0
    outputs: list[Json] = field(default_factory=list)
    error: Json | None = None
    checks: dict[str, dict[str, Json]] = field(default_factory=dict)
    reason: str = ""  # a sentence, where the status does not say it all


class Box:
    """Runs jobs one after the other; a context manager, which ends everything that it started.

    Args:
        limits: for each job.
        level: of isolation; None for the strongest that works here.
        once: start a process for each job rather than fork a preloaded one. Only Linux forks safely.

    Attributes:
        level: of isolation that the box has.

    Raises:
        BoxError: on a system without processes as the box needs them, or if the worker does not start.
        IsolationError: the level does not work here.
    """

    def __init__(
        self, limits: Limits = Limits(), level: Level | None = None, once: bool = sys.platform != "linux"
    ) -> None:
        if os.name != "posix":
            raise BoxError("Cells are run in a process of their own on Linux and macOS only. On Windows use WSL.")
        self.limits = limits
        self.level: Level = isolation.choose("limits" if once and level is None else level)
        self._once = once
        self._folder: str | None = None
        self._files = contextlib.ExitStack()
        self._host: _Host | None = None

    def __enter__(self) -> Box:
        self._folder = self._files.enter_context(self._room())
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._host is not None:
            self._host.close()
        self._files.close()
        self._host = self._folder = None

    def run(self, job: Job) -> dict[str, StepResult]:
        """Run a job and return a result for every step, by the step's id, whatever the code did.

        Raises:
            BoxError: the box itself failed. The next call starts a new worker.
            ValueError: two steps have the same id.
        """
        if self._folder is None:
            raise BoxError("The box is closed. Use it as `with Box() as box: box.run(job)`.")
        if len({step.id for step in job.steps}) < len(job.steps):
            raise ValueError("Two steps of a job have the same id; make them different.")
        progress = _Progress(job, self.limits)
        try:
            while steps := progress.steps_to_run():
                self._attempt(progress, steps)
        except BaseException:
            if self._host is not None:
                self._host.close()
            self._host = None
            raise
        return progress.results

    def _start(self) -> _Host:
        assert self._folder is not None
        if self._host is None:
            self._host = _FreshProcesses() if self._once else _Forks(self._folder, self.level)
        return self._host

    def _attempt(self, progress: _Progress, steps: Sequence[Step]) -> None:
        host = self._start()
        reports, writer = os.pipe()
        portions = _Portions(progress.job, steps, self.limits)
        try:
            with self._room(self._folder) as folder:
                try:
                    host.begin(portions.reader(), writer, folder)
                finally:
                    os.close(writer)
                    portions.close_reader()
                attempt = _Attempt(progress, steps)
                ending = attempt.follow(reports, portions, host.usage)
                code = host.end(GRACE_SECONDS if ending == "ended" else 0.0)
            attempt.settle(ending, code)
        finally:
            os.close(reports)
            portions.close()

    @contextlib.contextmanager
    def _room(self, inside: str | None = None) -> Iterator[str]:
        """A folder for a process's files. A full box has files of its own, in memory, and needs none on the disk."""
        if self.level == "full":
            yield "/"
            return
        folder = tempfile.TemporaryDirectory(prefix="trainloop-box-", dir=inside, ignore_cleanup_errors=True)
        try:
            yield folder.name
        finally:
            with contextlib.suppress(RecursionError):  # folders in folders, a thousand deep: left to the system
                folder.cleanup()


@contextlib.contextmanager
def _sealed(content: bytes) -> Iterator[IO[bytes]]:
    """An unnamed file that whoever is handed it can only read; on Linux, where the kernel can promise it."""
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            yield file
        return
    with open(os.memfd_create("portion", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb+", buffering=0) as file:
        file.write(content)
        file.seek(0)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
        yield file


def _may_have_given(step: Step) -> bool:
    """Whether what `given` hands out comes with a step: with a hidden check, or one that is both."""
    return step.kind == "check" and (step.hidden or not step.titles)


class _Portions:
    """Hands a job to its process bit by bit: what a check does is not there while the cells before it run.

    A portion is an unnamed file, sent as a descriptor: the reader may take its time, and nobody waits for it.
    """

    def __init__(self, job: Job, steps: Sequence[Step], limits: Limits) -> None:
        runs = [list(run) for _, run in itertools.groupby(steps, key=lambda step: (step.kind, step.hidden))]
        self._ahead = [(run, dict(job.given) if _may_have_given(run[0]) else {}) for run in runs]
        self._limits = limits
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._last = ""
        self.send_next()

    def reader(self) -> int:
        """The descriptor of the end that the process reads from."""
        return self._theirs.fileno()

    def ends_with(self, step: str) -> bool:
        """Whether `step` is the last of what has been sent."""
        return step == self._last

    def send_next(self) -> None:
        """Send a portion, if one is left."""
        if not self._ahead:
            return
        steps, given = self._ahead.pop(0)
        content = {"steps": [asdict(step) for step in steps], "given": given, "limits": asdict(self._limits)}
        self._last = steps[-1].id
        more = json.dumps({"more": bool(self._ahead)}).encode()
        # An error: it has closed its end. The clock will tell.
        with _sealed(json.dumps(content).encode()) as file, contextlib.suppress(OSError):
            socket.send_fds(self._ours, [more], [file.fileno()], socket.MSG_DONTWAIT)

    def close_reader(self) -> None:
        """Close the reader's end on our side."""
        self._theirs.close()

    def close(self) -> None:
        """Close both ends."""
        self._theirs.close()
        self._ours.close()


# --- Processes ---------------------------------------------------------------------------------------------------


class _Host(Protocol):
    """Where jobs run."""

    def begin(self, portions_fd: int, report_fd: int, folder: str) -> None:
        """Start a process on a job, with `folder` as its working directory."""

    def usage(self, enough_bytes: int) -> Usage:
        """What it and all that it started use at the moment; see `isolation.usage`."""

    def end(self, grace: float) -> int | None:
        """End it and its group, after `grace` seconds to die by itself. Its exit code, if it did."""

    def close(self) -> None:
        """End everything."""


class _Forks:
    """One preloaded process that forks for each job."""

    def __init__(self, folder: str, level: Level) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders.settimeout(START_SECONDS)
        with theirs:
            self._process = isolation.start(level, [], folder, theirs, subprocess.DEVNULL, self._log)
        if "loaded" not in self._answer():
            raise self._lost()
        self._worker = isolation.leaf(self._process.pid)

    def begin(self, portions_fd: int, report_fd: int, folder: str) -> None:
        try:
            socket.send_fds(self._orders, [json.dumps({"folder": folder}).encode()], [portions_fd, report_fd])
        except OSError as error:
            raise self._lost() from error

    def usage(self, enough_bytes: int) -> Usage:
        return isolation.usage(isolation.children(self._worker), enough_bytes)

    def end(self, grace: float) -> int | None:
        try:
            self._orders.send(json.dumps({"grace": grace}).encode())
        except OSError as error:
            raise self._lost() from error
        answer = self._answer()
        if "code" not in answer:
            raise self._lost()
        code: int | None = answer["code"]
        return code

    def close(self) -> None:
        self._orders.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the worker ends its child first
            self._process.wait(5.0)
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # with it what wraps it, and all that is inside
            self._process.wait()
        self._log.close()

    def _answer(self) -> Json:
        try:
            data = self._orders.recv(65_536)
        except OSError:
            data = b""
        answer: Json = json.loads(data or b"{}")
        return answer

    def _lost(self) -> BoxError:
        self._log.seek(0)
        last = self._log.read()[-2_000:].decode("utf-8", "replace").strip()
        self.close()
        return BoxError(f"The process that runs the cells did not start, or is gone. Its last words: {last or 'none'}")


class _FreshProcesses:
    """A new process for each job."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, portions_fd: int, report_fd: int, folder: str) -> None:
        self._process = isolation.start("limits", ["--once"], folder, portions_fd, report_fd, subprocess.DEVNULL)

    def usage(self, enough_bytes: int) -> Usage:
        assert self._process is not None
        return isolation.usage([self._process.pid], enough_bytes)

    def end(self, grace: float) -> int | None:
        assert self._process is not None
        code = end_group(self._process.pid, grace)
        self._process.returncode = -signal.SIGKILL if code is None else code
        self._process = None
        return code

    def close(self) -> None:
        if self._process is not None:
            self.end(0.0)


def end_group(pid: int, grace: float) -> int | None:
    """End a child process and its process group.

    Args:
        pid: the child, leader of its group.
        grace: seconds to wait for it to die by itself.

    Returns:
        Its exit code (negative: a signal) if it died by itself, else None.
    """
    deadline = time.monotonic() + grace
    dead, status = os.waitpid(pid, os.WNOHANG)
    while not dead and time.monotonic() < deadline:
        time.sleep(0.002)
        dead, status = os.waitpid(pid, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: not permitted on a group of the dead
        os.killpg(pid, signal.SIGKILL)
    if dead:
        return os.waitstatus_to_exitcode(status)
    os.kill(pid, signal.SIGKILL)  # it may not have had the time to lead a group
    os.waitpid(pid, 0)
    return None


# --- Reports -----------------------------------------------------------------------------------------------------


class _Progress:
    """What is known of one job, over all attempts."""

    def __init__(self, job: Job, limits: Limits) -> None:
        self.job = job
        self.limits = limits
        self.results = {step.id: StepResult() for step in job.steps}
        self.left_out: set[str] = set()
        self.seconds_left = limits.total_seconds
        self.bytes_left = limits.report_bytes

    def steps_to_run(self) -> list[Step]:
        """The steps of the next attempt: none if every step has its result, or if the time is up."""
        fresh = {name for name, result in self.results.items() if result.status == "not run"} - self.left_out
        if not fresh or self.seconds_left <= 0 or self.bytes_left <= 0:
            return []
        return [
            step
            for step in self.job.steps
            if step.id not in self.left_out and (step.kind == "code" or step.id in fresh)
        ]


class _Attempt:
    """One process working on a job, as seen through its reports."""

    def __init__(self, progress: _Progress, steps: Sequence[Step]) -> None:
        self._progress = progress
        self._limits = progress.limits
        self._ahead = list(steps)
        self._current: Step | None = None
        self._last: Step | None = None  # the one that ended last
        self._begun = 0.0
        self._ready = False
        self._outputs = _Outputs()  # of the current step
        now = time.monotonic()
        self._heard = now
        self._deadline = now + START_SECONDS

    def follow(self, reports: int, portions: _Portions, usage: Callable[[int], Usage]) -> Ending:
        """Read reports until the job is done, the process is gone, or it has used up what it may use."""
        over, excess = threading.Event(), list[Ending]()
        # Beside the reading, and each for itself: a fork bomb keeps whoever counts its memory waiting for seconds.
        for look in (self._memory, self._processes):
            threading.Thread(target=self._watch, args=(look, usage, over, excess), daemon=True).start()
        try:
            return self._read(reports, portions, excess)
        finally:
            over.set()

    def _watch(
        self,
        look: Callable[[Callable[[int], Usage]], list[Ending]],
        usage: Callable[[int], Usage],
        over: threading.Event,
        excess: list[Ending],
    ) -> None:
        """Look at what the processes use until `over`, or until it is too much: then that goes into `excess`."""
        while not excess and not over.wait(WATCH_SECONDS):
            excess += look(usage)

    def _memory(self, usage: Callable[[int], Usage]) -> list[Ending]:
        most = self._limits.memory_bytes
        return ["memory"] if usage(most).memory_bytes > most else []

    def _processes(self, usage: Callable[[int], Usage]) -> list[Ending]:
        return ["processes"] if usage(sys.maxsize).tasks > self._limits.processes else []

    def _read(self, reports: int, portions: _Portions, excess: Sequence[Ending]) -> Ending:
        lines = _Lines(self._limits.message_bytes)
        pipe = select.poll()  # select.select() refuses descriptors above 1023
        pipe.register(reports, select.POLLIN)
        while True:
            wait = self._patience()
            if wait <= 0:
                return "timeout"
            if excess:
                return excess[0]
            if not pipe.poll(min(wait, WATCH_SECONDS) * 1_000):
                continue
            data = os.read(reports, 1 << 18)
            self._progress.bytes_left -= len(data)
            if not data or self._progress.bytes_left <= 0:
                return "ended"
            for line in lines.feed(data):
                if self._accept(_parse(line)):
                    return "done"
            if self._last is not None and portions.ends_with(self._last.id):
                portions.send_next()

    def settle(self, ending: Ending, code: int | None) -> None:
        """Account for how it ended, so that the next attempt has a step less.

        Raises:
            BoxError: it ended before any student code ran.
        """
        if not self._ready:
            raise BoxError(
                f"A process for the submission ended before its first cell ({ending}, exit code {code}). "
                "Is the limit on memory too small for torch?"
            )
        now = time.monotonic()
        self._progress.seconds_left = self._deadline - now
        if ending == "done":
            self._finish_quietly()
            return
        status = _status(ending, code)
        reason = f"It had more than {self._limits.processes} processes and threads." if ending == "processes" else ""
        if self._current is not None:
            if self._current.kind == "code":
                self._progress.results[self._current.id].outputs = self._outputs.tidy(self._limits)
            self._blame(self._current, status, reason)
            self._progress.results[self._current.id].seconds = now - self._begun
        elif self._last is not None:
            if self._last.kind == "code" and self._progress.seconds_left > 0:
                self._blame(self._last, status, reason)
        elif self._progress.seconds_left > 0:
            raise BoxError(f"A process for the submission ended before its first cell ({ending}, exit code {code}).")

    def _blame(self, step: Step, status: Status, reason: str) -> None:
        together = {one.id for one in self._progress.job.steps if step.group and one.group == step.group}
        self._progress.left_out |= {step.id} | together
        result = self._progress.results[step.id]
        if result.status != "out of memory":
            result.status, result.reason = status, reason

    def _finish_quietly(self) -> None:
        """What an early "done" skipped stays "not run"; another attempt would come to the same."""
        self._progress.left_out.update(step.id for step in self._ahead)

    def _patience(self) -> float:
        """Seconds until something must be heard."""
        by = self._deadline
        if self._ready:
            by = min(by, self._heard + self._limits.cell_seconds)
        return by - time.monotonic()

    def _accept(self, message: Json) -> bool:
        """Take in one report if it can be one at this point. True after the last."""
        step = self._current
        match message:
            case {"ready": True} if not self._ready:
                self._ready = True
                self._deadline = time.monotonic() + self._progress.seconds_left
            case {"begin": str(name)} if step is None and self._ready and any(one.id == name for one in self._ahead):
                while self._current is None or self._current.id != name:
                    self._current = self._ahead.pop(0)
                self._begun = time.monotonic()
                self._outputs = _Outputs()
            case {"output": output} if step is not None:
                self._outputs.add(output, self._limits)
                return False  # a cell that talks without end is not more alive for it
            case {"clear": True} if step is not None:
                self._outputs = _Outputs()
                return False
            case {"checking": [str(_), str(_)]} if step is not None and step.kind == "check":
                pass
            case {"observed": [str(exercise), str(title), observation]} if step is not None and step.kind == "check":
                if not step.titles or title in step.titles:
                    self._keep_observation(self._progress.results[step.id], exercise, title, observation)
            case {"end": str(name)} if step is not None and step.id == name:
                self._keep_end(self._progress.results[name], message)
                self._current, self._last = None, step
            case {"done": True} if step is None and self._ready:
                return True
            case _:
                return False
        self._heard = time.monotonic()
        return False

    def _keep_observation(self, result: StepResult, exercise: str, title: str, observation: object) -> None:
        count = sum(len(titles) for titles in result.checks.values())
        if count >= MAX_CHECKS or len(exercise) > MAX_NAME or len(title) > MAX_NAME:
            return
        with contextlib.suppress(Exception):  # whatever a stranger's bytes provoke
            valid = values.checked(observation)
            result.checks.setdefault(exercise, {}).setdefault(title, valid)

    def _keep_end(self, result: StepResult, message: Json) -> None:
        if result.status != "not run":  # a code cell that has run before
            return
        status = message.get("status")
        result.status = status if status in ("ok", "error", "out of memory") else "error"
        result.seconds = time.monotonic() - self._begun
        result.outputs = self._outputs.tidy(self._limits)
        with contextlib.suppress(Exception):
            error = message.get("error")
            result.error = None if error is None else values.checked(error)


def _status(ending: Ending, code: int | None) -> Status:
    match ending:
        case "timeout":
            return "timeout"
        case "memory":
            return "out of memory"
        case "ended" if code in (-signal.SIGKILL, MEMORY_EXIT):
            return "out of memory"
    return "crashed"


class _Lines:
    """Cuts a stream of bytes into lines, and drops those that are longer than `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._hold(end)
            if 0 < len(self._held) <= self._most:
                yield bytes(self._held)
            self._held.clear()
        self._hold(rest)

    def _hold(self, part: bytes) -> None:
        self._held += part[: self._most + 1 - len(self._held)]


def _parse(line: bytes) -> Json:
    """The report in a line; empty if it is none."""
    try:
        message = json.loads(line, parse_constant=_refuse)
        if b"\\u" in line:  # half a character, which no file could hold
            message = json.loads(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# --- Outputs -----------------------------------------------------------------------------------------------------


class _Outputs:
    """What a cell has put out so far, as it reported it."""

    def __init__(self) -> None:
        self._all: list[Json] = []

    def add(self, output: object, limits: Limits) -> None:
        """Take in one more output; text joins the text before it."""
        if not isinstance(output, dict) or len(self._all) > MAX_OUTPUTS:
            return
        last = self._all[-1] if self._all else {}
        match output, last:
            case ({"output_type": "stream", "name": a, "text": str(text)}, {"name": b, "text": str(before)}) if a == b:
                last["text"] = (before + text)[: limits.output_chars + 1]
            case _:
                self._all.append(output)

    def tidy(self, limits: Limits) -> list[Json]:
        """See `tidy`."""
        return tidy(self._all, limits)


def tidy(outputs: Sequence[object], limits: Limits) -> list[Json]:
    """Valid nbformat 4 outputs, cut to `limits`, from what may be anything: text and PNG images only."""
    kept: list[Json] = []
    chars, figures = limits.output_chars, limits.figures
    for output in outputs[:MAX_OUTPUTS]:
        match output:
            case {"output_type": "stream", "name": "stdout" | "stderr" as name, "text": str(text)}:
                kept.append({"output_type": "stream", "name": name, "text": text[:chars]})
                chars -= len(text)
            case {"output_type": "display_data", "data": {**data}}:
                shown = _shown(data, limits)
                if "text/plain" in shown:
                    text = shown["text/plain"]
                    shown["text/plain"] = text[:chars]
                    chars -= len(text)
                if "image/png" in shown:
                    figures -= 1
                if shown and figures >= 0:
                    kept.append({"output_type": "display_data", "data": shown, "metadata": _alt(output)})
            case {"output_type": "error", "ename": str(name), "evalue": str(text), "traceback": [*lines]}:
                plain = [line[:2_000] for line in lines[:50] if isinstance(line, str)]
                kept.append({"output_type": "error", "ename": name[:200], "evalue": text[:2_000], "traceback": plain})
        if chars < 0:
            break
    if chars < 0:
        kept.append(_note(f"The rest of this output is cut: {limits.output_chars:,} characters of a cell are kept."))
    if figures < 0:
        kept.append(_note(f"The other figures are left out: {limits.figures} of a cell are kept."))
    if len(outputs) > MAX_OUTPUTS:
        kept.append(_note(f"The rest of this output is cut: {MAX_OUTPUTS:,} parts of a cell's output are kept."))
    return kept


def _shown(data: Mapping[Any, object], limits: Limits) -> Json:
    shown: Json = {}
    text, image = data.get("text/plain"), data.get("image/png")
    if isinstance(text, str):
        shown["text/plain"] = text
    if isinstance(image, str) and len(image) <= limits.figure_bytes * 3 // 2:
        with contextlib.suppress(binascii.Error, ValueError):
            raw = base64.b64decode("".join(image.split()), validate=True)
            if raw.startswith(b"\x89PNG\r\n\x1a\n") and len(raw) <= limits.figure_bytes:
                shown["image/png"] = base64.b64encode(raw).decode("ascii")
    return shown


def _alt(output: object) -> Json:
    """The description of an image in words, which is all that is kept of an output's metadata."""
    match output:
        case {"metadata": {"image/png": {"alt": str(alt)}}}:
            return {"image/png": {"alt": alt[:2_000]}}
    return {}


def _note(sentence: str) -> Json:
    return {"output_type": "stream", "name": "stderr", "text": f"\n[{sentence}]\n"}

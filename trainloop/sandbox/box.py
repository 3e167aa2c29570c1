"""The box: runs the cells of one submission in another process, and returns what came of each.

The process is preloaded once and forks for each job, see `worker`. All clocks are kept here, on the trusted side, and
all that comes back is bytes from a stranger: cut to size, checked field by field, ignored where it is anything else.
How far the process is shut off from the machine is a level of `isolation`.

When a cell runs out of time, crashes or exhausts memory, its process is ended with everything that it started, and the
job begins again in a fresh one with that cell left out, so that the exercises after it are still graded.

A check looks at the notebook where it stands: whatever is named otherwise further below is no matter. There the process
forks; the copy makes the observations in plain sight, and waits. When all cells are done the process that ran them is
ended with all that it has started, and only then do the copies get the hidden checks, each its own, one after the
other; see `keeper`. From then on nothing is taken from the submission but hidden observations, of whatever process:
neither what it prints nor what it would now observe in plain sight; nor when the job is run again, see `Box.run`.

Where there is no fork (`once`), the process itself makes all observations: those in plain sight where the check stands,
the hidden ones after all cells, with the names as they are by then.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Literal, TypeAlias

from trainloop.checks import values
from trainloop.checks.values import Json
from trainloop.sandbox import cgroups, isolation
from trainloop.sandbox.clock import Clock
from trainloop.sandbox.hosts import START_SECONDS, BoxError, Forks, FreshProcesses, Host
from trainloop.sandbox.isolation import Level
from trainloop.sandbox.job import DEFAULT_LIMITS, KILLED, STALLED, Job, Limits, RunStatus, Step, StepResult
from trainloop.sandbox.outputs import Outputs
from trainloop.sandbox.portions import Portions
from trainloop.sandbox.reports import Lines, parse

Memory: TypeAlias = cgroups.Version | Literal["watched"]
Ending: TypeAlias = Literal["done", "timeout", "ended", "memory", "processes", "absent"]

GRACE_SECONDS = 1.0  # for a process whose reports have stopped to die by itself, so that we learn what of
WATCH_SECONDS = 0.05  # between two looks at what the processes of a submission use
WAITED = "It hardly computed, but waited for something that did not come."
MAX_CHECKS = 500  # in one check cell
MAX_NAME = 500  # characters in an exercise's name or a check's title


class Box:
    """Runs jobs one after the other; a context manager, which ends everything that it started.

    Args:
        limits: for each job.
        level: of isolation; None for the strongest that works here.
        once: start a process for each job rather than fork a preloaded one. Only Linux forks safely.

    Attributes:
        level: of isolation that the box has.
        memory: who limits a job's memory: the kernel, by a control group; or the box, which watches what can be seen.

    Raises:
        BoxError: on a system without processes as the box needs them, or if the worker does not start.
        IsolationError: the level does not work here.
    """

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, level: Level | None = None, once: bool = sys.platform != "linux"
    ) -> None:
        if os.name != "posix":
            raise BoxError("Cells are run in a process of their own on Linux and macOS only. On Windows use WSL.")
        self.limits = limits
        self.level: Level = isolation.choose("limits" if once and level is None else level)
        self._hierarchy = cgroups.probe()
        self.memory: Memory = "watched" if self._hierarchy is None else self._hierarchy.version
        self._once = once
        self._folder: str | None = None
        self._files = contextlib.ExitStack()
        self._host: Host | None = None

    def __enter__(self) -> Box:
        self._folder = self._files.enter_context(self._room())
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._host is not None:
            self._host.close()
        self._files.close()
        self._host = self._folder = None

    def run(
        self, job: Job, careful: bool = False, earlier: Mapping[str, StepResult] | None = None
    ) -> dict[str, StepResult]:
        """Run a job and return a result for every step, by the step's id, whatever the code did.

        Args:
            job: to run.
            careful: it may be run again. No hidden check is handed over once the machine may have decided something.
            earlier: results of a careful run, of which the machine may have decided some. If a hidden check was handed
                over in it, nothing counts now but the hidden observations in question.

        Raises:
            BoxError: the box itself failed. The next call starts a new worker.
            ValueError: two steps have the same id.
        """
        if self._folder is None:
            raise BoxError("The box is closed. Use it as `with Box() as box: box.run(job)`.")
        if len({step.id for step in job.steps}) < len(job.steps):
            raise ValueError("Two steps of a job have the same id; make them different.")
        progress = _Progress(job, self.limits, careful, earlier or {})
        try:
            while steps := progress.steps_to_run():
                self._attempt(progress, steps)
        except BaseException:
            if self._host is not None:
                self._host.close()
            self._host = None
            raise
        if progress.was_delayed:
            for result in progress.results.values():
                if result.status == "not run" and progress.seconds_left <= 0:
                    result.reason = STALLED
        return progress.results

    def _start(self) -> Host:
        assert self._folder is not None
        if self._host is None:
            groups = None if self._hierarchy is None else partial(self._hierarchy.group, self.limits.memory_bytes)
            self._host = FreshProcesses(groups) if self._once else Forks(self._folder, self.level, groups)
        return self._host

    def _attempt(self, progress: _Progress, steps: Sequence[Step]) -> None:
        host = self._start()
        reports, writer = os.pipe()
        portions = Portions(progress.job, steps, self.limits)
        try:
            with self._room(self._folder) as folder:
                try:
                    host.begin(portions.reader(), writer, folder)
                finally:
                    os.close(writer)
                    portions.close_reader()
                attempt = _Attempt(progress, steps, host)
                ending = attempt.follow(reports, portions)
                code = host.end(GRACE_SECONDS if ending == "ended" and attempt.code is None else 0.0)
            attempt.settle(ending, code if attempt.code is None else attempt.code)
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


class _Progress:
    """What is known of one job, over all attempts."""

    def __init__(self, job: Job, limits: Limits, careful: bool, earlier: Mapping[str, StepResult]) -> None:
        self.job = job
        self.limits = limits
        self.careful = careful
        self.results = {step.id: StepResult() for step in job.steps}
        self.left_out: set[str] = set()
        # Whether a hidden check has been handed over, to whatever process.
        self.handed = any(step.hidden and earlier[step.id].status != "not run" for step in job.steps if earlier)
        if self.handed:
            self._go_on(earlier)
        self.seconds_left = limits.total_seconds
        self.was_delayed = False
        self.bytes_left = limits.report_bytes
        self.figure_bytes_left = limits.all_figure_bytes

    def _go_on(self, earlier: Mapping[str, StepResult]) -> None:
        """Take over what an earlier run has come to, apart from the hidden observations that are in question."""
        for step in self.job.steps:
            result = earlier[step.id]
            if step.hidden and result.may_be_the_machines:
                continue
            self.results[step.id] = result
            if result.status not in ("ok", "error") and result.error is None:
                self.left_out.add(step.id)

    @property
    def is_in_doubt(self) -> bool:
        """Whether all is to be run again, because the machine may have decided something."""
        return self.careful and not self.handed and any(one.may_be_the_machines for one in self.results.values())

    def steps_to_run(self) -> list[Step]:
        """The steps of the next attempt: none if every step has its result, or if the time is up."""
        if self.is_in_doubt:
            return []
        fresh = {name for name, result in self.results.items() if result.status == "not run"} - self.left_out
        if not fresh or self.seconds_left <= 0 or self.bytes_left <= 0:
            return []
        # What was observed in plain sight is observed again before something hidden, as it may change what that sees.
        places = {step.place for step in self.job.steps if step.id in fresh}
        return [
            step
            for step in self.job.steps
            if step.id not in self.left_out
            and (step.kind == "code" or step.id in fresh or (not step.hidden and step.place in places))
        ]

    def leave_out(self, step: Step, status: RunStatus, reason: str = "") -> None:
        """A step came to no end, nor will another of its group. What has been observed before stays."""
        if step.id in self.left_out:
            return
        together = [one for one in self.job.steps if one.place == step.place]
        self.left_out |= {one.id for one in together}
        result = self.results[step.id]
        if step.kind == "code" and not self.handed and result.status != "out of memory":
            result.status, result.reason = status, reason
        elif step.kind == "check":
            untold = (self.results[one.id] for one in [step, *together])
            if (first := next((one for one in untold if one.status == "not run"), None)) is not None:
                first.status, first.reason = status, reason


class _Attempt:
    """One process working on a job, as seen through its reports."""

    def __init__(self, progress: _Progress, steps: Sequence[Step], host: Host) -> None:
        self.code: int | None = None  # that the keeper told of the process that ended
        self._progress = progress
        self._limits = progress.limits
        self._host = host
        self._has_keeper = host.has_keeper
        self._hidden = [step for step in steps if step.hidden]
        self._ahead = [step for step in steps if not step.hidden]
        self._current: Step | None = None
        self._last: Step | None = None  # the one that ended last
        self._last_code: Step | None = None
        self._dropped: Step | None = None  # the check whose process is being ended, while the cells go on
        self._handed_over: Step  # the hidden check of the moment
        self._handed = False  # whether this attempt has come to the hidden checks
        self._quiet = progress.handed  # whether an earlier one has: nothing in plain sight counts any more
        self._gone = False  # nobody is left to talk to
        self._closed = False  # nobody is left to report
        self._lines = Lines(progress.limits.message_bytes)
        self._begun = 0.0
        self._clock = Clock()
        self._ready = False
        self._outputs = self._no_outputs()  # of the current step
        now = self._clock.now()
        self._heard = now
        self._deadline = now + START_SECONDS

    def follow(self, reports: int, portions: Portions) -> Ending:
        """Read reports until the job is done, the process is gone, or it has used up what it may use."""
        ending = self._stage(reports, portions)
        while ending in ("timeout", "memory", "processes") and self._may_drop():
            assert self._current is not None
            self._dropped = self._current
            self._progress.leave_out(self._current, *self._why(ending, None))
            self._progress.results[self._current.id].seconds = self._clock.now() - self._begun
            portions.drop(self._current)
            self._heard = self._clock.now()
            ending = self._stage(reports, portions)
        if ending == "done":
            self._finish_quietly()
            if not self._progress.is_in_doubt:
                ending = self._follow_hidden(reports, portions)
        return ending

    def _may_drop(self) -> bool:
        """Whether what is in trouble is a copy of the process that makes observations: without it, all goes on."""
        step = self._current
        in_copy = self._has_keeper and step is not None and step.kind == "check" and not step.inline
        return in_copy and step is not self._dropped and self._clock.now() < self._deadline

    def _follow_hidden(self, reports: int, portions: Portions) -> Ending:
        """Hand over the hidden checks, one after the other. One that comes to no end does not touch the others."""
        # A check whose observations in plain sight came to no end has nobody waiting.
        ahead = [step for step in self._hidden if step.id not in self._progress.left_out]
        for number, step in enumerate(ahead):
            self._handed = self._progress.handed = True
            self._current, self._handed_over, self._ahead = None, step, [step]
            self._heard = self._begun = self._clock.now()
            portions.hand_over(step, [one.place for one in ahead[number:]])
            ending = self._stage(reports, portions)
            if ending == "done":
                continue
            if not self._has_keeper or self._gone:
                return ending  # the others have nobody to go to: they are tried with a new process
            self._settle_hidden(step, ending, self.code)
            if self._clock.now() >= self._deadline:
                break
        return "done"

    def _stage(self, reports: int, portions: Portions) -> Ending:
        """Read reports until the cells are done, or one hidden check, or there is trouble."""
        over, excess = threading.Event(), list[Ending]()
        # Beside the reading, and each for itself: a fork bomb keeps whoever counts its memory waiting for seconds.
        for look in (self._memory, self._processes):
            threading.Thread(target=self._watch, args=(look, over, excess), daemon=True).start()
        try:
            return self._read(reports, portions, excess)
        finally:
            over.set()

    def _watch(self, look: Callable[[], list[Ending]], over: threading.Event, excess: list[Ending]) -> None:
        """Look at what the processes use until `over`, or until it is too much: then that goes into `excess`."""
        while not excess and not over.wait(WATCH_SECONDS):
            excess += look()

    def _memory(self) -> list[Ending]:
        most = self._limits.memory_bytes
        return ["memory"] if self._host.starved() or self._host.usage(most).memory_bytes > most else []

    def _processes(self) -> list[Ending]:
        used = self._host.usage(sys.maxsize)
        self._clock.saw(used.cpu_seconds, used.delayed_seconds)
        return ["processes"] if used.tasks > self._limits.processes else []

    def _read(self, reports: int, portions: Portions, excess: Sequence[Ending]) -> Ending:
        pipe = select.poll()  # select.select() refuses descriptors above 1023
        for each in (reports, portions):
            pipe.register(each, select.POLLIN)
        while True:
            wait = self._patience()
            if wait <= 0:
                return "ended" if self._closed else "timeout"
            if excess:
                return excess[0]
            found = dict(pipe.poll(min(wait, WATCH_SECONDS) * 1_000))
            if reports in found:  # first: what a process has reported counts, even if it is gone by now
                ending = self._take(os.read(reports, 1 << 18))
                if self._closed:
                    pipe.unregister(reports)
            elif portions.fileno() in found:
                ending = self._heed(portions.heard())
                if self._gone:
                    pipe.unregister(portions)
            else:
                continue
            if ending is not None:
                return ending

    def _take(self, data: bytes) -> Ending | None:
        """Take in what came through the pipe; an ending, if that was one."""
        self._progress.bytes_left -= len(data)
        if self._progress.bytes_left <= 0:
            self._gone = True
            return "ended"
        over = False
        for line in self._lines.feed(data):
            over = over or self._accept(parse(line))
        if not data:
            self._closed = True
            self._heard = min(self._heard, self._clock.now() + GRACE_SECONDS - self._limits.cell_seconds)
        return "done" if over else "ended" if self._closed and not self._has_keeper else None

    def _heed(self, message: Json | None) -> Ending | None:
        """Take in what the keeper says; an ending, if that was one."""
        match message:
            case None:
                self._gone = True
                return "ended" if self._has_keeper else None
            case {"ended": None, "code": int(code)} if not self._handed:
                self.code = code
                return "ended"
            case {"ended": str(place), "code": int(code)} if self._handed and self._handed_over.place == place:
                self.code = code
                return "ended"
            case {"absent": str(place)} if self._handed and self._handed_over.place == place:
                return "absent"
        return None

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
        now = self._clock.now()
        self._progress.seconds_left = self._deadline - now
        self._progress.was_delayed |= self._waited == STALLED
        if ending == "done":
            return
        step = self._current
        if self._handed:
            self._settle_hidden(self._handed_over, ending, code)
        elif step is not None:
            if step.kind == "code" and not self._quiet:
                self._keep_outputs(self._progress.results[step.id])
                self._progress.results[step.id].seconds = now - self._begun
            self._progress.leave_out(step, *self._why(ending, code))
        elif self._last is not None:
            if self._progress.seconds_left > 0:
                self._progress.leave_out(self._last_code or self._last, *self._why(ending, code))
        elif self._progress.seconds_left > 0:
            raise BoxError(f"A process for the submission ended before its first cell ({ending}, exit code {code}).")

    def _settle_hidden(self, step: Step, ending: Ending, code: int | None) -> None:
        self._progress.leave_out(step, *self._why(ending, code))
        self._progress.results[step.id].seconds = self._clock.now() - self._begun

    def _why(self, ending: Ending, code: int | None) -> tuple[RunStatus, str]:
        match ending:
            case "processes":
                reason = f"It had more than {self._limits.processes} processes and threads."
            case "timeout":
                reason = self._waited
            case "memory" | "ended" if (self._host.starved() or code == -signal.SIGKILL) and not self._host.full():
                reason = KILLED
            case _:
                reason = ""
        return _status(ending, code), reason

    def _finish_quietly(self) -> None:
        """What an early "done" skipped stays "not run"; another attempt would come to the same."""
        self._progress.left_out.update(step.id for step in self._ahead)

    @property
    def _waited(self) -> str:
        """A sentence on what took the time, if it was not computing."""
        if self._clock.waited < 0.2 * self._limits.cell_seconds:
            return ""
        return STALLED if self._clock.delayed > 0.2 * self._limits.cell_seconds else WAITED

    def _patience(self) -> float:
        """Seconds until something must be heard."""
        by = self._deadline
        if self._ready:
            by = min(by, self._heard + self._limits.cell_seconds)
        return by - self._clock.now()

    def _accept(self, message: Json) -> bool:
        """Take in one report if it can be one at this point. True after the last of a stage."""
        step = self._current
        match message:
            case {"ready": True} if not self._ready:
                self._ready = True
                self._deadline = self._clock.now() + self._progress.seconds_left
            case {"begin": str(name)} if step is None and self._ready and self._ahead and self._ahead[0].id == name:
                self._current = self._ahead.pop(0)
                self._begun = self._clock.now()
                self._outputs = self._no_outputs()
            case {"output": output} if step is not None and step.kind == "code":
                self._outputs.add(output)
                return False  # a cell that talks without end is not more alive for it
            case {"clear": True} if step is not None:
                self._outputs = self._no_outputs()
                return False
            case {"checking": [str(_), str(_)]} if step is not None and step.kind == "check":
                pass
            case {"observed": [str(exercise), str(title), observation]} if step is not None and step.kind == "check":
                if (not step.titles or title in step.titles) and (step.hidden or not self._quiet):
                    self._keep_observation(self._progress.results[step.id], exercise, title, observation)
            case {"end": str(name)} if step is not None and step.id == name:
                self._keep_end(step, message)
                self._current, self._last = None, step
                self._last_code = step if step.kind == "code" else self._last_code
                if self._handed:
                    return True
            case {"lost": str(place), "code": int(code)} if not self._handed:
                self._lose(place, code)
            case {"done": True} if step is None and self._ready and not self._handed:
                return True
            case _:
                return False
        self._heard = self._clock.now()
        return False

    def _lose(self, place: str, code: int) -> None:
        """The process that made the observations of a check is gone; the cells go on."""
        lost = [step for step in [self._current, *self._ahead] if step and step.kind == "check" and step.place == place]
        if lost and (self._current is None or self._current is lost[0]):
            self._progress.leave_out(lost[0], *self._why("ended", code))
            self._current, self._last = None, lost[0]
            self._ahead = [step for step in self._ahead if step not in lost]

    def _keep_observation(self, result: StepResult, exercise: str, title: str, observation: object) -> None:
        count = sum(len(titles) for titles in result.checks.values())
        if count >= MAX_CHECKS or len(exercise) > MAX_NAME or len(title) > MAX_NAME:
            return
        with contextlib.suppress(Exception):  # whatever a stranger's bytes provoke
            valid = values.validate_observation(observation)
            result.checks.setdefault(exercise, {}).setdefault(title, valid)

    def _no_outputs(self) -> Outputs:
        return Outputs(self._limits, self._progress.figure_bytes_left)

    def _keep_outputs(self, result: StepResult) -> None:
        result.outputs = self._outputs.kept()
        self._progress.figure_bytes_left -= self._outputs.figure_bytes

    def _keep_end(self, step: Step, message: Json) -> None:
        status, result = message.get("status"), self._progress.results[step.id]
        if result.status != "not run" or (self._quiet and not step.hidden):  # it has run before, or it is too late
            return
        result.status = status if status in ("ok", "error", "out of memory") else "error"
        result.seconds = self._clock.now() - self._begun
        self._keep_outputs(result)
        with contextlib.suppress(Exception):
            error = message.get("error")
            result.error = None if error is None else values.validate_observation(error)


def _status(ending: Ending, code: int | None) -> RunStatus:
    match ending:
        case "timeout":
            return "timeout"
        case "memory":
            return "out of memory"
        case "ended" if code in (-signal.SIGKILL, isolation.MEMORY_EXIT):
            return "out of memory"
    return "crashed"

"""The process that runs student code: `python -m trainloop.sandbox.worker`, started by `box`.

It loads everything slow once, then forks a child for each job; it runs no student code itself, so each child starts
from the same pristine state. Where forking is not safe (macOS), `--once` runs a single job in the process itself.

What goes where:

    orders   on the socket at standard input: a job to fork for, with two file descriptors, or the order to end it;
             each is one JSON datagram. With `--once` there are none: standard input is where the portions come from,
             and the reports go to standard output.
    portions a socket, on which a job comes bit by bit, each a file of JSON: some steps, the arrays for `given`, the
             limits. First come the cells and the checks in plain sight, and when these have ended the hidden checks,
             one by one.
    reports  a pipe with one line of JSON per event, as it happens. Each line begins with a line feed too, so that the
             reader finds the next report after anything that student code may have written there:

        {"ready": true}                                 student code comes next
        {"begin": step}
        {"output": nbformat output}                     of a code cell, as it comes
        {"clear": true}                                 forget the cell's outputs
        {"checking": [exercise, title]}                 in a check cell, before an observation
        {"observed": [exercise, title, observation]}
        {"end": step, "status": ..., "error": ...}
        {"lost": place, "code": ...}                    instead: the process that made a check's observations has died
        {"done": true}                                  all but hidden checks has been run

Forked, the process of a job becomes its `keeper` and forks once more, for the cells; and for each check again, so that
this sees the notebook as it is there, now and when the hidden part comes. With `--once` nothing forks, and the hidden
parts come to the process that has run the cells.

With `--full` the process is inside of bubblewrap, and each child goes through `confine` before it runs anything.
Student code has none of the orders' socket. It can write to the reports: `box` believes nothing there that would be
worth forging.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import itertools
import json
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import trainloop.sandbox.preload  # noqa: F401

# isort: split

import matplotlib.pyplot as plt
import numpy as np
import torch

from trainloop import watch
from trainloop.checks import values
from trainloop.checks.values import Json, Observation
from trainloop.sandbox import confine, huge_pages, isolation, keeper
from trainloop.sandbox.shell import USER_FILE, Reporter, Shell, Stream, start_shell

SEED = 0
GATHER_AFTER = 2  # jobs; who does only one or two would not gain the half second back


class Runner:
    """Runs the steps of one job, in this process and in copies of it.

    Args:
        waiting: the socket at which copies say that they wait for hidden checks; None: this process makes them itself.
    """

    def __init__(
        self, shell: Shell, portions: Iterator[Json], reporter: Reporter, waiting: socket.socket | None
    ) -> None:
        self._shell = shell
        self._portions = portions
        self._portion: Json = {}
        self._titles: list[str] = []  # of the observations to make; none: all
        self._ended_well: set[str] = set()
        self._reporter = reporter
        self._waiting = waiting
        self._streams = Stream("stdout", shell.record), Stream("stderr", shell.record)

    def run(self) -> None:
        """Run every step and report it."""
        self._portion = next(self._portions)
        awaited = {*self._portion["awaited"]}
        for (kind, place), same in itertools.groupby(
            self._portion["steps"], lambda step: (step["kind"], step["group"] or step["id"])
        ):
            of_place = [*same]
            if kind == "check" and self._waiting is not None and not of_place[0]["inline"]:
                self._copy(place, of_place, place in awaited)
                awaited.discard(place)
            else:
                for step in of_place:
                    with _settings_kept() if step["inline"] else contextlib.nullcontext():
                        self._step(step)
        if self._waiting is not None:
            for place in sorted(awaited):
                self._copy(place, [], waits=True)
        self._reporter.send({"done": True})
        if self._waiting is None:
            self._await(self._portions)

    def _await(self, portions: Iterator[Json]) -> None:
        """Make the hidden observations, when they come."""
        for portion in portions:
            self._portion = portion
            for step in self._portion["steps"]:
                self._step(step)

    def _copy(self, place: str, steps: list[Json], waits: bool) -> None:
        """Fork. The copy makes the observations of a check, and waits for hidden ones; here, what is next may come."""
        until, made = os.pipe()
        word = os.urandom(16)  # anybody's code may write into whatever file there is
        generator = random.getstate()  # fork draws a new one
        with self._reporter.shared():
            copy = os.fork()
        if copy == 0:
            os.close(until)
            random.setstate(generator)
            self._run_copy(place, steps, waits, made, word)
        os.close(made)
        received = b""
        while word not in received and (more := os.read(until, 4_096)):
            received = received[-len(word) :] + more
        os.close(until)
        if word not in received:
            _, status = os.waitpid(copy, 0)
            self._reporter.send({"lost": place, "code": os.waitstatus_to_exitcode(status)})

    def _run_copy(self, place: str, steps: list[Json], waits: bool, made: int, word: bytes) -> None:
        assert self._waiting is not None
        code = 1
        try:
            portions = keeper.register(self._waiting, place)
            for step in steps:
                self._step(step)
            os.write(made, word)
            os.close(made)
            if waits:
                self._await(_portions(portions))
            code = 0
        except MemoryError:
            code = isolation.MEMORY_EXIT
        finally:
            os._exit(code)

    def _step(self, step: Json) -> None:
        self._reporter.send({"begin": step["id"]})
        self._titles = step["titles"]
        self._shell.record.begin(self._portion["limits"], self._reporter.send)
        sys.stdout, sys.stderr = self._streams
        try:
            with contextlib.redirect_stdout(self._streams[0]), contextlib.redirect_stderr(self._streams[1]):
                source = "" if step["instead_of"] in self._ended_well else step["source"]
                error = (self._code if step["kind"] == "code" else self._check)(step["id"], source)
        except BaseException as raised:  # by student code that reached into the machinery around it
            error = raised
        self._end(step, error)

    def _code(self, name: str, source: str) -> BaseException | None:
        return self._shell.run(name, source)

    def _check(self, name: str, source: str) -> BaseException | None:
        """Run a check cell beside IPython, whose transformers are the student's, in a copy of the student's names.

        Python's own names are Python's there: a student who calls a number `sum` has not answered wrong for that.
        """
        own = {name for name in vars(builtins) if not name.startswith("_")}
        names = {name: value for name, value in self._shell.user_ns.items() if name not in own}
        names |= {"__builtins__": builtins, "check": self._observe_all, "given": self._given, "watch": watch}
        try:
            with self._shell.builtin_trap:
                exec(compile(source, f"<check {name}>", "exec", dont_inherit=True), names)
        except BaseException as error:
            return error
        return None

    def _observe_all(
        self,
        exercise: str,
        observations: Mapping[str, Callable[[], object]],
        rules: Mapping[str, Callable[[], object]] | None = None,
        worth: Mapping[str, float] | None = None,  # decides nothing here
    ) -> None:
        for title, call in {**observations, **(rules or {})}.items():
            if self._titles and title not in self._titles:
                continue
            self._reporter.send({"checking": [exercise, title]})
            observation = self._observe(call)
            try:
                self._reporter.send({"observed": [exercise, title, observation]})
            except values.TooLarge as error:
                self._reporter.send({"observed": [exercise, title, values.describe_exception(error)]})

    def _observe(self, call: Callable[[], object]) -> Observation:
        _restore_defaults()
        quiet = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            try:
                return values.observe(call, USER_FILE)
            except KeyboardInterrupt as error:
                return values.describe_exception(error, USER_FILE)
            finally:
                plt.close("all")

    def _given(self, name: str) -> torch.Tensor:
        if name not in self._portion["given"]:
            raise KeyError(f"This job has no given array {name!r}.")
        return torch.from_numpy(values.array(self._portion["given"][name]).copy())

    def _end(self, step: Json, error: BaseException | None) -> None:
        told = None if error is None else values.describe_exception(error, USER_FILE)
        full = told is not None and values.is_memory(told["type"], told["message"])
        status = "out of memory" if full else "ok" if error is None else "error"
        message = {"end": step["id"], "status": status, "error": told}
        self._reporter.send(message)
        if error is None:
            self._ended_well.add(step["id"])
        if message["status"] == "out of memory" and error is not None and step["kind"] == "code":
            error.__traceback__ = None  # it holds what the cell had in hand
            # If the cells to come would have no room either, end here: `box` begins again without this cell.
            bytearray(self._portion["limits"]["memory_bytes"] // 8)


def _restore_defaults() -> None:
    """What a student's code may have left set, and what would make an observation depend on those before it."""
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.default_generator.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Whatever an observation sets (see `_restore_defaults`) is afterwards as the cells have left it."""
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()
    grad, dtype, device = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device()
    try:
        yield
    finally:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        torch.set_rng_state(drawn[2])
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)


def _portions(receiver: socket.socket) -> Iterator[Json]:
    """The portions of a job, each when it comes."""
    while True:
        _, fds, _, _ = socket.recv_fds(receiver, 65_536, 1)
        if not fds:  # nobody is left to send more
            return
        with open(fds[0], "rb") as file:
            portion = json.load(file)
        yield portion


def _confine(limits: Mapping[str, Any], folder: str, full: bool) -> None:
    """Give up what student code has no use for."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # when the machine runs out of memory, this process is the one to go
    if full:
        confine.isolate_process(limits["disk_bytes"], limits["processes"], [*isolation.installations()])
        folder = confine.WORK
    else:
        os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    os.close(nothing)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  (open for the life of the process)
    sys.argv = [""]
    os.environ.update(HOME=folder, TMPDIR=folder)
    sys.path.append(folder)  # modules that a cell has written; at the end, where they stand in the way of no other
    tempfile.tempdir = None  # may remember the worker's own
    rlimits = {
        "CORE": 0,
        "FSIZE": limits["file_bytes"],
        "AS": limits["memory_bytes"],
        "NOFILE": limits["open_files"],
        "MSGQUEUE": 0,
    }
    if full:  # elsewhere it would count all processes of the user
        rlimits["NPROC"] = limits["processes"]
    for name, most in rlimits.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):  # a stricter limit is in force, or not Linux
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def _keep_open(*fds: int) -> None:
    """Close all files but these and the standard ones: the worker holds its process namespace open, for one."""
    kept = [2, *sorted(fds), os.sysconf("SC_OPEN_MAX")]
    for below, above in itertools.pairwise(kept):
        os.closerange(below + 1, above)


def run_job(shell: Shell, portions_fd: int, report_fd: int, folder: str, full: bool, forks: bool) -> None:
    """Run the job in this process and end the process: exit hooks of the student's have no say."""
    code = 1
    try:
        receiver = socket.socket(fileno=portions_fd)
        portions = _portions(receiver)
        first = next(portions)
        _confine(first["limits"], folder, full)
        waiting = _keep(receiver, report_fd, full) if forks else None
        reporter = Reporter(report_fd, first["limits"]["message_bytes"])
        random.seed(SEED)  # fork has drawn a new one; a submission must come to the same each time it is graded
        runner = Runner(shell, itertools.chain([first], portions), reporter, waiting)
        reporter.send({"ready": True})
        runner.run()
        code = 0
    except MemoryError:
        code = isolation.MEMORY_EXIT
    except BaseException:
        traceback.print_exc()  # to the worker's log, as long as no student code has run
    finally:
        os._exit(code)


def _keep(receiver: socket.socket, report_fd: int, full: bool) -> socket.socket:
    """Fork the process that runs the cells, and go on there; this one becomes its keeper."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which nobody can send to the first process of a namespace
    if not full:
        confine.adopt_orphans()
    ours, theirs = keeper.registration_sockets()
    main = os.fork()
    if main == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        receiver.close()
        ours.close()
        return theirs
    theirs.close()
    os.close(report_fd)
    try:
        keeper.JobKeeper(main, receiver, ours, alone=full).run()
    finally:
        os._exit(0)


def serve(shell: Shell, orders: socket.socket, full: bool) -> None:
    """Fork for each job and end it when told to, until `box` goes away."""
    child = None
    jobs = 0
    namespaces = confine.ProcessNamespaces() if full else contextlib.nullcontext()
    orders.send(json.dumps({"loaded": True}).encode())
    while True:
        data, fds, _, _ = socket.recv_fds(orders, 65_536, 2)
        if not data:
            break
        order = json.loads(data)
        if fds:
            with namespaces:
                child = os.fork()
                if child == 0:
                    os.setsid()
                    _keep_open(*fds[:2])
                    run_job(shell, fds[0], fds[1], order["folder"], full, forks=True)
            for fd in fds:
                os.close(fd)
        elif child is not None:
            code = isolation.end_group(child, order["grace"])
            child = None
            orders.send(json.dumps({"code": code}).encode())
            jobs += 1
            if jobs == GATHER_AFTER:
                huge_pages.gather()
    if child is not None:
        isolation.end_group(child, 0)


def main() -> None:
    shell = start_shell()
    if "--once" in sys.argv:
        run_job(shell, os.dup(0), os.dup(1), os.getcwd(), full=False, forks=False)
    orders = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    serve(shell, orders, "--full" in sys.argv)


if __name__ == "__main__":
    main()

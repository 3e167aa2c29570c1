"""The process that runs student code: `python -m trainloop.worker`, started by `box`.

It loads everything slow once, then forks a child for each job; it runs no student code itself, so each child starts
from the same pristine state. Where forking is not safe (macOS), `--once` runs a single job in the process itself.

What goes where:

    orders   on the socket at standard input: a job to fork for, with two file descriptors, or the order to end it;
             each is one JSON datagram. With `--once` there are none: standard input is where the portions come from,
             and the reports go to standard output.
    portions a socket, on which a job comes bit by bit, each a file of JSON: some steps, the arrays for `given`, the
             limits. The next one comes when the last step of the one before has ended.
    reports  a pipe with one line of JSON per event, as it happens. Each line begins with a line feed too, so that the
             reader finds the next report after anything that student code may have written there:

        {"ready": true}                                 student code comes next
        {"begin": step}
        {"output": nbformat output}                     of a code cell, as it comes
        {"clear": true}                                 forget the cell's outputs
        {"checking": [exercise, title]}                 in a check cell, before an observation
        {"observed": [exercise, title, observation]}
        {"end": step, "status": ..., "error": ...}
        {"done": true}                                  nothing after this counts

With `--full` the process is inside of bubblewrap, and each child goes through `confine` before it runs anything.
Student code has none of the orders' socket. It can write to the reports: `box` believes nothing there that would be
worth forging.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import io
import itertools
import json
import os
import random
import resource
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import sklearn.datasets  # noqa: F401  (imported so that no child has to)
import torch
import torch._dynamo  # torch.optim imports it at first use, which takes a second
import torch.optim
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import Config

from trainloop import confine, isolation, values
from trainloop.box import MEMORY_EXIT, end_group
from trainloop.values import Json

USER_FILE = "<cell "  # begins the compiler's name for each of the student's cells
SEED = 0
FRAMES = 8  # of a traceback, so that endless recursion stays readable


class Reporter:
    """The writing end of the reports."""

    def __init__(self, fd: int, message_bytes: int) -> None:
        self._fd = fd
        self._room = message_bytes
        # A process that the student forks must not hold the pipe open after this one has died.
        os.register_at_fork(after_in_child=self._close)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def send(self, message: Json) -> None:
        """Write one report.

        Raises:
            values.TooLarge: it is longer than a message may be; nothing has been written.
        """
        data = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        if len(data) > self._room:
            raise values.TooLarge(f"a result of {len(data):,} bytes, more than {self._room:,}")
        left = memoryview(b"\n" + data + b"\n")
        while left:
            left = left[os.write(self._fd, left) :]


class Record:
    """Reports what a cell puts out, as it comes. `box` cuts it to size; here it only stops in time."""

    def __init__(self) -> None:
        self._report: Callable[[Json], None] = lambda message: None
        self._limits: Mapping[str, Any] = {}
        self._text = self._figures = self._figure_bytes = 0

    def begin(self, limits: Mapping[str, Any], report: Callable[[Json], None]) -> None:
        """Begin a cell; report one more of everything than `limits` allow, so that `box` sees the excess."""
        self._limits, self._report = limits, report
        self._text, self._figures = limits["output_chars"] + 1, limits["figures"] + 1
        self._figure_bytes = limits["figure_bytes"]

    def clear(self) -> None:
        """Forget what the cell has put out so far."""
        self.begin(self._limits, self._report)
        self._report({"clear": True})

    def write(self, name: str, text: str) -> None:
        """Add text of the stream `name`."""
        if text := self._fit(text):
            self._send({"output_type": "stream", "name": name, "text": text})

    def display(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> None:
        """Add a displayed object: its text and its PNG image, nothing else."""
        kept: Json = {}
        if isinstance(data.get("text/plain"), str):
            kept["text/plain"] = self._fit(data["text/plain"])
        image = data.get("image/png")
        if image is not None and self._figures > 0:
            self._figures -= 1
            text = image if isinstance(image, str) else base64.b64encode(image).decode("ascii")
            if len(text) * 3 // 4 <= self._figure_bytes:
                kept["image/png"] = text
        if any(kept.values()):
            described = dict(metadata or {}).get("image/png", {})
            self._send({"output_type": "display_data", "data": kept, "metadata": {"image/png": described}})

    def fail(self, error: BaseException) -> None:
        """Add the exception that ended the cell."""
        seen = values.raised(error, USER_FILE)
        self._send(
            {
                "output_type": "error",
                "ename": seen["type"],
                "evalue": seen["message"],
                "traceback": _traceback(error, seen),
            }
        )

    def _send(self, output: Json) -> None:
        with contextlib.suppress(values.TooLarge, TypeError):  # or an output that is no JSON
            self._report({"output": output})

    def _fit(self, text: str) -> str:
        text = text[: self._text]
        self._text -= len(text)
        return text


def _traceback(error: BaseException, seen: Json) -> list[str]:
    """The lines of the student's own cells that led to `error`, and its message."""
    if hasattr(error, "_render_traceback_"):
        return [str(line) for line in error._render_traceback_()]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(USER_FILE)]
    places = [f"{frame.filename.strip('<>')}, line {frame.lineno}\n    {frame.line}" for frame in frames[-FRAMES:]]
    if not places and seen["line"] is not None:
        places = [f"line {seen['line']}\n    {seen['code']}"]
    return [*places, f"{seen['type']}: {seen['message']}"]


class Stream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of the student's code, one for all cells: a logger keeps the one it met first."""

    encoding = "utf-8"

    def __init__(self, name: str, record: Record) -> None:
        self._name, self._record = name, record

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() takes text, not {type(text).__name__}")
        self._record.write(self._name, text)
        return len(text)


class Compiler(CachingCompiler):
    """Compiles each cell under a name that says which cell it is, for `values.raised`."""

    cell = ""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        return f"{USER_FILE}{self.cell}>"


class Publisher(DisplayPublisher):
    """Records what `display` shows."""

    shell: Shell

    def publish(self, data: Any, metadata: Any = None, *_: Any, update: bool = False, **__: Any) -> None:
        self.shell.record.display(data, metadata)

    def clear_output(self, wait: bool = False) -> None:
        self.shell.record.clear()


class LastValue(DisplayHook):
    """Records the value of a cell's last expression as a displayed object."""

    shell: Shell

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        self.shell.record.display(format_dict, md_dict)


class Shell(InteractiveShell):
    """IPython as a notebook has it, with what a cell shows going into a `Record` and no way to the system's shell."""

    def __init__(self, **options: Any) -> None:
        self.record = Record()
        classes = {"compiler_class": Compiler, "display_pub_class": Publisher, "displayhook_class": LastValue}
        super().__init__(**classes, **options)  # type: ignore[no-untyped-call]
        formatter: Any = self.display_formatter
        formatter.active_types = ["text/plain", "image/png"]
        magics: Any = self.magics_manager
        for name in ("pip", "conda", "mamba", "micromamba", "uv"):
            magics.register_function(self.system, "line", name)

    def run(self, name: str, source: str) -> BaseException | None:
        """Run one cell; the exception that stopped it, if one did."""
        compiler: Any = self.compile
        compiler.cell = name
        result: ExecutionResult = self.run_cell(source, store_history=False)  # type: ignore[no-untyped-call]
        return result.error_before_exec or result.error_in_exec

    def system(self, cmd: str = "") -> None:
        print("Shell commands and installations do not run here.", file=sys.stderr)

    def getoutput(self, cmd: str, *_: Any, **__: Any) -> list[str]:
        self.system(cmd)
        return []

    def enable_gui(self, gui: Any = None) -> None:
        pass

    def ask_exit(self) -> None:
        raise SystemExit("exit() was called")

    def showtraceback(self, exc_tuple: Any = None, *_: Any, **__: Any) -> None:
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        if error is not None:
            self.record.fail(error)

    def showsyntaxerror(self, *_: Any, **__: Any) -> None:
        self.showtraceback()


def load() -> Shell:
    """Make everything ready that all jobs share."""
    torch.set_num_threads(1)  # with more, children of a process that ran a backward pass hang
    warnings.filterwarnings("ignore", message="To exit: use")  # IPython's advice on sys.exit(), for people at a prompt
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.HistoryManager.hist_file = ":memory:"
    shell = Shell.instance(config=settings)
    shell.enable_matplotlib("inline")  # type: ignore[no-untyped-call]
    figure = plt.figure()
    figure.savefig(io.BytesIO(), format="png")  # finds the fonts
    plt.close(figure)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    gc.collect()
    gc.freeze()  # the collector of a child would copy every page that it looks at
    return shell


class Runner:
    """Runs the steps of one job, in this process."""

    def __init__(self, shell: Shell, portions: Iterator[Json], reporter: Reporter) -> None:
        self._shell = shell
        self._portions = portions
        self._portion: Json = {}
        self._titles: list[str] = []  # of the observations to make; none: all
        self._reporter = reporter
        self._streams = Stream("stdout", shell.record), Stream("stderr", shell.record)

    def run(self) -> None:
        """Run every step and report it."""
        for portion in self._portions:
            self._portion = portion
            for step in self._portion["steps"]:
                self._step(step)
        self._reporter.send({"done": True})

    def _step(self, step: Json) -> None:
        self._reporter.send({"begin": step["id"]})
        self._titles = step["titles"]
        self._shell.record.begin(self._portion["limits"], self._reporter.send)
        sys.stdout, sys.stderr = self._streams
        try:
            with contextlib.redirect_stdout(self._streams[0]), contextlib.redirect_stderr(self._streams[1]):
                error = (self._code if step["kind"] == "code" else self._check)(step["id"], step["source"])
        except BaseException as raised:  # by student code that reached into the machinery around it
            error = raised
        self._end(step, error)

    def _code(self, name: str, source: str) -> BaseException | None:
        return self._shell.run(name, source)

    def _check(self, name: str, source: str) -> BaseException | None:
        """Run a check cell beside IPython, whose transformers are the student's, in a copy of the student's names."""
        names = dict(self._shell.user_ns) | {"check": self._observe_all, "given": self._given}
        try:
            with self._shell.builtin_trap:
                exec(compile(source, f"<check {name}>", "exec", dont_inherit=True), names)
        except BaseException as error:
            return error
        return None

    def _observe_all(self, exercise: str, observations: Mapping[str, Callable[[], object]]) -> None:
        for title, call in observations.items():
            if self._titles and title not in self._titles:
                continue
            self._reporter.send({"checking": [exercise, title]})
            observation = self._observe(call)
            try:
                self._reporter.send({"observed": [exercise, title, observation]})
            except values.TooLarge as error:
                self._reporter.send({"observed": [exercise, title, values.raised(error)]})

    def _observe(self, call: Callable[[], object]) -> Json:
        _restore_defaults()
        quiet = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            try:
                return values.observe(call, USER_FILE)
            except KeyboardInterrupt as error:
                return values.raised(error, USER_FILE)
            finally:
                plt.close("all")

    def _given(self, name: str) -> torch.Tensor:
        if name not in self._portion["given"]:
            raise KeyError(f"This job has no given array {name!r}.")
        return torch.from_numpy(values.array(self._portion["given"][name]).copy())

    def _end(self, step: Json, error: BaseException | None) -> None:
        message = {
            "end": step["id"],
            "status": "ok" if error is None else "out of memory" if is_memory(error) else "error",
            "error": None if error is None else values.raised(error, USER_FILE),
        }
        self._reporter.send(message)
        if message["status"] == "out of memory" and error is not None:
            error.__traceback__ = None  # it holds what the cell had in hand
            # If the cells to come would have no room either, end here: `box` begins again without this cell.
            bytearray(self._portion["limits"]["memory_bytes"] // 8)


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch raises a RuntimeError then."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def _restore_defaults() -> None:
    """What a student's code may have left set, and what would make an observation depend on those before it."""
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


def _portions(receiver: socket.socket) -> Iterator[Json]:
    """The portions of a job, each when it comes."""
    more = True
    while more:
        data, fds, _, _ = socket.recv_fds(receiver, 4_096, 1)
        with open(fds[0], "rb") as file:
            portion = json.load(file)
        more = json.loads(data)["more"]
        yield portion


def _confine(limits: Mapping[str, Any], folder: str, full: bool) -> None:
    """Give up what student code has no use for."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # when the machine runs out of memory, this process is the one to go
    if full:
        confine.enter(limits["disk_bytes"], limits["processes"], [*isolation.installations()])
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
    tempfile.tempdir = None  # may remember the worker's own
    caps = {
        "CORE": 0,
        "FSIZE": limits["file_bytes"],
        "AS": limits["memory_bytes"],
        "NOFILE": limits["open_files"],
        "MSGQUEUE": 0,
    }
    if full:  # elsewhere it would count all processes of the user
        caps["NPROC"] = limits["processes"]
    for name, most in caps.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):  # a stricter limit is in force, or not Linux
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def _keep_open(*fds: int) -> None:
    """Close all files but these and the standard ones: the worker holds its process namespace open, for one."""
    kept = [2, *sorted(fds), os.sysconf("SC_OPEN_MAX")]
    for below, above in itertools.pairwise(kept):
        os.closerange(below + 1, above)


def run_job(shell: Shell, portions_fd: int, report_fd: int, folder: str, full: bool) -> None:
    """Run the job in this process and end the process: exit hooks of the student's have no say."""
    code = 1
    try:
        portions = _portions(socket.socket(fileno=portions_fd))
        first = next(portions)
        reporter = Reporter(report_fd, first["limits"]["message_bytes"])
        _confine(first["limits"], folder, full)
        random.seed(SEED)  # fork has drawn a new one; a submission must come to the same each time it is graded
        runner = Runner(shell, itertools.chain([first], portions), reporter)
        reporter.send({"ready": True})
        runner.run()
        code = 0
    except MemoryError:
        code = MEMORY_EXIT
    except BaseException:
        traceback.print_exc()  # to the worker's log, as long as no student code has run
    finally:
        os._exit(code)


def serve(shell: Shell, orders: socket.socket, full: bool) -> None:
    """Fork for each job and end it when told to, until `box` goes away."""
    child = None
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
                    run_job(shell, fds[0], fds[1], order["folder"], full)
            for fd in fds:
                os.close(fd)
        elif child is not None:
            code = end_group(child, order["grace"])
            child = None
            orders.send(json.dumps({"code": code}).encode())
    if child is not None:
        end_group(child, 0)


def main() -> None:
    shell = load()
    if "--once" in sys.argv:
        run_job(shell, os.dup(0), os.dup(1), os.getcwd(), full=False)
    orders = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    serve(shell, orders, "--full" in sys.argv)


if __name__ == "__main__":
    main()

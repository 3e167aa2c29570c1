"""The shell: IPython as a student's notebook has it, whose errors and outputs are reported line by line."""

from __future__ import annotations

import base64
import contextlib
import gc
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ipywidgets  # noqa: F401  (like the next one: lessons import it through trainloop.learner)
import matplotlib
import matplotlib.pyplot as plt
import PIL.Image  # noqa: F401
import sklearn.datasets  # noqa: F401  (imported so that no child has to)
import torch
import torch._dynamo  # torch.optim imports it at first use, which takes a second
import torch.optim
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import Config

from trainloop.checks import (
    values,
    verdict,  # noqa: F401  (this one and the next: lessons import them through trainloop.learner)
    words,  # noqa: F401
)
from trainloop.checks.values import Json, Observation


class Reporter:
    """The writing end of the reports."""

    def __init__(self, fd: int, message_bytes: int) -> None:
        self._fd = fd
        self._room = message_bytes
        self._is_shared = False
        # A process that the student forks must not hold the pipe open after this one has died.
        os.register_at_fork(after_in_child=self._close)

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """A process that is forked within this may report, too."""
        self._is_shared = True
        try:
            yield
        finally:
            self._is_shared = False

    def _close(self) -> None:
        if not self._is_shared:
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


class OutputRecorder:
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
        seen = values.describe_exception(error, USER_FILE)
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


def _traceback(error: BaseException, seen: Observation) -> list[str]:
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

    def __init__(self, name: str, record: OutputRecorder) -> None:
        self._name, self._record = name, record

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() takes text, not {type(text).__name__}")
        self._record.write(self._name, text)
        return len(text)


class Compiler(CachingCompiler):
    """Compiles each cell under a name that says which cell it is, for `values.describe_exception`."""

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
    """IPython as a notebook has it, with what a cell shows going into an `OutputRecorder`, and no way to the shell."""

    def __init__(self, **options: Any) -> None:
        self.record = OutputRecorder()
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

    def enable_matplotlib(self, gui: Any = None) -> Any:
        return super().enable_matplotlib("inline")  # type: ignore[no-untyped-call]

    def ask_exit(self) -> None:
        raise SystemExit("exit() was called")

    def showtraceback(self, exc_tuple: Any = None, *_: Any, **__: Any) -> None:
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        if error is not None:
            self.record.fail(error)

    def showsyntaxerror(self, *_: Any, **__: Any) -> None:
        self.showtraceback()


def start_shell() -> Shell:
    """Make everything ready that all jobs share."""
    torch.set_num_threads(1)  # with more, children of a process that ran a backward pass hang
    torch.set_num_threads = torch.set_num_interop_threads = _one_thread  # type: ignore[assignment]
    warnings.filterwarnings("ignore", message="To exit: use")  # IPython's advice on sys.exit(), for people at a prompt
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.HistoryManager.hist_file = ":memory:"
    shell = Shell.instance(config=settings)
    shell.enable_matplotlib("inline")
    figure = plt.figure()
    figure.savefig(io.BytesIO(), format="png")  # finds the fonts
    plt.close(figure)
    # There is no screen here, and no other kernel: whatever is chosen on a student's machine, figures stay inline.
    for module, name in ((matplotlib, "use"), (plt, "switch_backend")):
        setattr(module, name, _stay_inline)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    gc.collect()
    gc.freeze()  # the collector of a child would copy every page that it looks at
    return shell


def _one_thread(number: int) -> None:
    """What torch says here to who asks for more threads, in the machine's interest and theirs: see `start_shell`."""
    if type(number) is not int or number < 1:
        raise RuntimeError("set_num_threads expects a positive integer")


def _stay_inline(backend: str = "", *, force: bool = True) -> None:
    """What matplotlib says to who chooses a backend."""


USER_FILE = "<cell "  # begins the compiler's name for each of the student's cells
FRAMES = 8  # of a traceback, so that endless recursion stays readable

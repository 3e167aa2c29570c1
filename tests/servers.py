"""Jupyter's servers as the tests start them: on this machine alone, and ended with all their kernels."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

READY = 120.0  # seconds in which a server must listen
PATIENCE = 90.0  # seconds for anything that JupyterLab or a kernel does, on a busy machine


@dataclass(frozen=True)
class Server:
    """A server that listens."""

    url: str
    token: str
    log: Path
    process: subprocess.Popen[bytes]

    def ask(self, path: str, method: str = "GET", data: bytes | None = None) -> str:
        """What it answers.

        Raises:
            urllib.error.URLError: it refuses, or does not answer.
        """
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def folder(self, path: str) -> set[str]:
        """The names in a folder that it serves."""
        return {entry["name"] for entry in json.loads(self.ask(f"api/contents/{path}"))["content"]}

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def stop(self, by: int) -> int:
        """Ask it to end with a signal, and give its exit code."""
        self.process.send_signal(by)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(
    command: Sequence[str | Path], log: Path, runtime: Path, env: Mapping[str, str], cwd: Path | None = None
) -> Iterator[Server]:
    """Start a server; once it listens, give it; end it, if it still runs, with its kernels.

    Args:
        command: what starts it.
        log: the file for what it prints.
        runtime: `JUPYTER_RUNTIME_DIR` in `env`; there it says how it is reached.
        env: its environment.
        cwd: its working directory; None for ours.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell that runs the tests in the background has them ignore Ctrl+C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        yield _listening(runtime, process, log)
    finally:
        _end(process)


def _listening(runtime: Path, process: subprocess.Popen[bytes], log: Path) -> Server:
    end = time.monotonic() + READY
    while time.monotonic() < end:
        for path in runtime.glob("jpserver-*.json"):
            try:
                info = json.loads(path.read_text())
                server = Server(info["url"], info["token"], log, process)
                server.ask("api")
            except (ValueError, OSError):
                continue  # half written, or not listening yet
            return server
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"The server did not start within {READY:.0f} seconds:\n{log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kernels have sessions of their own: they are its children all the same."""
    if process.poll() is not None:
        return
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.wait()

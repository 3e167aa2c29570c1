"""Hosts: the processes in which jobs run, seen from outside: one that forks for each job, or a new one each time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from typing import Protocol

from trainloop.checks.values import Json
from trainloop.errors import TrainloopError
from trainloop.sandbox import isolation
from trainloop.sandbox.isolation import Level, Usage

START_SECONDS = 120.0  # for a process to load torch, on a busy machine


class BoxError(TrainloopError):
    """The box itself failed. It says nothing about the submission, which may be tried again."""


class Host(Protocol):
    """Where jobs run."""

    has_keeper: bool  # whether checks are made in copies of the process, which a `keeper` looks after

    def begin(self, portions_fd: int, report_fd: int, folder: str) -> None:
        """Start a process on a job, with `folder` as its working directory."""

    def usage(self, enough_bytes: int) -> Usage:
        """What it and all that it started use at the moment; see `isolation.usage`."""

    def end(self, grace: float) -> int | None:
        """End it and its group, after `grace` seconds to die by itself. Its exit code, if it did."""

    def close(self) -> None:
        """End everything."""


class Forks:
    """One preloaded process that forks for each job."""

    has_keeper = True

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


class FreshProcesses:
    """A new process for each job."""

    has_keeper = False

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, portions_fd: int, report_fd: int, folder: str) -> None:
        self._process = isolation.start("limits", ["--once"], folder, portions_fd, report_fd, subprocess.DEVNULL)

    def usage(self, enough_bytes: int) -> Usage:
        assert self._process is not None
        return isolation.usage([self._process.pid], enough_bytes)

    def end(self, grace: float) -> int | None:
        assert self._process is not None
        code = isolation.end_group(self._process.pid, grace)
        self._process.returncode = -signal.SIGKILL if code is None else code
        self._process = None
        return code

    def close(self) -> None:
        if self._process is not None:
            self.end(0.0)

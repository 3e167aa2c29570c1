"""Hosts: the processes in which jobs run, seen from outside: one that forks for each job, or a new one each time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from typing import Protocol, TypeAlias

from trainloop.checks.values import Json
from trainloop.errors import TrainloopError
from trainloop.sandbox import isolation
from trainloop.sandbox.cgroups import Group
from trainloop.sandbox.isolation import Level, Usage

Groups: TypeAlias = Callable[[], Group]

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

    def starved(self) -> bool:
        """Whether the kernel has ended one of the job's processes because memory was full; see `cgroups`."""

    def full(self) -> bool:
        """Whether that was the memory which the job may have, and not the computer's."""

    def end(self, grace: float) -> int | None:
        """End it and its group, after `grace` seconds to die by itself. Its exit code, if it did."""

    def close(self) -> None:
        """End everything."""


class Forks:
    """One preloaded process that forks for each job.

    Args:
        folder: for its files.
        level: of isolation.
        groups: what makes a control group for a job's memory; None where there are none.
    """

    has_keeper = True

    def __init__(self, folder: str, level: Level, groups: Groups | None) -> None:
        self._groups = groups
        self._group: Group | None = None
        self._late = False  # it has not answered in time
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders.settimeout(START_SECONDS)
        with theirs:
            self._process = isolation.start(level, [], folder, theirs, subprocess.DEVNULL, self._log)
        if "loaded" not in self._answer():
            raise self._lost()
        self._worker = isolation.leaf(self._process.pid)

    def begin(self, portions_fd: int, report_fd: int, folder: str) -> None:
        self._enter_group()
        try:
            socket.send_fds(self._orders, [json.dumps({"folder": folder}).encode()], [portions_fd, report_fd])
        except OSError as error:
            raise self._lost() from error

    def _enter_group(self) -> None:
        """The worker goes ahead into the group of the next job, so that what it forks is in it from the beginning."""
        if self._groups is None:
            return
        before, self._group = self._group, _group_of(self._worker, self._groups)
        if before is not None:
            before.close()

    def usage(self, enough_bytes: int) -> Usage:
        return isolation.usage(isolation.children(self._worker), enough_bytes)

    def starved(self) -> bool:
        return self._group is not None and self._group.kills() > 0

    def full(self) -> bool:
        return self._group is not None and self._group.full()

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
        if self._group is not None:
            self._group.close()
            self._group = None
        self._log.close()

    def _answer(self) -> Json:
        try:
            data = self._orders.recv(65_536)
        except TimeoutError:
            self._late = True
            data = b""
        except OSError:
            data = b""
        answer: Json = json.loads(data or b"{}")
        return answer

    def _lost(self) -> BoxError:
        self._log.seek(0)
        last = self._log.read()[-2_000:].decode("utf-8", "replace").strip()
        self.close()
        if self._late:
            return BoxError(
                f"The process that runs the cells has not answered for {START_SECONDS:g} seconds: the computer is busy "
                "with other things, or has to read everything for the first time. Run the command again."
            )
        return BoxError(f"The process that runs the cells did not start, or is gone. Its last words: {last or 'none'}")


class FreshProcesses:
    """A new process for each job; see `Forks` for `groups`."""

    has_keeper = False

    def __init__(self, groups: Groups | None) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._groups = groups
        self._group: Group | None = None

    def begin(self, portions_fd: int, report_fd: int, folder: str) -> None:
        self._process = isolation.start("limits", ["--once"], folder, portions_fd, report_fd, subprocess.DEVNULL)
        if self._groups is not None:  # long before it comes to run a cell: it has yet to load torch
            self._group = _group_of(self._process.pid, self._groups)

    def usage(self, enough_bytes: int) -> Usage:
        assert self._process is not None
        return isolation.usage([self._process.pid], enough_bytes)

    def starved(self) -> bool:
        return self._group is not None and self._group.kills() > 0

    def full(self) -> bool:
        return self._group is not None and self._group.full()

    def end(self, grace: float) -> int | None:
        assert self._process is not None
        code = isolation.end_group(self._process.pid, grace)
        self._process.returncode = -signal.SIGKILL if code is None else code
        self._process = None
        if self._group is not None:
            self._group.close()
        return code

    def close(self) -> None:
        if self._process is not None:
            self.end(0.0)


def _group_of(pid: int, groups: Groups) -> Group:
    try:
        group = groups()
    except OSError as error:
        raise BoxError(f"No control group could be made for a submission ({error}).") from error
    try:
        group.add(pid)
    except OSError as error:
        group.close()
        raise BoxError(f"The process that runs the cells could not enter its control group ({error}).") from error
    return group

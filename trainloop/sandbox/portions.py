"""Portions: the files in which a job is handed to its process, hidden checks last and one by one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import IO

from trainloop.checks.values import Json, Value
from trainloop.sandbox.job import Job, Limits, Step
from trainloop.sandbox.reports import parse

SEALS = 0b1111  # no writing, growing, shrinking, nor other seals: fcntl(2)


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


class Portions:
    """Hands a job to its process: first all but the hidden checks, then each of these when it may be there.

    A portion is an unnamed file, sent as a descriptor: the reader may take its time, and nobody waits for it.
    """

    def __init__(self, job: Job, steps: Sequence[Step], limits: Limits) -> None:
        self._job = job
        self._limits = limits
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        awaited = [step.place for step in steps if step.hidden]
        self._send({"awaited": awaited}, [step for step in steps if not step.hidden])

    def reader(self) -> int:
        """The descriptor of the end that the process reads from."""
        return self._theirs.fileno()

    def fileno(self) -> int:
        """The descriptor at which there is something to be `heard`."""
        return self._ours.fileno()

    def hand_over(self, step: Step, places: Sequence[str]) -> None:
        """Send a hidden check; of all processes only those that wait at these places are to be left, its own first."""
        self._send({"place": step.place, "places": list(places)}, [step])

    def drop(self, step: Step) -> None:
        """Have the process ended that makes the observations of a check."""
        with contextlib.suppress(OSError):
            self._ours.send(json.dumps({"drop": step.place}).encode())

    def heard(self) -> Json | None:
        """What the keeper says; None if it is gone, with all that it kept."""
        try:
            data = self._ours.recv(65_536)
        except BlockingIOError:
            return {}
        except OSError:
            data = b""
        return parse(data) if data else None

    def close_reader(self) -> None:
        """Close the reader's end on our side."""
        self._theirs.close()

    def close(self) -> None:
        """Close both ends."""
        self._theirs.close()
        self._ours.close()

    def _send(self, about: Json, steps: Sequence[Step]) -> None:
        content = {
            "steps": [asdict(step) for step in steps],
            "given": self._given(steps),
            "limits": asdict(self._limits),
        }
        # An error: it has closed its end. The clock will tell.
        with _sealed(json.dumps(content | about).encode()) as file, contextlib.suppress(OSError):
            socket.send_fds(self._ours, [json.dumps(about).encode()], [file.fileno()])

    def _given(self, steps: Sequence[Step]) -> dict[str, Value]:
        """The arrays that these steps ask for by name, and no other."""
        text = "\n".join(step.source for step in steps if step.kind == "check")
        asked = set(re.findall(r"""\bgiven\(\s*(?:name\s*=\s*)?["']([^"']*)["']""", text))
        return {name: value for name, value in self._job.given.items() if name in asked}

"""The keeper: the first process of a job, which runs no student code and looks after those that do.

`worker` forks it for a job; it shuts itself off (`confine`), so that all below it is shut off, too, and forks the
*main process*, which runs the cells. At each check the main process forks in its turn, and the copy says here that it
waits: over a socket that it has from the keeper, at which the kernel says who is speaking, it sends the other end of
one that only this copy has.

    box -> keeper       {"place": ..., "places": [...]} and a file: end everything but the processes that wait at these
                        places, then hand the file, a hidden check, to the one that waits at the first
                        {"drop": place}: end the process that waits, or is to wait, there
    keeper -> box       {"ended": null, "code": ...}: the main process has, and with what exit code
                        {"ended": place, "code": ...}: the process has that was handed the last hidden check
                        {"absent": place}: nobody waits there
    copy -> keeper      the name of the place, and the socket on which it waits

So no process has a hidden check while one is there whose output would be kept. In a full box nobody can look into the
waiting ones either: none of a submission's processes lets another see its memory, see `confine`. And the keeper itself
is out of reach: it is the first of its process namespace, which the kernel protects from all signals of the others.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from trainloop.sandbox import isolation

ANCILLARY = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(12)  # a file, and who sends it
WAITING = 200  # at most: a keeper must not run out of files
LOOK_SECONDS = 0.02  # between two looks at who has died
ROUNDS = 500  # of ending what is not to be left; who starts new processes faster than that gets no hidden check
ROUND_SECONDS = 0.002


def registration_sockets() -> tuple[socket.socket, socket.socket]:
    """The keeper's end and the others' of the socket over which copies say that they wait."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def register(theirs: socket.socket, place: str) -> socket.socket:
    """Say that this process waits at a place; the socket on which it gets what it waits for."""
    mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with other:
        socket.send_fds(theirs, [place.encode()], [other.fileno()])
    return mine


class JobKeeper:
    """Keeps the processes of one job.

    Args:
        main: the process that runs the cells, a child of this one.
        orders: the socket to `box`.
        ours: the keeper's end of `registration_sockets`.
        alone: whether this is the first process of a namespace, so that all others in it are the job's.
    """

    def __init__(self, main: int, orders: socket.socket, ours: socket.socket, alone: bool) -> None:
        self._orders, self._registrations, self._alone = orders, ours, alone
        self._waiting: dict[str, tuple[int, socket.socket]] = {}
        self._watched: int | None = main
        self._place: str | None = None  # where the watched process waited; None: it is the main one
        self._codes: dict[int, int] = {}  # of children that have ended

    def run(self) -> None:
        """Until `box` has gone."""
        poll = select.poll()
        for each in (self._orders, self._registrations):
            poll.register(each, select.POLLIN)
        while True:
            found = dict(poll.poll(LOOK_SECONDS * 1_000))
            if self._registrations.fileno() in found:
                self._enter()
            if self._orders.fileno() in found and not self._obey():
                return
            self._look()

    def _enter(self) -> None:
        """Take down who waits. The first to say so does; no more of them than there could be."""
        data, extra, _, _ = self._registrations.recvmsg(4_096, ANCILLARY)
        fds: list[int] = []
        sender = 0
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds += struct.unpack(f"{len(content) // 4}i", content[: len(content) // 4 * 4])
            elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                sender = struct.unpack("3i", content)[0]
        place = data.decode("utf-8", "replace")
        if len(fds) == 1 and sender > 1 and place not in self._waiting and self._has_room():
            with contextlib.suppress(OSError):  # what was sent is no socket
                self._waiting[place] = sender, socket.socket(fileno=fds[0])
                fds.clear()
        for fd in fds:
            os.close(fd)

    def _has_room(self) -> bool:
        return len(self._waiting) < WAITING and self._place is None

    def _obey(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._orders, 65_536, 1)
        if not data:
            return False
        order = json.loads(data)
        if fds:
            self._hand_over(order["place"], order["places"], fds[0])
            os.close(fds[0])
        elif waiting := self._waiting.pop(order["drop"], None):
            waiting[1].close()
            _end(waiting[0])
        return True

    def _hand_over(self, place: str, places: Collection[str], file: int) -> None:
        spared = {pid for name, (pid, _) in self._waiting.items() if name in places}
        self._watched, self._place = None, place
        if place in self._waiting and self._clear(spared):
            pid, line = self._waiting[place]
            with contextlib.suppress(OSError):
                socket.send_fds(line, [json.dumps({"more": True}).encode()], [file], socket.MSG_DONTWAIT)
                self._watched = pid
        if self._watched is None:
            self._tell({"absent": place})

    def _look(self) -> None:
        """Learn who has died: the children of those that did are children of ours by now."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._codes[pid] = os.waitstatus_to_exitcode(status)
        if self._watched in self._codes:
            self._tell({"ended": self._place, "code": self._codes[self._watched]})
            self._watched = None

    def _tell(self, message: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # `box` has gone, and ends us
            self._orders.send(json.dumps(message).encode())

    def _clear(self, spared: Collection[int]) -> bool:
        """End all processes of the job but those that are to be spared. Whether it came to an end.

        In a namespace of our own all are stopped at once first, so that none starts another while we look.
        """
        try:
            for _ in range(ROUNDS):
                if self._alone:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(-1, signal.SIGSTOP)
                others = [pid for pid in self._others() if pid not in spared]
                for pid in others:
                    _end(pid)
                self._look()
                if not others:
                    return True
                time.sleep(ROUND_SECONDS)
            return False
        finally:
            for pid in spared if self._alone else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _others(self) -> Iterator[int]:
        """The processes of the job that have not ended."""
        if self._alone:
            found = [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        else:
            found = [*_below(os.getpid())]
        return (pid for pid in found if _is_alive(pid))


def _below(pid: int) -> Iterator[int]:
    for child in isolation.children(pid):
        yield child
        yield from _below(child)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)

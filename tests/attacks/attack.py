"""One attack, and the judgement on it.

An `Attack` says how a submission is made and what must happen. `Referee.judge` takes it the way of every submission
(a folder on the disk, intake, box, verdict), and holds it to four things:

1. the mark is the deserved one: what is right keeps its points, what is wrong gets none;
2. it ends within its time;
3. nothing is left behind: no process, no file, no socket, no open file of ours;
4. the next honest student, graded in the same box, gets full marks;

and that nothing of the hidden checks shows in what the student gets back.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.attacks.arena import FULL, SECRETS, Arena, HandIn
from trainloop.checks.verdict import VerdictStatus
from trainloop.grading.grade import Graded, Results, grade_folder
from trainloop.sandbox.box import Box

PATIENCE = 15.0  # seconds for the processes of an attack to be gone


@dataclass(frozen=True)
class Attack:
    """A submission that means no good, or is none."""

    name: str
    does: str
    """What it does, in a sentence."""
    hand_in: HandIn
    """Writes it into the student's empty folder."""
    lost: Mapping[str, float] = field(default_factory=dict)
    """Points lost by exercise; `whole("scale")` for all of one. Nothing: full marks are deserved."""
    status: VerdictStatus = "ok"
    """The overall status."""
    seconds: float = 150.0
    """It must be judged within this time. Generous: other things run on the machine."""
    meanwhile: Callable[[Path, threading.Event], None] | None = None
    """Runs beside the grading, until the event is set: it may change the submission."""
    traces: tuple[Path, ...] = ()
    """Files outside of the course and the temporary folder that must not be there afterwards."""
    also: tuple[VerdictStatus, ...] = ()
    """Other overall statuses that are as good, where the kernel may be quicker than the box."""

    @property
    def points(self) -> dict[str, float]:
        """The deserved points by exercise."""
        return {name: points - self.lost.get(name, 0.0) for name, points in FULL.items()}


def whole(*exercises: str) -> dict[str, float]:
    """All points of some exercises."""
    return {name: FULL[name] for name in exercises}


@dataclass(frozen=True)
class Referee:
    """Judges attacks: one box for all of them."""

    arena: Arena
    box: Box
    temporary: Path
    """The temporary folder of this process and of the box."""

    def judge(self, attack: Attack, kept: Path) -> Graded:
        """Grade an attack and hold it to what must happen. Verdicts are kept in the new folder `kept`."""
        mallory, honest = self.arena.folder("mallory"), self.arena.folder("honest")
        attack.hand_in(self.arena, mallory)
        self.arena.honest(honest)
        watched = [self.temporary, self.arena.course.root]
        before = Traces.now(watched)
        begun = time.monotonic()
        with _meanwhile(attack, mallory):
            graded = self.grade(mallory, kept)
        seconds = time.monotonic() - begun
        next_one = self.grade(honest, kept)
        assert_deserved(attack, graded)
        assert seconds < attack.seconds, f"{attack.name} took {seconds:.1f} s"
        ignored = mallory if attack.meanwhile else None
        assert_nothing_left(before, watched, ignored)
        assert [path for path in attack.traces if path.exists()] == []
        assert points(next_one) == FULL, ("the next student pays for it", points(next_one), sentences(next_one))
        assert_nothing_hidden(graded)
        return graded

    def grade(self, folder: Path, kept: Path) -> Graded:
        """The verdict on a submission folder."""
        return grade_folder(self.arena.material, folder, lambda: self.box, Results(kept), limits=self.box.limits)


@contextlib.contextmanager
def _meanwhile(attack: Attack, folder: Path) -> Any:
    if attack.meanwhile is None:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=attack.meanwhile, args=(folder, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def points(graded: Graded) -> dict[str, float]:
    """Points by exercise."""
    return {one.name: one.points for one in graded.exercises}


def sentences(graded: Graded) -> list[str]:
    """What the verdict says of each check that says something."""
    return [f"{check.title}: {check.sentence}" for one in graded.exercises for check in one.checks if check.sentence]


def assert_deserved(attack: Attack, graded: Graded) -> None:
    """The mark and the status are those that the attack deserves."""
    said = sentences(graded)
    assert points(graded) == attack.points, (attack.does, graded.notes, said)
    assert graded.status in (attack.status, *attack.also), (attack.does, graded.notes, said)


def assert_nothing_hidden(graded: Graded) -> None:
    """No hidden check, and no number from one, in anything that a student reads."""
    outputs = [output for cell in graded.notebook.cells for output in cell.get("outputs", [])]
    sentences = [(check.sentence, check.detail) for one in graded.exercises for check in one.checks]
    shown = json.dumps([outputs, sentences, graded.notes])
    assert [secret for secret in SECRETS if secret in shown] == []


@dataclass(frozen=True)
class Traces:
    """What there is of ours on the machine."""

    processes: Counter[tuple[str, ...]]  # below this process, by command line
    listening: Counter[str]
    files: Mapping[str, tuple[object, ...]]
    open_files: int  # of this process

    @staticmethod
    def now(watched: Sequence[Path]) -> Traces:
        family = _family()
        return Traces(
            Counter(command for _, command in family),
            Counter(address for process, _ in family for address in _listening(process)),
            {path: about for folder in watched for path, about in _files(folder)},
            psutil.Process().num_fds(),
        )


def assert_nothing_left(before: Traces, watched: Sequence[Path], ignored: Path | None = None) -> None:
    """Nothing is there that was not, and no file is gone or changed. Processes get a little time to end."""
    until = time.monotonic() + PATIENCE
    after = Traces.now(watched)
    while (after.processes - before.processes or after.open_files > before.open_files) and time.monotonic() < until:
        time.sleep(0.05)
        after = Traces.now(watched)
    assert not after.processes - before.processes
    assert not after.listening - before.listening
    assert after.open_files <= before.open_files
    changed = before.files.items() ^ after.files.items()
    assert {path for path, _ in changed if ignored is None or not path.startswith(str(ignored))} == set()


def _family() -> list[tuple[psutil.Process, tuple[str, ...]]]:
    """All processes that descend from this one, orphans included: see `adopts_orphans` in conftest."""
    family = []
    me = psutil.Process()
    for process in me.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ChildProcessError):
            if process.status() == psutil.STATUS_ZOMBIE and process.ppid() == me.pid:
                os.waitpid(process.pid, os.WNOHANG)  # an orphan that has ended: init would do this
                continue
            family.append((process, tuple(process.cmdline())))
    return family


def _listening(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return [
            f"{one.family.name} {one.laddr}"
            for one in process.net_connections("all")
            if one.status == psutil.CONN_LISTEN or (one.family.name == "AF_UNIX" and one.laddr)
        ]
    return []


def _files(folder: Path) -> list[tuple[str, tuple[object, ...]]]:
    """Paths with type, size, time of change and number of names. Folders count by name: Python caches modules."""
    found: list[tuple[str, tuple[object, ...]]] = []
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [(os.path.join(top, name), ()) for name in folders]
        for name in names:
            path = os.path.join(top, name)
            with contextlib.suppress(FileNotFoundError):
                about = os.lstat(path)
                found.append((path, (about.st_mode, about.st_size, about.st_mtime_ns, about.st_nlink)))
    return found


def by_name(attack: Attack) -> str:
    """What pytest calls the case."""
    return attack.name


def handful(attacks: Sequence[Attack]) -> list[Attack]:
    """Some of a group, for a way that takes longer."""
    return [attack for attack in attacks[::4] if attack.meanwhile is None]

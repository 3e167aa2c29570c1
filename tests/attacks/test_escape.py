"""Escape: submissions that want out of the box, to other people, to the machine, or into what comes after them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.attacks.arena import SLUG, Arena, HandIn, by_answer, put
from tests.attacks.attack import Attack, Referee, points, whole
from tests.attacks.escapes import CHANGE, EVERY, FIND, LOOK, MARK, PLANT, PRELUDE, SEEN
from tests.attacks.small_box import in_small_box, said
from tests.sample_class import dump
from trainloop.checks.verdict import VerdictStatus
from trainloop.grading.grade import Graded

RIGHT = "def scale(x):\n    return 2 * x + 1\n"
LATE = 3.0  # seconds after which a late writer has had its chance
HOLD = 8.0  # seconds for which one submission waits to be found by another


def beside_the_right_answers(code: str) -> HandIn:
    """Everything right, and `code` in a cell before the first check."""
    return lambda arena, folder: put(folder, dump(arena.notebook(code)))


def judged(
    referee: Referee,
    name: str,
    does: str,
    code: str,
    kept: Path,
    *,
    lost: Mapping[str, float] | None = None,
    status: VerdictStatus = "ok",
) -> str:
    """What `code` has printed. It brings nothing, and costs its author what is `lost` below it."""
    return said(referee.judge(Attack(name, does, beside_the_right_answers(code), lost or {}, status), kept), MARK)


def assert_refused(text: str, tries: int) -> None:
    """All that was tried was refused."""
    assert [line for line in text.splitlines() if "DONE" in line] == []
    assert len([line for line in text.splitlines() if line.startswith("refused")]) == tries, text


@dataclass
class Listeners:
    """Sockets of this test, on loopback and local, at which nobody may arrive."""

    folder: Path
    abstract: str = field(default_factory=lambda: f"trainloop-{secrets.token_hex(8)}")
    held: list[socket.socket] = field(default_factory=list)

    def open(self, family: int, kind: int, address: object) -> socket.socket:
        one = socket.socket(family, kind)
        self.held.append(one)
        one.setblocking(False)
        one.bind(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_STREAM:
            one.listen()
        return one

    def values(self) -> dict[str, object]:
        """Open them all; what the attack is told."""
        tcp = self.open(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)).getsockname()[1]
        udp = self.open(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)).getsockname()[1]
        with contextlib.suppress(OSError):  # a machine without IPv6
            self.open(socket.AF_INET6, socket.SOCK_STREAM, ("::1", tcp))
        with contextlib.suppress(OSError):
            self.open(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", udp))
        path = str(self.folder / "socket")
        for number, kind in enumerate((socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            self.open(socket.AF_UNIX, kind, "\0" + self.abstract + "d" * number)
            self.open(socket.AF_UNIX, kind, path + "d" * number)
        return {"PORT_TCP": tcp, "PORT_UDP": udp, "ABSTRACT": self.abstract, "PATH": path, "QUERY": query()}

    def assert_nobody_came(self) -> None:
        for one in self.held:
            with pytest.raises(BlockingIOError):
                one.accept() if one.type == socket.SOCK_STREAM else one.recv(1)

    def close(self) -> None:
        for one in self.held:
            one.close()


def query() -> bytes:
    """A question to a name server, made by hand: the address of canary.invalid."""
    name = b"".join(bytes([len(part)]) + part for part in (b"canary", b"invalid", b""))
    return struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    made = Listeners(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("name", EVERY)
def test_there_is_no_way_out(name: str, referee: Referee, listeners: Listeners, tmp_path: Path) -> None:
    does, tries, code = EVERY[name]
    told = {**listeners.values(), "COURSE": str(referee.arena.course.root)}
    values = "".join(f"{key} = {value!r}\n" for key, value in told.items())
    null = os.stat("/dev/null")
    text = judged(referee, name, does, PRELUDE + values + code + '\nprint("tried")\n', tmp_path / "kept")
    assert_refused(text, tries)
    assert text.endswith("tried\n"), text
    listeners.assert_nobody_came()
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_mtime, after.st_uid) == (null.st_mode, null.st_mtime, null.st_uid)


def test_a_socket_of_the_test_can_be_reached_from_outside_the_box(listeners: Listeners) -> None:
    told = listeners.values()
    with socket.create_connection(("127.0.0.1", told["PORT_TCP"])), pytest.raises(pytest.fail.Exception):  # type: ignore[arg-type]
        listeners.assert_nobody_came()


# --- what lies outside

READS = """
paths = PATHS
for path in paths:
    attempt(path, lambda: open(path, "rb").read())
    attempt(path, lambda: os.listdir(os.path.dirname(path)))
    attempt(path, lambda: open("/proc/1/root" + path, "rb").read())
end = time.monotonic() + 5
for top, folders, names in os.walk("/"):
    if time.monotonic() > end:
        break
    folders[:] = [name for name in folders if name not in ("proc", "sys", "site-packages", "share", "x86_64-linux-gnu")]
    print("".join(f"DONE {top}/{name}\\n" for name in names if "canary" in name), end="")
"""
SECRET_FILES = (
    "gradebook.db",
    "source/canary.txt",
    "solutions/keys/canary.json",
    "notebooks/canary/answers.md",
    "submitted/zoe/canary/canary.ipynb",
    ".trainloop/results/canary.json",
)


def test_no_file_outside_can_be_read(referee: Referee, tmp_path: Path) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    home = tmp_path / "home"
    paths = [*(referee.arena.course.root / name for name in SECRET_FILES), home / ".ssh" / "id_ed25519"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(canary)
    paths += [Path("/etc/passwd"), Path("/etc/shadow"), Path(__file__)]
    code = PRELUDE + READS.replace("PATHS", repr([str(path) for path in paths]))
    attack = Attack("reads", "Reads what it knows the place of.", beside_the_right_answers(code))
    graded = referee.judge(attack, tmp_path / "kept")
    text = said(graded, MARK)
    assert canary not in json.dumps(graded.dump())
    listed = sum(line.startswith("DONE /etc/") and "['" in line for line in text.splitlines())
    assert [line for line in text.splitlines() if "DONE" in line and "/etc/" not in line] == []
    assert "root:" not in text and listed == 2, "of /etc, the names of what is there can be listed"


def test_a_link_to_the_solution_shows_and_brings_nothing(referee: Referee, tmp_path: Path) -> None:
    def hand_in(arena: Arena, folder: Path) -> None:
        (folder / f"{SLUG}.ipynb").symlink_to(arena.course.notebook("source", SLUG))
        (folder / "solutions").symlink_to(arena.course.root / "solutions")

    lost = whole("scale", "describe", "predict")
    referee.judge(Attack("link", "Hands in links to the solutions.", hand_in, lost, "missing"), tmp_path / "kept")


def test_the_environment_of_the_grader_stays_outside(
    referee: Referee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_text(canary)
    (tmp_path / ".netrc").write_text(canary)
    for name in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PGPASSWORD", "PYTHONSTARTUP", "LD_AUDIT"):
        monkeypatch.setenv(name, canary)
    monkeypatch.setenv("HOME", str(tmp_path))
    code = (
        PRELUDE
        + "print('canary' in repr(os.environ))\n"
        + "print(b'canary-' in open('/proc/self/environ', 'rb').read(), subprocess.getoutput('env'))\n"
        + "print(os.path.expanduser('~'), os.listdir(os.path.expanduser('~')))\n"
        + f"attempt('home', lambda: os.listdir({str(tmp_path)!r}))\n"
    )
    with in_small_box(referee) as small:
        attack = Attack("environment", "Prints the environment.", beside_the_right_answers(code))
        graded = small.judge(attack, tmp_path / "kept")
    assert canary not in json.dumps(graded.dump())
    text = said(graded, MARK)
    assert text.startswith("False\nFalse")
    assert "/tmp/work []" in text
    assert_refused(text, 1)


# --- what comes after

LATE_WRITER = """
import atexit, signal, threading
def write():
    time.sleep(1.5)
    for path in PATHS:
        try:
            with open(path, "a") as file:
                file.write("late")
        except OSError:
            pass
    for fd in range(64):
        try:
            os.write(fd, b"late")
        except OSError:
            pass
held = [os.dup(fd) for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}")]
atexit.register(write)
threading.Thread(target=write).start()
if libc.fork() == 0:
    os.setsid()
    if libc.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        write()
    os._exit(0)
print("wait and see")
"""


def test_a_late_writer_finds_nothing_to_write_to(referee: Referee, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    folder = referee.arena.course.root / "submitted" / "mallory" / SLUG
    paths = [str(folder / f"{SLUG}.ipynb"), str(kept / "0.json"), str(referee.arena.course.key(SLUG)), "/tmp/late"]
    text = judged(
        referee, "late", "Writes when it has been graded.", PRELUDE + LATE_WRITER.replace("PATHS", repr(paths)), kept
    )
    before = {path: path.read_bytes() for path in (*kept.iterdir(), *folder.iterdir(), referee.arena.course.key(SLUG))}
    time.sleep(LATE)
    assert "wait and see" in text
    assert {path: path.read_bytes() for path in before} == before
    assert len(before) == 6 and sorted(kept.iterdir()) == sorted(path for path in before if path.parent == kept)


def test_no_submission_changes_the_next(referee: Referee, tmp_path: Path) -> None:
    first, changed, second = (
        judged(
            referee,
            f"state-{number}",
            "Looks around, after it has changed all or nothing.",
            code,
            tmp_path / str(number),
            lost=lost,
            status="wrong" if lost else "ok",
        )
        for number, (code, lost) in enumerate(
            ((LOOK, {}), (CHANGE + LOOK, whole("describe", "predict")), (LOOK, {}))  # whose own cells it breaks
        )
    )
    assert second == first
    assert len(first.splitlines()) == SEEN
    unchanged = set(first.splitlines()) & set(changed.splitlines())
    assert {line.split(" is ")[0] for line in unchanged} <= {"processors"}, "each is something that can be changed"


MEMORY = """
import re
canary = CANARY
print("held")
"""
SCAN = """
import re
found = set()
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        place, rights, *_, inode = line.split()[:5]
        start, end = (int(part, 16) for part in place.split("-"))
        if rights.startswith("rw"):
            memory.seek(start)
            try:
                found.update(re.findall(rb"can[a]ry-[0-9a-f]{16}", memory.read(end - start)))
            except OSError:
                pass
print("found", sorted(found))
"""


def test_nothing_of_a_submission_is_in_the_memory_of_the_next(referee: Referee, tmp_path: Path) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    plant = PRELUDE + MEMORY.replace("CANARY", repr(canary))
    one = judged(referee, "plant", "Holds a word.", plant + SCAN, tmp_path / "one")
    two = judged(referee, "scan", "Looks for a word in all its memory.", PRELUDE + SCAN, tmp_path / "two")
    assert f"found [b'{canary}']" in one, "it can be found where it is"
    assert "found []" in two


def test_two_submissions_at_the_same_time_do_not_meet(referee: Referee, tmp_path: Path) -> None:
    graded: dict[str, Graded] = {}

    def grade(who: Referee, name: str, code: str) -> None:
        folder = who.arena.folder(name)
        beside_the_right_answers(code)(who.arena, folder)
        graded[name] = who.grade(folder, tmp_path / name)

    with in_small_box(referee) as other:
        thread = threading.Thread(target=grade, args=(referee, "plant", PLANT.replace("HOLD", str(HOLD))))
        thread.start()
        time.sleep(HOLD / 3)
        grade(other, "find", FIND)
        thread.join()
    planted, found = said(graded["plant"], MARK), said(graded["find"], MARK)
    begun, ended = times(planted)
    assert begun < times(found)[0] < times(found)[1] < ended, "they did not run at the same time"
    assert_refused(planted, 6)
    assert "DONE" not in found and found.count("refused") >= 12, found
    for one in graded.values():
        assert one.status == "ok" and sum(points(one).values()) == one.possible


def times(text: str) -> tuple[float, float]:
    """When a submission says that it began and ended."""
    begun, ended = (line.split()[1] for line in text.splitlines() if line.startswith(("from ", "until ")))
    return float(begun), float(ended)


def test_what_it_writes_into_its_sockets_and_pipes_is_no_order(referee: Referee, tmp_path: Path) -> None:
    code = (
        RIGHT
        + MARK
        + """
import json, os, socket
for name in os.listdir("/proc/self/fd"):
    for order in ({"grace": 0}, {"folder": "/"}, {"loaded": True}, {"code": 0}, {"done": False}):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as one:
                    one.send(json.dumps(order).encode(), socket.MSG_DONTWAIT)
                    print("sent")
        except OSError as error:
            print(error)
"""
    )
    graded = referee.judge(Attack("orders", "Sends orders to the grader.", by_answer(code)), tmp_path / "kept")
    assert "sent" in said(graded, MARK)

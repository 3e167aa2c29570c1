"""Turns: who runs beside others, who alone, and who waits for whom; two `Turns` stand for two gradings."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from trainloop.grading import turns as module
from trainloop.grading.turns import Turns

SECONDS = 30.0  # for what must happen, on a busy machine
A_WHILE = 0.2  # in which what must not happen would


class Run(threading.Thread):
    """A run that takes its turn, and ends when it is told to."""

    def __init__(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(daemon=True)
        self.began, self.may_end = threading.Event(), threading.Event()
        self._turn = turn
        self.start()

    def run(self) -> None:
        with self._turn():
            self.began.set()
            self.may_end.wait(SECONDS)

    def end(self) -> None:
        self.may_end.set()
        self.join(SECONDS)


def test_many_run_side_by_side(tmp_path: Path) -> None:
    runs = [Run(Turns(tmp_path).beside_others) for _ in range(3)]
    assert all(run.began.wait(SECONDS) for run in runs)
    for run in runs:
        run.end()


def test_who_is_alone_waits_for_those_that_run_and_keeps_others_waiting(tmp_path: Path) -> None:
    first = Run(Turns(tmp_path).beside_others)
    assert first.began.wait(SECONDS)
    alone = Run(Turns(tmp_path).alone)
    while not gate_is_shut(tmp_path):
        pass
    late = Run(Turns(tmp_path).beside_others)
    assert not alone.began.wait(A_WHILE) and not late.began.wait(A_WHILE)
    first.end()
    assert alone.began.wait(SECONDS) and not late.began.wait(A_WHILE), "who came later does not go first"
    alone.end()
    assert late.began.wait(SECONDS)
    late.end()


def gate_is_shut(folder: Path) -> bool:
    with (folder / "gate").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_grading_that_is_killed_keeps_nobody_waiting(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from trainloop.grading.turns import Turns\n"
        "with Turns(Path(sys.argv[1])).alone():\n    print('alone', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "alone\n"
        mine = Run(Turns(tmp_path).beside_others)
        assert not mine.began.wait(A_WHILE)
        other.kill()
        assert mine.began.wait(SECONDS)
        mine.end()


def test_without_a_home_a_process_has_turns_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    module.turns.cache_clear()
    try:
        found = module.turns()
        assert found.folder.parent == tmp_path
        with found.alone():
            pass
    finally:
        module.turns.cache_clear()

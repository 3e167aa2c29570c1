"""What a run of a lesson reports: faults of cells, and times as a quiet machine would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import nbformat
import pytest

from trainloop.authoring import execute as runs
from trainloop.authoring.lesson import Lesson

pytestmark = pytest.mark.slow


class Named:
    """All that a run reads of a lesson whose notebook is made already."""

    slug = "9.9-nothing"


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *sources: str, probe: float) -> runs.Executed:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    monkeypatch.setattr(runs, "source_notebook", lambda *_, **__: notebook)
    monkeypatch.setattr(runs, "probe", lambda: probe)
    return runs.execute(cast(Lesson, Named()), tmp_path / "key.json")


def test_seconds_are_those_of_a_quiet_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runs, "LESSON_SECONDS", 0.8)
    monkeypatch.setattr(runs, "CELL_SECONDS", 0.5)
    monkeypatch.setattr(runs, "_waited", lambda _: 0.0)  # a neighbour's work is the next tests' subject
    arguments: Any = (monkeypatch, tmp_path, "import time", "time.sleep(1.0)")
    busy = run(*arguments, probe=4 * runs.PROBE_SECONDS)
    assert (busy.slowdown, busy.faults) == (4.0, [])
    assert 0.2 < busy.seconds < 0.5
    for idle_probe in (runs.PROBE_SECONDS, 0.5 * runs.PROBE_SECONDS):  # a quick machine earns no slower lesson
        idle = run(*arguments, probe=idle_probe)
        assert idle.slowdown == 1.0
        assert [fault.rpartition(" takes ")[0] or fault[:14] for fault in idle.faults] == [
            "the cells take",
            f"cell {idle.slowest[0][1]}",
        ]


def test_what_the_kernel_waited_for_a_core_is_taken_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    waiting = iter(range(100))
    monkeypatch.setattr(runs, "_waited", lambda _: 0.25 * next(waiting))  # a quarter of a second in each cell
    done = run(monkeypatch, tmp_path, "import time", "time.sleep(1.0)", probe=runs.PROBE_SECONDS)
    assert done.waited == 0.5
    assert 0.74 < done.slowest[0][0] < 0.95


def test_a_kernel_that_shares_its_core_is_seen_to_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    share = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
if (other := os.fork()) == 0:
    end = time.monotonic() + 2
    while time.monotonic() < end:
        pass
    os._exit(0)
end = time.monotonic() + 2
while time.monotonic() < end:
    pass
os.waitpid(other, 0)
"""
    done = run(monkeypatch, tmp_path, share, probe=runs.PROBE_SECONDS)
    assert done.faults == []
    assert done.waited > 0.5

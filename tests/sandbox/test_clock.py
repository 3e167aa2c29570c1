"""The clock of a submission: computing counts in full, waiting and being kept waiting by a third."""

from __future__ import annotations

import pytest

from trainloop.sandbox import clock as module
from trainloop.sandbox.clock import SLACK, Clock


class Wall:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    monkeypatch.setattr(module.time, "monotonic", made.monotonic)
    return made


def pass_seconds(wall: Wall, clock: Clock, seconds: float, cpu: float, delayed: float = 0.0) -> None:
    """Let time go by; `cpu` and `delayed` are what has been used in all since the beginning."""
    wall.seconds += seconds
    clock.saw(cpu, delayed)


def test_what_computes_all_the_time_is_counted_in_full(wall: Wall) -> None:
    clock = Clock()
    for second in range(1, 6):
        pass_seconds(wall, clock, 1.0, float(second))
    assert clock.now() == pytest.approx(5.0)
    assert clock.waited == 0.0


def test_what_waits_is_counted_by_a_third(wall: Wall) -> None:
    clock = Clock()
    pass_seconds(wall, clock, 6.0, 0.0)
    assert clock.now() == pytest.approx(6.0 / SLACK)
    assert clock.waited == pytest.approx(6.0 / SLACK)


def test_a_busy_machine_costs_a_third_and_is_seen(wall: Wall) -> None:
    clock = Clock()
    pass_seconds(wall, clock, 4.0, 1.0, delayed=3.0)
    assert clock.now() == pytest.approx(4.0 / SLACK)
    assert clock.delayed == 3.0


def test_several_processors_at_once_count_no_more_than_the_wall_clock(wall: Wall) -> None:
    clock = Clock()
    pass_seconds(wall, clock, 2.0, 8.0)
    assert clock.now() == pytest.approx(2.0)


def test_processes_that_have_gone_take_nothing_back(wall: Wall) -> None:
    """What they computed may vanish from the sum; the clock does not run backwards."""
    clock = Clock()
    pass_seconds(wall, clock, 2.0, 2.0, delayed=1.0)
    before = clock.now()
    pass_seconds(wall, clock, 0.3, 0.5, delayed=0.2)
    assert clock.now() == pytest.approx(before + 0.3 / SLACK)
    assert clock.delayed == 1.0


def test_between_two_looks_the_clock_goes_on(wall: Wall) -> None:
    clock = Clock()
    wall.seconds += 3.0
    assert clock.now() == pytest.approx(3.0 / SLACK)

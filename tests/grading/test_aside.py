"""The process beside ours: what it bounds, what its death costs, and what is left of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from trainloop.grading.aside import Aside, Bounds, LostError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Only Linux bounds and forks safely.")

BOUNDS = Bounds(memory_bytes=2**28, cpu_seconds=2, seconds=60, answer_bytes=10_000)
SOON = Bounds(seconds=1)


def work(order: str) -> Any:
    match order:
        case "lists":
            return [[0] * 100 for _ in range(10**9)]
        case "bytes":
            return bytes(2**30)
        case "loop":
            while True:
                pass
        case "sleep":
            time.sleep(600)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "half":
            return "\ud800"
        case "long":
            return "x" * 20_000
        case "no JSON":
            return object()
        case "deep":
            return work(order)
        case "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
    return [order, os.getpid()]


@pytest.fixture
def aside() -> Iterator[Aside]:
    with Aside(work, bounds=BOUNDS) as opened:
        yield opened


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ("lists", "MemoryError"),
        ("bytes", "MemoryError"),
        ("loop", "it took too much computing time"),
        ("kill", "it was killed"),
        ("exit", "exit status 3"),
        ("half", "UnicodeEncodeError"),
        ("long", "20,0"),
        ("no JSON", "TypeError"),
        ("deep", "RecursionError"),
    ],
)
def test_a_job_that_goes_too_far_is_lost_and_the_next_one_is_not(aside: Aside, order: str, why: str) -> None:
    first = aside.ask("first")
    with pytest.raises(LostError, match=why) as lost:
        aside.ask(order)
    assert lost.value.own
    word, process = aside.ask("next")
    assert word == "next" and process != first[1], "what is left of it is nobody's"


def test_a_job_that_waits_for_ever_is_ended() -> None:
    with Aside(work, bounds=SOON) as aside, pytest.raises(LostError, match="came to no end"):
        aside.ask("sleep")


def test_one_process_does_many_jobs(aside: Aside) -> None:
    assert len({aside.ask(str(number))[1] for number in range(5)}) == 1
    assert aside.ask("interrupt")[0] == "interrupt"  # a Ctrl+C is meant for the command


def test_what_is_prepared_is_not_bounded() -> None:
    held: list[bytes] = []
    with Aside(lambda order: len(held[0]), prepare=lambda: held.append(bytes(2**29)), bounds=BOUNDS) as aside:
        assert aside.ask("") == 2**29


def test_a_process_that_dies_between_two_jobs_costs_none_but_the_next(aside: Aside) -> None:
    os.kill(aside.ask("one")[1], signal.SIGKILL)
    with pytest.raises(LostError):
        aside.ask("two")
    assert aside.ask("three")[0] == "three"


def test_when_both_processes_are_ended_there_are_new_ones(aside: Aside) -> None:
    process = psutil.Process(aside.ask("one")[1])
    process.parent().kill()  # type: ignore[union-attr]
    process.wait(60)  # the kernel ends it with the other
    with pytest.raises(LostError) as lost:
        aside.ask("two")
    assert not lost.value.own
    assert aside.ask("three")[0] == "three"


@pytest.mark.parametrize("in_peace", [True, False])
def test_nothing_is_left(in_peace: bool) -> None:
    before, files = set(psutil.Process().children(recursive=True)), psutil.Process().num_fds()
    aside = Aside(work)
    process = psutil.Process(aside.ask("one")[1])
    aside.close() if in_peace else aside.kill()
    process.wait(60)
    assert set(psutil.Process().children(recursive=True)) <= before
    assert psutil.Process().num_fds() == files
    assert aside.ask("again")[0] == "again"  # and it begins anew
    aside.close()

"""The attack suite: each case a small submission with what must happen.

To add a case, write an `Attack` (see `attack`) into the list of its group, `test_<group>.py`:

    Attack("eval", "Evaluates nonsense.", by_code("eval('nonsense')"), lost=whole("scale"), status="wrong")

`by_code` leaves the answer to `scale` wrong and puts the code into a cell before the checks; `by_answer` gives answers
to exercises; `by_change` edits the notebook's JSON; anything else is a function that writes a submission into a folder,
see `arena`. The test of a group is

    @pytest.mark.parametrize("attack", ATTACKS, ids=by_name)
    def test_an_attack(attack: Attack, referee: Referee, tmp_path: Path) -> None:
        referee.judge(attack, tmp_path / "kept")

The suite starts nothing unless the box is a full one. It writes into temporary folders only, and runs as root and as an
ordinary user.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.attacks.arena import Arena
from tests.attacks.attack import Referee
from tests.attacks.payloads import Listener
from trainloop.sandbox.box import Box
from trainloop.sandbox.hosts import BoxError
from trainloop.sandbox.isolation import IsolationError
from trainloop.sandbox.job import Limits

LIMITS = Limits(cell_seconds=10.0, total_seconds=60.0, memory_bytes=2 * 2**30)
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER in linux/prctl.h


@pytest.fixture(scope="module")
def adopts_orphans() -> Iterator[None]:
    """Processes whose parents have gone become children of this one, so that none is overlooked."""
    libc = ctypes.CDLL(None)
    assert sys.platform == "linux" and libc.prctl(SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(SUBREAPER, 0, 0, 0, 0)
    for process in psutil.Process().children():
        if process.status() == psutil.STATUS_ZOMBIE:  # an orphan that has ended: the tests after these do not expect it
            os.waitpid(process.pid, os.WNOHANG)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary folder for all that this process starts, so that what others do in theirs is not taken for ours."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="session")
def full_box() -> Iterator[Box]:
    """The box in which attacks run: a full one, or none."""
    try:
        box = Box(LIMITS, level="full")
    except (BoxError, IsolationError) as error:
        pytest.fail(f"No attack is started, because there is no full box on this machine: {error}")
    with box:
        if box.level != "full":
            pytest.fail(f'No attack is started: the box is one of the level "{box.level}".')
        yield box


@pytest.fixture(scope="session")
def arena(full_box: Box, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """The course that is attacked."""
    return Arena.build(tmp_path_factory.mktemp("arena") / "course", full_box)


@pytest.fixture(scope="module")
def referee(
    arena: Arena, full_box: Box, adopts_orphans: None, temporary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Referee:
    """The judge of the attacks. The box is warm: an honest student has been graded."""
    made = Referee(arena, full_box, temporary)
    folder = arena.folder("honest")
    arena.honest(folder)
    assert made.grade(folder, tmp_path_factory.mktemp("kept")).status == "ok"
    return made


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """What hears of the pages that act."""
    with Listener().running() as running:
        yield running

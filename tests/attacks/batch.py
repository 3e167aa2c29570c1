"""Many attacks at once, through nbgrader's own commands into a gradebook, with an honest student behind them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.attacks.arena import FULL, SECRETS, SLUG, Arena
from tests.attacks.attack import Attack, Referee, Traces, assert_nothing_left
from trainloop.grading.record import marks

SCRIPTS = Path(sys.executable).parent
SECONDS = 300.0  # for a command, on a busy machine
LAST = "zz-honest"


def assert_batch(attacks: Sequence[Attack], referee: Referee, folder: Path) -> None:
    """Grade all `attacks` with `nbgrader autograde`, write the feedback, and hold both to what must happen."""
    arena = referee.arena.with_gradebook(folder)
    for attack in attacks:
        attack.hand_in(arena, arena.folder(attack.name))
    arena.honest(arena.folder(LAST))
    before = Traces.now([referee.temporary])
    _run(arena, "autograde")
    _run(arena, "generate_feedback")
    assert_nothing_left(before, [referee.temporary])
    deserved = {attack.name: attack.points for attack in attacks} | {LAST: FULL}
    found = marks(arena.course, SLUG)
    assert {
        student: {name.removeprefix("check-"): score for name, score in one.items()} for student, one in found.items()
    } == deserved
    assert [path for attack in attacks for path in attack.traces if path.exists()] == []
    for student in deserved:
        page = (arena.course.root / "feedback" / student / SLUG / f"{SLUG}.html").read_text(encoding="utf-8")
        assert [secret for secret in SECRETS if secret in page] == [], student


def _run(arena: Arena, command: str) -> None:
    done = subprocess.run(
        [str(SCRIPTS / "nbgrader"), command, SLUG],
        cwd=arena.course.root,
        env={**os.environ, "PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr

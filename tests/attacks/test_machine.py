"""Machine: submissions that use up what there is of it, or bring down what runs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.attacks.arena import FULL, by_answer, put
from tests.attacks.attack import Attack, Referee, whole
from tests.attacks.bombs import BOMBS, LIT, Bomb
from tests.attacks.small_box import SMALL, in_small_box, said
from tests.sample_class import dump

SECONDS = 60.0  # much more than `SMALL` allows: other things run on the machine


IN_CHECK = ("exit", "deaf-loop", "memory-of-children")
NAPS = replace(SMALL, total_seconds=7.0)


def by_bomb(bomb: Bomb) -> str:
    return bomb.name


@pytest.fixture(scope="module")
def small(referee: Referee) -> Iterator[Referee]:
    with in_small_box(referee) as made:
        yield made


@pytest.mark.parametrize("bomb", BOMBS, ids=by_bomb)
def test_a_bomb_hurts_nobody_else(bomb: Bomb, small: Referee, referee: Referee, tmp_path: Path) -> None:
    first, *others = bomb.ends
    lost = {} if first == "ok" else whole("scale")
    attack = Attack(bomb.name, bomb.does, by_answer(bomb.cell), lost, first, SECONDS, also=tuple(others))
    graded = (referee if bomb.slow else small).judge(attack, tmp_path / "kept")
    shown = said(graded, LIT)
    assert LIT in shown, "it did not even begin"
    assert bomb.says in shown
    assert len(shown) < 2 * SMALL.output_chars
    assert "[image/png]" not in shown or bomb.name == "many-figures"


@pytest.mark.parametrize("bomb", [bomb for bomb in BOMBS if bomb.name in IN_CHECK], ids=by_bomb)
def test_nor_does_one_that_goes_off_in_a_check(bomb: Bomb, small: Referee, referee: Referee, tmp_path: Path) -> None:
    inside = "".join(f"    {line}\n" for line in bomb.code.splitlines())
    attack = Attack(
        bomb.name,
        f"Within the function that is checked: {bomb.does}",
        by_answer(f"def scale(x):\n{inside}    return 2 * x + 1\n"),
        whole("scale"),
        bomb.ends[0],
        SECONDS,
    )
    (referee if bomb.slow else small).judge(attack, tmp_path / "kept")


def test_sleeping_just_below_the_limit_in_every_cell_does_not_add_up(
    small: Referee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small.box, "limits", NAPS)
    nap = f"import time\ntime.sleep({NAPS.cell_seconds - 0.5})\n"
    attack = Attack(
        "naps",
        "Sleeps in each of 30 cells, each time almost as long as it may.",
        lambda arena, folder: put(folder, dump(arena.notebook(*[nap] * 30))),
        FULL,
        "timeout",
        SECONDS,
    )
    graded = small.judge(attack, tmp_path / "kept")
    assert graded.seconds > NAPS.total_seconds - 1, "it was stopped for another reason"

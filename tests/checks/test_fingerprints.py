"""Fingerprints: what has the same, what has another, and that no number can be read from one."""

import math

import numpy as np
import pytest
import torch

from tests.checks.test_verdict import ERROR, seen
from trainloop.checks import fingerprints

Y = torch.tensor([0.37, -1.93, 5.21, 2.74])


@pytest.mark.parametrize(
    "value",
    [Y, Y.numpy(), [1.5, 2.5], (Y, [1, 2.0]), {"w": Y}, 3, 2.5, True, "B", None, torch.arange(4), Y * math.nan, {1}],
)
def test_a_value_has_its_own(value: object) -> None:
    assert fingerprints.fits(fingerprints.of(seen(value)), seen(value))


def test_rounding_makes_no_difference() -> None:
    mine = fingerprints.of(seen(Y))
    assert fingerprints.fits(mine, seen(Y * (1 + 1e-5)))
    assert fingerprints.fits(fingerprints.of(seen(Y - Y.mean())), seen((Y.double() - Y.double().mean()).float()))


@pytest.mark.parametrize(
    "other",
    [
        Y + torch.tensor([0, 0, 0, 0.01]),
        Y.flip(0),
        -Y,
        Y.double(),
        Y.numpy(),
        Y[:, None],
        Y.tolist(),
        Y[:3],
        torch.cat([Y[:3], torch.tensor([math.nan])]),
        Y / 0,
        None,
    ],
)
def test_another_value_has_another(other: object) -> None:
    assert not fingerprints.fits(fingerprints.of(seen(Y)), seen(other))


@pytest.mark.parametrize(("one", "other"), [(3, 4), ("B", "C"), (True, False), ([1], [2]), ({"w": 1.0}, {"v": 1.0})])
def test_what_is_no_floating_point_number_counts_exactly(one: object, other: object) -> None:
    assert not fingerprints.fits(fingerprints.of(seen(one)), seen(other))


def test_errors_but_for_names_and_sizes() -> None:
    mine = fingerprints.of({**ERROR, "message": "size 3 of 'X'"})
    assert fingerprints.fits(mine, {**ERROR, "message": "size 5 of 'Z'", "line": 9})
    assert not fingerprints.fits(mine, {**ERROR, "message": "another"})
    assert not fingerprints.fits(mine, seen(Y))


def test_what_is_right_fits_nothing_wrong() -> None:
    assert not fingerprints.fits(fingerprints.SAME, seen(Y))


def test_keys_of_two_processors_agree() -> None:
    mine = f"{fingerprints.of(seen(Y))} = {fingerprints.of(seen(3))}"
    theirs = f"{fingerprints.of(seen(Y * (1 + 1e-6)))} = {fingerprints.of(seen(3))}"
    assert fingerprints.agree(mine, theirs)
    assert not fingerprints.agree(mine, mine.replace("=", fingerprints.of(seen(Y))))
    assert not fingerprints.agree(mine, f"{fingerprints.of(seen(Y * 1.1))} = {fingerprints.of(seen(3))}")
    assert not fingerprints.agree(mine, mine[:-8])


def test_numbers_that_differ() -> None:
    assert fingerprints.numbers(seen([Y, 2, 2.0, True, "B", torch.tensor([True])])["value"]) == {
        0.37, -1.93, 5.21, 2.74, 2.0,
    }  # fmt: skip


def test_no_two_of_many_values_are_alike() -> None:
    generator = np.random.default_rng(0)
    drawn = [generator.normal(0, 3, generator.integers(1, 9)) for _ in range(300)]
    prints = {fingerprints.of(seen(one)) for one in drawn}
    assert len(prints) == len(drawn)

"""Draws: other numbers in the same checks, and a digest that tells answers apart."""

import math

import pytest
import torch

from trainloop.authoring.draws import FIRST, drawn, numeric_summary

CELL = 'check("relu", {"one": lambda: relu(0.5, 3)}, rules={"kept": lambda: None})'


def test_each_draw_has_other_floating_point_numbers_and_the_same_whole_ones() -> None:
    seen: list[tuple[float, int]] = []
    reported: dict[str, list[float]] = {}

    def check(exercise: str, observations: dict) -> None:  # type: ignore[type-arg]
        reported[exercise] = next(iter(observations.values()))().tolist()

    def relu(x: float, n: int) -> float:
        seen.append((x, n))
        return x * n

    exec(drawn("relu", CELL, range(5)), {"check": check, "relu": relu})
    assert len({x for x, _ in seen}) == 5 and {n for _, n in seen} == {3}
    assert all(0.35 <= x <= 0.65 for x, _ in seen)
    for x, _ in seen:
        assert any(math.isclose(3 * x, one, rel_tol=1e-5) for one in reported["relu"])


def test_how_many_numbers_there_are_stays() -> None:
    cell = 'check("relu", {"a": lambda: 2.0 * torch.arange(6.0).reshape(2, 3)})'
    reported: dict[str, list[float]] = {}

    def check(exercise: str, observations: dict) -> None:  # type: ignore[type-arg]
        reported[exercise] = next(iter(observations.values()))().tolist()

    exec(drawn("relu", cell, range(2)), {"check": check, "torch": torch})
    seen = reported["relu"]
    assert len(seen) == 2 * (1 + 6) and seen[2] != seen[2 + 7], "two draws of six numbers, each times another factor"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.5, 1.6),
        (torch.tensor([1.5]), torch.tensor([[1.5]])),
        (torch.tensor([1.5]), [1.5]),
        (torch.ones(2 * FIRST), torch.cat([torch.ones(2 * FIRST - 1), torch.zeros(1)])),
        ([1, 2], [1, 3]),
        ({"a": 1.0}, {"b": 1.0}),
        ("a", "b"),
        (None, 0),
    ],
)
def test_a_digest_tells_what_differs(one: object, other: object) -> None:
    assert numeric_summary(lambda: one) == numeric_summary(lambda: one) != numeric_summary(lambda: other)


def test_errors_are_told_apart_by_their_type() -> None:
    assert numeric_summary(lambda: 1 / 0) == numeric_summary(lambda: 2 / 0) != numeric_summary(lambda: [][0])


def test_every_call_draws_the_same_random_numbers() -> None:
    assert numeric_summary(lambda: torch.rand(3)) == numeric_summary(lambda: torch.rand(3))

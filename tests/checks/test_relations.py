"""Relations: what a wrong result has to do with the right one, and when nothing may be said of it."""

import math

import numpy as np
import pytest
import torch

from tests.checks.test_verdict import ERROR, exercise, one, seen, verdict
from trainloop.checks import rules
from trainloop.checks.relations import ResultPair, tell
from trainloop.checks.rules import Rule
from trainloop.checks.values import encode
from trainloop.checks.verdict import judge

Y = torch.tensor([0.37, -1.93, 5.21, 2.74])
M = torch.tensor([[0.37, -1.93, 5.21], [2.74, 3.16, -0.82]])
S = M[:, :2]
LOSSES = [4.31, 2.57, 1.93, 1.41]


def told(wrong: object, right: object, *others: tuple[object, object], rule: Rule | None = None) -> str | None:
    """What is told of one check, beside other checks of its part that fail."""
    rule = rule or rules.close()
    pairs = [ResultPair(encode(x), encode(y), rule) for x, y in ((wrong, right), *others)]
    return tell(pairs[0], pairs)


@pytest.mark.parametrize(
    ("wrong", "right", "sentence"),
    [
        (-Y, Y, "Every number has the right size and the wrong sign."),
        (2 * Y, Y, "Every number is twice the right one."),
        (-2 * M, M, "Every number is twice the right one and has the wrong sign."),
        (Y / 2, Y, "Every number is half the right one."),
        (5 * M, M, "Every number is 5 times the right one."),
        (Y / 7, Y, "Every number is the right one divided by 7."),
        (0.3 * Y, Y, "Every number is 0.3 times the right one."),
        (12_960_000 * Y, Y, "Every number is 12,960,000 times the right one."),
        (Y / 86_400, Y, "Every number is the right one divided by 86,400."),
        (1e5 * Y / 1e9, 1e5 * Y, "Every number is the right one divided by 1,000,000,000."),
        ([31.0, 5], [31, 5], "The numbers are right, but a float stands where an int belongs."),
        ([2 * n for n in LOSSES], LOSSES, "Every number is twice the right one."),
        ([-Y, -S], [Y, S], "Every number has the right size and the wrong sign."),
        (Y + 0.5, Y, "Every number is off by the same amount, +0.5."),
        (M.T, M, "This is the right result, transposed."),
        (S.T, S, "This is the right result, transposed."),
        (Y.flip(0), Y, "The right numbers, in the reverse order."),
        (M.flip(1), M, "The right numbers, in the reverse order along axis 1."),
        ([9.9, *LOSSES[:-1]], LOSSES, "The right numbers stand one place too late, and the last of them is missing."),
        ([*LOSSES[1:], 0.9], LOSSES, "The right numbers stand one place too early; the first of them is missing."),
        (Y.sort().values, Y, "The right numbers, sorted."),
        (Y[[2, 0, 3, 1]], Y, "The right numbers, in another order."),
        ([*LOSSES, 0.9], LOSSES, "The right numbers, and one more at the end."),
        ([9.9, *LOSSES], LOSSES, "The right numbers, and one more at the beginning."),
        (LOSSES[:-1], LOSSES, "The right numbers without the last."),
        (LOSSES[1:], LOSSES, "The right numbers without the first."),
        (M.abs() + 0, torch.cat([-M[:1].abs(), M[1:].abs()]), "Every number has lost its sign."),
        (Y**2, Y, "Every number is the square of the right one."),
        (Y.abs().sqrt(), Y.abs(), "Every number is the square root of the right one."),
        ((10 * Y).round() / 10, Y, "The right result, rounded to 1 decimal."),
        (Y.round(), Y, "The right result, rounded to whole numbers."),
        (0.87, 0.8666, "The right result, rounded to 2 decimals."),
        (5.6, 5.59688, "The right result, rounded."),
        (27.0, 27.71, "The right result, rounded down to whole numbers."),
        (28.0, 27.31, "The right result, rounded up to whole numbers."),
        (Y, Y[:, None], "The numbers are right, and their shape is not: (4,), where (4, 1) is expected."),
        (
            Y[:, None] - Y,
            Y[:, None],
            "Shape (4, 4) is what comes of 4 numbers in a row and 4 in a column, each with each.",
        ),
        (
            (Y[:, None] - Y) ** 2,
            Y,
            "Shape (4, 4) is what comes of 4 numbers in a row and 4 in a column, each with each.",
        ),
        (Y.double(), Y, "The numbers are right; their dtype is float64, and float32 is expected."),
        (Y.numpy(), Y, "The numbers are right, but they come as a ndarray; a Tensor is expected."),
        (
            Y.tolist(),
            Y[:, None],
            "The numbers are right, but they come as a list, and of shape (4,) in place of (4, 1); "
            "a Tensor is expected.",
        ),
    ],
)  # fmt: skip
def test_relations(wrong: object, right: object, sentence: str) -> None:
    assert told(wrong, right) == sentence


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (2.0 * 1.7, 1.7),  # one number
        (torch.tensor(-1.7), torch.tensor(1.7)),
        (torch.full((3, 2), -1.7), torch.full((3, 2), 1.7)),  # one number, six times
        (torch.tensor([0.0, 0.0, 3.4]), torch.tensor([0.0, 0.0, 1.7])),
        (torch.zeros(4), torch.tensor([0.2, -0.3, 0.1, 0.4])),  # nothing but zeros, not rounded
        (torch.zeros(4), torch.zeros(4, 1)),
        (-torch.tensor([[4.2e-8, 2.9e-8, 7e-8]]), torch.tensor([[0.55, 0.38, 0.91]])),  # a 0 up to rounding is no share
        (-7.6e-8 * Y, Y),
        (torch.tensor([4.0, 4.0, 4.0]), torch.tensor([2.0, 2.0, 2.0])),  # twice, the square, off by 2
        (torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, -1.0])),
        (torch.tensor([3.0, 4.0, 9.0]), torch.tensor([1.5, 2.0, 4.4])),  # all but one
        (Y + torch.tensor([0.1, 0.2, 0.3, 0.5]), Y),
        (torch.sin(torch.arange(16.0)).reshape(4, 4) ** 3, Y),  # another result, of a shape that would suit a mix-up
        (torch.tensor([[0.3, 1.7], [-2.1, 0.4]]), Y[:2]),
        (Y * math.nan, Y),
        (Y / 0, Y),
        (torch.tensor([1.3, 1.3, 1.3]), torch.tensor([1.3, 1.3])),
        ([5.0], [1.3, 5.0]),
        ([], [1.3]),
        (LOSSES[:2], LOSSES),
        (torch.tensor([True, False]), torch.tensor([1.0, 0.0])),
        (["a"], ["b"]),
        (None, Y),
        (0.9, 0.8666),  # one digit may lie there by chance
        (3.0, 3.71),
        ({"w": 2.0}, {"w": 1.0}),
        ([Y, S], [Y.reshape(2, 2), S]),
        (torch.tensor([[3.1]]), torch.tensor(1.7)),  # a table of one number, where a number without a shape is due
    ],
)
def test_silent(wrong: object, right: object) -> None:
    assert told(wrong, right) is None


def test_single_numbers_of_several_checks_make_a_relation() -> None:
    assert told(3.4, 1.7, (1.82, 0.91)) == "The number is twice the right one."
    assert told(3.4, 1.7, (1.83, 0.91)) is None, "the other check has no such relation"
    assert told(3.4, 1.7, (3.4, 1.7), (0.0, 0.5)) is None
    assert (
        told(torch.tensor([2.6, 5.2]), torch.tensor([1.3, 2.6]), (-4.2, -2.1)) == "Every number is twice the right one."
    )


def test_any_one_factor_of_three_single_numbers_makes_a_relation() -> None:
    """As an average whose weights do not add up to 1: two numbers with one factor may be chance, three are none."""
    one, two, three = ((2.507 * right, right) for right in (1.7, 0.91, 0.394))
    assert told(*one, two, three) == "The number is 2.507 times the right one."
    assert told(*one, two) is None
    assert told(*one, two, (2.6 * 0.394, 0.394)) is None, "the third has another"


def test_a_factor_of_numbers_that_are_compared_roughly_is_told_roughly() -> None:
    """Random draws: nobody knows more digits of the factor than of the numbers."""
    rough = rules.close(rtol=0.03, atol=0)
    right = torch.tensor([0.0871, 0.1166, 0.0742, 0.1003])
    noise = torch.tensor([1.004, 0.996, 1.007, 0.998])
    assert told(2 * right * noise, right, rule=rough) == "Every number is about twice the right one."
    assert told(right * noise / 2, right, rule=rough) == "Every number is about half the right one."
    assert told(1.414 * right * noise, right, rule=rough) == "Every number is about 1.4 times the right one."
    assert told(1.05 * right, right, rule=rough) is None, "as near to 1 as they may be themselves"
    assert told(torch.tensor([4.5, 0.0]), torch.tensor([4.5, 0.002]), rule=rough) is None, "nor are they rounded"
    assert told(50.4 * right, right, rule=rough) == "Every number is about 50 times the right one."
    assert told(996_350 * right, right, rule=rough) == "Every number is about 1,000,000 times the right one."
    assert told(-1.004 * right, right, rule=rough) == "Every number has the right size and the wrong sign."
    assert told(right * torch.tensor([1.4, 1.2, 1.3, 1.4]), right, rule=rough) is None
    assert told(right + 1.429 * noise, right, rule=rough) is None, "nobody knows whether the amount is the same"
    assert told(2.03 * 1.7, 1.7, (3.04 * 0.91, 0.91), (4 * 0.394, 0.394), rule=rough) is None, "no number of things"


def test_a_factor_that_is_another_in_each_check_counts_something() -> None:
    sentence = told(5.1, 1.7, (3.64, 0.91))
    assert sentence is not None and sentence.startswith("The number is 3 times the right one here, and another number")
    sentence = told(Y / 4, Y, (Y / 9, Y))
    assert sentence is not None and sentence.startswith("Every number is the right one divided by 4 here, by another")
    assert told(5.1, 1.7, (2.73, 0.91)) == "The number is 3 times the right one."
    large = told(12_959_987 * 1.7, 1.7, (12_960_004 * 0.91, 0.91))  # a key keeps six digits
    assert large == "The number is 12,960,000 times the right one."
    assert told(996_350 * 1.7, 1.7, (1_002_410 * 0.91, 0.91)) is None, "of large factors, each is near a whole one"


def test_small_numbers_are_no_factor_of_each_other() -> None:
    """Within the tolerance, everything is everything."""
    tiny = torch.tensor([3e-6, 5e-6, 7e-6])
    assert told(2 * tiny, tiny, rule=rules.close(atol=1e-6)) is None


def test_only_what_is_compared_by_numbers_has_relations() -> None:
    assert told(torch.tensor([0, 2, 4]), torch.tensor([0, 1, 2]), rule=rules.accuracy([0, 1, 2], at_least=0.9)) is None
    sealed = {"type": "str", "salt": "s", "digest": "d"}
    assert (
        tell(ResultPair(encode("B"), sealed, rules.close()), [ResultPair(encode("B"), sealed, rules.close())]) is None
    )


def test_a_relation_speaks_after_a_name_and_before_the_bare_difference() -> None:
    result = verdict(Y, seen(2 * Y))
    assert (result.mistake, result.sentence) == (None, "Every number is twice the right one.")
    assert result.detail[0].startswith("4 of 4 entries differ")
    assert verdict(Y, seen(2 * Y), seen(2 * Y)).sentence == "Mistake 0."
    assert "twice" not in verdict(Y, seen(2 * Y), hidden=True).sentence


def test_relations_stay_within_a_part() -> None:
    """The items of f[0] are doubled, f[1] is otherwise wrong; an error says nothing of numbers."""
    key = exercise(
        one("pair", (1.7, 0.4), parts=("f[0]", "f[1]")), one("w", 0.91, parts=("f[0]",)), one("e", 1.0, parts=("f[0]",))
    )
    result = judge(key, {"pair": seen((3.4, 7.1)), "w": seen(1.82), "e": ERROR})
    assert [check.sentence for check in result.checks[:2]] == [
        "Item 0: The number is twice the right one.", "The number is twice the right one.",
    ]  # fmt: skip


def test_no_two_random_results_are_related() -> None:
    generator = np.random.default_rng(0)
    for size in (1, 2, 3, 4, 6) * 60:
        x, y = generator.normal(0, 2, (2, size)).astype(np.float32)
        assert told(torch.from_numpy(x), torch.from_numpy(y)) is None

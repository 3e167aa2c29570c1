"""Relations: what a wrong result has to do with the right one, found without an author.

Twice as large, the other sign, transposed, one too many, sorted, rounded: told as a fact about the numbers, which is
true whatever led to it. Silent where a coincidence is as likely: a relation must hold of every number, of at least
`MIN_IN_CHECK` different ones in one check, or of `MIN_IN_PART` over all checks of the part that fail. One number is
never enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainloop.checks import values
from trainloop.checks.rules import Rule
from trainloop.checks.values import Array, Value

MIN_IN_CHECK = 3  # different numbers in one check
MIN_IN_PART = 2  # different numbers in all checks of a part, of which each has the relation
DECIMALS = range(7)
MAX_EXACT_COUNT = 10_000  # of a larger factor, digits behind the fourth are those of a rounded key
ROUNDED = "rounded to "
COUNTS = {
    "times a count": "here, and another number of times elsewhere: a number of things comes in, as with a sum in "
    "place of a mean, or with each against each.",
    "a count divides": "here, by another number elsewhere: as when one division by a number of things is too many.",
}
MAX_NUMBER = 1e100
EXACT = 1e-3  # of a factor: nearer is the same; numbers that are compared less closely are rough
FACTOR_TOLERANCES = 100  # times the tolerance: smaller numbers say nothing of a factor
ZERO_TOLERANCES = 10  # times the tolerance: what is all smaller is a 0 up to rounding, and no share of anything


@dataclass(frozen=True)
class Relation:
    """One relation between what was seen and what is right."""

    name: str  # the same in every check that has it
    sentence: str
    numbers: int  # different ones that it was found for
    factor: float = 1.0
    spent: int = 0  # of the numbers, those that any relation of the kind would hold of: some factor fits every number


@dataclass(frozen=True)
class ResultPair:
    """A wrong value beside the right one, and how close is close."""

    seen: Value
    expected: Value
    rule: Rule


def tell(pair: ResultPair, part: Sequence[ResultPair]) -> str | None:
    """The relation of a pair, in a sentence; None where there is none, or too little to tell.

    Args:
        pair: what one check saw.
        part: all wrong pairs of the same part of the answer, this one among them.
    """
    found = [{one.name: one for one in relations(each)} for each in part]
    told = [one for one in relations(pair) if _is_told(one, found)]
    if all(one.name.startswith(ROUNDED) for one in told[:2]) and len(told) > 1:  # 5.6 may be 5.60, too
        return "The right result, rounded."
    for one in told:
        return f"{one.sentence[:-1]} {COUNTS[one.name]}" if _counts(one, found) else one.sentence
    return None


def _is_told(one: Relation, found: Sequence[dict[str, Relation]]) -> bool:
    """Whether a relation stands on enough numbers: of its own check, or of all that have it."""
    everywhere = all(one.name in each for each in found)
    together = sum(each[one.name].numbers for each in found) - one.spent if everywhere else 0
    return one.numbers - one.spent >= MIN_IN_CHECK or together >= MIN_IN_PART


def relations(pair: ResultPair) -> Iterator[Relation]:
    """What holds of a pair, the plainest first."""
    seen, expected = pair.seen, pair.expected
    if pair.rule["rule"] != "close" or "digest" in expected:
        return
    x, y = _numbers(seen), _numbers(expected)
    if x is None or y is None or not (_is_plain(x) and _is_plain(y)):
        return
    if _is_nested(seen) or _is_nested(expected):
        if _form(seen) == _form(expected):
            yield from _of_factors(x, y, pair.rule)
            yield from _of_functions(x, y, pair.rule)
    elif _kind(seen) == _kind(expected) and x.shape == y.shape and _close(x, y, pair.rule):
        yield from _of_items(seen, expected, y)
    elif _kind(seen) == _kind(expected):
        yield from _of_numbers(x, y, pair.rule) if x.shape == y.shape else _of_shapes(x, y, pair.rule)
    elif x.size == y.size and _close(x.ravel(), y.ravel(), pair.rule):
        yield Relation("kind", _of_kinds(seen, expected, x, y), _different(y))


def _of_numbers(x: Array, y: Array, rule: Rule) -> Iterator[Relation]:
    """Between two results of one shape."""
    yield from _of_factors(x, y, rule)
    shift = x - y
    if y.size > 1 and not _is_rough(rule) and _close(shift, np.full_like(shift, shift.flat[0]), rule):
        told = f"Every number is off by the same amount, {shift.flat[0]:+.4g}."
        yield Relation(f"shift {shift.flat[0]:.4g}", told, _different(y), spent=1)
    if y.ndim == 2 and y.shape[0] == y.shape[1] and _close(x, y.T, rule):
        yield Relation("transposed", "This is the right result, transposed.", _different(y) - 1)
    for axis in range(y.ndim):
        if y.shape[axis] > 2 and _close(x, np.flip(y, axis), rule):
            order = "The right numbers, in the reverse order."
            yield Relation("reversed", order if y.ndim == 1 else f"{order[:-1]} along axis {axis}.", _different(y) - 1)
    if y.ndim == 1:
        yield from _of_orders(x, y, rule)
    yield from _of_functions(x, y, rule)


def _is_plain(array: Array) -> bool:
    """Whether all numbers can be calculated with."""
    return bool((np.abs(array) < MAX_NUMBER).all())  # false of NaN, too


def _every(y: Array) -> str:
    return "Every number" if y.size > 1 else "The number"


def _of_factors(x: Array, y: Array, rule: Rule) -> Iterator[Relation]:
    telling = np.abs(y) > FACTOR_TOLERANCES * rule["atol"]
    if not telling.any():
        return
    factor = float(np.median((x[telling] / y[telling]).ravel()))
    if factor == 0 or np.abs(x).max() <= ZERO_TOLERANCES * rule["atol"] or not _close(x, factor * y, rule):
        return
    numbers, every = _different(y[telling]), _every(y)
    rough, side, size = _is_rough(rule), " and has the wrong sign" if factor < 0 else "", abs(factor)
    if side and _is(size, 1, rule):
        yield Relation("minus", f"{every} has the right size and the wrong sign.", numbers)
        return
    if rough and not side and abs(size - 1) <= 2 * rule["rtol"]:
        return  # as near to 1 as the numbers themselves may be
    digits = 2 if rough else 4
    whole, part = round(size), round(1 / size)
    name, count = "", 1.0
    if whole > 1 and _is(size, whole, rule):
        told = "twice the right one" if whole == 2 else f"{_in_words(whole, rough)} times the right one"
        name, count = "times a count", float(whole)
    elif part > 1 and _is(1 / size, part, rule):
        told = "half the right one" if part == 2 else f"the right one divided by {_in_words(part, rough)}"
        name, count = "a count divides", 1 / part
    else:
        told = f"{size:.{digits}g} times the right one"
    told = f"{every} is {'about ' * rough}{told}{side}."
    if name and not side and not rough and max(whole, part) <= MAX_EXACT_COUNT:
        yield Relation(name, told, numbers, count)
    else:  # of rough or large numbers, each is near to some whole one
        yield Relation(f"times {factor:.{digits}g}", told, numbers, spent=int(rough or not name))


def _is_rough(rule: Rule) -> bool:
    """Whether numbers are compared as those of random draws are: nobody knows more digits of what lies between them."""
    return rule["rtol"] > EXACT


def _in_words(count: int, rough: bool) -> str:
    """A count; of a large one four digits, and of a rough one two."""
    most, digits = (100, 2) if rough else (MAX_EXACT_COUNT, 4)
    return str(count) if count <= most else f"{float(f'{count:.{digits}g}'):,.0f}"


def _counts(one: Relation, found: Sequence[dict[str, Relation]]) -> bool:
    """Whether a factor is another whole number in some check: then it counts something."""
    factors = [each[one.name].factor for each in found if one.name in each] if one.name in COUNTS else []
    return any(not _is(factor, one.factor) for factor in factors)


def _of_orders(x: Array, y: Array, rule: Rule) -> Iterator[Relation]:
    """Between two rows of one length."""
    numbers = _different(y) - 1
    if y.size > 3 and _close(x[1:], y[:-1], rule):
        yield Relation("late", "The right numbers stand one place too late, and the last of them is missing.", numbers)
    if y.size > 3 and _close(x[:-1], y[1:], rule):
        yield Relation("early", "The right numbers stand one place too early; the first of them is missing.", numbers)
    if y.size > 2 and _close(np.sort(x), np.sort(y), rule):
        is_sorted = _close(x, np.sort(y), rule) or _close(x, np.sort(y)[::-1], rule)
        how = "sorted" if is_sorted else "in another order"
        yield Relation("order", f"The right numbers, {how}.", numbers)


def _of_functions(x: Array, y: Array, rule: Rule) -> Iterator[Relation]:
    every = _every(y)
    apart = ~np.isclose(x, y, rule["rtol"], rule["atol"])
    if _close(x, np.abs(y), rule):
        yield Relation("absolute", f"{every} has lost its sign.", _different(y[apart]))
    if _close(x, y**2, rule):
        yield Relation("squared", f"{every} is the square of the right one.", _different(y[apart]))
    if (y >= 0).all() and _close(x, np.sqrt(y), rule):
        yield Relation("root", f"{every} is the square root of the right one.", _different(y[apart]))
    if not _is_rough(rule):
        yield from _of_roundings(x, y)


def _of_roundings(x: Array, y: Array) -> Iterator[Relation]:
    """All that a rounded result may be: 5.3 has one decimal, or two of which the last is 0.

    A single number of some digits tells enough here, if all others agree: it is round *and* lies beside the right one.
    """
    for decimals in DECIMALS:
        if _is_nearly(x, np.round(y, decimals)):
            told = "to whole numbers" if decimals == 0 else f"to {decimals} decimal{'s' * (decimals > 1)}"
            yield Relation(f"{ROUNDED}{decimals}", f"The right result, rounded {told}.", _round_ones(x, decimals))
    for name, rounded in (("down", np.floor(y)), ("up", np.ceil(y))):
        if _is_nearly(x, rounded):
            yield Relation(f"rounded {name}", f"The right result, rounded {name} to whole numbers.", _round_ones(x, 0))


def _round_ones(x: Array, decimals: int) -> int:
    """How many numbers tell that all are round: of two digits or more, one stands for two."""
    whole = [str(abs(round(float(one) * 10**decimals))).rstrip("0") for one in x.ravel()]
    return max(_different(x), MIN_IN_PART if any(len(one) > 1 for one in whole) else 0)


def _is_nearly(x: Array, y: Array) -> bool:
    return bool(y.size) and bool(np.abs(x - y).max() <= 1e-6 * max(1.0, float(np.abs(y).max())))


def _of_shapes(x: Array, y: Array, rule: Rule) -> Iterator[Relation]:
    """Between two results of different shapes."""
    got, wanted = _shape(x), _shape(y)
    if x.shape == y.shape[::-1] and min(y.shape) > 1 and _close(x.T, y, rule):
        yield Relation("transposed", "This is the right result, transposed.", _different(y))
    elif x.size == y.size and _close(x.ravel(), y.ravel(), rule):
        told = f"The numbers are right, and their shape is not: {got}, where {wanted} is expected."
        yield Relation("shape", told, _different(y))
    elif y.size > 2 and x.shape == (y.size, y.size) and max(y.shape) == y.size and _is_each_with_each(x, rule):
        told = f"Shape {got} is what comes of {y.size} numbers in a row and {y.size} in a column, each with each."
        yield Relation("each with each", told, y.size)
    elif x.ndim == y.ndim == 1:
        yield from _of_lengths(x, y, rule)


def _is_each_with_each(x: Array, rule: Rule) -> bool:
    """Whether a square comes of a row and a column: sums, differences, products and squared differences do.

    Of these, what is left of an entry without its row's and its column's first is a product of two numbers. Of a square
    of two rows that is always so, and says nothing.
    """
    rest = x - x[:1] - x[:, :1] + x[0, 0]
    row, column = np.unravel_index(int(np.abs(rest).argmax()), rest.shape)
    product = np.outer(rest[:, column], rest[row]) / (rest[row, column] or 1.0)
    return _close(product, rest, rule)


def _of_lengths(x: Array, y: Array, rule: Rule) -> Iterator[Relation]:
    if x.size == y.size + 1:
        if _close(x[:-1], y, rule):
            yield Relation("one more", "The right numbers, and one more at the end.", _different(y))
        elif _close(x[1:], y, rule):
            yield Relation("one before", "The right numbers, and one more at the beginning.", _different(y))
    if x.size == y.size - 1:
        if _close(x, y[:-1], rule):
            yield Relation("last missing", "The right numbers without the last.", _different(x))
        elif _close(x, y[1:], rule):
            yield Relation("first missing", "The right numbers without the first.", _different(x))


def _of_kinds(seen: Value, expected: Value, x: Array, y: Array) -> str:
    kind, wanted = seen["type"], expected["type"]
    if kind == wanted and "dtype" in seen:
        return f"The numbers are right; their dtype is {seen['dtype']}, and {expected['dtype']} is expected."
    shapes = f", and of shape {_shape(x)} in place of {_shape(y)}" if x.shape != y.shape else ""
    return f"The numbers are right, but they come as {_article(kind)}{shapes}; {_article(wanted)} is expected."


def _of_items(seen: Value, expected: Value, y: Array) -> Iterator[Relation]:
    """Between two lists of the same numbers: some are of another type."""
    for one, other in zip(seen.get("items", ()), expected.get("items", ()), strict=False):
        if one["type"] != other["type"]:
            told = f"The numbers are right, but {_article(one['type'])} stands where {_article(other['type'])} belongs."
            yield Relation("kind", told, _different(y))
            return


def _article(kind: str) -> str:
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _kind(value: Value) -> tuple[str, str]:
    return value["type"], value.get("dtype", "")


def _numbers(value: Value) -> Array | None:
    """The numbers of a value: an array, a number, or a list of either; None where it holds anything else."""
    if values.is_array(value):
        array = values.array(value)
        return None if array.dtype.kind == "b" else array.astype(np.float64)
    if value["type"] in ("int", "float"):
        return np.array(values.number(value))
    if value["type"] in ("list", "tuple") and value["items"]:
        items = [_numbers(item) for item in value["items"]]
        known = [item for item in items if item is not None]
        if len(known) < len(items):
            return None
        if all(item.ndim == 0 for item in known):
            return np.array(known)
        return np.concatenate([item.ravel() for item in known])
    return None


def _is_nested(value: Value) -> bool:
    """Whether a value is a list of more than numbers."""
    return any(values.is_array(item) or "items" in item for item in value.get("items", ()))


def _form(value: Value) -> object:
    """A value without its numbers."""
    if "items" in value:
        return value["type"], [_form(item) for item in value["items"]]
    return value["type"], value.get("dtype"), value.get("shape")


def _different(numbers: Array) -> int:
    """How many different numbers there are, but for rounding; 0 and 1 are like themselves in too many relations."""
    found = np.unique(np.round(numbers.ravel(), 6))
    return int(np.isin(found, (0, 1), invert=True).sum())


def _close(x: Array, y: Array, rule: Rule) -> bool:
    with np.errstate(all="ignore"):
        return x.shape == y.shape and bool(np.allclose(x, y, rtol=rule["rtol"], atol=rule["atol"]))


def _is(number: float, wanted: float, rule: Rule | None = None) -> bool:
    """Whether a factor is a whole number, as closely as the numbers are compared that it was found from."""
    rough = min(rule["rtol"] * abs(wanted), 0.05) if rule is not None and _is_rough(rule) else 0.0
    return abs(number - wanted) <= max(EXACT * abs(wanted), rough)


def _shape(array: Array) -> str:
    return str(array.shape)

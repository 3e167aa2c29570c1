"""Draws: a check cell made many times over with other numbers, all of which come to one tensor.

Two answers that agree on it are taken to be the same. An exercise needs thousands of observations for that. Each would
be sent to the trusted side and judged there by itself, so the process that makes them puts them together first.
"""

from __future__ import annotations

import ast
import copy
import json
import random
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator

import numpy as np

from trainloop.checks import values
from trainloop.checks.values import Value

SPREAD = 0.3  # of a drawn number, as a share of the one that stands there
FIRST = 32  # numbers of an array that are kept; of the rest only sums
TITLE = "all draws"
CELL = """\
from trainloop.authoring.draws import numeric_summary as _summary
_check, _summaries = check, []
def check(exercise, observations, rules=None, worth=None):
    _summaries.extend(_summary(call) for title, call in observations.items() if title not in {others!r})
{draws}
_check({exercise!r}, {{{title!r}: lambda: __import__("torch").tensor([one for each in _summaries for one in each])}})
"""


def drawn(exercise: str, cell: str, draws: range, others: Collection[str] = ()) -> str:
    """A check cell that makes the checks of `cell` once for each draw, with other numbers each time.

    Only what is compared number by number: a rule of *how* counts or times, and a share that a trained model gets right
    has a threshold; both are made for the numbers that stand there.

    Args:
        exercise: its name.
        cell: the text of its checks.
        draws: which ones.
        others: the titles of checks that are compared in another way.
    """
    tree = ast.parse(cell)
    texts = [ast.unparse(ast.fix_missing_locations(_Numbers(draw).visit(copy.deepcopy(tree)))) for draw in draws]
    return CELL.format(exercise=exercise, draws="\n".join(texts), title=TITLE, others=sorted(others))


class _Numbers(ast.NodeTransformer):
    """Other floating-point numbers in a check cell; how many of something there are stays."""

    def __init__(self, draw: int) -> None:
        self._picker = random.Random(draw)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if type(node.value) is float:
            by = self._picker.uniform(-SPREAD, SPREAD)
            node.value = round(node.value * (1 + by) if node.value else abs(by), 6)  # a share of 0 stays a share
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "arange":
            return node
        return self.generic_visit(node)


def numeric_summary(call: Callable[[], object]) -> list[float]:
    """What a check would see, in a few numbers: its form, its numbers or their sums; an error in one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = values.observe(call)
    if seen["saw"] != "value":
        return [_sum_of(seen["saw"] + str(seen.get("type", "")))]
    return [_sum_of(json.dumps(_form(seen["value"]))), *_numbers_of(seen["value"])]


def _sum_of(text: str) -> float:
    return float(zlib.crc32(text.encode()) % 1_000_003)


def _form(value: Value) -> object:
    """A value without its floating-point numbers."""
    if "items" in value:
        items = value["items"]
        return value["type"], [[one[0], _form(one[1])] if value["type"] == "dict" else _form(one) for one in items]
    if value["type"] == "float" or "dtype" in value:
        return value["type"], value.get("dtype"), value.get("shape")
    return value


def _numbers_of(value: Value) -> Iterator[float]:
    if "items" in value:
        for one in value["items"]:
            yield from _numbers_of(one[1] if value["type"] == "dict" else one)
    elif value["type"] == "float":
        yield values.number(value)
    elif "dtype" in value:
        numbers = values.array(value).astype(np.float64).ravel()
        yield from map(float, numbers[:FIRST])
        if numbers.size > FIRST:
            yield float(numbers @ np.cos(1.7 * np.arange(numbers.size)))

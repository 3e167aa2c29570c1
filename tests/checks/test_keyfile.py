"""The text of a key: what is lost and what is not, how long it is, what a change in it looks like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainloop.checks import keyfile, rules, values
from trainloop.checks.key import CheckKey, ExerciseKey, Key
from trainloop.checks.rules import Rule
from trainloop.checks.values import Observation, encode

NOTHING_LOST = rules.close(rtol=0.0, atol=0.0)
VALUES = [
    None,
    True,
    -3,
    0.1,
    1.0,
    -0.0,
    float("nan"),
    float("-inf"),
    "B",
    [],
    [1, 2.0, ["a"]],
    (),
    (1, (2,)),
    {"loss": [0.5], "ok": True},
    {},
    torch.tensor(0.1),
    torch.tensor([[0.1, -2.0, 1e30], [float("nan"), float("inf"), 1e-30]]),
    torch.tensor([0.1, 1 / 3], dtype=torch.float64),
    torch.tensor([0.1, 1 / 3], dtype=torch.float16),
    torch.zeros(0, 3),
    torch.tensor([True, False]),
    torch.tensor([[2**62, -1]]),
    np.array([0.1, 1 / 3]),
    np.array(["a"]),
    np.float32(0.1),
    np.int64(5),
    [torch.tensor([1.5]), np.float32(2.0)],
    {1, 2},
]


def seen(value: object) -> Observation:
    return {"saw": "value", "value": encode(value)}


def exercise(*mistakes: object, rule: Rule | None = None, sentences: tuple[str, ...] = ()) -> ExerciseKey:
    """One check, and for each mistake what it computes there."""
    told = sentences or tuple(f"Sentence {number}." for number in range(len(mistakes)))
    shown = tuple(None if mistake is None else seen(mistake) for mistake in mistakes)
    check = CheckKey("a", "f(1)", 1.0, False, rule or rules.close(), seen(torch.tensor([0.5, 2.0])), shown)
    return ExerciseKey("f", "Exercise 1", ("f",), 1.0, told, (check,))


def key(*mistakes: object, rule: Rule | None = None) -> Key:
    return Key("9.9-tiny", {"f": exercise(*mistakes, rule=rule)}, {})


def again(one: Key, folder: Path) -> Key:
    path = folder / "key.json"
    path.write_text(one.dump(), encoding="utf-8")
    return Key.load(path)


@pytest.mark.parametrize("value", VALUES, ids=[f"{place}-{type(value).__name__}" for place, value in enumerate(VALUES)])
def test_no_kind_of_value_is_lost(value: object, tmp_path: Path) -> None:
    one = key(value, rule=NOTHING_LOST)
    assert again(one, tmp_path) == one


@pytest.mark.parametrize(
    "observation",
    [
        {"saw": "stub"},
        {"saw": "raised", "type": "TypeError", "message": "no '='", "line": None, "code": ""},
        {"saw": "missing", "name": "f", "type": "NameError", "message": "", "line": 3, "code": "f()"},
        {"saw": "value", "value": values.salted_hash({"type": "str", "data": "B"}, "f")},
        {"saw": "value", "value": {"type": "int", "data": 5}, "more": [1]},
    ],
)
def test_no_kind_of_observation_is_lost(observation: Observation, tmp_path: Path) -> None:
    one = exercise(1.0)
    check = replace(one.checks[0], expected=observation, mistakes=(observation,))
    whole = Key("9.9-tiny", {"f": replace(one, checks=(check,))}, {"X": encode(np.ones(2))})
    assert again(whole, tmp_path) == whole


@pytest.mark.parametrize(
    ("rule", "number", "kept"),
    [
        (rules.close(), 1 / 3, 0.333333),
        (rules.close(rtol=1e-2), 1 / 3, 0.3333),
        (rules.close(), 1e-9, 0.0),
        (rules.close(), -1e-9, 0.0),
        (rules.close(atol=1e-10), 1e-9, 1e-9),
        (rules.close(atol=0), 1.23456789e-12, 1.23457e-12),
        (rules.close(), 1234567.0, 1234570.0),
    ],
)
def test_numbers_are_no_longer_than_the_tolerance_needs(rule: Rule, number: float, kept: float) -> None:
    one = key(number, torch.tensor(number, dtype=torch.float64), [torch.tensor([number, 1.0])], rule=rule)
    rows = json.loads(one.dump())["exercises"]["f"]["seen"].values()
    assert [row[0]["="] for row in rows] == [kept, {"Tensor float64": kept}, [{"Tensor float32 2": [kept, 1]}]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("rtol", [1e-1, 1e-4, 1e-6, 1e-12])
def test_what_is_written_again_is_the_same(dtype: torch.dtype, rtol: float, tmp_path: Path) -> None:
    numbers = torch.randn(200, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    one = key((numbers * 10.0 ** torch.arange(-6, 4, 0.05)).to(dtype), rule=rules.close(rtol=rtol, atol=rtol / 100))
    assert again(one, tmp_path).dump() == one.dump()


def test_rounding_is_less_than_a_tenth_of_the_tolerance(tmp_path: Path) -> None:
    numbers = torch.randn(500, generator=torch.Generator().manual_seed(3)) * 10.0 ** torch.arange(-8, 4.5, 0.025)
    (loaded,) = again(key(numbers), tmp_path).exercises["f"].checks[0].mistakes
    assert loaded is not None
    assert values.same_value(loaded["value"], encode(numbers), rtol=1e-5, atol=1e-7)
    assert not values.same_value(loaded["value"], encode(numbers), rtol=1e-9, atol=1e-12)


def test_mistakes_that_compute_the_same_share_it() -> None:
    table = json.loads(key(1 / 3, None, 1 / 3 + 1e-9, 5.0).dump())["exercises"]["f"]["seen"]
    first, second, third, fourth = table
    assert table == {first: [{"=": 0.333333}], second: [None], third: [first], fourth: [{"=": 5.0}]}


def test_a_new_mistake_is_two_new_lines_and_moves_none() -> None:
    sentences = [f"Sentence {number}." for number in range(9)]
    computed = [torch.full((3,), float(number)) for number in range(9)]
    before = Key("x", {"f": exercise(*computed[1:], sentences=tuple(sentences[1:]))}, {}).dump().splitlines()
    after = Key("x", {"f": exercise(*computed, sentences=tuple(sentences))}, {}).dump().splitlines()
    assert len(after) == len(before) + 2
    assert set(before) < set(after)


def test_mistakes_with_the_same_sentence_are_told_apart(tmp_path: Path) -> None:
    one = Key("x", {"f": exercise(1.0, 2.0, 3.0, sentences=("Same.", "Same.", "Same."))}, {})
    assert again(one, tmp_path) == one


def test_a_key_in_the_first_form_is_read(tmp_path: Path) -> None:
    """Learners keep what they were given: an old notebook is checked by its old `checks.json`."""
    one = key(torch.tensor([1.0, 2.5]), None, "A")
    path = tmp_path / "checks.json"
    plain = {"version": 1, "lesson": one.lesson, "exercises": [asdict(one.exercises["f"])], "given": {}}
    path.write_text(json.dumps(plain), encoding="utf-8")
    assert Key.load(path) == one


@dataclass(frozen=True)
class Part:
    """A field that a later version adds: what it holds is written as everything else is."""

    rule: Rule
    seen: tuple[Observation | None, ...] = field(metadata=keyfile.BY_NAME)


@dataclass(frozen=True)
class Later:
    """A dataclass with fields of every form."""

    sentences: tuple[str, ...] = field(metadata=keyfile.NAMED)
    first: Part
    pair: tuple[str, int]
    parts: tuple[Part, ...] = ()
    table: Mapping[str, Part] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@pytest.mark.parametrize(
    "later",
    [
        Later(("a", "b"), Part(rules.close(), (seen(1.0), None)), ("p", 1)),
        Later(
            ("a", "b"),
            Part(rules.close(), (None, None)),
            ("p", 1),
            (Part(rules.close(), (seen(2), seen(2))), Part(rules.close(), (None, seen("x")))),
            {"q": Part(rules.option(), (seen("A"), None))},
            {"A": "Right."},
            "note",
        ),
        Later((), Part(rules.close(), ()), ("p", 1), (Part(rules.close(), ()),)),
    ],
)
def test_any_dataclass_is_written_and_read(later: Later) -> None:
    text = keyfile.dump(later, 7)
    assert json.loads(text)["version"] == 7
    assert keyfile.load(Later, json.loads(text)) == later
    assert ("note" in text) == bool(later.note)

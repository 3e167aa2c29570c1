"""Rules, and the key file: what it hides, when two agree, what is said of a damaged one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainloop.checks import rules
from trainloop.checks.key import CheckKey, ExerciseKey, Key, KeyFileError
from trainloop.checks.values import Json, encode


def seen(value: object) -> Json:
    return {"saw": "value", "value": encode(value)}


def key(weight: float = 2.0, title: str = "weights", hidden: float = 5.0) -> Key:
    checks = (
        CheckKey(title, "f()", 1.0, False, rules.close(), seen(torch.tensor([1.0, weight])), (seen(3.0), None)),
        CheckKey("letter", "g()", 1.0, False, rules.close(), seen("B"), (None, seen("A"))),
        CheckKey("secret", "h()", 1.0, True, rules.close(), seen(hidden), ({"saw": "stub"}, None)),
    )
    exercise = ExerciseKey("relu", "Exercise 1", ("f",), 3.0, ("one", "two"), checks)
    return Key("9.9-tiny", {"relu": exercise}, {"X": encode(np.ones(3))})


def test_close() -> None:
    rule = rules.close(rtol=0.1, atol=0)
    assert rules.passes(rule, seen(2.1), seen(2.0))
    assert not rules.passes(rule, seen(2.3), seen(2.0))
    assert not rules.passes(rule, {"saw": "stub"}, seen(2.0))
    assert rules.passes(rules.close(rtol=0, atol=0.5), seen(0.4), seen(0.0))


@pytest.mark.parametrize(
    ("predictions", "share"),
    [
        (torch.tensor([0, 1, 1, 0]), 1.0),
        (torch.tensor([[0.0], [1.0], [1.0], [1.0]]), 0.75),
        (np.array([False, True, True, False]), 1.0),
        (torch.tensor([0.1, 0.9, 0.9, 0.1]), 0.0),
        (torch.full((4,), float("nan")), 0.0),
        (torch.tensor([[0, 1], [1, 0]]), None),
        (torch.tensor([[0, 1, 1, 0]]), None),
        (torch.tensor([0, 1, 1]), None),
        (torch.zeros(0), None),
        ([0, 1, 1, 0], None),
        (0.99, None),
    ],
)
def test_accuracy(predictions: object, share: float | None) -> None:
    rule = rules.accuracy([0, 1, 1, 0], at_least=0.75)
    assert rules.share_right(rule, seen(predictions)) == share
    assert rules.passes(rule, seen(predictions), seen(None)) == (share is not None and share >= 0.75)


def test_accuracy_of_what_is_no_value() -> None:
    rule = rules.accuracy([0, 1], at_least=0.0)
    for observation in ({"saw": "stub"}, {"saw": "raised", "type": "E", "message": "", "line": None, "code": ""}):
        assert rules.share_right(rule, observation) is None
        assert not rules.passes(rule, observation, seen(None))
        assert not rules.short_of(rule, observation)


def test_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(key().dump(), encoding="utf-8")
    loaded = Key.load(path)
    assert loaded == key()
    assert loaded.dump() == path.read_text(encoding="utf-8")


def test_the_visible_key_hides(tmp_path: Path) -> None:
    text = key().visible().dump()
    for secret in ("secret", "h()", '"X"', '"A"', '"B"'):
        assert secret in key().dump()
        assert secret not in text
    (tmp_path / "key.json").write_text(text, encoding="utf-8")
    weights, letter = Key.load(tmp_path / "key.json").exercises["relu"].checks
    assert rules.passes(weights.rule, seen(torch.tensor([1.0, 2.0])), weights.expected)
    assert rules.passes(letter.rule, seen("B"), letter.expected)
    assert not rules.passes(letter.rule, seen("A"), letter.expected)
    assert letter.mistakes[1] is not None and rules.passes(letter.rule, seen("A"), letter.mistakes[1])


def test_keys_that_agree() -> None:
    assert key().agrees(key(weight=2.0000002))
    assert key().visible().agrees(key(weight=2.0000002).visible())
    assert key().visible().agrees(key(hidden=6.0).visible())


@pytest.mark.parametrize(("rtol", "atol"), [(0.1, 0.0), (0.05, 1e-3), (1e-4, 1e-6), (0.0, 0.0), (1.0, 0.0)])
def test_a_key_agrees_with_itself_as_it_was_written(tmp_path: Path, rtol: float, atol: float) -> None:
    """Whatever digits the file leaves out, and whatever the last ones are on another processor."""
    numbers = torch.linspace(1, 10, 1000).tolist()
    path = tmp_path / "key.json"

    def one(times: float) -> Key:
        check = CheckKey("t", "f()", 1.0, False, rules.close(rtol, atol), seen(torch.tensor(numbers) * times), ())
        return Key("9.9-tiny", {"relu": ExerciseKey("relu", "Exercise 1", ("f",), 1.0, (), (check,))}, {})

    path.write_text(one(1).dump(), encoding="utf-8")
    assert Key.load(path).agrees(one(1))
    assert Key.load(path).agrees(one(1 + 1e-5))
    assert not Key.load(path).agrees(one(1 + max(rtol, 0.01)))


@pytest.mark.parametrize(
    ("computed", "agrees"),
    [
        ([1.0, 2.0, 3.0], True),
        ([1.0, 2.0, 7e17], True),  # chaos, in one of three
        ([1.0, None, 3.0], True),  # one more check passed, close to its threshold
        ([1.0, 5.0, 7.0], False),
        ([None, None, 3.0], False),
    ],
)
def test_of_what_a_mistake_computes_one_in_three_may_be_chaos(computed: list[float | None], agrees: bool) -> None:
    def one(numbers: list[float | None]) -> Key:
        checks = [
            CheckKey(str(n), "f()", 1.0, False, rules.close(), seen(0.5), (None if n is None else seen(n),), ())
            for n in numbers
        ]
        named = [replace(check, title=str(place)) for place, check in enumerate(checks)]
        return Key("9.9-tiny", {"relu": ExerciseKey("relu", "Exercise 1", ("f",), 3.0, ("no",), tuple(named))}, {})

    assert one([1.0, 2.0, 3.0]).agrees(one(computed)) is agrees
    assert one(computed).agrees(one([1.0, 2.0, 3.0])) is agrees


@pytest.mark.parametrize(
    "other",
    [
        key(weight=2.01),
        key(title="other"),
        key(hidden=6.0),
        key().visible(),
        replace(key(), lesson="9.8"),
        replace(key(), given={}),
        replace(key(), given={"X": encode(np.zeros(3))}),
        replace(key(), exercises={}),
        replace(key(), exercises={"relu": replace(key().exercises["relu"], sentences=("one", "three"))}),
    ],
)
def test_keys_that_do_not_agree(other: Key) -> None:
    assert not key().agrees(other)
    assert not other.agrees(key())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no"),
        ("{", "cannot be read"),
        ("\udcff", "cannot be read"),
        ("[]", "another version"),
        ('{"version": 0}', "another version"),
        ('{"version": 1}', "is damaged"),
        (json.dumps({"version": 1, "lesson": "x", "given": {}, "exercises": [{"name": "a"}]}), "is damaged"),
        (json.dumps({"version": 1, "lesson": "x", "given": {}, "exercises": 5}), "is damaged"),
    ],
)
def test_key_files_that_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "key.json"
    if text is not None:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(KeyFileError, match=message) as caught:
        Key.load(path)
    assert "trainloop build" in str(caught.value)

"""The verdict: what is said of each wrong answer, in which order, and what is never said."""

import math
import random
import warnings
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from trainloop.checks import rules
from trainloop.checks.key import CheckKey, ExerciseKey, observed
from trainloop.checks.values import Json, encode, validate_observation
from trainloop.checks.verdict import (
    AS_ABOVE,
    ELSEWHERE,
    IN_WORDS,
    CheckResult,
    Trouble,
    VerdictStatus,
    judge,
    value_text,
)
from trainloop.checks.words import render

ERROR: Json = {"saw": "raised", "type": "RuntimeError", "message": "bad shapes", "line": 3, "code": "X @ w"}
NO_PLACE = {**ERROR, "message": "", "line": None, "code": ""}
MISSING: Json = {"saw": "missing", "type": "NameError", "message": "name 'f' is not defined", "line": None, "code": ""}
LATE = Trouble("timeout", "The cell ran out of time.")


def seen(value: object) -> Json:
    return {"saw": "value", "value": encode(value)}


def one(
    title: str,
    expected: object,
    *mistakes: Json | None,
    hidden: bool = False,
    rule: Json | None = None,
    parts: tuple[str, ...] = (),
) -> CheckKey:
    return CheckKey(title, f"call_of({title})", 1.0, hidden, rule or rules.close(), seen(expected), mistakes, parts)


def exercise(*checks: CheckKey) -> ExerciseKey:
    sentences = tuple(f"Mistake {index}." for index in range(len(checks[0].mistakes)))
    return ExerciseKey("f", "Exercise 1", ("f",), float(len(checks)), sentences, checks)


def verdict(expected: object, observation: Json | None, *mistakes: Json | None, **more: Any) -> CheckResult:
    """The result of an exercise with one check."""
    name = observed("t", more.get("hidden", False))
    observations = {} if observation is None else {name: observation}
    return judge(exercise(one("t", expected, *mistakes, **more)), observations).checks[0]


X = torch.tensor([1.0, 2.0])
NAN, INF = math.nan, math.inf
# What a check stops with where it takes a result apart: none of the learner's lines does.
MISFITS: list[tuple[Json, str]] = [
    (
        {"type": "TypeError", "message": "'NoneType' object is not iterable"},
        "None comes back where a result is expected: is there a `return`? "
        "The check stopped with TypeError: 'NoneType' object is not iterable.",
    ),
    (
        {"type": "TypeError", "message": "cannot unpack non-iterable NoneType object"},
        "None comes back where a result is expected: is there a `return`? "
        "The check stopped with TypeError: cannot unpack non-iterable NoneType object.",
    ),
    (
        {"type": "TypeError", "message": "'function' object is not subscriptable"},
        "A function comes back where several results are expected. "
        "The check stopped with TypeError: 'function' object is not subscriptable.",
    ),
    (
        {"type": "KeyError", "message": "0"},
        "A dictionary comes back where the results are expected one after the other, as in a tuple. "
        "The check stopped with KeyError: 0.",
    ),
    ({"type": "KeyError", "message": "'w'"}, "It stopped with KeyError: 'w'."),
    (
        {"type": "ValueError", "message": "too many values to unpack (expected 2)"},
        "More results come back than are expected. "
        "The check stopped with ValueError: too many values to unpack (expected 2).",
    ),
    (
        {"type": "IndexError", "message": "tuple index out of range"},
        "Fewer results come back than are expected. The check stopped with IndexError: tuple index out of range.",
    ),
    (
        {"type": "IndexError", "message": "index 3 is out of bounds"},
        "It stopped with IndexError: index 3 is out of bounds.",
    ),
]


@pytest.mark.parametrize(
    ("expected", "observation", "status", "sentence"),
    [
        (X, None, "missing", "This check was not reached."),
        (X, MISSING | {"name": "f"}, "missing", "`f` is not defined. Run the cell of this exercise, then this one."),
        (X, MISSING | {"name": "g"}, "wrong", "It stopped with NameError: name 'f' is not defined."),
        (
            X,
            {"saw": "stub"},
            "missing",
            "Not started yet: `raise NotImplementedError()` is still there, here or in an exercise that this one uses.",
        ),
        (X, ERROR, "wrong", "It stopped with RuntimeError: bad shapes (line 3 of the cell: `X @ w`)."),
        (X, NO_PLACE, "wrong", "It stopped with RuntimeError."),
        (
            X,
            NO_PLACE | {"type": "TooLarge", "message": "a list of more than 5 items"},
            "wrong",
            "The result is too large to look at: a list of more than 5 items.",
        ),
        *((X, NO_PLACE | error, "wrong", told) for error, told in MISFITS),
        (
            X,
            ERROR | {"message": "'NoneType' object is not iterable"},
            "wrong",
            "It stopped with RuntimeError: 'NoneType' object is not iterable (line 3 of the cell: `X @ w`).",
        ),
        (X, seen(None), "wrong", "It gives None; a Tensor is expected. Is there a `return`?"),
        ([X, X], seen([X, None]), "wrong", "Item 1: It gives None; a Tensor is expected."),
        ({"g": [X]}, seen({"g": [None]}), "wrong", "Item 'g', item 0: It gives None; a Tensor is expected."),
        ([X, X], seen(None), "wrong", "It gives None; a list is expected. Is there a `return`?"),
        (X, seen([1.0, 2.0]), "wrong", "It gives a list; a Tensor is expected."),
        (X, seen(X.numpy()), "wrong", "It gives a ndarray; a Tensor is expected."),
        (X, seen(1), "wrong", "It gives an int; a Tensor is expected."),
        (X, seen({1}), "wrong", "It gives a set; a Tensor is expected."),
        (True, seen(np.bool_(True)), "wrong", "It gives a numpy.bool; a bool is expected."),
        (
            X,
            {"saw": "value", "value": {"type": "opaque", "name": "Tensor"}},
            "wrong",
            "It gives an object of another class that is called Tensor; the plain Tensor is expected.",
        ),
        (X, seen(X.double().reshape(2, 1)), "wrong", "The shape is (2, 1); (2,) is expected."),
        (X, seen(torch.zeros(0)), "wrong", "The shape is (0,); (2,) is expected."),
        (torch.tensor(1.0), seen(torch.tensor([1.0])), "wrong", "The shape is (1,); () is expected."),
        (X, seen(X.double() * NAN), "wrong", "The dtype is float64; float32 is expected."),
        (X, seen(X * NAN), "wrong", "2 of 2 entries are not finite numbers (NaN or infinity)."),
        (X, seen(torch.tensor([1.0, -INF])), "wrong", "1 of 2 entries are not finite numbers (NaN or infinity)."),
        (X, seen(torch.tensor([1.0, 2.5])), "wrong", "1 of 2 entries differ, most at [1], by 0.5."),
        (X.reshape(1, 2), seen(X.reshape(1, 2) + 1), "wrong", "2 of 2 entries differ, most at [0, 0], by 1."),
        (torch.tensor(1.0), seen(torch.tensor(3.0)), "wrong", "The value differs by 2."),
        (
            torch.tensor([0.0, 1.5, 0.0, 0.7]),
            seen(torch.tensor([-2.0, 1.5, -1.0, 0.7])),
            "wrong",
            "Wrong are all entries whose right value is 0, and no others: 2 of 4, most at [0], by 2.",
        ),
        (
            torch.tensor([0.5, 1.5, -0.25]),
            seen(torch.tensor([0.5, 1.5, 0.0])),
            "wrong",
            "Wrong is the one entry whose right value is below 0, and no other: 1 of 3, most at [2], by 0.25.",
        ),
        ([1.0], seen([-INF]), "wrong", "Item 0: The value is -inf, which is no finite number."),
        (torch.tensor([1.0, NAN]), seen(X), "wrong", "1 of 2 entries differ, most at [1]."),
        (torch.tensor([1.0, INF]), seen(torch.tensor([1.0, -INF])), "wrong", "1 of 2 entries differ, most at [1]."),
        (
            torch.tensor([True, True]),
            seen(torch.tensor([True, False])),
            "wrong",
            "1 of 2 entries differ, most at [1], by 1.",
        ),
        (torch.tensor([2**62]), seen(torch.tensor([2**62 + 1])), "wrong", "The value differs by 0."),
        (2.0, seen(NAN), "wrong", "The value is nan, which is no finite number."),
        ("a", seen("b"), "wrong", "The value differs."),
        ([1, 2], seen([1, 2, 3]), "wrong", "Its length is 3; 2 is expected."),
        ([1, X], seen([1, X + 1]), "wrong", "Item 1: 2 of 2 entries differ, most at [0], by 1."),
        ((X, X), seen((X.double(), X)), "wrong", "Item 0: The dtype is float64; float32 is expected."),
        ({"w": 1}, seen({"v": 1}), "wrong", "It has no item 'w'."),
        ({"w": 1, "v": 2}, seen({"v": 3, "w": 1}), "wrong", "Item 'v': The value differs by 1."),
        ([(0.5, 1.0)], seen([(0.5, 1.25)]), "wrong", "Item 0, item 1: The value differs by 0.25."),
        (None, {**NO_PLACE, "type": "RuleBroken", "message": "`x` was changed."}, "wrong", "`x` was changed."),
        (X, seen(X + 1e-5), "ok", ""),
        (torch.tensor([1.0, NAN]), seen(torch.tensor([1.0, NAN])), "ok", ""),
        (torch.zeros(0, 3), seen(torch.zeros(0, 3)), "ok", ""),
        ({"w": 1, "v": X}, seen({"v": X, "w": 1}), "ok", ""),
    ],
)
def test_sentences(expected: object, observation: Json | None, status: VerdictStatus, sentence: str) -> None:
    result = verdict(expected, observation)
    assert (result.status, result.sentence) == (status, sentence)
    assert result.points == (1.0 if status == "ok" else 0.0)
    assert result.mistake is None


def test_what_was_computed_is_shown() -> None:
    assert verdict(X, seen(X + 1)).detail == (
        "Called:   call_of(t)",
        "Yours:    [2., 3.]  shape (2,)",
        "Expected: [1., 2.]  shape (2,)",
    )
    assert verdict(X, ERROR).detail == ("Called:   call_of(t)",)


def test_differences_are_counted_by_the_rule_of_the_check() -> None:
    strict = rules.close(rtol=0, atol=1e-9)
    assert verdict(X.double(), seen(X.double() + 1e-8), rule=strict).sentence.startswith("2 of 2 entries differ")
    assert verdict([X.double()], seen([X.double() + 1e-8]), rule=strict).sentence.startswith("Item 0: 2 of 2")
    loose = rules.close(rtol=0, atol=1.0)
    assert verdict(X, seen(torch.tensor([1.5, 9.0])), rule=loose).sentence.startswith("1 of 2 entries differ")


def test_a_named_mistake_speaks_before_the_fact() -> None:
    result = verdict(X, seen(X + 1), None, seen(X + 1))
    assert (result.mistake, result.sentence) == (1, "Mistake 1.")
    assert result.detail[0] == "2 of 2 entries differ, most at [0], by 1."
    assert result.detail[1] == "Called:   call_of(t)"
    raised = {name: value for name, value in ERROR.items() if name not in ("line", "code")}
    assert verdict(X, ERROR, raised).sentence == "Mistake 0."
    assert verdict(X, ERROR | {"message": "other"}, raised).mistake is None
    assert verdict(X, MISSING | {"name": "g"}, MISSING | {"name": "g"}).sentence == "Mistake 0."
    assert verdict(X, seen(X), seen(X + 1)).status == "ok"


def test_missing_and_stub_come_before_mistakes() -> None:
    assert verdict(X, {"saw": "stub"}, {"saw": "stub"}).mistake is None
    assert verdict(X, MISSING | {"name": "f"}, MISSING | {"name": "f"}).mistake is None


def test_the_mistake_that_explains_most_is_named() -> None:
    """Mistakes 0 and 1 look alike in the first check; only 1 explains the second. It must be named in both."""
    wrong = seen(X + 1)
    key = exercise(one("a", X, wrong, wrong), one("b", X, seen(X + 2), seen(X + 3)), one("c", X, None, None))
    result = judge(key, {"a": wrong, "b": seen(X + 3), "c": seen(X)})
    assert [check.mistake for check in result.checks] == [1, 1, None]
    result = judge(key, {"a": wrong, "b": seen(X + 2), "c": seen(X)})
    assert [check.mistake for check in result.checks] == [0, 0, None]


def test_what_a_mistake_leaves_right_speaks_for_it_too() -> None:
    wrong = seen(X + 1)
    key = exercise(one("a", X, wrong, wrong), one("b", X, wrong, None))
    assert judge(key, {"a": wrong, "b": seen(X)}).checks[0].mistake == 1


@pytest.mark.parametrize(
    "observation",
    [
        seen(X * 7919),
        seen(torch.tensor([1.0, 7919.0])),
        seen((1, 2)),
        seen(None),
        ERROR,
        seen(X.double()),
        seen(X * NAN),
    ],
)
def test_a_hidden_check_tells_neither_the_call_nor_the_numbers(observation: Json) -> None:
    """Whatever the answer gives there, it says one and the same."""
    for mistakes in ((), (observation,)):
        result = verdict(X, observation, *mistakes, hidden=True)
        assert (result.status, result.sentence, result.detail, result.mistake) == ("wrong", ELSEWHERE, (), None)


def test_a_hidden_check_repeats_what_the_visible_ones_say() -> None:
    """The name is the visible ones' and depends on nothing that was seen where it is hidden."""
    wrong = seen(X + 1)
    key = exercise(one("a", X, wrong), one("b", X, wrong, hidden=True), one("c", X, None, hidden=True))
    b, c = observed("b", True), observed("c", True)
    for anything in (wrong, seen(X + 5), ERROR, {"saw": "stub"}, MISSING | {"name": "f"}):
        result = judge(key, {"a": wrong, b: anything, c: anything})
        assert [check.mistake for check in result.checks] == [0, 0, None]
        assert [check.sentence for check in result.checks[1:]] == ["Mistake 0.", AS_ABOVE]
        unnamed = judge(key, {"a": seen(X + 2), b: anything, c: seen(X)})
        assert [check.sentence for check in unnamed.checks[1:]] == [AS_ABOVE, ""]
    assert judge(key, {"a": {"saw": "stub"}, b: wrong, c: wrong}).status == "missing"


def test_a_hidden_check_looks_at_the_visible_ones_of_its_function() -> None:
    key = exercise(
        one("a", X, None, parts=("f",)), one("b", X, seen(X + 1), parts=("g[0]",), hidden=True),
        one("c", X, seen(X + 1), parts=("g[1]",)),
    )  # fmt: skip
    b = observed("b", True)
    assert judge(key, {"a": seen(X + 1), b: seen(X + 2), "c": seen(X)}).checks[1].sentence == ELSEWHERE
    assert judge(key, {"a": seen(X), b: seen(X + 2), "c": seen(X + 1)}).checks[1].sentence == "Mistake 0."


def test_accuracy() -> None:
    rule = rules.accuracy([0, 1, 1, 0], at_least=0.75)
    result = verdict(None, seen(torch.tensor([0, 1, 0, 1])), rule=rule)
    assert result.sentence == "50.0% of the predictions are right; at least 75% must be."
    assert result.detail == ("Called:   call_of(t)",)
    assert verdict(None, seen(torch.tensor([0, 1, 0, 1])), rule=rule, hidden=True).sentence == ELSEWHERE
    wrong_shape = verdict(None, seen(torch.zeros(3)), rule=rule).sentence
    assert wrong_shape == "One predicted class a row is expected, shape (4,); got [0., 0., 0.]  shape (3,)."
    assert verdict(None, seen(torch.tensor([[0], [1], [1], [1]])), rule=rule).status == "ok"
    assert verdict(None, seen(torch.zeros(4)), {"saw": "stub"}, rule=rule).mistake == 0
    assert verdict(None, ERROR, rule=rule).sentence.startswith("It stopped with RuntimeError")


def test_partial_credit() -> None:
    key = exercise(*(one(str(number), X) for number in range(3)))
    key = ExerciseKey(
        **{**vars(key), "points": 2.0, "checks": tuple(CheckKey(**{**vars(c), "points": 2 / 3}) for c in key.checks)}
    )
    everything = {str(number): seen(X) for number in range(3)}
    assert judge(key, everything).points == 2.0
    assert judge(key, everything | {"1": seen(X + 1)}).points == 1.333333
    assert judge(key, everything | {"no such check": seen(X)}).points == 2.0
    assert judge(key, {}).points == 0.0
    assert judge(key, everything).possible == 2.0


@pytest.mark.parametrize(
    ("observations", "trouble", "status", "statuses"),
    [
        ({}, None, "missing", ["missing", "missing"]),
        ({"a": seen(X), "b": seen(X)}, None, "ok", ["ok", "ok"]),
        ({"a": seen(X), "b": {"saw": "stub"}}, None, "wrong", ["ok", "missing"]),
        ({"a": {"saw": "stub"}, "b": {"saw": "stub"}}, None, "missing", ["missing", "missing"]),
        ({"a": seen(X), "b": seen(None)}, None, "wrong", ["ok", "wrong"]),
        ({"a": seen(X)}, LATE, "timeout", ["ok", "timeout"]),
        ({"a": seen(None)}, LATE, "timeout", ["wrong", "timeout"]),
        ({"a": MISSING | {"name": "f"}, "b": seen(X)}, LATE, "timeout", ["timeout", "ok"]),
        ({"a": seen(X), "b": seen(X)}, LATE, "ok", ["ok", "ok"]),
        ({"a": seen(X), "b": seen(None)}, LATE, "wrong", ["ok", "wrong"]),
        ({}, Trouble("tampered", "It was changed."), "tampered", ["tampered", "tampered"]),
        ({}, Trouble("grader error", "Ours."), "grader error", ["grader error", "grader error"]),
        ({"a": seen(X)}, Trouble("out of memory", "Full."), "out of memory", ["ok", "out of memory"]),
        ({"a": seen(X)}, Trouble("crashed", "Gone."), "crashed", ["ok", "crashed"]),
    ],
)
def test_statuses(
    observations: Mapping[str, Json], trouble: Trouble | None, status: VerdictStatus, statuses: list[VerdictStatus]
) -> None:
    result = judge(exercise(one("a", X), one("b", X)), observations, trouble)
    assert (result.status, [check.status for check in result.checks]) == (status, statuses)
    assert result.points == statuses.count("ok")
    if trouble is not None and trouble.status in statuses:
        assert trouble.sentence in [check.sentence for check in result.checks]


TORCH = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "8000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("RuntimeError", TORCH),
        ("MemoryError", ""),
        (
            "_ArrayMemoryError",
            "Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64",
        ),
    ],
)
def test_memory_that_ran_out_is_told_in_plain_words(kind: str, message: str) -> None:
    full = {"saw": "raised", "type": kind, "message": message, "line": 2, "code": "x = torch.zeros(2 * 10**9)"}
    result = judge(exercise(one("a", X), one("b", X)), {"a": full, "b": seen(X)})
    assert (result.status, [check.status for check in result.checks]) == ("out of memory", ["out of memory", "ok"])
    told = "It asked for more memory than there is (line 2 of the cell: `x = torch.zeros(2 * 10**9)`)."
    assert result.checks[0].sentence == told
    assert "alloc" not in render(result)


def test_of_a_hidden_check_memory_tells_nothing() -> None:
    """What an error is of can be chosen by what a hidden check holds."""
    full = {"saw": "raised", "type": "MemoryError", "message": "", "line": None, "code": ""}
    key = exercise(one("a", X), one("b", X, hidden=True))
    result = judge(key, {"a": seen(X), observed("b", True): full})
    assert [check.status for check in result.checks] == ["ok", "wrong"]


def test_every_status_has_words() -> None:
    assert set(IN_WORDS) == set(get_args(VerdictStatus))


def test_the_guide_explains_every_status_that_is_counted() -> None:
    guide = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
    table = guide.partition("| status | what happened |")[2].partition("\n\n")[0]
    told = {word for row in table.splitlines()[2:] for word in row.split("|")[1].strip().split(", or ")}
    assert told - {"3 of 4 right"} == set(IN_WORDS.values())


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (torch.tensor(2.5), "2.5"),
        (torch.tensor(1_000_000), "1000000"),
        (torch.tensor(True), "True"),
        (torch.arange(100.0), "[ 0., 1., 2., ..., 97., 98., 99.] shape (100,)"),
        ([1, "a", None], "[1, 'a', None]"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
        ({"a": [1.5]}, "{'a': [1.5]}"),
        ({1}, "a set"),
        ("x" * 900, "'" + "x" * 199),
    ],
)
def test_show(value: object, line: str) -> None:
    assert " ".join(value_text(encode(value)).split()) == line


def test_show_stays_short_for_large_structures() -> None:
    deep: object = 1.5
    for _ in range(4):
        deep = [deep] * 9
    assert len(value_text(encode(deep))) < 2_000


def test_no_value_of_a_stranger_stops_a_verdict() -> None:
    """Every pair of many well-formed values, each as the answer, the key and a mistake of the other."""
    generator = np.random.default_rng(0)
    arrays: list[object] = []
    for dtype in ("bool", "uint8", "int64", "float16", "float32", "float64"):
        for shape in ((), (1,), (0,), (2, 0), (3,), (2, 2)):
            array = np.asarray(generator.normal(0, 2, shape) * 3).astype(dtype)
            arrays += [array, torch.from_numpy(array.copy())]
            if dtype.startswith("float") and array.size:
                special = np.array(generator.choice([NAN, INF, -INF, 0, np.finfo(dtype).max], shape), dtype)
                arrays += [special, torch.from_numpy(special.copy()), torch.from_numpy(special.copy()).neg()]
    scalars: list[object] = [
        None,
        True,
        False,
        0,
        -5,
        2**62,
        0.0,
        1e308,
        -1e308,
        NAN,
        INF,
        "",
        "B",
        np.float64(NAN),
        np.bool_(True),
    ]
    scalars += [np.int8(3), {1}, 1j, len]
    values = arrays + scalars
    picker = random.Random(0)
    for kind in (list, tuple):
        values += [kind(picker.choices(values, k=picker.randrange(4))) for _ in range(15)]
    values += [dict(zip("abc", picker.choices(values, k=picker.randrange(4)), strict=False)) for _ in range(20)]
    observations = [validate_observation(seen(value)) for value in values] + [
        ERROR,
        NO_PLACE,
        MISSING | {"name": "g"},
        {"saw": "stub"},
    ]
    accuracy = rules.accuracy([0, 1, 1], at_least=0.5)
    warnings.simplefilter("error")
    for theirs in observations:
        for value, ours in zip(values, observations, strict=False):
            hidden, rule = picker.random() < 0.5, picker.choice([rules.close(), rules.close(0, 0), accuracy])
            result = verdict(value, theirs, ours, hidden=hidden, rule=rule)
            assert result.status in ("ok", "wrong", "missing")
            assert bool(result.sentence) != (result.status == "ok")


# ------------------------------------------------------------------------------------------------ twins, rules, points


def twins(title: str, visible: object, hidden: object, *mistakes: object, worth: float = 1.0) -> list[CheckKey]:
    shown = [seen(mistake) for mistake in mistakes]
    return [
        CheckKey(title, "f(1)", worth, False, rules.close(), seen(visible), tuple(shown)),
        CheckKey(title, "f(2)", 0.0, True, rules.close(), seen(hidden), tuple(shown)),
    ]


@pytest.mark.parametrize(
    ("observations", "points", "status", "hidden"),
    [
        ({"a": X, observed("a", True): X + 1}, 1.0, "ok", False),
        ({"a": X, observed("a", True): X}, 0.0, "wrong", True),  # what is public, played back
        ({"a": X + 1, observed("a", True): X + 1}, 0.0, "wrong", False),
        ({"a": X}, 0.0, "missing", True),
        ({"a": X + 7, observed("a", True): X + 7}, 0.0, "wrong", False),  # the visible one is told, and it alone
    ],
)
def test_a_title_needs_both_of_its_twins(
    observations: Mapping[str, object], points: float, status: VerdictStatus, hidden: bool
) -> None:
    key = ExerciseKey("f", "Exercise 1", ("f",), 1.0, (), tuple(twins("a", X, X + 1)))
    result = judge(key, {name: seen(value) for name, value in observations.items()})
    (check,) = result.checks
    assert (check.title, check.points, check.possible, check.status, check.hidden) == ("a", points, 1.0, status, hidden)
    assert result.points == points


def test_a_broken_rule_caps_what_the_checks_earn() -> None:
    rule = CheckKey("no loop", "watch(f)", 0.0, False, rules.close(), seen(None), (), caps=True)
    key = ExerciseKey("f", "Exercise 1", ("f",), 2.0, (), (*twins("a", X, X + 1), *twins("b", 2.0, 3.0), rule))
    right = {"a": seen(X), observed("a", True): seen(X + 1), "b": seen(2.0), observed("b", True): seen(3.0)}
    broken = {**NO_PLACE, "type": "RuleBroken", "message": "There is a loop."}
    for rule_seen, expected in ((seen(None), 2.0), (broken, 1.0), (ERROR, 1.0)):
        assert judge(key, right | {"no loop": rule_seen}).points == expected
    half = {name: value for name, value in right.items() if name != "b"}
    assert judge(key, half | {"no loop": broken}).points == 1.0  # at most half: what is less stays as it is
    assert judge(key, {"no loop": seen(None)}).points == 0.0  # anyone can keep a rule
    assert [check.possible for check in judge(key, right).checks] == [1.0, 1.0, 0.0]

"""Values: what crosses the border, and that nothing a stranger sends breaks or fools those who read it."""

import json
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trainloop.checks import values
from trainloop.checks.values import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    TooLarge,
    encode,
    observe,
    same_value,
    validate_observation,
)


class AlwaysEqual:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Tensor(torch.Tensor):
    """A student's own class, called like the real one."""


class Float(np.float64):
    pass


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class SilentStub(NotImplementedError):
    def __str__(self) -> str:
        raise RuntimeError("no words")


PLAIN: list[object] = [
    None,
    True,
    -3,
    2**63 - 1,
    0.1,
    math.inf,
    -math.inf,
    math.nan,
    "",
    'é\n"\ud800',
    torch.tensor(2.5),
    torch.zeros(0, 3),
    torch.arange(6).reshape(2, 3),
    torch.tensor([True, False]),
    torch.tensor([math.nan, math.inf, -0.0]),
    torch.tensor([1.5], dtype=torch.float16),
    torch.arange(6.0).reshape(2, 3).T,
    torch.nn.Parameter(torch.ones(2)),
    np.arange(4, dtype=">i2"),
    np.arange(12.0).reshape(3, 4)[:, ::2],
    np.float32(1.5),
    np.bool_(True),
    np.int64(-1),
    [1, [2.0, "x", None]],
    (torch.ones(2), {"w": np.zeros(1)}),
    {},
]
OPAQUE: list[tuple[object, str]] = [
    (AlwaysEqual(), "AlwaysEqual"),
    (Tensor(), "Tensor"),
    (Float(1.0), "Float"),
    (1j, "complex"),
    ({1, 2}, "set"),
    ({1: 2}, "dict"),
    (len, "builtin_function_or_method"),
    (torch.ones(1, dtype=torch.complex64), "Tensor of complex64"),
    (torch.ones(1, dtype=torch.bfloat16), "Tensor of bfloat16"),
    (torch.eye(2).to_sparse(), "Tensor of float32"),
    (torch.ones(1, device="meta"), "Tensor of float32"),
    (np.array(["a"]), "ndarray of str32"),
    (np.array([object()]), "ndarray of object"),
    (np.complex64(1), "complex64"),
]


@pytest.mark.parametrize("value", PLAIN)
def test_round_trip(value: object) -> None:
    sent = encode(value)
    text = json.dumps(sent, allow_nan=False)
    assert validate_observation({"saw": "value", "value": json.loads(text)}) == {"saw": "value", "value": sent}
    assert same_value(sent, json.loads(text), 0, 0)
    if values.is_array(sent):
        plain = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        back = values.array(sent)
        assert (back.dtype, back.shape) == (plain.dtype.newbyteorder("<"), plain.shape)
        np.testing.assert_array_equal(back, plain)
        assert not back.flags.writeable


def test_no_two_of_them_are_the_same() -> None:
    sent = [encode(value) for value in PLAIN]
    alike = [(i, j) for i, a in enumerate(sent) for j, b in enumerate(sent) if i != j and same_value(a, b, 1e-4, 1e-6)]
    assert alike == []


@pytest.mark.parametrize(("value", "name"), OPAQUE)
def test_opaque(value: object, name: str) -> None:
    sent = encode(value)
    assert sent == {"type": "opaque", "name": name}
    assert validate_observation({"saw": "value", "value": sent})["value"] == sent
    assert values.opaque(encode([1, {"a": value}])) == name
    assert not any(same_value(sent, encode(plain), 1e-4, 1e-6) for plain in PLAIN)


def test_plain_values_hold_nothing_opaque() -> None:
    assert [values.opaque(encode(value)) for value in PLAIN] == [""] * len(PLAIN)


def test_tolerance() -> None:
    one, near, far = (encode(torch.tensor([1.0, x])) for x in (2.0, 2.0001, 2.001))
    assert same_value(near, one, 1e-4, 0)
    assert not same_value(far, one, 1e-4, 0)
    assert not same_value(encode(2.001), encode(2.0), 1e-4, 0)
    assert same_value(encode(2.0001), encode(2.0), 1e-4, 0)
    assert not same_value(encode(torch.tensor([2**24 + 1])), encode(torch.tensor([2**24])), 1e-4, 0)
    assert not same_value(encode(torch.ones(2).double()), encode(torch.ones(2)), 1e-4, 0)
    assert not same_value(encode(torch.ones(2)), encode(np.ones(2, np.float32)), 1e-4, 0)
    assert same_value(encode({"a": 1, "b": 2}), encode({"b": 2, "a": 1}), 0, 0)
    assert not same_value(encode([1, 2]), encode([1, 2, 3]), 0, 0)


def nested(depth: int) -> list[object]:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (lambda: torch.zeros(MAX_BYTES // 4), lambda: torch.zeros(MAX_BYTES // 4 + 1)),
        (lambda: np.zeros(MAX_BYTES, np.uint8), lambda: np.zeros(MAX_BYTES + 1, np.uint8)),
        (lambda: torch.zeros(0, 2**20), lambda: torch.zeros(0, 2**40)),
        (lambda: torch.zeros([1] * 16), lambda: torch.zeros([1] * 17)),
        (lambda: [0] * MAX_ITEMS, lambda: [0] * (MAX_ITEMS + 1)),
        (lambda: (0,) * MAX_ITEMS, lambda: (0,) * (MAX_ITEMS + 1)),
        (lambda: dict.fromkeys(map(str, range(MAX_ITEMS))), lambda: dict.fromkeys(map(str, range(MAX_ITEMS + 1)))),
        (lambda: "x" * MAX_TEXT, lambda: "x" * (MAX_TEXT + 1)),
        (lambda: -(2**63) + 1, lambda: -(2**63)),
        (lambda: nested(MAX_DEPTH), lambda: nested(MAX_DEPTH + 1)),
    ],
    ids=["tensor", "array", "empty", "dimensions", "list", "tuple", "dict", "text", "int", "depth"],
)
def test_caps(small: Callable[[], object], large: Callable[[], object]) -> None:
    validate_observation(observe(small))  # and what is sent is accepted
    with pytest.raises(TooLarge):
        encode(large())
    assert observe(large)["type"] == "TooLarge"


def array_of(**fields: object) -> dict[str, object]:
    return {"type": "Tensor", "dtype": "float32", "shape": [1], "data": "AAAAAA=="} | fields


REFUSED: list[object] = [
    None,
    [],
    {},
    {"saw": []},
    {"saw": "value"},
    {"saw": "raised", "type": "E"},
    {"saw": "raised", "type": "E", "message": "", "code": 5},
    {"saw": "missing", "type": "E", "message": ""},
    {"saw": "missing", "type": "E", "message": "", "name": None},
    *(
        {"saw": "value", "value": value}
        for value in [
            5,
            {"type": "weird"},
            {"type": []},
            {"type": "opaque"},
            {"type": "opaque", "name": 5},
            {"type": "None", "data": 1},
            {"type": "int", "data": 10**400},
            {"type": "int", "data": 1.0},
            {"type": "int", "data": True},
            {"type": "bool", "data": 1},
            {"type": "float", "data": 1},
            {"type": "float", "data": "1"},
            {"type": "float", "data": math.inf},
            {"type": "str", "data": "x" * (MAX_TEXT + 1)},
            {"type": "str", "salt": "x", "digest": "y"},
            {"type": "str", "data": "x", "digest": "y"},
            {"type": "list", "items": {}},
            {"type": "list", "items": [5]},
            {"type": "list", **array_of(type="list")},
            {"type": "dict", "items": [["a"]]},
            {"type": "dict", "items": [[["a"], {"type": "None"}]]},
            array_of(dtype=[]),
            array_of(dtype="float128"),
            array_of(type="float"),
            array_of(shape=[2]),
            array_of(shape=[-1, -1]),
            array_of(shape=[True]),
            array_of(shape="1"),
            array_of(shape=[0, 2**70], data=""),
            array_of(shape=[1] * 17),
            array_of(data=5),
            array_of(data="é"),
            array_of(data="AAAAAA"),
            array_of(dtype="bool", data="Ag=="),
            array_of(extra=1),
        ]
    ),
]


@pytest.mark.parametrize("observation", REFUSED)
def test_checked_refuses(observation: object) -> None:
    with pytest.raises(ValueError):
        validate_observation(observation)


def test_checked_keeps_nothing_that_it_does_not_know() -> None:
    error = {"type": "E" * 300, "message": "m" * 9_000, "code": "c" * 900, "line": "5", "name": "n" * 900, "more": 1}
    kept = validate_observation({"saw": "missing", **error})
    assert {name: len(text) for name, text in kept.items() if isinstance(text, str)} == {
        "saw": 7,
        "type": 200,
        "message": 2_000,
        "code": 500,
        "name": 200,
    }
    assert kept.keys() == {"saw", "type", "message", "code", "name", "line"} and kept["line"] is None
    assert validate_observation({"saw": "stub", "value": 5}) == {"saw": "stub"}


def test_checked_raises_value_error_and_nothing_else() -> None:
    """On random JSON, and on good observations with one random part replaced."""
    generator = random.Random(0)
    words = [
        "saw",
        "type",
        "data",
        "items",
        "shape",
        "dtype",
        "name",
        "value",
        "Tensor",
        "dict",
        "float",
        "nan",
        "AAAA",
    ]
    leaves = [None, True, 0, -1, 2**70, 1e308, math.inf, math.nan, "", *words]

    def anything(depth: int = 0) -> object:
        kind = generator.randrange(4) if depth < 4 else 0
        if kind < 2:
            return generator.choice(leaves)
        parts = [anything(depth + 1) for _ in range(generator.randrange(4))]
        return parts if kind == 2 else {generator.choice(words): part for part in parts}

    def mutated(good: Any) -> Any:
        if generator.random() < 0.15 or not isinstance(good, list | dict) or not good:
            return anything()
        copy = good.copy()
        place = generator.choice(list(copy)) if isinstance(copy, dict) else generator.randrange(len(copy))
        copy[place] = mutated(copy[place])
        return copy

    def bang() -> None:
        raise ValueError("bang")

    good = [*(observe(lambda value=value: value) for value in PLAIN), observe(bang)]
    accepted = 0
    for _ in range(10_000):
        observation = anything() if generator.random() < 0.2 else mutated(generator.choice(good))
        try:
            kept = validate_observation(observation)
        except ValueError:
            continue
        accepted += 1
        assert validate_observation(kept) == kept or "nan" in repr(kept)
        for other in good:
            assert values.same(kept, other, 1e-4, 1e-6) in (True, False)
    assert accepted > 100


def run(source: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Observe `f()` of a source that the compiler knows as the cell <cell 1>."""
    space: dict[str, Any] = names or {}
    exec(compile(source, "<cell 1>", "exec"), space)
    return observe(lambda: space["f"](), "<cell")


def test_observe() -> None:
    assert run("def f(): return 3") == {"saw": "value", "value": {"type": "int", "data": 3}}
    assert run("def f(): raise NotImplementedError()") == {"saw": "stub"}
    assert run("def f(): raise NotImplementedError('later')")["saw"] == "raised"
    error = run("def f():\n    x = 1\n    return int('x')")
    assert (error["saw"], error["type"], error["line"]) == ("raised", "ValueError", 3)
    assert error["message"] == "invalid literal for int() with base 10: 'x'"
    assert run("import torch\ndef f():\n    return torch.ones(2) @ torch.ones(3)")["line"] == 3
    missing = run("def f():\n    return zorch + 1")
    assert (missing["saw"], missing["name"], missing["line"]) == ("missing", "zorch", 2)
    own = observe(lambda: relu(1), "<cell")  # type: ignore[name-defined]  # noqa: F821
    assert (own["saw"], own["name"], own["line"]) == ("missing", "relu", None)
    assert run("def f(): raise SystemExit(0)")["type"] == "SystemExit"
    assert run("def f(): return f()")["type"] == "RecursionError"
    assert run("def f(): return eval('1 +')")["type"] == "SyntaxError"
    with pytest.raises(KeyboardInterrupt):
        run("def f(): raise KeyboardInterrupt()")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("def f(): raise Silent()", "Silent"),
        ("def f(): raise SyntaxError", "SyntaxError"),
        ("def f(): raise SyntaxError('m', ('f', 1, 1, 5))", "SyntaxError"),
        ("def f(): raise NameError('by hand')", "NameError"),
        ("def f(): raise NameError('by hand', name=5)", "NameError"),
        ("def f(): raise BaseExceptionGroup('g', [SystemExit()])", "BaseExceptionGroup"),
        ("def f(): raise ValueError('x' * 10**6)", "ValueError"),
    ],
)
def test_errors_that_describe_themselves_badly(source: str, kind: str) -> None:
    error = run(source, {"Silent": Silent})
    assert error["type"] == kind
    assert len(validate_observation(json.loads(json.dumps(error)))["message"]) <= 2_000


def test_a_stub_that_cannot_describe_itself() -> None:
    assert run("def f(): raise Error()", {"Error": SilentStub}) == {"saw": "stub"}


def test_errors_agree_but_for_the_names_in_quotes() -> None:
    a, b = run("def f(): return len.foo"), run("def f(): return len.bar")
    assert a["message"] != b["message"] and values.same(a, b, 0, 0)
    assert not values.same(a, a | {"type": "E"}, 0, 0)
    assert not values.same(a, a | {"message": "other"}, 0, 0)
    assert not values.same(a, {"saw": "stub"}, 0, 0)


def test_code_of_the_line_that_raised() -> None:
    def f() -> float:
        return 1 / 0

    error = observe(f, __file__)
    assert error["code"] == "return 1 / 0"


def test_observe_gives_the_learner_everything_back() -> None:
    def f() -> list[float]:
        drawn = [torch.rand(()).item(), float(np.random.rand()), random.random()]
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(99)
        return drawn

    with torch.no_grad():
        torch.manual_seed(7), np.random.seed(7), random.seed(7)
        torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
        first = observe(f)
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert str(np.random.get_state()) == str(numpy_state)
        assert random.getstate() == python_state
        assert torch.get_default_dtype() is torch.float32
        assert not torch.is_grad_enabled()
    torch.manual_seed(8), np.random.seed(8), random.seed(8)
    assert observe(f) == first  # whatever the global seed
    assert torch.is_grad_enabled()


def test_a_sealed_text_is_recognised_and_not_readable() -> None:
    answer = encode("B")
    sealed = values.salted_hash(answer, "salt")
    assert '"B"' not in json.dumps(sealed)
    assert same_value(answer, sealed, 0, 0) and same_value(sealed, sealed, 0, 0)
    assert not same_value(encode("A"), sealed, 0, 0)
    assert not same_value(encode(2), sealed, 0, 0)
    assert sealed != values.salted_hash(answer, "other salt")

"""Which part of an answer a check looks at, read off its source."""

import pytest

from trainloop.authoring.parts import parts_of

HELPERS = """
X = torch.ones(3)

def both(n: int) -> list[object]:
    w, losses = fit(X, n)
    return [w, losses]

def untouched() -> list[torch.Tensor]:
    x = X.clone()
    fit(x, 3)
    return [x, x]

def after(f):
    x = X.clone()
    f(x)
    return x

def scratch(f, much=2):
    with patch(torch):
        return f(much * X)

def trained(model):
    train(model, X)
    return model

check("f", {"t": lambda: fit(X)})
"""
NAMES = ("fit", "relu", "tanh", "train")


def value(kind: str, size: int) -> dict[str, object]:
    return {"saw": "value", "value": {"type": kind, "items": [{"type": "None"}] * size}}


ROW, PAIR, NUMBER = value("list", 2), value("tuple", 2), {"saw": "value", "value": {"type": "int", "data": 1}}


@pytest.mark.parametrize(
    ("call", "expected", "parts"),
    [
        ("relu(X)", NUMBER, ["relu"]),
        ("relu(X)", ROW, ["relu"]),
        ("fit(X)", PAIR, ["fit[0]", "fit[1]"]),
        ("fit(X)[1]", NUMBER, ["fit[1]"]),
        ("fit(X)[1][0]", NUMBER, ["fit[1]"]),
        ("len(fit(X)[1])", NUMBER, ["fit[1]"]),
        ("tuple(fit(X)[:2])", PAIR, ["fit[0]", "fit[1]"]),
        ("tuple(fit(X))", PAIR, ["fit[0]", "fit[1]"]),
        ("list(fit(X))", ROW, ["fit[0]", "fit[1]"]),
        ("[r.shape for r in fit(X)]", ROW, ["fit[0]", "fit[1]"]),
        ("fit(X)[2:]", PAIR, ["fit"]),
        ("both(3)", ROW, ["fit[0]", "fit[1]"]),
        ("both(n=3)[0]", NUMBER, ["fit[0]"]),
        ("untouched", ROW, ["fit"]),
        ("untouched()", ROW, ["fit"]),
        ("after(tanh)", NUMBER, ["tanh"]),
        ("[f(X) for f in (relu, tanh)]", ROW, ["relu", "tanh"]),
        ("[scratch(f) for f in (relu, tanh)]", ROW, ["relu", "tanh"]),
        ("[relu(X), relu(-X)]", ROW, ["relu"]),
        ("relu(X) + tanh(X)", NUMBER, ["relu,tanh"]),
        ("relu(tanh(X))", NUMBER, ["relu,tanh"]),
        ("list(map(relu, X))", ROW, ["relu"]),
        ("list(trained(model).parameters())", ROW, ["train"]),
        ("(lambda x: (fit(x), x)[1])(X.clone())", NUMBER, ["fit"]),
        ("(lambda m: m(X) + 1)(relu(X))", NUMBER, ["relu"]),
        ("17", NUMBER, ["fit,relu,tanh,train"]),
    ],
)
def test_parts(call: str, expected: dict[str, object], parts: list[str]) -> None:
    assert list(parts_of(HELPERS, call, NAMES, expected)) == parts


def test_a_question_is_a_part_of_its_own() -> None:
    letter = "def letter(a):\n    return str(a).strip()"
    text = {"saw": "value", "value": {"type": "str", "data": "B"}}
    assert parts_of(letter, "letter(q2)", ("q1", "q2"), text) == ("q2",)


def test_helpers_that_call_themselves_come_to_an_end() -> None:
    assert parts_of("def again(x):\n    return again(relu(x))", "again(X)", NAMES, NUMBER) == ("relu",)

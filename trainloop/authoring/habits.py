"""Habits: what learners bring along from elsewhere, as changes of a right answer.

A median for a mean, an absolute error for a square, a gradient that is clipped, a learning rate that falls, a setting
written down as the notebook has it, a bracket that closes too early. Where `generic_edits` change one place of the text
by its grammar, these know what a training loop is. The key holds both alike, under the same rules: nothing is named
that learners have not read.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from trainloop.authoring.generic_edits import Edit, at, function_parameters, made, rename, replace_node

Settings: TypeAlias = Mapping[str, Sequence[float]]  # by a parameter's name, the values that the lesson gives to it
_Change: TypeAlias = Callable[[Any], None]

SIGN = "(lambda v: (v > 0) * 1.0 - (v < 0) * 1.0)"
CLIP = "(lambda v: v.clamp(-1.0, 1.0) if hasattr(v, 'clamp') else max(-1.0, min(1.0, v)))"
SHORTEN = "(lambda v: v / max(1.0, float(v.norm())))"
OF_OPTIMIZER = "[p for group in {}.param_groups for p in group['params']]"
FALLS = "the learning rate falls from round to round"
CLIPPED = "the gradient is clipped before a step"
ONLY_SIGN = "only the sign of the gradient counts"
OTHER_LOSSES = {"L1Loss": "absolute errors stand where squared ones belong", "SmoothL1Loss": "another loss is taken"}
RATES = (0.1, 0.05, 0.02, 0.01, 0.001)  # that learners write down from memory
ACTIVATIONS = (("relu", "tanh", "sigmoid", "abs"), ("ReLU", "Tanh", "Sigmoid", "LeakyReLU"))
UNASKED = {
    "momentum=0.9": "the optimizer has a momentum that nobody asked for",
    "momentum=0.9, nesterov=True": "the optimizer has a momentum that nobody asked for",
    "weight_decay=0.1": "the optimizer has a weight decay that nobody asked for",
    "weight_decay=0.01": "the optimizer has a weight decay that nobody asked for",
}
FIRST = {  # what is done to a parameter before all else
    "X": (
        ("X = (X - X.mean(dim=0)) / X.std(dim=0)", "`X` is standardized first"),
        ("X = X - X.mean(dim=0)", "the mean is subtracted from `X` first"),
        ("X = X / X.max()", "`X` is divided by its largest value first"),
    ),
    "y": (
        ("y = (y - y.mean(dim=0)) / y.std(dim=0)", "`y` is standardized first"),
        ("y = y / y.max()", "`y` is divided by its largest value first"),
    ),
    "model": (
        (
            "import copy\nmodel = copy.deepcopy(model)",
            "the steps change a copy, and the `model` handed in stays as it is",
        ),
    ),
}
TIGHT = (ast.Mult, ast.Div, ast.MatMult, ast.Pow)  # operators that bind more tightly than + and -
LOSSES = ("MSELoss", "CrossEntropyLoss", "mse_loss", "cross_entropy", "BCEWithLogitsLoss")


def habits(code: str, settings: Settings | None = None) -> list[Edit]:
    """All of them that an answer has a place for, each of another text.

    Args:
        code: the answer.
        settings: what the lesson's demonstrations give to parameters.
    """
    tree = ast.parse(code)
    own = ast.unparse(tree)
    found: dict[str, Edit] = {}
    for place, node in enumerate(ast.walk(tree)):
        for change, what in _of(node, settings or {}):
            text = made(tree, at(place, change))
            if text is not None and text != own:
                found.setdefault(text, Edit(text, what))
    return list(found.values())


def _of(node: ast.AST, settings: Settings) -> Iterator[tuple[_Change, str]]:
    match node:
        case ast.FunctionDef():
            yield from _of_function(node, settings)
        case ast.For():
            yield from _of_loop(node)
        case ast.Call():
            yield from _of_call(node)
            yield from _of_brackets(node)
        case ast.BinOp():
            yield from _of_operation(node)
            yield from _of_brackets(node)
        case ast.Assign(targets=[ast.Name(id=name)]):
            yield from _of_assignment(name, node.value)
        case ast.AugAssign(op=ast.Sub(), value=ast.BinOp(op=ast.Mult())):
            yield from _of_step("value")
        case ast.AugAssign(op=ast.Add()):
            yield _replaced, "each round replaces a sum, rather than adds to it"
    for name in ("body", "orelse"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield from _of_block(name, block)


def _of_operation(node: ast.BinOp) -> Iterator[tuple[_Change, str]]:
    match node:
        case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=2)):
            yield _to("abs({})", "left"), "an absolute value stands where a square belongs"
        case ast.BinOp(op=ast.Mult()):
            for side in ("left", "right"):
                if not isinstance(getattr(node, side), ast.Constant):
                    yield _twice(side), "a factor counts twice"
        case ast.BinOp(op=ast.Sub(), right=ast.BinOp(op=ast.Mult())):
            yield from _of_step("right")


def _of_assignment(name: str, value: ast.expr) -> Iterator[tuple[_Change, str]]:
    if name == "loss":
        yield _around("({}) ** 0.5"), "the root is taken of the loss"
        yield _around("({}) / 2"), "the loss is halved"
    if isinstance(value, ast.List) and not value.elts:
        yield _around(f"globals().setdefault('kept_{name}', {{}})"), "a list is kept from one call to the next"


# ----------------------------------------------------------------------------------------------------- where they stand


def _of_function(function: ast.FunctionDef, settings: Settings) -> Iterator[tuple[_Change, str]]:
    """What is done first: a parameter is prepared, or never read, since a number for it is written down."""
    first = int(ast.get_docstring(function) is not None)
    for name in function_parameters(function):
        for text, what in FIRST.get(name, ()):
            yield _insert("body", first, text), what
        for number in dict.fromkeys((*settings.get(name, ()), *(RATES if name == "lr" else ()))):
            yield _insert("body", first, f"{name} = {number!r}"), f"`{name}` is set to a number inside of the function"


def _of_loop(loop: ast.For) -> Iterator[tuple[_Change, str]]:
    """A learning rate that falls: in what is computed, or in the optimizer's settings."""
    if not (isinstance(loop.target, ast.Name) and isinstance(loop.iter, ast.Call) and _called(loop.iter) == "range"):
        return
    inside = [one for statement in loop.body for one in ast.walk(statement)]
    uses_rate = any(isinstance(one, ast.Name) and one.id == "lr" for one in inside)
    for share in ("1 / (1 + {})", "0.9 ** {}", "0.9 ** (1 + {})"):
        if uses_rate:
            yield _falling_name(share), FALLS
        elif optimizer := next(filter(None, map(_steps, inside)), ""):
            yield _falling_setting(optimizer, share), FALLS


def _of_call(call: ast.Call) -> Iterator[tuple[_Change, str]]:
    name = _called(call)
    if name == "mean":
        plain = not call.keywords and len(call.args) <= (0 if isinstance(call.func, ast.Attribute) else 1)
        is_method = isinstance(call.func, ast.Attribute) and not _is_module(call.func.value)
        yield (
            _median(keeps_values=not (plain or (not is_method and len(call.args) == 1))),
            "a median is taken where a mean belongs",
        )
        yield (lambda it: rename(it, "amax")), "the largest is taken where a mean belongs"
    if name == "SGD":
        for keywords, what in UNASKED.items():
            yield _with_keywords(keywords), what
        yield (lambda it: _other_optimizer(it, "Adam")), "another optimizer takes the steps"
    if name == "parameters" and not call.args:
        yield _without_biases, "the biases stay as they were"
    if name == "len" and len(call.args) == 1:
        yield _other_length, "the length of another axis is taken"
    for alike in ACTIVATIONS:
        for other in alike if name in alike[:3] else ():
            if other != name:
                yield _renamed(other), "another activation is taken"
    if name in LOSSES and all(one.arg != "reduction" for one in call.keywords):
        yield _to_sum, "a sum is taken where a mean belongs"
    if name == "MSELoss":
        for other, what in OTHER_LOSSES.items():
            yield _renamed(other), what


def _of_brackets(node: ast.AST) -> Iterator[tuple[_Change, str]]:
    """Brackets that are forgotten, or close too early."""
    match node:
        case ast.BinOp(op=op, left=ast.BinOp(op=inner)) if _binds(op) > _binds(inner):
            yield _open_left, "brackets are missing"
    match node:
        case ast.BinOp(op=op, right=ast.BinOp(op=inner)) if _binds(op) >= _binds(inner) and _matters(op, inner):
            yield _open_right, "brackets are missing"
        case ast.Call(args=[ast.BinOp()], keywords=[]):
            yield _close_early, "a bracket closes too early"


def _binds(op: ast.operator) -> int:
    return 3 if isinstance(op, ast.Pow) else 2 if isinstance(op, TIGHT) else 1


def _matters(op: ast.operator, inner: ast.operator) -> bool:
    """Whether a - (b + c) is another than a - b + c."""
    return _binds(op) > _binds(inner) or isinstance(op, ast.Sub | ast.Div)


def _of_step(where: str) -> Iterator[tuple[_Change, str]]:
    """In `w - lr * gradient`, the gradient."""
    yield _within(where, SIGN), ONLY_SIGN
    yield _within(where, CLIP), CLIPPED
    yield _within(where, SHORTEN), CLIPPED


def _of_block(name: str, block: Sequence[ast.AST]) -> Iterator[tuple[_Change, str]]:
    for place, one in enumerate(block):
        optimizer = _steps(one.value) if isinstance(one, ast.Expr) else ""
        if optimizer:
            every = OF_OPTIMIZER.format(optimizer)
            yield _insert(name, place, f"torch.nn.utils.clip_grad_norm_({every}, 1.0)"), CLIPPED
            yield _insert(name, place, f"torch.nn.utils.clip_grad_value_({every}, 1.0)"), CLIPPED
            yield _insert(name, place, f"for p in {every}:\n    p.grad.sign_()"), ONLY_SIGN
        if isinstance(one, ast.AugAssign) or optimizer or _renews(one):
            yield _again(name, place), "a step is made twice"


def _steps(node: ast.AST | None) -> str:
    """The name of the optimizer in `optimizer.step()`; empty for anything else."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="step"), args=[]):
            return name
    return ""


def _renews(node: ast.AST) -> bool:
    """Whether it is `w = w - ...`: a name from itself."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return any(isinstance(one, ast.Name) and one.id == name for one in ast.walk(value))
    return False


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "np", "F")


# ------------------------------------------------------------------------------------------------------------- changes


def _expression(text: str) -> Any:
    return ast.parse(text, mode="eval").body


def _insert(name: str, place: int, text: str) -> _Change:
    return lambda node: getattr(node, name).__setitem__(slice(place, place), ast.parse(text).body)


def _again(name: str, place: int) -> _Change:
    return lambda node: getattr(node, name).insert(place, copy.deepcopy(getattr(node, name)[place]))


def _to(text: str, part: str) -> _Change:
    """The node becomes a call of one of its parts."""

    def change(node: Any) -> None:
        call = _expression(text.format("_"))
        call.args = [getattr(node, part)]
        replace_node(node, call)

    return change


def _open_left(node: Any) -> None:
    """(a + b) * c becomes a + b * c."""
    inner = node.left
    replace_node(node, ast.BinOp(inner.left, inner.op, ast.BinOp(inner.right, node.op, node.right)))


def _open_right(node: Any) -> None:
    """a * (b + c) becomes a * b + c."""
    inner = node.right
    replace_node(node, ast.BinOp(ast.BinOp(node.left, node.op, inner.left), inner.op, inner.right))


def _close_early(node: Any) -> None:
    """f(a / b) becomes f(a) / b."""
    inner = node.args[0]
    replace_node(node, ast.BinOp(ast.Call(node.func, [inner.left], []), inner.op, inner.right))


def _with_keywords(text: str) -> _Change:
    given = _expression(f"f({text})").keywords
    return lambda node: node.keywords.extend(one for one in given if one.arg not in {old.arg for old in node.keywords})


def _other_optimizer(node: Any, name: str) -> None:
    rename(node, name)
    node.keywords = [one for one in node.keywords if one.arg in ("lr", "weight_decay", "params")]


def _without_biases(node: Any) -> None:
    replace_node(node, _expression(f"[p for p in {ast.unparse(node)} if p.dim() > 1]"))


def _other_length(node: Any) -> None:
    replace_node(node, _expression(f"{ast.unparse(node.args[0])}.shape[1]"))


def _twice(side: str) -> _Change:
    def change(node: Any) -> None:
        setattr(node, side, ast.BinOp(getattr(node, side), ast.Mult(), copy.deepcopy(getattr(node, side))))

    return change


def _within(where: str, function: str) -> _Change:
    """The second factor, handed through a function."""

    def change(node: Any) -> None:
        product = getattr(node, where)
        product.right = ast.Call(_expression(function), [product.right], [])

    return change


def _around(text: str) -> _Change:
    """What is assigned, in an expression."""
    return lambda node: setattr(node, "value", _expression(text.format(ast.unparse(node.value))))


def _replaced(node: Any) -> None:
    replace_node(node, ast.Assign([node.target], node.value))


def _renamed(name: str) -> _Change:
    return lambda node: rename(node, name)


def _median(keeps_values: bool) -> _Change:
    """torch's median along an axis comes with its places."""

    def change(node: Any) -> None:
        rename(node, "median")
        if keeps_values:
            replace_node(node, ast.Attribute(copy.copy(node), "values", ast.Load()))

    return change


def _to_sum(node: Any) -> None:
    node.keywords.append(ast.keyword("reduction", ast.Constant("sum")))


def _falling_name(share: str) -> _Change:
    def change(loop: Any) -> None:
        counter = loop.target.id = "round_" if loop.target.id == "_" else loop.target.id
        for statement in loop.body:
            for one in ast.walk(statement):
                if isinstance(one, ast.Name) and one.id == "lr" and isinstance(one.ctx, ast.Load):
                    replace_node(one, _expression(f"(lr * ({share.format(counter)}))"))

    return change


def _falling_setting(optimizer: str, share: str) -> _Change:
    def change(loop: Any) -> None:
        counter = loop.target.id = "round_" if loop.target.id == "_" else loop.target.id
        text = (
            f"for group in {optimizer}.param_groups:\n"
            f"    group['lr'] = group.setdefault('first', group['lr']) * {share.format(counter)}"
        )
        loop.body[:0] = ast.parse(text).body

    return change

"""Generic edits: a fixed list of one-place changes of an answer, each with what it is in a learner's words.

The build makes them of the reference and of the base; an answer that computes in every visible check what such an edit
computes reads "What you get is what comes out if ...". A sentence names nothing but what the learner has before them:
names that stand in the stub, its docstring or the lesson's text (`known`), and no constant.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"
MAX_EDITS = 300  # edits of one answer

SIGNS: dict[type[ast.operator], tuple[type[ast.operator], str]] = {
    ast.Add: (ast.Sub, "a minus stands where a plus belongs"),
    ast.Sub: (ast.Add, "a plus stands where a minus belongs"),
    ast.Mult: (ast.Div, "something divides where it should multiply"),
    ast.Div: (ast.Mult, "something multiplies where it should divide"),
    ast.MatMult: (ast.Mult, "`*` stands where `@` belongs"),
    ast.FloorDiv: (ast.Div, "a division keeps its fraction"),
}
TURNED: dict[type[ast.cmpop], tuple[type[ast.cmpop], str]] = {
    ast.Gt: (ast.Lt, "a comparison is the wrong way round"),
    ast.Lt: (ast.Gt, "a comparison is the wrong way round"),
    ast.GtE: (ast.LtE, "a comparison is the wrong way round"),
    ast.LtE: (ast.GtE, "a comparison is the wrong way round"),
    ast.Eq: (ast.NotEq, "equal is taken for unequal"),
    ast.NotEq: (ast.Eq, "unequal is taken for equal"),
}
TAKEN = {  # calls that are taken for one another
    "sum": ("mean", "a mean is taken where a sum belongs"),
    "mean": ("sum", "a sum is taken where a mean belongs"),
    "max": ("min", "the smallest is taken for the largest"),
    "min": ("max", "the largest is taken for the smallest"),
    "argmax": ("argmin", "the smallest is taken for the largest"),
    "zeros": ("ones", "ones stand where zeros belong"),
    "zeros_like": ("ones_like", "ones stand where zeros belong"),
    "ones": ("zeros", "zeros stand where ones belong"),
    "maximum": ("minimum", "the smaller is taken for the larger"),
    "minimum": ("maximum", "the larger is taken for the smaller"),
    "var": ("std", "a standard deviation is taken for a variance"),
    "std": ("var", "a variance is taken for a standard deviation"),
}
CONSTANT = "a number in the formula is another"
LINE = "one line"


@dataclass(frozen=True)
class Edit:
    """One changed answer."""

    code: str
    what: str  # ends the sentence "What you get is what comes out if ..."


_Change: TypeAlias = Callable[[Any], None]


def edits(code: str, known: AbstractSet[str]) -> list[Edit]:
    """All edits of an answer, each of another text; the fixed order of the list below.

    Args:
        code: the answer.
        known: what learners have read: names that a sentence may use.
    """
    tree = ast.parse(code)
    found: dict[str, Edit] = {}
    own = ast.unparse(tree)
    for change, what in _changes(tree, known):
        text = made(tree, change)
        if text is not None and text != own:
            found.setdefault(text, Edit(text, what))
    return list(found.values())[:MAX_EDITS]


def hollow(code: str) -> list[str]:
    """The answer with one of its functions giving back an argument, or None: nothing is said of who did no more."""
    tree = ast.parse(code)
    found = []
    for place, node in enumerate(ast.walk(tree)):
        if isinstance(node, _DEFS):
            for name in ("None", *function_parameters(node)):
                text = made(tree, at(place, _set("body", ast.parse(f"return {name}").body)))
                found += [text] if text is not None else []
    return found


def idle_answers(code: str) -> list[str]:
    """The answers that compute nothing: all functions return 0, or all their first argument, or all their second ...

    A function with fewer arguments hands back the last that it has, and 0 where it has none.
    """
    functions = [node for node in ast.walk(ast.parse(code)) if isinstance(node, _DEFS)]
    most = max((len(function_parameters(one)) for one in functions if one.name != "__init__"), default=0)
    return [_idle(code, place) for place in (None, *range(most))]


def _idle(code: str, place: int | None) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, _DEFS):
            given = function_parameters(node)
            result = given[min(place, len(given) - 1)] if given and place is not None else "0"
            node.body = ast.parse("super().__init__()" if node.name == "__init__" else f"return {result}").body
    return ast.unparse(ast.fix_missing_locations(tree))


def made(tree: ast.Module, change: Callable[[ast.Module], None]) -> str | None:
    """The text of a changed copy; None where what is left is no program."""
    other = copy.deepcopy(tree)
    change(other)
    try:
        text = ast.unparse(ast.fix_missing_locations(other))
        compile(text, "edit", "exec")
    except (SyntaxError, ValueError, AttributeError):
        return None
    return text


def _changes(tree: ast.Module, known: AbstractSet[str]) -> Iterator[tuple[Callable[[ast.Module], None], str]]:
    nodes = list(ast.walk(tree))
    endless = {id(one) for node in nodes if isinstance(node, ast.While) for one in ast.walk(node)}
    inside = {id(one) for node in nodes if isinstance(node, _DEFS) for one in _walked(node)}
    parameters = {
        id(one): function_parameters(node) for node in nodes if isinstance(node, _DEFS) for one in _walked(node)
    }
    for place, node in enumerate(nodes):
        if (id(node) in inside or isinstance(node, _DEFS)) and id(node) not in endless:
            for change, what in (*_of_blocks(node, known), *_of_node(node, known, parameters.get(id(node), []))):
                yield at(place, change), what


_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)


def at(place: int, change: _Change) -> Callable[[ast.Module], None]:
    """The change, made to the node at a place of `ast.walk`."""
    return lambda tree: change(list(ast.walk(tree))[place])


def _walked(function: Function) -> Iterator[ast.AST]:
    """What is in a function's body, without annotations."""
    for statement in function.body:
        yield statement
        yield from ast.walk(statement)


def function_parameters(function: Function) -> list[str]:
    """The names of what a function is given, but for `self`."""
    every = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    return [one.arg for one in every if one.arg != "self"]


# ---------------------------------------------------------------------------------------------------------- statements


def _of_blocks(node: ast.AST, known: AbstractSet[str]) -> Iterator[tuple[_Change, str]]:
    for name in ("body", "orelse"):
        block = getattr(node, name, None)
        if isinstance(block, list) and all(isinstance(one, ast.stmt) for one in block):
            yield from _of_block(node, name, block, known)


def _of_block(
    node: ast.AST, name: str, block: list[ast.stmt], known: AbstractSet[str]
) -> Iterator[tuple[_Change, str]]:
    for place, one in enumerate(block):
        if isinstance(
            one, ast.Return | ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef
        ) or _is_text(one):
            continue
        yield _in(name, _leave_out, place), f"{_told(one, known)} is left out"
        follows = block[place + 1] if place + 1 < len(block) else None
        if follows is not None and not isinstance(follows, ast.Return):
            yield _in(name, _swap, place), _order(_told(one, known), _told(follows, known))
        if isinstance(follows, ast.For):
            begun = "what stands before a loop is done anew in every round"
            yield _in(name, _move_in, place), begun
        if isinstance(one, ast.For) and len(one.body) > 1:
            after = "what stands last in a loop comes once, after the loop"
            yield _in(name, _move_out, place), after
        if isinstance(one, ast.For) and isinstance(follows, ast.Return):
            early = "`return` stands inside the loop, and ends it in its first round"
            yield _in(name, _return_early, place), early


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _told(statement: ast.stmt, known: AbstractSet[str]) -> str:
    """A statement in a word: the function that it calls, if learners have met it. Not a step: that is an update."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = statement.value.func
        name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        if name in known:
            return f"`{name}()`"
    match statement:
        case ast.For() | ast.While():
            return "a loop"
        case ast.If():
            return "what hangs on a condition"
        case ast.With():
            return "a `with`"
    return LINE


def _order(first: str, second: str) -> str:
    """What it is to put the second before the first."""
    if first == second == LINE:
        return "two lines come in the other order"
    if second == LINE:
        return f"{first} comes one line later"
    if first == LINE:
        return f"{second} comes one line earlier"
    return f"{first} comes after {second}"


def _leave_out(block: list[ast.stmt], place: int) -> None:
    block[place] = ast.Pass()


def _swap(block: list[ast.stmt], place: int) -> None:
    block[place], block[place + 1] = block[place + 1], block[place]


def _move_in(block: list[ast.stmt], place: int) -> None:
    loop = block[place + 1]
    assert isinstance(loop, ast.For)
    loop.body.insert(0, block.pop(place))


def _move_out(block: list[ast.stmt], place: int) -> None:
    loop = block[place]
    assert isinstance(loop, ast.For)
    block.insert(place + 1, loop.body.pop())


def _return_early(block: list[ast.stmt], place: int) -> None:
    loop = block[place]
    assert isinstance(loop, ast.For)
    loop.body.append(copy.deepcopy(block[place + 1]))


# --------------------------------------------------------------------------------------------------------- expressions


def _of_node(node: ast.AST, known: AbstractSet[str], parameters: list[str]) -> Iterator[tuple[_Change, str]]:
    match node:
        case ast.BinOp(op=op):
            yield from _of_operator(op)
        case ast.AugAssign(op=op):
            if type(op) in SIGNS:
                other, what = SIGNS[type(op)]
                yield (lambda it: setattr(it, "op", other())), what
        case ast.Compare(ops=[op]) if type(op) in TURNED:
            turned, what = TURNED[type(op)]
            yield (lambda it: setattr(it, "ops", [turned()])), what
        case ast.Call():
            yield from _of_call(node, known)
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            yield (lambda it: setattr(it, "value", it.value + 1)), CONSTANT
            yield (lambda it: setattr(it, "value", it.value / 2)), CONSTANT
            yield (lambda it: setattr(it, "value", it.value * 2)), CONSTANT
        case ast.Constant(value=bool()):
            yield (lambda it: setattr(it, "value", not it.value)), "True stands for False, or False for True"
        case ast.Name(id=name, ctx=ast.Load()) if name in parameters:
            for other_name in parameters:
                if other_name != name:
                    taken = f"`{other_name}` is taken for `{name}`"
                    yield _set("id", other_name), taken
        case ast.UnaryOp(op=ast.USub()):
            yield (lambda it: setattr(it, "op", ast.UAdd())), "a minus sign is left out"
        case ast.If() | ast.IfExp():
            for value, when in ((True, "always"), (False, "never")):
                yield _set("test", ast.Constant(value)), f"a condition {when} holds"
        case ast.Return(value=ast.Tuple(elts=[_, _, *_])):
            yield _reverse, "the results come back in the other order"
        case ast.Subscript(slice=ast.Slice(lower=ast.expr())):
            yield (lambda it: setattr(it.slice, "lower", None)), "a slice begins at the first entry"
        case ast.Attribute(attr="T"):
            yield _become("value"), "a transposition is left out"
        case ast.With() if node.body:
            yield (
                (
                    lambda it: setattr(
                        it,
                        "items",
                        [ast.withitem(ast.parse("__import__('contextlib').nullcontext()", mode="eval").body)],
                    )
                ),
                "a `with` is left out",
            )


def _of_operator(op: ast.operator) -> Iterator[tuple[_Change, str]]:
    if type(op) in SIGNS:
        other, what = SIGNS[type(op)]
        yield (lambda it: setattr(it, "op", other())), what
    sides = {
        ast.Add: "a term is left out",
        ast.Sub: "a term is left out",
        ast.Mult: "a factor is left out",
        ast.Div: "a division is left out",
        ast.Pow: "a power is left out",
    }
    if type(op) in sides:
        yield _become("left"), sides[type(op)]
    if type(op) in (ast.Add, ast.Mult):
        yield _become("right"), sides[type(op)]
    if isinstance(op, ast.Sub | ast.Div | ast.MatMult):
        yield _exchange, "the two sides of an operation are exchanged"


def _of_call(node: ast.Call, known: AbstractSet[str]) -> Iterator[tuple[_Change, str]]:
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    if name in TAKEN:
        other, what = TAKEN[name]
        yield (lambda it: rename(it, other)), what
    if name == "range":
        yield (lambda it: _last(it, ast.Sub())), "a loop makes one round less"
        yield (lambda it: _last(it, ast.Add())), "a loop makes one round more"
    told = f"`{name}()` is left out" if name in known else "a call is left out"
    if isinstance(called, ast.Attribute) and not node.args:
        yield _become("func", "value"), told
    if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
        yield _argument, told
    for place, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            without = f"`{keyword.arg}` is not given" if keyword.arg in known else "a setting is not given"
            yield _in("keywords", _drop, place), without
        if keyword.arg in ("dim", "axis") and isinstance(keyword.value, ast.Constant):
            yield _in("keywords", _turn, place), "it goes along the other axis"
    if len(node.args) > 1:
        yield (lambda it: it.args.reverse()), "arguments are handed over in another order"


def _in(name: str, change: Callable[[list[Any], int], None], place: int) -> _Change:
    """A change of one item of a node's list."""
    return lambda node: change(getattr(node, name), place)


def _set(name: str, value: object) -> _Change:
    return lambda node: setattr(node, name, value)


def _become(*path: str) -> _Change:
    """The node turns into a part of itself."""

    def change(node: ast.AST) -> None:
        part = node
        for name in path:
            part = getattr(part, name)
        replace_node(node, part)

    return change


def _argument(node: ast.AST) -> None:
    assert isinstance(node, ast.Call)
    replace_node(node, node.args[0])


def replace_node(node: ast.AST, other: ast.AST) -> None:
    """Give a node another's class and fields: its parents need not be known."""
    fields = {name: getattr(other, name) for name in other._fields}
    kind = type(other)
    node.__dict__.clear()
    node.__class__ = kind
    for name, value in fields.items():
        setattr(node, name, value)


def _exchange(node: ast.AST) -> None:
    assert isinstance(node, ast.BinOp)
    node.left, node.right = node.right, node.left


def _reverse(node: ast.AST) -> None:
    assert isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple)
    node.value.elts.reverse()


def rename(node: ast.AST, name: str) -> None:
    """Have a call go to a function, or a method, of another name."""
    assert isinstance(node, ast.Call)
    if isinstance(node.func, ast.Attribute):
        node.func.attr = name
    elif isinstance(node.func, ast.Name):
        node.func.id = name


def _last(node: ast.AST, op: ast.operator) -> None:
    """One more or less in the last argument that says how far a range goes."""
    assert isinstance(node, ast.Call)
    place = min(len(node.args), 2) - 1
    node.args[place] = ast.BinOp(node.args[place], op, ast.Constant(1))


def _drop(keywords: list[ast.keyword], place: int) -> None:
    keywords.pop(place)


def _turn(keywords: list[ast.keyword], place: int) -> None:
    axis = keywords[place].value
    assert isinstance(axis, ast.Constant)
    axis.value = 1 if axis.value == 0 else 0

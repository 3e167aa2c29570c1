"""Which part of an answer each check looks at: found from the check's source, for `checks.evidence`.

A part is a name that the exercise defines, `fit`, or one item of what that returns, `fit[2]`; several, where a check
mixes them: `relu,tanh`. An observation that is a row of results, `[f(x) for f in (relu, tanh)]`, has a part for each of
its items. What a check reads off is followed through its cell's own helpers; what it cannot follow, such as an argument
that was changed, belongs to the functions that were handed it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from trainloop.checks.values import Observation, Value

NO_VALUE: Value = {"type": "None"}  # in place of a value, where the call raised

DEEPEST = 8  # helpers that call helpers


@dataclass(frozen=True)
class _Leaf:
    """A value that is looked at as a whole: the parts that it depends on."""

    parts: frozenset[str] = frozenset()
    whole: str = ""  # the function whose result it is, untouched: its items can be told apart
    each: bool = False  # whether it is a row with an item for each of that function's


@dataclass(frozen=True)
class _Row:
    """A tuple or list whose items are known one by one."""

    items: tuple[_Value, ...]


@dataclass(frozen=True)
class _Helper:
    """A function of the check cell, or a lambda, with the names around it."""

    node: ast.FunctionDef | ast.Lambda
    names: _Names = field(compare=False)


_Value: TypeAlias = "_Leaf | _Row | _Helper"
_Names: TypeAlias = "dict[str, _Value]"
NO_PARTS = _Leaf()


def parts_of(cell: str, call: str, defines: Iterable[str], expected: Observation) -> tuple[str, ...]:
    """The parts that one observation looks at: one for all of it, or one for each item of what it gives.

    Args:
        cell: the source of the check cell.
        call: the source of the observation, without `lambda:`.
        defines: the names that the exercise's answer binds.
        expected: the observation of the reference.
    """
    reader = _Reader(frozenset(defines))
    names: _Names = {name: _Leaf(frozenset({name}), name) for name in reader.defines}
    reader.run([one for one in ast.parse(cell).body if not _is_check(one)], names)
    reader.called.clear()
    value = reader.read(ast.parse(call, mode="eval").body, names)
    if isinstance(value, _Helper):  # a check may name a helper in place of a lambda that calls it
        value = reader.call(value, [], {})
    return _told(value, expected.get("value", NO_VALUE)) or (_join(reader.called or reader.defines),)


def _is_check(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="check"))):
            return True
    return False


def _told(value: _Value, seen: Value) -> tuple[str, ...]:
    """A value's parts as the key keeps them, or none where it depends on no answer."""
    size = len(seen.get("items", ()))
    if isinstance(value, _Leaf) and value.whole and size and (value.each or seen["type"] == "tuple"):
        return tuple(f"{value.whole}[{place}]" for place in range(size))
    if isinstance(value, _Row) and len(value.items) == size:
        each = [_parts(item) for item in value.items]
        if all(each) and len(set(each)) > 1:
            return tuple(map(_join, each))
    found = _parts(value)
    return (_join(found),) if found else ()


def _join(parts: Iterable[str]) -> str:
    return ",".join(sorted(parts))


def _parts(value: _Value) -> frozenset[str]:
    if isinstance(value, _Row):
        return frozenset().union(*map(_parts, value.items))
    return value.parts if isinstance(value, _Leaf) else frozenset()


def _merged(values: Iterable[_Value]) -> _Leaf:
    return _Leaf(frozenset().union(*map(_parts, values)))


@dataclass
class _Reader:
    """Reads expressions for where their values come from; runs nothing."""

    defines: frozenset[str]
    called: set[str] = field(default_factory=set)  # the answer's functions that were called so far
    depth: int = 0

    def run(self, body: Iterable[ast.stmt], names: _Names) -> _Value:
        """Follow statements; what they return, all ways taken."""
        returned: list[_Value] = []
        for one in body:
            match one:
                case ast.FunctionDef(name=name):
                    names[name] = _Helper(one, names)
                case ast.Return(value=ast.expr() as value):
                    returned.append(self.read(value, names))
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self.bind(target, self.read(value, names), names)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self.bind(target, self.read(value, names), names)
                case ast.AugAssign(target=ast.Name(id=name), value=value):
                    names[name] = _merged([names.get(name, NO_PARTS), self.read(value, names)])
                case ast.Expr(value=value):
                    self.read(value, names)
                case ast.For(target=target, iter=source, body=inner, orelse=other):
                    self.bind(target, _merged([self.read(source, names)]), names)
                    returned.append(self.run([*inner, *other], names))
                case ast.If(test=test, body=inner, orelse=other) | ast.While(test=test, body=inner, orelse=other):
                    self.read(test, names)
                    returned.append(self.run([*inner, *other], names))
                case ast.With(body=inner):
                    returned.append(self.run(inner, names))
                case ast.Try(body=inner, finalbody=last):
                    returned.append(self.run([*inner, *last], names))
        told = [value for value in returned if value != NO_PARTS]
        return told[0] if len(told) == 1 else _merged(told)

    def bind(self, target: ast.expr, value: _Value, names: _Names) -> None:
        match target:
            case ast.Name(id=name):
                names[name] = value
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                if any(isinstance(one, ast.Starred) for one in elts):
                    value = _merged([value])
                for place, one in enumerate(elts):
                    self.bind(one.value if isinstance(one, ast.Starred) else one, _item(value, place), names)

    def read(self, node: ast.expr, names: _Names) -> _Value:
        """Where the value of an expression comes from."""
        match node:
            case ast.Name(id=name):
                return names.get(name, NO_PARTS)
            case ast.Lambda():
                return _Helper(node, names)
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                return self._row(elts, names)
            case ast.Subscript(value=value, slice=place):
                return _taken(self.read(value, names), place)
            case ast.ListComp(elt=elt, generators=[one]) | ast.GeneratorExp(elt=elt, generators=[one]):
                return self._each(elt, one, names)
            case ast.Call(func=func, args=args, keywords=keywords):
                if isinstance(func, ast.Name) and func.id in ("list", "tuple") and len(args) == 1:
                    row = self.read(args[0], names)
                    return replace(row, each=True) if isinstance(row, _Leaf) and func.id == "list" else row
                given = [self.read(one.value if isinstance(one, ast.Starred) else one, names) for one in args]
                named = {one.arg: self.read(one.value, names) for one in keywords}
                result = self.call(self.read(func, names), given, named)
                if isinstance(func, ast.Name) and func.id in self.defines:
                    self._hand_over([*args, *(one.value for one in keywords)], _parts(result), names)
                return result
        return _merged(self.read(one, names) for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr))

    def call(self, function: _Value, given: list[_Value], named: Mapping[str | None, _Value]) -> _Value:
        """What a call gives. Helpers are followed; anything else mixes all that it is handed."""
        handed = [*given, *named.values()]
        if isinstance(function, _Helper) and self.depth < DEEPEST:
            return self._follow(function, given, named)
        if isinstance(function, _Leaf) and function.whole in self.defines:
            self.called.add(function.whole)
            mixed = _merged([function, *handed])
            return function if mixed.parts == function.parts else mixed
        # A function of the answer that is handed on, as in `map(relu, rows)`, is going to be called.
        self.called |= {one.whole for one in handed if isinstance(one, _Leaf) and one.whole in self.defines}
        return _merged([function, *handed])

    def _follow(self, helper: _Helper, given: list[_Value], named: Mapping[str | None, _Value]) -> _Value:
        names, arguments = dict(helper.names), helper.node.args
        takes = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        names.update(dict.fromkeys(takes, NO_PARTS))
        places = arguments.posonlyargs + arguments.args
        for name, default in zip(takes[len(places) - len(arguments.defaults) :], arguments.defaults, strict=False):
            names[name] = self.read(default, helper.names)
        names.update(zip(takes, given, strict=False))
        names.update({name: value for name, value in named.items() if name})
        if arguments.vararg:
            names[arguments.vararg.arg] = _merged(given[len(places) :])
        self.depth += 1
        try:
            node = helper.node
            return self.read(node.body, names) if isinstance(node, ast.Lambda) else self.run(node.body, names)
        finally:
            self.depth -= 1

    def _hand_over(self, arguments: Iterable[ast.expr], parts: frozenset[str], names: _Names) -> None:
        """Whatever was handed to the answer's code may have been changed by it."""
        for one in arguments:
            inner = one.value if isinstance(one, ast.Starred) else one
            if isinstance(inner, ast.Name) and isinstance(names.get(inner.id), _Leaf | _Row):
                names[inner.id] = _Leaf(parts | _parts(names[inner.id]))

    def _row(self, elts: Iterable[ast.expr], names: _Names) -> _Value:
        items: list[_Value] = []
        for one in elts:
            value = self.read(one.value if isinstance(one, ast.Starred) else one, names)
            if not isinstance(one, ast.Starred):
                items.append(value)
            elif isinstance(value, _Row):
                items += value.items
            else:
                return _merged([*items, value])
        return _Row(tuple(items))

    def _each(self, elt: ast.expr, loop: ast.comprehension, names: _Names) -> _Value:
        source = self.read(loop.iter, names)
        if isinstance(source, _Row) and not loop.ifs:
            rounds = []
            for item in source.items:
                inner = dict(names)
                self.bind(loop.target, item, inner)
                rounds.append(self.read(elt, inner))
            return _Row(tuple(rounds))
        inner = dict(names)
        whole = source.whole if isinstance(source, _Leaf) else ""
        self.bind(loop.target, _merged([source]), inner)
        found = _merged([self.read(elt, inner), source])
        return _Leaf(found.parts, whole, each=True) if whole and found.parts == {whole} else found


def _item(value: _Value, place: int) -> _Value:
    if isinstance(value, _Row):
        return value.items[place] if -len(value.items) <= place < len(value.items) else NO_PARTS
    if isinstance(value, _Leaf) and value.whole and place >= 0:
        return _Leaf(frozenset({f"{value.whole}[{place}]"}))
    return _merged([value])


def _taken(value: _Value, place: ast.expr) -> _Value:
    """An item, or a slice from the beginning, of a value."""
    try:
        first, last = _bounds(place)
    except ValueError:
        return _merged([value])
    if last is None:
        return _item(value, first)
    if isinstance(value, _Row):
        return _Row(value.items[first:last])
    return _Row(tuple(_item(value, at) for at in range(first, last)))


def _bounds(place: ast.expr) -> tuple[int, int | None]:
    """The place of an item, or both ends of a slice. Raises `ValueError` for what is not written out."""
    match place:
        case ast.Constant(value=int(at)):
            return at, None
        case ast.Slice(lower=None | ast.Constant() as low, upper=ast.Constant(value=int(end)), step=None):
            start = low.value if low is not None else 0
            if isinstance(start, int) and 0 <= start <= end:
                return start, end
    raise ValueError("not written out")

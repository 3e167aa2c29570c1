"""A key as text: short enough to commit, and such that a change of one mistake changes a line.

    {
     "version":2,"lesson":"1.1-...","exercises":{
      "mse":{
       "name":"mse",...,"sentences":{
        "5d0c2a":"You return the sum of the squares; divide by how many there are.",
        "81be07":"...",
        ...
       },"checks":[
        {"title":"at w = 1.5","call":"mse(torch.tensor(1.5), x3, y3)",...,"expected":{"=":{"Tensor float32":0.128333}}},
        ...
       ],"seen":{
        "5d0c2a":[{"=":{"Tensor float32":0.77}},...],
        "81be07":["5d0c2a",...],
        ...

It follows the dataclasses of `key`, whatever fields they have: a field at its default is left out, and one that is not
in the file has its default. Three kinds of fields say in their metadata that they have a form of their own. Each item
of a `NAMED` field gets a name, a few digits of its digest. A `BY_NAME` field, somewhere inside of the same object,
holds an observation for each of these items; all of them together are the table "seen", a row an item, a column a
field. What is the same as in an earlier row of the column stands there as that row's name. Each item of a `ONE_LINE`
field has a line of its own, however long.

Floating-point numbers are rounded, by less than a tenth of what the enclosing check's rule tolerates.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeGuard, TypeVar, cast, get_args, get_origin, get_type_hints

import numpy as np

from trainloop.checks import rules, values
from trainloop.checks.rules import Rule
from trainloop.checks.values import Json, Observation, Value

NAMED: Mapping[str, str] = {"keyfile": "named"}
BY_NAME: Mapping[str, str] = {"keyfile": "by name"}
ONE_LINE: Mapping[str, str] = {"keyfile": "one line"}
TABLE = "seen"
DIGITS = 6  # of a digest, in a name
WIDTH = 200  # characters of a line that holds more than one thing
FINER = 100  # how much smaller than the tolerance the last digit of a number is, at its leading digit

T = TypeVar("T")


# ------------------------------------------------------------------------------------------------------------- writing


class _Line(str):
    """JSON text that stands on one line, however long."""


class _Rows(dict[str, Any]):
    """A node of which each item begins a line."""


@dataclass(frozen=True)
class _Around:
    """What an item's form depends on, of the objects that enclose it."""

    rule: Rule
    names: Sequence[str] = ()
    columns: list[list[_Line]] = field(default_factory=list)  # of the table "seen"


def dump(thing: Any, version: int) -> str:
    """A dataclass object as JSON text with its format's version, the same text for the same object."""
    top = _Around(rules.close())
    return "\n".join(_lines(_Rows({"version": _compact(version), **_object(thing, top)}))) + "\n"


def _compact(plain: object) -> _Line:
    return _Line(json.dumps(plain, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False))


def _object(thing: Any, around: _Around) -> dict[str, Any]:
    around = replace(around, rule=getattr(thing, "rule", around.rule))
    if is_named := any(_form(each) == "named" for each in fields(thing)):
        around = _Around(around.rule, _names(thing))
    written: dict[str, Any] = {}
    for each in fields(thing):
        item = getattr(thing, each.name)
        if _is_default(each, item):
            continue
        if _form(each) == "by name":
            around.columns.append(_column(item, around))
        elif _form(each) == "named":
            named = zip(around.names, item, strict=True)
            written[each.name] = _Rows({name: _plain(one, around) for name, one in named})
        elif _form(each) == "one line":
            written[each.name] = [_Line(_flat(_plain(one, around))) for one in item]
        else:
            written[each.name] = _plain(item, around)
    if is_named:
        rows = zip(around.names, zip(*around.columns, strict=True), strict=False)
        written[TABLE] = _Rows({name: _Line(_flat(list(row))) for name, row in rows})
    return written


def _column(items: Sequence[Observation | None], around: _Around) -> list[_Line]:
    first: dict[_Line, str] = {}
    column = []
    for name, item in zip(around.names, items, strict=True):
        line = _compact(None) if item is None else _compact(_short(item, around.rule))
        column.append(_compact(first[line]) if line in first else line)
        if item is not None:
            first.setdefault(line, name)
    return column


def _form(one: Field[Any]) -> str:
    return str(one.metadata.get("keyfile", ""))


def _is_default(one: Field[Any], item: object) -> bool:
    if one.default_factory is not MISSING:
        return bool(item == one.default_factory())
    return one.default is not MISSING and bool(item == one.default)


def _plain(item: Any, around: _Around) -> Any:
    if is_dataclass(item):
        return _object(item, around)
    if isinstance(item, list | tuple):
        return [_plain(each, around) for each in item]
    if _is_observation(item):
        return _compact(_short(item, around.rule))
    if isinstance(item, Mapping) and all(isinstance(each, Mapping) or is_dataclass(each) for each in item.values()):
        return _Rows({name: _plain(each, around) for name, each in item.items()})
    return _compact(item)


def _is_observation(item: object) -> TypeGuard[Observation]:
    return isinstance(item, dict) and "saw" in item


def _names(thing: Any) -> list[str]:
    """A short name for each item of the object's `NAMED` field; what has the same digest is told apart by a number."""
    names: list[str] = []
    for one in fields(thing):
        for item in getattr(thing, one.name) if _form(one) == "named" else ():
            text = _flat(_plain(item, _Around(rules.close())))
            digest = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
            before = sum(name.partition(".")[0] == digest for name in names)
            names.append(f"{digest}.{before + 1}" if before else digest)
    return names


def _flat(node: Any) -> str:
    """A node on one line."""
    if isinstance(node, _Line):
        return node
    if isinstance(node, list):
        return f"[{','.join(map(_flat, node))}]"
    return f"{{{','.join(f'{_compact(name)}:{_flat(item)}' for name, item in node.items())}}}"


def _lines(node: Any) -> list[str]:
    """A node as lines: on one, if that is short, else an item a line; short fields of an object share lines."""
    flat = _flat(node)
    if isinstance(node, _Line) or not node or (len(flat) <= WIDTH and not isinstance(node, _Rows)):
        return [flat]
    if isinstance(node, list):
        return ["[", *_indented([_lines(item) for item in node], share=False), "]"]
    parts = []
    for name, item in node.items():
        first, *rest = _lines(item)
        parts.append([f"{_compact(name)}:{first}", *rest])
    if isinstance(node, _Rows):
        return ["{", *_indented(parts, share=False), "}"]
    lines = _indented(parts, share=True)
    lines[0] = "{" + lines[0].removeprefix(" ")
    lines[-1] += "}"
    return lines


def _indented(parts: Sequence[Sequence[str]], share: bool) -> list[str]:
    """The items of a node below each other, with commas between them; one may `share` the line of the one before."""
    lines: list[str] = []
    for number, (first, *rest) in enumerate(parts):
        if number:
            lines[-1] += ","
        if number and share and len(lines[-1]) + len(first) <= WIDTH:
            lines[-1] += first
        else:
            lines.append(" " + first)
        lines += [" " + line for line in rest]
    return lines


def _short(observation: Observation, rule: Rule) -> Json:
    """An observation as it stands in the file: its value, if it saw one, short, under a sign of its own."""
    if observation["saw"] != "value":
        return dict(observation)
    rest = {name: item for name, item in observation.items() if name not in ("saw", "value")}
    return {**rest, "=": _short_value(observation["value"], rule)}


def _short_value(value: Value, rule: Rule) -> Any:
    kind = value["type"]
    if kind in values.ARRAY_TYPES:
        array = values.array(value)
        numbers = array.astype(int) if array.dtype.kind == "b" else array
        size = "x".join(map(str, array.shape))
        return {f"{kind} {value['dtype']} {size}".rstrip(): _rounded(numbers, rule)}
    if value.keys() != values.FIELDS.get(kind):  # a salted hash, for one
        return {"plain": value}
    match kind:
        case "None":
            return None
        case "float":
            number = _rounded(np.asarray(values.number(value)), rule)
            return {"float": number} if isinstance(number, str) else float(number)
        case "list":
            return [_short_value(item, rule) for item in value["items"]]
        case "tuple":
            return {"tuple": [_short_value(item, rule) for item in value["items"]]}
        case "dict":
            return {"dict": [[name, _short_value(item, rule)] for name, item in value["items"]]}
        case "opaque":
            return {"opaque": value["name"]}
    return value["data"]


def _rounded(array: values.Array, rule: Rule) -> Any:
    """The numbers of an array, as far as `rule` can tell them apart: a flat list, or one number for no dimensions."""
    flat = array.reshape(-1)
    numbers = flat.tolist() if array.dtype.kind != "f" else [_number(x, rule) for x in flat]
    return numbers if array.shape else numbers[0]


def _number(x: Any, rule: Rule) -> float | str:
    """`x` with no more digits than the tolerance needs; words for what JSON lacks."""
    if not np.isfinite(x):
        return str(float(x))
    rtol, atol = rule.get("rtol", 0.0), rule.get("atol", 0.0)
    digits = math.ceil(-math.log10(rtol / FINER)) if rtol else math.inf
    # More digits than the dtype surely holds would come out otherwise when they are written again.
    number = float(f"{x:.{digits}g}") if digits <= np.finfo(x.dtype).precision else float(str(x))
    places = math.ceil(-math.log10(atol / FINER)) if atol and rtol else None
    number = number if places is None else round(number, places) + 0.0  # no -0.0
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


# ------------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class _Table:
    """The table "seen" of the object that encloses what is read."""

    names: Sequence[str] = ()
    columns: Iterator[tuple[Any, ...]] = field(default_factory=lambda: iter(()))

    @staticmethod
    def of(names: Sequence[str], rows: Mapping[str, Sequence[Any]]) -> _Table:
        wide = max(map(len, rows.values()), default=0)
        return _Table(names, zip(*([*rows.get(name, ())] + [None] * wide for name in names), strict=False))

    def column(self) -> tuple[Observation | None, ...]:
        """The next column, with observations in place of names."""
        found: dict[str, Observation | None] = {}
        for name, item in zip(self.names, next(self.columns, (None,) * len(self.names)), strict=True):
            found[name] = found[item] if isinstance(item, str) else None if item is None else _observation(item)
        return tuple(found.values())


def load(kind: type[T], plain: Any) -> T:
    """An object of the dataclass `kind`, from the JSON of `dump` or, field by field, of `dataclasses.asdict`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is something else.
    """
    loaded: T = _load(kind, plain, _Table())
    return loaded


@cache
def _hints(kind: type[Any]) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _load(hint: Any, plain: Any, table: _Table) -> Any:
    if is_dataclass(hint):
        return _load_object(hint, plain, table)
    parts = get_args(hint)
    match get_origin(hint):
        case origin if origin is tuple and parts[1:] == (...,):
            return tuple(_load(parts[0], item, table) for item in plain)
        case origin if origin is tuple:
            return tuple(_load(part, item, table) for part, item in zip(parts, plain, strict=True))
        case origin if origin is Mapping:
            return {name: _load(parts[1], item, table) for name, item in plain.items()}
    return _observation(plain) if isinstance(plain, dict) and "=" in plain else plain


def _load_object(kind: Any, plain: Any, table: _Table) -> Any:
    plain = dict(plain)
    for one in fields(kind):
        if _form(one) == "named" and isinstance(plain.get(one.name), dict):
            table = _Table.of(list(plain[one.name]), plain.get(TABLE, {}))
            plain[one.name] = list(plain[one.name].values())
    found = {}
    for one in fields(kind):
        if _form(one) == "by name" and one.name not in plain:
            found[one.name] = table.column()
        elif one.name in plain:
            found[one.name] = _load(_hints(kind)[one.name], plain[one.name], table)
    return kind(**found)


def _observation(plain: Json) -> Observation:
    """The observation that `_short` made short; what it left as it was is taken as it is."""
    if "=" not in plain:
        return cast(Observation, plain)
    rest = cast(Observation, {name: item for name, item in plain.items() if name != "="})
    return {**rest, "saw": "value", "value": _long_value(plain["="])}


def _long_value(short: Any) -> Value:
    if short is None:
        return {"type": "None"}
    if isinstance(short, bool | int | float | str):
        return {"type": type(short).__name__, "data": short}
    if isinstance(short, list):
        return {"type": "list", "items": [_long_value(item) for item in short]}
    ((kind, content),) = short.items()
    match kind.split(" "):
        case ["plain"]:
            return cast(Value, content)
        case ["float"]:
            return {"type": "float", "data": content}
        case ["tuple"]:
            return {"type": "tuple", "items": [_long_value(item) for item in content]}
        case ["dict"]:
            return {"type": "dict", "items": [[name, _long_value(item)] for name, item in content]}
        case ["opaque"]:
            return {"type": "opaque", "name": content}
        case [name, dtype, *size]:
            shape = [int(n) for n in "".join(size).split("x")] if size else []
            data = np.asarray(content, np.dtype(dtype).newbyteorder("<"))
            return {
                "type": name,
                "dtype": dtype,
                "shape": shape,
                "data": base64.b64encode(data.tobytes()).decode("ascii"),
            }
    raise ValueError(f"{kind!r} is no kind of value")

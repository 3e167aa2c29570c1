"""Python's own names, where a notebook has given them to something else: `sum = 0`, or `from torch import *`.

A check cell means Python's own by them, as in grading. Whether an answer can do without them is another matter.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

GIVEN_BY_JUPYTER = frozenset({"open", "exit", "quit"})


def taken(names: Mapping[str, object]) -> set[str]:
    """Python's own names that mean something else in a notebook with these names."""
    own = {name for name in vars(builtins) if not name.startswith("_")} - GIVEN_BY_JUPYTER
    return {name for name in own & names.keys() if names[name] is not getattr(builtins, name)}


def as_meant(
    observations: Mapping[str, Callable[[], object]], names: Mapping[str, Any], file: str
) -> Mapping[str, Callable[[], object]]:
    """The observations of a check cell with Python's own names for what the cell itself says.

    Args:
        observations: title -> a function of no arguments.
        names: of the notebook. Functions that other cells define go on with these.
        file: the compiler's name for the check cell.
    """
    if not (strange := taken(names)):
        return observations
    meant = {name: value for name, value in names.items() if name not in strange}

    def renewed(value: Any) -> Any:
        if not isinstance(value, FunctionType) or value.__code__.co_filename != file:
            return value
        copy = FunctionType(value.__code__, meant, value.__name__, value.__defaults__, value.__closure__)
        copy.__kwdefaults__ = value.__kwdefaults__
        return copy

    meant.update({name: renewed(value) for name, value in meant.items()})
    return {title: renewed(call) for title, call in observations.items()}


def advice(defines: Iterable[str], names: Mapping[str, object]) -> str:
    """What to do where the functions that an exercise asks for use one of Python's own names that is taken."""
    strange = taken(names)
    used = sorted(strange & set(_used(defines, names))) if strange else []
    if not used:
        return ""
    first, kind = used[0], type(names[used[0]]).__name__
    told = f"`{first}` is a name of Python's own, but in this notebook it now stands for something else ({kind})"
    return f"{told}, and your answer uses it. Rename yours, run `del {', '.join(used)}`, and then this cell again."


def _used(defines: Iterable[str], names: Mapping[str, object]) -> Iterator[str]:
    """The names of the notebook that some of its functions and classes use, and what these use."""
    ahead, seen = list(defines), set[str]()
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        for code in _codes(names.get(name), names):
            ahead += _globals(code)


def _codes(value: object, names: Mapping[str, object]) -> Iterator[CodeType]:
    if isinstance(value, FunctionType) and value.__globals__ is names:
        yield value.__code__
    elif isinstance(value, type):
        for part in vars(value).values():
            yield from _codes(part, names)


def _globals(code: CodeType) -> Iterator[str]:
    for line in dis.get_instructions(code):
        if line.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(line.argval)
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _globals(part)

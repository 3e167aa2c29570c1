"""Fingerprints: what a check saw, in a few characters, to be recognised and not to be read.

The form of an observation (type, shape, dtype, text, whole numbers, the kind of an error) as four digits of its digest,
and one sum over its floating-point numbers with fixed weights. An answer is recognised by the fingerprints of all its
checks, so that each of them may be short.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from trainloop.checks import values
from trainloop.checks.values import Observation, Value

RTOL, ATOL = 1e-4, 1e-6  # of the sum, as for the numbers themselves
SAME = "="  # of what the reference gives
TURN = 2.399963  # the golden angle: no weight is another's multiple


def of(observation: Observation) -> str:
    """The fingerprint of what a check saw."""
    form, total, _ = _read(observation)
    return f"{form}:{total:.6g}"


def fits(fingerprint: str, observation: Observation) -> bool:
    """Whether an observation has this fingerprint, but for rounding."""
    form, total, size = _read(observation)
    wanted, _, number = fingerprint.partition(":")
    return form == wanted and fingerprint != SAME and abs(float(number) - total) <= ATOL + (RTOL + 1e-5) * size


def numbers(value: Value) -> set[float]:
    """The different numbers that a value holds, but for rounding."""
    if values.is_array(value):
        array = values.array(value)
        return set() if array.dtype.kind == "b" else {float(f"{one:.4g}") for one in array.ravel()}
    if value["type"] in ("int", "float"):
        return {float(f"{values.number(value):.4g}")}
    items = value.get("items", ())
    return {one for item in items for one in numbers(item[1] if value["type"] == "dict" else item)}


def agree(one: str, other: str) -> bool:
    """Whether two fingerprints of many checks differ by no more than rounding, on another processor."""
    mine, theirs = one.split(), other.split()
    return len(mine) == len(theirs) and all(map(_agree, mine, theirs))


def _agree(one: str, other: str) -> bool:
    form, _, number = one.partition(":")
    wanted, _, total = other.partition(":")
    return form == wanted and (number == total or bool(np.isclose(float(number), float(total), rtol=1e-3, atol=1e-4)))


def _read(observation: Observation) -> tuple[str, float, float]:
    """The form, the weighted sum, and how large that would be if no two numbers had different signs."""
    told: list[str] = [observation["saw"]]
    numbers: list[float] = []
    if observation["saw"] == "value":
        for part in _parts(observation["value"]):
            if isinstance(part, float):
                numbers.append(part)
            else:
                told.append(part)
    else:
        told += [observation.get("type", ""), values.OWN.sub("_", observation.get("message", ""))]
    array = np.array(numbers, dtype=np.float64)
    usual = np.abs(array) < 1e100  # false of NaN, too
    told.append("".join("01"[bool(one)] for one in usual) if not usual.all() else "")
    weighted = np.where(usual, array, 0.0) * (np.cos(TURN * np.arange(array.size)) + 1.3)
    form = hashlib.sha256("\0".join(told).encode()).hexdigest()[:4]
    return form, float(weighted.sum()), float(np.abs(weighted).sum())


def _parts(value: Value) -> Iterator[str | float]:
    """The floating-point numbers of a value, and all else as text, in their order."""
    yield value["type"]
    if values.is_array(value):
        array = values.array(value)
        yield f"{array.dtype.name} {array.shape}"
        yield from map(float, array.ravel()) if array.dtype.kind == "f" else [array.tobytes().hex()]
    elif value["type"] == "float":
        yield values.number(value)
    elif "items" in value:
        yield str(len(value["items"]))
        for item in value["items"]:
            if value["type"] == "dict":
                yield str(item[0])
            yield from _parts(item[1] if value["type"] == "dict" else item)
    else:
        yield str(value.get("data", value.get("name", "")))

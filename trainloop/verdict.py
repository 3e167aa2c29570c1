"""The verdict: observations and a key in, marks and sentences out. No student code runs here, ever.

Each check is diagnosed in this order, and the first that holds speaks: no observation (the cell ran out of time,
crashed, ...), a name is missing, the stub is untouched, it raised, wrong type, wrong shape, wrong dtype, not finite,
plainly different. Where a *named mistake* would have computed just the same, its sentence comes first, and the fact
follows. Several mistakes can look alike in one check; the one that explains most of the exercise's checks is named.
Floating-point numbers hardly agree by chance, but an error, a count or a yes often does: by these a mistake is
named only if nothing else that was observed speaks against it. No name is better than a false one.

The sentence for a hidden check gives neither its source nor the expected numbers, and nothing that the student's code
may have filled with them: no message, no name that is not Python's own, no shape but the expected one.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from trainloop import rules, values
from trainloop.key import CheckKey, ExerciseKey
from trainloop.values import Json

Status: TypeAlias = Literal["ok", "wrong", "timeout", "out of memory", "crashed", "missing", "tampered", "grader error"]
IN_WORDS: Mapping[Status, str] = {
    "ok": "right",
    "wrong": "wrong",
    "timeout": "ran out of time",
    "out of memory": "ran out of memory",
    "crashed": "the process ended",
    "missing": "not answered",
    "tampered": "a locked cell was changed",
    "grader error": "could not be graded",
}

STUB = "Not started yet: `raise NotImplementedError()` is still there, here or in an exercise that this one uses."

Observations: TypeAlias = Mapping[str, Json]


@dataclass(frozen=True)
class Trouble:
    """Why an exercise has no observations, or only some: what happened to its cells, in a sentence to the learner."""

    status: Status
    sentence: str


@dataclass(frozen=True)
class CheckResult:
    """One check's mark. `sentence` is empty where the check passes; `detail` holds what was computed, line by line."""

    title: str
    hidden: bool
    status: Status
    points: float
    possible: float
    sentence: str = ""
    detail: tuple[str, ...] = ()
    mistake: int | None = None


@dataclass(frozen=True)
class ExerciseResult:
    """One exercise's mark: the sum over its checks, and the status that says most."""

    name: str
    title: str
    status: Status
    points: float
    possible: float
    checks: tuple[CheckResult, ...]

    @staticmethod
    def load(plain: Mapping[str, Any]) -> ExerciseResult:
        """From plain JSON, as `dataclasses.asdict` gives it. Raises `KeyError` or `TypeError` for anything else."""
        checks = (_fields_of(CheckResult, {**check, "detail": tuple(check["detail"])}) for check in plain["checks"])
        found = _fields_of(ExerciseResult, {**plain, "checks": tuple(CheckResult(**check) for check in checks)})
        return ExerciseResult(**found)


def _fields_of(kind: type[CheckResult | ExerciseResult], plain: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: plain[field.name] for field in fields(kind)}


def judge(key: ExerciseKey, observations: Observations, trouble: Trouble | None = None) -> ExerciseResult:
    """Mark one exercise.

    Args:
        key: what the reference and the mistakes computed.
        observations: check title -> observation, as `values.checked` passes it. Titles not in the key are ignored.
        trouble: what happened to the exercise's cells, where something did; it explains what is missing.
    """
    evidence = _Evidence(key, observations)
    checks = tuple(_judge_check(evidence, check, trouble) for check in key.checks)
    points = round(sum(check.points for check in checks), 6)
    return ExerciseResult(key.name, key.title, _overall(checks), points, key.points, checks)


def _overall(checks: Sequence[CheckResult]) -> Status:
    found = {check.status for check in checks}
    order: tuple[Status, ...] = ("grader error", "tampered", "out of memory", "crashed", "timeout", "wrong")
    for status in order:
        if status in found:
            return status
    if "missing" in found:
        return "wrong" if "ok" in found else "missing"
    return "ok"


class _Evidence:
    """All that was observed of one exercise, and what speaks for which mistake. Everything is compared once."""

    def __init__(self, key: ExerciseKey, observations: Observations) -> None:
        self.key = key
        self.observations = observations
        self._seen = [check for check in key.checks if check.title in observations]

    @cached_property
    def right(self) -> Mapping[str, bool]:
        """Whether a check passes, by its title."""
        return {
            check.title: rules.passes(check.rule, self.observations[check.title], check.expected)
            for check in self._seen
        }

    @cached_property
    def likely(self) -> Sequence[int]:
        """The mistakes, best explanation of all that was observed first."""
        found = {mistake: len(checks) for mistake, checks in enumerate(self._explained)}
        return sorted(found, key=lambda mistake: -found[mistake])

    def explains(self, mistake: int, check: CheckKey) -> bool:
        """Whether this mistake would have led to what this check saw."""
        return check.title in self._explained[mistake]

    def is_refuted(self, mistake: int) -> bool:
        """Whether the mistake would show in a check in which something else was seen."""
        return any(check.mistakes[mistake] is not None and not self.explains(mistake, check) for check in self._seen)

    @cached_property
    def _explained(self) -> Sequence[AbstractSet[str]]:
        return [
            {check.title for check in self._seen if self._compare(mistake, check)}
            for mistake in range(len(self.key.sentences))
        ]

    def _compare(self, mistake: int, check: CheckKey) -> bool:
        would_be = check.mistakes[mistake]
        if would_be is None or self.right[check.title]:
            return would_be is None and self.right[check.title]
        if check.rule["rule"] != "close":
            return True  # a trained model's errors differ from run to run: failing alike is all that can be asked
        return values.same(self.observations[check.title], would_be, check.rule["rtol"], check.rule["atol"])


def _is_telling(check: CheckKey, observation: Json) -> bool:
    """Whether an observation can name a mistake by itself: numbers that do not agree by chance, or a letter chosen."""
    if rules.is_option(check.rule):
        return True
    return check.rule["rule"] == "close" and observation["saw"] == "value" and _has_floats(observation["value"])


def _has_floats(value: Json) -> bool:
    if values.is_array(value):
        return bool(value["dtype"].startswith("float") and value["data"])
    return value["type"] == "float" or (value["type"] in ("list", "tuple") and any(map(_has_floats, value["items"])))


def _judge_check(evidence: _Evidence, check: CheckKey, trouble: Trouble | None) -> CheckResult:
    key, observation = evidence.key, evidence.observations.get(check.title)

    def result(status: Status, sentence: str, detail: Sequence[str] = (), mistake: int | None = None) -> CheckResult:
        points = check.points if status == "ok" else 0.0
        return CheckResult(check.title, check.hidden, status, points, check.points, sentence, tuple(detail), mistake)

    unfinished = observation is None or _own_name_missing(observation, key)
    if unfinished and trouble is not None:
        return result(trouble.status, trouble.sentence)
    if observation is None:
        return result("missing", "This check was not reached.")
    if evidence.right[check.title]:
        return result("ok", "")
    if _own_name_missing(observation, key):
        name, run = observation["name"], "Run the cell of this exercise, then this one."
        if rules.is_option(check.rule):
            return result("missing", f'`{name}` has no answer yet. {run} Letters stand in quotes: {name} = "B".')
        return result("missing", f"`{name}` is not defined. {run}")
    if observation["saw"] == "stub":
        return result("missing", STUB)
    fact, detail = _describe(check, observation)
    for mistake in evidence.likely:
        if check.mistakes[mistake] is None or not evidence.explains(mistake, check):
            continue
        if _is_telling(check, observation) or not evidence.is_refuted(mistake):
            facts = [] if rules.is_option(check.rule) else [fact, *detail]
            return result("wrong", key.sentences[mistake], facts, mistake)
    return result("wrong", fact, detail)


def _own_name_missing(observation: Json, key: ExerciseKey) -> bool:
    return observation["saw"] == "missing" and observation["name"] in key.defines


def _describe(check: CheckKey, observation: Json) -> tuple[str, list[str]]:
    """The fact about a wrong observation in a sentence, and lines that show it."""
    called = [] if check.hidden else [f"Called:   {check.call}"]
    if observation["saw"] in ("raised", "missing"):
        return _describe_error(observation, check.hidden), called
    value, expected = observation["value"], check.expected["value"]
    if check.rule["rule"] == "accuracy":
        return _describe_accuracy(check.rule, observation, check.hidden), called
    if rules.is_option(check.rule) and value["type"] == "str":
        return "This is none of the letters offered. Write one of them, between quotes.", []
    fact = _difference(value, expected, check.rule, numbers=not check.hidden)
    if check.hidden or "digest" in expected:
        return fact, called
    return fact, [*called, f"Yours:    {show(value)}", f"Expected: {show(expected)}"]


def _describe_error(observation: Json, hidden: bool) -> str:
    if hidden:  # its message may quote what a hidden check handed in; so may the name of a class of their own
        known = hasattr(builtins, observation["type"])
        return f"It stopped with {observation['type'] if known else 'an error of another class than those of Python'}."
    place = f" (line {observation['line']} of the cell: `{observation['code']}`)" if observation["line"] else ""
    message = f": {observation['message']}" if observation["message"] else ""
    if observation["type"] == "TooLarge":
        return f"The result is too large to look at: {observation['message']}."
    return f"It stopped with {observation['type']}{message}{place}."


def _describe_accuracy(rule: Json, observation: Json, hidden: bool) -> str:
    share = rules.share_right(rule, observation)
    wanted = values.array(rule["labels"]).shape
    if share is None:
        got = "something else" if hidden else show(observation["value"])
        return f"One predicted class a row is expected, shape {wanted}; got {got}."
    return f"{share:.1%} of the predictions are right; at least {rule['at_least']:.0%} must be."


def _difference(value: Json, expected: Json, rule: Json, numbers: bool) -> str:
    """What sets a wrong value apart from the expected one: type, shape, dtype, finiteness, numbers, in this order."""
    if value["type"] != expected["type"]:
        return _wrong_type(value, expected, numbers)
    if expected["type"] in ("list", "tuple", "dict"):
        return _first_item(value, expected, rule, numbers)
    if not values.is_array(expected):
        return "The value differs."
    if value["shape"] != expected["shape"]:
        return f"The shape is {_shape(value) if numbers else 'wrong'}; {_shape(expected)} is expected."
    if value["dtype"] != expected["dtype"]:
        return f"The dtype is {value['dtype']}; {expected['dtype']} is expected."
    x, y = values.array(value), values.array(expected)
    if x.dtype.kind == "f" and not np.isfinite(x).all() and np.isfinite(y).all():
        return f"{int((~np.isfinite(x)).sum())} of {x.size} entries are not finite numbers (NaN or infinity)."
    return _where(x, y, rule, numbers)


def _wrong_type(value: Json, expected: Json, numbers: bool) -> str:
    kind, wanted = _type_name(value), _type_name(expected)
    if kind == wanted:
        return f"It gives an object of another class that is called {kind}; the plain {wanted} is expected."
    if not numbers and value["type"] == "opaque" and not hasattr(builtins, kind):
        return f"It gives an object of another class; {_article(wanted)} is expected."
    hint = " Is there a `return`?" if kind == "None" else ""
    return f"It gives {_article(kind)}; {_article(wanted)} is expected.{hint}"


def _where(x: values.Array, y: values.Array, rule: Json, numbers: bool) -> str:
    a, b = x.astype(np.float64), y.astype(np.float64)
    with np.errstate(all="ignore"):  # infinity less infinity
        wrong = x != y if x.dtype.kind != "f" else ~np.isclose(a, b, rule["rtol"], rule["atol"], equal_nan=True)
        gap = np.where(wrong, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf), -1.0)
    amount = f" by {gap.max():.3g}" if numbers and np.isfinite(gap.max()) else ""
    if x.size == 1:
        return f"The value differs{amount}."
    place = ", ".join(str(int(i)) for i in np.unravel_index(int(gap.argmax()), gap.shape))
    return f"{int(wrong.sum())} of {x.size} entries differ, most at [{place}]{',' if amount else ''}{amount}."


def _first_item(value: Json, expected: Json, rule: Json, numbers: bool) -> str:
    """What sets a list or dictionary apart: its length, its names, or the first of its items that differs."""
    if len(value["items"]) != len(expected["items"]):
        length = len(value["items"]) if numbers else "wrong"
        return f"Its length is {length}; {len(expected['items'])} is expected."
    mine, theirs = _named(value), _named(expected)
    if lacking := theirs.keys() - mine.keys():
        return f"It has no item {min(lacking)!r}."
    for name, item in theirs.items():
        if not values.same_value(mine[name], item, rule["rtol"], rule["atol"]):
            return f"Item {name!r}: {_difference(mine[name], item, rule, numbers)}"
    return "The value differs."


def _named(value: Json) -> dict[str | int, Json]:
    """The items of a dictionary by name, those of a list by place."""
    return dict(value["items"]) if value["type"] == "dict" else dict(enumerate(value["items"]))


def _type_name(value: Json) -> str:
    return str(value["name"] if value["type"] == "opaque" else value["type"])


def _article(kind: str) -> str:
    return kind if kind == "None" else f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _shape(value: Json) -> str:
    return str(tuple(value["shape"]))


def show(value: Json, limit: int = 8) -> str:
    """An encoded value in one short line, at most `limit` numbers of it."""
    if values.is_array(value):
        if not value["shape"]:
            item = values.array(value).item()
            return f"{item:.6g}" if isinstance(item, float) else str(item)
        flat = np.array2string(
            values.array(value), precision=4, separator=", ", threshold=limit, edgeitems=3, suppress_small=True
        )
        return " ".join(flat.split()) + f"  shape {_shape(value)}"
    if value["type"] in ("list", "tuple", "dict"):
        named = value["type"] == "dict"
        shown = [
            f"{item[0]!r}: {show(item[1], limit // 2)}" if named else show(item, limit // 2)
            for item in value["items"][:limit]
        ]
        inner = ", ".join([*shown, "..."] if len(value["items"]) > limit else shown)
        return f"{{{inner}}}" if named else f"[{inner}]"
    if value["type"] == "opaque":
        return _article(str(value["name"]))
    if value["type"] == "float":
        return str(values.number(value))
    return "None" if value["type"] == "None" else repr(value.get("data"))[:200]

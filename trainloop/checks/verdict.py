"""The verdict: observations and a key in, marks and sentences out. No student code runs here, ever.

Each check is diagnosed in this order, and the first that holds speaks: no observation (the cell ran out of time,
crashed, ...), a name is missing, the stub is untouched, it raised, wrong type, wrong shape, wrong dtype, not finite,
plainly different. Where a *named mistake* would have computed just the same, its sentence comes first, and the fact
follows; `evidence` weighs what was seen. Without a name, what the numbers have to do with the right ones, as
`relations` finds it, comes first, or which one-place edit of a right answer would have computed the same everywhere.

A hidden check says what the checks in plain sight have said, or one of a few fixed sentences: nothing that the code of
a student could choose, once it has seen a hidden check, carries anything out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from trainloop.checks import rules, values
from trainloop.checks.evidence import AS_RELEASED, Evidence, functions
from trainloop.checks.key import CheckKey, ExerciseKey
from trainloop.checks.rules import Rule
from trainloop.checks.values import Observation, Value

VerdictStatus: TypeAlias = Literal[
    "ok", "wrong", "timeout", "out of memory", "crashed", "missing", "tampered", "grader error"
]
IN_WORDS: Mapping[VerdictStatus, str] = {
    "ok": "right",
    "wrong": "wrong",
    "timeout": "ran out of time",
    "out of memory": "ran out of memory",
    "crashed": "the process ended",
    "missing": "not answered",
    "tampered": "a locked cell was changed",
    "grader error": "could not be graded",
}

RULE_BROKEN = "RuleBroken"  # what `trainloop.watch` raises; its message is a sentence to the learner
SHOWN = 8  # numbers of a value, in a line
FEW_ENTRIES = 3  # of fewer, that all of one sign are wrong says little
ELSEWHERE = "Right for the numbers you see, wrong for others: what in your code is fixed to the example?"
EDITED = "What you get is what comes out if {}."
AS_ABOVE = "Wrong here, too: what the checks that you can see say of it comes first."
STUB = "Not started yet: `raise NotImplementedError()` is still there, here or in an exercise that this one uses."

_NO_SUCH_THING = re.compile(
    r"(?:cannot unpack non-iterable (?P<other>\w+) object|'(?P<kind>\w+)' object is not (?:iterable|subscriptable))"
)
_BARE = re.compile(
    r"(?:Item .*?: )?(?:The value differs|\d+ of \d+ entries differ)|.* of the predictions are right; at least ",
    re.IGNORECASE,
)
_NOT_SO_MANY = re.compile(r"(?P<many>too many|not enough) values to unpack")

Observations: TypeAlias = Mapping[str, Observation]


@dataclass(frozen=True)
class Trouble:
    """Why an exercise has no observations, or only some: what happened to its cells, in a sentence to the learner."""

    status: VerdictStatus
    sentence: str


@dataclass(frozen=True)
class CheckResult:
    """One title's mark, for its visible check and the hidden twin together; `hidden` where it is the twin that fails.

    `sentence` is empty where the check passes; `detail` holds what was computed, line by line.
    """

    title: str
    hidden: bool
    status: VerdictStatus
    points: float
    possible: float
    sentence: str = ""
    detail: tuple[str, ...] = ()
    mistake: int | None = None
    rule: bool = False  # of the exercise's rules: it earns nothing, and what is broken caps what the checks earn


@dataclass(frozen=True)
class ExerciseResult:
    """One exercise's mark: the sum over its checks, and the status that says most."""

    name: str
    title: str
    status: VerdictStatus
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
        observations: `CheckKey.name` -> observation, as `values.validate_observation` passes it. Other names are
            ignored.
        trouble: what happened to the exercise's cells, where something did; it explains what is missing.
    """
    evidence = Evidence(key, observations)
    seen = {
        check.title: _judge_check(evidence, check, observations, trouble) for check in key.checks if not check.hidden
    }
    checks = _by_title(
        key,
        [
            _judge_hidden(evidence, check, observations, trouble, seen) if check.hidden else seen[check.title]
            for check in key.checks
        ],
    )
    checks = _beside_values(key, checks)
    points = sum(check.points for check in checks)
    if any(check.rule and check.status != "ok" for check in checks):
        points = min(points, key.points / 2)
    return ExerciseResult(key.name, key.title, _overall(checks), round(points, 6), key.points, checks)


def _by_title(key: ExerciseKey, each: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """One result a title, from those of its checks: right where all of them are, else the first that is not.

    Of twins, the visible one stands first; so a hidden check is spoken of only where what can be seen is right.
    """
    found: dict[str, list[CheckResult]] = {}
    rules_of = {check.title for check in key.checks if check.caps}
    for check, result in zip(key.checks, each, strict=True):
        found.setdefault(check.title, []).append(result)
    results = []
    for title, twins in found.items():
        worst = next((one for one in twins if one.status != "ok"), twins[0])
        possible = 0.0 if title in rules_of else sum(one.possible for one in twins)
        points = possible if worst.status == "ok" else 0.0
        results.append(replace(worst, points=points, possible=possible, rule=title in rules_of))
    return tuple(results)


def _beside_values(key: ExerciseKey, checks: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    """The results, with nothing paid for right predictions alone: a neighbour's label is often right, too."""
    predicted = {check.title for check in key.checks if check.rule["rule"] == "accuracy"}
    computed = {check.title for check in key.checks if not check.caps} - predicted
    if not predicted or not computed or any(one.points for one in checks if one.title in computed):
        return checks
    return tuple(replace(one, points=0.0) if one.title in predicted else one for one in checks)


def _overall(checks: Sequence[CheckResult]) -> VerdictStatus:
    found = {check.status for check in checks}
    order: tuple[VerdictStatus, ...] = ("grader error", "tampered", "out of memory", "crashed", "timeout", "wrong")
    for status in order:
        if status in found:
            return status
    if "missing" in found:
        return "wrong" if "ok" in found else "missing"
    return "ok"


def _result(
    check: CheckKey, status: VerdictStatus, sentence: str = "", detail: Sequence[str] = (), mistake: int | None = None
) -> CheckResult:
    points = check.points if status == "ok" else 0.0
    return CheckResult(check.title, check.hidden, status, points, check.points, sentence, tuple(detail), mistake)


def _judge_check(
    evidence: Evidence, check: CheckKey, observations: Observations, trouble: Trouble | None
) -> CheckResult:
    key, observation = evidence.key, observations.get(check.title)
    unfinished = observation is None or _own_name_missing(observation, key)
    if unfinished and trouble is not None:
        return _result(check, trouble.status, trouble.sentence)
    if observation is None:
        return _result(check, "missing", "This check was not reached.")
    if rules.passes(check.rule, observation, check.expected):
        return _result(check, "ok")
    if _own_name_missing(observation, key):
        name, run = observation["name"], "Run the cell of this exercise, then this one."
        if rules.is_option(check.rule):
            letters = f"`{name}` has no answer yet. {run} An answer is a letter in quotes."
            return _result(check, "missing", letters)
        return _result(check, "missing", f"`{name}` is not defined. {run}")
    if observation["saw"] == "stub":
        return _result(check, "missing", STUB)
    fact, detail = _describe(check, observation)
    if _out_of_memory(observation):
        return _result(check, "out of memory", fact, detail)
    mistake = evidence.name(check)
    if mistake is None:
        told = evidence.relation(check) or (EDITED.format(evidence.edit.what) if evidence.edit else "")
        return _result(check, "wrong", *((told, [fact, *detail]) if told else (fact, detail)))
    if key.sentences[mistake] == AS_RELEASED:
        return _result(check, "missing", AS_RELEASED, mistake=mistake)
    facts = [] if rules.is_option(check.rule) else [fact, *detail]
    return _result(check, "wrong", key.sentences[mistake], facts, mistake)


def _judge_hidden(
    evidence: Evidence,
    check: CheckKey,
    observations: Observations,
    trouble: Trouble | None,
    visible: Mapping[str, CheckResult],
) -> CheckResult:
    """A hidden check's mark. Beyond it, everything follows from the `visible` results."""
    observation = observations.get(check.name)
    if observation is None and trouble is not None:
        return _result(check, trouble.status, trouble.sentence)
    if observation is not None and rules.passes(check.rule, observation, check.expected):
        return _result(check, "ok")
    related = [visible[one.title] for one in evidence.key.checks if one.title in visible and _are_related(one, check)]
    failed = [one for one in related if one.status != "ok"]
    for one in failed:
        if one.mistake is not None and check.mistakes[one.mistake] is not None:
            return _result(check, "wrong", evidence.key.sentences[one.mistake], mistake=one.mistake)
    if failed and all(one.status == failed[0].status != "wrong" for one in failed):
        return _result(check, failed[0].status, failed[0].sentence)
    if observation is None:
        return _result(check, "missing", "This check was not reached.")
    return _result(check, "wrong", AS_ABOVE if failed else ELSEWHERE)


def is_bare(result: CheckResult) -> bool:
    """Whether a failed check says no more than that numbers differ, and where, and by how much."""
    return result.mistake is None and _BARE.match(result.sentence) is not None


def is_relation(result: CheckResult) -> bool:
    """Whether a failed check says more than the fact: a relation, or an edit. The fact stands below it, then."""
    return result.mistake is None and bool(result.detail) and not result.detail[0].startswith("Called:")


def _are_related(one: CheckKey, other: CheckKey) -> bool:
    """Whether two checks look at the same function."""
    mine, theirs = functions(one.parts), functions(other.parts)
    return not mine or not theirs or bool(mine & theirs)


def _own_name_missing(observation: Observation, key: ExerciseKey) -> bool:
    return observation["saw"] == "missing" and observation["name"] in key.defines


def _out_of_memory(observation: Observation) -> bool:
    return observation["saw"] == "raised" and values.is_memory(observation["type"], observation["message"])


def _describe(check: CheckKey, observation: Observation) -> tuple[str, list[str]]:
    """The fact about a wrong observation in a sentence, and lines that show it."""
    called = [f"Called:   {check.call}"]
    if observation["saw"] in ("raised", "missing"):
        return _describe_error(observation), called
    value, expected = observation["value"], check.expected["value"]
    if check.rule["rule"] == "accuracy":
        return _describe_accuracy(check.rule, observation), called
    if rules.is_option(check.rule) and value["type"] == "str":
        return "This is none of the letters offered. Write one of them, between quotes.", []
    fact = _difference(value, expected, check.rule) + (" Is there a `return`?" if value["type"] == "None" else "")
    if "digest" in expected:
        return fact, called
    start = _first_shown(value, expected, check.rule)
    yours, right = (value_text(one, start=start) for one in (value, expected))
    return fact, [*called, f"Yours:    {yours}", f"Expected: {right}"]


def _describe_error(observation: Observation) -> str:
    if observation["type"] == RULE_BROKEN:
        return observation["message"]
    place = f" (line {observation['line']} of the cell: `{observation['code']}`)" if observation["line"] else ""
    if _out_of_memory(observation):
        return f"It asked for more memory than there is{place}."
    message = f": {observation['message']}" if observation["message"] else ""
    if observation["type"] == "TooLarge":
        return f"The result is too large to look at: {observation['message']}."
    if not observation["line"] and (told := _misfit(observation["type"], observation["message"])):
        return f"{told} The check stopped with {observation['type']}{message}."
    return f"It stopped with {observation['type']}{message}{place}."


def _misfit(kind: str, message: str) -> str:
    """What came back, where the check that took it apart has stopped, and no line of the learner's."""
    if found := _NO_SUCH_THING.match(message):
        thing = found["kind"] or found["other"]
        if thing == "NoneType":
            return "None comes back where a result is expected: is there a `return`?"
        return f"{_article(thing).capitalize()} comes back where several results are expected."
    if kind == "KeyError" and message.isdigit():
        return "A dictionary comes back where the results are expected one after the other, as in a tuple."
    if found := _NOT_SO_MANY.match(message):
        return f"{'More' if found['many'] == 'too many' else 'Fewer'} results come back than are expected."
    return "Fewer results come back than are expected." if kind == "IndexError" and "tuple" in message else ""


def _describe_accuracy(rule: Rule, observation: Observation) -> str:
    share = rules.share_right(rule, observation)
    wanted = values.array(rule["labels"]).shape
    if share is None:
        return f"One predicted class a row is expected, shape {wanted}; got {value_text(observation['value'])}."
    return f"{share:.1%} of the predictions are right; at least {rule['at_least']:.0%} must be."


def _difference(value: Value, expected: Value, rule: Rule) -> str:
    """What sets a wrong value apart from the expected one: type, shape, dtype, finiteness, numbers, in this order."""
    if value["type"] != expected["type"]:
        return _wrong_type(value, expected)
    if expected["type"] in ("list", "tuple", "dict"):
        return _first_item(value, expected, rule)
    if not values.is_array(expected):
        return _finite_or_not(value, expected) or f"The value differs{_by(value, expected)}."
    if value["shape"] != expected["shape"]:
        return f"The shape is {_shape(value)}; {_shape(expected)} is expected."
    if value["dtype"] != expected["dtype"]:
        return f"The dtype is {value['dtype']}; {expected['dtype']} is expected."
    x, y = values.array(value), values.array(expected)
    if x.dtype.kind == "f" and not np.isfinite(x).all() and np.isfinite(y).all():
        return f"{int((~np.isfinite(x)).sum())} of {x.size} entries are not finite numbers (NaN or infinity)."
    return _where(x, y, rule)


def _finite_or_not(value: Value, expected: Value) -> str:
    """What is told of NaN or infinity where a number is expected; nothing of any other value."""
    if expected["type"] != "float" or np.isfinite(values.number(value)) or not np.isfinite(values.number(expected)):
        return ""
    return f"The value is {values.number(value)}, which is no finite number."


def _by(value: Value, expected: Value) -> str:
    """By how much a number differs; nothing for what is no number, or not finite."""
    if expected["type"] not in ("int", "float") or "digest" in expected:
        return ""
    gap = abs(values.number(value) - values.number(expected))
    return f" by {gap:.3g}" if np.isfinite(gap) else ""


def _wrong_type(value: Value, expected: Value) -> str:
    kind, wanted = _type_name(value), _type_name(expected)
    if kind == wanted:
        return f"It gives an object of another class that is called {kind}; the plain {wanted} is expected."
    return f"It gives {_article(kind)}; {_article(wanted)} is expected."


def _where(x: values.Array, y: values.Array, rule: Rule) -> str:
    a, b = x.astype(np.float64), y.astype(np.float64)
    with np.errstate(all="ignore"):  # infinity less infinity
        wrong = x != y if x.dtype.kind != "f" else ~np.isclose(a, b, rule["rtol"], rule["atol"], equal_nan=True)
        gap = np.where(wrong, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf), -1.0)
    amount = f" by {gap.max():.3g}" if np.isfinite(gap.max()) else ""
    if x.size == 1:
        return f"The value differs{amount}."
    place = ", ".join(str(int(i)) for i in np.unravel_index(int(gap.argmax()), gap.shape))
    place = f"most at [{place}]{',' if amount else ''}{amount}"
    count = int(wrong.sum())
    if kind := next((told for told, which in _signs(y, rule).items() if np.array_equal(which, wrong)), ""):
        which, other = ("is the one entry", "no other") if count == 1 else ("are all entries", "no others")
        return f"Wrong {which} whose right value is {kind}, and {other}: {count} of {x.size}, {place}."
    return f"{count} of {x.size} entries differ, {place}."


def _signs(y: values.Array, rule: Rule) -> dict[str, values.Array]:
    """Which right values are below 0, 0, and above it, where there are such and others; of truth values, none."""
    if y.dtype.kind == "b" or y.size < FEW_ENTRIES:
        return {}
    signs = {"below 0": y < -rule["atol"], "0": np.abs(y) <= rule["atol"]}
    if signs["below 0"].any():  # else it is all that is not 0, and 0 often comes by itself
        signs["above 0"] = y > rule["atol"]
    return {told: which for told, which in signs.items() if which.any() and not which.all()}


def _first_item(value: Value, expected: Value, rule: Rule) -> str:
    """What sets a list or dictionary apart: its length, its names, or the first of its items that differs."""
    if len(value["items"]) != len(expected["items"]):
        return f"Its length is {len(value['items'])}; {len(expected['items'])} is expected."
    mine, theirs = _named(value), _named(expected)
    if lacking := theirs.keys() - mine.keys():
        return f"It has no item {min(lacking)!r}."
    for name, item in theirs.items():
        if not values.same_value(mine[name], item, rule["rtol"], rule["atol"]):
            told = _difference(mine[name], item, rule)
            return f"Item {name!r}, i{told[1:]}" if told.startswith("Item ") else f"Item {name!r}: {told}"
    return "The value differs."


def _named(value: Value) -> dict[str | int, Value]:
    """The items of a dictionary by name, those of a list by place."""
    return dict(value["items"]) if value["type"] == "dict" else dict(enumerate(value["items"]))


def _type_name(value: Value) -> str:
    return str(value["name"] if value["type"] == "opaque" else value["type"])


def _article(kind: str) -> str:
    return kind if kind == "None" else f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _shape(value: Value) -> str:
    return str(tuple(value["shape"]))


def _first_shown(value: Value, expected: Value, rule: Rule) -> int:
    """The place in a long list from which on it is shown, so that what is wrong can be seen; of a short one 0."""
    items = [one.get("items", ()) if one["type"] in ("list", "tuple") else () for one in (value, expected)]
    pairs = enumerate(zip(*items, strict=False))
    wrong = (at for at, (a, b) in pairs if not values.same_value(a, b, rule["rtol"], rule["atol"]))
    first = next(wrong, 0)
    return first - 2 if first >= SHOWN else 0


def value_text(value: Value, limit: int = SHOWN, start: int = 0) -> str:
    """An encoded value in one short line, at most `limit` numbers of it, of a list those from `start` on."""
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
            f"{item[0]!r}: {value_text(item[1], limit // 2)}" if named else value_text(item, limit // 2)
            for item in value["items"][start : start + limit]
        ]
        more = len(value["items"]) > start + limit
        inner = ", ".join(["..."] * (start > 0) + shown + ["..."] * more)
        return f"{{{inner}}}" if named else f"[{inner}]"
    if value["type"] == "opaque":
        return _article(str(value["name"]))
    if value["type"] == "float":
        return str(values.number(value))
    return "None" if value["type"] == "None" else repr(value.get("data"))[:200]

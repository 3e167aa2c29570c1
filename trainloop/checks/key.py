"""The key of a lesson: what the reference solution and every named mistake computed, check by check.

It is made once, at build time (`build`), and read where marks are made (`verdict`). The *visible* part, without the
hidden checks, travels with the release as `checks.json`, so that the answer in the notebook is instant and needs no
network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainloop.checks import fingerprints, keyfile, values
from trainloop.checks.outline import VERSION, damaged, read_plain
from trainloop.checks.outline import VISIBLE_NAME as VISIBLE_NAME
from trainloop.checks.outline import KeyFileError as KeyFileError
from trainloop.checks.rules import Rule, close
from trainloop.checks.values import Observation, Value

SOLUTIONS_NAME = "solutions.json"  # the worked answers beside a notebook, packed
KEY_VARIABLE = "TRAINLOOP_KEY"  # the path of a full key, set by `trainloop run` for the instructor's notebooks
NOT_OBSERVED: Observation = {"saw": "stub"}  # in place of what was computed
MISTAKE_MAY_DIFFER = 3  # of what a mistake leads to, one in so many, between processors


def observed(title: str, hidden: bool) -> str:
    """The name that the observation of a check is filed under: of twins, which share a title, each has its own."""
    return f"{title}\n(hidden)" if hidden else title


@dataclass(frozen=True)
class CheckKey:
    """One check: what it is called, what it is worth, what was computed.

    A visible check may have a hidden twin under its title. What the title is worth stands with the visible one and is
    earned by both together: what is public alone could be replayed.
    """

    title: str
    call: str  # the source of the observation, to show to the learner
    points: float
    hidden: bool
    rule: Rule
    expected: Observation  # the observation of the reference
    # Of each named mistake; None where the mistake does not show here.
    mistakes: tuple[Observation | None, ...] = field(metadata=keyfile.BY_NAME)
    parts: tuple[str, ...] = ()  # of the answer, that the check looks at: one, or one for each item of its value
    caps: bool = False  # a rule of the exercise: kept, it earns nothing; broken, the exercise earns at most half

    @property
    def name(self) -> str:
        """What its observation is filed under: of twins, which share a title, each has its own."""
        return observed(self.title, self.hidden)


@dataclass(frozen=True)
class EditKey:
    """What comes out of one-place edits of the answer: in what words it is told, and how it is recognised."""

    what: str  # ends the sentence "What you get is what comes out if ..."
    prints: tuple[str, ...]  # each of one edit: the fingerprints of all visible checks, see `fingerprints`


@dataclass(frozen=True)
class ExerciseKey:
    """One exercise: its checks in order, and the sentence of each named mistake."""

    name: str
    title: str
    defines: tuple[str, ...]  # the names that the answer must define
    points: float
    sentences: tuple[str, ...] = field(metadata=keyfile.NAMED)
    checks: tuple[CheckKey, ...]
    # Title in a learner's words, text; from the softest on.
    hints: tuple[tuple[str, str], ...] = field(default=(), metadata=keyfile.ONE_LINE)
    edits: tuple[EditKey, ...] = field(default=(), metadata=keyfile.ONE_LINE)


@dataclass(frozen=True)
class Key:
    """All exercises of a lesson, and the arrays that hidden checks hand to the student's code."""

    lesson: str
    exercises: Mapping[str, ExerciseKey]
    given: Mapping[str, Value]
    predictions: Mapping[str, str] = field(default_factory=dict)  # question -> what `predict` says of answers, packed

    def visible(self) -> Key:
        """The part that learners may have: no hidden check, no given array, texts as salted hashes."""
        return Key(self.lesson, {name: _visible(one) for name, one in self.exercises.items()}, {}, self.predictions)

    def dump(self) -> str:
        """The key as JSON text, the same text for the same key."""
        return keyfile.dump(self, VERSION)

    @staticmethod
    def load(path: Path) -> Key:
        """Read a key.

        Raises:
            KeyFileError: the file is missing, damaged or of another version.
        """
        plain = read_plain(path)
        try:
            return keyfile.load(Key, plain)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise damaged(path, error) from None

    def agrees(self, other: Key) -> bool:
        """Whether two keys differ by no more than rounding, as on machines whose processors add in another order.

        Of what one mistake leads to, one in `MISTAKE_MAY_DIFFER` may be another: wrong answers divide by what should be
        0, explode, or come close to a threshold, and what they then compute is rounding and nothing else.
        """
        return (
            self._structure() == other._structure()
            and all(
                _mistakes_agree(ours.checks, theirs.checks)
                for ours, theirs in zip(self.exercises.values(), other.exercises.values(), strict=True)
            )
            and all(
                agree(ours, theirs, rule)
                for (ours, rule), (theirs, _) in zip(self._observations(), other._observations(), strict=True)
            )
            and all(
                fingerprints.agree(ours, theirs) for ours, theirs in zip(self._prints(), other._prints(), strict=True)
            )
        )

    def _prints(self) -> list[str]:
        edits = [edit for exercise in self.exercises.values() for edit in exercise.edits]
        return [one for edit in edits for one in edit.prints]

    def _structure(self) -> Any:
        """Everything but what was computed."""
        blank = {
            name: replace(
                exercise,
                checks=tuple(
                    replace(check, expected=NOT_OBSERVED, mistakes=(None,) * len(check.mistakes))
                    for check in exercise.checks
                ),
                edits=tuple(replace(edit, prints=("",) * len(edit.prints)) for edit in exercise.edits),
            )
            for name, exercise in self.exercises.items()
        }
        return self.lesson, blank, sorted(self.given), self.predictions

    def _observations(self) -> list[tuple[Observation, Rule]]:
        checks = [check for exercise in self.exercises.values() for check in exercise.checks]
        computed = [(check.expected, check.rule) for check in checks]
        return computed + [({"saw": "value", "value": self.given[name]}, close()) for name in sorted(self.given)]


def _mistakes_agree(ours: Sequence[CheckKey], theirs: Sequence[CheckKey]) -> bool:
    """Whether nearly all that each mistake of an exercise leads to is the same in two keys."""
    for number in range(len(ours[0].mistakes) if ours else 0):
        pairs = [(a.mistakes[number], b.mistakes[number], a.rule) for a, b in zip(ours, theirs, strict=True)]
        seen = sum(one is not None or other is not None for one, other, _ in pairs)
        if sum(not agree(*pair) for pair in pairs) > seen // MISTAKE_MAY_DIFFER:
            return False
    return True


def agree(one: Observation | None, other: Observation | None, rule: Rule) -> bool:
    """Whether two observations differ by no more than rounding; None is none.

    In a file a number has no more digits than `rule` needs, so under a wide one it is further from what was computed.
    """
    if one is None or other is None:
        return one is other
    rtol, atol = max(1e-3, rule.get("rtol", 0.0) / 5), max(1e-5, rule.get("atol", 0.0) / 5)
    return values.same(one, other, rtol, atol)


def _visible(exercise: ExerciseKey) -> ExerciseKey:
    shown = tuple(_hashed(check, exercise.name) for check in exercise.checks if not check.hidden)
    return replace(exercise, checks=shown)


def _hashed(check: CheckKey, salt: str) -> CheckKey:
    def hashed(observation: Observation | None) -> Observation | None:
        if observation is None or observation.get("value", {}).get("type") != "str":
            return observation
        return {**observation, "value": values.salted_hash(observation["value"], salt)}

    expected = hashed(check.expected)
    assert expected is not None
    return replace(check, expected=expected, mistakes=tuple(hashed(m) for m in check.mistakes))

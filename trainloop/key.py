"""The key of a lesson: what the reference solution and every named mistake computed, check by check.

It is made once, at build time (`build`), and read where marks are made (`verdict`). The *visible* part, without the
hidden checks, travels with the release as `checks.json`, so that the answer in the notebook is instant and needs no
network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trainloop import values
from trainloop.values import Json

VISIBLE_NAME = "checks.json"
VERSION = 1


class KeyFileError(Exception):
    """A key is missing or damaged; the message says what to do."""


@dataclass(frozen=True)
class CheckKey:
    """One check: what it is called, what it is worth, what was computed."""

    title: str
    call: str  # the source of the observation, to show to the learner
    points: float
    hidden: bool
    rule: Json
    expected: Json  # the observation of the reference
    mistakes: tuple[Json | None, ...]  # of each named mistake; None where the mistake does not show here


@dataclass(frozen=True)
class ExerciseKey:
    """One exercise: its checks in order, and the sentence of each named mistake."""

    name: str
    title: str
    defines: tuple[str, ...]  # the names that the answer must define
    points: float
    sentences: tuple[str, ...]
    checks: tuple[CheckKey, ...]
    hints: tuple[tuple[str, str], ...] = ()  # title in a learner's words, text; from the softest on


@dataclass(frozen=True)
class Key:
    """All exercises of a lesson, and the arrays that hidden checks hand to the student's code."""

    lesson: str
    exercises: Mapping[str, ExerciseKey]
    given: Mapping[str, Json]

    def visible(self) -> Key:
        """The part that learners may have: no hidden check, no given array, texts sealed."""
        return Key(self.lesson, {name: _visible(exercise) for name, exercise in self.exercises.items()}, {})

    def dump(self) -> str:
        """The key as JSON text, the same text for the same key."""
        # A list, since the order of the exercises is the lesson's and not the alphabet's.
        exercises = [asdict(exercise) for exercise in self.exercises.values()]
        plain = {"version": VERSION, "lesson": self.lesson, "exercises": exercises, "given": self.given}
        return json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @staticmethod
    def load(path: Path) -> Key:
        """Read a key.

        Raises:
            KeyFileError: the file is missing, damaged or of another version.
        """
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise KeyFileError(f"There is no {path}. Build the lesson first: trainloop build.") from None
        except (OSError, ValueError) as error:
            raise KeyFileError(f"{path} cannot be read ({error}). Build the lesson again: trainloop build.") from None
        if not isinstance(plain, dict) or plain.get("version") != VERSION:
            raise KeyFileError(f"{path} is of another version of this course. Build the lesson again: trainloop build.")
        try:
            exercises = {one["name"]: _exercise(one) for one in plain["exercises"]}
            return Key(plain["lesson"], exercises, plain["given"])
        except (KeyError, TypeError, AttributeError) as error:
            raise KeyFileError(f"{path} is damaged ({error!r}). Build the lesson again: trainloop build.") from None

    def agrees(self, other: Key) -> bool:
        """Whether two keys differ by no more than rounding, as on machines whose processors add in another order."""
        return self._structure() == other._structure() and all(
            values.same(ours, theirs, rtol=1e-3, atol=1e-5)
            for ours, theirs in zip(self._observations(), other._observations(), strict=True)
        )

    def _structure(self) -> Any:
        """Everything but the computed numbers."""
        blank = {
            name: replace(
                exercise,
                checks=tuple(
                    replace(check, expected={}, mistakes=tuple(None if m is None else {} for m in check.mistakes))
                    for check in exercise.checks
                ),
            )
            for name, exercise in self.exercises.items()
        }
        return self.lesson, blank, sorted(self.given)

    def _observations(self) -> list[Json]:
        checks = [check for exercise in self.exercises.values() for check in exercise.checks]
        computed = [o for check in checks for o in (check.expected, *check.mistakes) if o is not None]
        return computed + [{"saw": "value", "value": self.given[name]} for name in sorted(self.given)]


def _exercise(plain: Json) -> ExerciseKey:
    checks = tuple(CheckKey(**{**check, "mistakes": tuple(check["mistakes"])}) for check in plain["checks"])
    return ExerciseKey(
        **{
            **plain,
            "checks": checks,
            "defines": tuple(plain["defines"]),
            "sentences": tuple(plain["sentences"]),
            "hints": tuple((title, text) for title, text in plain.get("hints", ())),
        }
    )


def _visible(exercise: ExerciseKey) -> ExerciseKey:
    shown = tuple(_sealed(check, exercise.name) for check in exercise.checks if not check.hidden)
    return replace(exercise, checks=shown)


def _sealed(check: CheckKey, salt: str) -> CheckKey:
    def seal(observation: Json | None) -> Json | None:
        if observation is None or observation.get("value", {}).get("type") != "str":
            return observation
        return {**observation, "value": values.seal(observation["value"], salt)}

    expected = seal(check.expected)
    assert expected is not None
    return replace(check, expected=expected, mistakes=tuple(seal(m) for m in check.mistakes))

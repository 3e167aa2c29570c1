"""Trials: what a lesson's answers compute, many to a process, and kept for the next build.

Most of what an answer costs is what all answers have in common: a process, the demonstrations that checks use, the
exercises before. So answers to one exercise that need the same cells are tried together: these cells run once, and
behind them each answer with the cells that come after it and its checks, after which all names are as they were.

What an answer leaves behind in other places (an object that it writes into, a module that it changes) could reach the
answers after it. Therefore the reference is tried last, behind all others: if it does not come to what it came to
alone, or if an answer did not come to its end, the answers are tried alone, each in a process of its own. And
`trainloop build --check` tries them in the opposite order: what of one answer reaches another, and not the reference,
does so in one order only, and the two keys differ.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

from trainloop.checks.values import Json, Observation, Value
from trainloop.sandbox.job import Job, Step, StepResult

ANSWERS_PER_PROCESS = 16  # answers to a process
COMPUTES = ("torch", "numpy", "scikit-learn", "matplotlib", "ipython")  # their versions decide what is computed
SAVE = "import sys\nsys.names_before_answers = dict(globals())"
# Nothing may be looked up by a name in between.
RESTORE = """\
if (lambda names, before: names.clear() or names.update(before))(globals(), __import__("sys").names_before_answers):
    pass"""


@dataclass(frozen=True)
class Trial:
    """One answer to an exercise, and all that runs to see what it computes."""

    exercise: str
    answer: str
    steps: tuple[Step, ...]
    place: int  # of the answer among the steps

    @property
    def around(self) -> tuple[Step, ...]:
        """All steps but the answer."""
        return (*self.steps[: self.place], *self.steps[self.place + 1 :])

    def with_answer(self, answer: str) -> Trial:
        """The same trial of another answer."""
        cell = replace(self.steps[self.place], source=answer)
        return replace(self, answer=answer, steps=(*self.steps[: self.place], cell, *self.steps[self.place + 1 :]))


def groups(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Trials that may run together: of one exercise, with the same steps around the answer."""
    alike: dict[tuple[Step, ...], list[Trial]] = {}
    for trial in trials:
        alike.setdefault(trial.around, []).append(trial)
    return [
        same[i : i + ANSWERS_PER_PROCESS] for same in alike.values() for i in range(0, len(same), ANSWERS_PER_PROCESS)
    ]


def together(group: Sequence[Trial], given: Mapping[str, Value], inline: bool = False) -> Job:
    """One job for a group: what comes before the answer once, then each answer with what comes after it.

    Args:
        group: see `groups`.
        given: the arrays that hidden checks are handed.
        inline: make no copy of the process for each answer's checks, which takes longer than most checks do. What they
            leave behind is then seen by those that follow. For answers that take nothing from a demonstration.
    """
    first = group[0]
    steps = [*first.steps[: first.place], Step("save", "code", SAVE)]
    for number, trial in enumerate(group):
        steps += _renamed(trial, number, inline)
        steps.append(Step(f"restore#{number}", "code", RESTORE))
    return Job(tuple(steps), given)


def _renamed(trial: Trial, number: int, inline: bool) -> Iterator[Step]:
    for step in _observed(trial):
        # Nothing has to be hidden from our own answers: behind each its checks, so that nobody waits for them.
        own = replace(step, id=f"{step.id}#{number}", group=step.group and f"{step.group}#{number}")
        yield replace(own, hidden=False, inline=inline and step.kind == "check")


def _observed(trial: Trial) -> list[Step]:
    """The answer and what runs until its checks have been made, the hidden ones where they look: behind the visible."""
    steps = trial.steps[trial.place :]
    places = [step.place for step in steps]
    in_order = sorted(steps, key=lambda step: places.index(step.place))  # a hidden check has its visible one's place
    while in_order[-1].kind == "code" and len(in_order) > 1:  # cells that no check sees
        del in_order[-1]
    return in_order


def apart(group: Sequence[Trial], results: Mapping[str, StepResult]) -> list[dict[str, StepResult] | None]:
    """What came of each trial of a group, by its own steps' ids; None where a step did not come to its end."""
    found: list[dict[str, StepResult] | None] = []
    for number, trial in enumerate(group):
        own = {step.id: results[f"{step.id}#{number}"] for step in _observed(trial)}
        ended = all(result.status in ("ok", "error") for result in own.values())
        found.append(own if ended else None)
    return found


class Kept:
    """What the answers of a lesson computed when it was last built, by the content of all that decides about it.

    Args:
        path: of the file that keeps it. What cannot be read is computed again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        self._before: dict[str, Json] = before if isinstance(before, dict) else {}

    def find(self, trial: Trial, given: Mapping[str, Value]) -> dict[str, Observation] | None:
        """What the trial came to, if it has been made."""
        return self._before.get(_digest(trial, given))

    def write(self, seen: Mapping[Trial, dict[str, Observation]], given: Mapping[str, Value]) -> None:
        """Keep what all trials of a build came to, and nothing else."""
        now = {_digest(trial, given): observations for trial, observations in seen.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".part")
        draft.write_text(json.dumps(now), encoding="utf-8")
        draft.replace(self._path)


def _digest(trial: Trial, given: Mapping[str, Value]) -> str:
    content = [_machinery(), trial.exercise, [asdict(step) for step in trial.steps], dict(given)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _machinery() -> str:
    """A digest of all that decides what a cell computes, beside the cell: this package, Python, the libraries."""
    digest = hashlib.sha256(json.dumps([platform.python_version(), *map(version, COMPUTES)]).encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

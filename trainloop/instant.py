"""The instant answer: what `check`, `hint` and `given` do inside a learner's notebook, offline.

It is a courtesy, computed from the visible key beside the notebook; the mark is made elsewhere, from the same key and
the hidden part, by the same `verdict`.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from trainloop import values
from trainloop.key import VISIBLE_NAME, Key, KeyFileError
from trainloop.verdict import CheckResult, ExerciseResult, judge

if TYPE_CHECKING:
    import torch

    from trainloop.values import Json

KEY_VARIABLE = "TRAINLOOP_KEY"  # the path of a full key, set by `trainloop run` for the instructor's notebooks
VALIDATING = "NBGRADER_VALIDATING"  # set by nbgrader's Validate, which shows an error but nothing that was printed
WIDTH = 88
PASSED = "  ok    "
INDENT = " " * 8
AGAIN = "The same as above."


class ChecksFailed(Exception):
    """Raised at the end of a check cell, so that nbgrader's Validate sees that something is not right yet."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [str(self)]


def check(exercise: str, observations: Mapping[str, Callable[[], object]]) -> None:
    """Make the observations of one exercise, print what was found, and raise if a check failed.

    Args:
        exercise: the exercise's name, as in the key.
        observations: title -> a function of no arguments that returns what is to be looked at.

    Raises:
        ChecksFailed: at least one check failed. All have been made and printed by then.
    """
    try:
        key = _key().exercises.get(exercise)
    except KeyFileError as error:
        raise ChecksFailed(str(error)) from None
    if key is None:
        raise ChecksFailed(f"The key beside this notebook knows no exercise `{exercise}`. Get the lesson anew.")
    known = {one.title for one in key.checks}
    seen = {title: _observe(title, call) for title, call in observations.items() if title in known}
    result = judge(key, seen)
    print(render(result))
    if key.hints and any(one.status != "ok" for one in result.checks):
        print(f'Stuck? hint("{exercise}"), in a new cell, lists {len(key.hints)} hints.')
    failed = sum(one.status != "ok" for one in result.checks)
    if failed and VALIDATING in os.environ:
        raise ChecksFailed(f"{result.title}\n{render(result)}")
    if failed:
        raise ChecksFailed(f"{failed} of {len(result.checks)} checks did not pass yet; the lines above say why.")


def _observe(title: str, call: Callable[[], object]) -> Json:
    """One observation. Raises `ChecksFailed` where the learner stops it: a sentence, in place of our own frames."""
    try:
        return values.observe(call)
    except KeyboardInterrupt as stop:
        where = values.raised(stop)
        place = f" in line {where['line']} of your cell: `{where['code']}`" if where["line"] else ""
        told = f'Stopped during the check "{title}"{place}. If it would not end: what makes its loop end?'
        raise ChecksFailed(textwrap.fill(told, WIDTH, break_long_words=False, break_on_hyphens=False)) from None


def hint(exercise: str, number: int | None = None) -> None:
    """Print what helps with an exercise: the titles of its hints, or one of them whole.

    Args:
        exercise: the exercise's name, as in its check.
        number: which hint, from 1, the softest, on; without it, the list of them.
    """
    try:
        print(_hint(_key(), exercise, number))
    except KeyFileError as error:
        print(error)


def _hint(key: Key, exercise: str, number: int | None) -> str:
    known = {name: one.hints for name, one in key.exercises.items() if one.hints}
    if exercise not in known:  # the name of the function to be written will do
        exercise = next((name for name in known if exercise in key.exercises[name].defines), exercise)
    if exercise not in known:
        return f"There are no hints for `{exercise}`. There are some for: {', '.join(known) or 'no exercise here'}."
    hints = known[exercise]
    if number is None:
        titles = [f"  {place}  {title}" for place, (title, _) in enumerate(hints, start=1)]
        return "\n".join([f'Which of these would you say? hint("{exercise}", 1) shows the first.', *titles])
    if not isinstance(number, int) or not 1 <= number <= len(hints):
        return f"`{exercise}` has hints 1 to {len(hints)}."
    title, text = hints[number - 1]
    return "\n".join([title, *_wrapped(text)])


def given(name: str) -> torch.Tensor:
    """An array that hidden checks hand to your code, as a tensor of its own.

    Raises:
        KeyError: the key has no such array, as on a learner's machine.
    """
    value = _key().given[name]
    import torch  # not at the top: see `values.encode`

    return torch.from_numpy(values.array(value).copy())


def render(result: ExerciseResult) -> str:
    """The result of one exercise as plain text: a line a check, and under each that failed what to look at.

    What was said of a check above is not said again: one mistake, or one error, often shows in many of them.
    """
    lines: list[str] = []
    told: set[str] = set()
    for one in result.checks:
        shows_values = any(line.startswith("Yours:") for line in one.detail)
        again = one.status != "ok" and one.sentence in told and (one.mistake is not None or not shows_values)
        lines += [f"  FAIL  {one.title}", f"{INDENT}{AGAIN}"] if again else _lines(one)
        told.add(one.sentence)
    passed = sum(one.status == "ok" for one in result.checks)
    verdict = "All" if passed == len(result.checks) else f"{passed} of {len(result.checks)}"
    return "\n".join([*lines, f"{verdict} checks of `{result.name}` passed."])


def read_back(text: str) -> dict[str, set[str]]:
    """What `render` wrote into an output: the titles of the checks that passed, by exercise."""
    found: dict[str, set[str]] = {}
    passed: set[str] = set()
    for line in text.splitlines():
        if line.startswith(PASSED):
            passed.add(line.removeprefix(PASSED))
        elif end := re.fullmatch(r"(?:All|\d+ of \d+) checks of `(\w+)` passed\.", line):
            found[end[1]], passed = passed, set()
    return found


def _lines(one: CheckResult) -> list[str]:
    if one.status == "ok":
        return [f"{PASSED}{one.title}"]
    return [f"  FAIL  {one.title}", *_wrapped(one.sentence), *(INDENT + part[:400] for part in one.detail)]


def _wrapped(text: str) -> list[str]:
    """A text of ours as lines of a readable width, indented under their title."""
    lines = textwrap.wrap(text, WIDTH - len(INDENT), break_long_words=False, break_on_hyphens=False)
    return [INDENT + line for line in lines]


def _key() -> Key:
    path = _key_path()
    return _load(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(path: Path, changed: int) -> Key:
    """A key, read again only when the file has `changed`: a check should answer at once."""
    return Key.load(path)


def _key_path() -> Path:
    """The full key where `trainloop run` names one, else the visible key in the notebook's folder."""
    named = os.environ.get(KEY_VARIABLE)
    path = Path(named) if named else Path(VISIBLE_NAME)
    if not path.exists():
        raise KeyFileError(
            f"The file {path.name} is not beside this notebook ({Path.cwd()}), so nothing can be checked here. "
            "Put it back from the lesson's folder, or open the notebook with `trainloop lab`."
        )
    return path

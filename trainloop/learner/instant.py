"""The instant answer: what `check`, `hint` and `given` do inside a learner's notebook, offline.

It is a courtesy, computed from the visible key beside the notebook; the mark is made elsewhere, from the same key and
the hidden part, by the same `verdict`.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from trainloop.checks import values
from trainloop.checks.key import KEY_VARIABLE, SOLUTIONS_NAME, VISIBLE_NAME, ExerciseKey, Key, KeyFileError
from trainloop.checks.verdict import ExerciseResult, judge
from trainloop.checks.words import is_untouched, paragraph, render, tally, wrapped
from trainloop.course import CONFIG_NAME
from trainloop.learner import counted, notebook, own_names
from trainloop.syllabus import is_optional, titles

if TYPE_CHECKING:
    import torch

    from trainloop.checks.values import Observation

FIRST_FOLDER = Path.cwd()  # where this was imported: mostly, before the notebook went anywhere
VALIDATING = "NBGRADER_VALIDATING"  # set by nbgrader's Validate, which shows an error but nothing that was printed
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


class ChecksFailed(Exception):
    """Raised at the end of a check cell, so that nbgrader's Validate sees that something is not right yet."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [str(self)]


def check(
    exercise: str,
    observations: Mapping[str, Callable[[], object]],
    rules: Mapping[str, Callable[[], object]] | None = None,
    worth: Mapping[str, float] | None = None,
) -> None:
    """Make the observations of one exercise, print what was found, and raise if a check failed.

    Args:
        exercise: the exercise's name, as in the key.
        observations: title -> a function of no arguments that returns what is to be looked at.
        rules: likewise, of what the exercise asks besides right results. Kept, they earn nothing; broken, the exercise
            earns at most half of its points.
        worth: title -> points, where it is not half a point. Only the build reads it.

    Raises:
        ChecksFailed: at least one check failed. All have been made and printed by then.
    """
    try:
        whole = load_key()
        key = whole.exercises.get(exercise)
    except KeyFileError as error:
        raise ChecksFailed(str(error)) from None
    if key is None:
        raise ChecksFailed(f"The key beside this notebook knows no exercise `{exercise}`. Get the lesson anew.")
    cell = sys._getframe(1)  # the check cell's
    key = _part(key, _is_hidden(cell))
    if not key.checks:
        return
    known = {one.title: one.name for one in key.checks}
    made = own_names.as_meant({**observations, **(rules or {})}, cell.f_globals, cell.f_code.co_filename)
    result = judge(key, {known[title]: _observe(title, call) for title, call in made.items() if title in known})
    _session.note(result)
    _tell(key, result, own_names.advice(key.defines, cell.f_globals))
    if is_optional(whole.lesson):  # only where all checks have passed
        counted.mended(kept_in(), exercise)
        if number := counted.lesson_of(key):
            title = titles()[number]
            print(f"What was wrong here is a matter of lesson {number}, {title}{'' if title[-1] in '.?!' else '.'}")


def _part(key: ExerciseKey, hidden: bool) -> ExerciseKey:
    """The part of a key that one call is about: the checks in plain sight, or those of the hidden part.

    Only an instructor's notebook has a hidden part, and only the full key that `trainloop run` names knows it.
    """
    return replace(key, checks=tuple(one for one in key.checks if one.hidden == hidden))


def _is_hidden(caller: FrameType) -> bool:
    """Whether a call stands between nbgrader's markers for hidden tests: it repeats the titles of the call above it."""
    above = linecache.getlines(caller.f_code.co_filename, caller.f_globals)[: caller.f_lineno]
    marks = [line for line in above if BEGIN_HIDDEN in line or END_HIDDEN in line]
    return bool(marks) and BEGIN_HIDDEN in marks[-1]


def _tell(key: ExerciseKey, result: ExerciseResult, advice: str) -> None:
    """Print what was found; raise `ChecksFailed`, which Jupyter shows in place of a traceback, where a check failed.

    `advice` is about names of Python's own that the notebook has taken; empty where there is none to give.
    """
    older = notebook.out_of_date(key.defines)
    lines = [paragraph(older)] if older else []
    if result.status == "ok":
        print("\n".join([*lines, tally(result)]))
        if beside(SOLUTIONS_NAME) is not None:
            print(f'solution("{result.name}"), in a new cell, shows a worked answer beside yours.')
        return
    found = render(result)
    if VALIDATING in os.environ:
        raise ChecksFailed("\n".join(filter(None, [result.title, *lines, found, tally(result)])))
    if told := "\n".join(filter(None, [*lines, found, paragraph(advice) if advice else ""])):
        print(told)
    stuck = key.hints and not is_untouched(result)
    more = [f'Stuck? hint("{result.name}"), in a new cell, lists {len(key.hints)} hints.'] if stuck else []
    raise ChecksFailed("\n".join([tally(result), *more]))


def _observe(title: str, call: Callable[[], object]) -> Observation:
    """One observation. Raises `ChecksFailed` where the learner stops it: a sentence, in place of our own frames."""
    try:
        return values.observe(call)
    except KeyboardInterrupt as stop:
        where = values.describe_exception(stop)
        place = f" in line {where['line']} of your cell: `{where['code']}`" if where["line"] else ""
        told = f'Stopped during the check "{title}"{place}. If it would not end: what makes its loop end?'
        raise ChecksFailed(paragraph(told)) from None


def hint(exercise: object = None, number: int | None = None) -> None:
    """Print what helps with an exercise: the titles of its hints, or one of them whole.

    Args:
        exercise: the exercise's name, as in its check, or what it defines; without it, the one that was checked last.
        number: which hint, from 1, the softest, on; without it, the list of them.
    """
    try:
        print(_hint(load_key(), exercise, number))
    except KeyFileError as error:
        print(error)


def _hint(key: Key, exercise: object, number: int | None) -> str:
    known = {name: one.hints for name, one in key.exercises.items() if one.hints}
    name = named(key, exercise, known)
    if name is None:
        there = ", ".join(f'hint("{one}")' for one in known) or "none here"
        return f"There are hints for these exercises: {there}."
    if name not in known:
        return f"There are no hints for `{name}`. There are some for: {', '.join(known) or 'no exercise here'}."
    hints = known[name]
    if number is None:
        titles = [f"  {place}  {title}" for place, (title, _) in enumerate(hints, start=1)]
        return "\n".join([f'Which of these would you say? hint("{name}", 1) shows the first.', *titles])
    if not isinstance(number, int) or not 1 <= number <= len(hints):
        return f"`{name}` has hints 1 to {len(hints)}."
    if is_optional(key.lesson):
        counted.read_hint(kept_in(), name, number)
    title, text = hints[number - 1]
    return "\n".join([title, *wrapped(text)])


def named(key: Key, exercise: object, known: Collection[str]) -> str | None:
    """The name of the exercise that somebody means: by its name, by what it defines, or, with None, the last checked.

    Returns:
        None where nothing was said and nothing has been checked; a text that names no exercise as it is.
    """
    if exercise is None:
        return _session.last if _session.last in known else None
    said = exercise if isinstance(exercise, str) else str(getattr(exercise, "__name__", exercise))
    defining = (name for name in known if name in key.exercises and said in key.exercises[name].defines)
    return said if said in known else next(defining, said)


def has_passed(exercise: str) -> bool:
    """Whether all checks of an exercise passed when they last ran in this session."""
    result = last_result(exercise)
    return result is not None and result.status == "ok"


def last_result(exercise: str) -> ExerciseResult | None:
    """What the last check of an exercise came to in this session; None if it was not checked."""
    return _session.results.get(exercise)


class _Session:
    """What was checked since the notebook's kernel started."""

    def __init__(self) -> None:
        self.last: str | None = None
        self.results: dict[str, ExerciseResult] = {}

    def note(self, result: ExerciseResult) -> None:
        self.last = result.name
        self.results[result.name] = result


_session = _Session()


def given(name: str) -> torch.Tensor:
    """An array that hidden checks hand to your code, as a tensor of its own.

    Raises:
        KeyError: the key has no such array, as on a learner's machine.
    """
    value = load_key().given[name]
    import torch  # not at the top: see `values.encode`

    return torch.from_numpy(values.array(value).copy())


def load_key() -> Key:
    """The key of this notebook.

    Raises:
        KeyFileError: it is missing or damaged.
    """
    path = _key_path()
    return _load(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(path: Path, changed: int) -> Key:
    """A key, read again only when the file has `changed`: a check should answer at once."""
    return Key.load(path)


def _key_path() -> Path:
    """The full key where `trainloop run` names one, else the visible key in the notebook's folder."""
    named = os.environ.get(KEY_VARIABLE)
    path = Path(named) if named else beside(VISIBLE_NAME)
    if path is None or not path.exists():
        place = path or _folders()[0] / VISIBLE_NAME
        raise KeyFileError(
            f"The file {place.name} is not beside this notebook ({place.parent}), so nothing can be checked "
            "here. Put it back from the lesson's folder, or open the notebook with `trainloop lab`."
        )
    return path


def beside(name: str) -> Path | None:
    """A file of the lesson beside the notebook, if it is there."""
    return next((place for folder in _folders() if (place := folder / name).exists()), None)


def kept_in() -> Path | None:
    """The folder beside the notebook in which a learner's own counts are kept.

    None where no release lies there, or where it is the course's own, which nobody works in and all get copies of.
    """
    place = beside(VISIBLE_NAME)
    if place is None:
        return None
    top = place.resolve().parents[1]
    is_own = top.name in ("release", "source") and (top.parent / CONFIG_NAME).is_file()
    return None if is_own else place.parent


def _folders() -> list[Path]:
    """Where the notebook may lie: where its kernel began, whatever folder its code has gone to since; and here."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    began = getattr(shell, "starting_dir", None)
    return [*([Path(began)] if isinstance(began, str) else []), FIRST_FOLDER, *_here()]


def _here() -> list[Path]:
    with contextlib.suppress(FileNotFoundError):  # the folder that the code is in has been removed
        return [Path.cwd()]
    return []

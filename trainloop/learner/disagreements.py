"""`disagree`: say, where it appears, that what a check told one is not true. It is kept beside the notebook, and handed
in with it; an instructor reads it in the report on the class.

Nothing about the mark changes by it. What is kept is what was said, the check's verdict as it was read, and the answer
as it stood, so that whoever reads it need not ask.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainloop.checks.key import VISIBLE_NAME, KeyFileError
from trainloop.checks.verdict import ExerciseResult
from trainloop.checks.words import paragraph, render, tally
from trainloop.errors import TrainloopError
from trainloop.learner import notebook
from trainloop.learner.instant import beside, last_result, load_key, named

FILE_NAME = "disagreements.json"
MAX_KEPT = 50  # kept of one notebook: the newest
MAX_WHY, MAX_VERDICT, MAX_ANSWER = 2_000, 10_000, 20_000  # characters
MAX_BYTES = 4_000_000  # of the file, of which nothing is trusted when it is read


@dataclass(frozen=True)
class Disagreement:
    """What a learner has to say against a verdict."""

    exercise: str
    why: str
    verdict: str
    answer: str
    when: str  # ISO 8601, UTC, by the learner's clock


class DamagedFileError(TrainloopError):
    """The file is none of `disagree`'s; the message says why."""


def disagree(exercise: object = None, why: object = "") -> None:
    """Put down that the verdict on an exercise is wrong, and why.

    Args:
        exercise: its name, as in its check, or what it defines; without it, the one that was checked last.
        why: in your own words.
    """
    try:
        print(paragraph(_disagree(exercise, why)))
    except (KeyFileError, DamagedFileError) as error:
        print(error)
    except OSError as error:
        print(f"It could not be kept ({error.strerror}): {FILE_NAME}, beside this notebook, cannot be written.")


def _disagree(exercise: object, why: object) -> str:
    key = load_key()
    name = named(key, exercise, key.exercises)
    if name is None or name not in key.exercises:
        return f"Which exercise? There are: {', '.join(key.exercises)}. For example: {_call(next(iter(key.exercises)))}"
    result = last_result(name)
    if result is None:
        return f"`{name}` has not been checked since this notebook was opened. Run its check first, then: {_call(name)}"
    if not isinstance(why, str) or not why.strip():
        return f"Say why, in your own words: {_call(name)}"
    visible = beside(VISIBLE_NAME)
    assert visible is not None  # the key came from there
    file = visible.with_name(FILE_NAME)
    disagreement = Disagreement(
        name,
        why.strip()[:MAX_WHY],
        _verdict(result)[:MAX_VERDICT],
        notebook.own_text(key.exercises[name].defines)[:MAX_ANSWER],
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _write(file, [*read(file.parent), disagreement][-MAX_KEPT:])
    return (
        f"Kept in {FILE_NAME}, beside this notebook, with the verdict and your answer as they are now. Hand it in with "
        "the notebook, and your instructor reads it. It changes no mark by itself."
    )


def _call(name: str) -> str:
    return f'disagree("{name}", "what is not true, and why")'


def _verdict(result: ExerciseResult) -> str:
    return "\n".join(filter(None, [render(result), tally(result)]))


def _write(file: Path, all_of_them: Sequence[Disagreement]) -> None:
    """All or nothing: what was kept before is not lost to a full disk."""
    text = json.dumps([asdict(one) for one in all_of_them], indent=1, ensure_ascii=False)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{FILE_NAME}")
    try:
        with open(handle, "w", encoding="utf-8", errors="replace") as draft:
            draft.write(text + "\n")
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def read(folder: Path) -> list[Disagreement]:
    """What was kept beside a notebook. Of the file nothing is trusted: it may be anybody's.

    Raises:
        DamagedFileError: it is no such file, or too large.
    """
    file = folder / FILE_NAME
    if not file.is_file() or file.is_symlink():
        return []
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES / 1e6:g} MB")
        return [_entry(one) for one in _list(json.loads(data.decode("utf-8")))][-MAX_KEPT:]
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{FILE_NAME} cannot be read ({error}). Put it aside to begin a new one.") from None


def _list(plain: object) -> list[Any]:
    if not isinstance(plain, list):
        raise ValueError("it holds no list")
    return plain


def _entry(plain: object) -> Disagreement:
    names = Disagreement.__dataclass_fields__
    if not isinstance(plain, Mapping) or not all(isinstance(plain.get(name), str) for name in names):
        raise ValueError("an entry has other fields than it should")
    return Disagreement(**{name: plain[name] for name in names})

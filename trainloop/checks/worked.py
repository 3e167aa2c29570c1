"""The worked answers that travel beside a notebook, packed: what `solution` shows, offline.

A lesson's build writes them, a learner's notebook reads them. An edition for a class may leave the file out; no hidden
check is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainloop.checks.key import KeyFileError
from trainloop.checks.packed import pack, unpack


@dataclass(frozen=True)
class Worked:
    """The worked answer to one exercise, and what other right answers do differently: sentence and code of each."""

    code: str
    others: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()  # of questions: why the right option is


def dump(worked: Mapping[str, Worked]) -> str:
    """The worked answers of a lesson as JSON text: one line an exercise."""
    packed = {name: pack([one.code, one.others, one.notes]) for name, one in worked.items()}
    return json.dumps({"exercises": packed}, indent=1, sort_keys=True) + "\n"


def load(path: Path) -> dict[str, Worked]:
    """The worked answers of a lesson.

    Raises:
        KeyFileError: the file is missing or damaged.
    """
    try:
        return unpacked(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyFileError(f"{path.name} beside this notebook is damaged ({error}). Get the lesson anew.") from None


def unpacked(text: str) -> dict[str, Worked]:
    """What `dump` was given. Raises `ValueError`, `KeyError`, `TypeError` or `AttributeError` for any other text."""
    packed = json.loads(text)["exercises"]
    found = {name: unpack(text) for name, text in packed.items()}
    return {
        name: Worked(code, tuple((told, other) for told, other in others), tuple(notes))
        for name, (code, others, notes) in found.items()
    }

"""A lesson's key at a glance: its exercises, and how many checks of each a learner sees counted.

What `key` reads in full, with all that was ever computed, is read here as it lies in the file: the start page and
`trainloop progress` look into every lesson, and need no number of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainloop.errors import TrainloopError

VISIBLE_NAME = "checks.json"
VERSION = 2
READABLE = (1, VERSION)  # learners keep their copies for years
AGAIN = "Build the lesson again: trainloop build; or get the course anew."


class KeyFileError(TrainloopError):
    """A key is missing or damaged; the message says what to do."""


@dataclass(frozen=True)
class Outline:
    """An exercise: its title, and how many of its checks a learner sees counted."""

    title: str
    checks: int


def read_plain(path: Path) -> dict[str, Any]:
    """A key as it lies in its file, of whichever version that can be read, with the exercises by name.

    Raises:
        KeyFileError: the file is missing, damaged or of another version.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KeyFileError(
            f"There is no {path}. Build the lesson first: trainloop build; or get the course anew."
        ) from None
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} cannot be read ({error}). {AGAIN}") from None
    if not isinstance(plain, dict) or plain.get("version") not in READABLE:
        raise KeyFileError(f"{path} is of another version of this course. {AGAIN}")
    if plain["version"] > 1:
        return plain
    try:
        return {**plain, "exercises": {one["name"]: one for one in plain["exercises"]}}
    except (KeyError, TypeError) as error:
        raise damaged(path, error) from None


def outline(path: Path) -> dict[str, Outline]:
    """The exercises of a key by name, in order. Errors as for `read_plain`."""
    try:
        return {name: _outline(one) for name, one in read_plain(path)["exercises"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> KeyFileError:
    """What is said of a key that is not as `key` writes it."""
    return KeyFileError(f"{path} is damaged ({error!r}). {AGAIN}")


def _outline(exercise: dict[str, Any]) -> Outline:
    counted = [one for one in exercise["checks"] if not one.get("hidden") and not one.get("caps")]
    return Outline(exercise["title"], len(counted))

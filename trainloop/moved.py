"""Modules that an older `nbgrader_config.py` names where they no longer stand: told in a sentence.

nbgrader imports what its configuration names, and of a name that is not there it says only that it "could not be
imported". So the old names are looked for last of all, and found to have moved. As a `TraitError`, since nbgrader shows
the message of one, and of an `ImportError` nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "trainloop.collect": "trainloop.classroom.collect",
    "trainloop.exchange": "trainloop.grading.exchange",
    "trainloop.export": "trainloop.classroom.export",
    "trainloop.feedback": "trainloop.grading.feedback",
    "trainloop.record": "trainloop.grading.record",
}
SENTENCE = (
    "Your nbgrader_config.py is older than this course and names what has moved. Write "
    + ", ".join(f"{new} in place of {old}" for old, new in MOVED.items())
    + "."
)


class _Finder:
    """Asked by Python for each module that was found nowhere."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Nothing. Raises `TraitError` for a module that has moved."""
        if name in MOVED:
            from traitlets import TraitError  # not at the top: every notebook of a learner comes by here

            raise TraitError(SENTENCE)
        return None


def watch() -> None:
    """Look out for the old names from now on."""
    if _Finder not in sys.meta_path:
        sys.meta_path.append(_Finder)


def names_moved(config: object) -> bool:
    """Whether a configuration names anything where it no longer stands."""
    text = repr(config)  # dictionaries, lists and texts, however deep
    return any(f"'{old}." in text for old in MOVED)

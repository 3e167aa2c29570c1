"""What a person sees of one graded notebook."""

from __future__ import annotations

from trainloop.checks.text import plain
from trainloop.checks.words import render, tally
from trainloop.grading.grade import Graded

MAX_REPORT = 200_000  # characters


def notebook_report(graded: Graded) -> str:
    """All messages on one notebook, and how many checks passed."""
    parts = ["\n".join(filter(None, [one.title, render(one), tally(one)])) for one in graded.exercises]
    notes = [f"Note: {note}" for note in graded.notes]
    checks = [check for one in graded.exercises for check in one.checks if not check.rule]
    total = f"{sum(check.status == 'ok' for check in checks)} of {len(checks)} checks passed."
    return plain("\n\n".join([*notes, *parts, total]), MAX_REPORT)

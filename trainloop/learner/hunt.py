"""`hunt`: how many scripts of an optional challenge are mended, with how many hints, and what to read again.

Which lesson a fault comes from is said by the last hint of its exercise, and only there; `instant` tells it once the
checks have passed. Here the lessons stand in one list, in their order, so that they give no single script away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trainloop.checks.key import Key, KeyFileError
from trainloop.checks.words import paragraph
from trainloop.learner import counted
from trainloop.learner.counted import ANSWER, Count, lesson_of
from trainloop.learner.instant import has_passed, kept_in, load_key
from trainloop.syllabus import is_optional, titles


def hunt() -> None:
    """Print how far the hunt is: scripts mended, hints read, lessons that are worth reading again."""
    try:
        key = load_key()
    except KeyFileError as error:
        print(error)
        return
    if not is_optional(key.lesson):
        print("This notebook is a lesson: it has nothing to hunt for.")
        return
    counts = counted.read(kept_in())
    print("\n".join(summary_lines(key, {name: _now(counts.get(name, Count()), name) for name in key.exercises})))


def _now(count: Count, name: str) -> Count:
    return Count(count.hints, count.mended or has_passed(name))


def summary_lines(key: Key, counts: Mapping[str, Count]) -> Iterator[str]:
    """What the counts of all exercises come to, in lines."""
    mended = {name: one for name, one in counts.items() if one.mended}
    shown = [name for name, one in mended.items() if ANSWER in one.hints]
    helped = [name for name, one in mended.items() if one.hints and ANSWER not in one.hints]
    alone = len(mended) - len(shown) - len(helped)
    hints = sum(len(one.hints - {ANSWER}) for one in counts.values())
    yield f"{len(mended)} of {len(counts)} scripts mended: {alone} unaided, {len(helped)} with hints, " + (
        f"{len(shown)} after the worked answer."
    )
    yield f"Hints read: {hints}."
    left = [name for name in counts if name not in mended]
    if left:
        yield paragraph(f"Not mended yet: {', '.join(left)}.")
    unsure = [*left, *shown, *(name for name in helped if len(key.exercises[name].hints) in counts[name].hints)]
    again = sorted({number for name in unsure if (number := lesson_of(key.exercises[name]))})
    if again:
        yield "Worth reading again, for these and for those where the last hint or the answer helped:"
        yield from (f"  {number}  {titles()[number]}" for number in again)
    elif counts:
        yield "Nothing needs to be read again: what this course taught has stayed."

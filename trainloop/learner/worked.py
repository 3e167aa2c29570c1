"""`solution`: the worked answer to one exercise, beside one's own, and other right answers after it. Offline.

The answers travel packed beside the notebook, see `checks.worked`. An edition for a class may leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainloop.checks.key import SOLUTIONS_NAME, KeyFileError
from trainloop.checks.words import paragraph
from trainloop.checks.worked import Worked, load
from trainloop.learner import counted, notebook
from trainloop.learner.instant import beside, has_passed, kept_in, load_key, named
from trainloop.syllabus import is_optional

WIDE = 118  # columns that JupyterLab shows beside each other on a small screen
GAP = "   |   "
YOURS, OURS = "Your answer", "A worked answer"
WITHHELD = "The worked answers are not beside this notebook: this edition of the course does not hand them out."


def solution(exercise: object = None, sure: bool = False) -> None:
    """Print the worked answer to an exercise beside one's own, and other right answers after it.

    Args:
        exercise: its name, as in its check, or what it defines; without it, the one that was checked last.
        sure: show it even though its checks have not passed in this session.
    """
    try:
        print(_solution(exercise, sure))
    except KeyFileError as error:
        print(error)


def _solution(exercise: object, sure: bool) -> str:
    key, place = load_key(), beside(SOLUTIONS_NAME)
    answers = None if place is None else load(place)
    if answers is None:
        return WITHHELD
    name = named(key, exercise, answers)
    if name is None or name not in answers:
        there = ", ".join(f'solution("{one}")' for one in key.exercises if one in answers)
        return f"There are worked answers to these exercises: {there or 'none here'}."
    if not sure and not has_passed(name):
        return paragraph(
            f"Not all checks of `{name}` have passed since this notebook was opened or its kernel restarted. Run the "
            f'check first; or, if you want to see the answer now: solution("{name}", sure=True)'
        )
    if is_optional(key.lesson):
        counted.read_hint(kept_in(), name, counted.ANSWER)
    return "\n".join(_shown(answers[name], notebook.own_text(key.exercises[name].defines)))


def _shown(worked: Worked, own: str) -> Iterator[str]:
    left, right = own.splitlines(), worked.code.splitlines()
    if own and _width(left) + len(GAP) + _width(right) <= WIDE:
        yield from _beside([YOURS, "", *left], [OURS, "", *right])
    else:
        yield from [YOURS, "", *left, ""] if own else []
        yield from [OURS, "", *right]
    for note in worked.notes:
        yield from ["", paragraph(note)]
    for told, code in worked.others:
        yield from ["", paragraph(f"Another right answer. {told}"), "", code]


def _beside(left: Sequence[str], right: Sequence[str]) -> Iterator[str]:
    room = _width(left)
    for place in range(max(len(left), len(right))):
        mine, theirs = (side[place] if place < len(side) else "" for side in (left, right))
        yield f"{mine:{room}}{GAP}{theirs}".rstrip()


def _width(lines: Sequence[str]) -> int:
    return max(map(len, lines), default=0)

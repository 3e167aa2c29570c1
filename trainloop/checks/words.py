"""A verdict in words, as plain text: what a check cell prints, what a report and a log say.

Every room to the right prints verdicts, so that a learner reads the same lines in the notebook, on the command line and
in the output that grading puts below the cell.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what is read back and wrapped here needs no number, and numpy takes a while to load
    from trainloop.checks.verdict import CheckResult, ExerciseResult

WIDTH = 88
PASSED = "  ok    "
INDENT = " " * 8
TITLE_SEPARATOR = " · "  # titles
UNCOUNTED = 1_000  # checks: all of them, in a notebook of before they were counted


def points_text(points: float) -> str:
    """Points without needless zeros."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """A share of something, in percent."""
    return f"{100 * share:.0f} %"


def render(result: ExerciseResult) -> str:
    """What is not right yet in one exercise, as plain text: the checks that failed, then those that passed in a line.

    Checks that failed for one reason stand together above it, so that nothing is said twice. Empty where there is
    nothing to say but `tally`.
    """
    if result.status == "ok" or is_untouched(result):
        return ""
    groups: dict[object, list[CheckResult]] = {}
    for place, one in enumerate(result.checks):
        if one.status != "ok":
            shows_values = any(line.startswith("Yours:") for line in one.detail)
            alone = one.mistake is None and shows_values
            groups.setdefault(place if alone else one.sentence, []).append(one)
    lines = [line for group in groups.values() for line in _lines(group)]
    right = [one.title for one in result.checks if one.status == "ok" and not one.rule]
    return "\n".join([*lines, *([_in_one_line(right)] if right else [])])


def tally(result: ExerciseResult) -> str:
    """One exercise in a line: how many of its checks passed, or that it was not begun."""
    from trainloop.checks.evidence import AS_RELEASED
    from trainloop.checks.verdict import STUB

    checks = [one for one in result.checks if not one.rule]
    passed = sum(one.status == "ok" for one in checks)
    unreached = {one.sentence for one in checks if _may_stop(one)}
    broken = sum(one.status != "ok" and one.sentence not in unreached for one in result.checks if one.rule)
    rules_note = (
        f"; {broken} rule{'s' * (broken > 1)} not seen to be kept: at most half of the points" if broken else ""
    )
    how_many = f"All {passed}" if passed == len(checks) and not broken else f"{passed} of {len(checks)}"
    if is_untouched(result):
        sentence = result.checks[0].sentence
        if sentence == STUB:
            return f"`{result.name}` is n{sentence[1:]}"
        if sentence == AS_RELEASED:
            return f"`{result.name}` is not mended yet: t{sentence[1:].partition(':')[0]}."
        return f"{how_many} checks of `{result.name}` passed: {sentence}"
    return f"{how_many} checks of `{result.name}` passed{rules_note}."


def is_untouched(result: ExerciseResult) -> bool:
    """Whether all that there is to say of an exercise is one sentence, such as that it was not begun."""
    said = {re.sub(r"`\w+`|\b\w+ = ", "_", one.sentence) for one in result.checks if one.status == "missing"}
    return len(said) == 1 and all(one.status == "missing" for one in result.checks)


@dataclass(frozen=True)
class Told:
    """What a check cell told of one exercise: how many checks passed; all of them, and every rule kept."""

    passed: int
    is_done: bool


def read_back(text: str) -> dict[str, Told]:
    """What `tally`, of this version of the course or an earlier one, wrote into a notebook, by exercise."""
    found = {}
    for line in text.splitlines():
        if end := re.fullmatch(r"(All|\d+ of)(?: (\d+))? checks of `(\w+)` passed(?:[;:].*)?\.", line):
            count = end[2] if end[1] == "All" else end[1].split()[0]
            found[end[3]] = Told(int(count) if count else UNCOUNTED, end[1] == "All")
    return found


def _may_stop(check: CheckResult) -> bool:
    """Whether a rule that says word for word what this check says was not reached, and not broken: the call crashed.

    A mistake that has a name may do both, and break the rule.
    """
    return check.status != "ok" and check.mistake is None and not check.rule


def _lines(group: Sequence[CheckResult]) -> list[str]:
    """Checks that failed for one reason: their titles, the reason, and what the first of them shows.

    Rules that were not reached are not listed.
    """
    listed = [one for one in group if _may_stop(one)] or group
    titles = [f"  {'RULE' if one.rule else 'FAIL'}  {one.title}" for one in listed]
    return [*titles, *wrapped(group[0].sentence), *(INDENT + part[:400] for part in group[0].detail)]


def _in_one_line(titles: Sequence[str]) -> str:
    """The checks that passed, in one line: as many of their titles as there is room for."""
    shown = list(titles)
    while shown:
        rest = f"{TITLE_SEPARATOR}and {len(titles) - len(shown)} more" if len(shown) < len(titles) else ""
        if len(line := f"{PASSED}{TITLE_SEPARATOR.join(shown)}{rest}") <= WIDTH:
            return line
        shown.pop()
    return f"{PASSED}{len(titles)} others"


def paragraph(text: str) -> str:
    """A text of ours as lines of a readable width, at the margin."""
    return "\n".join(textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def wrapped(text: str) -> list[str]:
    """A text of ours as lines of a readable width, indented under their title."""
    lines = textwrap.wrap(text, WIDTH - len(INDENT), break_long_words=False, break_on_hyphens=False)
    return [INDENT + line for line in lines]

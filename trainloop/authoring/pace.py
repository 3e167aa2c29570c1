"""How long a lesson takes: the formula behind the title box, and the only place where it stands.

Two readers, since one figure cannot be true of both. Whom the mathematics is *familiar* to reads technical prose at 200
words a minute and code at 10 lines, and needs for the exercises what each of them states. Who is *new* to it reads at
150 words and 8 lines, works two minutes at each displayed formula, and needs twice as long for each exercise. Readers
who were asked found lessons 1.1 and 1.2 to be two hours' work and lesson 1.3 two and a half to three; stated in half
hours, the formula gives that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainloop.authoring.lesson import Lesson
from trainloop.syllabus import hours_in_words

STATED = re.compile(r"^Difficulty ([1-5]) of 5, importance ([1-5]) of 5, about (\d+) minutes?\.", re.M)
FORMULA = re.compile(r"\$\$.*?\$\$", re.S)
SHOWN = ("demo", "drawing")


@dataclass(frozen=True)
class Pace:
    """How fast somebody works: words and lines a minute, minutes a displayed formula, times what an exercise states."""

    words: float
    lines: float
    formula: float
    exercise: float


NEW = Pace(words=150, lines=8, formula=2, exercise=2)
FAMILIAR = Pace(words=200, lines=10, formula=0, exercise=1)


def words(lesson: Lesson) -> int:
    """The words of a lesson's prose, without its formulas."""
    text = " ".join(re.sub(r"\$\$.*?\$\$|\$[^$]+\$", " ", cell.source, flags=re.S) for cell in lesson.prose)
    return len(re.findall(r"[A-Za-z0-9][\w'’-]*", text))


def minutes(lesson: Lesson, pace: Pace) -> float:
    """The minutes that a lesson takes at a pace, exercises included."""
    shown = [cell for cell in lesson.cells if cell.kind in SHOWN]
    lines = sum(bool(line.strip()) for cell in shown for line in cell.source.splitlines())
    formulas = sum(len(FORMULA.findall(cell.source)) for cell in lesson.prose)
    stated = sum(int(match[3]) for cell in lesson.prose for match in STATED.finditer(cell.source))
    return words(lesson) / pace.words + lines / pace.lines + formulas * pace.formula + stated * pace.exercise


def time_sentence(lesson: Lesson) -> str:
    """What the title box says of the time, such as "About 2 hours; 75 minutes if the mathematics is familiar."."""
    familiar = -(-round(minutes(lesson, FAMILIAR)) // 5) * 5
    return f"About {hours_in_words(minutes(lesson, NEW) / 60)}; {familiar} minutes if the mathematics is familiar."

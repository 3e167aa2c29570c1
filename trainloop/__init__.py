"""Learn the Training Loop with PyTorch: the course's own small package.

A lesson imports from here: `check`, the instant answer to an exercise; `hint`, for those who are stuck; `show`, which
puts a figure into the notebook together with its description in words; `animate` and `explore`, for figures that move;
and, in hidden checks, `given`.
The rest follows the data, one module a station, each importing only from stations before it:

    values                  what crosses from a student's process: plain arrays and JSON
    rules, key, verdict     compared with the reference and the named mistakes
    instant, plots, motion  what a lesson imports
    confine, isolation      shut a process off from the machine
    worker, box, needs      run cells in another process, and only those that are needed
    lesson, notation, lint  a lesson as written, and what is refused in it
    build, execute          lesson text  -> notebooks and keys; run
    intake                  a submission -> a notebook that we trust in everything but the answers
    grade, batch            marks: of a submission, of a class
    engine, cluster         where a class is graded
    gradebook, record       nbgrader's gradebook and extension points
    exchange                what is collected from a folder that every student can write to
    lab, progress           a learner's working copy
    feedback, report        what students and instructors read
    syllabus, start         the page that a learner starts from
    edition                 what a class is given in place of the repository
    roster, collect, export who is who in Canvas and Moodle; submissions from there, marks to there
    pages, class_report     a class at a glance
    similar                 submissions that agree where few others do
    demo                    a class to try it on
    cli                     what people type
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainloop.instant import check, given, hint
    from trainloop.motion import animate, explore
    from trainloop.plots import show

__all__ = ["animate", "check", "explore", "given", "hint", "show"]
_STATIONS = {
    "show": "plots",
    "animate": "motion",
    "explore": "motion",
    "check": "instant",
    "given": "instant",
    "hint": "instant",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the command line should not wait for torch and matplotlib to print its help."""
    if name in _STATIONS:
        return getattr(import_module(f"trainloop.{_STATIONS[name]}"), name)
    raise AttributeError(f"module 'trainloop' has no attribute {name!r}")

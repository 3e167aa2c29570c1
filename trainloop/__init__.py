"""Learn the Training Loop with PyTorch: the course's own small package.

A lesson imports three things from here: `check`, the instant answer to an exercise; `show`, which puts a
figure into the notebook together with its description in words; and, in hidden checks, `given`.
The rest follows the data, one module a station, each importing only from stations before it:

    values                  what crosses from a student's process: plain arrays and JSON
    rules, key, verdict     compared with the reference and the named mistakes
    instant, plots          what a lesson imports
    confine, isolation      shut a process off from the machine
    worker, box, needs      run cells in another process, and only those that are needed
    lesson, lint, build     lesson text  -> notebooks and keys
    intake                  a submission -> a notebook that we trust in everything but the answers
    grade, batch            marks: of a submission, of a class
    engine, cluster         where a class is graded
    gradebook, record       nbgrader's gradebook and extension points
    feedback, report        what students and instructors read
    lab, demo, cli          what people type
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainloop.instant import check, given
    from trainloop.plots import show

__all__ = ["check", "given", "show"]


def __getattr__(name: str) -> Any:
    """Import on first use: the command line should not wait for torch and matplotlib to print its help."""
    if name == "show":
        from trainloop.plots import show

        return show
    if name in ("check", "given"):
        from trainloop import instant

        return getattr(instant, name)
    raise AttributeError(f"module 'trainloop' has no attribute {name!r}")

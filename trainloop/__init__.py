"""Learn the Training Loop with PyTorch: the course's own small package.

A lesson imports from here: `check`, the instant answer to an exercise; `hint`, for those who are stuck; `solution`,
the worked answer beside one's own; `predict`, a small question; `disagree`, for those who were told what is not true;
`placement`, to find the lessons that are worth one's time; `hunt`, how far one is in the optional notebook; `show`,
which puts a figure into the notebook together with its description in words; `animate` and `explore`, for figures that
move; `watch`, for what checks need beyond calls; and, in hidden checks, `given`. The rest stands in rooms, each
importing only from those above it:

    checks      what a check is: what was observed, what is right, and the sentence that says what is not
    sandbox     other people's code, run in a process that can harm nobody
    learner     what a learner's notebook and JupyterLab do
    authoring   a lesson as written -> notebooks and keys
    grading     a submission -> a mark in nbgrader's gradebook and a page of feedback
    classroom   a class: who is who, what came in, what goes out, how it went
    site        the lessons as web pages, which need no kernel
    cli         what people type

`course`, `syllabus` and `errors` are ground that everyone stands on, with `plots`, the look of all figures, and
`watch`, the rules of exercises; `moved` knows what stood elsewhere once. Whatever of this a lesson imports keeps its
name: learners keep notebooks for years.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainloop import moved

if TYPE_CHECKING:
    from trainloop.learner.disagreements import disagree
    from trainloop.learner.hunt import hunt
    from trainloop.learner.instant import check, given, hint
    from trainloop.learner.motion import animate, explore
    from trainloop.learner.placement import placement
    from trainloop.learner.predictions import predict
    from trainloop.learner.worked import solution
    from trainloop.plots import show

__all__ = [
    "animate",
    "check",
    "disagree",
    "explore",
    "given",
    "hint",
    "hunt",
    "placement",
    "predict",
    "show",
    "solution",
]
_STATIONS = {
    "show": "plots",
    "animate": "learner.motion",
    "explore": "learner.motion",
    "check": "learner.instant",
    "disagree": "learner.disagreements",
    "given": "learner.instant",
    "hint": "learner.instant",
    "hunt": "learner.hunt",
    "placement": "learner.placement",
    "predict": "learner.predictions",
    "solution": "learner.worked",
}

moved.watch()


def __getattr__(name: str) -> Any:
    """Import on first use: the command line should not wait for torch and matplotlib to print its help."""
    if name in _STATIONS:
        return getattr(import_module(f"trainloop.{_STATIONS[name]}"), name)
    raise AttributeError(f"module 'trainloop' has no attribute {name!r}")

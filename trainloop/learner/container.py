"""The course in a container: the learner's working copy, and Jupyter's settings on it.

The image holds the course in one folder, which nobody writes into. The working copy lies in the home, or where
TRAINLOOP_WORK says, and is brought up to date at each start. There is no command of ours that a hub or Binder would
run: both start Jupyter by themselves, which reads its settings from here (`jupyter/container/`).

`python -m trainloop.learner.container` makes the working copy alone, for editors that start no Jupyter.
"""

from __future__ import annotations

import os
from pathlib import Path

from trainloop.course import Course
from trainloop.learner import start
from trainloop.learner.lab import FOLDER, START, settings_on, update

COURSE, WORK = "TRAINLOOP_COURSE", "TRAINLOOP_WORK"  # the environment's names for both folders


def working_copy() -> Path:
    """The working copy."""
    return Path(os.environ.get(WORK) or Path.home() / FOLDER)


def prepare() -> list[str]:
    """Bring the working copy up to date, and its start page. Returns the lessons that are new.

    Raises:
        CourseError: TRAINLOOP_COURSE names no course's folder.
        LabError: the working copy cannot be written, see `lab.update`.
    """
    release = _release()
    new = start.fresh(update(release, working_copy()))
    start.write(start.rows(release, working_copy(), new), working_copy())
    return new


def settings() -> dict[str, object]:
    """What `trainloop lab` tells JupyterLab, by the names of Jupyter's traits. Errors as for `prepare`."""
    new = prepare()  # first, since Jupyter opens on the start page if there is one
    return {**settings_on(working_copy()), "StartPage.release": str(_release()), "StartPage.fresh": new}


def _release() -> Path:
    return Course.find(Path(os.environ.get(COURSE) or Path.cwd())).root / "release"


if __name__ == "__main__":
    prepare()
    print(f"Your copy of the lessons is {working_copy()}. Begin with {START}.")

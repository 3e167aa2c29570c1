"""The folders in which nbgrader keeps a class: what was handed in, and what is graded.

They are worked out from the course's configuration, without nbgrader, which takes seconds to load: a command that finds
nothing in them says so at once.
"""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Literal

from trainloop.course import Course, CourseError

# nbgrader's own, where the configuration names no other.
STRUCTURE = os.path.join("{nbgrader_step}", "{student_id}", "{assignment_id}")


def submissions(course: Course, slug: str) -> dict[str, Path]:
    """Folders of submissions of a lesson, by student.

    Raises:
        CourseError: nothing was handed in.
    """
    top, found = student_folders(course, "submitted", slug)
    if not top.is_dir():
        raise CourseError(
            f"There is no {top}. Collect submissions into {top}/<student>/{slug}/ first (nbgrader collect)."
        )
    if not found:
        raise CourseError(f"Nobody has handed in {slug}: there is no {top}/<student>/{slug}/.")
    return found


def graded_folders(course: Course, slug: str) -> dict[str, Path]:
    """Autograded folders of a lesson, by student.

    Raises:
        CourseError: nothing is graded yet.
    """
    top, found = student_folders(course, "autograded", slug)
    if not found:
        raise _nothing_graded(top, slug)
    return found


def graded_notebooks(course: Course, slug: str) -> dict[str, Path]:
    """Autograded notebooks of a lesson, by student.

    Raises:
        CourseError: nothing is graded yet.
    """
    top, folders = student_folders(course, "autograded", slug)
    notebooks = {student: folder / f"{slug}.ipynb" for student, folder in folders.items()}
    found = {student: path for student, path in notebooks.items() if path.is_file()}
    if not found:
        raise _nothing_graded(top, slug)
    return found


def _nothing_graded(top: Path, slug: str) -> CourseError:
    return CourseError(
        f"Nothing of {slug} is graded yet: there is no {top}/<student>/{slug}/. "
        f"Run: trainloop grade {slug.partition('-')[0]}"
    )


def student_folders(
    course: Course, step: Literal["submitted", "autograded"], slug: str
) -> tuple[Path, dict[str, Path]]:
    """nbgrader's folder of a step, and the folders of a lesson in it, by student. Neither need be there.

    Raises:
        CourseError: nbgrader cannot work where the course lies.
    """
    settings = course.directory_config().CourseDirectory
    structure = settings.get("directory_structure", STRUCTURE)
    inner = structure.format(nbgrader_step=settings.get(f"{step}_directory", step), student_id="*", assignment_id=slug)
    pattern = Path(os.path.abspath(settings.root), inner)
    top = Path(pattern.parts[0]).joinpath(*pattern.parts[1 : pattern.parts.index("*")])
    return top, {folder.parent.name: folder for folder in sorted(top.glob(f"*/{slug}")) if folder.is_dir()}

"""Where nbgrader keeps a class is worked out without nbgrader: it must come to what nbgrader says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from trainloop.course import Course, CourseError
from trainloop.grading.folders import graded_folders, graded_notebooks, student_folders

SLUG = "2.1-from-linear-to-nonlinear"
STEPS: tuple[Literal["submitted", "autograded"], ...] = ("submitted", "autograded")


@pytest.mark.parametrize(
    "settings",
    [
        "",
        'c.CourseDirectory.submitted_directory = "in"\nc.CourseDirectory.autograded_directory = "out"',
        'c.CourseDirectory.directory_structure = "class/{nbgrader_step}/{student_id}/{assignment_id}"',
        'c.CourseDirectory.autograded_directory = "/srv/graded"',
    ],
)
def test_it_is_where_nbgrader_puts_it(tmp_path: Path, settings: str) -> None:
    (tmp_path / "nbgrader_config.py").write_text(f"c = get_config()\n{settings}\n")
    course = Course(tmp_path)
    directory = course.directory(SLUG)
    for step in STEPS:
        top, found = student_folders(course, step, SLUG)
        place = Path(directory.format_path(getattr(directory, f"{step}_directory"), "ada", SLUG))
        assert (top / "ada" / SLUG, found) == (place, {})
        if place.is_relative_to(tmp_path):
            place.mkdir(parents=True)
            assert student_folders(course, step, SLUG) == (top, {"ada": place})


def test_a_folder_without_its_notebook_is_not_graded_for_a_report(tmp_path: Path) -> None:
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    course, folder = Course(tmp_path), tmp_path / "autograded" / "ada" / SLUG
    for graded in (graded_folders, graded_notebooks):
        with pytest.raises(
            CourseError, match=f"Nothing of {SLUG} is graded yet: there is no .*Run: trainloop grade 2.1"
        ):
            graded(course, SLUG)
    folder.mkdir(parents=True)
    assert graded_folders(course, SLUG) == {"ada": folder}
    with pytest.raises(CourseError, match="is graded yet"):
        graded_notebooks(course, SLUG)
    (folder / f"{SLUG}.ipynb").touch()
    assert graded_notebooks(course, SLUG) == {"ada": folder / f"{SLUG}.ipynb"}


def test_where_nbgrader_cannot_work_it_is_said(tmp_path: Path) -> None:
    home = tmp_path / "my {course}"
    home.mkdir()
    (home / "nbgrader_config.py").write_text("c = get_config()\n")
    with pytest.raises(CourseError, match="in the path of the course"):
        student_folders(Course(home), "submitted", SLUG)

"""The feedback pages of a class, written by nbgrader: one file a student, to hand out as one likes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from nbgrader.apps import NbGraderAPI

from trainloop.course import Course


def write_pages(
    course: Course, slug: str, students: Iterable[str], done: Callable[[], None] = lambda: None
) -> tuple[dict[str, Path], dict[str, str]]:
    """Write the pages anew: nbgrader leaves those that are there alone, also where marks have changed since.

    Returns:
        The page of each student, and of whom there is none, why.
    """
    directory = course.directory(slug)
    api = NbGraderAPI(directory, config=course.config())
    pages: dict[str, Path] = {}
    failed: dict[str, str] = {}
    for student in students:
        page = Path(directory.format_path(directory.feedback_directory, student, slug)) / f"{slug}.html"
        result = api.generate_feedback(slug, student, force=True)
        if result["success"] and page.is_file():
            pages[student] = page
        else:
            failed[student] = str(result.get("error") or result.get("log") or f"there is no {page}")
        done()
    return pages, failed

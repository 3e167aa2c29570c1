"""A new lesson's two files, with blanks where its author writes; and the two files watched while they write."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from trainloop.authoring.answers import NAME as ANSWERS
from trainloop.course import Course, CourseError
from trainloop.syllabus import MODULES

BLANK = "TODO"
SECONDS = 0.5  # between two looks at the files


def skeleton(course: Course, number: str, name: str = "") -> list[Path]:
    """Write the two files of a lesson of the plan.

    Args:
        course: where to.
        number: of the lesson, such as "2.2".
        name: what stands behind the number in the lesson's slug; by default, the words of its title.

    Raises:
        CourseError: the plan has no such lesson, the lesson is there, or the name is none.
    """
    titles = {number: title for module in MODULES for number, title in module.lessons.items()}
    if number not in titles:
        raise CourseError(f'The plan has no lesson "{number}". It has: {", ".join(titles)}.')
    if there := [slug for slug in course.slugs() if slug.split("-")[0] == number]:
        raise CourseError(f"Lesson {number} is there already: {course.text(there[0])}.")
    name = name or "-".join(re.findall(r"[a-z0-9]+", titles[number].lower()))
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise CourseError(f'"{name}" is no name for a lesson; write words in small letters, with hyphens between.')
    article = course.text(f"{number}-{name}")
    article.parent.mkdir(parents=True)
    written = [article, article.with_name(ANSWERS)]
    for path in written:
        text = (files("trainloop") / "templates" / "lesson" / path.name).read_text(encoding="utf-8")
        path.write_text(text.replace("{{number}}", number).replace("{{title}}", titles[number]), encoding="utf-8")
    return written


def saves(articles: Sequence[Path]) -> Iterator[None]:
    """Now, and whenever the files of one of these lessons have been saved. Ends by Ctrl+C.

    They are looked at twice a second: a few files, for which nothing needs to be installed, on any file system.
    """
    before: object = None
    while True:
        now = [_saved(path) for article in articles for path in (article, article.with_name(ANSWERS))]
        if now != before:
            before = now
            yield
        else:
            time.sleep(SECONDS)


def _saved(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:  # in the middle of being replaced, or not written yet
        return None
    return status.st_mtime_ns, status.st_size

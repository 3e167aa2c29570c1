"""The student edition: what an instructor hands to a class in place of the repository.

It holds the released lessons, of this package what learners use, and what is needed to set both up: nothing that is
written for authors or graders, no solution but those that are asked for, and nothing of the key but its visible part.
The same course gives the same bytes, so that two archives can be compared.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from trainloop.authoring.lesson import BEGIN_HIDDEN, BEGIN_SOLUTION, read
from trainloop.authoring.notebooks import refuse_leaks
from trainloop.checks.key import SOLUTIONS_NAME, VISIBLE_NAME, Key
from trainloop.classroom.learners_commands import learners_commands
from trainloop.course import CONFIG_NAME, Course, CourseError, refuse_existing
from trainloop.learner.lab import write_whole

EditionFiles: TypeAlias = dict[str, bytes]  # path in the edition, with "/" -> contents

PACKAGE = Path(__file__).parents[1]
CLONE = PACKAGE.parent
TEMPLATES = PACKAGE / "templates" / "edition"
GUIDE = "docs/students.md"
TOOL = "tools/uv"
CONTAINER = ("Dockerfile", ".dockerignore", ".devcontainer/devcontainer.json")
# Of this package; `trainloop check` runs a notebook as it is when graded, and judges it by what is visible.
PARTS = (
    "*.py",
    "checks/**/*",
    "sandbox/**/*",
    "learner/**/*",
    "grading/__init__.py",
    "grading/grade.py",
    "grading/intake.py",
    "grading/notebook_report.py",
    "grading/submitted_files.py",
    "grading/turns.py",
    "templates/solved_page/*",
)
CLI = "trainloop/cli.py"
ARCHIVE = ".zip"
DATE = (1980, 1, 1, 0, 0, 0)  # the first that an archive can hold, for every file

NBGRADER = '''\
"""nbgrader's configuration in a student's folder. `trainloop` also knows the course's folder by this file."""

c = get_config()  # noqa: F821  (traitlets hands it in)

c.CourseDirectory.course_id = "training-loop"
'''


def edition(course: Course, slugs: Sequence[str], solutions: Sequence[str] = ()) -> EditionFiles:
    """The files of a student edition.

    Args:
        course: the instructor's course.
        slugs: the lessons in it.
        solutions: those of them whose worked solutions go along: the notebook, and what `solution` shows.

    Raises:
        CourseError: the package is not that of a clone; a lesson is not built or out of date; the solution of a
            lesson is asked for that is not in it.
        KeyFileError: a key is missing or damaged.
        LessonError: a lesson shows a solution or a hidden check.
    """
    if others := [slug for slug in solutions if slug not in slugs]:
        raise CourseError(f"A solution goes along with its lesson; these lessons are left out: {', '.join(others)}.")
    files = {**_frame(), **_package()}
    for slug in slugs:
        _refuse(course, slug)
        files |= _lesson(course, slug)
    for slug in solutions:
        course.read("solutions", slug)
        for path in (course.notebook("solutions", slug), course.release(slug) / SOLUTIONS_NAME):
            files[path.relative_to(course.root).as_posix()] = path.read_bytes()
    _refuse_markers(files)
    return dict(sorted(files.items()))


def write(files: EditionFiles, target: Path) -> None:
    """Write an edition: a folder, or, where the name ends in ".zip", an archive that holds one.

    Raises:
        CourseError: `target` exists, or cannot be written.
    """
    refuse_existing(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ARCHIVE:
            write_whole(target, archive(files, target.stem))
        else:
            _write_folder(files, target)
    except OSError as error:
        raise CourseError(f"{target} could not be written: {error}.") from error


def archive(files: EditionFiles, folder: str) -> bytes:
    """A zip archive with everything in one folder. The same files give the same bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, contents in sorted(files.items()):
            about = zipfile.ZipInfo(f"{folder}/{name}", DATE)
            about.create_system = 3  # Unix, wherever it is made, so that the permissions count
            about.external_attr = (0o100000 | _mode(name)) << 16
            about.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(about, contents)
    return data.getvalue()


def _write_folder(files: EditionFiles, target: Path) -> None:
    """All of the folder or nothing."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for name, contents in files.items():
        path = part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        path.chmod(_mode(name))
    part.rename(target)


def _mode(name: str) -> int:
    return 0o755 if name == TOOL else 0o644


# --------------------------------------------------------------------------------------------------------


def _frame() -> EditionFiles:
    """What stands around the lessons."""
    _refuse_missing("pyproject.toml", TOOL, GUIDE, *CONTAINER)
    pictures = list(_pictures((CLONE / GUIDE).read_text(encoding="utf-8")))
    _refuse_missing(*pictures)
    files = {name: (CLONE / name).read_bytes() for name in (TOOL, GUIDE, *CONTAINER, *pictures)}
    files |= {path.name: path.read_bytes() for path in TEMPLATES.iterdir() if path.is_file()}
    files["pyproject.toml"] = _project(tomllib.loads((CLONE / "pyproject.toml").read_text(encoding="utf-8"))).encode()
    files[CONFIG_NAME] = NBGRADER.encode()
    return files


def _refuse_missing(*names: str) -> None:
    if missing := [name for name in names if not (CLONE / name).is_file()]:
        raise CourseError(f"An edition is made in a clone of the course; {CLONE} has no {', '.join(missing)}.")


def _pictures(guide: str) -> Iterator[str]:
    """The paths of the pictures that a page in docs/ shows."""
    for name in re.findall(r"!\[[^]]*\]\(([^):]+)\)", guide):
        yield f"docs/{name}"


def _project(whole: Mapping[str, Any]) -> str:
    """What sets the edition up: the same pins, since a check should answer as it did where it was made.

    Left out are the optional parts for many machines and databases, and the tools of those who develop the course.
    """
    project, tool = whole["project"], whole["tool"]
    kept = {name: project[name] for name in ("name", "version", "description", "readme", "requires-python")}
    parts = {
        "project": {**kept, "dependencies": project["dependencies"]},
        "project.scripts": project["scripts"],
        "build-system": whole["build-system"],
        "tool.uv": tool["uv"],
        "tool.hatch.build.targets.wheel.shared-data": tool["hatch"]["build"]["targets"]["wheel"]["shared-data"],
    }
    return "\n".join(f"[{name}]\n{_toml(values)}" for name, values in parts.items())


def _toml(values: object) -> str:
    """Texts, yes and no, and lists of texts, whose form TOML shares with JSON."""
    assert isinstance(values, dict)
    names = {name: name if re.fullmatch(r"[\w-]+", name) else json.dumps(name) for name in values}
    return "".join(
        f"{names[one]} = {json.dumps(value, indent=4, ensure_ascii=False)}\n" for one, value in values.items()
    )


def _package() -> EditionFiles:
    """What learners use of this package, without what Python and editors leave behind."""
    paths = (path for part in PARTS for path in PACKAGE.glob(part) if path.is_file() and path.suffix != ".pyc")
    names = {path: path.relative_to(CLONE) for path in paths}
    hidden = ("__pycache__",)
    files = {
        name.as_posix(): path.read_bytes()
        for path, name in names.items()
        if not any(part in hidden or part.startswith(".") for part in name.parts)
    }
    return {**files, CLI: learners_commands(files[CLI].decode()).encode()}


def _lesson(course: Course, slug: str) -> EditionFiles:
    """Of a released lesson the notebook and the visible key, and no other file that may lie beside them."""
    paths = (course.notebook("release", slug), course.release(slug) / VISIBLE_NAME)
    return {path.relative_to(course.root).as_posix(): path.read_bytes() for path in paths}


# ---------------------------------------------------------------------------------------------------- what must not be


def _refuse(course: Course, slug: str) -> None:
    """Refuse a lesson that was not built from its text, or whose release tells what it must not."""
    released = course.read("release", slug)
    if not Key.load(course.release(slug) / VISIBLE_NAME).agrees(Key.load(course.key(slug)).visible()):
        raise CourseError(
            f"release/{slug}/{VISIBLE_NAME} is not the visible part of the lesson's key. Build the lesson again: "
            f"trainloop build {slug.split('-')[0]}"
        )
    refuse_leaks(read(course.text(slug)), released, (course.release(slug) / VISIBLE_NAME).read_text(encoding="utf-8"))


def _refuse_markers(files: EditionFiles) -> None:
    """Refuse a notebook in which something was not taken out."""
    markers = [marker.encode() for marker in (BEGIN_SOLUTION, BEGIN_HIDDEN)]
    for name, contents in files.items():
        if name.endswith(".ipynb") and any(marker in contents for marker in markers):
            raise CourseError(f"{name} holds a part that is for instructors alone. Build the lesson again.")

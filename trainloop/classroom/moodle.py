"""Feedback as Moodle takes it for a whole class: an archive with a folder for each participant.

Moodle (*Upload multiple feedback files in a zip*) tells by the folder whose a file is: it has to be called as in the
download, `Ada Lovelace_4711_assignsubmission_file`, and the number in it is made anew for each assignment. So
collecting keeps these names, in a small file for each lesson. (moodle, `mod/assign/feedback/file/importziplib.php`.)

Canvas has nothing of the kind: what is uploaded for a class there is shown under the name of the file that the student
handed in (canvas-lms, `infer_comment_context_from_filename`), and a page called `.ipynb` opens nowhere.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from trainloop.course import CourseError
from trainloop.learner.lab import write_whole

FOLDER = Path(".trainloop") / "moodle"  # in the course


def remember(root: Path, slug: str, folders: Mapping[str, str]) -> list[str]:
    """Keep what Moodle calls the folder of each student, beside what is known of others.

    Args:
        root: the course's folder.
        slug: the lesson.
        folders: by student; empty where the work did not come from Moodle.

    Returns:
        What is to be said about it: collecting does not fail for this.
    """
    if not (new := {student: folder for student, folder in folders.items() if folder}):
        return []
    path = _path(root, slug)
    try:
        try:
            known = _read(path)
        except (FileNotFoundError, ValueError):
            known = {}
        write_whole(path, json.dumps({**known, **new}, indent=1, sort_keys=True, ensure_ascii=False).encode())
    except OSError as error:
        return [f"{path}, for feedback that goes back to Moodle, could not be written: {error.strerror or error}."]
    return []


def folders(root: Path, slug: str) -> dict[str, str]:
    """What Moodle calls the folder of each student.

    Raises:
        CourseError: nothing was collected from Moodle, or what was kept is damaged.
    """
    path = _path(root, slug)
    again = f"Collect Moodle's download: trainloop collect {slug.partition('-')[0]} FILE"
    try:
        return _read(path)
    except FileNotFoundError:
        raise CourseError(f"Whose folder is whose in Moodle is not known for {slug}. {again}") from None
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read ({error}). {again}") from None


def pack(pages: Mapping[str, Path], folders: Mapping[str, str], target: Path) -> list[str]:
    """Write the archive.

    Args:
        pages: of each student.
        folders: as `folders` gives them.
        target: the archive to write; one that is there is replaced.

    Returns:
        The students who did not come from Moodle, whose pages are therefore not in it.

    Raises:
        CourseError: it cannot be written, or would hold nothing.
    """
    known = [student for student in pages if student in folders]
    if not known:
        raise CourseError("None of the students whose work is graded came from Moodle, so there is nothing to pack.")
    part = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for student in known:
                archive.write(pages[student], f"{folders[student]}/{pages[student].name}")
        part.replace(target)
    except OSError as error:
        raise CourseError(f"{target} could not be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
    return [student for student in pages if student not in folders]


def _path(root: Path, slug: str) -> Path:
    return root / FOLDER / f"{slug}.json"


def _read(path: Path) -> dict[str, str]:
    known = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(known, dict) or not all(isinstance(folder, str) for folder in known.values()):
        raise ValueError("it is not a list of folders by student")
    return known

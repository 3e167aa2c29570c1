"""nbgrader's side: its `autograde` command reads submissions and writes marks through the two classes here.

`nbgrader_config.py` names them. `SubmissionExporter` stands where nbgrader reads a notebook: handed a submission, it
gives back our rebuilt notebook with outputs and the verdict; handed an autograded notebook, it reads it as it is.
`RecordVerdict` then writes the verdict into the gradebook. Everything else stays nbgrader's: students, late penalties,
manual grades, feedback, export, the formgrader.
"""

from __future__ import annotations

import atexit
import glob
import os
import shutil
import stat
import warnings
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import parse_utc
from sqlalchemy.exc import SAWarning

from trainloop.box import Box
from trainloop.course import Course, CourseError
from trainloop.grade import Graded, Material, grade_folder, results
from trainloop.verdict import IN_WORDS, ExerciseResult

VERDICT = "trainloop"  # the notebook metadata that carries the verdict from one class to the other
TIMESTAMP = "timestamp.txt"
MAX_TIMESTAMP = 1_000  # bytes


# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; it has no effect on what is written.
warnings.filterwarnings("ignore", category=SAWarning, message="Object of type .* not in session")


class SubmissionExporter(NotebookExporter):
    """Reads notebooks for `nbgrader autograde`. Its parent is nbgrader's converter."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._boxes = ExitStack()
        atexit.register(self._boxes.close)
        self._box: Box | None = None
        self._materials: dict[str, Material] = {}
        if isinstance(self.parent, Autograde):
            _expect_one_notebook_each(self.parent)
            self.parent.coursedir = _without_files(self.parent.coursedir)

    def from_filename(self, filename: str, resources: dict[str, Any] | None = None, **kw: Any) -> Any:
        """A submission: rebuilt, run and judged. Anything else: read as it is. Returns (text, resources)."""
        if resources is None or not isinstance(self.parent, Autograde) or not self.parent._sanitizing:
            return super().from_filename(filename, resources=resources, **kw)
        folder, names = Path(filename).parent, resources["nbgrader"]
        course = Course(Path(self.parent.coursedir.root))
        graded = self._grade(course, names["assignment"], folder)
        graded_folder = Path(self.parent._format_dest(names["assignment"], names["student"]))
        _keep_timestamp(self.parent.coursedir, folder, graded_folder)
        notebook = graded.notebook
        notebook.metadata[VERDICT] = {**notebook.metadata.get(VERDICT, {}), "verdict": _verdict(graded)}
        found = ResourcesDict()
        found.update(resources, metadata=ResourcesDict(name=Path(filename).stem, path=str(folder)))
        return self.from_notebook_node(notebook, resources=found)  # type: ignore[no-untyped-call]

    def _grade(self, course: Course, slug: str, folder: Path) -> Graded:
        if slug not in self._materials:
            self._materials[slug] = Material.of(course, slug)
        return grade_folder(self._materials[slug], folder, self._open_box, results(course))

    def _open_box(self) -> Box:
        """One box for the whole batch, opened for the first submission that has no verdict yet."""
        if self._box is None:
            self._box = self._boxes.enter_context(Box())
        return self._box


def _expect_one_notebook_each(converter: Autograde) -> None:
    """Let nbgrader come to us for every submission folder, also one whose notebook is renamed or not there at all.

    nbgrader lists the notebooks that it finds and skips a folder without one; a student who is not listed would keep
    the mark of an earlier submission.
    """
    slug = converter.coursedir.assignment_id
    folders = glob.glob(converter._format_source(slug, converter.coursedir.student_id))
    converter.assignments = {
        folder: [os.path.join(folder, f"{slug}.ipynb")] for folder in folders if os.path.isdir(folder)
    }


class _Submissions(CourseDirectory):  # type: ignore[misc]  # nbgrader is untyped
    """The same course folder, with trust in nothing that lies in a submission.

    nbgrader copies no file from it: none is ever used, and one may be a link to a file of ours or a pipe without end.
    """

    def get_existing_timestamp(self, dest_path: str) -> datetime | None:
        """The time of submission, or None where it is missing or cannot be read."""
        path = Path(dest_path) / TIMESTAMP
        try:
            info = path.lstat()
            if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_TIMESTAMP:
                return None
            time: datetime | None = parse_utc(path.read_text(encoding="utf-8").strip())
        except Exception:  # whatever a stranger's text provokes in the parser of dates
            return None
        return time


def _without_files(coursedir: CourseDirectory) -> CourseDirectory:
    settings = {name: getattr(coursedir, name) for name in coursedir.trait_names(config=True)}
    return _Submissions(parent=coursedir.parent, **{**settings, "ignore": ["*", ".*"]})


def _keep_timestamp(coursedir: CourseDirectory, submitted: Path, autograded: Path) -> None:
    """Copy the time of submission, by which nbgrader sees that a newer one has come in."""
    if coursedir.get_existing_timestamp(str(submitted)) is not None:
        autograded.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(submitted / TIMESTAMP, autograded / TIMESTAMP)


def _verdict(graded: Graded) -> dict[str, Any]:
    """What goes into the gradebook, and what a person sees beside it."""
    return {
        "status": graded.status,
        "notes": list(graded.notes),
        "exercises": {
            one.name: {"points": one.points, "status": one.status, "comment": comment(one)} for one in graded.exercises
        },
    }


def comment(result: ExerciseResult) -> str:
    """One line about an exercise, for the gradebook's comment."""
    passed = sum(check.status == "ok" for check in result.checks)
    return f"{IN_WORDS[result.status]}: {passed} of {len(result.checks)} checks passed"


class RecordVerdict(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader is untyped
    """Writes the verdict that a notebook carries into the gradebook, one fresh mark for each exercise."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """Called by nbgrader for each autograded notebook."""
        names = resources["nbgrader"]
        where = (names["notebook"], names["assignment"], names["student"])
        verdict = nb.metadata.get(VERDICT, {}).get("verdict", {}).get("exercises", {})
        with Gradebook(names["db_url"]) as gradebook:
            for grade in gradebook.find_submission_notebook(*where).grades:
                one = verdict.get(grade.name.removeprefix("check-"))
                # A mark that is left from an earlier submission must not stand, whatever has happened.
                grade.auto_score = one["points"] if one else None
                grade.needs_manual_grade = one is None or grade.manual_score is not None
            for name, one in verdict.items():
                gradebook.find_comment(name, *where).auto_comment = one["comment"]
            gradebook.db.commit()
        return nb, resources


class SanitizeStudents(SanitizeHTML):
    """Makes what students wrote inert in HTML. The lesson's own Markdown is ours; sanitising would spoil its math."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: ResourcesDict, cell_index: int
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Called by nbconvert for each cell."""
        if cell.cell_type == "markdown" and not cell.metadata.get("nbgrader", {}).get("solution"):
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)  # type: ignore[no-any-return, no-untyped-call]


def check_gradebook(course: Course, material: Material) -> None:
    """Make sure that the gradebook knows this lesson as it is built now.

    Raises:
        CourseError: it does not; the message says what to do. The gradebook is not touched.
    """
    slug, directory = material.slug, course.directory(material.slug)
    again = f"Run: nbgrader generate_assignment {slug} --force"
    if directory.db_url.startswith("sqlite:///"):
        path = course.root / directory.db_url.removeprefix("sqlite:///").split("?")[0]
        if not path.exists():
            raise CourseError(f"There is no gradebook yet ({path}). {again}")
    try:
        with Gradebook(directory.db_url, directory.course_id) as gradebook:
            lessons = [assignment.name for assignment in gradebook.assignments]
            known = {cell.name: cell.max_score for cell in gradebook.find_notebook(slug, slug).grade_cells}
    except MissingEntry:
        others = f"It knows {', '.join(lessons)}; is it from another course? " if lessons else ""
        raise CourseError(f"The gradebook does not know {slug}. {others}{again}") from None
    except Exception as error:
        raise CourseError(f"The gradebook cannot be read ({type(error).__name__}: {error}). Is db_url right?") from None
    wanted = {f"check-{name}": exercise.points for name, exercise in material.key.exercises.items()}
    if known != wanted:
        raise CourseError(f"The gradebook's {slug} has other exercises or points than the lesson. {again}")


class _Autograde(Autograde):  # type: ignore[misc]  # nbgrader is untyped
    """nbgrader's converter, which also begins where no folder at all holds a notebook."""

    def init_notebooks(self) -> None:
        """Called by nbgrader to list what there is to convert."""
        _expect_one_notebook_each(self)


def record_class(course: Course, slug: str) -> None:
    """Write the verdicts on all submissions of a lesson into the gradebook, by nbgrader's own converter.

    Raises:
        CourseError: nbgrader could not write some of them; its log says which.
    """
    directory = course.directory(slug)
    config = course.config()
    converter = _Autograde(coursedir=directory, config=config)
    converter.force = True
    converter.log.setLevel("ERROR")
    try:
        converter.start()
    except Exception as error:
        raise CourseError(f"nbgrader could not record every mark: {error}") from None


def marks(course: Course, slug: str) -> dict[str, dict[str, float]]:
    """The marks in the gradebook: student -> grade cell -> score."""
    directory = course.directory(slug)
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.score for notebook in submission.notebooks for grade in notebook.grades
            }
            for submission in gradebook.assignment_submissions(slug)
        }


def read_verdict(path: Path) -> dict[str, Any]:
    """The verdict that an autograded notebook carries; empty where it has none."""
    notebook = nbformat.read(path, as_version=4)
    return dict(notebook.metadata.get(VERDICT, {}).get("verdict", {}))

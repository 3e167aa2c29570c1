"""nbgrader's side: its `autograde` command reads submissions and writes marks through the two classes here.

`nbgrader_config.py` names them. `SubmissionExporter` stands where nbgrader reads a notebook: handed a submission, it
gives back our rebuilt notebook with outputs and the verdict; handed an autograded notebook, it reads it as it is.
`RecordVerdict` then writes the verdict into the gradebook. Everything else stays nbgrader's: students, late penalties,
manual grades, feedback, export, the formgrader.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import stat
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import parse_utc
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from traitlets import TraitError

from trainloop.checks.verdict import IN_WORDS, ExerciseResult, VerdictStatus
from trainloop.checks.words import points_text
from trainloop.course import Course, CourseError, absent, as_glob, unfit_path
from trainloop.errors import TrainloopError
from trainloop.grading import people
from trainloop.grading.batch import GradedSummary, grade_class
from trainloop.grading.engine import Setup
from trainloop.grading.engines import choose_engine
from trainloop.grading.grade import Graded, LessonBundle, Results, blank, grader_error, results
from trainloop.grading.gradebook import TIMESTAMP, Change, Writer, enter, keep_receipt, reason, revoke
from trainloop.grading.gradebook import changes as gradebook_changes
from trainloop.grading.reader import SubmissionReader, brief
from trainloop.grading.settings import Grading
from trainloop.grading.unfinished import IS_FINAL, begin, mark_unfinished

VERDICT = "trainloop"  # the notebook metadata that carries the verdict from one class to the other
MAX_TIMESTAMP = 1_000  # bytes
LOG_SECONDS = 10.0  # between two lines about the progress


# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; it has no effect on what is written.
warnings.filterwarnings("ignore", category=SAWarning, message="Object of type .* not in session")


class SubmissionExporter(NotebookExporter):
    """Reads notebooks for `nbgrader autograde`. Its parent is nbgrader's converter."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        if isinstance(self.parent, Autograde):
            _expect_one_notebook_each(self.parent)
            self.parent.coursedir = _without_files(self.parent.coursedir)
            self._course = Course(Path(self.parent.coursedir.root))
            try:
                self._setup = setup = _setup(self._course, self.parent)
                self._reader = SubmissionReader(setup.material, results(self._course), setup.limits, setup.level)
                weakref.finalize(self, self._reader.close)
                mark_unfinished(self.parent, ".ipynb", self._revoke)
                due = [folder for folder in sorted(self.parent.assignments) if _is_due(self.parent, Path(folder))]
                self._due = set(map(Path, due))
                # Now, before nbgrader removes anything of an earlier run; and all together, on all cores.
                if not isinstance(self.parent, _Autograde):
                    _grade_batch(self._course, self._setup, self.parent, due)
            except (TrainloopError, TraitError) as error:
                self.parent.log.error(str(error))
                raise NbGraderException(str(error)) from None

    def from_filename(self, filename: str, resources: dict[str, Any] | None = None, **kw: Any) -> Any:
        """A submission: rebuilt, run and judged. Anything else: read as it is. Returns (text, resources)."""
        if resources is None or not isinstance(self.parent, Autograde):
            return super().from_filename(filename, resources=resources, **kw)
        try:
            if self.parent._sanitizing:
                return self._submission(filename, resources)
            return super().from_filename(filename, resources=resources, **kw)  # with this, the mark is written
        except Exception:  # nbgrader goes on with the next, and removes the graded folder: then there is no mark either
            self._revoke(resources["nbgrader"])
            raise
        finally:
            self._due.discard(Path(filename).parent)
            if not self._due:
                self._reader.close()

    def _revoke(self, names: Mapping[str, str]) -> None:
        """Take back a student's marks, if there are any."""
        with contextlib.suppress(MissingEntry), Gradebook(names["db_url"]) as gradebook:
            entry = gradebook.find_submission_notebook(names["notebook"], names["assignment"], names["student"])
            revoke(entry, self._setup.material.key.exercises)
            gradebook.db.commit()

    def _submission(self, filename: str, resources: dict[str, Any]) -> Any:
        assert self.parent is not None
        folder, names = Path(filename).parent, resources["nbgrader"]
        graded = self._reader.last(folder)
        if graded is None:  # it was replaced since
            _grade_batch(self._course, self._setup, self.parent, [str(folder)])
            graded = self._reader.last(folder)
        if graded is None:
            raise CourseError(f"{folder} changes while it is graded, or its verdict cannot be kept. Grade it again.")
        if graded.status == "grader error":  # left without a folder, so that the next run tries again
            raise CourseError(f"{names['student']}: {graded.in_words}. {_why(graded)} Run the command again.")
        graded_folder = Path(self.parent._format_dest(names["assignment"], names["student"]))
        begin(graded_folder)
        keep_receipt(self.parent.coursedir, folder, graded_folder)
        try:
            people.enter(self._course, names["db_url"])
        except CourseError as error:  # a help that is not there; the mark is
            self.parent.log.warning(str(error))
        points = f"{points_text(graded.points)} of {points_text(graded.possible)} points"
        self.parent.log.info("%s: %s, %s", names["student"], graded.in_words, points)
        notebook = _with_verdict(graded, self._setup.material)
        found = ResourcesDict()
        found.update(resources, metadata=ResourcesDict(name=Path(filename).stem, path=str(folder)))
        return self.from_notebook_node(notebook, resources=found)  # type: ignore[no-untyped-call]


def _why(graded: Graded) -> str:
    return next((check.sentence for one in graded.exercises for check in one.checks), "")


def _setup(course: Course, converter: Autograde) -> Setup:
    grading = Grading(config=converter.config)
    return Setup(LessonBundle.of(course, converter.coursedir.assignment_id), grading.limits(), grading.isolation)


def _grade_batch(course: Course, setup: Setup, converter: Autograde, folders: Sequence[str]) -> None:
    """Grade all of these, with a line in nbgrader's log now and then."""
    started = said = time.monotonic()
    count = 0

    def done(_: str, __: GradedSummary) -> None:
        nonlocal said, count
        count += 1
        now = time.monotonic()
        if now - said >= LOG_SECONDS and count < len(folders):
            said, rate = now, 60 * count / max(now - started, 0.001)
            converter.log.info(
                "Graded %d of %d submissions, %.0f a minute, about %.0f minutes left",
                *(count, len(folders), rate, (len(folders) - count) / rate),
            )

    with choose_engine(setup, Grading(config=converter.config).workers) as opened:
        many = f"{len(folders)} submission{'s' if len(folders) != 1 else ''}"
        converter.log.info("Grading %s, isolation: %s", many, setup.level)
        grade_class(opened, {folder: Path(folder) for folder in folders}, results(course), done)


def _is_due(converter: Autograde, folder: Path) -> bool:
    """Whether nbgrader will convert this submission: by its own rule, without doing what it does about it."""
    student = folder.parent.name
    if student in (converter.coursedir.student_id_exclude or "").split(","):
        return False
    graded = Path(converter._format_dest(folder.name, student))
    new, old = (converter.coursedir.get_existing_timestamp(str(one)) for one in (folder, graded))
    return converter.force or not graded.exists() or bool(new and old and new > old)


def _expect_one_notebook_each(converter: Autograde) -> None:
    """Let nbgrader come to us for every submission folder, also one whose notebook is renamed or not there at all.

    nbgrader lists the notebooks that it finds and skips a folder without one; a student who is not listed would keep
    the mark of an earlier submission.
    """
    slug = converter.coursedir.assignment_id
    source = converter._format_source(slug, converter.coursedir.student_id)
    folders = glob.glob(as_glob(converter.coursedir, source))
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


def _with_verdict(graded: Graded, material: LessonBundle) -> NotebookNode:
    about = {**graded.notebook.metadata.get(VERDICT, {}), "verdict": _verdict(graded, material.released)}
    graded.notebook.metadata[VERDICT] = about
    return graded.notebook


def _verdict(graded: Graded, released: NotebookNode) -> dict[str, Any]:
    """What goes into the gradebook, and all that the feedback page says about it."""
    return {
        "status": graded.status,
        "is_final": graded.is_final,
        "isolation": graded.level,
        "memory": graded.memory,
        "words": graded.in_words,
        "seconds": round(graded.seconds, 3),
        "notes": list(graded.notes),
        "written": _written(graded.notebook, released),
        "exercises": {one.name: {**asdict(one), "comment": comment(one)} for one in graded.exercises},
        "answers": _answers(graded.notebook, released),
    }


def _answers(notebook: NotebookNode, released: NotebookNode) -> dict[str, Any]:
    """The written answers: none is worth nothing, any other waits for a person."""
    stubs = {cell.id: cell.source.strip() for cell in released.cells if is_written(cell)}
    found = {}
    for cell in notebook.cells:
        if cell.id in stubs:
            given = cell.source.strip() not in ("", stubs[cell.id])
            words = "written: a grader reads it" if given else IN_WORDS["missing"]
            status: VerdictStatus = "ok" if given else "missing"
            found[cell.id] = {"points": None if given else 0.0, "status": status, "comment": words}
    return found


def is_written(cell: NotebookNode) -> bool:
    """Whether this is the cell of a written answer, which a person marks."""
    settings = cell.metadata.get("nbgrader", {})
    return bool(settings.get("grade") and settings.get("solution"))


def entries(notebook: NotebookNode) -> dict[str, Any]:
    """What goes into the gradebook, of the verdict that a notebook carries: exercise or answer -> points, comment."""
    verdict = notebook.metadata.get(VERDICT, {}).get("verdict", {})
    return {**verdict.get("exercises", {}), **verdict.get("answers", {})}


def _written(notebook: NotebookNode, released: NotebookNode) -> list[str]:
    """Ids of the code cells that a student added, or changed without being asked to, in the notebook's order."""
    ours = {cell.id: cell.source for cell in released.cells}
    marked = {cell.id for cell in notebook.cells if cell.metadata.get("nbgrader")}
    return [
        cell.id
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.id not in marked and cell.source != ours.get(cell.id)
    ]


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
        with Gradebook(names["db_url"]) as gradebook:
            enter(gradebook.find_submission_notebook(*where), entries(nb))
            gradebook.db.commit()
        resources[IS_FINAL] = nb.metadata.get(VERDICT, {}).get("verdict", {}).get("is_final", True)
        return nb, resources


def check_gradebook(course: Course, material: LessonBundle) -> None:
    """Make sure that the gradebook knows this lesson as it is built now.

    Raises:
        CourseError: it does not; the message says what to do. The gradebook is not touched.
    """
    slug, directory = material.slug, course.directory(material.slug)
    again = unfit_path(directory.root) or f"Run: nbgrader generate_assignment {slug} --force"
    if path := absent(directory):
        raise CourseError(f"There is no gradebook yet ({path}). {again}")
    try:
        with Gradebook(directory.db_url, directory.course_id) as gradebook:
            lessons = [assignment.name for assignment in gradebook.assignments]
            known = {cell.name: cell.max_score for cell in gradebook.find_notebook(slug, slug).grade_cells}
    except MissingEntry:
        others = f"It knows {', '.join(lessons)}; is it from another course? " if lessons else ""
        raise CourseError(f"The gradebook does not know {slug}. {others}{again}") from None
    except Exception as error:
        raise CourseError(f"The gradebook cannot be read ({reason(error)}). Is db_url right?") from None
    wanted = {f"check-{name}": exercise.points for name, exercise in material.key.exercises.items()}
    wanted |= {cell.id: cell.metadata.nbgrader.points for cell in material.released.cells if is_written(cell)}
    if known != wanted:
        raise CourseError(f"The gradebook's {slug} has other exercises or points than the lesson. {again}")


def changes(course: Course, slug: str, marks: Mapping[str, GradedSummary]) -> list[Change]:
    """What these verdicts would change in the gradebook.

    Raises:
        CourseError: it cannot be read.
    """
    directory = course.directory(slug)
    try:
        with Gradebook(directory.db_url, directory.course_id) as gradebook:
            return gradebook_changes(gradebook, slug, marks)
    except SQLAlchemyError as error:
        raise CourseError(f"The gradebook cannot be read ({reason(error)}). Is db_url right?") from None


class _Autograde(Autograde):  # type: ignore[misc]  # nbgrader is untyped
    """nbgrader's converter, which also begins where no folder at all holds a notebook."""

    def init_notebooks(self) -> None:
        """Called by nbgrader to list what there is to convert."""
        _expect_one_notebook_each(self)


def record_class(
    course: Course, material: LessonBundle, marks: Mapping[str, GradedSummary], done: Callable[[], None] = lambda: None
) -> dict[str, GradedSummary]:
    """Write the verdicts on all submissions of a lesson into the gradebook, and give the marks as they stand there.

    What goes wrong with one student's costs no other: it has neither mark nor graded notebook then, and its status is
    "grader error".

    Args:
        course: where the verdicts are kept.
        material: of the lesson.
        marks: by student, as `batch.grade_class` gives them.
        done: called after each submission.

    Raises:
        CourseError: the gradebook cannot be written at all, or does not know some students and may not add any.
    """
    converter = _Autograde(coursedir=course.directory(material.slug), config=course.config())
    converter.force = True
    converter.log.setLevel("ERROR")
    if _has_own_steps(converter):
        return _recorded_by_nbgrader(converter, material, marks)
    converter.coursedir = _without_files(converter.coursedir)
    kept, unknown = results(course), []
    try:
        with Writer(converter, material.slug) as writer:
            for student, mark in marks.items():
                try:
                    graded = _kept_verdict(kept, mark, material)
                    notebook = _with_verdict(graded, material)
                    writer.write(student, notebook, entries(notebook), graded.is_final)
                except MissingEntry:
                    unknown.append(student)
                except SQLAlchemyError:  # of the gradebook as a whole
                    raise
                except Exception as error:  # of any kind: it costs this student's mark, and no other
                    writer.fail(student, error)
                done()
    except (OSError, SQLAlchemyError) as error:
        raise CourseError(
            f"The gradebook could not be written: {reason(error)}. All verdicts are kept: mend this, and run the same "
            "command again."
        ) from None
    if unknown:
        raise CourseError(
            f"These students are not in the gradebook, and the course's settings add none: {', '.join(unknown)}. Add "
            "them (nbgrader db student add NAME), and run the same command again."
        )
    return {**marks, **{student: _unrecorded(material, why) for student, why in writer.failed.items()}}


def _kept_verdict(kept: Results, mark: GradedSummary, material: LessonBundle) -> Graded:
    """The whole verdict that a mark is about."""
    if mark.graded.status == "grader error":
        why = mark.failures[-1] if mark.failures else "the grader failed."
        return kept.failure(mark.name) or grader_error(material, blank(material), why)
    graded = kept.get(mark.name) if mark.graded.is_final else kept.failure(mark.name)
    if graded is None:
        raise CourseError(f"The verdict is gone from {kept.folder}. Run the command again.")
    return graded


def _unrecorded(material: LessonBundle, why: str) -> GradedSummary:
    reason = f"It could not be recorded ({why})."
    return GradedSummary("", brief(grader_error(material, blank(material), reason)), before=False, failures=(reason,))


def _recorded_by_nbgrader(
    converter: Autograde, material: LessonBundle, marks: Mapping[str, GradedSummary]
) -> dict[str, GradedSummary]:
    """Let nbgrader's own converter record a class: it goes on where one fails, and leaves that one no folder."""
    why = "nbgrader's log says why"
    try:
        converter.start()
    except Exception as error:
        why = reason(error)
    slug, recorded = material.slug, dict(marks)
    for student, mark in marks.items():
        is_there = (Path(converter._format_dest(slug, student)) / f"{slug}.ipynb").is_file()
        if not is_there and mark.graded.status != "grader error":
            recorded[student] = _unrecorded(material, why)
    if marks and not any((Path(converter._format_dest(slug, student))).is_dir() for student in marks):
        raise CourseError(f"nbgrader could not record any mark: {why}")
    return recorded


def _has_own_steps(converter: Autograde) -> bool:
    """Whether a course has nbgrader do more than its usual things at each submission."""
    usual = {"RecordVerdict", "AssignLatePenalties", "CheckCellMetadata"}
    steps = {getattr(step, "__name__", str(step)).rpartition(".")[2] for step in converter.autograde_preprocessors}
    hooks = (converter.pre_convert_hook, converter.post_convert_hook)
    return steps != usual or bool(converter.sanitize_preprocessors) or any(hooks)


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
    # Not by nbformat, which takes many times as long to look at all the cells: a class may be large.
    notebook = json.loads(path.read_bytes())
    return dict(notebook["metadata"].get(VERDICT, {}).get("verdict", {}))

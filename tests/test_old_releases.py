"""What learners keep for years: the notebooks of an earlier release, filled in, with the keys that came beside them.

`old_releases/` holds each release as it was on a learner's disk when all checks had passed: the reference answers, what
the check cells had printed, `checks.json` as it was. Whatever has happened to the course since,

- all that these notebooks import is there, and all their cells run;
- their keys are read (`Key.load` reads every version that ever was released), and by them the answers are right;
- their progress is not lost;
- grading them by the lessons of today gives a verdict. Which one is not held: lessons may ask for other things now.

A form of the course that has been handed out is added as a file beside the others, never in place of one.
"""

from __future__ import annotations

import ast
import shutil
import tarfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.conftest import Grader
from trainloop.checks.key import VISIBLE_NAME, Key
from trainloop.checks.verdict import judge
from trainloop.learner.progress import of_lesson
from trainloop.sandbox.box import Box
from trainloop.sandbox.job import Job, Limits, Step

ARCHIVES = sorted((Path(__file__).parent / "old_releases").glob("*.tar.xz"))
PATIENT = Limits(cell_seconds=120.0, total_seconds=900.0)  # demonstrations, on a busy machine


def lessons() -> list[tuple[Path, str]]:
    """Each archive, with each lesson in it."""
    found = []
    for archive in ARCHIVES:
        with tarfile.open(archive) as opened:
            slugs = sorted({Path(name).parent.name for name in opened.getnames()})
        found += [(archive, slug) for slug in slugs]
    return found


@pytest.fixture(scope="module", params=lessons(), ids=lambda one: f"{one[0].name.split('.')[0]}-{one[1].split('-')[0]}")
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lesson's folder as a learner kept it; called like the lesson."""
    archive, slug = request.param
    folder = tmp_path_factory.mktemp("kept")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, [one for one in opened if Path(one.name).parent.name == slug], filter="data")
    yield folder / slug
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def patient_box() -> Iterator[Box]:
    """One box for all old notebooks, in which every demonstration may take its time."""
    with Box(PATIENT) as box:
        yield box


def notebook(folder: Path) -> NotebookNode:
    """The notebook in a lesson's folder."""
    found: NotebookNode = nbformat.read(folder / f"{folder.name}.ipynb", as_version=4)
    return found


def is_check(cell: NotebookNode) -> bool:
    """Whether a cell holds the checks of an exercise."""
    settings = cell.metadata.get("nbgrader", {})
    return bool(cell.cell_type == "code" and settings.get("grade") and not settings.get("solution"))


def test_there_are_old_releases() -> None:
    assert len(lessons()) >= 7


def test_what_an_old_notebook_imports_is_there(kept: Path) -> None:
    code = [cell.source for cell in notebook(kept).cells if cell.cell_type == "code"]
    imports = [node for source in code for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if str(node.module).split(".")[0] == "trainloop"]
    assert ours
    for node in ours:
        module = import_module(str(node.module))
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_progress_made_in_an_old_notebook_is_not_lost(kept: Path) -> None:
    assert of_lesson(kept, kept / f"{kept.name}.ipynb").state == "done"


def test_an_old_notebook_runs_and_is_right_by_its_own_key(kept: Path, patient_box: Box) -> None:
    key = Key.load(kept / VISIBLE_NAME)
    cells = [cell for cell in notebook(kept).cells if cell.cell_type == "code"]
    steps = tuple(Step(cell.id, "check" if is_check(cell) else "code", cell.source) for cell in cells)
    results = patient_box.run(Job(steps))
    assert {name: result for name, result in results.items() if result.status != "ok"} == {}
    seen = {name: titles for result in results.values() for name, titles in result.checks.items()}
    assert {name: judge(one, seen[name]).status for name, one in key.exercises.items()} == dict.fromkeys(
        key.exercises, "ok"
    )


def test_an_old_notebook_is_graded_by_the_lesson_of_today(kept: Path, grader: Grader) -> None:
    slug = grader.course.slug(kept.name.split("-")[0])
    graded = grader.grade_bytes(slug, (kept / f"{kept.name}.ipynb").read_bytes())
    assert [one.name for one in graded.exercises] == list(grader.material(slug).key.exercises)
    assert "grader error" not in {one.status for one in graded.exercises}
    outputs = [output for cell in graded.notebook.cells for output in cell.get("outputs", [])]
    stopped = [output for output in outputs if output.output_type == "error"]
    sentences = [check.sentence for one in graded.exercises for check in one.checks]
    assert [one for one in [*map(str, stopped), *sentences] if "ImportError" in one or "NotFoundError" in one] == []

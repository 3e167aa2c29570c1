"""The student edition: all that a student needs, nothing that they must not have, and the same bytes each time."""

from __future__ import annotations

import ast
import json
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner, Result

from tests import sample_class
from tests.conftest import ROOT
from tests.pages import environment
from trainloop.authoring.lesson import read
from trainloop.checks.key import VISIBLE_NAME, Key
from trainloop.cli import app
from trainloop.course import Course

FRAME = {"Makefile", "README.md", "docs", "nbgrader_config.py", "pyproject.toml", "release", "tools", "trainloop"}
FRAME |= {"Dockerfile", ".dockerignore", ".devcontainer"}
SECONDS = 300  # for a command, on a busy machine
SLUGS = Course(ROOT).slugs()


def trainloop(folder: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        return CliRunner().invoke(app, list(words))


def words(result: Result) -> str:
    return " ".join(result.output.split())


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An edition of all lessons."""
    folder = tmp_path_factory.mktemp("edition") / "class"
    result = trainloop(course.root, "edition", str(folder))
    assert result.exit_code == 0, result.output
    return folder


# --------------------------------------------------------------------------------------------------------


def test_everything_a_student_needs_is_in_it(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == FRAME
    assert sorted(path.name for path in (whole / "release").iterdir()) == sorted(SLUGS)
    for slug in SLUGS:
        assert {path.name for path in (whole / "release" / slug).iterdir()} == {f"{slug}.ipynb", "checks.json"}
    assert stat.S_IMODE((whole / "tools" / "uv").stat().st_mode) == 0o755
    guide = (whole / "docs" / "students.md").read_text()
    assert all((whole / "docs" / picture).is_file() for picture in re.findall(r"\((images/[^)]+)\)", guide))


def test_of_the_package_it_holds_what_learners_use(whole: Path) -> None:
    ours = files(ROOT / "trainloop")
    theirs = files(whole / "trainloop")
    assert {name for name, contents in theirs.items() if ours[name] != contents} == {"cli.py"}
    assert {
        name.split("/")[0] for name in theirs if "/" in name and not name.startswith(("grading/", "templates/"))
    } == {
        "checks",
        "learner",
        "sandbox",
    }
    graders = {name for name in theirs if name.startswith("grading/")}
    needed = ("__init__", "grade", "intake", "notebook_report", "submitted_files", "turns")  # by `trainloop check`
    assert graders == {f"grading/{name}.py" for name in needed}
    assert not list(whole.rglob("*.pyc"))


def test_its_command_line_is_the_learners_alone(whole: Path) -> None:
    """And nothing in it is left over from the other commands."""
    tree = ast.parse((whole / "trainloop" / "cli.py").read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    commands = {"check", "lab", "progress", "placement", "solution"}
    assert functions == {*commands, "command", "about", "_tell_version", "_plain_errors", "_answers_to", "_checked"}
    rooms = {
        node.module.split(".")[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trainloop.")
    }
    assert rooms <= {"errors", "course", "checks", "learner", "grading", "sandbox"}


def test_no_text_in_it_speaks_of_what_students_do_not_have(whole: Path) -> None:
    """Of commands that are not there, of git's, of pages for others."""
    foreign = re.compile(
        r"git (pull|clone)|your clone|formgrader|gradebook\.db|autograde|(instructors|authors)\.md"
        r"|make (demo|test|build|site|check)\b|nbgrader (generate|collect|release|export|db|zip)"
        r"|trainloop (new|build|site|audit|run|grade|collect|report|similar|export|feedback|edition|demo)\b"
    )
    texts = {name: data.decode() for name, data in files(whole).items() if name.endswith((".md", "Makefile", "cli.py"))}
    for slug in SLUGS:
        cells = nbformat.read(whole / "release" / slug / f"{slug}.ipynb", as_version=4).cells
        texts[slug] = "\n".join(cell.source for cell in cells)
    assert {"README.md", "docs/students.md", "Makefile", "trainloop/cli.py"} <= texts.keys()
    assert {name: found[0] for name, text in texts.items() if (found := foreign.search(text))} == {}


def test_nothing_in_it_needs_what_is_left_out(whole: Path) -> None:
    paths = (
        path for path in (whole / "trainloop").rglob("*.py") if "jupyter" not in path.parts
    )  # settings, not modules
    names = [path.relative_to(whole).with_suffix("").as_posix() for path in paths]
    modules = sorted(name.replace("/", ".").removesuffix(".__init__") for name in names)
    code = (
        "import importlib, sys, trainloop\nprint(trainloop, [importlib.import_module(name) for name in sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules],
        cwd=whole,
        env={**environment(), "PYTHONPATH": str(whole)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0 and str(whole) in done.stdout, done.stderr


def test_it_is_set_up_with_the_same_pins(whole: Path) -> None:
    ours, theirs = (tomllib.loads((root / "pyproject.toml").read_text()) for root in (ROOT, whole))
    assert theirs["project"]["dependencies"] == ours["project"]["dependencies"]
    assert theirs["tool"] == {name: ours["tool"][name] for name in ("uv", "hatch")}
    assert all((whole / path).is_dir() for path in theirs["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"])
    assert theirs["build-system"] == ours["build-system"]
    assert theirs["project"]["scripts"] == ours["project"]["scripts"]
    assert "optional-dependencies" not in theirs["project"] and "dependency-groups" not in theirs


@pytest.mark.parametrize("slug", SLUGS)
def test_no_solution_and_no_hidden_check_is_in_it(whole: Path, slug: str) -> None:
    lesson, key = read(Course(ROOT).text(slug)), Key.load(Course(ROOT).key(slug))
    notebook = nbformat.read(whole / "release" / slug / f"{slug}.ipynb", as_version=4)
    said = [cell.source for cell in notebook.cells] + strings(
        json.loads((whole / "release" / slug / "checks.json").read_text())
    )
    text = "\n".join(said)
    hidden = [check for exercise in key.exercises.values() for check in exercise.checks if check.hidden]
    visible = {check.title for exercise in key.exercises.values() for check in exercise.checks if not check.hidden}
    assert not [check.title for check in hidden if check.title not in visible and check.title in text]
    # A short call may stand in a demonstration.
    assert not [check.call for check in hidden if len(check.call) > 40 and check.call in text]
    stubs = {cell.id: cell.source for cell in notebook.cells}
    for name, exercise in lesson.exercises.items():
        answer = sample_class.reference({name: exercise})[name]
        assert stubs[name] != answer
    for name, contents in files(whole / "release").items():
        assert b"BEGIN SOLUTION" not in contents and b"BEGIN HIDDEN" not in contents, name
    names = files(whole)
    assert not [name for name in names if re.match(r"(notebooks|source|solutions|tests|benchmarks|submitted)/", name)]


def strings(value: object) -> list[str]:
    """All texts in a JSON document."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


def test_only_the_lessons_and_solutions_that_were_asked_for(course: Course, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    result = trainloop(course.root, "edition", str(folder), "1.1", "1.6", "--solutions", "1.6")
    assert result.exit_code == 0, result.output
    assert "2 lessons" in words(result) and "Worked solutions in it: 1.6-recap" in words(result)
    assert sorted(path.name[:3] for path in (folder / "release").iterdir()) == ["1.1", "1.6"]
    slug = course.slug("1.6")
    assert files(folder / "solutions") == {f"{slug}/{slug}.ipynb": course.notebook("solutions", slug).read_bytes()}


# --------------------------------------------------------------------------------------------------------------


def test_an_archive_holds_the_folder_and_is_the_same_each_time(own_course: Course, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert trainloop(own_course.root, "edition", str(tmp_path / name / "class.zip")).exit_code == 0
        for path in own_course.root.rglob("*"):
            path.touch()
    assert (tmp_path / "a" / "class.zip").read_bytes() == (tmp_path / "b" / "class.zip").read_bytes()
    assert trainloop(own_course.root, "edition", str(tmp_path / "class")).exit_code == 0
    with zipfile.ZipFile(tmp_path / "a" / "class.zip") as packed:
        held = {about.filename: packed.read(about) for about in packed.infolist()}
        modes = {about.filename: stat.S_IMODE(about.external_attr >> 16) for about in packed.infolist()}
    assert held == {f"class/{name}": data for name, data in files(tmp_path / "class").items()}
    assert modes.pop("class/tools/uv") == 0o755 and set(modes.values()) == {0o644}


# -------------------------------------------------------------------------------------------------------------


def marked(course: Course, slug: str) -> None:
    path = course.notebook("release", slug)
    notebook = course.read("release", slug)
    notebook.cells[-1].source += "\n### BEGIN SOLUTION"
    nbformat.write(notebook, path)


def solved(course: Course, slug: str) -> None:
    answers = sample_class.reference(read(course.text(slug)).exercises)
    course.notebook("release", slug).write_bytes(sample_class.filled(course.read("release", slug), answers))


def hidden_call(course: Course, slug: str) -> None:
    exercises = Key.load(course.key(slug)).exercises.values()
    call = next(check.call for exercise in exercises for check in exercise.checks if check.hidden)
    notebook = course.read("release", slug)
    notebook.cells[-1].source += f"\n{call}"
    nbformat.write(notebook, course.notebook("release", slug))


def whole_key(course: Course, slug: str) -> None:
    shutil.copy(course.key(slug), course.release(slug) / VISIBLE_NAME)


def no_release(course: Course, slug: str) -> None:
    course.notebook("release", slug).unlink()


def no_texts(course: Course, slug: str) -> None:
    shutil.rmtree(course.root / "notebooks")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (marked, "holds a part that is for instructors alone"),
        (solved, "a line of the solution shows in the release"),
        (hidden_call, "shows in the release"),
        (whole_key, "is not the visible part of the lesson's key"),
        (no_release, "is not built"),
        (no_texts, "is this a student edition?"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_would_tell_too_much_is_not_written(
    own_course: Course, tmp_path: Path, spoil: Callable[[Course, str], None], sentence: str
) -> None:
    spoil(own_course, own_course.slug("2.1"))
    for name in ("class", "class.zip"):
        result = trainloop(own_course.root, "edition", str(tmp_path / name))
        assert result.exit_code == 1 and sentence in words(result), result.output
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["class", "class.zip"])
def test_what_is_there_is_not_overwritten(own_course: Course, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    result = trainloop(own_course.root, "edition", str(tmp_path / name))
    assert result.exit_code == 1 and "exists already" in words(result)
    assert (tmp_path / name).read_text() == "mine"


def test_a_solution_without_its_lesson_is_refused(course: Course, tmp_path: Path) -> None:
    result = trainloop(course.root, "edition", str(tmp_path / "class"), "1.1", "--solutions", "1.2")
    assert result.exit_code == 1 and "A solution goes along with its lesson" in words(result)
    assert not (tmp_path / "class").exists()


# ----------------------------------------------------------------------------------------------------


@pytest.fixture
def student(own_course: Course, tmp_path: Path) -> Course:
    """An edition of one lesson, on a student's machine."""
    assert trainloop(own_course.root, "edition", str(tmp_path / "class")).exit_code == 0
    return Course(tmp_path / "class")


def theirs(student: Course, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the edition, with the package that lies there."""
    return subprocess.run(
        [sys.executable, "-c", "from trainloop.cli import app; app()", *command],
        cwd=student.root,
        env={**environment(), "PYTHONPATH": str(student.root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def test_its_own_package_runs(student: Course) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import trainloop; print(trainloop.__file__)"],
        cwd=student.root,
        env={**environment(), "PYTHONPATH": str(student.root)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert Path(done.stdout.strip()).parent == student.root / "trainloop"


def test_progress_and_checks_in_it(student: Course, own_course: Course) -> None:
    slug = own_course.slug("2.1")
    assert student.slugs() == [slug] and student.slug("2.1") == slug
    done = theirs(student, "progress")
    assert done.returncode == 0 and "2.1 From Linear" in done.stdout and "0 of 1 lessons done" in done.stdout

    mine = student.root / "work" / slug / f"{slug}.ipynb"
    mine.parent.mkdir(parents=True)
    answers = sample_class.reference(read(own_course.text(slug)).exercises)
    mine.write_bytes(sample_class.filled(student.read("release", slug), answers))
    done = theirs(student, "check", str(mine))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"All \d+ checks of", done.stdout) and "FAIL" not in done.stdout


def test_the_solution_comes_from_the_instructor(student: Course, own_course: Course) -> None:
    slug = own_course.slug("2.1")
    (student.root / "work" / slug).mkdir(parents=True)
    refused = trainloop(student.root, "solution", "2.1", "--yes")
    assert refused.exit_code == 1 and "your instructor hands it out" in words(refused)
    place = student.notebook("solutions", slug)
    assert str(place) in words(refused)
    place.parent.mkdir(parents=True)
    shutil.copy(own_course.notebook("solutions", slug), place)
    assert trainloop(student.root, "solution", "2.1", "--yes").exit_code == 0
    assert (student.root / "work" / slug / f"{slug}-solution.ipynb").read_bytes() == place.read_bytes()


def test_its_help_shows_what_learners_do(student: Course) -> None:
    told = re.findall(r"^│ (\w+)  ", theirs(student, "--help").stdout, re.M)
    assert set(told) == {"check", "lab", "placement", "progress", "solution"}
    refused = theirs(student, "grade", "2.1")
    assert refused.returncode == 2 and "No such command" in refused.stderr
    placed = theirs(student, "placement", "--help")
    assert placed.returncode == 0


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("build",), "is this a student edition?"),
        (("run", "2.1"), "is this a student edition?"),
        (("grade", "2.1"), "this is a student edition of the course"),
        (("edition", "again"), "is this a student edition?"),
        (("lab", "9.9"), 'There is no lesson "9.9". There are: 2.1-from-linear-to-nonlinear.'),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_needs_the_course_itself_is_refused_in_a_sentence(
    student: Course, command: tuple[str, ...], sentence: str
) -> None:
    before = files(student.root)
    result = trainloop(student.root, *command)
    assert result.exit_code == 1 and sentence in words(result), result.output
    assert files(student.root) == before

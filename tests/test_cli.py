"""The command line: what it prints, what it refuses in one sentence, and that a refusal changes nothing."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from typer.testing import CliRunner, Result

from tests import sample_class
from trainloop.authoring.lesson import read
from trainloop.authoring.loop_page import PAGE
from trainloop.checks.key import VISIBLE_NAME, Key
from trainloop.cli import app
from trainloop.course import Course

COMMANDS = (
    "new",
    "build",
    "site",
    "audit",
    "run",
    "students",
    "collect",
    "grade",
    "report",
    "similar",
    "export",
    "feedback",
    "check",
    "lab",
    "progress",
    "solution",
    "edition",
    "demo",
)
Tree = dict[str, str]


def trainloop(folder: Path, *words: str) -> Result:
    """Run a command in `folder`."""
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        return CliRunner().invoke(app, list(words))


def tree(folder: Path) -> Tree:
    """Every file by its path, with a digest of its bytes."""
    files = (path for path in sorted(folder.rglob("*")) if not path.is_dir())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def words(result: Result) -> str:
    return " ".join(result.output.split())


def refused(result: Result, sentence: str) -> None:
    """The command ended with this said, in few words, and in no other way."""
    assert result.exit_code != 0
    assert sentence in words(result), result.output
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert len(words(result)) < 600


@pytest.fixture
def slug(own_course: Course) -> str:
    return own_course.slug("2.1")


def handed_in(course: Course, slug: str, student: str = "ada") -> Path:
    """A submission of the released notebook as it is."""
    folder = course.root / "submitted" / student / slug
    folder.mkdir(parents=True)
    (folder / f"{slug}.ipynb").write_bytes(course.notebook("release", slug).read_bytes())
    return folder


# ---------------------------------------------------------------------------------------------------------------- help


def test_help_lists_every_command(tmp_path: Path) -> None:
    result = trainloop(tmp_path, "--help")
    assert result.exit_code == 0
    assert all(command in result.output for command in COMMANDS)
    assert words(trainloop(tmp_path)) == words(result)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_it_does(tmp_path: Path, command: str) -> None:
    result = trainloop(tmp_path, command, "--help")
    assert result.exit_code == 0
    assert f"Usage: trainloop {command}" in words(result) or f" {command} " in words(result)
    assert (app_help(command)) in words(result)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_an_example_that_can_be_typed(tmp_path: Path, command: str) -> None:
    shown = re.search(r"Example: trainloop (.+)", trainloop(tmp_path, command, "--help").output)
    assert shown is not None and shown[1].split()[0] == command
    assert trainloop(tmp_path, *shown[1].split()).exit_code == 1, "understood, and refused where there is no course"


def test_learners_commands_come_first(tmp_path: Path) -> None:
    shown = trainloop(tmp_path, "--help").output
    places = [
        shown.index(words) for words in ("Learn ─", "│ lab ", "Teach ─", "│ grade ", "Write lessons ─", "│ build ")
    ]
    assert places == sorted(places)


def test_the_version(tmp_path: Path) -> None:
    assert words(trainloop(tmp_path, "--version")) == f"trainloop {version('trainloop')}"


LIGHT = (
    "--version",
    "--help",
    "progress",
    "check 2.1",
    "solution 2.1",
    f"placement --answers {'?' * 20}",
    "grade --help",
    # Refused before anything else is done: a wrong lesson, file, folder or option.
    *(f"{command} 9.9" for command in ("grade", "report", "similar", "feedback", "build", "run", "audit", "site")),
    "check nowhere.ipynb",
    "collect 9.9 .",
    "collect 2.1 nowhere.zip",
    "export 9.9 --for canvas --to marks.csv",
    "export 2.1 --for canvas --to release",
    "export 2.1 --for blackboard --to marks.csv",
    "edition class.zip 9.9",
    "edition release",
    "demo --folder release",
    "grade 2.1 --isolation none",
    "report 2.1 --output nbgrader_config.py",
    "similar 2.1 --output nbgrader_config.py",
    "feedback 2.1 --zip release",
    "feedback 2.1 --zip feedback.zip",
    # Nothing handed in, nothing graded: found by a look into the folders.
    *(f"{command} 2.1" for command in ("report", "similar", "feedback")),
)
HEAVY = {
    *("torch", "numpy", "scipy", "sklearn", "pandas", "matplotlib", "distributed", "sqlalchemy"),
    *("nbgrader", "nbformat", "nbconvert", "IPython", "jsonschema", "jinja2", "sphinx"),
}


@pytest.mark.parametrize("words", [line.split() for line in LIGHT], ids=" ".join)
def test_what_runs_no_lesson_loads_nothing_that_takes_seconds(own_course: Course, words: list[str]) -> None:
    code = f"""
import sys
from trainloop.cli import app
try:
    app({words!r})
except SystemExit:
    print(sorted(set({sorted(HEAVY)}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=own_course.root, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_no_start_pays_for_parsers_that_nothing_asks_for() -> None:
    """jsonschema, and so whatever reads a notebook, would build them at import (pyproject.toml leaves them out)."""
    code = "import sys, nbformat; print('jsonschema' in sys.modules, 'lark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def app_help(command: str) -> str:
    """The first sentence of a command's docstring."""
    (found,) = [one.callback for one in app.registered_commands if one.callback and one.callback.__name__ == command]
    return (found.__doc__ or "").split(".")[0]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("report 2.1 --output nbgrader_config.py", "nbgrader_config.py is a file. Name a folder: --output FOLDER"),
        ("similar 2.1 --output nbgrader_config.py/sub", "nbgrader_config.py is a file. Name a folder: --output FOLDER"),
        ("site --output nbgrader_config.py", "nbgrader_config.py is a file. Name a folder: --output FOLDER"),
        ("lab --folder nbgrader_config.py", "nbgrader_config.py is a file. Name a folder: --folder FOLDER"),
        ("solution 2.1 --folder nbgrader_config.py", "nbgrader_config.py is a file. Name a folder: --folder FOLDER"),
        ("progress --folder nbgrader_config.py", "There is no folder nbgrader_config.py"),
        ("progress --folder nowhere", "There is no folder nowhere: leave --folder out"),
        ("export 2.1 --for moodle --to release", "release is a folder. Name a file in it: --to release/FILE"),
        ("export 2.1 --for moodle --to nowhere/marks.csv", "There is no folder nowhere to put marks.csv in"),
        ("feedback 2.1 --zip release", "release is a folder. Name a file in it: --zip release/FILE"),
        ("edition release", "release exists already. Name one that does not, or delete it first."),
        ("export 2.1 --for blackboard --to marks.csv", "'blackboard' is neither canvas nor moodle"),
    ],
)
def test_a_path_or_system_of_the_wrong_kind(own_course: Course, command: str, sentence: str) -> None:
    before = tree(own_course.root)
    result = trainloop(own_course.root, *command.split())
    refused(result, sentence)
    assert "Value error" not in result.output and "File exists" not in result.output
    assert tree(own_course.root) == before


def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    refused(trainloop(tmp_path, "marks"), "No such command")
    refused(trainloop(tmp_path, "chek"), "Did you mean 'check'?")


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "command",
    ["build", "run", "site", "grade 2.1", "report 2.1", "similar 2.1", "lab", "progress", "demo"],
)
def test_outside_of_a_course(tmp_path: Path, command: str) -> None:
    refused(trainloop(tmp_path, *command.split()), "No nbgrader_config.py in")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("command", ["build", "run", "site", "grade", "report", "similar", "lab"])
def test_a_lesson_that_there_is_not(own_course: Course, slug: str, command: str) -> None:
    before = tree(own_course.root)
    refused(trainloop(own_course.root, command, "9.9"), f'There is no lesson "9.9". There are: {slug}')
    assert tree(own_course.root) == before


def no_source(course: Course, slug: str) -> None:
    course.notebook("source", slug).unlink()


def no_release(course: Course, slug: str) -> None:
    course.notebook("release", slug).unlink()


def no_key(course: Course, slug: str) -> None:
    course.key(slug).unlink()


def damaged_source(course: Course, slug: str) -> None:
    course.notebook("source", slug).write_text('{"cells": [')


def damaged_key(course: Course, slug: str) -> None:
    course.key(slug).write_text('{"version": 1}')


def foreign_source(course: Course, slug: str) -> None:
    """A source notebook that the release was not made from."""
    notebook = course.read("source", slug)
    del notebook.cells[-1]
    nbformat.write(notebook, course.notebook("source", slug))


def gradebook(course: Course, slug: str) -> Gradebook:
    return Gradebook(course.directory(slug).db_url, "training-loop")


def right_gradebook(course: Course, slug: str) -> None:
    with gradebook(course, slug) as book:
        book.add_assignment(slug)
        book.add_notebook(slug, slug)
        for name, exercise in read(course.text(slug)).exercises.items():
            book.add_grade_cell(f"check-{name}", slug, slug, max_score=exercise.check.points, cell_type="code")


def other_course(course: Course, slug: str) -> None:
    with gradebook(course, slug) as book:
        book.add_assignment("ps1")


def other_points(course: Course, slug: str) -> None:
    right_gradebook(course, slug)
    with gradebook(course, slug) as book:
        book.find_notebook(slug, slug).grade_cells[0].max_score += 1
        book.db.commit()


def no_database(course: Course, slug: str) -> None:
    (course.root / "gradebook.db").write_text("not a database, but long enough to be looked at " * 100)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_source, "is not built: there is no"),
        (no_release, "is not built: there is no"),
        (no_key, "Build the lesson first: trainloop build"),
        (damaged_source, "cannot be read"),
        (damaged_key, "is damaged"),
        (foreign_source, "Build the lesson again"),
        (lambda course, slug: None, "There is no gradebook yet"),
        (other_course, "It knows ps1; is it from another course?"),
        (other_points, "has other exercises or points than the lesson"),
        (no_database, "The gradebook cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_grade_refuses_what_is_amiss(
    own_course: Course, slug: str, spoil: Callable[[Course, str], None], sentence: str
) -> None:
    handed_in(own_course, slug)
    if spoil is foreign_source:  # seen only when a submission is taken in
        right_gradebook(own_course, slug)
    spoil(own_course, slug)
    before = tree(own_course.root)
    refused(trainloop(own_course.root, "grade", "2.1"), sentence)
    assert tree(own_course.root) == before


def test_grade_without_submissions(own_course: Course, slug: str) -> None:
    before = tree(own_course.root)
    refused(trainloop(own_course.root, "grade", "2.1"), "submitted. Collect submissions into")
    (own_course.root / "submitted" / "ada" / "ps1").mkdir(parents=True)
    refused(trainloop(own_course.root, "grade", "2.1"), f"Nobody has handed in {slug}")
    assert tree(own_course.root) == before


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_grade_with_a_number_of_workers_that_is_none(own_course: Course, workers: str) -> None:
    refused(trainloop(own_course.root, "grade", "2.1", "--workers", workers), "--workers")


def test_run_of_a_lesson_that_is_not_built(own_course: Course, slug: str) -> None:
    no_source(own_course, slug)
    refused(trainloop(own_course.root, "run"), "is not built: there is no")


def test_a_lesson_text_that_cannot_be_understood(own_course: Course, slug: str) -> None:
    path = own_course.text(slug)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines.append('```python check="nobody"\n1 +\n```')
    path.write_text("\n".join(lines), encoding="utf-8")
    before = tree(own_course.root)
    for command in ("build", "run"):
        refused(trainloop(own_course.root, command, "2.1"), f"lesson.md:{len(lines) + 1}:")
    assert tree(own_course.root) == before


def test_demo_into_a_folder_that_is_there(own_course: Course, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine.txt").write_text("mine")
    refused(
        trainloop(own_course.root, "demo", "--folder", str(there)), "exists already. Name one that does not, or leave"
    )
    assert [path.name for path in there.iterdir()] == ["mine.txt"]


def test_demo_without_the_sample_class(own_course: Course, tmp_path: Path) -> None:
    (own_course.root / "tests" / "sample_class.py").unlink()
    result = trainloop(own_course.root, "demo", "--folder", str(tmp_path / "demo"))
    refused(result, "There are no sample submissions")


# --------------------------------------------------------------------------------------------------------------- check


def test_check_of_a_file_that_there_is_not(own_course: Course) -> None:
    refused(trainloop(own_course.root, "check", "there is none.ipynb"), "There is no file there is none.ipynb")


def test_check_of_a_folder_without_notebooks(own_course: Course) -> None:
    refused(trainloop(own_course.root, "check", "."), "There is no notebook in the folder .")


def test_check_of_a_lesson_by_its_number(own_course: Course, slug: str) -> None:
    refused(trainloop(own_course.root, "check", "2.1"), "Open the lesson first: trainloop lab 2.1")
    mine = own_course.root / "work" / slug / f"{slug}.ipynb"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(solved(own_course, slug))
    result = trainloop(own_course.root, "check", "2.1")
    assert result.exit_code == 0
    there = sum(visible(own_course, slug).values())
    assert f"{there} of {there} checks passed." in words(result)


def test_check_of_a_folder_says_how_each_notebook_is(own_course: Course, slug: str) -> None:
    """Those in it and one folder further down; of one that cannot be read, a sentence. Solutions are nobody's work."""
    work = own_course.root / "work"
    files = {
        f"{slug}/{slug}.ipynb": solved(own_course, slug),
        f"{slug}/{slug}-solution.ipynb": solved(own_course, slug),
        f"{slug}/.ipynb_checkpoints/{slug}-checkpoint.ipynb": b"{}",
        "2.1-broken.ipynb": b'{"cells": [',
        "essay.ipynb": b"{}",
    }
    for name, data in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    (work / "2.1-folder.ipynb").mkdir()
    result = trainloop(own_course.root, "check", "work")
    assert result.exit_code == 1
    there = sum(visible(own_course, slug).values())
    said = words(result)
    assert said.count("checks passed.") == 1 and f"{there} of {there} checks passed." in said
    assert [line for line in result.output.splitlines() if line.startswith("work/")] == [
        "work/2.1-broken.ipynb",
        "work/2.1-folder.ipynb",
        f"work/{slug}/{slug}.ipynb",
        "work/essay.ipynb",
    ]
    assert "2.1-folder.ipynb could not be read (Is a directory)." in said
    assert "ends in the middle" in said and '"essay.ipynb" is not a notebook of this course' in said


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("2.1.ipynb", "My answers are in my notebook.", "not a notebook"),
        ("2.1-mine.ipynb", '{"cells": [', "ends in the middle"),
        ("essay.txt", "My answers are in my notebook.", '"essay.txt" is not a notebook of this course'),
        ("essay.ipynb", '{"metadata": {"trainloop": {"lesson": "ps1"}}}', "is not a notebook of this course"),
        ("7.7.ipynb", "{}", 'There is no lesson "7.7"'),
    ],
)
def test_check_of_a_file_that_is_no_notebook(own_course: Course, name: str, text: str, sentence: str) -> None:
    (own_course.root / name).write_text(text)
    before = tree(own_course.root)
    result = trainloop(own_course.root, "check", name)
    assert result.exit_code == 1
    assert sentence in words(result)
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert tree(own_course.root) == before


def solved(course: Course, slug: str, count: int | None = None) -> bytes:
    """The released notebook with the first `count` exercises solved, or all."""
    reference = sample_class.reference(read(course.text(slug)).exercises)
    return sample_class.filled(course.read("release", slug), dict(list(reference.items())[:count]))


def visible(course: Course, slug: str) -> dict[str, int]:
    """How many checks a learner sees counted, exercise by exercise."""
    exercises = Key.load(course.release(slug) / VISIBLE_NAME).exercises
    return {name: sum(not one.caps for one in each.checks) for name, each in exercises.items()}


@pytest.mark.parametrize("name", ["work/{slug}/{slug}.ipynb", "{slug} (2).ipynb", "home.ipynb"])
def test_check_of_a_solved_notebook(own_course: Course, slug: str, name: str) -> None:
    """A learner has no hidden part: neither source/ nor solutions/."""
    data = solved(own_course, slug)
    path = own_course.root / name.format(slug=slug)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    for kind in ("source", "solutions"):
        (own_course.root / kind).rename(own_course.root / f"no-{kind}")
    before = tree(own_course.root)
    result = trainloop(path.parent, "check", path.name)
    there = sum(visible(own_course, slug).values())
    assert f"{there} of {there} checks passed." in words(result)
    assert result.exit_code == 0
    assert "FAIL" not in result.output
    assert tree(own_course.root) == before


def test_check_of_a_half_solved_notebook(own_course: Course, slug: str) -> None:
    exercises = read(own_course.text(slug)).exercises
    first, second = list(exercises)[:2]
    mistake = exercises[second].mistakes[0]
    notebook = nbformat.reads(solved(own_course, slug, 1).decode(), as_version=4)
    next(cell for cell in notebook.cells if cell.id == second).source = mistake.code
    path = own_course.root / f"{slug}.ipynb"
    path.write_bytes(sample_class.dump(notebook))
    result = trainloop(own_course.root, "check", path.name)
    assert result.exit_code == 1
    said = words(result)
    there = visible(own_course, slug)
    assert f"All {there[first]} checks of `{first}` passed." in said
    assert f"All {there[second]} checks of `{second}` passed." not in said
    assert mistake.sentence in said
    assert "ot started yet" in said
    assert all(exercise.title in said for exercise in exercises.values())
    assert f"of {sum(there.values())} checks passed." in said


def test_check_shows_no_terminal_codes(own_course: Course, slug: str) -> None:
    """What an answer puts into the message of its error may set a terminal's title, or clear it."""
    first = next(iter(read(own_course.text(slug)).exercises))
    notebook = nbformat.reads(solved(own_course, slug).decode(), as_version=4)
    cell = next(cell for cell in notebook.cells if cell.id == first)
    head = next(line for line in cell.source.splitlines() if line.startswith("def "))
    cell.source += f"\n\n\n{head}\n    raise ValueError('\\x1b]0;title\\x07\\x1b[2J\\x9b31m[/x] witness')\n"
    path = own_course.root / f"{slug}.ipynb"
    path.write_bytes(sample_class.dump(notebook))
    result = trainloop(own_course.root, "check", path.name)
    assert result.exit_code == 1
    assert "[/x] witness" in words(result)
    assert not set(result.output) & set("\x1b\x07\x9b")


def test_a_refusal_shows_no_terminal_codes(own_course: Course) -> None:
    result = trainloop(own_course.root, "collect", "2.1", "\x1b]0;title\x07\x1b[2J[/x].zip")
    refused(result, "There is no [/x].zip.")
    assert not set(result.output) & set("\x1b\x07")


def test_a_build_of_all_lessons_makes_the_page_of_loops(own_course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the course has the page. What the lessons themselves come to is not looked at here."""
    monkeypatch.setattr("trainloop.sandbox.box.Box", nullcontext)
    monkeypatch.setattr("trainloop.authoring.lint.lint", lambda lesson: [])
    monkeypatch.setattr("trainloop.authoring.build.build", lambda lesson, *boxes, **known: lesson)
    monkeypatch.setattr("trainloop.authoring.build.differences", lambda built, root: [])
    monkeypatch.setattr("trainloop.authoring.build.write", lambda built, root: [])
    path = own_course.root / PAGE
    assert trainloop(own_course.root, "build").exit_code == 0
    assert not path.exists()
    path.parent.mkdir()
    path.write_text("old", encoding="utf-8")
    refused(trainloop(own_course.root, "build", "--check"), f"out of date: {PAGE}")
    assert path.read_text(encoding="utf-8") == "old"
    assert f"written: {PAGE}" in words(trainloop(own_course.root, "build"))
    assert path.read_text(encoding="utf-8").startswith("# The loop through the course")
    assert trainloop(own_course.root, "build", "--check").exit_code == 0

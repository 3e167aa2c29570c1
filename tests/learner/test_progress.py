"""What a learner's own notebooks say of their progress."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from typer.testing import CliRunner

from tests.lessons import SLUG, lesson
from tests.sample_class import filled
from trainloop.authoring.build import build, write
from trainloop.checks.words import UNCOUNTED, Told, read_back
from trainloop.cli import app
from trainloop.course import CONFIG_NAME
from trainloop.learner.progress import Progress, progress, remaining
from trainloop.sandbox.box import Box
from trainloop.syllabus import hours, hours_in_words

RIGHT = "def relu(x: torch.Tensor) -> torch.Tensor:\n    return x.clamp(min=0)"
WRONG = "def relu(x):\n    return x.abs()"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course in which the tiny lesson is built."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "notebooks").mkdir()
    (folder / CONFIG_NAME).write_text("")
    with Box() as box:
        write(build(lesson(folder / "notebooks"), box), folder)
    return folder


def released(root: Path) -> NotebookNode:
    return nbformat.read(root / "release" / SLUG / f"{SLUG}.ipynb", as_version=4)


def save(work: Path, notebook: NotebookNode) -> None:
    (work / SLUG).mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, work / SLUG / f"{SLUG}.ipynb")


def worked(root: Path, answer: str) -> NotebookNode:
    """The released notebook with an answer, as it is after all its cells ran."""
    notebook = nbformat.reads(filled(released(root), {"relu": answer}).decode(), as_version=4)
    resources = {"metadata": {"path": str(root / "release" / SLUG)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True, resources=resources).execute()
    return notebook


def only(root: Path, work: Path) -> Progress:
    (one,) = progress(root / "release", work)
    return one


def test_without_a_working_copy_no_lesson_was_opened(root: Path, tmp_path: Path) -> None:
    one = only(root, tmp_path / "work")
    assert (one.slug, one.title, one.time) == (SLUG, "9.9 A Tiny Lesson", "half an hour")
    assert (one.state, one.passed, one.checks) == ("not opened", 0, 2)


def test_a_lesson_as_it_was_handed_out_is_not_started(root: Path, tmp_path: Path) -> None:
    save(tmp_path, released(root))
    assert only(root, tmp_path).state == "not started"


def test_an_answer_without_a_check_is_a_start(root: Path, tmp_path: Path) -> None:
    save(tmp_path, nbformat.reads(filled(released(root), {"relu": RIGHT}).decode(), as_version=4))
    assert (only(root, tmp_path).state, only(root, tmp_path).passed) == ("started", 0)


def test_a_wrong_answer_keeps_what_passed(root: Path, tmp_path: Path) -> None:
    save(tmp_path, worked(root, WRONG))
    one = only(root, tmp_path)
    assert (one.state, one.passed, one.checks) == ("started", 1, 2)


def test_all_checks_passed_is_done(root: Path, tmp_path: Path) -> None:
    save(tmp_path, worked(root, RIGHT))
    one = only(root, tmp_path)
    assert (one.state, one.passed, one.checks) == ("done", 2, 2)


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"cells": 5, "nbformat": 4, "nbformat_minor": 5})])
def test_a_damaged_notebook_is_said_to_be_one(root: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / SLUG).mkdir()
    (tmp_path / SLUG / f"{SLUG}.ipynb").write_text(content)
    assert only(root, tmp_path).state == "cannot be read"


def test_the_command_shows_a_row_a_lesson_and_changes_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, worked(root, RIGHT))
    before = (tmp_path / SLUG / f"{SLUG}.ipynb").read_bytes()
    monkeypatch.chdir(root)
    result = CliRunner().invoke(app, ["progress", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "9.9 A Tiny Lesson" in words and "2 of 2" in words and "done" in words
    assert "1 of 1 lessons done" in words
    assert (tmp_path / SLUG / f"{SLUG}.ipynb").read_bytes() == before


def test_two_exercises_in_one_output_are_told_apart() -> None:
    text = "  FAIL  a\n        why\n  ok    b\n1 of 2 checks of `one` passed.\nAll 3 checks of `two` passed.\n"
    assert read_back(text) == {"one": Told(1, False), "two": Told(3, True)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("All checks of `one` passed.", Told(UNCOUNTED, True)),  # as it was written before checks were counted
        ("2 of 2 checks of `one` passed; 1 rule not seen to be kept: at most half of the points.", Told(2, False)),
        ("0 of 2 checks of `one` passed: `one` is not defined. Run its cell.", Told(0, False)),
        ("1 of 2 checks of `one` passed.\nStuck? hint()", Told(1, False)),
    ],
)
def test_what_is_read_back(text: str, told: Told) -> None:
    assert read_back(text) == {"one": told}


def test_other_output_says_nothing() -> None:
    assert read_back("loss 0.5\n  ok    a\n") == {}


def test_a_time_in_words_is_read_back_to_the_half_hour() -> None:
    for halves in range(1, 200):
        assert hours(hours_in_words(halves / 2)) == halves / 2
    assert (hours_in_words(0.5), hours_in_words(1), hours_in_words(2.5)) == ("half an hour", "1 hour", "2.5 hours")
    assert hours("") == hours("an age") == 0


def test_what_remains_is_the_time_of_lessons_not_done_and_of_those_begun_the_share_that_is_open() -> None:
    done = Progress("1.1-a", "1.1 A", "2 hours", "done", 4, 4)
    begun = Progress("1.2-b", "1.2 B", "3 hours", "started", 1, 3)
    fresh = Progress("1.3-c", "1.3 C", "half an hour", "not opened", 0, 5)
    assert remaining([done, begun, fresh]) == "2.5 hours"
    assert remaining([begun]) == "2 hours"
    assert remaining([done]) == remaining([]) == ""


def test_a_folder_that_is_not_there_is_told_and_no_table_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CONFIG_NAME).write_text("")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["progress", "--folder", "nowhere"])
    assert result.exit_code == 1 and "There is no folder nowhere" in " ".join(result.output.split())
    assert "lesson" not in result.output

"""An author's commands as they are typed, on a course of one tiny lesson: what they make, and when they end with 1."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.lessons import ANSWERS, SLUG, TEXT, spoiled
from trainloop.cli import app
from trainloop.course import CONFIG_NAME

WAIT = 180  # seconds for one build, on a busy machine
RELEASED = Path("release", SLUG, f"{SLUG}.ipynb")
WATCH = [sys.executable, "-c", "from trainloop.cli import app; app()", "build", "--watch", "--workers", "1"]


def ended(root: Path, *words: str) -> tuple[int, str]:
    """How a command ended, and all that it said."""
    with pytest.MonkeyPatch.context() as here:
        here.chdir(root)
        result = CliRunner().invoke(app, [*words, "--workers", "1"])
    return result.exit_code, result.output


def write(root: Path, text: str = TEXT, answers: str = ANSWERS) -> None:
    """Save what has changed of the lesson's two files, each at once, as editors do."""
    folder = root / "notebooks" / SLUG
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in ((folder / "answers.md", answers), (folder / "lesson.md", text)):
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            new = path.with_suffix(".new")
            new.write_text(content, encoding="utf-8")
            new.replace(path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course whose one lesson has been built."""
    root = tmp_path_factory.mktemp("built")
    (root / CONFIG_NAME).touch()
    write(root)
    code, told = ended(root, "build")
    assert code == 0, told
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    """The course, for one test alone."""
    return shutil.copytree(built, tmp_path / "course")


def products(root: Path) -> dict[Path, bytes]:
    folders = [root / name for name in ("source", "release", "solutions")]
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_a_check_ends_with_1_where_something_is_out_of_date_and_mends_nothing(root: Path) -> None:
    code, told = ended(root, "build", "--check")
    assert code == 0, told
    path = root / RELEASED
    path.write_text(path.read_text(encoding="utf-8").replace("It is done.", "Nearly."), encoding="utf-8")
    write(root, answers=ANSWERS.replace("wrong half", "other half"))
    before = products(root)
    code, told = ended(root, "build", "--check")
    assert code == 1, told
    assert set(re.findall(r"out of date: (.*)", told)) == {
        f"release/{SLUG}/{SLUG}.ipynb",
        f"release/{SLUG}/checks.json",
        f"source/{SLUG}/checks.json",
        f"solutions/{SLUG}/{SLUG}.ipynb",
        f"solutions/keys/{SLUG}.json",
    }
    assert products(root) == before


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param("torch.arange(3.0)\n", "torch.arange(1 / 0)\n", "ZeroDivisionError", id="a demonstration"),
        pytest.param(
            "x > 0, x, torch", "x < 0, x, torch", 'check("relu"', id="the reference, under a tag for learners"
        ),
    ],
)
def test_a_run_in_which_a_cell_fails_ends_with_1(root: Path, old: str, new: str, fault: str) -> None:
    write(root, spoiled(old, new))
    code, told = ended(root, "run")
    assert (code, "a cell fails" in told, fault in told) == (1, True, True), told


@contextmanager
def watching(root: Path) -> Iterator[Callable[[str], str]]:
    """`trainloop build --watch`; within, waits until it has said something, and gives all that it said up to there."""
    path = root / "said.txt"
    with path.open("w") as out, subprocess.Popen(WATCH, cwd=root, stdout=out, stderr=out) as run:
        seen = 0

        def until(sentence: str) -> str:
            nonlocal seen
            end = time.monotonic() + WAIT
            while sentence not in (said := path.read_text(encoding="utf-8")[seen:]):
                assert run.poll() is None and time.monotonic() < end, said
                time.sleep(0.1)
            seen += said.index(sentence) + len(sentence)
            return said

        try:
            yield until
        finally:
            run.send_signal(signal.SIGINT)
            try:
                code = run.wait(WAIT)
            finally:
                run.kill()
        assert code == 0, path.read_text(encoding="utf-8")


def test_a_watched_lesson_is_built_at_each_save_and_a_bad_save_is_refused(root: Path) -> None:
    with watching(root) as until:
        assert "1 lesson up to date." in until("Watching.")
        write(root, spoiled("It is done.", "It is built again."))
        assert f"written: {RELEASED}" in until("Watching.")
        assert "It is built again." in (root / RELEASED).read_text(encoding="utf-8")
        before = products(root)
        write(root, spoiled("## ELI5", "## For children"))
        assert "lesson.md:" in until("Watching.")
        assert products(root) == before
        write(root)
        assert f"written: {RELEASED}" in until("Watching.")
        assert "It is done." in (root / RELEASED).read_text(encoding="utf-8")

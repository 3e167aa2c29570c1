"""The command, as one types it, on a machine without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import SCRIPTS
from tests.site.conftest import LESSONS
from trainloop.course import Course
from trainloop.sandbox import isolation
from trainloop.site import book
from trainloop.site.build import CACHE, FOLDER

SECONDS = 600  # for a command, on a busy machine


def offline(folder: Path, *words: str) -> str:
    """Run a command in `folder` with no network but its own, and hand back what it printed."""
    found = isolation.probe()
    if found.level != "full":
        pytest.skip(f"No network can be taken away here. {found.obstacle}")
    inside = [found.bwrap, "--dev-bind", "/", "/", "--unshare-net", "--chdir", str(folder), "--", *words]
    done = subprocess.run(inside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_network_is_taken_away(tmp_path: Path) -> None:
    told = offline(tmp_path, sys.executable, "-c", "import socket; print([name for _, name in socket.if_nameindex()])")
    assert told == "['lo']\n"


def test_a_lesson_is_run_and_printed_without_a_network(copied: Course) -> None:
    try:
        book.browser()
    except book.SiteError as error:
        pytest.skip(str(error))
    (copied.root / CACHE / "shown" / f"{LESSONS[0]}.json").unlink()
    told = offline(copied.root, str(SCRIPTS / "trainloop"), "site", "1.1", "--pdf")
    out = copied.root / FOLDER
    assert str(out / "index.html") in told and "INFO" not in told
    assert (copied.root / CACHE / "shown" / f"{LESSONS[0]}.json").is_file()
    assert (out / "mistakes" / f"{LESSONS[0]}.html").is_file()
    assert (out / book.FILE).read_bytes().startswith(b"%PDF")
    assert f'href="{book.FILE}"' in (out / "index.html").read_text(encoding="utf-8")


def test_an_edition_without_solutions_is_built_where_one_says(copied: Course) -> None:
    offline(copied.root, str(SCRIPTS / "trainloop"), "site", "1.1", "--no-solutions", "--output", "closed")
    out = copied.root / "closed"
    assert sorted(path.stem for path in (out / "lessons").iterdir()) == [LESSONS[0]]
    lesson = (out / "lessons" / f"{LESSONS[0]}.html").read_text(encoding="utf-8")
    assert "I am stuck" in lesson and "A worked answer" not in lesson
    assert not (out / "mistakes").exists() and not (out / book.FILE).exists()
    assert not (copied.root / FOLDER).exists()

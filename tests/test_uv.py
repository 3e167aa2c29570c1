"""`tools/uv`: it sets up once, and a command that is run afterwards neither resolves nor compiles anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Says its version, makes an environment, and keeps what else it was asked for.
UV = """#!/bin/sh
case "$1" in
    --version) echo "uv 0.9.0" ;;
    sync) echo "$1 ${UV_NO_SYNC:-}" >> log; [ ! -e broken ] || exit 2; mkdir -p .venv ;;
    *) echo "$* no sync: ${UV_NO_SYNC:-}" >> log ;;
esac
"""
RUN, STARTS = ("run", "trainloop", "progress"), "run trainloop progress no sync: 1"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone's set-up, and a uv that does nothing but say what it was asked for."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("tools/uv", "Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    uv = tmp_path / "bin" / "uv"
    uv.write_text(UV)
    uv.chmod(0o755)
    return tmp_path


def typed(clone: Path, *command: str, **settings: str) -> tuple[int, list[str]]:
    """Type a command in the clone: its exit code, and what uv was asked for."""
    log = clone / "log"
    log.write_text("")
    path = os.pathsep.join([str(clone / "bin"), os.environ["PATH"]])
    env = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_", "MAKE"))}
    done = subprocess.run(command, cwd=clone, env={**env, **settings, "PATH": path}, capture_output=True, text=True)
    return done.returncode, log.read_text().split("\n")[:-1]


def uv(clone: Path, *words: str) -> list[str]:
    code, asked = typed(clone, "tools/uv", *words)
    assert code == 0
    return asked


def test_a_fresh_clone_is_set_up_once(clone: Path) -> None:
    assert uv(clone, *RUN) == ["sync ", STARTS]
    assert uv(clone, *RUN) == [STARTS]


def test_make_and_the_command_share_one_set_up(clone: Path) -> None:
    assert typed(clone, "make", "lab") == (0, ["sync ", "run trainloop lab no sync: 1"])
    assert uv(clone, *RUN) == [STARTS]
    assert typed(clone, "make", "lab") == (0, ["run trainloop lab no sync: 1"])


def test_a_newer_course_is_set_up_again(clone: Path) -> None:
    uv(clone, *RUN)
    mark = (clone / ".venv" / ".ready").stat().st_mtime
    os.utime(clone / "pyproject.toml", (mark + 5, mark + 5))
    assert uv(clone, *RUN) == ["sync ", STARTS]


def test_a_set_up_that_failed_is_no_set_up(clone: Path) -> None:
    (clone / "broken").touch()
    assert typed(clone, "tools/uv", *RUN) == (2, ["sync "])
    (clone / "broken").unlink()
    assert uv(clone, *RUN) == ["sync ", STARTS]


@pytest.mark.parametrize("command", [("make", "lab"), ("tools/uv", *RUN)])
def test_the_page_or_folder_of_a_smaller_pytorch_is_handed_on(clone: Path, command: tuple[str, ...]) -> None:
    """As docs/setup.md says: of uv's own variable, and of pip's, which parts its places with spaces."""
    (clone / "bin" / "uv").write_text(UV.replace("sync) ", 'sync) echo "${UV_FIND_LINKS:-}" >> log; '))
    cases: tuple[tuple[dict[str, str], str], ...] = (
        ({}, ""),
        ({"UV_FIND_LINKS": "https://example.org/torch/"}, "https://example.org/torch/"),
        ({"PIP_FIND_LINKS": "/wheels https://example.org/"}, "/wheels,https://example.org/"),
        ({"UV_FIND_LINKS": "/mine", "PIP_FIND_LINKS": "/wheels"}, "/mine"),
    )
    for settings, found in cases:
        shutil.rmtree(clone / ".venv", ignore_errors=True)
        assert typed(clone, *command, **settings)[1][0] == found


@pytest.mark.parametrize("words", [("build", "--wheel"), ("sync", "--extra", "site")])
def test_whatever_else_uv_does_is_left_to_it(clone: Path, words: tuple[str, ...]) -> None:
    assert len(uv(clone, *words)) == 1
    assert not (clone / ".venv" / ".ready").exists()

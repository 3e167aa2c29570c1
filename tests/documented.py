"""The commands that the README and the guides tell people to type, read off the pages themselves."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.conftest import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    "trainloop/templates/edition/README.md",
)
_BLOCK = re.compile(r"^ *```(\S*)[^\n]*\n(.*?)^ *```", re.M | re.S)
_SHELL = ("", "sh", "bash", "console")
_INLINE = re.compile(r"`([^`]+)`")
_RUN = re.compile(r"^(?:(?:tools/)?uv run )?(?=trainloop |nbgrader )")


def typed(page: str) -> list[list[str]]:
    """Every command of ours on a page, in its order, as words: from its blocks of code and within its sentences.

    What stands before the command, such as `tools/uv run` or a variable of the environment, is left out.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    inline = [" ".join(one.split()) for one in _INLINE.findall(_BLOCK.sub("", text))]
    return [words for line in [*shell(page), *inline] for words in commands(line)]


def shell(page: str) -> list[str]:
    """The lines of a page's blocks of code that are typed into a terminal."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [line for language, code in _BLOCK.findall(text) if language in _SHELL for line in code.splitlines()]


def block(page: str, after: str) -> list[list[str]]:
    """The commands of the first block of code behind a heading."""
    text = (ROOT / page).read_text(encoding="utf-8").split(f"\n## {after}\n")[1]
    found = _BLOCK.search(text)
    assert found is not None
    return [words for line in found[2].splitlines() for words in commands(line)]


def commands(line: str) -> Iterator[list[str]]:
    """The commands of ours in one line: what begins with `trainloop`, `nbgrader` or `make`."""
    for part in line.split("&&"):
        bare = _RUN.sub("", re.sub(r"^(?:[A-Z_]+=\S+ )+", "", part.strip()))
        if re.match(r"(?:trainloop|nbgrader|make) ", bare) and "..." not in bare:
            yield shlex.split(bare, comments=True)


def made(words: Sequence[str], makefile: Path = ROOT / "Makefile") -> list[list[str]]:
    """The commands of ours that a `make ...` runs; nothing is run here."""
    dry = subprocess.run(
        ["make", "-n", "-f", str(makefile), *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert dry.returncode == 0, f"{' '.join(words)}: {dry.stderr}"
    return [found for line in dry.stdout.splitlines() for found in commands(line)]

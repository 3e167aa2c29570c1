"""Every command of ours that a page tells people to type is understood: no option and no target of it has gone."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import typer
from typer.main import get_command

from tests.conftest import ROOT
from tests.documented import PAGES, block, commands, made, typed
from trainloop.cli import app

EDITION = ROOT / "trainloop" / "templates" / "edition" / "Makefile"
FOR_STUDENTS = ("docs/students.md", "trainloop/templates/edition/README.md")  # are in an edition, with its own Makefile


def parse(words: list[str]) -> None:
    """Have the command line parsed, and nothing run. A command's name alone is only looked up.

    Raises:
        click.UsageError: it is not understood.
    """
    group: Any = get_command(app)
    _, command, rest = group.resolve_command(group.context_class(group), words[1:])
    if rest:
        with suppress(typer.Exit):  # which `--help` is answered with
            command.make_context(words[1], rest)


@pytest.mark.parametrize("page", PAGES)
def test_a_documented_command_is_understood(page: str) -> None:
    misunderstood = {}
    for words in typed(page):
        makefiles = (
            [EDITION] if "edition" in page else [ROOT / "Makefile", *([EDITION] if page in FOR_STUDENTS else [])]
        )
        ours = [words] if words[0] != "make" else [one for each in makefiles for one in made(words, each)]
        for command in ours:
            if command[0] != "trainloop":
                continue
            try:
                parse(command)
            except Exception as error:
                misunderstood[" ".join(words)] = repr(error)
    assert misunderstood == {}


def test_commands_are_found_wherever_they_stand() -> None:
    found = [words for page in PAGES for words in typed(page)]
    assert {words[0] for words in found} == {"trainloop", "nbgrader", "make"}
    assert ["trainloop", "check", "2.1"] in found and ["make", "lab", "ARGS=2.1"] in found
    assert list(commands("git clone <this repository> course && tools/uv run trainloop lab 2.1  # opens it")) == [
        ["trainloop", "lab", "2.1"]
    ]
    assert list(commands("UV_FIND_LINKS=https://example.org/ make lab")) == [["make", "lab"]]
    assert made(["make", "lab", "ARGS=2.1"])[-1] == ["trainloop", "lab", "2.1"]


@pytest.mark.parametrize("line", ["trainloop marks", "trainloop grade 2.1 --quickly", "trainloop lab 2.1 2.2"])
def test_what_there_is_not_is_not_understood(line: str) -> None:
    with pytest.raises(Exception, match=r"No such|unexpected"):
        parse(line.split())


def test_the_readmes_doors_have_commands() -> None:
    assert ["make", "lab"] in block("README.md", "Learn")
    teach = [words[1] for words in block("README.md", "Teach")]
    assert teach == ["edition", "generate_assignment", "collect", "grade", "generate_feedback", "export"]

"""A box with small limits, for attacks that run into one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nbformat import NotebookNode

from tests.attacks.attack import Referee
from trainloop.grading.grade import Graded
from trainloop.sandbox.box import Box
from trainloop.sandbox.job import Limits

SMALL = Limits(
    cell_seconds=2.5,
    total_seconds=30.0,
    memory_bytes=3 * 2**29,
    processes=64,
    disk_bytes=32 * 2**20,
    file_bytes=16 * 2**20,
)


@contextmanager
def in_small_box(referee: Referee) -> Iterator[Referee]:
    """The referee, with a small box of the level that its own has."""
    with Box(SMALL, level=referee.box.level) as box:
        yield Referee(referee.arena, box, referee.temporary)


def said(graded: Graded, mark: str) -> str:
    """All that is shown of the first cell whose source contains `mark`."""
    found: NotebookNode = next(cell for cell in graded.notebook.cells if mark in cell.source)
    return "".join(str(part) for output in found.outputs for part in _texts(output))


def _texts(output: NotebookNode) -> list[str]:
    data = output.get("data", {})
    kinds = [f"[{kind}]" for kind in data if kind != "text/plain"]
    return [output.get("text", ""), data.get("text/plain", ""), *kinds, output.get("evalue", "")]

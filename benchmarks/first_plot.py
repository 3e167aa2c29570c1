"""How long a learner waits for the first figure: `python -m benchmarks.first_plot`.

It starts `trainloop lab` on a working copy of its own, opens the start page in a headless Chromium, clicks lesson 1.1,
and runs its cells with Shift+Enter up to the first figure, each as soon as the one before has ended. The clock starts
with the click and stops when the picture is there. The first run is that of the first day: matplotlib has not looked
for fonts yet. Before it, everything was read from the disk once, as set-up does it.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pytest
import typer
from rich.table import Table

from benchmarks import CORES, console
from tests.browser import open_browser
from tests.walks.jupyterlab import Desk, Notebook, new_page
from trainloop.learner.lab import START

BOUND_SECONDS = 5.0
LESSON, TITLE, FIGURE = "1.1-what-is-a-training-loop", re.compile("^1[.]1 "), "Ten measured points"
SEEN = "alt => [...document.images].some(one => one.alt.startsWith(alt) && one.complete && one.naturalWidth > 0)"


class Stopwatch:
    """Times laps."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End a lap."""
        now = time.monotonic()
        self.laps[name] = now - self._last
        self._last = now


def main(runs: Annotated[int, typer.Option(min=1, help="How often.")] = 3) -> None:
    """Measure the time from opening lesson 1.1 to its first figure."""
    load = os.getloadavg()[0]
    try:
        laps = measure(runs)
    except pytest.skip.Exception as reason:
        console.print(str(reason), style="red")
        raise typer.Exit(1) from None
    console.print(_table(laps, load))
    if max(sum(one.values()) for one in laps) > BOUND_SECONDS:
        raise typer.Exit(1)


def measure(runs: int) -> list[dict[str, float]]:
    """The laps of each run, in seconds, by name."""
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        desk = Desk.set_up(Path(folder), LESSON)
        cells = _cells(desk)
        found = []
        with desk.lab() as lab:
            for _ in range(runs):
                with new_page(browser) as page:
                    page.goto(lab.address(START))
                    lesson = page.locator(".jp-MarkdownViewer").get_by_role("link", name=TITLE).first
                    lesson.wait_for()
                    watch = Stopwatch()
                    lesson.click()
                    _first_figure(Notebook(page), cells, watch)
                    found.append(watch.laps)
                lab.end_kernels()
        return found


def _cells(desk: Desk) -> Sequence[str]:
    """The code cells up to the first figure."""
    cells = [cell for cell in desk.course.read("release", LESSON).cells if cell.cell_type == "code"]
    last = next(place for place, cell in enumerate(cells) if FIGURE in cell.source)
    return [cell.id for cell in cells[: last + 1]]


def _first_figure(notebook: Notebook, cells: Sequence[str], watch: Stopwatch) -> None:
    notebook.panel.locator(".jp-Notebook .jp-Cell").first.wait_for()
    watch.lap("the notebook")
    notebook.wait_until_idle()
    watch.lap("the kernel")
    for name in cells:
        notebook.run(name)
        watch.lap(name)
    notebook.page.wait_for_function(SEEN, arg=FIGURE)
    watch.lap("the picture")


def _table(laps: Sequence[dict[str, float]], load: float) -> Table:
    table = Table(
        title=f"Seconds to the first figure of lesson 1.1, {CORES} cores, load before {load:.2f}",
        caption=f"bound: {BOUND_SECONDS:.0f} s in each run; the first is that of the first day",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("until")
    for number in range(1, len(laps) + 1):
        table.add_column(f"run {number}", justify="right")
    for name in laps[0]:
        table.add_row(name, *(f"{one[name]:.2f}" for one in laps))
    table.add_section()
    table.add_row("in all", *(f"{sum(one.values()):.2f}" for one in laps))
    return table


if __name__ == "__main__":
    typer.run(main)

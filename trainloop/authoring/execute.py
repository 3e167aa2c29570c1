"""Run instructor notebooks end to end in a real kernel, as CI does, and hold them to their time bounds.

The notebook is made from the lesson's text with its proof cells, so that every number in the prose is held to what
the cells compute. Checks use the full key. Figures must carry a description.

Bounds are meant for a machine that does nothing else. In CI another test runs beside the lesson, and a neighbour on the
same host. So what the kernel waited for a core is taken off; and since a shared core is slower, too, a fixed piece of
work is timed after every cell, and the lesson's seconds are divided by how much longer than usual it took.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any

import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from trainloop.authoring.lesson import Lesson
from trainloop.authoring.notebooks import GOES_ON, source_notebook
from trainloop.checks.key import KEY_VARIABLE
from trainloop.sandbox.isolation import delayed_seconds

LESSON_SECONDS, CELL_SECONDS = 30.0, 10.0
# What these show takes longer, such as processes that start or networks of fifty layers: twice the time.
LONGER = ("3.4-", "3.5-", "3.8-", "3.9-")
TIMEOUT = 120  # seconds a cell; beyond it something hangs
PROBE_SECONDS = 0.0085  # what `probe` takes on two quiet cores of the kind that the bounds were set on


@dataclass(frozen=True)
class Executed:
    """What one run showed: times as on a quiet machine, and everything that is wrong."""

    notebook: NotebookNode
    slowdown: float  # how much slower the cores were than quiet ones, at least 1
    waited: float  # seconds that the kernel waited for a core
    seconds: float
    slowest: list[tuple[float, str]]  # cell by cell, slowest first: seconds, cell id
    faults: list[str]


def allowed_seconds(slug: str) -> tuple[float, float]:
    """How long the cells of a lesson may take: all of them, and one."""
    times = 2.0 if slug.startswith(LONGER) else 1.0
    return times * LESSON_SECONDS, times * CELL_SECONDS


def probe() -> float:
    """Seconds of a core that a fixed piece of work takes now: small products of matrices, called from Python."""
    start, matrix = thread_time(), np.ones((16, 16))
    for _ in range(6000):
        float((matrix @ matrix)[0, 0])
    return thread_time() - start


def execute(lesson: Lesson, key: Path) -> Executed:
    """Run one lesson. Faults: a cell that fails, a time bound that is passed, a figure without description."""
    notebook = source_notebook(lesson, proofs=True)
    stop_at_errors(notebook)
    client = NotebookClient(notebook, timeout=TIMEOUT, record_timing=True, kernel_name="python3")
    probes, waits = [probe()], {}

    def before_cell(cell: NotebookNode, **_: Any) -> None:
        waits[cell.id] = -_waited(client)

    def after_cell(cell: NotebookNode, **_: Any) -> None:
        waits[cell.id] += _waited(client)
        probes.append(probe())

    client.on_cell_execute, client.on_cell_executed = before_cell, after_cell
    faults = []
    environment = {**os.environ, KEY_VARIABLE: str(key.resolve()), "OMP_NUM_THREADS": "1"}
    try:
        client.execute(env=environment, stderr=subprocess.DEVNULL)  # where kernels warn of what they do here
    except CellExecutionError as error:
        faults.append(f"a cell fails: {error}")
    except (CellTimeoutError, DeadKernelError) as error:
        faults.append(f"a cell does not end well: {error}")
    # Proofs check the prose; they are no part of what a learner runs.
    timed = [cell for cell in notebook.cells if not cell.id.startswith("proof-")]
    slowdown = max(1.0, median(probes) / PROBE_SECONDS)
    waited = {cell.id: max(0.0, waits.get(cell.id, 0.0)) for cell in timed}
    times = sorted(((max(0.0, _seconds(cell) - waited[cell.id]) / slowdown, cell.id) for cell in timed), reverse=True)
    total = sum(seconds for seconds, _ in times)
    for_all, for_one = allowed_seconds(lesson.slug)
    if total > for_all:
        faults.append(f"the cells take {total:.1f} s; a lesson has {for_all:.0f} s")
    faults += [f"cell {name} takes {s:.1f} s; a cell has {for_one:.0f} s" for s, name in times if s > for_one]
    faults += [f"cell {name} shows a figure without a description" for name in _undescribed(notebook)]
    return Executed(notebook, slowdown, sum(waited.values()), total, times, faults)


def stop_at_errors(notebook: NotebookNode) -> None:
    """Take off the tag by which a run goes on behind an error: it is for learners, and would hide every fault here."""
    for cell in notebook.cells:
        if "tags" in cell.metadata:
            cell.metadata.tags = [tag for tag in cell.metadata.tags if tag != GOES_ON]


def _waited(client: NotebookClient) -> float:
    """Seconds that the kernel has waited for a core so far."""
    provisioner = getattr(client.km, "provisioner", None)
    return delayed_seconds(pid) if (pid := getattr(provisioner, "pid", None)) else 0.0


def _seconds(cell: NotebookNode) -> float:
    times = cell.metadata.get("execution", {})
    start, end = times.get("iopub.execute_input"), times.get("shell.execute_reply")
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() if start and end else 0.0


def _undescribed(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}) and not output.metadata.get("image/png", {}).get("alt"):
                yield cell.id

"""What a lesson's demonstrations show, run once and kept until their code changes.

The words around them may change as often as they like: what is kept belongs to the code cells alone, and to the code of
the package that draws.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbclient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from trainloop.authoring.lesson import Cell, Lesson, without_markers
from trainloop.site.errors import SiteError
from trainloop.site.frames import as_webp

RUN = ("demo", "drawing", "exercise")  # the kinds of cells that a page's figures need
# The first cell, which no page shows.
RECORD = "from trainloop.site.frames import record\n\nrecord()"
PICTURE = "image/webp"
TIMEOUT = 300  # seconds a cell, on a busy machine; beyond it something hangs
DRAWS = ("plots.py", "learner/motion.py", "site/frames.py", "watch.py")  # code of the package that shows in outputs
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class LessonOutputs:
    """What the cells of a lesson showed: by the place of the cell among the lesson's, its outputs in Jupyter's form.

    Still pictures are of the type `PICTURE`, with their description and size in the metadata.
    """

    outputs: dict[int, list[dict[str, Any]]]


def run_cells(lesson: Lesson) -> Iterator[tuple[int, Cell]]:
    """The cells that are run, each with its place among all."""
    return ((place, cell) for place, cell in enumerate(lesson.cells) if cell.kind in RUN)


def digest(lesson: Lesson) -> str:
    """What the outputs depend on, in short."""
    sha = hashlib.sha256(RECORD.encode())
    for name in DRAWS:
        sha.update((PACKAGE / name).read_bytes())
    for name in ("torch", "matplotlib", "numpy", "scikit-learn"):
        sha.update(f"{name} {version(name)}\n".encode())
    for _, cell in run_cells(lesson):
        sha.update(b"\0" + cell.source.encode())
    return sha.hexdigest()[:20]


def lesson_outputs(lesson: Lesson, folder: Path) -> LessonOutputs:
    """What the lesson's cells show: as kept in `folder`, or run now and kept.

    Raises:
        SiteError: a cell fails or hangs.
    """
    kept = folder / f"{lesson.slug}.json"
    outputs: list[list[dict[str, Any]]]
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
        outputs = found["outputs"] if found["digest"] == digest(lesson) else []
    except (OSError, ValueError, KeyError, TypeError):
        outputs = []
    if not outputs:
        outputs = _run(lesson)
        folder.mkdir(parents=True, exist_ok=True)
        half = kept.with_suffix(".half")  # what is interrupted leaves no half file under the name
        half.write_text(json.dumps({"digest": digest(lesson), "outputs": outputs}), encoding="utf-8")
        half.replace(kept)
    return LessonOutputs({place: one for (place, _), one in zip(run_cells(lesson), outputs, strict=True)})


def _run(lesson: Lesson) -> list[list[dict[str, Any]]]:
    sources = [without_markers(cell.source) for _, cell in run_cells(lesson)]
    cells = [new_code_cell(source) for source in (RECORD, *sources)]
    notebook = new_notebook(cells=cells)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as place:
        client = nbclient.NotebookClient(
            notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": place}}
        )
        try:
            client.execute(env=environment, stderr=subprocess.DEVNULL)  # where kernels warn of what they do here
        except CellExecutionError as error:
            raise SiteError(
                f"{lesson.slug}: a cell does not run ({error.ename}: {error.evalue}). Try: trainloop run {lesson.slug}"
            ) from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise SiteError(f"{lesson.slug}: a cell does not end well: {error}") from None
    return [[_small(output) for output in cell.outputs] for cell in notebook.cells[1:]]


def _small(output: NotebookNode) -> dict[str, Any]:
    """An output with its still picture as WebP, and that picture's size among its metadata."""
    plain: dict[str, Any] = json.loads(json.dumps(output))
    data = plain.get("data", {})
    if "image/png" in data:
        picture, size = as_webp(base64.b64decode(data["image/png"]), lossless=True)
        alt = plain["metadata"]["image/png"]["alt"]
        plain["data"] = {PICTURE: base64.b64encode(picture).decode("ascii")}
        plain["metadata"] = {PICTURE: {"alt": alt, "size": size}}
    return plain

"""What nbgrader's converters leave behind when they are killed, and how the next run knows.

nbgrader makes a student's folder, writes into it bit by bit, and a later run skips whoever has a folder. So a run that
was killed would leave a student without a mark, or with half a page, for ever. Here a folder is marked while it is
made; whatever bears the mark, or lacks its file, is made anew by the next run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nbconvert.writers.files import FilesWriter
from nbgrader.converters.base import BaseConverter

from trainloop.grading.gradebook import UNFINISHED, clear_drafts

IS_FINAL = "trainloop_is_final"  # among a converter's resources: whether what it writes is about a final verdict

Undo: TypeAlias = Callable[[Mapping[str, str]], None]


class _Writer(FilesWriter):
    """nbconvert's writer, which takes the mark away from a folder in which everything is written."""

    undo: Undo

    def write(self, output: str, resources: Any, notebook_name: str | None = None, **kw: Any) -> str:
        """Called by nbgrader for each file."""
        try:
            path: str = super().write(output, resources, notebook_name=notebook_name, **kw)  # type: ignore[no-untyped-call]
        except Exception:
            self.undo(resources["nbgrader"])
            raise
        is_draft = getattr(self.parent, "_sanitizing", False)  # nbgrader writes an autograded notebook twice
        if not is_draft and resources.get(IS_FINAL, True):
            finish(Path(self.build_directory))
        return path


def _nothing(names: Mapping[str, str]) -> None:
    """There is nothing to be undone."""


def mark_unfinished(converter: BaseConverter, ending: str, undo: Undo = _nothing) -> None:
    """Remove the folders that a killed run left, and have the converter take the mark away where it has done its work.

    Args:
        converter: nbgrader's, which has listed what there is to convert.
        ending: of the file that it writes for each.
        undo: what to do about a student whose file cannot be written, by nbgrader's names; nbgrader removes the folder.
    """
    converter.writer = _Writer(parent=converter, config=converter.config)  # type: ignore[no-untyped-call]
    converter.writer.undo = undo
    for source in map(Path, converter.assignments):
        folder = Path(converter._format_dest(source.name, source.parent.name))
        clear_drafts(folder)
        if folder.is_dir() and ((folder / UNFINISHED).exists() or not (folder / f"{source.name}{ending}").is_file()):
            converter.log.warning("%s was left unfinished and is made anew", folder)
            shutil.rmtree(folder)


def begin(folder: Path) -> None:
    """Mark a folder as unfinished."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / UNFINISHED).touch()


def finish(folder: Path) -> None:
    """Take the mark away."""
    (folder / UNFINISHED).unlink(missing_ok=True)

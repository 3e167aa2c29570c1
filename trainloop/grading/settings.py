"""What an instructor can set about grading, in `nbgrader_config.py`: `c.Grading.cell_seconds = 30`, and so on."""

from __future__ import annotations

import os
from dataclasses import fields

from traitlets import Enum, Float, Int
from traitlets.config import Configurable

from trainloop.sandbox.isolation import LEVELS, Level
from trainloop.sandbox.job import DEFAULT_LIMITS, Limits


class Grading(Configurable):
    """How submissions are run. Sizes are in bytes, times in seconds of computing, or three of waiting."""

    isolation: Level = Enum(  # type: ignore[assignment]
        LEVELS,
        default_value="full",
        help='How far student code must be shut off: "full" (bubblewrap), or "limits" for code that you trust. '
        "Where this level does not work, grading refuses to begin.",
    ).tag(config=True)
    workers = Int(os.cpu_count() or 1, min=1, help="Submissions graded at the same time.").tag(config=True)

    cell_seconds = Float(DEFAULT_LIMITS.cell_seconds, min=0.1, help="Time of one cell, or of one check.").tag(
        config=True
    )
    total_seconds = Float(DEFAULT_LIMITS.total_seconds, min=1, help="Time of a submission.").tag(config=True)
    memory_bytes = Int(
        DEFAULT_LIMITS.memory_bytes,
        min=2**30,
        help="Memory of a submission's processes together, and address space of each; torch does not load below 1 GB.",
    ).tag(config=True)
    processes = Int(DEFAULT_LIMITS.processes, min=1, help="Processes and threads of a submission at a time.").tag(
        config=True
    )
    open_files = Int(DEFAULT_LIMITS.open_files, min=16, help="Open files of one process.").tag(config=True)
    disk_bytes = Int(
        DEFAULT_LIMITS.disk_bytes, min=2**20, help="All files of a submission together. They lie in memory."
    ).tag(config=True)
    file_bytes = Int(DEFAULT_LIMITS.file_bytes, min=2**20, help="One file.").tag(config=True)
    output_chars = Int(DEFAULT_LIMITS.output_chars, min=0, help="Text kept of one cell's output.").tag(config=True)
    figures = Int(DEFAULT_LIMITS.figures, min=0, help="Images kept of one cell's output.").tag(config=True)
    figure_bytes = Int(DEFAULT_LIMITS.figure_bytes, min=0, help="One image; a larger one is not kept.").tag(config=True)
    all_figure_bytes = Int(DEFAULT_LIMITS.all_figure_bytes, min=0, help="All images kept of a submission.").tag(
        config=True
    )
    message_bytes = Int(DEFAULT_LIMITS.message_bytes, min=2**16, help="What one check may report.").tag(config=True)
    report_bytes = Int(DEFAULT_LIMITS.report_bytes, min=2**16, help="All reports of a submission.").tag(config=True)

    def limits(self) -> Limits:
        """What one submission may use."""
        return Limits(**{field.name: getattr(self, field.name) for field in fields(Limits)})

"""`python -m benchmarks.plan FILE`: what a class of another size needs, computed from a scale run's figures.

The grading itself divides among workers. Taking submissions in and writing the gradebook do not: one command does both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

WORKERS = (2, 8, 32, 128)


def grading_hours(figures: Mapping[str, Any], submissions: int, workers: int) -> float:
    """Hours until the last verdict: the workers share the work, and wait for the command where it is slower."""
    each = max(figures["worker_seconds_each"] / workers, figures["driver_seconds_each"])
    return float(submissions * each / 3600)


def recording_hours(figures: Mapping[str, Any], submissions: int) -> float:
    """Hours to write the gradebook and the graded notebooks."""
    return float(submissions * figures["record_seconds_each"] / 3600)


def most_workers(figures: Mapping[str, Any]) -> int:
    """How many workers one command can keep busy."""
    return int(figures["worker_seconds_each"] / figures["driver_seconds_each"])


def gigabytes(figures: Mapping[str, Any], submissions: int) -> dict[str, float]:
    """What lies on the disk afterwards, by kind."""
    return {kind: submissions * each / 1e9 for kind, each in figures["bytes_each"].items()}


def page(figures: Mapping[str, Any], submissions: int, workers: Sequence[int] = WORKERS) -> str:
    """The plan as Markdown."""
    rows = ["| workers | grading, hours | with the gradebook, hours |", "|---:|---:|---:|"]
    for count in workers:
        hours = grading_hours(figures, submissions, count)
        rows.append(f"| {count} | {hours:.1f} | {hours + recording_hours(figures, submissions):.1f} |")
    sizes = [f"| {kind} | {size:.1f} |" for kind, size in gigabytes(figures, submissions).items()]
    return "\n".join(
        [
            *rows,
            "",
            f"One command keeps at most {most_workers(figures)} workers busy. A worker needs "
            f"{figures['worker_mb'] / 1000:.1f} GB of memory, the command {figures['driver_mb'] / 1000:.1f} GB.",
            "",
            "| on the disk | GB |",
            "|---|---:|",
            *sizes,
        ]
    )


def main(
    figures: Annotated[Path, typer.Argument(help="What `python -m benchmarks.scale --output` wrote.")],
    submissions: Annotated[int, typer.Option(min=1, help="Submissions to plan for.")] = 100_000,
) -> None:
    """Plan a large class from the figures of a scale run."""
    typer.echo(page(json.loads(figures.read_text(encoding="utf-8")), submissions))


if __name__ == "__main__":
    typer.run(main)

"""A job: the cells of one submission as steps, what they may use, and what came of each."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from trainloop.checks.values import Json, Observation, Value

RunStatus: TypeAlias = Literal["ok", "error", "timeout", "out of memory", "crashed", "not run"]

STALLED = "It hardly computed, because this computer was busy."
KILLED = (
    "Its process was killed (signal 9). A computer does so when more memory is asked for than there is; code can do it "
    "to itself, too."
)


@dataclass(frozen=True)
class Step:
    """One cell to run: student-side code, or a check cell."""

    id: str
    kind: Literal["code", "check"]
    source: str
    hidden: bool = False  # a check that must not be there before all others have ended
    titles: tuple[str, ...] = ()  # of the observations that a check makes; none: all that it names
    instead_of: str = ""  # a step before; if that one came to its end, this one does nothing
    group: str = ""  # when a step comes to no end, the others of its group are not tried
    inline: bool = False  # a check that the process of the cells makes itself: only for answers of our own

    @property
    def place(self) -> str:
        """What the steps of one check cell have in common: they look at the notebook at the same place."""
        return self.group or self.id


class Runs(Protocol):
    """Whatever runs jobs: a box, or several."""

    def run(self, job: Job) -> dict[str, StepResult]: ...


class _Titled(Protocol):
    """A check, as far as its steps are concerned."""

    @property
    def title(self) -> str: ...

    @property
    def hidden(self) -> bool: ...


def check_steps(name: str, visible: str, whole: str, checks: Iterable[_Titled]) -> Iterator[Step]:
    """The steps of one check cell: the observations in plain sight, then, from the whole cell, the hidden ones.

    Building and grading take the same two steps, so that an answer that writes into data which observations share
    comes to the same in both.

    Args:
        name: the id of the first step; `hidden_step` gives that of the second.
        visible: the cell without its hidden part.
        whole: the cell with it.
        checks: all checks of the cell.
    """
    known = list(checks)
    for hidden, step, source in ((False, name, visible), (True, hidden_step(name), _without_first_call(whole))):
        if titles := tuple(check.title for check in known if check.hidden == hidden):
            yield Step(step, "check", source, hidden, titles, group=name)


def _without_first_call(source: str) -> str:
    """A whole check cell without its call in plain sight, where the hidden part has a call of its own.

    Both calls use the same titles. What is observed in the hidden step must be the hidden twin.
    """
    calls = [node for node in ast.parse(source).body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    first, *more = [node for node in calls if ast.unparse(node.value.func) == "check"]  # type: ignore[attr-defined]
    if not more or first.end_lineno is None:
        return source
    lines = source.splitlines()
    lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
    return "\n".join(lines)


def hidden_step(name: str) -> str:
    """The id of the step that makes the hidden observations of a check cell."""
    return f"{name}.hidden"  # a dot is in no id of ours


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: float = 20.0  # of one code cell, or of one observation; time as `clock` counts it
    total_seconds: float = 180.0  # of the whole submission, re-runs included
    memory_bytes: int = 3 * 2**30  # resident, of all its processes; address space of each: torch needs 1 GB to load
    processes: int = 128  # at a time, threads included
    open_files: int = 256  # of each process
    disk_bytes: int = 256 * 2**20  # of all files together; they lie in memory, on top of `memory_bytes`
    output_chars: int = 20_000  # text kept of one cell's output
    figures: int = 16  # images kept of one cell's output
    figure_bytes: int = 1_000_000  # of one PNG image; a larger one is not kept
    all_figure_bytes: int = 10_000_000  # of all that is kept of a submission's images
    file_bytes: int = 64 * 2**20  # of one file that is written
    message_bytes: int = 32 * 2**20  # of one report: one observation, or the output of one cell
    report_bytes: int = 256 * 2**20  # of all reports together


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Job:
    """The steps of one submission, in order, and the encoded arrays that `given(name)` hands to check cells."""

    steps: tuple[Step, ...]
    given: Mapping[str, Value] = field(default_factory=dict)


@dataclass
class StepResult:
    """What came of one step.

    `outputs` are nbformat 4 outputs of a code cell. `error` describes the exception that stopped the cell, as
    `values.describe_exception` does. `checks` are a check cell's observations: exercise -> title -> observation. An
    observation that was not reached, or during which the process died, is absent.
    """

    status: RunStatus = "not run"
    seconds: float = 0.0
    outputs: list[Json] = field(default_factory=list)
    error: Observation | None = None
    checks: dict[str, dict[str, Observation]] = field(default_factory=dict)
    reason: str = ""  # a sentence, where the status does not say it all

    @property
    def may_be_the_machines(self) -> bool:
        """Whether on a machine with less to do it may have come to another end."""
        return self.reason in (STALLED, KILLED)

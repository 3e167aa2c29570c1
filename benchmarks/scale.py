"""`python -m benchmarks.scale`: a class of thousands on a Dask cluster of this machine, some of it hostile.

It holds that no submission is lost, that marks are those of one worker without a cluster, that a submission costs no
more in a large class than in a small one, and that the memory of the command does not grow. The numbers go to a JSON
file, from which `python -m benchmarks.plan` computes what a still larger class needs.

A class is the sample class over and over, in a new order each time and with three hostile ones in it, each submission
with a remark of its own, so that none is the same as another. Some of the sample class train for seconds: only whole
rounds of it take as long as each other, so a large and a small class are so many whole rounds. The order comes from a
seed: the same options, the same class.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import dask
import nbformat
import psutil
import typer
from distributed import LocalCluster
from rich.console import Console
from rich.table import Table

from benchmarks import console, progress
from tests.sample_class import dump, filled, reference, students
from trainloop.authoring.lesson import read
from trainloop.classroom.demo import set_up
from trainloop.course import Course, CourseError
from trainloop.grading.batch import GradedSummary, grade_class
from trainloop.grading.cluster import FEW_MESSAGES, Cluster
from trainloop.grading.engine import Engine, EngineError, Setup, Threads
from trainloop.grading.grade import LessonBundle, Results, results
from trainloop.grading.record import marks as recorded_marks
from trainloop.grading.record import record_class
from trainloop.grading.settings import Grading
from trainloop.sandbox.job import Limits

SEED = 20_261_123
HOSTILE_A_ROUND = 3
SLOWER = 1.15  # at most, a submission of the large class against one of the small
GROWTH = 1.10  # at most, of the command's memory, from the second fifth of the run to the last
WARM_UP = 4  # submissions before the clock starts: the boxes open
SAMPLE_SECONDS = 0.25
# Small, so that the hostile ones end soon; an honest cell takes a few tenths of a second. Few processes, so that what
# forks meets this limit and not, on a busy machine, that of time.
LIMITS = Limits(cell_seconds=6.0, total_seconds=60.0, memory_bytes=2 * 2**30, processes=40)

# Each in place of the first exercise. All have an end of their own, should the box not hold.
ENDLESS = "import time\nend = time.monotonic() + 300\nwhile time.monotonic() < end:\n    pass"
MEMORY = "held = [bytearray(b'x') * (64 * 2**20) for _ in range(64)]"
FORKS = "import os, time\nfor _ in range(400):\n    if os.fork() == 0:\n        time.sleep(20)\n        os._exit(0)"
CRASH = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
FLOOD = "line = 'x' * 999\nfor _ in range(60_000):\n    print(line)"
# Six in turn, three a round, so that rounds take about as long as each other: one of the three is an endless loop.
HOSTILE = (
    ("endless", ENDLESS),
    ("crash", CRASH),
    ("memory", MEMORY),
    ("endless", ENDLESS),
    ("flood", FLOOD),
    ("forks", FORKS),
)

errors = Console(stderr=True)


class ScaleError(Exception):
    """A claim does not hold; one sentence says which."""


@dataclass(frozen=True)
class GradedRun:
    """A class that was graded."""

    marks: Mapping[str, GradedSummary]
    seconds: float
    driver_mb: tuple[float, ...]  # resident memory of this process, sampled
    workers_mb: float  # most resident memory of one worker with its box, sampled

    @property
    def each(self) -> float:
        """Seconds a submission."""
        return self.seconds / len(self.marks)


def hand_in(course: Course, slug: str, folder: Path, count: int) -> list[dict[str, Path]]:
    """At least `count` submissions in `folder`, by student, round by round of the sample class; no two alike."""
    chance = random.Random(SEED)
    released = course.read("release", slug)
    answers = reference(read(course.text(slug)).exercises)
    first = next(iter(answers))
    ordinary = [(one.name, one.files) for one in students(course, slug) if one.status != "timeout"]
    known = {cell.id for cell in released.cells}
    number = itertools.count()
    kinds = itertools.cycle(HOSTILE)
    made: list[dict[str, Path]] = []
    while sum(map(len, made)) < count:
        members: list[tuple[str, Mapping[str, bytes]]] = chance.sample(ordinary, len(ordinary))
        for place in range(HOSTILE_A_ROUND):
            kind, code = next(kinds)
            made_of_it = {f"{slug}.ipynb": filled(released, {**answers, first: code})}
            members.insert(len(members) * (2 * place + 1) // (2 * HOSTILE_A_ROUND), (kind, made_of_it))
        made.append({})
        for (name, files), own in zip(members, number, strict=False):
            student_folder = folder / f"s{own:05}-{name}" / slug
            student_folder.mkdir(parents=True)
            for file, data in files.items():
                (student_folder / file).write_bytes(_own(data, own, known))
            made[-1][student_folder.parent.name] = student_folder
    return made


def _own(data: bytes, number: int, known: AbstractSet[str]) -> bytes:
    """The file with a remark in the first graded cell; a damaged one as it is. `known` are the ids of our cells."""
    try:
        notebook = nbformat.reads(data.decode(), as_version=4)
    except Exception:  # damaged on purpose
        return data
    answer = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution"))
    answer.source += f"\n# submission {number}"
    for place, cell in enumerate(notebook.cells):  # nbformat draws the ids of new cells
        if cell.id not in known:
            cell.id = f"added-{place}"
    return dump(notebook)


def part(folders: Mapping[str, Path], count: int) -> dict[str, Path]:
    """The first `count` of a class."""
    return dict(list(folders.items())[:count])


def whole_rounds(rounds: Sequence[Mapping[str, Path]], count: int) -> dict[str, Path]:
    """As many whole rounds, from the first on, as `count` submissions need."""
    found: dict[str, Path] = {}
    for one in rounds:
        if len(found) < count:
            found.update(one)
    return found


def run(engine: Engine, folders: Mapping[str, Path], kept: Results, title: str) -> GradedRun:
    """Grade a class on an engine that is open."""
    with progress(title, len(folders)) as advance, _sampling() as sampled:
        done = itertools.count(1)
        started = time.perf_counter()
        marks = grade_class(engine, folders, kept, lambda _, __: advance(next(done)))
        seconds = time.perf_counter() - started
    return GradedRun(marks, seconds, tuple(one for one, _ in sampled), max((most for _, most in sampled), default=0.0))


@contextmanager
def _sampling() -> Iterator[list[tuple[float, float]]]:
    """Megabytes of this process, and of its largest worker with all below it, now and then."""
    over = threading.Event()
    found: list[tuple[float, float]] = []
    me = psutil.Process()

    def look() -> None:
        while not over.wait(SAMPLE_SECONDS):
            workers = [one for one in me.children() if _is_worker(one)]
            found.append((me.memory_info().rss / 2**20, max((_tree_mb(one) for one in workers), default=0.0)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _tree_mb(process: psutil.Process) -> float:
    """Proportional memory of a process and of all below it: what they share counts once."""
    total = 0.0
    try:
        for one in (process, *process.children(recursive=True)):
            try:
                total += one.memory_full_info().pss / 2**20
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total


# --- What must hold ----------------------------------------------------------------------------------------------


def check_none_lost(one: GradedRun, folders: Mapping[str, Path], kept: Results) -> None:
    """Every submission has a verdict, which is in the store.

    Raises:
        ScaleError: one has not.
    """
    if set(one.marks) != set(folders):
        raise ScaleError(f"{len(set(folders) - set(one.marks))} submissions have no mark.")
    for student, mark in one.marks.items():
        if mark.graded.status == "grader error":
            raise ScaleError(f"The grader failed on {student}: {mark.failures}")
        if kept.get(mark.name) is None:
            raise ScaleError(f"The verdict on {student} is not in the store.")


def differences(one: GradedRun, other: GradedRun) -> list[str]:
    """The submissions that both runs graded and whose points or statuses differ, to the last bit; a sentence each."""
    found = []
    for student, mark in other.marks.items():
        ours, theirs = (_points(each) for each in (one.marks[student], mark))
        if ours != theirs:
            found.append(f"{student} has {ours} in one run and {theirs} in another.")
    return found


def _points(mark: GradedSummary) -> list[tuple[str, str, str]]:
    return [(one.name, one.status, one.points.hex()) for one in mark.graded.exercises]


def growth(samples: Sequence[float]) -> float:
    """The command's memory in the last fifth of a run, against that in the second fifth."""
    fifth = max(1, len(samples) // 5)
    return statistics.median(samples[-fifth:]) / statistics.median(samples[fifth : 2 * fifth] or samples)


def by_tenth(samples: Sequence[float]) -> list[float]:
    """The command's memory in each tenth of a run."""
    length = max(1, len(samples) // 10)
    return [round(statistics.median(samples[start : start + length]), 1) for start in range(0, len(samples), length)]


# --- The command -------------------------------------------------------------------------------------------------


def main(
    count: Annotated[int, typer.Option("--students", min=40, help="Submissions of the large class, at least.")] = 2_000,
    small: Annotated[int, typer.Option(min=20, help="Submissions of the small class, at least.")] = 40,
    alone: Annotated[int, typer.Option(min=10, help="Submissions to grade again with one worker.")] = 200,
    workers: Annotated[int, typer.Option(min=1, help="Workers of the cluster.")] = os.cpu_count() or 1,
    output: Annotated[Path | None, typer.Option(help="A JSON file to write the numbers to.")] = None,
    lesson: Annotated[str, typer.Option(help="The lesson, by number or slug.")] = "2.1",
) -> None:
    """Grade thousands of submissions on a cluster of this machine, and hold that nothing is lost.

    Classes are whole rounds of the sample class: sizes are rounded up to them.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="trainloop-scale-") as folder:
            figures = measure(Course.find(), lesson, Path(folder), count, small, min(alone, count), workers)
    except (CourseError, EngineError, ScaleError) as error:
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    console.print(table(figures))
    if output is not None:
        output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for sentence in broken(figures):
        errors.print(sentence, style="red")
    if broken(figures):
        raise typer.Exit(1)


def measure(
    course: Course, lesson: str, folder: Path, count: int, small: int, alone: int, workers: int
) -> dict[str, Any]:
    """All runs, and their figures.

    Raises:
        ScaleError: a verdict is lost.
    """
    slug = course.slug(lesson)
    mine = set_up(course, slug, folder / "course")
    rounds = hand_in(mine if mine.text(slug).exists() else course, slug, mine.root / "submitted", count)
    folders, few_folders = whole_rounds(rounds, count), whole_rounds(rounds, small)
    count, small = len(folders), len(few_folders)
    setup = Setup(LessonBundle.of(mine, slug), LIMITS, Grading(config=mine.config()).isolation)
    kept = results(mine)
    about: dict[str, Any] = {"load": round(os.getloadavg()[0], 2)}
    dask.config.set(FEW_MESSAGES)  # the scheduler is in this process, too
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
        ) as cluster,
        Cluster(setup, cluster.scheduler_address) as engine,
    ):
        run(engine, part(folders, WARM_UP), Results(folder / "warm-up"), "warming up")
        few = run(engine, few_folders, Results(folder / "few"), f"{small} on the cluster")
        many = run(engine, folders, kept, f"{count} on the cluster")
        known = run(engine, folders, kept, f"{count}, graded before")
    check_none_lost(many, folders, kept)
    if any(not mark.before for mark in known.marks.values()):
        raise ScaleError("A second run graded again what the first had graded.")
    with Threads(setup, 1) as engine:
        one = run(engine, part(folders, alone), Results(folder / "alone"), f"{alone} with one worker")
    started = time.perf_counter()
    with progress("writing the gradebook", count) as advance:
        done = itertools.count(1)
        record_class(mine, setup.material, many.marks, lambda: advance(next(done)))
    seconds = time.perf_counter() - started
    lost = set(folders) - set(recorded_marks(mine, slug))
    if lost:
        raise ScaleError(f"{len(lost)} submissions are not in the gradebook.")
    return {
        **about,
        "lesson": slug,
        "submissions": count,
        "hostile": sum(1 for name in folders if name.partition("-")[2] in dict(HOSTILE)),
        "small_class": small,
        "compared_with_one_worker": alone,
        "workers": workers,
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "isolation": setup.level,
        "limits": asdict(LIMITS),
        "statuses": dict(Counter(mark.graded.status for mark in many.marks.values()).most_common()),
        "differences": [*differences(many, one), *differences(many, few)],
        "retried": sum(bool(mark.failures) for mark in many.marks.values()),
        "seconds": round(many.seconds, 2),
        "each_large": many.each,
        "each_small": few.each,
        "ratio": many.each / few.each,
        "worker_seconds_each": workers * many.each,
        "driver_seconds_each": known.each,
        "record_seconds_each": seconds / count,
        "driver_mb": round(statistics.median(many.driver_mb), 1),
        "driver_growth": growth(many.driver_mb),
        "driver_mb_by_tenth": by_tenth(many.driver_mb),
        "worker_mb": round(many.workers_mb, 1),
        "bytes_each": {
            "handed in": _bytes(mine.root / "submitted") / count,
            "verdicts": _bytes(kept.folder) / count,
            "autograded": _bytes(mine.root / "autograded") / count,
            "gradebook": (mine.root / "gradebook.db").stat().st_size / count,
        },
    }


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def broken(figures: Mapping[str, Any]) -> list[str]:
    """The claims that do not hold, a sentence each."""
    found = list(figures["differences"])
    if figures["ratio"] > SLOWER:
        found.append(f"A submission takes {figures['ratio']:.2f} times as long as in a small class; bound {SLOWER}.")
    if figures["driver_growth"] > GROWTH:
        found.append(f"The command's memory grows to {figures['driver_growth']:.2f} times; bound {GROWTH}.")
    return found


def table(figures: Mapping[str, Any]) -> Table:
    """The figures for a person."""
    made = Table(
        title=f"{figures['submissions']} submissions of {figures['lesson']}, {figures['hostile']} of them hostile, "
        f"{figures['workers']} workers on {figures['cores']} cores, isolation {figures['isolation']}",
        title_justify="left",
    )
    made.add_column("what")
    made.add_column("measured", justify="right")
    made.add_column("bound", justify="right")
    nothing = f"all of {figures['submissions']}, and {figures['compared_with_one_worker']} compared"
    rows = [
        ("verdicts kept; marks as with one worker", nothing, "all"),
        (f"seconds each, in a class of {figures['small_class']}", f"{figures['each_small']:.3f}", ""),
        (f"seconds each, in a class of {figures['submissions']}", f"{figures['each_large']:.3f}", ""),
        ("large class against small, a submission", f"{figures['ratio']:.2f}", f"{SLOWER}"),
        ("submissions a minute", f"{60 / figures['each_large']:.0f}", ""),
        ("memory of the command, MB", f"{figures['driver_mb']:.0f}", ""),
        ("its growth", f"{figures['driver_growth']:.2f}", f"{GROWTH}"),
        ("memory of a worker with its box, at most, MB", f"{figures['worker_mb']:.0f}", ""),
        ("the command's own time, a submission, ms", f"{1000 * figures['driver_seconds_each']:.1f}", ""),
        ("writing the gradebook, a submission, ms", f"{1000 * figures['record_seconds_each']:.1f}", ""),
    ]
    for row in rows:
        made.add_row(*row)
    return made


if __name__ == "__main__":
    typer.run(main)

"""Grade: a submission in, a verdict and a feedback-ready notebook out; and a whole class of them, side by side.

One way for all: `nbgrader autograde`, the formgrader's button and `trainloop grade` come here. What was graded once is
kept under `.trainloop/results/`, by the content of all that decides about it, so that a run which was stopped goes on
where it was, and a regrade does only what changed: where a lesson's key or prose is another, but its code is not, what
the submission's cells computed is judged again, and nothing runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from trainloop.checks.key import VISIBLE_NAME, ExerciseKey, Key, observed
from trainloop.checks.values import Json
from trainloop.checks.verdict import IN_WORDS, STUB, ExerciseResult, Trouble, VerdictStatus, judge
from trainloop.checks.words import render, tally
from trainloop.course import Course, CourseError
from trainloop.grading.intake import Intake, ingest, rebuild
from trainloop.grading.turns import turns
from trainloop.sandbox.box import Box
from trainloop.sandbox.hosts import BoxError
from trainloop.sandbox.isolation import Level
from trainloop.sandbox.job import DEFAULT_LIMITS, Job, Limits, Step, StepResult, check_steps, hidden_step
from trainloop.sandbox.needs import binds_any, execution_order

GRADER_VERSION = version("trainloop")
COMPUTES = ("torch", "numpy", "scikit-learn", "matplotlib", "ipython")  # their versions decide about a verdict, too
VERDICT_SUFFIX = ".json"
FAILURE_SUFFIX = ".failure.json"
RUN_SUFFIX = ".run"
SECOND_SUFFIX = ".again"  # ends the name of a check that is made a second time; a dot is in no id of ours
RUN_BYTES = 1_000_000  # kept of what a submission's cells computed; a larger one is run again
DRAFT_SUFFIX = ".part"
ROOM = 100_000  # bytes, as a verdict takes
DOUBT = (
    "The computer was too busy, or short of memory, while this was graded, which may have cost points. The next run "
    "tries again."
)
DRAFT_SECONDS = 3_600.0  # a draft that old has no writer any more
SERIOUS: tuple[VerdictStatus, ...] = (
    "grader error",
    "tampered",
    "out of memory",
    "crashed",
    "timeout",
    "missing",
    "wrong",
)


@dataclass(frozen=True)
class LessonBundle:
    """What is needed to grade one lesson: our notebook, the one that students got, and the key to both."""

    slug: str
    base: NotebookNode
    released: NotebookNode
    key: Key

    @cached_property
    def key_digest(self) -> str:
        """The key as a hash: it is much longer than a submission, and the same for all."""
        return hashlib.sha256(self.key.dump().encode()).hexdigest()

    @cached_property
    def given_digest(self) -> str:
        """The arrays that hidden checks hand out, as a hash."""
        return hashlib.sha256(json.dumps(self.key.given, sort_keys=True).encode()).hexdigest()

    @staticmethod
    def of(course: Course, slug: str) -> LessonBundle:
        """The instructor's material, with hidden checks. `CourseError` or `KeyFileError` where it is not built."""
        return LessonBundle(slug, course.read("source", slug), course.read("release", slug), Key.load(course.key(slug)))

    @staticmethod
    def visible(course: Course, slug: str) -> LessonBundle:
        """What a learner has: the released notebook and the visible key."""
        released = course.read("release", slug)
        return LessonBundle(slug, released, released, Key.load(course.release(slug) / VISIBLE_NAME))


@dataclass(frozen=True)
class Graded:
    """The verdict on one submission."""

    lesson: str
    status: VerdictStatus
    exercises: tuple[ExerciseResult, ...]
    notes: tuple[str, ...]
    seconds: float
    notebook: NotebookNode  # with outputs, ready for feedback
    level: str = ""  # of isolation, under which it was run; empty where nothing had to run
    memory: str = ""  # who limited its memory, see `Box.memory`
    doubtful: bool = False  # the machine's load may have decided: it stands until the next run tries again
    ran: Json | None = None  # what its cells computed, as `_remember` puts it down; None where that is too much

    @property
    def points(self) -> float:
        """Points got."""
        return sum(exercise.points for exercise in self.exercises)

    @property
    def possible(self) -> float:
        """Points possible."""
        return sum(exercise.possible for exercise in self.exercises)

    @property
    def is_final(self) -> bool:
        """Whether the next run would come to the same."""
        return self.status != "grader error" and not self.doubtful

    @property
    def in_words(self) -> str:
        """The status of the submission, to be read by a person."""
        if self.status == "wrong":
            right = sum(exercise.status == "ok" for exercise in self.exercises)
            return f"{right} of {len(self.exercises)} right"
        return IN_WORDS[self.status]

    def dump(self) -> Json:
        """As plain JSON."""
        return asdict(self)

    @staticmethod
    def load(plain: Mapping[str, Any]) -> Graded:
        """From plain JSON, as `dump` gives it. Raises `KeyError` or `TypeError` for anything else."""
        exercises = tuple(ExerciseResult.load(one) for one in plain["exercises"])
        notebook = nbformat.from_dict(plain["notebook"])
        return Graded(**{**plain, "exercises": exercises, "notes": tuple(plain["notes"]), "notebook": notebook})


def grade(material: LessonBundle, intake: Intake, box: Box) -> Graded:
    """Run and judge one submission that was taken in.

    Raises:
        BoxError: the box failed; nothing is said about the submission.
    """
    started = time.monotonic()
    steps = [] if intake.status == "missing" else steps_of(material, intake)
    results = _run(box, Job(tuple(steps), material.key.given)) if steps else {}
    graded = _verdict(material, intake, results, box.limits, box.level if results else "")
    doubtful = any(result.may_be_the_machines for result in results.values())
    keep = steps and not doubtful
    ran = _remember(run_name(material, steps, box.limits, box.level), results) if keep else None
    memory = box.memory if results else ""
    notes = (*graded.notes, DOUBT) if doubtful else graded.notes
    seconds = time.monotonic() - started
    return replace(graded, ran=ran, memory=memory, seconds=seconds, doubtful=doubtful, notes=notes)


def _run(box: Box, job: Job) -> dict[str, StepResult]:
    """What the cells come to; tried once more, with nothing beside it, where the machine's load may have decided."""
    with turns().beside_others():
        results = box.run(job, careful=True)
    if any(result.may_be_the_machines for result in results.values()):
        with turns().alone():
            results = box.run(job, earlier=results)
    return results


def judge_again(material: LessonBundle, intake: Intake, before: Graded, limits: Limits) -> Graded:
    """The verdict on a submission whose cells have run, `before`, when the key or the prose was another."""
    assert before.ran is not None
    graded = _verdict(material, intake, _recall(before), limits, before.level)
    return replace(graded, ran=before.ran, memory=before.memory, seconds=before.seconds)


def _verdict(
    material: LessonBundle, intake: Intake, results: Mapping[str, StepResult], limits: Limits, level: str
) -> Graded:
    exercises = tuple(_judge(key, intake, results, limits) for key in material.key.exercises.values())
    notebook = _with_outputs(intake.notebook, results, {f"check-{one.name}": one for one in exercises})
    notes, status = intake.notes, _overall(exercises)
    if status != "ok" and (stop := _first_stop(intake, results, limits)):
        notes += (stop,)
    return Graded(material.slug, status, exercises, notes, 0.0, notebook, level)


def _first_stop(intake: Intake, results: Mapping[str, StepResult], limits: Limits) -> str:
    """A sentence on the first of the student's cells, beside the exercises, that stopped; empty if none did."""
    for cell in intake.notebook.cells:
        if cell.id not in intake.own or cell.id not in results or "nbgrader" in cell.metadata:
            continue
        begins = next((line.strip()[:60] for line in cell.source.split("\n") if line.strip()), "")
        if (found := _happened(results[cell.id], f"Your cell that begins with `{begins}`", limits)) is not None:
            own = " The lesson's own was run after it." if released_step(cell.id) in results else ""
            return f"{found.sentence} What comes after it may fail only for that.{own}"
    return ""


def released_step(name: str) -> str:
    """The id of the step that runs a cell of the lesson as it was released, should the student's version stop."""
    return f"{name}.released"  # a dot is in no id of ours


def run_name(material: LessonBundle, steps: Sequence[Step], limits: Limits, level: Level) -> str:
    """A hash of all that decides about what a submission's cells compute."""
    grader = [GRADER_VERSION, identity()]
    decides = [*grader, material.given_digest, [asdict(step) for step in steps], asdict(limits), level]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _remember(name: str, results: Mapping[str, StepResult]) -> Json | None:
    """What the steps came to, under a run's name. The outputs of code cells stand in the notebook, beside it; how long
    each took decides about nothing."""
    steps = {step: {**asdict(result), "outputs": [], "seconds": 0.0} for step, result in results.items()}
    return {"name": name, "steps": steps} if len(json.dumps(steps)) <= RUN_BYTES else None


def _recall(graded: Graded) -> dict[str, StepResult]:
    """What the steps came to, as `_remember` put it down."""
    assert graded.ran is not None
    outputs = {cell.id: cell.get("outputs", []) for cell in graded.notebook.cells}
    return {step: StepResult(**{**one, "outputs": outputs.get(step, [])}) for step, one in graded.ran["steps"].items()}


def _overall(exercises: Sequence[ExerciseResult]) -> VerdictStatus:
    found = {one.status for one in exercises}
    return next((status for status in SERIOUS if status in found), "ok")


def steps_of(material: LessonBundle, intake: Intake) -> list[Step]:
    """What runs, and in which order: each check where it stands, and once more where its answer is written anew."""
    released = {cell.id: cell.source for cell in material.released.cells}
    cells = {cell.id: cell for cell in intake.notebook.cells if cell.cell_type == "code"}
    checks = {_check_cell(key): key for key in material.key.exercises.values()}
    below: dict[str, list[str]] = {}  # by cell, the checks that are made again behind it
    steps: list[Step] = []
    for name, cell in cells.items():
        if cell.metadata.get("nbgrader", {}).get("grade"):
            steps += check_steps(name, released[name], cell.source, checks[name].checks)
            if last := _answered_anew(checks[name], name, cells, intake.own):
                below.setdefault(last, []).append(name)
        else:
            steps.append(Step(name, "code", cell.source))
            if name in intake.own and name in released and "nbgrader" not in cell.metadata:
                steps.append(Step(released_step(name), "code", released[name], instead_of=name))
        for check in below.get(name, ()):
            steps += check_steps(check + SECOND_SUFFIX, released[check], cells[check].source, checks[check].checks)
    return execution_order(steps, intake.own | {step.id for step in steps if step.instead_of})


def _answered_anew(
    key: ExerciseKey, check: str, cells: Mapping[str, NotebookNode], own: AbstractSet[str]
) -> str | None:
    """The last of a student's own cells below a check that defines what the exercise asks for, if one does."""
    names = list(cells)
    later = reversed(names[names.index(check) + 1 :])
    return next((name for name in later if name in own and binds_any(cells[name].source, key.defines)), None)


def _check_cell(key: ExerciseKey) -> str:
    return f"check-{key.name}"


def _judge(key: ExerciseKey, intake: Intake, results: Mapping[str, StepResult], limits: Limits) -> ExerciseResult:
    """The mark of an exercise. Where it failed in plain sight and was answered anew below, the better one counts."""
    check = _check_cell(key)
    result = _judge_at(check, key, intake, results, limits)
    failed = any(one.status != "ok" and not one.hidden for one in result.checks)
    if failed and {check + SECOND_SUFFIX, hidden_step(check + SECOND_SUFFIX)} & results.keys():
        result = max(result, _judge_at(check + SECOND_SUFFIX, key, intake, results, limits), key=lambda one: one.points)
    if check in intake.tampered and result.status in ("ok", "wrong"):
        return replace(result, status="tampered")
    return result


def _judge_at(
    check: str, key: ExerciseKey, intake: Intake, results: Mapping[str, StepResult], limits: Limits
) -> ExerciseResult:
    """The mark by what the check of this name saw at its place."""
    observations = {
        observed(title, hidden): seen
        for hidden, step in ((False, check), (True, hidden_step(check)))
        if step in results
        for title, seen in results[step].checks.get(key.name, {}).items()
    }
    return judge(key, observations, _trouble(key, check, intake, results, limits))


def _trouble(
    key: ExerciseKey, check: str, intake: Intake, results: Mapping[str, StepResult], limits: Limits
) -> Trouble | None:
    """What happened to an exercise's cells, if anything did, in words to the student."""
    if intake.status == "missing":
        return Trouble("missing", intake.notes[0] if intake.notes else "No notebook was handed in.")
    for cell, name in (
        (key.name, "The cell of this exercise"),
        (check, "Your code, called by this check,"),
    ):
        if (result := results.get(cell)) is not None and (found := _happened(result, name, limits)):
            return found
    if hidden := results.get(hidden_step(check)):
        if hidden.status == "error":  # its message may quote what the check handed in
            return Trouble("wrong", "Your code, called by a hidden check, stopped with an error.")
        if found := _happened(hidden, "Your code, called by a hidden check,", limits):
            return found
    if key.name in intake.missing:
        return Trouble("missing", "The cell of this exercise is not in the notebook that was handed in.")
    return None


def _happened(result: StepResult, cell: str, limits: Limits) -> Trouble | None:
    match result.status:
        case "timeout":
            return Trouble("timeout", _too_slow(cell, result.reason, limits))
        case "not run":
            told = f"The cells before used up the {limits.total_seconds:g} seconds of the whole notebook."
            return Trouble("timeout", f"{told} {result.reason}".strip())
        case "crashed":
            why = result.reason or "It ended the Python process itself (os._exit, exit, or a crash in a library)."
            return Trouble("crashed", f"{cell} did not come to an end. {why}")
        case "out of memory":
            told = (
                f"did not come to an end. {result.reason}" if result.reason else "asked for more memory than there is."
            )
            return Trouble("out of memory", f"{cell} {told}")
        case "error" if result.error is not None:
            if result.error["type"] == "NotImplementedError" and not result.error["message"]:
                return Trouble("missing", STUB)
            line = f", line {result.error['line']}: `{result.error['code']}`" if result.error.get("line") else ""
            return Trouble("wrong", f"{cell} stopped with {result.error['type']}: {result.error['message']}{line}.")
    return None


def _too_slow(cell: str, reason: str, limits: Limits) -> str:
    if reason:
        return f"{cell} did not end in time. {reason}"
    return (
        f"{cell} did not end within {limits.cell_seconds:g} seconds of computing. Either a loop in it has no end, or "
        "it is slow: then fewer steps, or operations on whole tensors in place of loops over entries, would do."
    )


def _with_outputs(
    notebook: NotebookNode, results: Mapping[str, StepResult], exercises: Mapping[str, ExerciseResult]
) -> NotebookNode:
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell.id in exercises:
            outputs = check_outputs(exercises[cell.id])
        elif cell.id in results:
            outputs = results[cell.id].outputs
        else:
            continue  # a demo that nothing needed
        count += 1
        cell.outputs = [nbformat.from_dict(output) for output in outputs]
        cell.execution_count = count
    return notebook


def check_outputs(result: ExerciseResult) -> list[Json]:
    """What a check cell shows: its lines, and an error where a check failed, as in the learner's own notebook."""
    words, found = tally(result), render(result)
    printed = [{"output_type": "stream", "name": "stdout", "text": text + "\n"} for text in (found, words) if text]
    if result.status == "ok":
        return printed
    return [*printed[:-1], {"output_type": "error", "ename": "ChecksFailed", "evalue": words, "traceback": [words]}]


# ------------------------------------------------------------------------------------------------------- the results


@cache
def identity() -> str:
    """This grader, in one line: its code, and the versions of all that computes for it.

    Two machines that say the same give the same verdicts, up to the rounding of their processors.
    """
    code = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        code.update(str(path.relative_to(package)).encode() + path.read_bytes())
    parts = {"python": platform.python_version(), **{name: version(name) for name in COMPUTES}}
    return ", ".join([f"trainloop {code.hexdigest()[:12]}", *(f"{name} {said}" for name, said in parts.items())])


@dataclass(frozen=True)
class Results:
    """Verdicts that were given before, by content.

    A verdict is one file. It is written whole or not at all, and not forced to the disk: should the machine lose power,
    a file that was lost or cut is not read as a verdict, and the submission is graded again.
    """

    folder: Path

    def name(self, material: LessonBundle, intake: Intake, limits: Limits, level: Level = "full") -> str:
        """A hash of all that decides about a verdict: the rebuilt notebook, the key, the box, this grader."""
        decides = [
            GRADER_VERSION,
            identity(),
            material.key_digest,
            intake.notebook,
            sorted(intake.own),
            sorted(intake.tampered),
            sorted(intake.missing),
            intake.status,
            intake.notes,
            asdict(limits),
            level,
        ]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def get(self, name: str) -> Graded | None:
        """A verdict, or None where there is none that can be read."""
        return self._read(name, VERDICT_SUFFIX)

    @property
    def has_runs(self) -> bool:
        """Whether there is anything that `ran` could find: to name a run takes a look at a submission's code."""
        return next(self.folder.glob(f"*{RUN_SUFFIX}"), None) is not None

    def again(self, material: LessonBundle, intake: Intake, limits: Limits, level: Level = "full") -> Graded | None:
        """A new verdict on a submission of which an earlier one was given under another key or prose; else None."""
        if intake.status == "missing":
            return None
        try:
            run = run_name(material, steps_of(material, intake), limits, level)
            before = self.get((self.folder / f"{run}{RUN_SUFFIX}").read_text(encoding="utf-8"))
            if before is None or before.ran is None or before.ran["name"] != run:
                return None
            return judge_again(material, intake, before, limits)
        except Exception:  # not there, or damaged in whatever way: it is run again
            return None

    def failure(self, name: str) -> Graded | None:
        """What stands for the verdict where the grader failed, or the machine's load may have decided: it is recorded,
        and the next run tries again."""
        return self._read(name, FAILURE_SUFFIX)

    def put(self, name: str, graded: Graded) -> None:
        """Keep a verdict: whole, or not at all. One that is not final is kept as a failure.

        Raises:
            CourseError: it could not be written, as on a full disk.
        """
        failed = not graded.is_final
        try:
            # Strictly: half a character, which no notebook could hold, is found here and not when it is recorded.
            text = json.dumps(graded.dump(), ensure_ascii=False)
            self._write(name, FAILURE_SUFFIX if failed else VERDICT_SUFFIX, text)
            if not failed:
                (self.folder / f"{name}{FAILURE_SUFFIX}").unlink(missing_ok=True)
            if graded.ran is not None:  # after the verdict that it leads to
                self._write(graded.ran["name"], RUN_SUFFIX, name)
        except OSError as error:
            raise self._unwritten(error) from None

    def check_room(self) -> None:
        """Make sure that verdicts can be written at all.

        Raises:
            CourseError: they cannot, as on a full disk.
        """
        try:
            self._write("room", DRAFT_SUFFIX, " " * ROOM)
            (self.folder / f"room{DRAFT_SUFFIX}").unlink()
        except OSError as error:
            raise self._unwritten(error) from None

    def _unwritten(self, error: OSError) -> CourseError:
        return CourseError(
            f"A verdict could not be written into {self.folder}: {error.strerror or error}. Is the disk full? Make "
            "room and run the same command again; what was graded is kept."
        )

    def tidy(self, seconds: float = DRAFT_SECONDS) -> None:
        """Remove what writers left that were killed: drafts older than `seconds`."""
        for draft in self.folder.glob(f"*{DRAFT_SUFFIX}"):
            with contextlib.suppress(OSError):  # its writer may just have finished
                if time.time() - draft.stat().st_mtime > seconds:
                    draft.unlink()

    def _read(self, name: str, suffix: str) -> Graded | None:
        try:
            return Graded.load(json.loads((self.folder / f"{name}{suffix}").read_text(encoding="utf-8")))
        except Exception:  # not there, or damaged in whatever way
            return None

    def _write(self, name: str, suffix: str, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=self.folder, suffix=DRAFT_SUFFIX)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(draft, self.folder / f"{name}{suffix}")
        except BaseException:
            os.unlink(draft)
            raise


def results(course: Course) -> Results:
    """Where a course keeps its verdicts."""
    return Results(course.root / ".trainloop" / "results")


def ingest_submission(material: LessonBundle, folder: Path) -> Intake:
    """Take in the submission in `folder`. Never raises for its content.

    Raises:
        CourseError: there is no such folder, or the two notebooks of the material do not belong together.
    """
    try:
        return ingest(folder, material.slug, material.base, material.released)
    except (FileNotFoundError, ValueError) as error:
        raise CourseError(str(error)) from None


def grade_folder(
    material: LessonBundle,
    folder: Path,
    open_box: Callable[[], Box],
    kept: Results,
    afresh: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    level: Level = "full",
) -> Graded:
    """Take in, run and judge the submission in `folder`, unless that was done before. Never raises for its content.

    `open_box` is called only where something must run; the box should have these `limits` and this `level`.

    Raises:
        CourseError: there is no such folder, or the two notebooks of the material do not belong together.
    """
    intake = ingest_submission(material, folder)
    name = kept.name(material, intake, limits, level)
    known = None if afresh else kept.get(name)
    if known is not None:
        return known
    if not afresh and (judged := kept.again(material, intake, limits, level)) is not None:
        kept.put(name, judged)
        return judged
    box = open_box()
    try:
        graded = grade(material, intake, box)
    except BoxError as error:
        graded = grader_error(material, intake, str(error))
    kept.put(name, graded)
    return graded


def grader_error(material: LessonBundle, intake: Intake, reason: str) -> Graded:
    """The verdict where the grader failed: no points yet, and no fault of the student's."""
    trouble = Trouble("grader error", f"This could not be graded, and that is not your fault: {reason}")
    exercises = tuple(judge(key, {}, trouble) for key in material.key.exercises.values())
    notebook = _with_outputs(intake.notebook, {}, {f"check-{one.name}": one for one in exercises})
    return Graded(material.slug, "grader error", exercises, intake.notes, 0.0, notebook)


def blank(material: LessonBundle) -> Intake:
    """A submission in which there is nothing: it stands where one could not be read.

    Raises:
        CourseError: the two notebooks of the material do not belong together.
    """
    try:
        return replace(rebuild(b"", material.base, material.released), notes=(), digest="")
    except ValueError as error:
        raise CourseError(str(error)) from None

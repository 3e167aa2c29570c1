"""From a lesson's text to its four products: instructor notebook, student notebook, worked solutions, key.

    notebooks/<slug>.md -> source/<slug>/<slug>.ipynb, checks.json     the visible key travels with the release
                        -> release/<slug>/                             by nbgrader's own generation
                        -> solutions/<slug>/<slug>.ipynb               to hand out
                        -> solutions/keys/<slug>.json                  for the grader alone

The same text gives the same bytes. Only a key holds computed numbers; on a processor that adds in another order they
differ in the last digits, so a key that agrees with the committed one to rounding is left as it is.

The key is made by running the reference and every mistake through the lesson's own check cells, in the process in
which students' code will run. The build refuses a lesson whose reference fails, whose stub scores, whose alternative
answers lose points, or whose mistakes are not told apart.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from trainloop import rules, values
from trainloop.box import Box, Job, Step, check_steps
from trainloop.course import scripts_on_path
from trainloop.key import VISIBLE_NAME, CheckKey, ExerciseKey, Key
from trainloop.lesson import (
    BEGIN_HIDDEN,
    BEGIN_SOLUTION,
    END_HIDDEN,
    END_SOLUTION,
    Cell,
    Exercise,
    Lesson,
    LessonError,
    visible_part,
)
from trainloop.needs import plan
from trainloop.values import Json
from trainloop.verdict import ExerciseResult, judge

SCHEMA_VERSION = 3  # of nbgrader's cell metadata
LANGUAGE = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Built:
    """The products of one lesson, as text, by their path under the course's folder."""

    lesson: Lesson
    key: Key
    files: dict[Path, str]


def build(lesson: Lesson, *boxes: Box) -> Built:
    """Make all products of one lesson, in memory.

    Args:
        lesson: as read from its text.
        boxes: at least one; each runs an answer at a time, all of them beside each other.

    Raises:
        LessonError: a check of this page's docstring fails, at the line that is at fault.
    """
    source = source_notebook(lesson)
    key = make_key(lesson, boxes)
    visible = key.visible().dump()
    released = release_notebook(lesson.slug, source)
    refuse_leaks(lesson, released, visible)
    folder = Path(lesson.slug)
    return Built(
        lesson,
        key,
        {
            "source" / folder / f"{lesson.slug}.ipynb": dump(source),
            "source" / folder / VISIBLE_NAME: visible,
            "release" / folder / f"{lesson.slug}.ipynb": dump(released),
            "release" / folder / VISIBLE_NAME: visible,
            "solutions" / folder / f"{lesson.slug}.ipynb": dump(worked_notebook(lesson, released)),
            Path("solutions", "keys", f"{lesson.slug}.json"): key.dump(),
        },
    )


def write(built: Built, root: Path) -> list[Path]:
    """Write what differs from the files under `root`, and say which. Keys that agree to rounding stay."""
    changed = differences(built, root)
    for path in changed:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(built.files[path], encoding="utf-8")
    return changed


def differences(built: Built, root: Path) -> list[Path]:
    """The files under `root` that are not what the build makes: missing, changed, or not made by it at all."""
    drifted = [path for path, text in built.files.items() if not _is_current(built, root, path, text)]
    slug = built.lesson.slug
    there = {p.relative_to(root) for top in ("source", "release", "solutions") for p in (root / top / slug).glob("*")}
    strays = {path for path in there if path not in built.files and path.name != ".ipynb_checkpoints"}
    return sorted([*drifted, *strays])


def _is_current(built: Built, root: Path, path: Path, text: str) -> bool:
    target = root / path
    if not target.is_file():
        return False
    old = target.read_text(encoding="utf-8")
    if old == text:
        return True
    if path.suffix != ".json":
        return False
    try:
        fresh = built.key if path.parts[0] == "solutions" else built.key.visible()
        return Key.load(target).agrees(fresh)
    except Exception:
        return False


# --------------------------------------------------------------------------------------------------------- notebooks


def source_notebook(lesson: Lesson, proofs: bool = False) -> NotebookNode:
    """The instructor's notebook; with `proofs`, also the cells that hold the prose to its numbers."""
    cells, names = [], _Names()
    for cell in lesson.cells:
        if cell.kind == "markdown":
            cells.append(new_markdown_cell(cell.source, id=names.next(cell.source)))
        elif cell.kind == "written":
            about = _settings(cell.exercise, grade=True, solution=True, points=cell.points)
            cells.append(new_markdown_cell(cell.source, id=cell.exercise, metadata={"nbgrader": about}))
        elif cell.kind == "demo":
            cells.append(new_code_cell(cell.source, id=names.next()))
        elif cell.kind == "exercise":
            cells.append(_graded(cell, cell.exercise, solution=True))
        elif cell.kind == "check":
            cells.append(_graded(cell, f"check-{cell.exercise}", solution=False))
        elif cell.kind == "proof" and proofs:
            cells.append(new_code_cell(cell.source, id=f"proof-{cell.line}"))
    return _notebook(cells, {"lesson": lesson.slug})


def _notebook(cells: list[NotebookNode], about: Json) -> NotebookNode:
    notebook: NotebookNode = new_notebook(cells=cells, metadata={**LANGUAGE, "trainloop": about})
    return notebook


class _Names:
    """Readable, stable cell ids: the section's heading, and a number."""

    def __init__(self) -> None:
        self.section, self.count = "top", 0
        self.used: set[str] = set()

    def next(self, markdown: str = "") -> str:
        headings = re.findall(r"^#+ +(.+)$", markdown, re.M)
        if headings:
            words = re.findall(r"[a-z0-9]+", headings[0].lower())
            self.section, self.count = "-".join(words)[:48].strip("-") or "section", 0
        while True:
            self.count += 1
            name = f"{self.section}-{self.count}"
            if name not in self.used:
                self.used.add(name)
                return name


def _graded(cell: Cell, grade_id: str, solution: bool) -> NotebookNode:
    settings = _settings(grade_id, grade=not solution, solution=solution, points=cell.points)
    graded: NotebookNode = new_code_cell(cell.source, id=grade_id, metadata={"nbgrader": settings})
    return graded


def _settings(grade_id: str, grade: bool, solution: bool, points: float) -> Json:
    """nbgrader's metadata of a cell."""
    settings: Json = {
        "grade": grade,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": SCHEMA_VERSION,
        "solution": solution,
        "task": False,
    }
    return {**settings, "points": points} if grade else settings


def release_notebook(slug: str, source: NotebookNode) -> NotebookNode:
    """The student's notebook, made by nbgrader's own generation in a course folder of its own."""
    scripts_on_path()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = root / "source" / slug / f"{slug}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(dump(source), encoding="utf-8")
        config = Config()
        config.CourseDirectory.root = str(root)
        config.CourseDirectory.assignment_id = slug
        converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
        converter.log.setLevel("ERROR")
        converter.start()
        released: NotebookNode = nbformat.read(root / "release" / slug / f"{slug}.ipynb", as_version=4)
    return released


def worked_notebook(lesson: Lesson, released: NotebookNode) -> NotebookNode:
    """The worked solutions to hand out: each answer, other ways to write it, and what each mistake would be.

    Its check cells are the released ones, so that the hidden checks serve another year.
    """
    cells = []
    for cell in released.cells:
        exercise = lesson.exercises.get(cell.get("id", ""))
        if written := lesson.written.get(cell.get("id", "")):
            cells.append(new_markdown_cell(written.source, id=cell.id))
        elif exercise is None:
            bare: Callable[..., NotebookNode] = new_markdown_cell if cell.cell_type == "markdown" else new_code_cell
            cells.append(bare(cell.source, id=cell.id))
        else:
            cells.append(new_code_cell(without_markers(exercise.cell.source), id=exercise.name))
            cells.append(new_markdown_cell("\n".join(_explain(exercise)), id=f"why-{exercise.name}"))
    return _notebook(cells, {"lesson": lesson.slug, "solutions": True})


def _explain(exercise: Exercise) -> Iterator[str]:
    if exercise.alternatives:
        yield f"#### Other ways to write {exercise.name}"
        for alternative in exercise.alternatives:
            yield f"\n{alternative.docstring()}\n\n```python\n{alternative.code()}\n```"
        yield ""
    if exercise.options:
        yield from _explain_options(exercise)
        return
    yield "#### What each wrong option means" if exercise.is_question else "#### What goes wrong here, and how to tell"
    told = (
        f"`{one.code()}`: {one.docstring()}" if exercise.is_question else one.docstring() for one in exercise.mistakes
    )
    for line in dict.fromkeys(told):  # several mistakes may share a sentence
        yield f"\n- {line}"


def _explain_options(exercise: Exercise) -> Iterator[str]:
    """Every option of every question, the right ones marked."""
    yield "#### What each option means"
    for question, each in exercise.options.items():
        yield f"\n`{question}`\n"
        for letter, sentence in each.items():
            right = " (right)" if letter == exercise.letters[question] else ""
            yield f"- **{letter}**{right}: {sentence}"


def without_markers(source: str) -> str:
    """Code without the lines that mark solution and hidden tests."""
    markers = (BEGIN_SOLUTION, END_SOLUTION, BEGIN_HIDDEN, END_HIDDEN)
    return "\n".join(line for line in source.splitlines() if not any(marker in line for marker in markers))


def dump(notebook: NotebookNode) -> str:
    """A notebook as text: no outputs, sorted keys, one newline at the end."""
    plain = nbformat.from_dict(json.loads(json.dumps(notebook)))
    plain.nbformat, plain.nbformat_minor = 4, 5
    for cell in plain.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.validate(plain)
    # nbgrader's own layout, so that its generate_assignment writes the release to the same bytes.
    return str(nbformat.writes(plain)) + "\n"


def refuse_leaks(lesson: Lesson, released: NotebookNode, visible: str) -> None:
    """No line of a solution or a hidden check, and no mistake's code, in what students get."""
    text = "\n".join(cell.source for cell in released.cells)
    for written in lesson.written.values():
        if written.source.strip() in text:
            raise LessonError(lesson.path, written.line, "this model answer shows in the release")
    for exercise in lesson.exercises.values():
        for check in exercise.checks:
            if check.hidden and (check.title in text or check.title in visible):
                raise LessonError(lesson.path, check.line, f'the hidden check "{check.title}" shows in the release')
        answer_cells = "\n".join(cell.source for cell in released.cells if cell.id in lesson.exercises)
        hints = "\n".join(exercise.hints.values())
        for line in _solution_lines(exercise):  # a demonstration may hold the same line; a stub may not
            if line in answer_cells or line in hints:
                told = f"a line of the solution shows in the release: {line}"
                raise LessonError(lesson.path, exercise.cell.line, told)


def _solution_lines(exercise: Exercise) -> Iterator[str]:
    """The lines of a solution that say something, each as it would stand in a cell of its own."""
    inside = False
    for line in exercise.cell.source.splitlines():
        if END_SOLUTION in line:
            inside = False
        # Short lines, such as a `return h`, could stand anywhere.
        if inside and len(line.strip()) > 24:
            yield line.strip()
        inside = inside or BEGIN_SOLUTION in line


# --------------------------------------------------------------------------------------------------------------- key


def make_key(lesson: Lesson, boxes: Sequence[Box]) -> Key:
    """Run the reference and every mistake through the check cells; refuse what is not told apart."""
    ruled, given = _judges(lesson)
    runner = _Runner(lesson, boxes, given)
    reference = runner.observe({})
    for exercise in lesson.exercises.values():
        for check in exercise.checks:
            _refuse_bad_reference(lesson, check.line, check.title, reference[exercise.name].get(check.title))
    runner.try_all()
    exercises = {
        name: _exercise_key(runner, exercise, ruled.get(name, {}), reference[name])
        for name, exercise in lesson.exercises.items()
    }
    key = Key(lesson.slug, exercises, given)
    _refuse_weak_checks(lesson, key, runner)
    return key


class _Runner:
    """Runs the lesson with some exercise cells replaced, and gives what the checks saw."""

    def __init__(self, lesson: Lesson, boxes: Sequence[Box], given: dict[str, Json]) -> None:
        self.lesson, self.given = lesson, given
        self.free: SimpleQueue[Box] = SimpleQueue()
        for box in boxes:
            self.free.put(box)
        self.boxes = len(boxes)
        self.seen: dict[tuple[str, str], dict[str, Json]] = {}

    def try_all(self) -> None:
        """Run every mistake and every alternative of the lesson, as many at a time as there are boxes."""
        answers = [
            (exercise.name, cell.code())
            for exercise in self.lesson.exercises.values()
            for cell in (*exercise.mistakes, *exercise.alternatives)
        ]
        with ThreadPoolExecutor(self.boxes) as pool:
            tried = [(answer, pool.submit(self.observe, {answer[0]: answer[1]}, answer[0])) for answer in answers]
            try:
                self.seen = {answer: future.result()[answer[0]] for answer, future in tried}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def tried(self, exercise: str, answer: str) -> dict[str, Json]:
        """What the checks of one exercise saw when its cell was replaced by `answer`, by title."""
        return self.seen[exercise, answer]

    def observe(self, answers: dict[str, str], only: str = "") -> dict[str, dict[str, Json]]:
        """Observations by exercise and title. `answers` replaces exercise cells; only exercise `only` is checked."""
        steps: list[Step] = []
        for cell in self.lesson.cells:
            name = f"{cell.kind}-{cell.line}"
            if cell.kind in ("demo", "exercise"):
                steps.append(Step(name, "code", self._text(cell, answers)))
            elif cell.kind == "check" and only in ("", cell.exercise):
                checks = self.lesson.exercises[cell.exercise].checks
                steps += check_steps(name, visible_part(cell.source), cell.source, checks)
        always = {step.id for step in steps if step.id.startswith("exercise-")}
        box = self.free.get()
        try:
            results = box.run(Job(tuple(plan(steps, always)), self.given))
        finally:
            self.free.put(box)
        seen: dict[str, dict[str, Json]] = {name: {} for name in self.lesson.exercises}
        for result in results.values():
            for name, observations in result.checks.items():
                seen.setdefault(name, {}).update(observations)
        return seen

    def _text(self, cell: Cell, answers: dict[str, str]) -> str:
        return answers.get(cell.exercise, cell.source) if cell.kind == "exercise" else cell.source


def _judges(lesson: Lesson) -> tuple[dict[str, dict[str, Json]], dict[str, Json]]:
    """What the judge cells say: rules by exercise and title, and the arrays to hand to hidden checks."""
    ruled: dict[str, dict[str, Json]] = {}
    given: dict[str, Json] = {}
    for exercise in lesson.exercises.values():
        for cell in exercise.judges:
            names: dict[str, Any] = {"accuracy": rules.accuracy, "close": rules.close}
            try:
                exec(compile(cell.source, f"{lesson.path}:{cell.line}", "exec"), names)
                found = dict(names.get("judges", {}))
                arrays = {name: values.encode(value) for name, value in names.get("given", {}).items()}
            except Exception as error:
                raise LessonError(lesson.path, cell.line, f"the judge cell fails: {error!r}") from None
            for title in found:
                if title not in {check.title for check in exercise.checks}:
                    raise LessonError(lesson.path, cell.line, f'"{exercise.name}" has no check "{title}"')
            for name, value in arrays.items():
                if not values.is_array(value) or name in given:
                    raise LessonError(lesson.path, cell.line, f'given "{name}" is no array, or given twice')
            ruled.setdefault(exercise.name, {}).update(found)
            given.update(arrays)
    return ruled, given


def _refuse_bad_reference(lesson: Lesson, line: int, title: str, observation: Json | None) -> None:
    if observation is None:
        raise LessonError(lesson.path, line, f'the reference gives nothing to look at in "{title}"; does its cell run?')
    if observation["saw"] != "value":
        what = observation.get("message") or observation.get("name") or observation["saw"]
        raise LessonError(lesson.path, line, f'the reference fails in "{title}": {what}')
    if name := values.opaque(observation["value"]):
        raise LessonError(
            lesson.path, line, f'"{title}" gives a {name}, which cannot be compared; observe its contents'
        )


def _exercise_key(
    runner: _Runner, exercise: Exercise, ruled: dict[str, Json], expected: dict[str, Json]
) -> ExerciseKey:
    """The key of one exercise. Each mistake is shown only where it breaks the check's rule."""
    seen = [runner.tried(exercise.name, m.code()) for m in exercise.mistakes]
    checks = []
    for check in exercise.checks:
        rule = ruled.get(check.title, rules.option() if exercise.options else rules.close())
        shown = tuple(_where_it_shows(rule, each.get(check.title), expected[check.title]) for each in seen)
        each_points = exercise.check.points / len(exercise.checks)
        checks.append(CheckKey(check.title, check.call, each_points, check.hidden, rule, expected[check.title], shown))
    sentences = tuple(mistake.docstring() for mistake in exercise.mistakes)
    return ExerciseKey(
        name=exercise.name,
        title=exercise.title,
        defines=exercise.defines,
        points=exercise.check.points,
        sentences=sentences,
        checks=tuple(checks),
        hints=tuple(exercise.hints.items()),
    )


def _where_it_shows(rule: Json, observation: Json | None, expected: Json) -> Json | None:
    if observation is None or rules.passes(rule, observation, expected):
        return None
    if rule["rule"] != "close":
        return {"saw": "stub"}  # only *that* it fails is used; the array would be dead weight
    return {name: value for name, value in observation.items() if name not in ("line", "code")}


def _refuse_weak_checks(lesson: Lesson, key: Key, runner: _Runner) -> None:
    stubs = {name: _stub(exercise.cell.source) for name, exercise in lesson.exercises.items()}
    untouched = runner.observe(stubs)
    for name, exercise in lesson.exercises.items():
        part = key.exercises[name]
        reference = judge(part, {check.title: check.expected for check in part.checks})
        if reference.points != part.points:
            raise LessonError(lesson.path, exercise.check.line, f"the reference fails: {_first_failure(reference)}")
        if judge(part, untouched[name]).points:
            raise LessonError(lesson.path, exercise.check.line, f'the untouched stub of "{name}" scores points')
        for index, mistake in enumerate(exercise.mistakes):
            _refuse_unnamed(lesson, part, mistake, index, runner)
        for alternative in exercise.alternatives:
            result = judge(part, runner.tried(name, alternative.code()))
            if result.points != part.points:
                told = f"this right answer loses points: {_first_failure(result)}"
                raise LessonError(lesson.path, alternative.line, told)


def _refuse_unnamed(lesson: Lesson, part: ExerciseKey, mistake: Cell, index: int, runner: _Runner) -> None:
    result = judge(part, runner.tried(part.name, mistake.code()))
    failed = [check for check in result.checks if check.status != "ok"]
    if not failed:
        raise LessonError(lesson.path, mistake.line, "this mistake passes every check")
    named = {check.mistake for check in failed if check.mistake is not None}
    if named != {index}:
        others = sorted(named - {index})
        other = f'gets the sentence "{part.sentences[others[0]]}"' if others else f"gets no name: {failed[0].sentence}"
        raise LessonError(lesson.path, mistake.line, f"this mistake {other}; add a check that tells it apart")
    if not any(check.mistake == index and not check.hidden for check in result.checks):
        raise LessonError(lesson.path, mistake.line, "this mistake shows in hidden checks only; add one in plain sight")


def _first_failure(result: ExerciseResult) -> str:
    failed = next(check for check in result.checks if check.status != "ok")
    return f'"{failed.title}": {" ".join([failed.sentence, *failed.detail])}'


def _stub(source: str) -> str:
    """The released form of an exercise cell, as nbgrader will make it."""
    lines, inside = [], False
    for line in source.splitlines():
        if BEGIN_SOLUTION in line:
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            lines += [f"{indent}# YOUR CODE HERE", f"{indent}raise NotImplementedError()"]
        elif END_SOLUTION in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)

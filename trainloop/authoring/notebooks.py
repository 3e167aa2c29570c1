"""A lesson's notebooks, made of its text: the instructor's, the students' (by nbgrader), the worked solutions."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Base
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from sqlalchemy import create_engine
from traitlets.config import Config

from trainloop.authoring.errors import LessonError
from trainloop.authoring.lesson import (
    BEGIN_SOLUTION,
    END_SOLUTION,
    RELEASED,
    Cell,
    Exercise,
    Lesson,
    Prediction,
    released_script,
    without_markers,
)
from trainloop.authoring.released import PREPROCESSORS
from trainloop.checks.packed import pack
from trainloop.checks.values import Json
from trainloop.checks.worked import Worked
from trainloop.course import scripts_on_path, texts_in
from trainloop.syllabus import about, is_optional

SCHEMA_VERSION = 3  # of nbgrader's cell metadata
GOES_ON = "raises-exception"  # Jupyter's tag for a cell whose error does not stop those after it
FOLDED = {"jupyter": {"source_hidden": True}}  # JupyterLab shows the output alone, other front ends may show all
LAST = (
    "**This was the last lesson.** The start page, `0-start-here.md`, says where checks are still open. "
    "When all have passed, it leads to a page of what you solved."
)
LAST_OF_ALL = "**This was the last notebook.** The start page, `0-start-here.md`, says where checks are still open."
LANGUAGE = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def source_notebook(lesson: Lesson, proofs: bool = False) -> NotebookNode:
    """The instructor's notebook; with `proofs`, also the cells that hold the prose to its numbers."""
    cells, names = [], _CellIds()
    for cell in lesson.cells:
        if cell.kind == "markdown":
            cells.append(new_markdown_cell(cell.source, id=names.next(cell.source)))
        elif cell.kind == "written":
            about = _settings(cell.exercise, grade=True, solution=True, points=cell.points)
            cells.append(new_markdown_cell(cell.source, id=cell.exercise, metadata={"nbgrader": about}))
        elif cell.kind == "demo":
            cells.append(new_code_cell(cell.source, id=names.next()))
        elif cell.kind == "drawing":
            cells.append(new_markdown_cell(f"*Folded below: code that draws {cell.exercise}.*", id=names.next()))
            cells.append(new_code_cell(cell.source, id=names.next(), metadata=FOLDED))
        elif cell.kind == "predict":
            cells.append(new_code_cell(_question(lesson, cell.exercise), id=f"predict-{cell.exercise}"))
        elif cell.kind == "exercise":
            cells.append(_graded(cell, cell.exercise, solution=True))
        elif cell.kind == "check":
            cells.append(new_markdown_cell(_about_check(lesson, cell.exercise), id=f"about-{cell.exercise}"))
            cells.append(_graded(cell, f"check-{cell.exercise}", solution=False))
        elif cell.kind == "proof" and proofs:
            cells.append(new_code_cell(cell.source, id=f"proof-{cell.line}"))
    cells.append(new_markdown_cell(_what_comes_next(lesson), id="next-lesson"))
    return _notebook(cells, {"lesson": lesson.slug})


def _what_comes_next(lesson: Lesson) -> str:
    """The line that ends a notebook: the lesson after this one, and how long that takes, as its own text says it."""
    texts = texts_in(lesson.path.parents[1])
    after = texts[texts.index(lesson.path) + 1 :] if lesson.path in texts else []
    if not after:
        return LAST_OF_ALL if is_optional(lesson.slug) else LAST
    slug = after[0].parent.name
    title, time = about(after[0].read_text(encoding="utf-8"))
    link = f"[{title or slug}](../{slug}/{slug}.ipynb)"
    if is_optional(slug):
        return f"{LAST}\n\nIf you like, there is one more: {link}{time and f', about {time}'}. It is optional."
    return f"**Next:** {link}{time and f', about {time}'}. If it is not there, your class has not come to it yet."


def _question(lesson: Lesson, name: str) -> str:
    """The cell in which a learner predicts; it also works where an answer of the lesson takes the name `predict`."""
    answer = "your letter, in quotes," if isinstance(lesson.predictions[name].right, str) else "your number"
    taken = any("predict" in exercise.defines for exercise in lesson.exercises.values())
    call = "trainloop.predict" if taken else "predict"
    return f'{call}("{name}", ...)  # put {answer} in place of the dots'


def packed_prediction(prediction: Prediction) -> str:
    """What `predict` says of the answers, packed."""
    if prediction.within is None:
        return pack({"right": prediction.right, "options": prediction.sentences})
    return pack({"right": prediction.right, "within": prediction.within, "sentences": prediction.sentences})


def _notebook(cells: list[NotebookNode], about: Json) -> NotebookNode:
    notebook: NotebookNode = new_notebook(cells=cells, metadata={**LANGUAGE, "trainloop": about})
    return notebook


class _CellIds:
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
    # A failed check or an empty answer ends its own cell, and Run All goes on behind it. Whatever runs notebooks to
    # find faults takes the tag off first, see `execute`.
    about = {"nbgrader": settings, "tags": [GOES_ON], **({} if solution else FOLDED)}
    graded: NotebookNode = new_code_cell(cell.source, id=grade_id, metadata=about)
    return graded


def _about_check(lesson: Lesson, name: str) -> str:
    """The line in sight above a folded check cell."""
    exercise = lesson.exercises[name]
    hints = f'; `hint("{name}")` helps' if exercise.hints else ""
    return f'*Folded below: the checks. Run them after your cell{hints}; `solution("{name}")` shows a worked answer.*'


def worked_answer(exercise: Exercise) -> Worked:
    """What `solution` shows of an exercise."""
    others = tuple((each.sentence, each.code) for each in exercise.alternatives)
    right = exercise.letters.items()
    notes = tuple(f"{question}: {letter}. {exercise.options[question][letter]}" for question, letter in right)
    return Worked(without_markers(exercise.cell.source), others, notes)


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
        (root / "gradebook.db").write_bytes(_empty_gradebook())
        config = Config()
        config.CourseDirectory.root = str(root)
        config.CourseDirectory.assignment_id = slug
        config.GenerateAssignment.preprocessors = PREPROCESSORS
        converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
        converter.log.setLevel("ERROR")
        converter.start()
        released: NotebookNode = nbformat.read(root / "release" / slug / f"{slug}.ipynb", as_version=4)
    return released


@cache
def _empty_gradebook() -> bytes:
    """A gradebook with nothing in it, to be thrown away. nbgrader would run another program to give it a version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "gradebook.db")
        engine = create_engine(f"sqlite:///{path}")
        Base.metadata.create_all(engine)
        engine.dispose()
        return path.read_bytes()


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
            kept = {name: cell.metadata[name] for name in ("jupyter", "tags") if name in cell.metadata}
            cells.append(bare(cell.source, id=cell.id, metadata=kept))
        else:
            cells.append(new_code_cell(without_markers(exercise.cell.source), id=exercise.name))
            cells.append(new_markdown_cell("\n".join(_explain(exercise)), id=f"why-{exercise.name}"))
    return _notebook(cells, {"lesson": lesson.slug, "solutions": True})


def _explain(exercise: Exercise) -> Iterator[str]:
    if exercise.alternatives:
        yield f"#### Other ways to write {exercise.name}"
        for alternative in exercise.alternatives:
            yield f"\n{alternative.sentence}\n\n```python\n{alternative.code}\n```"
        yield ""
    if exercise.options:
        yield from _explain_options(exercise)
        return
    yield "#### What each wrong option means" if exercise.is_question else "#### What goes wrong here, and how to tell"
    told = (f"`{one.code}`: {one.sentence}" if exercise.is_question else one.sentence for one in exercise.mistakes)
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


def dump(notebook: NotebookNode, brief: bool = False) -> str:
    """A notebook as text: no outputs, sorted keys, one newline at the end.

    Args:
        notebook: any.
        brief: a line for each cell and for each line of its source, rather than for each entry of its metadata too.
            Not for what nbgrader's own generate_assignment writes: with its layout both write the same bytes.
    """
    plain = nbformat.from_dict(json.loads(json.dumps(notebook)))
    plain.nbformat, plain.nbformat_minor = 4, 5
    for cell in plain.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.validate(plain)
    return (_brief(plain) if brief else str(nbformat.writes(plain))) + "\n"


def _brief(notebook: NotebookNode) -> str:
    """A notebook's JSON in few lines."""

    def text(value: object) -> str:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)

    cells = []
    for cell in notebook.cells:
        head = text({name: value for name, value in cell.items() if name != "source"})
        source = ",\n".join(f"  {text(line)}" for line in cell.source.splitlines(keepends=True))
        cells.append(f' {head[:-1]}, "source": [\n{source}\n ]}}' if source else f' {head[:-1]}, "source": []}}')
    rest = [f' "{name}": {text(value)}' for name, value in sorted(notebook.items()) if name != "cells"]
    return "{\n" + ",\n".join([' "cells": [\n' + ",\n".join(cells) + "\n ]", *rest]) + "\n}"


def refuse_leaks(lesson: Lesson, released: NotebookNode, visible: str) -> None:
    """No line of a solution or a hidden check, and no mistake's code, in what students get."""
    text = "\n".join(cell.source for cell in released.cells)
    for written in lesson.written.values():
        if written.source.strip() in text:
            raise LessonError(lesson.path, written.line, "this model answer shows in the release")
    for exercise in lesson.exercises.values():
        for check in exercise.checks:
            leak = check.call if check.title in exercise.visible_titles else check.title
            if check.hidden and (leak in text or leak in visible):
                raise LessonError(lesson.path, check.line, f'the hidden check "{check.title}" shows in the release')
        answer_cells = "\n".join(cell.source for cell in released.cells if cell.id in lesson.exercises)
        hints = "\n".join(exercise.hints.values())
        for line in _solution_lines(exercise):  # a demonstration may hold the same line; a stub may not
            if (line in answer_cells or line in hints) and not exercise.is_script:
                message = f"a line of the solution shows in the release: {line}"
                raise LessonError(lesson.path, exercise.cell.line, message)
        if exercise.is_script:
            _refuse_open_script(lesson, exercise, next(one.source for one in released.cells if one.id == exercise.name))


def _refuse_open_script(lesson: Lesson, exercise: Exercise, released: str) -> None:
    """Of a script to be mended, what is right may stand in another script, or lines above; a hint may not quote it."""
    shown = released_script(exercise.cell.source)
    if released != shown:
        raise LessonError(lesson.path, exercise.cell.line, "what is released of this script is not what it says")
    hints = "\n".join(exercise.hints.values())
    for line in _solution_lines(exercise):
        if line in hints and line not in shown:
            raise LessonError(lesson.path, exercise.cell.line, f"a line of the solution shows in a hint: {line}")


def _solution_lines(exercise: Exercise) -> Iterator[str]:
    """The lines of a solution that say something, each as it would stand in a cell of its own."""
    inside = False
    for line in exercise.cell.source.splitlines():
        if END_SOLUTION in line or RELEASED in line:
            inside = False
        # Short lines, such as a `return h`, could stand anywhere.
        if inside and len(line.strip()) > 24:
            yield line.strip()
        inside = inside or BEGIN_SOLUTION in line

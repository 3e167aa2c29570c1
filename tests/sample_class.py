"""A class of sample students, made from the lesson itself: what each hands in, and what each deserves.

`trainloop demo` grades this class; the tests hold the grader to `deserves` and `status`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from trainloop.authoring.lesson import Exercise, read
from trainloop.course import Course

Deserved = Literal["full", "part", "none", "not full"]
Answers = Mapping[str, str]
HTML = '<script>alert("sasha")</script><img src="x" onerror="alert(1)"><a href="javascript:alert(2)">more</a>'


@dataclass(frozen=True)
class Student:
    """One student: what they did, the files they hand in, the mark by exercise and the status they should get."""

    name: str
    story: str
    files: Mapping[str, bytes]  # by name
    deserves: Mapping[str, Deserved]
    status: str

    def hand_in(self, folder: Path, slug: str) -> None:
        """Write the submission into `folder`."""
        folder.mkdir(parents=True)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)


def students(course: Course, slug: str) -> list[Student]:
    """The class, by name."""
    exercises = read(course.text(slug)).exercises
    released = course.read("release", slug)
    return sorted([*_solid(slug, exercises, released), *_trouble(slug, exercises, released)], key=lambda one: one.name)


def _solid(slug: str, exercises: Mapping[str, Exercise], released: NotebookNode) -> Iterator[Student]:
    """Those whose notebooks are in order: right, right in other ways, with each named mistake, unfinished."""
    name = f"{slug}.ipynb"
    right = reference(exercises)
    yield Student("ada", "everything right", {name: filled(released, right)}, _all(exercises, "full"), "ok")
    for index, student in enumerate(("ben", "chloe", "dmitri")):
        others = {
            one.name: [other.code for other in one.alternatives] or [right[one.name]] for one in exercises.values()
        }
        answers = {exercise: codes[index % len(codes)] for exercise, codes in others.items()}
        yield Student(
            student, "right, in another way", {name: filled(released, answers)}, _all(exercises, "full"), "ok"
        )
    for index in range(max(len(one.mistakes) for one in exercises.values())):
        answers = {one.name: one.mistakes[index % len(one.mistakes)].code for one in exercises.values()}
        story = f"the named mistake {index + 1} in each exercise"
        yield Student(
            f"learner-{index + 1:02}", story, {name: filled(released, answers)}, _all(exercises, "not full"), "wrong"
        )
    yield Student("erin", "did not begin", {name: filled(released, {})}, _all(exercises, "none"), "missing")
    first = list(exercises)[:2]
    half = {one: right[one] for one in first}
    marks: dict[str, Deserved] = {one: "full" if one in first else "none" for one in exercises}
    yield Student("farid", "did the first two exercises", {name: filled(released, half)}, marks, "missing")


def _trouble(slug: str, exercises: Mapping[str, Exercise], released: NotebookNode) -> Iterator[Student]:
    """Those whose submissions stop other graders."""
    name, right, full = f"{slug}.ipynb", reference(exercises), _all(exercises, "full")
    one, two, three, *_ = exercises

    def spoiled(exercise: str, text: str) -> dict[str, bytes]:
        return {name: filled(released, {**right, exercise: text})}

    yield Student(
        "grace", "a syntax error", spoiled(two, right[two] + "\nclass Half(:\n"), {**full, two: "none"}, "wrong"
    )
    loop = right[one].replace("return", "while True: pass\n    return", 1)
    yield Student("hugo", "a loop without end", spoiled(one, loop), {**full, one: "none"}, "timeout")
    missing = "import a_package_that_is_not_there\n" + right[one]
    yield Student("ines", "an exception at import", spoiled(one, missing), {**full, one: "none"}, "wrong")
    gone = "import os\nos._exit(0)\n" + right[three]
    yield Student("jonas", "ends the process", spoiled(three, gone), {**full, three: "none"}, "crashed")

    def changed(change: Callable[[NotebookNode], None]) -> dict[str, bytes]:
        notebook = nbformat.reads(filled(released, right).decode(), as_version=4)
        change(notebook)
        return {name: dump(notebook)}

    check = f"check-{two}"

    def delete(notebook: NotebookNode) -> None:
        notebook.cells = [cell for cell in notebook.cells if cell.id != check]

    def duplicate(notebook: NotebookNode) -> None:
        place = next(index for index, cell in enumerate(notebook.cells) if cell.id == one)
        twin = copy.deepcopy(notebook.cells[place])
        twin.id = "twin"
        notebook.cells.insert(place + 1, twin)

    def rewrite(notebook: NotebookNode) -> None:
        cell = next(cell for cell in notebook.cells if cell.id == check)
        cell.source, cell.metadata["nbgrader"]["points"] = "pass", 100

    def helper(notebook: NotebookNode) -> None:
        place = next(index for index, cell in enumerate(notebook.cells) if cell.id == one)
        notebook.cells[place].source = notebook.cells[place].source.replace("x.clamp(min=0)", "at_least_zero(x)")
        notebook.cells.insert(place, new_code_cell("def at_least_zero(x):\n    return x.clamp(min=0)"))

    def html(notebook: NotebookNode) -> None:
        place = next(index for index, cell in enumerate(notebook.cells) if cell.id == one)
        shown = f"from IPython.display import HTML, display\nprint({HTML!r})\ndisplay(HTML({HTML!r}))\n# {HTML}"
        notebook.cells[place].source += f"\nprint({HTML!r})  # {HTML}"
        notebook.cells[place:place] = [new_markdown_cell(HTML), new_code_cell(shown)]

    yield Student("kavya", "deleted a check cell", changed(delete), full, "tampered")
    yield Student("liam", "duplicated a cell", changed(duplicate), full, "ok")
    yield Student("quinn", "rewrote a check cell, and its points", changed(rewrite), full, "tampered")
    yield Student("rosa", "a helper function in a cell of her own", changed(helper), full, "ok")
    yield Student("sasha", "scripts in text, code and output", changed(html), full, "ok")
    whole = filled(released, right)
    none = _all(exercises, "none")
    yield Student("mona", "a file that ends in the middle", {name: whole[: len(whole) // 2]}, none, "missing")
    yield Student("noor", "an extra notebook", {name: whole, "scratch.ipynb": filled(released, {})}, full, "ok")
    yield Student("otto", "a renamed notebook", {f"{slug} (2).ipynb": whole}, full, "ok")
    yield Student("pia", "no notebook at all", {"answers.txt": b"See my e-mail."}, none, "missing")


def reference(exercises: Mapping[str, Exercise]) -> dict[str, str]:
    """The reference solutions by exercise."""
    return {name: exercise.cell.source for name, exercise in exercises.items()}


def filled(released: NotebookNode, answers: Answers) -> bytes:
    """The released notebook with answers in its exercise cells, as JupyterLab would save it."""
    notebook = copy.deepcopy(released)
    for cell in notebook.cells:
        if cell.get("id") in answers:
            cell.source = answers[cell.id]
    return dump(notebook)


def dump(notebook: NotebookNode) -> bytes:
    """A notebook as bytes."""
    return json.dumps(notebook, indent=1, ensure_ascii=False).encode()


def _all(exercises: Mapping[str, Exercise], mark: Deserved) -> dict[str, Deserved]:
    return dict.fromkeys(exercises, mark)

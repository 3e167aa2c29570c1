"""Lesson text: a Markdown notebook, read by jupytext, and what the attributes on its fences mean.

    ```python                          a demonstration
    ```python exercise="relu"          an exercise cell: stub, and the solution between nbgrader's markers
    ```python check="relu" points=2    its checks; the hidden ones between nbgrader's markers
    ```python mistake="relu"           what a learner might write instead; its docstring is the sentence they will read
    ```python alternative="relu"       another right answer; its docstring says what is different
    ```python options="quiz"           of questions: what each option means; the wrong ones are mistakes
    ```python hints="relu"             titles in a learner's words -> what helps, from the softest on
    ```python judge="relu"             rules other than "equal to the reference", and arrays to hand to hidden checks
    ```python proof                    claims: a phrase of the prose -> what makes it true

and, as a Markdown cell that a person marks, the model answer in it:

    <!-- #region written="why" points=2 --> ... <!-- #endregion -->

The last six of the fences stand in no notebook that a student opens; hints travel in the key beside it.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import jupytext
from nbformat import NotebookNode

Kind: TypeAlias = Literal[
    "markdown", "written", "demo", "exercise", "check", "mistake", "alternative", "options", "hints", "judge", "proof"
]

# The attribute that makes a fence what it is, and those it may have besides. A fence without one is a demonstration.
ATTRIBUTES: dict[Kind, frozenset[str]] = {
    "exercise": frozenset(),
    "check": frozenset({"points"}),
    "mistake": frozenset(),
    "alternative": frozenset(),
    "options": frozenset(),
    "hints": frozenset(),
    "judge": frozenset(),
    "proof": frozenset(),
}
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


class LessonError(Exception):
    """Something in a lesson's text is refused. Says where, what, and what to do."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.path, self.line, self.message = path, line, message


@dataclass(frozen=True)
class Cell:
    """One cell of the text. `line` is that of its first line in the file; `exercise` is empty for prose and demos."""

    kind: Kind
    source: str
    line: int
    exercise: str = ""
    points: float = 0.0  # of a check or a written answer
    unknown: tuple[str, ...] = ()  # attributes that mean nothing here

    def tree(self, path: Path) -> ast.Module:
        """The syntax tree. Raises `LessonError` where the code is not Python."""
        try:
            return ast.parse(self.source)
        except SyntaxError as error:
            raise LessonError(path, self.line + (error.lineno or 1) - 1, f"not Python: {error.msg}") from None

    def docstring(self) -> str:
        """The cell's docstring as one line of text, or an empty one."""
        try:
            return " ".join((ast.get_docstring(ast.parse(self.source)) or "").split())
        except SyntaxError:
            return ""

    def code(self) -> str:
        """The source without the docstring."""
        body = ast.parse(self.source).body
        if self.docstring() and body:
            lines = self.source.splitlines()
            return "\n".join(lines[body[0].end_lineno :]).strip("\n")
        return self.source


@dataclass(frozen=True)
class Check:
    """One observation in a check cell, as its author wrote it."""

    title: str
    call: str
    hidden: bool
    line: int


@dataclass(frozen=True)
class Exercise:
    """All cells that belong to one exercise, in the order of the text."""

    name: str
    title: str
    cell: Cell
    check: Cell
    checks: tuple[Check, ...]
    mistakes: tuple[Cell, ...]
    alternatives: tuple[Cell, ...]
    judges: tuple[Cell, ...]
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # question -> letter -> what it means
    hints: Mapping[str, str] = field(default_factory=dict)  # title -> text, from the softest on

    @property
    def is_question(self) -> bool:
        """Whether the answer is a value, and not code: nothing is defined with `def` or `class`."""
        return not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(self.cell.source).body)

    @property
    def letters(self) -> dict[str, str]:
        """The right letter of each question, where the exercise has options."""
        return _letters(self.cell) if self.options else {}

    @property
    def defines(self) -> tuple[str, ...]:
        """The names that the answer binds at its top level."""
        return tuple(sorted({name for node in ast.parse(self.cell.source).body for name in _bound(node)}))


@dataclass(frozen=True)
class Lesson:
    """A lesson as written."""

    path: Path
    cells: tuple[Cell, ...]
    exercises: dict[str, Exercise] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The one name: file, assignment, page, command line."""
        return self.path.stem

    @property
    def prose(self) -> Iterator[Cell]:
        """The Markdown cells that students read."""
        return (cell for cell in self.cells if cell.kind == "markdown")

    @property
    def written(self) -> dict[str, Cell]:
        """The questions that are answered in words and marked by a person, by name; each cell is the model answer."""
        return {cell.exercise: cell for cell in self.cells if cell.kind == "written"}


def read(path: Path) -> Lesson:
    """Read a lesson and gather its exercises.

    Raises:
        LessonError: the text cannot be understood. What can be understood and is still refused is the matter of `lint`.
    """
    text = path.read_text(encoding="utf-8")
    try:
        notebook = jupytext.reads(text, fmt="md")
    except Exception as error:
        raise LessonError(path, 1, f"jupytext cannot read it: {error}") from None
    lesson = Lesson(path, tuple(_cell(path, raw, line) for raw, line in _with_lines(notebook.cells, text)))
    lesson.exercises.update(_exercises(lesson))
    return lesson


def _with_lines(cells: Iterable[NotebookNode], text: str) -> Iterator[tuple[NotebookNode, int]]:
    """Each cell with the line where its source begins, which jupytext does not keep."""
    position = 0
    for raw in cells:
        magic, body = re.fullmatch(r"(%%.*\n)?([\s\S]*)", raw.source).groups("")  # type: ignore[union-attr]
        # jupytext turns the fence ```bash into the line %%bash.
        source = rf"(?:{re.escape(magic)})?{re.escape(body)}"
        # A fence belongs to what is looked for: a cell `n` is not the n in the word python of the fence above it.
        form = rf"^```.*\n(?P<source>{source})\s*^```" if raw.cell_type == "code" else rf"^(?P<source>{source})$"
        found = re.compile(form, re.M).search(text, position)
        start = found.start("source") if found else position
        position = found.end() if found else position
        yield raw, text.count("\n", 0, start) + 1


def _cell(path: Path, raw: NotebookNode, line: int) -> Cell:
    source, metadata = str(raw.source), dict(raw.metadata)
    metadata.pop("lines_to_next_cell", None)  # jupytext's own note
    if raw.cell_type != "code":
        name = metadata.pop("written", "")
        points = _points(path, line, metadata.pop("points", 0)) if name else 0.0
        return Cell("written" if name else "markdown", source, line, str(name), points, tuple(sorted(metadata)))
    kinds = [kind for kind in ATTRIBUTES if kind in metadata]
    if len(kinds) > 1:
        raise LessonError(path, line, f"a cell is one thing, not {' and '.join(kinds)}")
    kind: Kind = kinds[0] if kinds else "demo"
    value = metadata.pop(kinds[0]) if kinds else ""
    exercise = value if isinstance(value, str) else ""
    points = _points(path, line, metadata.get("points", 0)) if kind == "check" else 0.0
    unknown = tuple(sorted(set(metadata) - ATTRIBUTES.get(kind, frozenset())))
    return Cell(kind, source, line, exercise, points, unknown)


def _points(path: Path, line: int, points: object) -> float:
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points < math.inf:
        raise LessonError(path, line, f"points={points!r} is not a number of points")
    return float(points)


def _exercises(lesson: Lesson) -> dict[str, Exercise]:
    path, heading = lesson.path, ""
    headings: dict[str, str] = {}
    groups: dict[tuple[str, Kind], list[Cell]] = {}
    for cell in lesson.cells:
        if cell.kind == "markdown":
            heading = (re.findall(r"^#{2,3} +(.+)$", cell.source, re.M) or [heading])[-1]
        elif cell.kind in ("demo", "proof", "written"):
            continue
        elif not cell.exercise:
            raise LessonError(path, cell.line, f'which exercise? Write {cell.kind}="name"')
        else:
            headings.setdefault(cell.exercise, heading)
            groups.setdefault((cell.exercise, cell.kind), []).append(cell)
    return {name: _exercise(lesson, name, headings[name], groups) for name in headings}


def _exercise(lesson: Lesson, name: str, title: str, groups: dict[tuple[str, Kind], list[Cell]]) -> Exercise:
    def all_of(kind: Kind) -> tuple[Cell, ...]:
        return tuple(groups.get((name, kind), ()))

    def one(kind: Kind, advice: str) -> Cell:
        found = all_of(kind)
        if len(found) == 1:
            return found[0]
        line = found[1].line if found else next(cells[0].line for (n, _), cells in groups.items() if n == name)
        many = f'a second cell has {kind}="{name}"; names are given once' if found else advice
        raise LessonError(lesson.path, line, many)

    cell = one("exercise", f'no cell has exercise="{name}"; is the name misspelt?')
    check = one("check", f'exercise "{name}" has no check; add a cell with check="{name}" points=...')
    for each in (cell, *all_of("mistake"), *all_of("alternative"), *all_of("judge")):
        each.tree(lesson.path)
    explained = all_of("options")
    options = read_options(lesson.path, explained[0], cell) if explained else {}
    hints = all_of("hints")
    for given, many in (("options", explained), ("hints", hints)):
        if len(many) > 1:
            raise LessonError(lesson.path, many[1].line, f'a second cell has {given}="{name}"; names are given once')
    return Exercise(
        name=name,
        title=title,
        cell=cell,
        check=check,
        checks=read_checks(lesson.path, check),
        mistakes=(*all_of("mistake"), *(one for each in explained for one in _wrong_letters(cell, each, options))),
        alternatives=all_of("alternative"),
        judges=all_of("judge"),
        options=options,
        hints=read_hints(lesson.path, hints[0]) if hints else {},
    )


def read_options(path: Path, cell: Cell, exercise: Cell) -> dict[str, dict[str, str]]:
    """What each option of each question means: the dictionary `options` of an options cell, in the order of the text.

    Raises:
        LessonError: the cell has another form, or its questions are not those that the exercise answers.
    """
    form = 'an options cell is one dictionary: options = {"q1": {"A": "why, in a sentence", "B": ...}, ...}'
    try:
        (statement,) = cell.tree(path).body
        assert isinstance(statement, ast.Assign)
        found = ast.literal_eval(statement.value)
        options = {
            str(question): {str(k): " ".join(v.split()) for k, v in each.items()} for question, each in found.items()
        }
    except (AssertionError, AttributeError, TypeError, ValueError):
        raise LessonError(path, cell.line, form) from None
    letters = _letters(exercise)
    if set(letters) != set(options):
        apart = ", ".join(sorted(set(letters) ^ set(options)))
        raise LessonError(path, cell.line, f"questions and options do not correspond: {apart}")
    for question, each in options.items():
        if letters[question] not in each or len(each) < 2:
            line = cell.line + next(n for n, text in enumerate(cell.source.splitlines()) if f'"{question}"' in text)
            raise LessonError(path, line, f'"{question}" needs its right option, {letters[question]}, and a wrong one')
    return options


def read_hints(path: Path, cell: Cell) -> dict[str, str]:
    """The hints of an exercise: the dictionary `hints` of a hints cell, title -> text, in the order of the text.

    Raises:
        LessonError: the cell has another form, or two hints have one title.
    """
    form = 'a hints cell is one dictionary: hints = {"In the words of a learner": "what helps", ...}'
    try:
        (statement,) = cell.tree(path).body
        assert isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict)
        found = ast.literal_eval(statement.value)
        hints = {str(title): " ".join(text.split()) for title, text in found.items()}
    except (AssertionError, AttributeError, TypeError, ValueError):
        raise LessonError(path, cell.line, form) from None
    if len(hints) < len(statement.value.keys):
        raise LessonError(path, cell.line, "two hints have one title")
    return hints


def visible_part(source: str) -> str:
    """A check cell as students get it: without what stands between the markers for hidden tests."""
    hidden = _hidden_lines(source)
    lines = enumerate(source.splitlines(), start=1)
    return "\n".join(line for number, line in lines if number not in hidden and END_HIDDEN not in line)


def _letters(cell: Cell) -> dict[str, str]:
    """The names that an exercise's solution binds to texts: `q1, q2 = "B", "A"`, or one by one."""
    found = {}
    for node in ast.parse(cell.source).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            answers = value.elts if isinstance(value, ast.Tuple) else [value]
            for name, answer in zip(names, answers, strict=False):
                if isinstance(name, ast.Name) and isinstance(answer, ast.Constant) and isinstance(answer.value, str):
                    found[name.id] = answer.value
    return found


def _wrong_letters(exercise: Cell, cell: Cell, options: Mapping[str, Mapping[str, str]]) -> Iterator[Cell]:
    """Each wrong option as a mistake: the right answers, with this one in place of its question's."""
    letters = _letters(exercise)
    for question, each in options.items():
        for letter, sentence in each.items():
            if letter != letters[question]:
                answers = {**letters, question: letter}
                code = "\n".join(f"{name} = {answer!r}" for name, answer in answers.items())
                yield Cell("mistake", f"{sentence!r}\n{code}", cell.line, cell.exercise)


def read_checks(path: Path, cell: Cell) -> tuple[Check, ...]:
    """The observations of a check cell: the entries of the dictionary in its one call of `check`.

    Raises:
        LessonError: the cell has another form.
    """
    tree = cell.tree(path)
    calls = [node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    calls = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "check"]
    form = 'a check cell calls check("name", {"title": lambda: ..., ...}) once, at its top level'
    if len(calls) != 1 or len(calls[0].args) != 2 or calls[0].keywords:
        raise LessonError(path, cell.line, form)
    name, table = calls[0].args
    if not isinstance(name, ast.Constant) or name.value != cell.exercise:
        raise LessonError(path, cell.line, f'the call and the fence disagree: check("{cell.exercise}", ...)')
    if not isinstance(table, ast.Dict) or not table.keys:
        raise LessonError(path, cell.line, form)
    hidden = _hidden_lines(cell.source)
    checks = []
    for key, value in zip(table.keys, table.values, strict=True):
        line = cell.line + value.lineno - 1
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            raise LessonError(path, line, "a check's title is a text")
        if not isinstance(value, ast.Lambda | ast.Name):
            raise LessonError(path, line, "an observation is a lambda, or a function's name, so that nothing runs yet")
        body = value.body if isinstance(value, ast.Lambda) else value
        checks.append(Check(key.value, ast.unparse(body), key.lineno in hidden, line))
    return tuple(checks)


def _hidden_lines(source: str) -> set[int]:
    hidden, inside = set(), False
    for number, line in enumerate(source.splitlines(), start=1):
        inside = (inside or BEGIN_HIDDEN in line) and END_HIDDEN not in line
        if inside:
            hidden.add(number)
    return hidden


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id

"""A lesson's text, `notebooks/<slug>/lesson.md`: a Markdown notebook, and what the attributes on its fences mean.

    ```python                          an idea cell: the loop, the model, the numbers
    ```python drawing="the boundary"   a cell that only draws; what it draws
    ```python exercise="relu"          an exercise cell: stub, and the solution between nbgrader's markers
    ```python check="relu" points=2    its checks; the hidden ones between nbgrader's markers
    ```python options="quiz"           of questions: what each option means; the wrong ones are mistakes
    ```python hints="relu"             titles in a learner's words -> what helps, from the softest on
    ```python predict="width"          a question that earns nothing: what is right, and a sentence for each answer
    ```python proof                    claims: a phrase of the prose -> what makes it true

and, as a Markdown cell that a person marks, the model answer in it:

    <!-- #region written="why" points=2 --> ... <!-- #endregion -->

The content of the last four fences stands in no notebook that a student opens; options, hints and predictions travel in
the key beside it. The mistakes that learners make, and other right answers, are read from the file beside (`answers`).
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import jupytext
from nbformat import NotebookNode

from trainloop.authoring.answers import NAME as ANSWERS
from trainloop.authoring.answers import Answer, Answers, read_answers
from trainloop.authoring.errors import LessonError
from trainloop.checks.evidence import AS_RELEASED

CellKind: TypeAlias = Literal[
    "markdown", "written", "demo", "drawing", "exercise", "check", "options", "hints", "predict", "proof"
]

# The attribute that makes a fence what it is, and those it may have besides. A fence without one is an idea cell.
ATTRIBUTES: dict[CellKind, frozenset[str]] = {
    "exercise": frozenset(),
    "check": frozenset({"points"}),
    "drawing": frozenset(),
    "options": frozenset(),
    "hints": frozenset(),
    "predict": frozenset(),
    "proof": frozenset(),
}
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
# In a challenge, below the mended lines and still in the solution: as comments, what learners find in their place.
RELEASED = "### RELEASED"
WORTH = 0.5  # points of a title, where its check does not say otherwise
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
FENCE_BELOW = re.compile(r"\s*^```", re.M)  # of a cell of code


@dataclass(frozen=True)
class Cell:
    """One cell of the text. `line` is that of its first line in the file.

    `exercise` is the name in the fence's attribute: of an exercise, of a written answer, of a prediction. It is empty
    for prose and idea cells; of a drawing cell, it says what is drawn.
    """

    kind: CellKind
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


@dataclass(frozen=True)
class Check:
    """One observation in a check cell, as its author wrote it."""

    title: str
    call: str
    hidden: bool
    line: int
    rule: bool = False  # kept, it earns nothing; broken, the exercise earns at most half
    worth: float = 0.0  # points of its title, for it and its hidden twin together


@dataclass(frozen=True)
class Exercise:
    """All cells that belong to one exercise, in the order of the text."""

    name: str
    title: str
    cell: Cell
    check: Cell
    checks: tuple[Check, ...]
    mistakes: tuple[Answer, ...]
    alternatives: tuple[Answer, ...]
    judges: tuple[Answer, ...]
    base: Answer | None = None
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # question -> letter -> what it means
    hints: Mapping[str, str] = field(default_factory=dict)  # title -> text, from the softest on

    @property
    def is_question(self) -> bool:
        """Whether the answer is a value, and not code: nothing is defined with `def` or `class`."""
        return not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(self.cell.source).body)

    @property
    def is_script(self) -> bool:
        """Whether learners get a script that runs and is wrong, to be mended, in place of a stub."""
        return RELEASED in self.cell.source

    @property
    def visible_titles(self) -> frozenset[str]:
        """The titles of the checks and rules in plain sight."""
        return frozenset(check.title for check in self.checks if not check.hidden)

    @property
    def other_answers(self) -> tuple[Answer, ...]:
        """All right answers besides the reference."""
        return (*([self.base] if self.base else ()), *self.alternatives)

    @property
    def letters(self) -> dict[str, str]:
        """The right letter of each question, where the exercise has options."""
        return _letters(self.cell) if self.options else {}

    @property
    def defines(self) -> tuple[str, ...]:
        """The names that the answer binds at its top level."""
        return tuple(sorted({name for node in ast.parse(self.cell.source).body for name in _bound(node)}))


@dataclass(frozen=True)
class Prediction:
    """A question to predict, with a sentence for each answer; it is not graded.

    The answer is one of the letters in `sentences`, or a number: then `right` is one, an answer counts as right that is
    off by `within` at most, and the sentences are those of "right", "low" and "high".
    """

    name: str
    right: str | float
    sentences: Mapping[str, str]
    within: float | None
    line: int


@dataclass(frozen=True)
class Lesson:
    """A lesson as written. `path` is that of the article."""

    path: Path
    cells: tuple[Cell, ...]
    exercises: dict[str, Exercise] = field(default_factory=dict)
    predictions: dict[str, Prediction] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The one name: folder, assignment, page, command line."""
        return self.path.parent.name

    @property
    def prose(self) -> Iterator[Cell]:
        """The Markdown cells that students read."""
        return (cell for cell in self.cells if cell.kind == "markdown")

    @property
    def written(self) -> dict[str, Cell]:
        """The questions that are answered in words and marked by a person, by name; each cell is the model answer."""
        return {cell.exercise: cell for cell in self.cells if cell.kind == "written"}


def read(path: Path) -> Lesson:
    """Read a lesson, and the answers beside it, and gather its exercises.

    Args:
        path: of the article, `notebooks/<slug>/lesson.md`.

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
    lesson.predictions.update(_predictions(lesson))
    return lesson


def _with_lines(cells: Iterable[NotebookNode], text: str) -> Iterator[tuple[NotebookNode, int]]:
    """Each cell with the line where its source begins, which jupytext does not keep."""
    position = 0
    for raw in cells:
        magic, body = re.fullmatch(r"(%%.*\n)?([\s\S]*)", raw.source).groups("")  # type: ignore[union-attr]
        found = _places(body, magic, text, position) if raw.cell_type == "code" else _paragraphs(body, text, position)
        start, position = next(found, (position, position))
        yield raw, text.count("\n", 0, start) + 1


def _paragraphs(source: str, text: str, position: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each place behind `position` where these lines stand."""
    for start, end in _occurrences(source, text, position):
        if (not start or text[start - 1] == "\n") and text[end : end + 1] in ("", "\n"):
            yield start, end


def _places(body: str, magic: str, text: str, position: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each place where these lines stand between fences, of which jupytext makes a cell.

    The fence above belongs to what is looked for: a cell `n` is not the n in the word python of that fence. The fence
    ```bash becomes the line %%bash, so that the magic need not stand in the text.
    """
    for start, end in _occurrences(body, text, position):
        begin = start - len(magic) if text.endswith(magic, 0, start) else start
        fence = text.rfind("\n", 0, begin - 1) + 1
        below = FENCE_BELOW.match(text, end)
        if text.endswith("\n", 0, begin) and text.startswith("```", fence) and fence >= position and below:
            yield begin, below.end()


def _occurrences(part: str, text: str, position: int) -> Iterator[tuple[int, int]]:
    start = text.find(part, position)
    while start >= 0:
        yield start, start + len(part)
        start = text.find(part, start + 1)


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
    kind: CellKind = kinds[0] if kinds else "demo"
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
    groups: dict[tuple[str, CellKind], list[Cell]] = {}
    for cell in lesson.cells:
        if cell.kind == "markdown":
            heading = (re.findall(r"^#{2,3} +(.+)$", cell.source, re.M) or [heading])[-1]
        elif cell.kind in ("demo", "drawing", "proof", "predict", "written"):
            continue
        elif not cell.exercise:
            raise LessonError(path, cell.line, f'which exercise? Write {cell.kind}="name"')
        else:
            headings.setdefault(cell.exercise, heading)
            groups.setdefault((cell.exercise, cell.kind), []).append(cell)
    references = {cell.exercise: without_markers(cell.source) for cell in lesson.cells if cell.kind == "exercise"}
    answers = read_answers(path.with_name(ANSWERS), references)
    return {name: _exercise(lesson, name, headings[name], groups, answers.get(name, Answers())) for name in headings}


def _exercise(
    lesson: Lesson, name: str, title: str, groups: dict[tuple[str, CellKind], list[Cell]], answers: Answers
) -> Exercise:
    def all_of(kind: CellKind) -> tuple[Cell, ...]:
        return tuple(groups.get((name, kind), ()))

    def one(kind: CellKind, advice: str) -> Cell:
        found = all_of(kind)
        if len(found) == 1:
            return found[0]
        line = found[1].line if found else next(cells[0].line for (n, _), cells in groups.items() if n == name)
        many = f'a second cell has {kind}="{name}"; names are given once' if found else advice
        raise LessonError(lesson.path, line, many)

    cell = one("exercise", f'no cell has exercise="{name}"; is the name misspelt?')
    check = one("check", f'exercise "{name}" has no check; add a cell with check="{name}" points=...')
    cell.tree(lesson.path)
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
        mistakes=(
            *([_unmended(lesson.path, cell)] if RELEASED in cell.source else []),
            *answers.mistakes,
            *_wrong_letters(lesson.path, cell, options, explained),
        ),
        alternatives=answers.alternatives,
        judges=answers.judges,
        base=answers.base,
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


def _predictions(lesson: Lesson) -> dict[str, Prediction]:
    found: dict[str, Prediction] = {}
    for cell in lesson.cells:
        if cell.kind != "predict":
            continue
        if not cell.exercise:
            raise LessonError(lesson.path, cell.line, 'a question to predict has a name; write predict="name"')
        if cell.exercise in found or cell.exercise in lesson.exercises:
            told = f'"{cell.exercise}" is the name of something else, too; names are given once'
            raise LessonError(lesson.path, cell.line, told)
        found[cell.exercise] = read_prediction(lesson.path, cell)
    return found


def read_prediction(path: Path, cell: Cell) -> Prediction:
    """A question to predict: `right` and `options`, or `right`, `within` and `sentences`, all literals.

    Raises:
        LessonError: the cell has another form, or a sentence is missing.
    """
    form = (
        'a question to predict is right = "B" and options = {"A": "a sentence", "B": ...}, '
        'or right = 86, within = 5 and sentences = {"right": "a sentence", "low": ..., "high": ...}'
    )
    try:
        names = {}
        for statement in cell.tree(path).body:
            assert isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
            names[statement.targets[0].id] = ast.literal_eval(statement.value)
        of_letters = set(names) == {"right", "options"}
        assert of_letters or set(names) == {"right", "within", "sentences"}
        told = names["options" if of_letters else "sentences"].items()
        sentences = {str(answer): " ".join(sentence.split()) for answer, sentence in told}
        right, within = names["right"], names.get("within")
        number = isinstance(right, int | float) and isinstance(within, int | float) and within >= 0
        assert isinstance(right, str) if of_letters else number
    except (AssertionError, AttributeError, TypeError, ValueError):
        raise LessonError(path, cell.line, form) from None
    needed = {str(right)} if of_letters else {"right", "low", "high"}
    if not needed <= set(sentences) or not all(sentences.values()) or len(sentences) < 2:
        raise LessonError(path, cell.line, f"each answer has its sentence; needed: {', '.join(sorted(needed))}")
    return Prediction(cell.exercise, right, sentences, within, cell.line)


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


def without_markers(source: str) -> str:
    """Code without the lines that mark solution and hidden tests, and without what is released in their place."""
    markers = (BEGIN_SOLUTION, END_SOLUTION, BEGIN_HIDDEN, END_HIDDEN)
    lines, released = [], False
    for line in source.splitlines():
        released = (released or RELEASED in line) and END_SOLUTION not in line
        if not released and not any(marker in line for marker in markers):
            lines.append(line)
    return "\n".join(lines)


def released_script(source: str) -> str:
    """The script that learners get of an exercise cell of a challenge: each solution replaced by what is released.

    Raises:
        ValueError: below the marker stands something else than comments.
    """
    lines, inside, released = [], False, False
    for line in source.splitlines():
        if END_SOLUTION in line:
            inside = released = False
        elif BEGIN_SOLUTION in line:
            inside = True
        elif RELEASED in line:
            released = True
        elif not inside:
            lines.append(line)
        elif released:
            comment = re.fullmatch(r"(\s*)# (.*)", line)
            if comment is None:
                raise ValueError(f"below {RELEASED} stand comments only, not: {line.strip()}")
            lines.append(comment[1] + comment[2])
    return "\n".join(lines)


def _unmended(path: Path, cell: Cell) -> Answer:
    """The script as released: a mistake like others, so that whoever changes nothing reads that nothing has changed."""
    try:
        answer = Answer("mistake", AS_RELEASED, released_script(cell.source), path, cell.line)
        answer.tree()
    except ValueError as error:
        raise LessonError(path, cell.line, str(error)) from None
    return answer


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


def _wrong_letters(
    path: Path, exercise: Cell, options: Mapping[str, Mapping[str, str]], explained: Sequence[Cell]
) -> Iterator[Answer]:
    """Each wrong option as a mistake: the right answers, with this one in place of its question's."""
    letters = _letters(exercise)
    for question, each in options.items():
        for letter, sentence in each.items():
            if letter != letters[question]:
                answers = {**letters, question: letter}
                code = "\n".join(f"{name} = {answer!r}" for name, answer in answers.items())
                yield Answer("mistake", sentence, code, path, explained[0].line)


def read_checks(path: Path, cell: Cell) -> tuple[Check, ...]:
    """The observations and rules of a check cell: the entries of the dictionaries in its calls of `check`.

    There is one call, or two: the second, in the hidden part, repeats the titles of the first with other numbers.

    Raises:
        LessonError: the cell has another form.
    """
    tree = cell.tree(path)
    calls = [node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    calls = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "check"]
    hidden = _hidden_lines(cell.source)
    if not calls or [call.lineno in hidden for call in calls] not in ([False], [False, True]):
        form = 'a check cell calls check("name", {"title": lambda: ..., ...}) once at its top level'
        raise LessonError(path, cell.line, f"{form}, and may once more between the markers for hidden tests")
    return tuple(check for call in calls for check in _read_call(path, cell, call, hidden))


def _read_call(path: Path, cell: Cell, call: ast.Call, hidden: set[int]) -> Iterator[Check]:
    line, extra = cell.line + call.lineno - 1, {keyword.arg: keyword.value for keyword in call.keywords}
    form = 'write check("name", {"title": lambda: ..., ...}, rules={"title": lambda: ...}, worth={"title": 1.0})'
    if len(call.args) != 2 or extra.keys() - {"rules", "worth"}:
        raise LessonError(path, line, form)
    name, table = call.args
    if not isinstance(name, ast.Constant) or name.value != cell.exercise:
        raise LessonError(path, line, f'the call and the fence disagree: check("{cell.exercise}", ...)')
    if not isinstance(table, ast.Dict) or not table.keys:
        raise LessonError(path, line, form)
    worth = _read_worth(path, line, extra.get("worth"))
    titles = {key.value for key in table.keys if isinstance(key, ast.Constant)}
    if unknown := worth.keys() - titles:
        raise LessonError(path, line, f"worth= names no check of this call: {', '.join(sorted(unknown))}")
    for one, rule in ((table, False), (extra.get("rules", ast.Dict([], [])), True)):
        if not isinstance(one, ast.Dict):
            raise LessonError(path, line, form)
        for key, value in zip(one.keys, one.values, strict=True):
            place = cell.line + value.lineno - 1
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                raise LessonError(path, place, "a check's title is a text")
            if not isinstance(value, ast.Lambda | ast.Name):
                told = "an observation is a lambda, or a function's name, so that nothing runs yet"
                raise LessonError(path, place, told)
            body = value.body if isinstance(value, ast.Lambda) else value
            points = 0.0 if rule else worth.get(key.value, WORTH)
            yield Check(key.value, ast.unparse(body), key.lineno in hidden, place, rule, points)


def _read_worth(path: Path, line: int, node: ast.expr | None) -> dict[str, float]:
    """What titles are worth that are not worth half a point."""
    try:
        worth = ast.literal_eval(node) if node else {}
        found = {str(title): float(points) for title, points in worth.items()}
    except (AttributeError, TypeError, ValueError):
        raise LessonError(path, line, 'worth= is a dictionary of numbers: worth={"title": 1.0}') from None
    for title, points in found.items():
        if points <= 0 or points % WORTH:
            raise LessonError(path, line, f'"{title}" is worth {points:g}; a title is worth half or whole points')
    return found


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

"""What the build refuses in a lesson's text, each with file and line: the course's rules, made mechanical.

What needs the code to run (does each mistake fail with its own sentence?) is refused later, in `build`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

from trainloop import notation
from trainloop.lesson import (
    BEGIN_HIDDEN,
    BEGIN_SOLUTION,
    END_HIDDEN,
    END_SOLUTION,
    Cell,
    Exercise,
    Lesson,
    LessonError,
    read,
)

SECTIONS = (
    "Introduction",
    "ELI5",
    "Mathematical foundations",
    "In-depth explanation",
    "Demonstrations",
    "Exercises",
    "Summary",
    "Key takeaways",
)
WORDS = (900, 2200)
WORDS_OF = {"1.6": (900, 2900), "2.1": (900, 3000)}  # a quiz with all its options; nine questions answered
LINES_RULE, LINES_NEVER, LONG_SHARE = 15, 40, 0.25
MISTAKES, ALTERNATIVES, HINTS = 4, 3, 3
HINT_CHARS = 70  # of a hint's title: the list of them should read at a glance
WORDS_A_MINUTE, LINES_A_MINUTE = 200, 10  # careful reading of technical prose, and of code that is run on the way

STATED = re.compile(r"^Difficulty ([1-5]) of 5, importance ([1-5]) of 5, about (\d+) minutes?\.", re.M)
BOX = re.compile(r"^> \*\*About (\d+) minutes\*\*", re.M)
NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?:\s?%)?(?!\w)")
# Names of things, not measurements: lessons, exercises, the classes 0 and 1, the year of a paper.
NAMES = re.compile(
    r"\b[Ee]xercises? \d|\b[Ll]essons? \d\.\d|\bModule \d|(?<![\d.,])[01](?![\d.,]\d|\d|\s?%)|[a-z] (?:19|20)\d\d\b"
)
# Cell ids are made of it: a hyphen would let it collide with those of the prose, which all have one.
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Headings, the title box, what an exercise asks for, code and formulas.
UNMEASURED = re.compile(r"^(?:#|> \*\*About|Difficulty ).*|^```[\s\S]*?^```|^\$\$[\s\S]*?\$\$", re.M)
_markdown = MarkdownIt("commonmark").enable("table")


def lint(lesson: Lesson) -> list[LessonError]:
    """Everything that is refused in a lesson's text, in the order of its lines."""
    found = [LessonError(lesson.path, line, message) for line, message in _all(lesson)]
    return sorted(found, key=lambda error: (error.line, error.message))


def _all(lesson: Lesson) -> Iterator[tuple[int, str]]:
    for cell in lesson.cells:
        if cell.unknown:
            yield cell.line, f"unknown attribute {', '.join(cell.unknown)} on a {cell.kind} cell"
        yield from _stray_markers(cell)
        if cell.kind in ("markdown", "written"):
            yield from _html(cell)
        else:
            yield from _code(lesson.path, cell)
    yield from _sections(lesson)
    yield from _length(lesson)
    yield from _long_cells(lesson)
    yield from _title_box(lesson)
    yield from _claims(lesson)
    yield from _quotes(lesson)
    yield from _notation(lesson)
    count = len(lesson.exercises) + len(lesson.written)
    if not 1 <= count <= 4 or not lesson.exercises:
        yield 1, f"a lesson has one to four exercises, and one at least with a check; this one has {count}"
    yield from _written(lesson)
    for exercise in lesson.exercises.values():
        yield from _exercise(lesson, exercise)


def _stray_markers(cell: Cell) -> Iterator[tuple[int, str]]:
    """nbgrader's markers in cells where nothing would be cut out of the release."""
    own = {"exercise": (BEGIN_SOLUTION, END_SOLUTION), "check": (BEGIN_HIDDEN, END_HIDDEN)}.get(cell.kind, ())
    for number, text in enumerate(cell.source.splitlines()):
        for marker in (BEGIN_SOLUTION, END_SOLUTION, BEGIN_HIDDEN, END_HIDDEN):
            if marker in text and marker not in own:
                yield cell.line + number, f'"{marker}" has no place in a {cell.kind} cell'


def _html(cell: Cell) -> Iterator[tuple[int, str]]:
    for token in _markdown.parse(cell.source):
        start = cell.line + (token.map[0] if token.map else 0)
        if token.type == "html_block":
            yield start, "HTML in a Markdown cell; use Markdown only"
        for child in token.children or []:
            if child.type in ("softbreak", "hardbreak"):
                start += 1
            if child.type == "html_inline":
                yield start, f"HTML in a Markdown cell: {child.content}; use Markdown only"


def _code(path: Path, cell: Cell) -> Iterator[tuple[int, str]]:
    lines = [line for line in cell.source.splitlines() if line.strip()]
    if len(lines) > LINES_NEVER and cell.kind not in ("options", "hints"):
        yield cell.line, f"{len(lines)} lines of code in one cell; never more than {LINES_NEVER}"
    try:
        tree = cell.tree(path)
    except LessonError as error:
        yield error.line, error.message
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            missing = _unhinted(node)
            if missing and cell.kind != "mistake":
                yield cell.line + node.lineno - 1, f"`{node.name}` lacks type hints for {', '.join(missing)}"
        if isinstance(node, ast.Call) and _shows_undescribed(node):
            yield cell.line + node.lineno - 1, "a figure without a description; write show(fig, alt=...)"


def _shows_undescribed(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name) and call.func.id == "show":
        return not any(keyword.arg == "alt" for keyword in call.keywords)
    return isinstance(call.func, ast.Attribute) and call.func.attr == "show"  # plt.show(), fig.show()


def _unhinted(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    arguments += [argument for argument in (node.args.vararg, node.args.kwarg) if argument]
    missing = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
    return missing + ([] if node.returns else ["its result"])


def _sections(lesson: Lesson) -> Iterator[tuple[int, str]]:
    headings = [
        (text, cell.line + cell.source[: match.start()].count("\n"))
        for cell in lesson.prose
        for match in re.finditer(r"^## (.+)$", cell.source, re.M)
        for text in [match.group(1).strip()]
    ]
    names = [text for text, _ in headings]
    position = -1
    for section in SECTIONS:
        places = [index for index, name in enumerate(names) if name == section or name.startswith(section + ":")]
        if not places:
            yield 1, f'the section "## {section}" is missing'
        elif places[0] < position:
            yield headings[places[0]][1], f'the section "{section}" stands too early'
        else:
            position = places[0]


def words(lesson: Lesson) -> int:
    """The words of a lesson's prose, without its formulas."""
    text = " ".join(re.sub(r"\$\$.*?\$\$|\$[^$]+\$", " ", cell.source, flags=re.S) for cell in lesson.prose)
    return len(re.findall(r"[A-Za-z0-9][\w'’-]*", text))


def _length(lesson: Lesson) -> Iterator[tuple[int, str]]:
    number = lesson.slug.split("-")[0]
    low, high = WORDS_OF.get(number, WORDS)
    count = words(lesson)
    if not low <= count <= high:
        yield 1, f"{count} words of prose; a lesson has {low} to {high}"


def _long_cells(lesson: Lesson) -> Iterator[tuple[int, str]]:
    shown = [cell for cell in lesson.cells if cell.kind in ("demo", "exercise", "check")]
    long = [cell for cell in shown if sum(bool(line.strip()) for line in cell.source.splitlines()) > LINES_RULE]
    if len(long) > LONG_SHARE * len(shown):
        lines = ", ".join(str(cell.line) for cell in long)
        many = f"{len(long)} of {len(shown)} cells have more than {LINES_RULE} lines (at {lines})"
        yield long[0].line, f"{many}; at most a quarter may"


def minutes(lesson: Lesson) -> int:
    """The time a lesson asks for: reading prose and demonstrations, and what its exercises state; to the next five."""
    stated = sum(int(match.group(3)) for cell in lesson.prose for match in STATED.finditer(cell.source))
    lines = sum(bool(line.strip()) for cell in lesson.cells if cell.kind == "demo" for line in cell.source.splitlines())
    return -(-round(words(lesson) / WORDS_A_MINUTE + lines / LINES_A_MINUTE + stated) // 5) * 5


def _title_box(lesson: Lesson) -> Iterator[tuple[int, str]]:
    for cell in lesson.prose:
        if match := BOX.search(cell.source):
            line = cell.line + cell.source[: match.start()].count("\n")
            if int(match.group(1)) != minutes(lesson):
                yield line, f"the box says {match.group(1)} minutes; reading and exercises take {minutes(lesson)}"
            return
    yield 1, 'the title box is missing: "> **About N minutes**: ..."'


def _exercise(lesson: Lesson, exercise: Exercise) -> Iterator[tuple[int, str]]:
    cell, name = exercise.cell, exercise.name
    if not NAME.fullmatch(name):
        yield cell.line, f'"{name}" is no name for an exercise; write a short word in small letters, digits and _'
    if not _paired(cell.source, BEGIN_SOLUTION, END_SOLUTION):
        yield cell.line, f'exercise "{name}" needs "{BEGIN_SOLUTION}" and "{END_SOLUTION}", in pairs'
    if not exercise.options and not _paired(exercise.check.source, BEGIN_HIDDEN, END_HIDDEN):
        yield exercise.check.line, f'the check of "{name}" needs "{BEGIN_HIDDEN}" and "{END_HIDDEN}", in pairs'
    elif exercise.options:
        yield from _options(lesson, exercise)
    elif all(check.hidden for check in exercise.checks) or not any(check.hidden for check in exercise.checks):
        yield exercise.check.line, f'the check of "{name}" needs observations in plain sight and hidden ones'
    if exercise.check.points <= 0:
        yield exercise.check.line, f'the check of "{name}" gives no points; write points=2'
    titles = [check.title for check in exercise.checks]
    for check in exercise.checks:
        if titles.count(check.title) > 1:
            yield check.line, f'two checks of "{name}" are called "{check.title}"'
    yield from _runs_early(exercise)
    for each in (*exercise.mistakes, *exercise.alternatives):
        if not each.docstring():
            yield each.line, f"this {each.kind} does not begin with a docstring: the sentence that says what it is"
    for title in exercise.hints:
        if not 0 < len(title) <= HINT_CHARS or not exercise.hints[title]:
            yield cell.line, f'the hint "{title}" of "{name}" needs a text, and a title of at most {HINT_CHARS} letters'
    if exercise.is_question:
        if not exercise.mistakes:
            yield cell.line, f'question "{name}" has no mistakes; each wrong option is one'
        return
    mistakes, alternatives = len(exercise.mistakes), len(exercise.alternatives)
    if mistakes < MISTAKES:
        yield cell.line, f'exercise "{name}" has {mistakes} named mistakes; at least {MISTAKES} are needed'
    if alternatives < ALTERNATIVES:
        yield cell.line, f'exercise "{name}" has {alternatives} alternatives; at least {ALTERNATIVES} are needed'
    if len(exercise.hints) < HINTS:
        yield cell.line, f'exercise "{name}" has {len(exercise.hints)} hints; at least {HINTS} are needed'
    if not STATED.search(_introduction(lesson, cell)):
        yield cell.line, f'exercise "{name}" does not state: Difficulty D of 5, importance I of 5, about M minutes.'


def _written(lesson: Lesson) -> Iterator[tuple[int, str]]:
    cells = [cell for cell in lesson.cells if cell.kind == "written"]
    for cell in cells:
        name = cell.exercise
        if not NAME.fullmatch(name):
            yield cell.line, f'"{name}" is no name for an answer; write a short word in small letters, digits and _'
        if name in lesson.exercises or [each.exercise for each in cells].count(name) > 1:
            yield cell.line, f'"{name}" is the name of something else, too; names are given once'
        if cell.points <= 0:
            yield cell.line, f'the answer "{name}" gives no points; write points=2'
        if not STATED.search(_introduction(lesson, cell)):
            yield cell.line, f'"{name}" does not state: Difficulty D of 5, importance I of 5, about M minutes.'
        if not cell.source.strip():
            yield cell.line, f'the answer "{name}" is empty; write the model answer, which students do not see'


def _options(lesson: Lesson, exercise: Exercise) -> Iterator[tuple[int, str]]:
    """Of questions with letters: each is checked, and the prose offers just the letters that are explained.

    One list may serve all questions.
    """
    text = "\n".join(check.call for check in exercise.checks)
    offered = re.findall(r"^- \*{0,2}([A-Z])\b", _introduction(lesson, exercise.cell), re.M)
    explained = [letter for each in exercise.options.values() for letter in each]
    for question in exercise.options:
        if not re.search(rf"\b{question}\b", text):
            yield exercise.check.line, f'no check of "{exercise.name}" looks at {question}'
    one_list = all(sorted(each) == sorted(offered) for each in exercise.options.values())
    if sorted(offered) != sorted(explained) and not one_list:
        told = f"the text above offers {len(offered)} options, and {len(explained)} are explained"
        yield exercise.cell.line, f"{told}; write each as a list item: - **A**: ..."
    if any(check.hidden for check in exercise.checks):
        yield exercise.check.line, "a check of a letter is not hidden: there is nothing more to look at"


def _introduction(lesson: Lesson, exercise: Cell) -> str:
    """The prose between the heading of an exercise and its cell."""
    before = [cell.source for cell in lesson.prose if cell.line < exercise.line]
    headings = [index for index, source in enumerate(before) if re.search(r"^#{1,3} ", source, re.M)]
    return "\n".join(before[headings[-1] :] if headings else before)


def _runs_early(exercise: Exercise) -> Iterator[tuple[int, str]]:
    """Calls of the student's functions outside of the observations, where an error would cost all of them."""
    check = exercise.check
    for node in ast.parse(check.source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        inside = {one for each in ast.walk(node) if isinstance(each, ast.Lambda) for one in ast.walk(each)}
        called = {each.func for each in ast.walk(node) if isinstance(each, ast.Call) and each not in inside}
        for name in sorted({each.id for each in called if isinstance(each, ast.Name)} & set(exercise.defines)):
            yield check.line + node.lineno - 1, f"`{name}` is called outside of an observation; call it inside of one"


def _paired(source: str, begin: str, end: str) -> bool:
    """Whether the markers alternate, beginning first, and occur at all."""
    marks = [begin in line for line in source.splitlines() if begin in line or end in line]
    return bool(marks) and marks == [True, False] * (len(marks) // 2)


def claims(lesson: Lesson) -> dict[str, int]:
    """The phrases that proof cells claim, and the line of each."""
    found = {}
    for cell in lesson.cells:
        if cell.kind != "proof":
            continue
        for node in ast.walk(cell.tree(lesson.path)):
            if isinstance(node, ast.Dict):
                for key in node.keys:
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        found[" ".join(key.value.split())] = cell.line + key.lineno - 1
    return found


def _claims(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """Every number in the prose lies in a phrase that a proof cell claims, and every claim is in the prose."""
    claimed = claims(lesson)
    unseen = set(claimed)
    for cell in lesson.prose:
        for paragraph, lines in _paragraphs(cell):
            covered = []
            for phrase in claimed:
                for match in re.finditer(re.escape(phrase), paragraph):
                    covered.append(match.span())
                    unseen.discard(phrase)
            bare = NAMES.sub(lambda match: " " * len(match.group()), _measurable(paragraph))
            for match in NUMBER.finditer(bare):
                if not any(start <= match.start() and match.end() <= end for start, end in covered):
                    around = paragraph[max(0, match.start() - 30) : match.end() + 20]
                    line = lines[len(paragraph[: match.start() + 1].split()) - 1]
                    yield line, f'no proof cell claims the number "{match.group()}" in "...{around}..."'
    for phrase in sorted(unseen):
        yield claimed[phrase], f'the prose does not say "{phrase}"'


def _quotes(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """What proof cells quote, `quotes = {"phrase": ("1.2", "phrase there")}`, is still said in that lesson."""
    for line, phrase, number, theirs in _quoted(lesson):
        texts = list(lesson.path.parent.glob(f"{number}-*.md"))
        if not texts:
            yield line, f"there is no lesson {number} to quote"
        elif " ".join(theirs.split()) not in claims(read(texts[0])):
            yield line, f'no proof cell of lesson {number} claims "{theirs}"'
        elif not set(NUMBER.findall(NAMES.sub(" ", phrase))) <= set(NUMBER.findall(theirs)):
            yield line, f'"{phrase}" has other numbers than lesson {number}: "{theirs}"'


def _quoted(lesson: Lesson) -> Iterator[tuple[int, str, str, str]]:
    """Line, phrase, number of the other lesson and phrase there, of each quotation."""
    for cell in lesson.cells:
        if cell.kind != "proof":
            continue
        for node in cell.tree(lesson.path).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "quotes":
                for phrase, (number, theirs) in ast.literal_eval(node.value).items():
                    yield cell.line + node.lineno - 1, phrase, number, theirs


def _notation(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """Every letter of every formula is in the course's table of notation, and no lesson uses one before its time."""
    page = lesson.path.parent.parent / notation.TABLE
    if not page.is_file():
        return
    known = notation.table(page.read_text(encoding="utf-8"))
    number = tuple(int(part) for part in re.findall(r"\d+", lesson.slug.split("-")[0]))
    for cell in lesson.prose:
        for row, text in enumerate(cell.source.split("\n\n")):
            line = cell.line + sum(part.count("\n") + 2 for part in cell.source.split("\n\n")[:row])
            for sign in sorted(notation.signs(text)):
                if sign not in known:
                    yield (
                        line,
                        f"the sign ${sign}$ is not in {notation.TABLE.as_posix()}; use another, or enter it there",
                    )
                elif known[sign] > number:
                    first = ".".join(map(str, known[sign]))
                    yield line, f"the sign ${sign}$ is introduced in lesson {first}, says {notation.TABLE.as_posix()}"


def _paragraphs(cell: Cell) -> Iterator[tuple[str, list[int]]]:
    """Paragraphs as one line of text each, white space folded, and the line in the file of each word."""
    line = cell.line
    for block in re.split(r"(\n\s*\n)", UNMEASURED.sub(lambda match: "\n" * match.group().count("\n"), cell.source)):
        rows = block.split("\n")
        if block.strip():
            yield " ".join(block.split()), [line + number for number, row in enumerate(rows) for _ in row.split()]
        line += len(rows) - 1


def _measurable(paragraph: str) -> str:
    """The paragraph with formulas, code, link targets and list numbers blanked out, at the same length."""
    blank = re.compile(r"\$\$.*?\$\$|\$[^$]+\$|`[^`]+`|\]\([^)]*\)|(?:^|(?<=\s))\d+\. (?=[A-Z*])")
    return blank.sub(lambda match: " " * len(match.group()), paragraph)

"""What the build refuses in a lesson's text, each with file and line: the course's rules, made mechanical.

What needs the code to run (does each mistake fail with its own sentence?) is refused later, in `build`.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

from trainloop.authoring import notation, pace
from trainloop.authoring.answers import NAME as ANSWERS
from trainloop.authoring.begin import BLANK
from trainloop.authoring.errors import LessonError
from trainloop.authoring.lesson import (
    BEGIN_HIDDEN,
    BEGIN_SOLUTION,
    END_HIDDEN,
    END_SOLUTION,
    RELEASED,
    Cell,
    Exercise,
    Lesson,
    read,
    visible_part,
)
from trainloop.sandbox import needs
from trainloop.sandbox.job import Step
from trainloop.syllabus import is_optional, lessons_named, titles

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
WORD_BOUNDS = (1500, 5000)
# Of an optional challenge, see `trainloop.syllabus`: many scripts that run and are wrong, and no lesson around them.
CHALLENGE_SECTIONS = ("Introduction", "Exercises", "Summary")
CHALLENGE_EXERCISES = (10, 24)
CHALLENGE_MISTAKES, CHALLENGE_ALTERNATIVES = 3, 1  # the script as released is the first of the mistakes
LINES_RULE, LINES_NEVER, LONG_SHARE = 15, 40, 0.25
MISTAKES, ALTERNATIVES, HINTS = 4, 3, 3
HINT_CHARS = 70  # of a hint's title: the list of them should read at a glance

TITLE_BOX = re.compile(r"^> \*\*(About [^*]+)\*\*", re.M)
NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?:\s?%)?(?!\w)")
# Names of things, not measurements: lessons, exercises, the classes 0 and 1, the year of a paper.
NAMES = re.compile(
    r"\b[Ee]xercises? \d|\b[Ll]essons? \d\.\d|\bModule \d|(?<![\d.,])[01](?![\d.,]\d|\d|\s?%)|[a-z] (?:19|20)\d\d\b"
)
# Cell ids are made of it: a hyphen would let it collide with those of the prose, which all have one.
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Headings, the title box, what an exercise asks for, code and formulas.
UNMEASURED = re.compile(r"^(?:#|> \*\*About|Difficulty ).*|^```[\s\S]*?^```|^\$\$[\s\S]*?\$\$", re.M)
OFFERED = re.compile(r"^- \*{0,2}([A-Z])\b", re.M)  # an option, as a list item
_markdown = MarkdownIt("commonmark").enable("table")


def lint(lesson: Lesson) -> list[LessonError]:
    """Everything that is refused in a lesson's two files, in the order of their lines, the article's first."""
    found = [LessonError(lesson.path, line, message) for line, message in _all(lesson)]
    found += [error for path in (lesson.path, lesson.path.with_name(ANSWERS)) for error in _blanks(path)]
    found += [error for exercise in lesson.exercises.values() for error in _answers(exercise)]
    return sorted(found, key=lambda error: (error.path != lesson.path, error.line, error.message))


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
    yield from _number_of_exercises(lesson)
    yield from _written(lesson)
    yield from _predictions(lesson)
    for cell in lesson.cells:
        if cell.kind == "drawing" and not cell.exercise.strip():
            yield cell.line, 'what does it draw? Write it in a few words: drawing="the boundary"'
    yield from _borrowed(lesson)
    if not is_optional(lesson.slug):  # what a challenge asks for is there from the beginning, and is to be run
        yield from _unanswered(lesson)
    yield from _proved(lesson)
    yield from _graded(lesson)
    for exercise in lesson.exercises.values():
        yield from _exercise(lesson, exercise)


def _number_of_exercises(lesson: Lesson) -> Iterator[tuple[int, str]]:
    count = len(lesson.exercises) + len(lesson.written)
    if is_optional(lesson.slug):
        low, high = CHALLENGE_EXERCISES
        if not low <= count <= high:
            yield 1, f"a challenge has {low} to {high} exercises; this one has {count}"
        return
    has_questions = any(exercise.is_question for exercise in lesson.exercises.values())
    if not 1 <= count <= 4 + has_questions or not lesson.exercises:
        told = "a lesson has one to four exercises, or five with one of questions, and one at least with a check"
        yield 1, f"{told}; this one has {count}"


def _blanks(path: Path) -> Iterator[LessonError]:
    """What `trainloop new` left to be filled in."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for number, line in enumerate(text.splitlines(), start=1):
        if BLANK in line:
            yield LessonError(path, number, f"a blank to fill in: {line.strip()}")


def _stray_markers(cell: Cell) -> Iterator[tuple[int, str]]:
    """nbgrader's markers in cells where nothing would be cut out of the release."""
    own = {"exercise": (BEGIN_SOLUTION, END_SOLUTION), "check": (BEGIN_HIDDEN, END_HIDDEN)}.get(cell.kind, ())
    for number, text in enumerate(cell.source.splitlines()):
        for marker in (BEGIN_SOLUTION, END_SOLUTION, BEGIN_HIDDEN, END_HIDDEN, RELEASED):
            if marker in text and marker not in (*own, *([RELEASED] if cell.kind == "exercise" else [])):
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
    # What is hidden repeats the titles with other numbers, and nobody has to read it.
    shown = visible_part(cell.source) if cell.kind == "check" else cell.source
    lines = [line for line in shown.splitlines() if line.strip()]
    if len(lines) > LINES_NEVER and cell.kind not in ("options", "hints"):
        yield cell.line, f"{len(lines)} lines of code in one cell; never more than {LINES_NEVER}"
    try:
        tree = cell.tree(path)
    except LessonError as error:
        yield error.line, error.message
        return
    for row, name, missing in _unhinted_functions(tree):
        yield cell.line + row - 1, f"`{name}` lacks type hints for {', '.join(missing)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _shows_undescribed(node):
            yield cell.line + node.lineno - 1, "a figure without a description; write show(fig, alt=...)"


def _shows_undescribed(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name) and call.func.id == "show":
        return not any(keyword.arg == "alt" for keyword in call.keywords)
    return isinstance(call.func, ast.Attribute) and call.func.attr == "show"  # plt.show(), fig.show()


def _unhinted_functions(tree: ast.Module) -> Iterator[tuple[int, str, list[str]]]:
    """Line, name and unhinted arguments of each function that lacks hints."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (missing := _unhinted(node)):
            yield node.lineno, node.name, missing


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
    for section in CHALLENGE_SECTIONS if is_optional(lesson.slug) else SECTIONS:
        places = [index for index, name in enumerate(names) if name == section or name.startswith(section + ":")]
        if not places:
            yield 1, f'the section "## {section}" is missing'
        elif places[0] < position:
            yield headings[places[0]][1], f'the section "{section}" stands too early'
        else:
            position = places[0]


def _length(lesson: Lesson) -> Iterator[tuple[int, str]]:
    low, high = WORD_BOUNDS
    count = pace.words(lesson)
    if not low <= count <= high:
        yield 1, f"{count} words of prose; a lesson has {low} to {high}"


def _long_cells(lesson: Lesson) -> Iterator[tuple[int, str]]:
    ideas = [cell for cell in lesson.cells if cell.kind == "demo"]
    long = [cell for cell in ideas if sum(bool(line.strip()) for line in cell.source.splitlines()) > LINES_RULE]
    if len(long) > LONG_SHARE * len(ideas):
        lines = ", ".join(str(cell.line) for cell in long)
        many = f"{len(long)} of {len(ideas)} idea cells have more than {LINES_RULE} lines (at {lines})"
        yield long[0].line, f"{many}; at most a quarter may"


def _title_box(lesson: Lesson) -> Iterator[tuple[int, str]]:
    due = pace.time_sentence(lesson)
    for cell in lesson.prose:
        if match := TITLE_BOX.search(cell.source):
            line = cell.line + cell.source[: match.start()].count("\n")
            if match[1] != due:
                yield line, f'the title box says "{match[1]}"; by what there is to read and to do, write "{due}"'
            return
    yield 1, f'the title box is missing: "> **{due}** You need ..."'


def _exercise(lesson: Lesson, exercise: Exercise) -> Iterator[tuple[int, str]]:
    cell, name = exercise.cell, exercise.name
    if not NAME.fullmatch(name):
        yield cell.line, f'"{name}" is no name for an exercise; write a short word in small letters, digits and _'
    if not _paired(cell.source, BEGIN_SOLUTION, END_SOLUTION):
        yield cell.line, f'exercise "{name}" needs "{BEGIN_SOLUTION}" and "{END_SOLUTION}", in pairs'
    if exercise.options:
        yield from _options(lesson, exercise)
    if exercise.is_question:
        if any(check.hidden for check in exercise.checks):
            yield exercise.check.line, "a check of a question is not hidden: there is nothing more to look at"
    else:
        if not _paired(exercise.check.source, BEGIN_HIDDEN, END_HIDDEN):
            yield exercise.check.line, f'the check of "{name}" needs "{BEGIN_HIDDEN}" and "{END_HIDDEN}", in pairs'
        yield from _twins(exercise)
    points = sum(check.worth for check in exercise.checks if not check.hidden)
    if points != exercise.check.points > 0:
        told = f"the titles are worth {points:g} points together, the fence says points={exercise.check.points:g}"
        yield exercise.check.line, f"{told}; a title is worth 0.5 unless worth= says otherwise"
    if exercise.check.points <= 0:
        yield exercise.check.line, f'the check of "{name}" gives no points; write points=2'
    titles = [(check.title, check.hidden) for check in exercise.checks]
    for check in exercise.checks:
        if titles.count((check.title, check.hidden)) > 1:
            yield check.line, f'two checks of "{name}" are called "{check.title}"'
    yield from _runs_early(exercise)
    for title in exercise.hints:
        if not 0 < len(title) <= HINT_CHARS or not exercise.hints[title]:
            yield cell.line, f'the hint "{title}" of "{name}" needs a text, and a title of at most {HINT_CHARS} letters'
    if exercise.is_question:
        if not exercise.mistakes:
            yield cell.line, f'question "{name}" has no mistakes; each wrong option is one'
        return
    yield from _script(lesson, exercise)
    mistakes, alternatives = len(exercise.mistakes), len(exercise.alternatives)
    challenge = is_optional(lesson.slug)
    asked = (CHALLENGE_MISTAKES, CHALLENGE_ALTERNATIVES) if challenge else (MISTAKES, ALTERNATIVES)
    if mistakes < asked[0]:
        yield cell.line, f'exercise "{name}" has {mistakes} named mistakes; at least {asked[0]} are needed'
    if alternatives < asked[1]:
        yield cell.line, f'exercise "{name}" has {alternatives} alternatives; at least {asked[1]} are needed'
    if len(exercise.hints) < HINTS:
        yield cell.line, f'exercise "{name}" has {len(exercise.hints)} hints; at least {HINTS} are needed'
    if not pace.STATED.search(_introduction(lesson, cell)):
        yield cell.line, f'exercise "{name}" does not state: Difficulty D of 5, importance I of 5, about M minutes.'


def _script(lesson: Lesson, exercise: Exercise) -> Iterator[tuple[int, str]]:
    """An exercise of a challenge is a script that is released, and the last of its hints names one lesson; no other is.

    In each solution there is one place for what is released.
    """
    cell, name = exercise.cell, exercise.name
    if not is_optional(lesson.slug):
        if exercise.is_script:
            yield cell.line, f'"{RELEASED}" is for challenges; of a lesson\'s exercise, a stub is released'
        return
    if cell.source.count(RELEASED) != cell.source.count(BEGIN_SOLUTION):
        yield cell.line, f'exercise "{name}" needs "{RELEASED}" in each solution, above what learners find in its place'
    *early, last = list(exercise.hints.values()) or [""]
    named = lessons_named(last)
    if len(named) != 1 or named[0] not in titles() or is_optional(named[0]):
        yield cell.line, f'the last hint of "{name}" names the lesson that it comes from, as in: lesson 2.1'
    if any(map(lessons_named, early)):
        yield cell.line, f'a hint of "{name}" names a lesson, and only the last one may'


def _twins(exercise: Exercise) -> Iterator[tuple[int, str]]:
    """Each visible check of code has a hidden twin of its title with other numbers; a rule may have one."""
    checks = {(check.title, check.hidden): check for check in exercise.checks}
    for (title, hidden), check in checks.items():
        twin = checks.get((title, not hidden))
        if twin is None and hidden:
            yield check.line, f'the hidden check "{title}" has no visible twin: nobody could notice what it asks for'
        elif twin is None and not check.rule:
            yield check.line, f'"{title}" has no hidden twin: what is public alone could be played back'
        elif twin is not None and twin.rule != check.rule:
            yield check.line, f'"{title}" is a rule here and a check there'
        elif twin is not None and not hidden and twin.call == check.call:
            yield twin.line, f'"{title}" and its hidden twin make the same call; give it other numbers'


def _answers(exercise: Exercise) -> Iterator[LessonError]:
    """What is refused in `answers.md` once it can be read."""
    for each in (*exercise.mistakes, *exercise.alternatives):
        if not each.sentence:
            message = f"this {each.kind} has no sentence; write a paragraph directly above its fence"
            yield LessonError(each.path, each.line, message)
    for answer in (*exercise.alternatives, *exercise.judges):
        for line, name, missing in _unhinted_functions(answer.tree()):
            message = f"`{name}` lacks type hints for {', '.join(missing)}"
            yield LessonError(answer.path, answer.line + line - 1, message)


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
        if not pace.STATED.search(_introduction(lesson, cell)):
            yield cell.line, f'"{name}" does not state: Difficulty D of 5, importance I of 5, about M minutes.'
        if not cell.source.strip():
            yield cell.line, f'the answer "{name}" is empty; write the model answer, which students do not see'


def _predictions(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """Of questions to predict: a name like an exercise's, and the letters that the text above offers."""
    for one in lesson.predictions.values():
        if not NAME.fullmatch(one.name):
            yield one.line, f'"{one.name}" is no name for a question; write a short word in small letters, digits and _'
        if one.within is not None:
            continue
        above = [OFFERED.findall(cell.source) for cell in lesson.prose if cell.line < one.line]
        offered: list[str] = next((letters for letters in reversed(above) if letters), [])
        if sorted(offered) != sorted(one.sentences):
            there, told = ", ".join(offered) or "no letters", ", ".join(one.sentences)
            many = f"the text above offers {there}, and {told} are explained"
            yield one.line, f"{many}; write each as a list item: - **A**: ..."


def _options(lesson: Lesson, exercise: Exercise) -> Iterator[tuple[int, str]]:
    """Of questions with letters: each is checked, and the prose offers just the letters that are explained.

    One list may serve all questions.
    """
    text = "\n".join(check.call for check in exercise.checks)
    offered = OFFERED.findall(_introduction(lesson, exercise.cell))
    explained = [letter for each in exercise.options.values() for letter in each]
    for question in exercise.options:
        if not re.search(rf"\b{question}\b", text):
            yield exercise.check.line, f'no check of "{exercise.name}" looks at {question}'
    one_list = all(sorted(each) == sorted(offered) for each in exercise.options.values())
    if sorted(offered) != sorted(explained) and not one_list:
        told = f"the text above offers {len(offered)} options, and {len(explained)} are explained"
        yield exercise.cell.line, f"{told}; write each as a list item: - **A**: ..."


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


def _borrowed(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """What a check takes from a demonstration: who goes straight to the exercise does not have it.

    Its own is what cells that import, exercises, and cells between the exercises bind.
    """
    beginning = max((cell.line for cell in lesson.prose if re.search(r"^## Exercises", cell.source, re.M)), default=0)
    own = set(dir(builtins))
    for cell in lesson.cells:
        if cell.kind == "exercise" or (cell.kind == "demo" and (cell.line > beginning or _imports(cell))):
            own |= needs.names_of(cell.source)[1]
    for exercise in lesson.exercises.values():
        for name in sorted(needs.names_of(exercise.check.source)[0] - own):
            told = f"the check takes `{name}` from a demonstration, which may not have run; define it in the check"
            yield exercise.check.line, told


def _unanswered(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """What a demonstration takes from an exercise: who has not solved that one would see it fail.

    A function may name what an exercise asks for, as helpers of checks do; then nobody may call it who is no check.
    """
    answered: set[str] = set()
    for cell in lesson.cells:
        if cell.kind == "exercise":
            answered |= needs.names_of(cell.source)[1]
        if cell.kind not in ("demo", "drawing"):
            continue
        try:
            statements = ast.parse(cell.source).body
        except SyntaxError:  # refused elsewhere
            continue
        runs = []
        for node in statements:
            reads, binds = needs.names_of(ast.unparse(node))
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                runs += sorted(reads & answered)
            answered = answered | binds if reads & answered else answered - binds
        for name in dict.fromkeys(runs):
            yield cell.line, f"a demonstration takes `{name}` from an exercise, which may not be solved; define it here"


def _proved(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """What a cell takes from a proof, which learners do not have: their notebook would stop there, and ours runs on."""
    proved: set[str] = set()
    for cell in lesson.cells:
        if cell.kind in ("markdown", "written"):
            continue
        reads, binds = needs.names_of(cell.source)
        if cell.kind == "proof":
            proved |= binds
            continue
        for name in sorted(reads & proved):
            yield cell.line, f"`{name}` comes from a proof, which learners do not have; define it in a cell of theirs"
        proved -= binds


def _graded(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """A loop that runs with every submission, because an exercise needs a name of its cell, or nobody knows what it
    changes: a training run of seconds makes grading many times as slow, and no learner gets anything for it."""
    ours = [cell for cell in lesson.cells if cell.kind in ("demo", "drawing", "exercise", "check")]
    steps = [Step(str(cell.line), "check" if cell.kind == "check" else "code", cell.source) for cell in ours]
    always = {str(cell.line) for cell in ours if cell.kind == "exercise"}
    running = {step.id for step in needs.cells_to_run(steps, always)}
    for cell in ours:
        if cell.kind in ("demo", "drawing") and str(cell.line) in running and _loops(cell):
            told = "grading runs this loop for every submission; put what exercises need into a cell of its own"
            yield cell.line, told


def _loops(cell: Cell) -> bool:
    """Whether a cell repeats something when it is run, outside of functions."""
    try:
        return any(isinstance(node, ast.For | ast.While) for node in ast.parse(cell.source).body)
    except SyntaxError:  # refused elsewhere
        return False


def _imports(cell: Cell) -> bool:
    """Whether a cell has an import statement: it is one of those that are run first of all."""
    return bool(re.search(r"^(?:import|from) ", cell.source, re.M))


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
        texts = list(lesson.path.parent.parent.glob(f"{number}-*/lesson.md"))
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
    page = lesson.path.parents[2] / notation.TABLE
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

"""Similar: submissions that agree where few others do, side by side, for a person to look at. It is never a verdict.

Short answers look alike by nature, and those of friends who talked about the way to go do, too. So what is looked for
is not likeness but *unusual* likeness, and the page shows it and says no more.

The method is that of Moss: Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting",
SIGMOD 2003. An answer becomes tokens: no comment, no docstring, no layout, and one and the same word for every name
that students choose. Each run of `GRAM` tokens is a fingerprint. Those that the released cell has are taken out.
Answers are short, so every other one is kept (a window of 1, in the terms of the paper).

What is added is weight, as in the retrieval of documents: a fingerprint of d out of n students weighs log(n / d), and
nothing where more than a quarter have it. Otherwise the usual form of an answer would be on top of the list. Two
students agree by the sum of the weights of what they share.

Why not a library: `copydetect`, the one in Python with a license that fits, has no weights, knows only whole files, and
compares them pair by pair, which for 2,000 students and four exercises makes eight million comparisons; JPlag and Dolos
bring Java and Node.js, and compare50 the GPL. Libraries do the reading of the code (Pygments, which stops at nothing)
and the counting (scikit-learn).
"""

from __future__ import annotations

import ast
import builtins
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from nbformat import NotebookNode
from pygments.lexers import PythonLexer
from pygments.token import Token as TokenKind
from sklearn.feature_extraction.text import CountVectorizer

from trainloop.checks.text import MUCH_BLANK, plain
from trainloop.checks.words import percent
from trainloop.classroom.pages import People, page, people, write
from trainloop.course import Course, CourseError
from trainloop.grading.feedback import lesson_title
from trainloop.grading.grade import LessonBundle
from trainloop.grading.gradebook import reason
from trainloop.grading.intake import Intake
from trainloop.grading.reader import SubmissionReader

GRAM = 8  # tokens in a fingerprint, about a line of code
COMMON_SHARE = 0.25  # share of the class above which agreement says nothing
LEAST = 8  # unusual fingerprints that two students must share: a run of 15 tokens, or several shorter ones
MAX_PAIRS = 25  # pairs on the page
OPEN = 5  # of them unfolded
CANDIDATES = 5_000  # pairs that are looked at one by one
BLOCK = 500  # students compared with all others at a time: bounds the memory
MAX_CODE = 8_000  # characters of a cell that are compared and shown
MAX_LINES = 150  # lines of a cell that are shown
FOLDED = 2  # more lines of the released cell than these in a row are shown as one
ANY_NAME = "name"  # stands for every name that a student may choose


# --------------------------------------------------------------------------------------------------------- fingerprints


@dataclass(frozen=True)
class Token:
    """A token as it is compared, and where it stands in the code."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Fingerprinter:
    """Reads answers to one exercise: what in them is the student's, and its fingerprints."""

    exercise: str
    stub: str  # the released cell
    known: frozenset[str]  # names that nobody chooses: those of modules that the lesson imports

    def tokens(self, code: str) -> tuple[Token, ...]:
        """The code as tokens, without comments, docstrings and layout, and with all chosen names made one."""
        found: list[Token] = []
        for start, kind, text in PythonLexer(stripnl=False).get_tokens_unprocessed(code):
            if kind in TokenKind.Comment or kind in TokenKind.Text or kind in TokenKind.Literal.String.Doc:
                continue
            is_attribute = bool(found) and found[-1].text == "."
            found.append(Token(self._normal(kind, text, is_attribute), start, start + len(text)))
        return tuple(found)

    def _normal(self, kind: object, text: str, is_attribute: bool) -> str:
        if kind in TokenKind.Literal.Number:
            return _number(text)
        if kind in TokenKind.Literal.String:
            return text.replace("'", '"')
        if kind not in TokenKind.Name or is_attribute or text in self.known or hasattr(builtins, text):
            return text
        return ANY_NAME

    @cached_property
    def released(self) -> frozenset[str]:
        """The fingerprints of the released cell."""
        return frozenset(grams(self.tokens(self.stub)))

    def answer(self, code: str) -> FingerprintedAnswer | None:
        """What a student wrote into the cell, or None if nothing of it is theirs."""
        code = MUCH_BLANK.sub("\n", plain(code, MAX_CODE))
        tokens = self.tokens(code)
        found = tuple(grams(tokens))
        given = _covered(found, self.released)
        mine = (place for place in range(len(found)) if not given.issuperset(range(place, place + GRAM)))
        own = frozenset(found[place] for place in mine) - self.released
        return FingerprintedAnswer(self, code, tokens, found, given, own) if own else None


def _number(text: str) -> str:
    """A number in one spelling: 0.5 for .5 and 5e-1."""
    try:
        return repr(float(text.replace("_", "")))
    except ValueError:
        return text


def grams(tokens: Sequence[Token]) -> Iterator[str]:
    """The fingerprints, by the place where each begins."""
    texts = [token.text for token in tokens]
    return (" ".join(texts[place : place + GRAM]) for place in range(len(texts) - GRAM + 1))


@dataclass(frozen=True)
class FingerprintedAnswer:
    """A student's answer to one exercise."""

    fingerprinter: Fingerprinter
    code: str
    tokens: tuple[Token, ...]
    found: tuple[str, ...]  # fingerprints by place
    given: frozenset[int]  # places of the tokens that the released cell has, too
    own: frozenset[str]  # fingerprints that are not of the released cell

    @property
    def features(self) -> Iterator[str]:
        """The own fingerprints, told apart from those of other exercises."""
        return (feature(self.fingerprinter.exercise, gram) for gram in self.own)

    def places(self, wanted: frozenset[str]) -> frozenset[int]:
        """The places of the student's own tokens that these fingerprints cover."""
        return _covered(self.found, wanted) - self.given


def _covered(found: Sequence[str], wanted: frozenset[str]) -> frozenset[int]:
    """The places of the tokens that these fingerprints cover."""
    starts = (place for place, gram in enumerate(found) if gram in wanted)
    return frozenset(place + offset for place in starts for offset in range(GRAM))


def feature(exercise: str, gram: str) -> str:
    """A fingerprint of an exercise's answer."""
    return f"{exercise}\n{gram}"


def fingerprinters(material: LessonBundle) -> dict[str, Fingerprinter]:
    """A fingerprinter for each exercise of a lesson."""
    cells = {cell.id: cell.source for cell in material.released.cells}
    known = frozenset(_imported(material.released))
    return {name: Fingerprinter(name, plain(cells[name], MAX_CODE), known) for name in material.key.exercises}


def _imported(notebook: NotebookNode) -> Iterator[str]:
    """The names that a notebook's cells import."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:  # a cell with a magic
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)


def answers(
    material: LessonBundle,
    folders: Mapping[str, Path],
    done: Callable[[], None] = lambda: None,
    failed: dict[str, str] | None = None,
) -> dict[str, dict[str, FingerprintedAnswer]]:
    """What each student wrote: student -> exercise -> answer. Those who wrote nothing are left out.

    Args:
        material: of the lesson.
        folders: student -> the folder of the submission.
        done: called after each student.
        failed: takes in whose submission could not be read, and why; they are left out, too.

    Raises:
        CourseError: the lesson's notebooks do not belong together.
    """
    known: dict[tuple[str, str], FingerprintedAnswer | None] = {}  # many hand in the same
    by_exercise = fingerprinters(material)
    found: dict[str, dict[str, FingerprintedAnswer]] = {}
    with SubmissionReader(material) as reader:
        for student, folder in folders.items():
            try:
                found |= _answers_of(student, reader.intake(folder), by_exercise, known)
            except Exception as error:  # of any kind: it costs this student's place, and no other
                if failed is None:
                    raise
                failed[student] = reason(error)
            done()
    return found


def _answers_of(
    student: str,
    intake: Intake,
    by_exercise: Mapping[str, Fingerprinter],
    known: dict[tuple[str, str], FingerprintedAnswer | None],
) -> dict[str, dict[str, FingerprintedAnswer]]:
    found: dict[str, FingerprintedAnswer] = {}
    for cell in intake.notebook.cells:
        if intake.status == "missing" or cell.id not in by_exercise or cell.id in intake.missing:
            continue
        if (cell.id, cell.source) not in known:
            known[cell.id, cell.source] = by_exercise[cell.id].answer(cell.source)
        if (answer := known[cell.id, cell.source]) is not None:
            found[cell.id] = answer
    return {student: found} if found else {}


# ----------------------------------------------------------------------------------------------------------- comparison


@dataclass(frozen=True)
class Agreement:
    """Where two students agree in one exercise, in what few others wrote."""

    exercise: str
    answers: tuple[FingerprintedAnswer, FingerprintedAnswer]
    shared: frozenset[str]  # unusual fingerprints that both have
    others: int  # students who have such a fingerprint, these two included: in the middle of all that are shared

    @property
    def is_same_text(self) -> bool:
        """Whether both cells are the same to the letter, comments included."""
        first, second = (answer.code.strip() for answer in self.answers)
        return first == second

    @property
    def shares(self) -> tuple[float, float]:
        """How much of each one's own code is shared, in tokens."""
        first, second = (len(one.places(self.shared)) / len(one.places(one.own)) for one in self.answers)
        return first, second


@dataclass(frozen=True)
class Pair:
    """Two students, and where they agree."""

    students: tuple[str, str]
    agreements: tuple[Agreement, ...]

    @property
    def turned(self) -> Pair:
        """The same pair, the second student first."""
        turned = (replace(one, answers=(one.answers[1], one.answers[0])) for one in self.agreements)
        return Pair((self.students[1], self.students[0]), tuple(turned))


@dataclass(frozen=True)
class Comparison:
    """A class compared: the most unusual pairs first."""

    students: int
    pairs: tuple[Pair, ...]
    in_groups: int  # further pairs of students whom the pairs above already join


def compare(found: Mapping[str, Mapping[str, FingerprintedAnswer]], most: int = MAX_PAIRS) -> Comparison:
    """Find the pairs of students that agree most unusually.

    Of a group of students who all agree, only the strongest pairs that join it are given, not every one with every
    other.
    """
    students = sorted(found)
    having = Counter(feature for student in students for one in found[student].values() for feature in one.features)
    usual = max(2, int(COMMON_SHARE * len(students)))
    unusual = {name: count for name, count in having.items() if 2 <= count <= usual}
    pairs: list[Pair] = []
    groups = _Groups()
    in_groups = 0
    for first, second in _candidates([found[student] for student in students], unusual):
        pair = _pair(students[first], students[second], found, unusual)
        if sum(len(one.shared) for one in pair.agreements) < LEAST:
            continue
        if not groups.join(first, second):
            in_groups += 1
        else:
            pairs.append(pair)
        if len(pairs) == most:
            break
    return Comparison(len(students), tuple(pairs), in_groups)


def _candidates(
    found: Sequence[Mapping[str, FingerprintedAnswer]], unusual: Mapping[str, int]
) -> Iterator[tuple[int, int]]:
    """Pairs of students by place, the one with the greatest weight of what is shared first."""
    if not unusual:
        return
    names = sorted(unusual)
    vectorizer = CountVectorizer(
        analyzer=lambda student: itertools.chain.from_iterable(one.features for one in student.values()),
        vocabulary=names,
        lowercase=False,
        dtype=np.float32,
    )
    matrix = vectorizer.fit_transform(found)  # (students, fingerprints): 1 where a student has one
    weights = np.log(len(found) / np.array([unusual[name] for name in names], dtype=np.float32))
    weighted = matrix.multiply(weights).tocsr()
    best = np.empty((0, 3), dtype=np.float64)  # (pairs, [weight, student, student])
    for start in range(0, len(found), BLOCK):
        block = (weighted[start : start + BLOCK] @ matrix.T).toarray()
        block[np.tril_indices_from(block, k=start)] = 0.0  # each pair once, and nobody with themselves
        rows, columns = np.nonzero(block)
        best = np.vstack([best, np.column_stack([block[rows, columns].round(3), rows + start, columns])])
        best = best[np.lexsort((best[:, 2], best[:, 1], -best[:, 0]))][:CANDIDATES]
    for _, first, second in best:
        yield int(first), int(second)


def _pair(
    first: str, second: str, found: Mapping[str, Mapping[str, FingerprintedAnswer]], unusual: Mapping[str, int]
) -> Pair:
    agreements = []
    for exercise, one in found[first].items():
        other = found[second].get(exercise)
        shared = (one.own & other.own) if other is not None else frozenset()
        counts = {gram: unusual.get(feature(exercise, gram), 0) for gram in shared}
        kept = frozenset(gram for gram, count in counts.items() if count)
        if other is not None and kept:
            others = sorted(counts[gram] for gram in kept)[len(kept) // 2]
            agreements.append(Agreement(exercise, (one, other), kept, others))
    return Pair((first, second), tuple(agreements))


class _Groups:
    """Who is joined with whom."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def join(self, first: int, second: int) -> bool:
        """Join two; False if they were joined before."""
        one, other = self._top(first), self._top(second)
        if one == other:
            return False
        self._above[one] = other
        return True

    def _top(self, one: int) -> int:
        while one in self._above:
            one = self._above[one]
        return one


# ------------------------------------------------------------------------------------------------------------- the page


@dataclass(frozen=True)
class Part:
    """A piece of a line."""

    text: str
    is_shared: bool


@dataclass(frozen=True)
class Line:
    """A line of code. `number` is 0 for one that stands for others."""

    number: int
    kind: str  # "shared", "given" or ""
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class SideView:
    """One student's answer."""

    student: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class AgreementView:
    """One exercise of a pair, as it is shown."""

    title: str
    words: str
    sides: tuple[SideView, SideView]


@dataclass(frozen=True)
class PairView:
    """A pair, as it is shown."""

    students: tuple[str, str]
    words: str
    is_open: bool
    agreements: tuple[AgreementView, ...]


def write_page(
    course: Course,
    material: LessonBundle,
    compared: Comparison,
    folder: Path,
    by_name: bool = False,
    failed: Collection[str] = (),
) -> tuple[Path, list[str]]:
    """Write the page into a folder; gives its path, and the pairs in a few words.

    Pairs that cannot be shown are left out, and what they are said to be says so. `failed` are not compared: who they
    are is said on the page.

    Raises:
        CourseError: the page cannot be written, or students' numbers cannot be read or written.
    """
    shown = {student for pair in compared.pairs for student in pair.students}
    everyone = people(course, sorted({*shown, *failed}), by_name)
    titles = {name: one.title for name, one in material.key.exercises.items()}
    views, summaries = [], []
    for place, pair in enumerate(compared.pairs):
        try:
            views.append(_view(pair, everyone, titles, compared.students, place < OPEN))
            summaries.append(f"{' and '.join(views[-1].students)}: {views[-1].words}")
        except Exception as error:  # of any kind: it costs this pair's place, and no other
            summaries.append(f"{everyone.many(pair.students)}: cannot be shown ({reason(error)})")
    source = page(
        "similar.html.j2",
        title=lesson_title(material.released, material.slug),
        slug=material.slug,
        compared=compared,
        pairs=views,
        usual=COMMON_SHARE,
        anonymous=not by_name,
        failed=everyone.many(failed) if failed else "",
    )
    return write(folder / f"{material.slug}-similar.html", source), summaries


def _view(pair: Pair, everyone: People, titles: Mapping[str, str], students: int, is_open: bool) -> PairView:
    is_turned = everyone.in_order(pair.students) != list(pair.students)
    pair = pair.turned if is_turned else pair
    first, second = (everyone.one(student) for student in pair.students)
    views = []
    for one in pair.agreements:
        sides = tuple(
            SideView(student, _lines(answer, one.shared))
            for student, answer in zip((first, second), one.answers, strict=True)
        )
        views.append(AgreementView(titles[one.exercise], _words(one, (first, second), students), (sides[0], sides[1])))
    where = ", ".join(titles[one.exercise].partition(":")[0] for one in pair.agreements)
    return PairView((first, second), where, is_open, tuple(views))


def _words(one: Agreement, names: tuple[str, str], students: int) -> str:
    if one.is_same_text:
        alike = "The two cells are the same to the letter."
    else:
        first, second = one.shares
        alike = f"Alike is {percent(first)} of what {names[0]} wrote, and {percent(second)} of what {names[1]} wrote."
    others = "only these two" if one.others == 2 else f"about {one.others}"
    return f"{alike} Of {students} students, {others} wrote it so."


def _lines(answer: FingerprintedAnswer, shared: frozenset[str]) -> tuple[Line, ...]:
    """The code line by line, what is shared marked, what was released folded."""
    given = {line.strip() for line in answer.fingerprinter.stub.splitlines()}
    spans = _spans(answer, answer.places(shared))
    found: list[Line] = []
    position = 0
    for number, text in enumerate(answer.code.split("\n"), start=1):
        parts = tuple(_parts(text, position, spans))
        position += len(text) + 1
        is_shared = any(part.is_shared for part in parts)
        kind = "shared" if is_shared else "given" if text.strip() and text.strip() in given else ""
        if text.strip() or not found or found[-1].parts:  # of empty lines in a row, one
            found.append(Line(number, kind, parts if text.strip() else ()))
    shown = list(_folded(found))
    if len(shown) > MAX_LINES:
        note = f"[{len(shown) - MAX_LINES} more lines are not shown]"
        shown = [*shown[:MAX_LINES], Line(0, "", (Part(note, False),))]
    return tuple(shown)


def _spans(answer: FingerprintedAnswer, places: frozenset[int]) -> list[tuple[int, int]]:
    """From where to where the code is shared, in characters; a comment between two tokens is not."""
    spans: list[tuple[int, int]] = []
    for place in sorted(places):
        token = answer.tokens[place]
        if spans and place - 1 in places and not answer.code[spans[-1][1] : token.start].strip():
            spans[-1] = (spans[-1][0], token.end)
        else:
            spans.append((token.start, token.end))
    return spans


def _parts(text: str, position: int, spans: Iterable[tuple[int, int]]) -> Iterator[Part]:
    """A line in pieces, shared and not; its indentation is never marked."""
    indent = len(text) - len(text.lstrip())
    done = 0
    for start, end in spans:
        first, last = max(start - position, indent), min(end - position, len(text.rstrip()))
        if first < last:
            if first > done:
                yield Part(text[done:first], False)
            yield Part(text[first:last], True)
            done = last
    if done < len(text):
        yield Part(text[done:], False)


def _folded(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines of the released cell in a row as one that says how many."""
    for is_given, group in itertools.groupby(lines, key=lambda line: line.kind == "given" or not line.parts):
        some = list(group)
        if is_given and len(some) > FOLDED:
            yield Line(0, "given", (Part(f"{len(some)} lines of the released cell", False),))
        else:
            yield from some


def check_enough(found: Mapping[str, object], slug: str) -> None:
    """Make sure that there is something to compare.

    Raises:
        CourseError: there is not.
    """
    if len(found) < 2:
        raise CourseError(f"There is nothing to compare yet: {len(found)} of the submissions of {slug} hold an answer.")

"""The audit: how good an exercise's checks are at what nobody wrote down.

One-place edits of the reference, the base and every alternative (`generic_edits`), pairs of them, and silent edits of
the kinds that courses with good tests were seen to let pass: a detached graph, a changed input, an argument taken from
the notebook, a setting read once and never again, a target shifted by one. Of each it is asked whether a check catches
it, and what its author would have read: a name, a relation, an edit, or a sentence of an earlier kind (an error with
its line, another type, shape or dtype), or no more than that the numbers differ. An edit that reads a sentence which
the key has from this very edit counts neither way.

An edit that no check catches may be no fault at all. It counts as equivalent if it agrees with a right answer on
`DRAWS` seeded draws of the numbers that are compared. What is judged so by eye may be at most `BY_EYE` of all edits. It
stands, with its reason, in `tests/audit/<slug>.toml`, and so does an edit that is caught and reads a sentence that is
true of it, though a hidden check tells it from the mistake of that sentence.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import random
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainloop.authoring.draws import TITLE, drawn
from trainloop.authoring.generic_edits import Edit, edits, function_parameters
from trainloop.authoring.key_maker import given_arrays, known_words, observe_answers
from trainloop.authoring.lesson import Check, Exercise, Lesson, without_markers
from trainloop.checks import values
from trainloop.checks.evidence import Evidence
from trainloop.checks.key import ExerciseKey, Key
from trainloop.checks.values import Observation
from trainloop.checks.verdict import EDITED, is_bare, is_relation, judge
from trainloop.errors import TrainloopError
from trainloop.sandbox.box import MAX_CHECKS, Box

DRAWS = 200
PAIRS = 40  # of edits, of each exercise
BY_EYE = 0.02
NUMBERS = ("int", "float", "bool", "str")  # annotations of what is no tensor
FEW = 4  # draws, of all

Seen = Mapping[tuple[str, str], Mapping[str, Observation]]


class AuditError(TrainloopError):
    """The list of what was judged by eye is not as it should be."""


@dataclass
class Audited:
    """What the edits of one exercise came to."""

    exercise: str
    edits: int = 0
    every: int = 0  # edits that there are, of which these may be a sample
    equivalent: int = 0
    by_eye: int = 0
    caught: int = 0
    named: int = 0  # by a sentence that an author wrote
    related: int = 0
    edited: int = 0  # by the key's generic edits, where the edit is of an alternative or a pair
    stopped: int = 0  # by an error, a type, a shape, a dtype
    own: int = 0  # by the sentence that the key has from this very edit: counts neither way
    missed: list[Edit] = field(default_factory=list)
    bare: list[Edit] = field(default_factory=list)
    coincidences: list[tuple[Edit, str]] = field(default_factory=list)
    thin: list[str] = field(default_factory=list)  # sentences that nobody reads: one number is all that shows

    @property
    def told(self) -> int:
        """How many of those caught read something beyond a bare difference."""
        return self.named + self.related + self.edited + self.stopped


def audit(
    lesson: Lesson,
    key: Key,
    boxes: Sequence[Box],
    judged: Mapping[str, str],
    sample: int | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> list[Audited]:
    """Audit a lesson.

    Args:
        lesson: as read from its text.
        key: its whole key, as built.
        boxes: to run the edits in.
        judged: what was judged by eye to be no fault: an edit's mark, and the reason.
        sample: how many edits of each exercise, drawn by its name; all, if not given.
        advance: is called with the name of each exercise that is done.
    """
    found = []
    for name, one in lesson.exercises.items():
        if not one.is_question:
            tried = _tried(lesson, one)
            every = len(tried)
            if sample is not None and sample < len(tried):
                tried = dict(random.Random(name).sample([*tried.items()], sample))
            seen = observe_answers(lesson, boxes, [(name, edit.code) for edit in tried])
            found.append(replace(_audited(lesson, key.exercises[name], tried, seen, boxes, judged), every=every))
            advance(name)
    return found


def report(slug: str, found: Sequence[Audited]) -> str:
    """The audit of a lesson as plain text."""
    lines = [f"{slug}", f"  {'exercise':20}{'edits':>7}{'same':>7}{'by eye':>8}{'caught':>8}{'told':>7}"]
    lines += [_row(one.exercise, [one]) for one in found]
    for one in found:
        lines += [f"  {one.exercise}: passes every check [{mark(edit)}]: {edit.what}" for edit in one.missed]
        lines += [
            f"  {one.exercise}: reads a sentence that may be false [{mark(edit)}]: {edit.what}: {sentence}"
            for edit, sentence in one.coincidences
        ]
        lines += [f"  {one.exercise}: is never read, one number is all that shows: {text}" for text in one.thin]
        if one.by_eye > BY_EYE * one.every:
            lines.append(f"  {one.exercise}: {one.by_eye} edits are judged by eye; at most {BY_EYE:.0%} may be.")
    return "\n".join(lines)


def total(found: Sequence[Audited]) -> str:
    """One line for the exercises of several lessons."""
    return _row(f"{len(found)} exercises", found)


def _row(name: str, found: Sequence[Audited]) -> str:
    edits, same, by_eye = (sum(getattr(one, what) for one in found) for what in ("edits", "equivalent", "by_eye"))
    caught, told = sum(one.caught for one in found), sum(one.told for one in found)
    bare = sum(len(one.bare) for one in found)
    shares = f"{caught / max(1, edits - same - by_eye):>8.1%}{told / max(1, told + bare):>7.0%}"
    return f"  {name:20}{edits:7}{same:7}{by_eye:8}{shares}"


def mark(edit: Edit) -> str:
    """What an edit is called in the list of those judged by eye."""
    return hashlib.sha256(edit.code.encode()).hexdigest()[:8]


def read_judged(path: Path) -> dict[str, str]:
    """The edits that were judged by eye, with the reason; none where there is no such file.

    Raises:
        AuditError: the file has another form.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise AuditError(f"{path} is no TOML: {error}") from None
    if not all(isinstance(reason, str) and len(reason) > 9 for reason in found.values()):
        raise AuditError(f'{path}: each line is the mark of an edit and the reason: "1a2b3c4d" = "..."')
    return found


def _tried(lesson: Lesson, exercise: Exercise) -> dict[Edit, bool]:
    """All edits, and for each whether the key may have its sentence from the very same one."""
    known = known_words(lesson, exercise)
    own = [exercise.cell.source, *([exercise.base.code] if exercise.base else [])]
    others = [one.code for one in exercise.alternatives]
    first = [edit for answer in own for edit in edits(answer, known)]
    more = [edit for answer in others for edit in edits(answer, known)]
    silent = [edit for answer in (*own, *others) for edit in silent_edits(answer, lesson)]
    picker = random.Random(exercise.name)
    twice = [again for edit in picker.sample(first, min(PAIRS, len(first))) for again in _again(edit, known, picker)]
    found: dict[str, tuple[Edit, bool]] = {}
    for edit, is_own in [*((one, True) for one in first), *((one, False) for one in (*more, *silent, *twice))]:
        found.setdefault(edit.code, (edit, is_own))
    return dict(found.values())


def _again(edit: Edit, known: frozenset[str], picker: random.Random) -> Iterator[Edit]:
    """The edit with another on top of it."""
    if second := edits(edit.code, known):
        other = picker.choice(second)
        yield Edit(other.code, f"{edit.what}, and {other.what}")


def _audited(
    lesson: Lesson,
    key: ExerciseKey,
    tried: Mapping[Edit, bool],
    seen: Seen,
    boxes: Sequence[Box],
    judged: Mapping[str, str],
) -> Audited:
    found = Audited(key.name, edits=len(tried))
    unnoticed = []
    for edit, is_own in tried.items():
        observed = seen[key.name, edit.code]
        result = judge(key, observed)
        if all(one.status == "ok" for one in result.checks):
            unnoticed.append(edit)
            continue
        found.caught += 1
        _tell(found, key, edit, is_own, observed)
    found.coincidences = [one for one in found.coincidences if mark(one[0]) not in judged]
    same = _equivalent(lesson, key, unnoticed, boxes)
    found.equivalent = len(same)
    rest = [edit for edit in unnoticed if edit not in same]
    found.missed = [edit for edit in rest if mark(edit) not in judged]
    found.by_eye = len(rest) - len(found.missed)
    for index, sentence in enumerate(key.sentences):
        if Evidence(key, {one.name: one.mistakes[index] or one.expected for one in key.checks}).is_thin(index):
            found.thin.append(sentence)
    return found


def _tell(found: Audited, key: ExerciseKey, edit: Edit, is_own: bool, seen: Mapping[str, Observation]) -> None:
    """Count what the author of an edit that is caught reads."""
    wrong = [one for one in judge(key, seen).checks if one.status != "ok" and not one.hidden]
    mistakes = {one.mistake for one in wrong if one.mistake is not None}
    if mistakes:
        found.named += 1
        found.coincidences += [(edit, key.sentences[one]) for one in sorted(mistakes & Evidence(key, seen).refuted())]
        return
    of_edits = {EDITED.format(one.what) for one in key.edits}
    without = [one for one in judge(replace(key, edits=()), seen).checks if one.status != "ok" and not one.hidden]
    beyond = [one for one in without if not is_bare(one)]
    if any(is_relation(one) for one in beyond):
        found.related += 1
    elif any(one.sentence in of_edits for one in wrong):
        found.own += is_own
        found.edited += not is_own
    elif beyond or not wrong:  # where no visible check fails, a fixed sentence says so
        found.stopped += 1
    else:
        found.bare.append(edit)


# -------------------------------------------------------------------------------------------------------- silent edits


def silent_edits(answer: str, lesson: Lesson) -> Iterator[Edit]:
    """Edits that leave plain numbers as they are, and only show where a check looks for them."""
    tree = ast.parse(answer)
    bound = {
        one.id
        for cell in lesson.cells
        if cell.kind == "demo"
        for one in ast.walk(cell.tree(lesson.path))
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }
    for place, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.FunctionDef):
            for body, what in _silent(node):
                other = copy.deepcopy(tree)
                target = list(ast.walk(other))[place]
                assert isinstance(target, ast.FunctionDef)
                first = int(ast.get_docstring(target) is not None)
                target.body[first:first] = ast.parse(body).body
                yield Edit(ast.unparse(ast.fix_missing_locations(other)), what)
            other = copy.deepcopy(tree)
            target = list(ast.walk(other))[place]
            for one in ast.walk(target):
                if isinstance(one, ast.Return) and one.value is not None:
                    detached = "(lambda r: r.detach() if hasattr(r, 'detach') else r)(0)"
                    call = ast.parse(detached, mode="eval").body
                    assert isinstance(call, ast.Call)
                    call.args = [one.value]
                    one.value = call
            yield Edit(ast.unparse(ast.fix_missing_locations(other)), "the result is cut off from its graph")
            yield from _taken(tree, place, bound)


def _taken(tree: ast.Module, place: int, bound: set[str]) -> Iterator[Edit]:
    """The function at a place, with the notebook's own value in the place of an argument, read by its name."""
    function = list(ast.walk(tree))[place]
    assert isinstance(function, ast.FunctionDef)
    for name in function_parameters(function):
        if name in bound:
            other = copy.deepcopy(tree)
            target = list(ast.walk(other))[place]
            assert isinstance(target, ast.FunctionDef)
            first = int(ast.get_docstring(target) is not None)
            target.body[first:first] = ast.parse(f"{name} = from_notebook()").body
            other.body += ast.parse(f"def from_notebook(): return {name}").body
            yield Edit(ast.unparse(ast.fix_missing_locations(other)), f"`{name}` is taken from the notebook")


def _silent(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Statements to put first, and what they do."""
    for one in (*function.args.args, *function.args.kwonlyargs):
        name = one.arg
        if name == "self":
            continue
        number, tensor = f"isinstance({name}, (int, float))", f"hasattr({name}, 'detach')"
        kind = ast.unparse(one.annotation) if one.annotation else ""
        if "Tensor" not in kind:
            once = f"globals().setdefault('first_{name}', {name})"
            yield f"{name} = {once} if {number} else {name}", f"`{name}` is read once, and never again"
        if kind in NUMBERS:
            continue
        shifted = f"{name}.detach().roll(1, 0) if {tensor} and {name}.dim() else {name}"
        yield f"{name} = {shifted}", f"`{name}` is shifted by one"
        changed = f"import torch\\nif {tensor}:\\n    with torch.no_grad():\\n        {name}.add_(0.25)"
        yield changed.replace("\\n", "\n"), f"`{name}` is changed"


# --------------------------------------------------------------------------------------------------------- equivalence


def _equivalent(lesson: Lesson, key: ExerciseKey, unnoticed: Sequence[Edit], boxes: Sequence[Box]) -> set[Edit]:
    """Those that agree with a right answer whatever numbers stand in the checks.

    With the reference, or with an alternative: two right answers may draw their random numbers in another way.
    """
    given, exercise = given_arrays(lesson), lesson.exercises[key.name]
    right = [exercise.cell.source, *(one.code for one in exercise.alternatives)]
    agrees = {edit: set(right) for edit in unnoticed}  # with which of them, on all draws so far
    others = {check.title for check in key.checks if check.rule["rule"] != "close"}
    at_once = max(1, MAX_CHECKS // max(1, len(exercise.checks)))
    start, stop = 0, FEW  # first a few: what is no equivalent differs soon
    while agrees and start < DRAWS:
        text = drawn(exercise.name, without_markers(exercise.check.source), range(start, stop), others)
        answers = [(exercise.name, code) for code in (*right, *(edit.code for edit in agrees))]
        seen = observe_answers(_with_checks(lesson, exercise, text), boxes, answers, given)
        reference = seen[exercise.name, exercise.cell.source]
        if TITLE not in reference and stop - start > 1:  # too long for the time that one answer has
            at_once = max(1, (stop - start) // 4)
        elif TITLE not in reference or reference[TITLE]["saw"] != "value":
            raise AuditError(f"{lesson.path}: the checks of {exercise.name} with drawn numbers stop: {reference}")
        else:
            still = {
                edit: {one for one in ones if _is_same(seen[key.name, edit.code], seen[key.name, one])}
                for edit, ones in agrees.items()
            }
            agrees = {edit: ones for edit, ones in still.items() if ones}
            start = stop
        stop = min(DRAWS, start + at_once)
    return set(agrees)


def _is_same(mine: Mapping[str, Observation], right: Mapping[str, Observation]) -> bool:
    return TITLE in mine and TITLE in right and values.same(mine[TITLE], right[TITLE], rtol=1e-4, atol=1e-6)


def _with_checks(lesson: Lesson, exercise: Exercise, text: str) -> Lesson:
    """The lesson with another check cell for an exercise, of one check."""
    cell = replace(exercise.check, source=text)
    only = (Check(TITLE, "", False, exercise.check.line),)
    changed = replace(exercise, check=cell, checks=only, mistakes=(), alternatives=(), judges=(), base=None)
    cells = tuple(cell if one == exercise.check else one for one in lesson.cells)
    return replace(lesson, cells=cells, exercises={**lesson.exercises, exercise.name: changed})

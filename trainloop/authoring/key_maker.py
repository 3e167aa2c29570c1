"""The key of a lesson, made by running the reference and every mistake through the lesson's own check cells, in the
process in which students' code will run. Refused is a lesson whose reference fails, whose stub scores, whose other
answers lose points, or whose mistakes are not told apart.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from trainloop.authoring.answers import Answer
from trainloop.authoring.errors import LessonError
from trainloop.authoring.generic_edits import Edit, edits, hollow, idle_answers
from trainloop.authoring.habits import habits
from trainloop.authoring.lesson import (
    BEGIN_SOLUTION,
    END_SOLUTION,
    RELEASED,
    Cell,
    Check,
    Exercise,
    Lesson,
    released_script,
    visible_part,
)
from trainloop.authoring.notebooks import packed_prediction
from trainloop.authoring.parts import parts_of
from trainloop.authoring.readers import read_readers, refuse
from trainloop.authoring.trials import Kept, Trial, apart, groups, together
from trainloop.checks import fingerprints, rules, values
from trainloop.checks.evidence import ENOUGH, Evidence
from trainloop.checks.key import NOT_OBSERVED, CheckKey, EditKey, ExerciseKey, Key, agree, observed
from trainloop.checks.rules import Rule
from trainloop.checks.values import Observation, Value
from trainloop.checks.verdict import ExerciseResult, judge
from trainloop.sandbox.job import Job, Runs, Step, StepResult, check_steps
from trainloop.sandbox.needs import execution_order
from trainloop.sandbox.shared import Shared

T = TypeVar("T")
R = TypeVar("R")

MAX_SETTINGS = 4  # numbers that a lesson gives to one name


def make_key(
    lesson: Lesson,
    boxes: Sequence[Runs],
    known: Key | None = None,
    kept: Kept | None = None,
    with_edits: bool = False,
    backwards: bool = False,
) -> Key:
    """Run the reference and every mistake through the check cells; refuse what is not told apart."""
    ruled, given = _judges(lesson)
    runner = _Runner(lesson, boxes, given, with_edits)
    reference = runner.observe({})
    for exercise in lesson.exercises.values():
        for check in exercise.checks:
            seen = reference[exercise.name].get(observed(check.title, check.hidden))
            _refuse_bad_reference(lesson, check.line, check.title, seen)
    runner.try_all(reference, kept, backwards)
    before = known.exercises if known is not None else {}
    exercises = {}
    for name, exercise in lesson.exercises.items():
        part = _exercise_key(runner, exercise, ruled.get(name, {}), reference[name])
        if others := _that_disagree(part, before.get(name)):
            runner.try_alone([(name, exercise.mistakes[index].code) for index in others])
            part = _exercise_key(runner, exercise, ruled.get(name, {}), reference[name])
        told = _edit_keys(part, runner, exercise) if with_edits else _still_told(part, before.get(name))
        exercises[name] = replace(part, edits=tuple(told))
    if kept is not None:
        runner.keep_in(kept)
    key = Key(lesson.slug, exercises, given, {name: packed_prediction(one) for name, one in lesson.predictions.items()})
    _refuse_weak_checks(lesson, key, runner)
    return key


def _that_disagree(part: ExerciseKey, known: ExerciseKey | None) -> list[int]:
    """The mistakes of which a check that has not changed saw something else than it did for the known key."""
    if known is None or part.sentences != known.sentences:
        return []
    before = {(check.title, check.hidden, check.call): check for check in known.checks}
    found = set()
    for check in part.checks:
        if (old := before.get((check.title, check.hidden, check.call))) is not None:
            pairs = enumerate(zip(check.mistakes, old.mistakes, strict=True))
            found |= {index for index, (one, other) in pairs if not agree(one, other, check.rule)}
    return sorted(found)


def observe_answers(
    lesson: Lesson, boxes: Sequence[Runs], answers: Sequence[tuple[str, str]], given: dict[str, Value] | None = None
) -> dict[tuple[str, str], dict[str, Observation]]:
    """What the checks see of answers, each given with its exercise; many to a process.

    Args:
        lesson: with its exercises and checks.
        boxes: to run the answers in.
        answers: the name of an exercise, and the code that stands in its cell.
        given: the arrays that hidden checks are handed (default: `given_arrays(lesson)`).
    """
    runner = _Runner(lesson, boxes, given_arrays(lesson) if given is None else given)
    runner.trials = [runner.trial(*answer) for answer in dict.fromkeys(answers)]
    runner.try_all(runner.observe({}), None)
    return runner.seen


class _Runner:
    """Runs the lesson with some exercise cells replaced, and gives what the checks saw."""

    def __init__(
        self, lesson: Lesson, boxes: Sequence[Runs], given: dict[str, Value], with_edits: bool = False
    ) -> None:
        self.lesson, self.given, self.with_edits = lesson, given, with_edits
        self.box = Shared(boxes)
        self.boxes = len(boxes)
        self.seen: dict[tuple[str, str], dict[str, Observation]] = {}
        self.edits = {
            name: generic_edits_of(lesson, one) if with_edits else [] for name, one in lesson.exercises.items()
        }
        self.readers = {name: read_readers(lesson.path, name) for name in lesson.exercises}

    @cached_property
    def trials(self) -> list[Trial]:
        """All that the text of the lesson has to be tried."""
        return [
            self.trial(exercise.name, answer)
            for exercise in self.lesson.exercises.values()
            for answer in dict.fromkeys(
                [
                    *(one.code for one in (*exercise.mistakes, *exercise.other_answers)),
                    *(edit.code for edit in self.edits[exercise.name]),
                    *([] if exercise.is_question else [idle_answers(exercise.cell.source)[0]]),
                    *(hollow(exercise.cell.source) if self.with_edits else []),
                    *(one.code for one in self.readers[exercise.name]),
                ]
            )
        ]

    def try_all(
        self, reference: Mapping[str, dict[str, Observation]], kept: Kept | None, backwards: bool = False
    ) -> None:
        """Try every mistake and every alternative of the lesson, some to a process.

        Args:
            reference: what the checks saw of the reference, alone.
            kept: what need not be tried again.
            backwards: begin with the last.
        """
        known = {trial: kept.find(trial, self.given) if kept is not None else None for trial in self.trials}
        self.seen |= {(trial.exercise, trial.answer): seen for trial, seen in known.items() if seen is not None}
        fresh = [trial for trial, seen in known.items() if seen is None]
        if backwards:
            fresh.reverse()
        left = self._beside(lambda group: self._together(group, reference), groups(fresh))
        self._beside(self._alone, itertools.chain(*left))

    def keep_in(self, kept: Kept) -> None:
        """Remember what every answer came to, for the next build."""
        kept.write({trial: self.tried(trial.exercise, trial.answer) for trial in self.trials}, self.given)

    def try_alone(self, answers: Iterable[tuple[str, str]]) -> None:
        """Try answers, each given with its exercise, in a process of its own, whatever is known of them."""
        self._beside(self._alone, [self.trial(*answer) for answer in answers])

    def _beside(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do some work for each item, as many at a time as there are boxes."""
        with ThreadPoolExecutor(self.boxes) as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _together(self, group: Sequence[Trial], reference: Mapping[str, dict[str, Observation]]) -> list[Trial]:
        """Try a group in one process; the trials that have to be made alone."""
        if len(group) == 1:
            return list(group)
        name = group[0].exercise
        ours = self.trial(name, self.lesson.exercises[name].cell.source)
        whole = [*group, group[0].with_answer(ours.answer)]
        # Who takes something from a demonstration (its list of losses) may write into it, and leave that to the next.
        *found, last = apart(whole, self.box.run(together(whole, self.given, group[0].around == ours.around)))
        if last is None or self._by_exercise(group[0].steps, last)[name] != reference[name]:
            return list(group)
        for trial, results in zip(group, found, strict=True):
            if results is not None:
                self.seen[name, trial.answer] = self._by_exercise(trial.steps, results)[name]
        return [trial for trial, results in zip(group, found, strict=True) if results is None]

    def _alone(self, trial: Trial) -> None:
        seen = self._by_exercise(trial.steps, self.box.run(Job(trial.steps, self.given)))
        self.seen[trial.exercise, trial.answer] = seen[trial.exercise]

    def tried(self, exercise: str, answer: str) -> dict[str, Observation]:
        """What the checks of one exercise saw when its cell was replaced by `answer`, by title."""
        return self.seen[exercise, answer]

    def observe(self, answers: dict[str, str]) -> dict[str, dict[str, Observation]]:
        """Observations by exercise and title. `answers` replaces exercise cells."""
        steps = self._steps(answers)
        return self._by_exercise(steps, self.box.run(Job(tuple(steps), self.given)))

    def trial(self, exercise: str, answer: str) -> Trial:
        steps = self._steps({exercise: answer}, exercise)
        cell = f"exercise-{self.lesson.exercises[exercise].cell.line}"
        return Trial(exercise, answer, tuple(steps), next(i for i, step in enumerate(steps) if step.id == cell))

    def _steps(self, answers: dict[str, str], only: str = "") -> list[Step]:
        """What has to run, in order. `answers` replaces exercise cells; only exercise `only` is checked."""
        steps: list[Step] = []
        for cell in self.lesson.cells:
            name = f"{cell.kind}-{cell.line}"
            if cell.kind in ("demo", "drawing", "exercise"):
                steps.append(Step(name, "code", self._text(cell, answers)))
            elif cell.kind == "check" and only in ("", cell.exercise):
                checks = self.lesson.exercises[cell.exercise].checks
                steps += check_steps(name, visible_part(cell.source), cell.source, checks)
        always = {step.id for step in steps if step.id.startswith("exercise-")}
        return execution_order(steps, always, {step.id for step in steps if step.source in answers.values()})

    def _by_exercise(
        self, steps: Iterable[Step], results: Mapping[str, StepResult]
    ) -> dict[str, dict[str, Observation]]:
        """What the checks among `steps` saw, by exercise and title."""
        seen: dict[str, dict[str, Observation]] = {name: {} for name in self.lesson.exercises}
        for step in steps:
            for name, observations in results[step.id].checks.items() if step.kind == "check" else ():
                named = {observed(title, step.hidden): one for title, one in observations.items()}
                seen.setdefault(name, {}).update(named)
        return seen

    def _text(self, cell: Cell, answers: dict[str, str]) -> str:
        return answers.get(cell.exercise, cell.source) if cell.kind == "exercise" else cell.source


def given_arrays(lesson: Lesson) -> dict[str, Value]:
    """The arrays to hand to hidden checks, by name."""
    return _judges(lesson)[1]


def _judges(lesson: Lesson) -> tuple[dict[str, dict[str, Rule]], dict[str, Value]]:
    """What the judge cells say: rules by exercise and title, and the arrays to hand to hidden checks."""
    ruled: dict[str, dict[str, Rule]] = {}
    given: dict[str, Value] = {}
    for exercise in lesson.exercises.values():
        for one in exercise.judges:
            names: dict[str, Any] = {"accuracy": rules.accuracy, "close": rules.close}
            try:
                exec(compile(one.code, f"{one.path}:{one.line}", "exec"), names)
                found = dict(names.get("judges", {}))
                twins = {observed(title, True): rule for title, rule in names.get("hidden_judges", {}).items()}
                arrays = {name: values.encode(value) for name, value in names.get("given", {}).items()}
            except Exception as error:
                raise LessonError(one.path, one.line, f"the judge cell fails: {error!r}") from None
            for title in [*found, *names.get("hidden_judges", {})]:
                if title not in {check.title for check in exercise.checks}:
                    raise LessonError(one.path, one.line, f'"{exercise.name}" has no check "{title}"')
            for name, value in arrays.items():
                if not values.is_array(value) or name in given:
                    raise LessonError(one.path, one.line, f'given "{name}" is no array, or given twice')
            ruled.setdefault(exercise.name, {}).update({**found, **twins})
            given.update(arrays)
    return ruled, given


def _refuse_bad_reference(lesson: Lesson, line: int, title: str, observation: Observation | None) -> None:
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
    runner: _Runner, exercise: Exercise, ruled: dict[str, Rule], expected: dict[str, Observation]
) -> ExerciseKey:
    """The key of one exercise. Each mistake is shown only where it breaks the check's rule."""
    seen = [runner.tried(exercise.name, m.code) for m in exercise.mistakes]
    checks = []
    for check in exercise.checks:
        name = observed(check.title, check.hidden)
        rule = ruled.get(name) or ruled.get(check.title) or (rules.option() if exercise.options else rules.close())
        shown = tuple(_where_it_shows(rule, each.get(name), expected[name]) for each in seen)
        points, found = _worth(exercise, check), expected[name]
        parts = parts_of(exercise.check.source, check.call, exercise.defines, found)
        key = CheckKey(check.title, check.call, points, check.hidden, rule, found, shown, parts, check.rule)
        checks.append(key)
    sentences = tuple(mistake.sentence for mistake in exercise.mistakes)
    return ExerciseKey(
        name=exercise.name,
        title=exercise.title,
        defines=exercise.defines,
        points=exercise.check.points,
        sentences=sentences,
        checks=tuple(checks),
        hints=tuple(exercise.hints.items()),
    )


def _still_told(part: ExerciseKey, known: ExerciseKey | None) -> tuple[EditKey, ...]:
    """The generic edits of a known key, if its visible checks saw of the reference what they see now."""
    if known is None:
        return ()
    mine, theirs = ([one for one in key.checks if not one.hidden] for key in (part, known))
    same = len(mine) == len(theirs) and all(
        one.title == other.title and agree(one.expected, other.expected, one.rule)
        for one, other in zip(mine, theirs, strict=True)
    )
    return known.edits if same else ()


def known_words(lesson: Lesson, exercise: Exercise) -> frozenset[str]:
    """What learners have read before they answer: the words of the stub and of the lesson's text."""
    read = [_stub(exercise.cell.source), *(cell.source for cell in lesson.cells if cell.kind in ("markdown", "demo"))]
    return frozenset(re.findall(r"\w+", "\n".join(read)))


def generic_edits_of(lesson: Lesson, exercise: Exercise) -> list[Edit]:
    """The one-place edits of an exercise's reference and base."""
    if exercise.is_question:
        return []
    known = known_words(lesson, exercise)
    answers = [exercise.cell.source, *([exercise.base.code] if exercise.base else [])]
    settings = _settings(lesson)
    found = [edit for answer in answers for edit in (*edits(answer, known), *habits(answer, settings))]
    return list({edit.code: edit for edit in found}.values())


def _settings(lesson: Lesson) -> dict[str, list[float]]:
    """The numbers that demonstrations give to names: `LR = 0.1`, or `fit(..., lr=0.1)`; all in small letters."""
    found: dict[str, dict[float, None]] = {}
    for cell in lesson.cells:
        for node in ast.walk(cell.tree(lesson.path)) if cell.kind == "demo" else ():
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.keyword(arg=str() as name, value=value):
                    given = [(name, value)]
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=each)):
                    given = [
                        (one.id, value) for one, value in zip(names, each, strict=False) if isinstance(one, ast.Name)
                    ]
                case _:
                    continue
            for name, value in given:
                if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
                    found.setdefault(name.lower(), {})[value.value] = None
    return {name: [*numbers][:MAX_SETTINGS] for name, numbers in found.items()}


def _edit_keys(part: ExerciseKey, runner: _Runner, exercise: Exercise) -> Iterator[EditKey]:
    """What comes out of each kind of edit, where that says something and no mistake is named for it already."""
    checks = [check for check in part.checks if not check.hidden]
    empty = {_prints(checks, runner.tried(part.name, answer)) for answer in hollow(exercise.cell.source)}
    found: dict[str, str] = {}
    for edit in runner.edits[part.name]:
        seen = runner.tried(part.name, edit.code)
        prints = _prints(checks, seen)
        if prints in empty or prints in found or not _is_telling(checks, seen):
            continue
        failed = [one for one in judge(part, seen).checks if one.status != "ok" and not one.hidden]
        if any(one.mistake is None for one in failed):
            found[prints] = edit.what
    for what in dict.fromkeys(found.values()):
        yield EditKey(what, tuple(prints for prints, other in found.items() if other == what))


def _prints(checks: Iterable[CheckKey], seen: Mapping[str, Observation]) -> str:
    """The fingerprints of what visible checks saw."""
    each = [(check, seen.get(check.title, NOT_OBSERVED)) for check in checks]
    return " ".join(
        fingerprints.SAME if rules.passes(check.rule, one, check.expected) else fingerprints.of(one)
        for check, one in each
    )


def _is_telling(checks: Iterable[CheckKey], seen: Mapping[str, Observation]) -> bool:
    """Whether what went wrong are numbers, different ones: much else comes to an error, to None or to 0."""
    wrong = [
        seen.get(check.title, NOT_OBSERVED)
        for check in checks
        if check.title not in seen or not rules.passes(check.rule, seen[check.title], check.expected)
    ]
    numbers = {number for one in wrong if one["saw"] == "value" for number in fingerprints.numbers(one["value"])}
    return all(one["saw"] == "value" for one in wrong) and len(numbers) >= ENOUGH


def _worth(exercise: Exercise, check: Check) -> float:
    """Points of a check: its title's share of the exercise's, with the visible one of twins."""
    paid = [one for one in exercise.checks if not (one.hidden and one.title in exercise.visible_titles)]
    total = sum(one.worth for one in paid)
    return exercise.check.points * check.worth / total if check in paid else 0.0


def _where_it_shows(rule: Rule, observation: Observation | None, expected: Observation) -> Observation | None:
    if observation is None or rules.passes(rule, observation, expected):
        return None
    if rule["rule"] != "close":
        return {"saw": "stub"}  # only *that* it fails is used; the array would be dead weight
    shown = observation.copy()
    shown.pop("line", None)
    shown.pop("code", None)
    return shown


def _refuse_weak_checks(lesson: Lesson, key: Key, runner: _Runner) -> None:
    stubs = {name: _stub(exercise.cell.source) for name, exercise in lesson.exercises.items()}
    untouched = runner.observe(stubs)
    for name, exercise in lesson.exercises.items():
        part = key.exercises[name]
        _refuse_replay(lesson, exercise, part)
        reference = judge(part, {check.name: check.expected for check in part.checks})
        if reference.points != part.points:
            raise LessonError(lesson.path, exercise.check.line, f"the reference fails: {_first_failure(reference)}")
        if judge(part, untouched[name]).points:
            raise LessonError(lesson.path, exercise.check.line, f'the untouched stub of "{name}" scores points')
        if not exercise.is_question:
            _refuse_paid_idleness(lesson, exercise, part, runner)
        for index, mistake in enumerate(exercise.mistakes):
            _refuse_unnamed(part, mistake, index, runner)
        for alternative in exercise.other_answers:
            result = judge(part, runner.tried(name, alternative.code))
            if result.points != part.points:
                told = f"this right answer loses points: {_first_failure(result)}"
                raise LessonError(alternative.path, alternative.line, told)
        for answer in runner.readers[name]:
            refuse(answer, judge(part, runner.tried(name, answer.code)))


def _refuse_paid_idleness(lesson: Lesson, exercise: Exercise, part: ExerciseKey, runner: _Runner) -> None:
    """Refuse a check that pays for an answer that computes nothing: it returns 0 wherever it is asked."""
    for check in judge(part, runner.tried(exercise.name, idle_answers(exercise.cell.source)[0])).checks:
        if check.points:
            line = next(one.line for one in exercise.checks if one.title == check.title)
            told = f'"{check.title}" pays for functions that return 0; look at something computed, too'
            raise LessonError(lesson.path, line, told)


def _refuse_replay(lesson: Lesson, exercise: Exercise, part: ExerciseKey) -> None:
    """Refuse twins of which one passes with the other's value: that is public, and could be played back."""
    twins: dict[str, CheckKey] = {}
    for written, check in zip(exercise.checks, part.checks, strict=True):
        visible = twins.setdefault(check.title, check)
        if visible is check or check.caps:
            continue
        if rules.passes(check.rule, visible.expected, check.expected):
            told = f'"{check.title}" and its hidden twin give the same; choose numbers that lead to another result'
            raise LessonError(lesson.path, written.line, told)


def _refuse_unnamed(part: ExerciseKey, mistake: Answer, index: int, runner: _Runner) -> None:
    result = judge(part, runner.tried(part.name, mistake.code))
    failed = [check for check in result.checks if check.status != "ok"]
    if not failed:
        raise LessonError(mistake.path, mistake.line, "this mistake passes every check")
    sentence = part.sentences[index]
    others = sorted({part.sentences[check.mistake] for check in failed if check.mistake is not None} - {sentence})
    if others:
        message = f'this mistake gets the sentence "{others[0]}"; add a check that tells it apart'
        raise LessonError(mistake.path, mistake.line, message)
    if not any(check.mistake is not None and not check.hidden for check in result.checks):
        seen = runner.tried(part.name, mistake.code)
        if not any(not check.hidden for check in failed):
            message = "this mistake shows in hidden checks only; add one in plain sight"
            raise LessonError(mistake.path, mistake.line, message)
        if not Evidence(part, seen).is_thin(index):  # a single number names nothing: `audit` lists these
            message = f"this mistake gets no name: {failed[0].sentence}; add a check that tells it apart"
            raise LessonError(mistake.path, mistake.line, message)


def _first_failure(result: ExerciseResult) -> str:
    failed = next(check for check in result.checks if check.status != "ok")
    return f'"{failed.title}": {" ".join([failed.sentence, *failed.detail])}'


def _stub(source: str) -> str:
    """The released form of an exercise cell, as nbgrader will make it."""
    if RELEASED in source:
        return released_script(source)
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

"""The tests of the tests, on the way that every submission takes, and what is kept of a verdict.

For each lesson the reference is right and the untouched stub scores nothing; for each exercise some named mistakes are
called by their own sentences, and another right answer is right. `trainloop build --check` has proved this of every
mistake and answer in the box; here a sample is sent from end to end, another with each commit. All: `pytest --all`.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.conftest import Grader
from tests.lessons import written
from tests.sample_class import dump, filled, reference
from tests.samples import sampled
from trainloop.authoring.lesson import Exercise
from trainloop.checks.evidence import AS_RELEASED, Evidence
from trainloop.checks.verdict import ExerciseResult
from trainloop.grading import grade as grading
from trainloop.grading.grade import Graded, LessonBundle, Results, grade_folder
from trainloop.sandbox.box import Box
from trainloop.sandbox.job import Limits
from trainloop.syllabus import is_optional

LESSONS = written()


EXERCISES = 6  # of each lesson that are looked at: all, but of the twenty of a challenge
MISTAKES, ALTERNATIVES = 2, 1  # of each exercise that are graded


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A parameter set (slug, exercise's name, index) for each mistake or alternative that is graded."""
    kinds: Mapping[str, tuple[Callable[[Exercise], int], int]] = {
        "mistake": (lambda exercise: len(exercise.mistakes), MISTAKES),
        "alternative": (lambda exercise: len(exercise.alternatives), ALTERNATIVES),
    }
    for kind in kinds.keys() & set(metafunc.fixturenames):
        length, count = kinds[kind]
        chosen = [
            pytest.param(slug, name, index, id=f"{slug.split('-')[0]}-{name}-{index + 1}")
            for slug, lesson in LESSONS.items()
            for name, exercise in sampled(metafunc.config, [*lesson.exercises.items()], EXERCISES, f"{slug} {kind}")
            for index in sampled(metafunc.config, range(length(exercise)), count, f"{slug} {name} {kind}")
        ]
        metafunc.parametrize(("slug", "name", kind), chosen)


def result(graded: Graded, exercise: str) -> ExerciseResult:
    return next(one for one in graded.exercises if one.name == exercise)


def outputs(notebook: NotebookNode) -> str:
    """All that a notebook shows below its cells, as one text."""
    return "\n".join(str(cell.outputs) for cell in notebook.cells if cell.cell_type == "code")


def complaints(*exercises: ExerciseResult) -> list[str]:
    """What is said about the checks that did not pass, to explain a failed test."""
    checks = [check for exercise in exercises for check in exercise.checks if check.status != "ok"]
    return [f"{check.title}: {check.status}: {check.sentence} {' '.join(check.detail)}" for check in checks]


def answers(slug: str, name: str, answer: str) -> dict[str, str]:
    """One exercise answered, and the others by the reference where it builds on them: what need not run costs time."""
    exercises = LESSONS[slug].exercises
    code = ast.parse("\n".join([answer, exercises[name].check.source]))
    used = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    others = {one: exercise for one, exercise in exercises.items() if one != name}
    builds = any(used.intersection(exercise.defines) for exercise in others.values())
    return {**(reference(others) if builds else {}), name: answer}


# -------------------------------------------------------------------------------------------------------- the lessons


@pytest.mark.parametrize("slug", LESSONS)
def test_the_reference_scores_full(grader: Grader, slug: str) -> None:
    graded = grader.grade(slug, grader.reference(slug))
    assert graded.status == "ok", complaints(*graded.exercises)
    assert graded.points == graded.possible == sum(one.check.points for one in LESSONS[slug].exercises.values()) > 0
    assert [one.name for one in graded.exercises] == list(LESSONS[slug].exercises)
    assert graded.notes == ()


@pytest.mark.parametrize("slug", LESSONS)
def test_the_untouched_release_scores_nothing(grader: Grader, slug: str) -> None:
    graded = grader.grade(slug, {})
    assert (graded.status, graded.points) == ("missing", 0)
    assert {one.status for one in graded.exercises} == {"missing"}
    said = {check.sentence for one in graded.exercises for check in one.checks}
    assert said == {AS_RELEASED} if is_optional(slug) else all("ot started yet" in sentence for sentence in said)


def test_a_mistake_is_called_by_its_own_name(grader: Grader, slug: str, name: str, mistake: int) -> None:
    written = LESSONS[slug].exercises[name].mistakes[mistake]
    exercise = result(grader.grade(slug, answers(slug, name, written.code)), name)
    assert exercise.status == ("missing" if written.sentence == AS_RELEASED else "wrong")
    assert exercise.points < exercise.possible
    named = {check.sentence for check in exercise.checks if check.mistake is not None}
    key = grader.material(slug).key.exercises[name]
    seen = {check.name: check.mistakes[mistake] or check.expected for check in key.checks}
    expected = set() if Evidence(key, seen).is_thin(mistake) else {written.sentence}
    assert named == expected, complaints(exercise)


def test_another_right_answer_scores_full(grader: Grader, slug: str, name: str, alternative: int) -> None:
    answer = LESSONS[slug].exercises[name].alternatives[alternative].code
    exercise = result(grader.grade(slug, answers(slug, name, answer)), name)
    assert (exercise.status, exercise.points) == ("ok", exercise.possible), complaints(exercise)


@pytest.mark.parametrize("slug", LESSONS)
def test_each_check_that_passes_earns_its_part(grader: Grader, slug: str) -> None:
    """The first mistake of each exercise at once: what it leaves right is paid."""
    exercises = LESSONS[slug].exercises
    graded = grader.grade(slug, {name: one.mistakes[0].code for name, one in exercises.items()})
    for name, key in grader.material(slug).key.exercises.items():
        wrong = {check.title for check in key.checks if check.mistakes[0] is not None}
        earned = sum(check.points for check in key.checks if check.title not in wrong)
        assert result(graded, name).points == pytest.approx(earned)
        assert sum(check.points for check in key.checks) == pytest.approx(key.points)
    # The first mistake of a challenge is what is released, and that earns nothing.
    assert (graded.points == 0) if is_optional(slug) else (0 < graded.points < graded.possible)


# --------------------------------------------------------------------------------------- what was done to a submission


def changed(grader: Grader, slug: str, change: Callable[[NotebookNode], object]) -> bytes:
    """A notebook with everything right, and then something done to it."""
    notebook = nbformat.reads(filled(grader.material(slug).released, grader.reference(slug)).decode(), as_version=4)
    change(notebook)
    return dump(notebook)


@pytest.fixture
def slug() -> str:
    """A lesson whose exercises are code: these tests are about the grader."""
    return next(slug for slug in LESSONS if slug.startswith("2.1-"))


def test_a_changed_check_is_marked_and_makes_no_points(grader: Grader, slug: str) -> None:
    *_, last = LESSONS[slug].exercises

    def rewrite(notebook: NotebookNode) -> None:
        for cell in notebook.cells:
            if cell.id == f"check-{last}":
                cell.source = "pass"
            if cell.id == last:
                cell.source = LESSONS[slug].exercises[last].mistakes[0].code

    graded = grader.grade_bytes(slug, changed(grader, slug, rewrite))
    assert graded.status == result(graded, last).status == "tampered"
    assert result(graded, last).points < result(graded, last).possible
    assert {one.status for one in graded.exercises if one.name != last} == {"ok"}
    assert any(f"check-{last}" in note for note in graded.notes)


def test_an_exercise_that_was_removed_scores_nothing(grader: Grader, slug: str) -> None:
    *_, last = LESSONS[slug].exercises

    def remove(notebook: NotebookNode) -> None:
        notebook.cells = [cell for cell in notebook.cells if cell.id != last]

    graded = grader.grade_bytes(slug, changed(grader, slug, remove))
    assert graded.status == result(graded, last).status == "missing"
    assert result(graded, last).points == 0
    assert {one.status for one in graded.exercises if one.name != last} == {"ok"}


def test_the_end_of_the_process_costs_one_exercise(grader: Grader, slug: str) -> None:
    first, *others = LESSONS[slug].exercises
    graded = grader.grade(slug, {**grader.reference(slug), first: "import os\nos._exit(0)"})
    assert graded.status == result(graded, first).status == "crashed"
    assert result(graded, first).points == 0
    assert {result(graded, name).status for name in others} <= {"ok"}


LOUD = """
import functools, inspect, os, sys
_out, _seen = sys.stdout, []
def _words(*args):
    try:
        return repr(args)
    except Exception:  # an object that is half made
        return "?"
def _loud(function):
    @functools.wraps(function)
    def call(*args, **named):
        text = "CALLED WITH " + _words(args, named)
        _seen.append(text)
        print(text)
        print(text, file=sys.stderr)
        _out.write(text)
        os.write(1, text.encode())
        return function(*args, **named)
    return call
for _name in NAMES:
    _thing = globals()[_name]
    if inspect.isclass(_thing):
        for _method, _function in list(vars(_thing).items()):
            if inspect.isfunction(_function):
                setattr(_thing, _method, _loud(_function))
    elif callable(_thing):
        globals()[_name] = _loud(_thing)
print("OUTPUT IS KEPT")
"""


@pytest.mark.parametrize("slug", LESSONS)
def test_hidden_inputs_are_not_shown_by_code_that_prints_them(grader: Grader, slug: str) -> None:
    exercises = LESSONS[slug].exercises
    loud = {name: one.cell.source + LOUD.replace("NAMES", repr(one.defines)) for name, one in exercises.items()}
    notebook = nbformat.reads(filled(grader.material(slug).released, loud).decode(), as_version=4)
    notebook.cells.append(new_code_cell("print('AT THE END', _seen)"))
    graded = grader.grade_bytes(slug, dump(notebook))
    assert graded.points == graded.possible, complaints(*graded.exercises)
    shown = outputs(graded.notebook)
    assert shown.count("OUTPUT IS KEPT") == len(exercises)
    assert "AT THE END []" in shown
    assert "CALLED WITH" not in shown


# ------------------------------------------------------------------------------------------------------ kept verdicts


@pytest.fixture
def kept(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


@pytest.fixture
def handed_in(grader: Grader, slug: str, tmp_path: Path) -> Path:
    """The folder of a submission with one exercise done, and so soon graded."""
    first = next(iter(LESSONS[slug].exercises))
    folder = tmp_path / "ada" / slug
    folder.mkdir(parents=True)
    (folder / f"{slug}.ipynb").write_bytes(
        filled(grader.material(slug).released, {first: grader.reference(slug)[first]})
    )
    return folder


class Opened(Exception):
    """Something was about to run."""


def no_box() -> Box:
    raise Opened


def test_a_verdict_is_kept_and_found_again(grader: Grader, slug: str, handed_in: Path, kept: Results) -> None:
    material = grader.material(slug)
    first = grade_folder(material, handed_in, lambda: grader.box, kept)
    assert 0 < first.points < first.possible
    assert grade_folder(material, handed_in, no_box, kept) == first
    assert sorted(path.suffix for path in kept.folder.iterdir()) == [".json", ".run"]
    with pytest.raises(Opened):
        grade_folder(material, handed_in, no_box, kept, afresh=True)


def with_other_points(material: LessonBundle) -> LessonBundle:
    key = material.key
    name, exercise = next(iter(key.exercises.items()))
    first, *others = exercise.checks
    dearer = replace(exercise, checks=(replace(first, points=first.points + 1), *others))
    return replace(material, key=replace(key, exercises={**key.exercises, name: dearer}))


def test_what_decides_about_a_verdict_makes_a_new_one(
    grader: Grader, slug: str, handed_in: Path, kept: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = grader.material(slug)
    grade_folder(material, handed_in, lambda: grader.box, kept)
    with pytest.raises(Opened):
        grade_folder(material, handed_in, no_box, kept, limits=Limits(cell_seconds=19.0))
    notebook = handed_in / f"{slug}.ipynb"
    before = notebook.read_bytes()
    notebook.write_bytes(filled(material.released, {}))
    with pytest.raises(Opened):
        grade_folder(material, handed_in, no_box, kept)
    notebook.write_bytes(before)
    grade_folder(material, handed_in, no_box, kept)
    monkeypatch.setattr(grading, "GRADER_VERSION", "0.0.0")
    with pytest.raises(Opened):
        grade_folder(material, handed_in, no_box, kept)


def with_other_prose(material: LessonBundle) -> LessonBundle:
    base, released = copy.deepcopy((material.base, material.released))
    for notebook in (base, released):
        next(cell for cell in notebook.cells if cell.cell_type == "markdown").source += "\n\nOne sentence more."
    return replace(material, base=base, released=released)


def with_other_hidden_check(material: LessonBundle) -> LessonBundle:
    base = copy.deepcopy(material.base)
    next(cell for cell in base.cells if cell.metadata.get("nbgrader", {}).get("grade")).source += "\n# another"
    return replace(material, base=base)


@pytest.mark.parametrize(("change", "more"), [(with_other_points, 1.0), (with_other_prose, 0.0)])
def test_another_key_or_prose_is_judged_without_running_anything(
    grader: Grader,
    slug: str,
    handed_in: Path,
    kept: Results,
    change: Callable[[LessonBundle], LessonBundle],
    more: float,
) -> None:
    material = grader.material(slug)
    first = grade_folder(material, handed_in, lambda: grader.box, kept)
    changed = change(material)
    again = grade_folder(changed, handed_in, no_box, kept)
    assert again.exercises[0].checks[0].possible == pytest.approx(first.exercises[0].checks[0].possible + more)
    afresh = grade_folder(changed, handed_in, lambda: grader.box, kept, afresh=True)
    assert replace(again, seconds=0.0, ran=None) == replace(afresh, seconds=0.0, ran=None)
    assert grade_folder(changed, handed_in, no_box, kept) == afresh


def test_another_check_is_run(grader: Grader, slug: str, handed_in: Path, kept: Results) -> None:
    material = grader.material(slug)
    grade_folder(material, handed_in, lambda: grader.box, kept)
    with pytest.raises(Opened):
        grade_folder(with_other_hidden_check(material), handed_in, no_box, kept)


@pytest.mark.parametrize("damaged", ["", '{"exercises": [', "{}", "[]", '{"exercises": [1]}'])
def test_a_damaged_result_is_made_again(
    grader: Grader, slug: str, handed_in: Path, kept: Results, damaged: str
) -> None:
    material = grader.material(slug)
    first = grade_folder(material, handed_in, lambda: grader.box, kept)
    (path,) = kept.folder.glob("*.json")
    path.write_text(damaged)
    again = grade_folder(material, handed_in, lambda: grader.box, kept)
    assert again.exercises == first.exercises
    assert grade_folder(material, handed_in, no_box, kept) == again


def test_a_failure_of_the_box_is_nobodys_mark(grader: Grader, slug: str, handed_in: Path, kept: Results) -> None:
    material = grader.material(slug)
    graded = grade_folder(material, handed_in, Box, kept)  # it was never opened
    assert (graded.status, graded.points) == ("grader error", 0)
    assert {one.status for one in graded.exercises} == {"grader error"}
    assert all("not your fault" in check.sentence for one in graded.exercises for check in one.checks)
    assert [path.name.partition(".")[2] for path in kept.folder.iterdir()] == ["failure.json"]  # no verdict
    assert grade_folder(material, handed_in, lambda: grader.box, kept).points > 0
    assert sorted(path.name.partition(".")[2] for path in kept.folder.iterdir()) == ["json", "run"]


def test_an_exception_is_quoted_with_the_line_of_the_answer(grader: Grader, slug: str) -> None:
    first = next(iter(LESSONS[slug].exercises))
    graded = grader.grade(slug, {**grader.reference(slug), first: 'x = 1\n\nraise RuntimeError("my own words")'})
    sentence = result(graded, first).checks[0].sentence
    assert "RuntimeError: my own words, line 3: `raise RuntimeError(" in sentence

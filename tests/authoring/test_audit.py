"""The audit: what it counts as caught, told, equivalent and coincident."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lessons import ANSWERS, SLUG, lesson, spoiled, spoiled_lesson
from trainloop.authoring import audit as auditing
from trainloop.authoring.audit import Audited, AuditError, audit, mark, read_judged, report, silent_edits
from trainloop.authoring.build import Built, build
from trainloop.authoring.generic_edits import Edit
from trainloop.authoring.key_maker import observe_answers
from trainloop.authoring.lesson import Lesson
from trainloop.checks import values
from trainloop.checks.verdict import judge
from trainloop.sandbox.box import Box


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box() as opened:
        yield opened


@pytest.fixture(scope="module")
def tiny(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(lesson(tmp_path_factory.mktemp("tiny")), box, with_edits=True)


@pytest.fixture(scope="module")
def found(tiny: Built, box: Box) -> Audited:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing, "DRAWS", 20)
        patch.setattr(auditing, "PAIRS", 3)
        (only,) = audit(tiny.lesson, tiny.key, [box], {})
    return only


def test_a_build_without_edits_keeps_them_while_the_visible_checks_are_the_same(
    tiny: Built, box: Box, tmp_path: Path
) -> None:
    edits = tiny.key.exercises["relu"].edits
    assert [edit.what for edit in edits] == ["ones stand where zeros belong", "a number in the formula is another"]
    assert build(tiny.lesson, box).key.exercises["relu"].edits == ()
    assert build(tiny.lesson, box, known=tiny.key).key == tiny.key
    changed = spoiled_lesson(tmp_path, "[0.5, 3.0]", "[0.5, 4.0]")
    assert build(changed, box, known=tiny.key).key.exercises["relu"].edits == ()


def test_every_edit_of_every_right_answer_is_accounted_for(found: Audited) -> None:
    assert found.exercise == "relu"
    assert found.edits == found.equivalent + found.caught + len(found.missed) > 30
    assert found.caught == found.told + found.own + len(found.bare)
    assert found.missed == [] and found.by_eye == 0


def test_a_sample_is_counted_and_summed_up(tiny: Built, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "DRAWS", 2)
    done: list[str] = []
    (some,) = audit(tiny.lesson, tiny.key, [box], {}, 5, done.append)
    assert some.edits == 5 == some.equivalent + some.caught + len(some.missed)
    assert done == ["relu"]
    assert auditing.total([some, some]).split()[:3] == ["2", "exercises", "10"]


def test_what_changes_nothing_is_equivalent(found: Audited) -> None:
    """Such as `>=` for `>`, or the notebook's own x that no demonstration binds."""
    assert found.equivalent > 2


def test_a_sentence_from_the_very_same_edit_does_not_count(found: Audited, tiny: Built) -> None:
    """The key knows the reference's own edits; only alternatives and pairs can read them with merit."""
    assert found.own >= len(tiny.key.exercises["relu"].edits) > 0
    shares = auditing.total([found]).split()
    assert shares[-1] == f"{found.told / (found.told + len(found.bare)):.0%}"


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        ("return 3 * x.clamp(min=0)", "related"),
        ("return x.undefined", "stopped"),
        ("return x.clamp(min=0) + 0.013 * x**2", "bare"),
    ],
)
def test_what_is_more_than_a_difference(
    answer: str, counted: str, tiny: Built, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Edit(f"def relu(x):\n    {answer}", "it is wrong")
    monkeypatch.setattr(auditing, "_tried", lambda *_: {wrong: False})
    (only,) = audit(tiny.lesson, tiny.key, [box], {})
    counts = {"related": only.related, "stopped": only.stopped, "bare": len(only.bare)}
    assert counts == {"related": 0, "stopped": 0, "bare": 0} | {counted: 1}


@pytest.mark.parametrize(
    ("answer", "is_coincidence"),
    [
        ("return x.abs()", False),
        ("return x.abs() if x.ndim == 1 else x", True),  # what the hidden checks see is another mistake
    ],
)
def test_a_name_that_a_hidden_check_refutes_is_a_coincidence(
    answer: str, is_coincidence: bool, tiny: Built, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Edit(f"def relu(x):\n    {answer}", "it is wrong")
    monkeypatch.setattr(auditing, "_tried", lambda *_: {wrong: False})
    (only,) = audit(tiny.lesson, tiny.key, [box], {})
    expected = [(wrong, "That is the absolute value.")] if is_coincidence else []
    assert only.named == 1 and only.coincidences == expected
    (judged,) = audit(tiny.lesson, tiny.key, [box], {mark(wrong): "the sentence is true of it"})
    assert (judged.named, judged.by_eye, judged.coincidences) == (1, 0, [])


def test_what_no_check_catches_is_listed(
    tiny: Built, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "DRAWS", 20)
    monkeypatch.setattr(auditing, "PAIRS", 0)
    edit = Edit("def relu(x):\n    return x if x.ndim > 9 else x.clamp(min=0) + 0 * (x > 7.7)", "it is right")
    wrong = Edit("def relu(x):\n    return x.clamp(min=0) + (x > 3.1)", "large numbers grow")
    monkeypatch.setattr(auditing, "_tried", lambda *_: {edit: False, wrong: False})
    (only,) = audit(tiny.lesson, tiny.key, [box], {})
    assert only.missed == [wrong] and only.equivalent == 1, "drawn numbers go beyond 3.0"
    (judged,) = audit(tiny.lesson, tiny.key, [box], {mark(wrong): "nobody has numbers above 3"})
    assert (judged.missed, judged.by_eye) == ([], 1)
    assert "passes every check" in report(SLUG, [only])
    assert "at most 2%" in report(SLUG, [judged])


def test_what_a_judge_hands_to_hidden_checks_is_there_when_numbers_are_drawn(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "lambda: relu(torch.tensor([[-1.5], [2.5]]))"
    text = spoiled(hidden, 'lambda: relu(given("rows"))')
    judge_cell = '\n```python judge\nimport torch\n\ngiven = {"rows": torch.tensor([[-1.5], [2.5]])}\n```\n'
    built = build(lesson(tmp_path, text, ANSWERS + judge_cell), box)
    monkeypatch.setattr(auditing, "DRAWS", 4)
    same = Edit("def relu(x):\n    return x.clamp(min=0) if x.shape != (2, 1) else x * (x > 0)", "nothing is changed")
    other = Edit("def relu(x):\n    return x.clamp(min=0) if x.shape == (2, 1) else x.clamp(min=0) + (x > 3)", "larger")
    monkeypatch.setattr(auditing, "_tried", lambda *_: {same: False, other: False})
    (only,) = audit(built.lesson, built.key, [box], {})
    assert (only.equivalent, only.missed) == (1, [other])


def test_silent_edits(tiny: Built, box: Box) -> None:
    answer = tiny.lesson.exercises["relu"].cell.source
    made = {edit.what: edit.code for edit in silent_edits(answer, tiny.lesson)}
    assert set(made) == {"the result is cut off from its graph", "`x` is shifted by one", "`x` is changed"}
    seen = observe_answers(tiny.lesson, [box], [("relu", code) for code in made.values()])
    points = {what: judge(tiny.key.exercises["relu"], seen["relu", code]).points for what, code in made.items()}
    assert points["the result is cut off from its graph"] == 2.0
    assert points["`x` is shifted by one"] < 2.0


def test_silent_edits_of_numbers_are_not_made_to_tensors_and_the_reverse(tiny: Built) -> None:
    told = {edit.what for edit in silent_edits("def f(lr: float, n): return lr", tiny.lesson)}
    assert {"`lr` is read once, and never again", "`n` is read once, and never again", "`n` is changed"} < told
    assert not {"`lr` is changed", "`lr` is shifted by one"} & told


def test_an_argument_that_the_notebook_binds_may_be_taken_from_there(tmp_path: Path) -> None:
    bound: Lesson = spoiled_lesson(tmp_path, "torch.arange(3.0)\n", "x = torch.arange(3.0)\n")
    told = [edit.what for edit in silent_edits(bound.exercises["relu"].cell.source, bound)]
    assert "`x` is taken from the notebook" in told
    (taken,) = [one.code for one in silent_edits(bound.exercises["relu"].cell.source, bound) if "notebook" in one.what]
    assert "x = from_notebook()" in taken and "return x" in taken.partition("def from_notebook")[2]


def test_draws_that_take_too_long_are_made_fewer_at_a_time(
    tiny: Built, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    real_drawn, real_observe = auditing.drawn, auditing.observe_answers

    def counted(name: str, cell: str, draws: range, others: set[str]) -> str:
        made.append(len(draws))
        return real_drawn(name, cell, draws, others)

    def observe(*given: Any) -> Any:
        return {one: {} for one in given[2]} if made and made[-1] > 1 else real_observe(*given)

    monkeypatch.setattr(auditing, "DRAWS", 3)
    monkeypatch.setattr(auditing, "FEW", 2)
    monkeypatch.setattr(auditing, "drawn", counted)
    monkeypatch.setattr(auditing, "observe_answers", observe)
    same = Edit("def relu(x):\n    return x.clamp(min=0)", "nothing is changed")
    monkeypatch.setattr(auditing, "_tried", lambda *_: {same: False})
    (only,) = audit(tiny.lesson, tiny.key, [box], {})
    assert (only.equivalent, made) == (1, [2, 1, 1, 1])


def test_what_agrees_with_any_one_right_answer_on_every_draw_is_equivalent(
    tiny: Built, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right answers may draw their random numbers each in a way of its own; a blend of two ways is no third one."""
    exercise = tiny.lesson.exercises["relu"]
    reference, alternative = exercise.cell.source, exercise.alternatives[0].code
    like_reference, like_alternative, like_both, like_none = (Edit(f"relu = {n}", f"answer {n}") for n in range(4))
    draws = itertools.count()

    def observe(*given: Any) -> Any:
        draw = next(draws)
        results = {
            reference: 1.0,
            alternative: 2.0,
            like_reference.code: 1.0,
            like_alternative.code: 2.0,
            like_both.code: (1.0, 2.0)[draw % 2],
            like_none.code: 3.0,
        }
        return {one: {auditing.TITLE: values.observe(partial(results.get, one[1], 1.0))} for one in given[2]}

    monkeypatch.setattr(auditing, "DRAWS", 2)
    monkeypatch.setattr(auditing, "FEW", 1)
    monkeypatch.setattr(auditing, "observe_answers", observe)
    every = [like_reference, like_alternative, like_both, like_none]
    assert auditing._equivalent(tiny.lesson, tiny.key.exercises["relu"], every, [box]) == {
        like_reference,
        like_alternative,
    }


def test_what_was_judged_by_eye(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    assert read_judged(path) == {}
    path.write_text('"1a2b3c4d" = "the same in exact arithmetic"', encoding="utf-8")
    assert read_judged(path) == {"1a2b3c4d": "the same in exact arithmetic"}
    for text in ('"1a2b3c4d" = ""', '"1a2b3c4d" = 5', "1a2b = = "):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(AuditError):
            read_judged(path)

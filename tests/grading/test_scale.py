"""The scale run's own parts: the class that it makes, what it refuses, and the plan from its figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import plan, scale
from benchmarks.scale import GROWTH, HOSTILE, HOSTILE_A_ROUND, SLOWER, GradedRun, ScaleError
from trainloop.checks.verdict import ExerciseResult
from trainloop.course import Course
from trainloop.grading.batch import GradedSummary
from trainloop.grading.grade import Graded, Results
from trainloop.grading.reader import EMPTY


def contents(rounds: list[dict[str, Path]]) -> list[dict[str, list[bytes]]]:
    return [
        {student: [path.read_bytes() for path in sorted(folder.iterdir())] for student, folder in one.items()}
        for one in rounds
    ]


def kind(student: str) -> str:
    return student.partition("-")[2]


def test_the_class_is_the_same_each_time_and_no_two_of_it_alike(course: Course, tmp_path: Path) -> None:
    slug = course.slug("2.1")
    made = scale.hand_in(course, slug, tmp_path / "first", 100)
    assert contents(made) == contents(scale.hand_in(course, slug, tmp_path / "second", 100))
    count = sum(map(len, made))
    assert count - len(made[-1]) < 100 <= count
    whole = [data for one in contents(made) for files in one.values() for data in files if b"# submission" in data]
    assert len(set(whole)) == len(whole) > count * 0.9


def test_rounds_of_the_class_cost_the_same_in_another_order(course: Course, tmp_path: Path) -> None:
    slug = course.slug("2.1")
    made = scale.hand_in(course, slug, tmp_path, 100)
    hostile = dict(HOSTILE)
    assert [kind(name) for one in made for name in one if kind(name) in hostile] == [each for each, _ in HOSTILE]
    first, second = ([kind(name) for name in one if kind(name) not in hostile] for one in made)
    assert first != second and sorted(first) == sorted(second)
    assert len(made[0]) == len(first) + HOSTILE_A_ROUND
    assert scale.whole_rounds(made, 1) == scale.whole_rounds(made, len(made[0])) == made[0]
    assert scale.whole_rounds(made, len(made[0]) + 1) == {**made[0], **made[1]}
    assert list(scale.part(made[0], 3)) == list(made[0])[:3]


def mark(points: float, status: str = "ok") -> GradedSummary:
    exercise = ExerciseResult("relu", "ReLU", "ok", points, 2.0, ())
    graded = Graded("2.1", "ok", (exercise,), (), 0.1, EMPTY, "full")
    return GradedSummary("name", replace(graded, status=status), before=False)  # type: ignore[arg-type]


def test_a_mark_that_differs_in_the_last_bit_is_found() -> None:
    one = GradedRun({"ada": mark(0.3)}, 1.0, (1.0,), 1.0)
    assert scale.differences(one, replace(one)) == []
    (sentence,) = scale.differences(one, GradedRun({"ada": mark(0.1 + 0.2)}, 1.0, (1.0,), 1.0))
    assert sentence.startswith("ada has ")


def test_a_lost_submission_is_found(tmp_path: Path) -> None:
    one = GradedRun({"ada": mark(2.0)}, 1.0, (1.0,), 1.0)
    with pytest.raises(ScaleError, match=r"^1 submissions have no mark"):
        scale.check_none_lost(one, {"ada": tmp_path, "ben": tmp_path}, Results(tmp_path))
    with pytest.raises(ScaleError, match=r"ada is not in the store"):
        scale.check_none_lost(one, {"ada": tmp_path}, Results(tmp_path))
    with pytest.raises(ScaleError, match=r"The grader failed on ada"):
        scale.check_none_lost(
            GradedRun({"ada": mark(0.0, "grader error")}, 1.0, (1.0,), 1.0), {"ada": tmp_path}, Results(tmp_path)
        )


def test_memory_that_grows_and_time_that_grows_are_found() -> None:
    flat = [50.0, 90.0, *[100.0] * 8]
    assert scale.growth(flat) == pytest.approx(100 / 100)
    assert scale.growth([float(one) for one in range(100, 200)]) > GROWTH
    assert scale.broken({"ratio": SLOWER, "driver_growth": GROWTH, "differences": []}) == []
    figures = {"ratio": SLOWER + 0.01, "driver_growth": GROWTH + 0.01, "differences": ["ada has another mark."]}
    assert len(scale.broken(figures)) == 3


def test_the_plan_follows_from_the_figures() -> None:
    figures = {
        "worker_seconds_each": 0.5,
        "driver_seconds_each": 0.01,
        "record_seconds_each": 0.02,
        "worker_mb": 500,
        "driver_mb": 200,
        "bytes_each": {"verdicts": 60_000},
    }
    assert plan.grading_hours(figures, 7_200, 2) == pytest.approx(0.5)
    assert plan.grading_hours(figures, 7_200, 1_000) == pytest.approx(0.02)  # the command is slower than the workers
    assert plan.most_workers(figures) == 50
    assert plan.gigabytes(figures, 100_000) == {"verdicts": pytest.approx(6.0)}
    said = plan.page(figures, 7_200, (2,))
    assert "| 2 | 0.5 | 0.5 |" in said
    assert "at most 50 workers" in said

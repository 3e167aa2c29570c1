"""What earns nothing, in every lesson: an argument handed back. (That 0 earns nothing, the build proves.)"""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.lessons import written
from trainloop.authoring.generic_edits import idle_answers
from trainloop.authoring.key_maker import observe_answers
from trainloop.checks.key import Key
from trainloop.checks.verdict import judge
from trainloop.course import Course
from trainloop.sandbox.box import Box

LESSONS = written()


@pytest.mark.parametrize("slug", LESSONS)
def test_who_hands_back_an_argument_earns_nothing(shared_box: Box, slug: str) -> None:
    lesson, key = LESSONS[slug], Key.load(Course(ROOT).key(slug))
    answers = [
        (name, answer)
        for name, exercise in lesson.exercises.items()
        if not exercise.is_question
        for answer in idle_answers(exercise.cell.source)
    ]
    seen = observe_answers(lesson, [shared_box], answers)
    paid = {
        (name, check.title, answer)
        for name, answer in answers
        for check in judge(key.exercises[name], seen[name, answer]).checks
        if check.points
    }
    assert paid == set()

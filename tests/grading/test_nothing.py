"""What earns nothing, in every lesson: an argument handed back. (That 0 earns nothing, the build proves.)"""

from __future__ import annotations

import pytest

from tests.conftest import Grader
from tests.lessons import written
from trainloop.authoring.generic_edits import idle

LESSONS = written()


@pytest.mark.parametrize("slug", LESSONS)
def test_who_hands_back_an_argument_earns_nothing(grader: Grader, slug: str) -> None:
    code = {name: one for name, one in LESSONS[slug].exercises.items() if not one.is_question}
    graded = grader.grade(slug, {name: idle(one.cell.source, hands_back=True) for name, one in code.items()})
    earned = {
        one.name: [check.title for check in one.checks if check.points]
        for one in graded.exercises
        if one.name in code and one.points
    }
    assert earned == {}

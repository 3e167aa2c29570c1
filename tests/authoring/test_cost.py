"""The benchmark that counts what a lesson costs."""

from __future__ import annotations

from benchmarks.cost import MAX_LINES, Cost, lines_of, table_of
from tests.conftest import ROOT
from tests.lessons import written
from trainloop.course import Course

SLUG = "2.2-forward-and-backward-passes"


def test_every_line_is_counted_once() -> None:
    lesson, course = written()[SLUG], Course(ROOT)
    cost = lines_of(course, lesson)
    assert cost.prose + sum(cost.code.values()) == lesson.path.read_text(encoding="utf-8").count("\n")
    files = [path for kind in ("source", "release", "solutions") for path in (ROOT / kind / SLUG).iterdir()]
    assert cost.generated == sum(path.read_text(encoding="utf-8").count("\n") for path in [*files, course.key(SLUG)])
    assert cost.mistakes == sum(len(one.mistakes) for one in lesson.exercises.values())


def test_what_is_more_than_asked_is_marked() -> None:
    just, more = (
        Cost(1, {"demo": MAX_LINES["code"] + n}, MAX_LINES["answers"] + n, 9, MAX_LINES["generated"] + n)
        for n in (0, 1)
    )
    cells = [cell for column in table_of({"a": just, "b": more}).columns for cell in column.cells]
    assert [cell for cell in cells if str(cell).endswith("!")] == ["701!", "901!", "8001!"]

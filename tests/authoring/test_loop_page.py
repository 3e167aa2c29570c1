"""The loop through the course, docs/the-loop.md: that the page is what is made, and that no lesson is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.lessons import SLUG, lesson, spoiled, written
from trainloop.authoring import loop_page
from trainloop.authoring.errors import LessonError
from trainloop.authoring.lesson import Lesson
from trainloop.authoring.loop_page import LOOPS, PAGE, WITHOUT, changed_lines, loop, page
from trainloop.syllabus import is_optional

LESSONS = [one for slug, one in written().items() if not is_optional(slug)]

CELL = """\
```python
for lr in (0.1, 0.2):
    for epoch in range(3):
        w = w - lr * slope  # step
        for row in rows:
            pass
```
"""


def looped(folder: Path, cell: str = CELL) -> Lesson:
    return lesson(folder, spoiled("A list of 3 numbers.", f"A list of 3 numbers.\n\n{cell}"))


def test_the_committed_page_is_what_is_made() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(list(written().values())), (
        "trainloop build writes it, of all lessons"
    )


def test_each_lesson_is_in_the_page_or_left_out() -> None:
    numbers = {loop_page.number(one) for one in LESSONS}
    assert not LOOPS.keys() & WITHOUT.keys()
    assert LOOPS.keys() | WITHOUT.keys() == numbers
    made = page(LESSONS)
    assert [line.split()[1] for line in made.splitlines() if line.startswith("## ")] == [
        *(number for number in map(loop_page.number, LESSONS) if number in LOOPS),
        "Without",
    ]
    assert all(f"](../release/{one.slug}/{one.slug}.ipynb)" in made for one in LESSONS)


@pytest.mark.parametrize("one", [one for one in LESSONS if loop_page.number(one) in LOOPS], ids=lambda one: one.slug)
def test_each_loop_takes_steps(one: Lesson) -> None:
    lines = loop(one, LOOPS[loop_page.number(one)][0])
    text = "\n".join(lines)
    assert lines[0].startswith("for ")
    assert all(line.startswith("    ") or not line for line in lines[1:])
    assert "step(" in text or " -= lr" in text or " - lr * " in text


def test_a_reason_is_one_sentence() -> None:
    for why in [*(why for _, why in LOOPS.values()), *WITHOUT.values()]:
        assert why.endswith(".")
        assert ". " not in why


def test_a_loop_is_cut_out_from_for_to_the_end_of_its_body(tmp_path: Path) -> None:
    assert loop(looped(tmp_path), "w = w - lr") == [
        "for epoch in range(3):",
        "    w = w - lr * slope  # step",
        "    for row in rows:",
        "        pass",
    ]


@pytest.mark.parametrize("holds", ["nowhere", "for lr in", "torch.where"])
def test_a_loop_that_is_not_there(tmp_path: Path, holds: str) -> None:
    """What stands around a loop, or in a solution, does not count."""
    with pytest.raises(LessonError, match="no loop over epochs or steps in an idea cell holds"):
        loop(looped(tmp_path), holds)


def test_a_lesson_that_nobody_entered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LessonError, match=r"nothing on this lesson: enter it in LOOPS or WITHOUT in loop_page\.py"):
        page([lesson(tmp_path)])


def test_a_page_shows_the_first_loop_and_then_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_page, "LOOPS", {"9.9": ("w = w - lr", "It begins.")})
    monkeypatch.setattr(loop_page, "WITHOUT", {})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    made = page([looped(tmp_path / "a"), looped(tmp_path / "b", CELL.replace("* slope", "* slope.mean()"))])
    _, first, second = made.split("## 9.9 A Tiny Lesson\n\n")
    link = f"[Open the lesson](../release/{SLUG}/{SLUG}.ipynb)."
    assert first.startswith(f"It begins. {link}\n\n```python\nfor epoch in range(3):\n    w = ")
    assert second.endswith(
        "```diff\n"
        "  for epoch in range(3):\n"
        "-     w = w - lr * slope  # step\n"
        "+     w = w - lr * slope.mean()  # step\n"
        "      for row in rows:\n"
        "          pass\n"
        "```\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("loss.backward()  # gradient", "        loss.backward()       # (S,)"),
        ("for epoch in range(1000):", "for epoch in range(n_epochs):"),
        ("say('# 1')", "say('# 1')  # 2"),
        ("both = (a +  # the first", "both = (a +"),
    ],
)
def test_what_counts_as_the_same_line(before: str, after: str) -> None:
    assert list(changed_lines([before], [after])) == [f"  {after}"]


@pytest.mark.parametrize(
    ("before", "after"),
    [("say('# 1')", "say('# 2')"), ("for epoch in range(9):", "for step in range(9):"), ("w -= lr", "w -= lr * g")],
)
def test_what_counts_as_another(before: str, after: str) -> None:
    assert list(changed_lines([before], [after])) == [f"- {before}", f"+ {after}"]

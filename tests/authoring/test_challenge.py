"""The optional challenge: what the lint asks of it alone, what is released of a script, and the one of the course."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell

from tests import lessons
from tests.conftest import ROOT
from tests.lessons import spoiled, written
from trainloop.authoring import pace
from trainloop.authoring.errors import LessonError
from trainloop.authoring.lesson import (
    RELEASED,
    Lesson,
    read,
    released_script,
    without_markers,
)
from trainloop.authoring.lint import CHALLENGE_EXERCISES, lint
from trainloop.authoring.released import PREPROCESSORS, ClearSolutions
from trainloop.checks.evidence import AS_RELEASED
from trainloop.checks.key import Key
from trainloop.checks.verdict import judge
from trainloop.checks.words import read_back, render, tally
from trainloop.course import Course
from trainloop.syllabus import is_optional, titles

SLUG = "4.1-tiny"

SCRIPT = '''\
### Script {n}: Adding up

Difficulty 1 of 5, importance 5 of 5, about 5 minutes.

Look at the sum.

```python exercise="add{n}"
def add{n}(x: torch.Tensor) -> torch.Tensor:
    """The sum of x."""
    total = torch.zeros(())
    for each in x:
        ### BEGIN SOLUTION
        total = total + each
        ### RELEASED
        # total = each
        ### END SOLUTION
    return total
```

```python
print(add{n}(torch.ones(3)))
```

```python check="add{n}" points=1
check("add{n}", {{
    "three numbers": lambda: add{n}(torch.tensor([1.5, 2.0, 4.1])),
    "four numbers": lambda: add{n}(torch.tensor([0.5, 3.0, 2.2, 7.7])),
}})
### BEGIN HIDDEN TESTS
check("add{n}", {{
    "three numbers": lambda: add{n}(torch.tensor([1.7, 2.9, 5.3])),
    "four numbers": lambda: add{n}(torch.tensor([1.1, 2.3, 4.7, 9.5])),
}})
### END HIDDEN TESTS
```

```python hints="add{n}"
hints = {{
    "Where?": "Print what is added up after each round.",
    "Why?": "What becomes of what was there before?",
    "Tell me": "Nothing is kept. Gradients add up as well, see lesson 1.1.",
}}
```
'''

ANSWER = """\
## add{n}

That is the mean.
```diff mistake
-    return total
+    return total / len(x)
```

The first number is left out.
```diff mistake
-    for each in x:
+    for each in x[1:]:
```

In one call.
```python alternative
def add{n}(x: torch.Tensor) -> torch.Tensor:
    return x.sum()
```
"""


def challenge(
    folder: Path, old: str = "", new: str = "", count: int = 10, slug: str = SLUG, answers: str = ANSWER
) -> Lesson:
    """A challenge of some scripts as it should be, with the first `old` replaced, and the time that comes of it."""
    numbers = range(1, count + 1)
    head = "# 4.1 Tiny\n\n> **{box}** You need nothing.\n\n## Introduction\n\n" + lessons.FILLER
    cell = "\n\n```python\nimport torch\n\nfrom trainloop import check\n```\n\n## Exercises\n\n"
    text = head + cell + "\n".join(SCRIPT.format(n=n) for n in numbers) + "\n## Summary\n\nIt is done.\n"
    assert old in text
    text = text.replace(old, new, 1) if old else text
    path = folder / slug / "lesson.md"
    path.parent.mkdir(exist_ok=True)
    path.with_name("answers.md").write_text("\n".join(answers.format(n=n) for n in numbers), encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    path.write_text(text.replace("{box}", pace.time_sentence(read(path))), encoding="utf-8")
    return read(path)


def refused(lesson: Lesson) -> list[str]:
    return [error.message for error in lint(lesson)]


# ---------------------------------------------------------------------------------------------------------------- lint


def test_a_challenge_as_it_should_be_is_not_refused(tmp_path: Path) -> None:
    assert refused(challenge(tmp_path)) == []


def test_the_same_text_is_no_lesson(tmp_path: Path) -> None:
    found = "\n".join(refused(challenge(tmp_path, slug="9.9-tiny")))
    assert f'"{RELEASED}" is for challenges' in found
    assert "a lesson has one to four exercises" in found
    assert 'the section "## ELI5" is missing' in found
    assert "a demonstration takes `add1` from an exercise" in found
    assert "at least 4 are needed" in found


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("        ### RELEASED\n        # total = each\n", "", 'exercise "add1" needs "### RELEASED" in each solution'),
        ("see lesson 1.1.", "see above.", 'the last hint of "add1" names the lesson'),
        ("see lesson 1.1.", "see lesson 1.1 or lesson 1.3.", 'the last hint of "add1" names the lesson'),
        ("see lesson 1.1.", "see lesson 4.1.", 'the last hint of "add1" names the lesson'),
        ("see lesson 1.1.", "see lesson 2.9.", 'the last hint of "add1" names the lesson'),
        (
            "What becomes of",
            "Lesson 1.1: what becomes of",
            'a hint of "add1" names a lesson, and only',
        ),
        ("## Summary", "## End", 'the section "## Summary" is missing'),
        ("Difficulty 1 of 5,", "Hard,", 'exercise "add1" does not state'),
        ("print(add1", "### RELEASED\nprint(add1", '"### RELEASED" has no place in a demo cell'),
    ],
)
def test_what_is_refused_in_a_challenge(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert any(message.startswith(told) for message in refused(challenge(tmp_path, old, new)))


def test_too_few_or_too_many_scripts_are_refused(tmp_path: Path) -> None:
    low, high = CHALLENGE_EXERCISES
    for count in (low - 1, high + 1):
        assert any(f"this one has {count}" in message for message in refused(challenge(tmp_path, count=count)))


def test_two_wrong_mends_and_another_right_one_are_needed(tmp_path: Path) -> None:
    mistake = ANSWER[ANSWER.index("The first number") : ANSWER.index("In one call")]
    found = refused(challenge(tmp_path, answers=ANSWER.replace(mistake, "")))
    assert 'exercise "add1" has 2 named mistakes; at least 3 are needed' in found
    found = refused(challenge(tmp_path, answers=ANSWER[: ANSWER.index("In one call")]))
    assert 'exercise "add1" has 0 alternatives; at least 1 are needed' in found


# ------------------------------------------------------------------------------------------------------------- release


def test_a_script_is_released_with_its_fault_and_solved_without_it() -> None:
    source = "a = 1\n### BEGIN SOLUTION\nb = 2\n### RELEASED\n# if a:\n#     b = 3\n### END SOLUTION\nc = 4"
    assert released_script(source) == "a = 1\nif a:\n    b = 3\nc = 4"
    assert without_markers(source) == "a = 1\nb = 2\nc = 4"


def test_either_side_may_be_empty() -> None:
    moved = "### BEGIN SOLUTION\n### RELEASED\n# a = 1\n### END SOLUTION\nb\n### BEGIN SOLUTION\na = 1\n### RELEASED\n"
    assert released_script(moved + "### END SOLUTION") == "a = 1\nb"
    assert without_markers(moved + "### END SOLUTION") == "b\na = 1"


def test_what_is_released_is_a_comment_and_python(tmp_path: Path) -> None:
    for new in ("        total = each", "        # total = = each"):
        with pytest.raises(LessonError):
            challenge(tmp_path, "        # total = each", new)


def test_the_script_as_released_is_the_first_mistake(tmp_path: Path) -> None:
    first = challenge(tmp_path).exercises["add1"].mistakes[0]
    assert first.sentence == AS_RELEASED
    assert "total = each" in first.code and "total + each" not in first.code


def test_nbgrader_is_told_to_release_as_the_build_does() -> None:
    told = Course(ROOT).config().GenerateAssignment.preprocessors
    assert [name.split(".")[-1] for name in told] == [one.__name__ for one in PREPROCESSORS]
    assert f"{ClearSolutions.__module__}.{ClearSolutions.__name__}" in told


def test_a_stub_is_cleared_as_ever() -> None:
    cell = new_code_cell("def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION")
    assert ClearSolutions()._replace_solution_region(cell, "python")
    assert cell.source == "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert not ClearSolutions()._replace_solution_region(new_code_cell("1"), "python")


# ------------------------------------------------------------------------------------------------------------- course

COURSES = [one for slug, one in written().items() if is_optional(slug)]


def test_the_challenge_of_the_course_has_twenty_scripts_from_all_over_it() -> None:
    (one,) = COURSES
    assert len(one.exercises) == 20
    named = [re.findall(r"[Ll]esson (\d\.\d)", list(each.hints.values())[-1]) for each in one.exercises.values()]
    assert {number[0] for (number,) in named} == {"1", "2", "3"}
    assert len({number for (number,) in named}) >= 15


def test_what_is_released_of_a_script_tells_neither_its_fault_nor_its_lesson() -> None:
    (one,) = COURSES
    released = Course(ROOT).read("release", one.slug)
    cells = {cell.id: cell.source for cell in released.cells}
    for name, exercise in one.exercises.items():
        ast.parse(cells[name])
        assert cells[name] == released_script(exercise.cell.source) != without_markers(exercise.cell.source)
    text = "\n".join(cells.values())
    assert RELEASED not in text and "BEGIN SOLUTION" not in text and "NotImplementedError" not in text
    assert not re.search(r"[Ll]esson \d\.\d", text[text.index("### Script 1") : text.index("## Summary")])


def test_who_changes_nothing_earns_nothing_and_reads_that_nothing_has_changed() -> None:
    (one,) = COURSES
    key = Key.load(Course(ROOT).key(one.slug))
    for exercise in key.exercises.values():
        untouched = {check.name: check.mistakes[0] for check in exercise.checks}
        assert None not in untouched.values(), "each check sees the fault"
        result = judge(exercise, {name: seen for name, seen in untouched.items() if seen is not None})
        assert result.points == 0
        assert {check.sentence for check in result.checks} == {AS_RELEASED}
        assert (result.status, render(result), read_back(tally(result))) == ("missing", "", {})
        assert tally(result).startswith(f"`{exercise.name}` is not mended yet: this is still what the script computes")


def test_it_is_in_the_readme_and_told_to_students_and_authors() -> None:
    for page in ("README.md", "docs/students.md", "docs/authors.md"):
        assert "wenty silent bugs" in (ROOT / page).read_text(encoding="utf-8").replace("Silent Bugs", "silent bugs")
    assert titles()["4.1"] == "Twenty Silent Bugs"


def test_a_lesson_may_not_release_a_script(tmp_path: Path) -> None:
    text = spoiled("    ### END SOLUTION", "    ### RELEASED\n    # return x\n    ### END SOLUTION")
    assert any(f'"{RELEASED}" is for challenges' in message for message in refused(lessons.lesson(tmp_path, text)))

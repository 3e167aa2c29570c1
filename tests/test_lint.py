"""Each of the course's rules refuses the lesson that breaks it, at its line, and nothing else."""

from pathlib import Path

import pytest

from tests.lessons import FILLER, TEXT, lesson, line_of, spoiled
from trainloop.lint import claims, lint, minutes, words

FENCES = ["```python " + fence for fence in TEXT.split("```python ")]
MISTAKE, ALTERNATIVE = (next(f for f in FENCES if word in f) for word in ("Nothing is done", "Half of"))
PLOT = "fig = torch.arange(3.0)\n"
LONG = "\n".join(f"x{number} = {number}" for number in range(41))
ARANGE = "torch.arange(3.0)\n"
HINT = '    "I do not know how to begin": "Which numbers may stay as they are?",\n'
STATED = "Difficulty 1 of 5, importance 5 of 5, about 7 minutes."


def test_the_tiny_lesson_is_as_it_should_be(tmp_path: Path) -> None:
    assert lint(lesson(tmp_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ('mistake="relu"', 'mistake="relu" sort=1', "That is the absolute", "unknown attribute sort on a mistake cell"),
        ("```python\ntorch.arange", "```python demo\ntorch.arange", ARANGE, "unknown attribute demo on a demo cell"),
        ("```python\ntorch.arange", "```python points=2\ntorch.arange", ARANGE, "unknown attribute points"),
        ("Write it.", '<!-- #region a="b" -->\nWrite it.\n<!-- #endregion -->', "Write it.", "unknown attribute a"),
        ("Write it.", "<div>\nWrite it.\n</div>", "<div>", "HTML in a Markdown cell"),
        ("Write it.", "Write\nit <b>now</b>.", "<b>now", "HTML in a Markdown cell: <b>"),
        ("Write it.", "- one\n- two<br>", "- two", "HTML in a Markdown cell: <br>"),
        ("Write it.", "Write it. <!-- soon -->", "Write it", "HTML in a Markdown cell"),
        ("## ELI5", "### ELI5", None, 'the section "## ELI5" is missing'),
        (
            "## Summary\n\nIt is done.\n\n## Key takeaways",
            "## Key takeaways\n\n## Summary",
            "## Key",
            "stands too early",
        ),
        (
            "(x: torch.Tensor) -> torch.Tensor:",
            "(x: torch.Tensor):",
            "def relu",
            "`relu` lacks type hints for its result",
        ),
        ("(x: torch.Tensor) -> torch.Tensor:", "(x) -> torch.Tensor:", "def relu", "`relu` lacks type hints for x"),
        (ARANGE, "def f(*a: int, k) -> int:\n    return k\n", "def f", "`f` lacks type hints for k"),
        (
            ARANGE,
            "class A:\n    def f(self, b):\n        return b\n",
            "def f",
            "`f` lacks type hints for b, its result",
        ),
        ("A list of", "Some 17 apples.\n\nA list of", "17 apples", 'no proof cell claims the number "17"'),
        ("A list of", "Some\n2.5 % apples.\n\nA list of", "2.5 %", 'no proof cell claims the number "2.5 %"'),
        ("- Bend.", "- Bend.\n- Up to 1,000.", "1,000", 'no proof cell claims the number "1,000"'),
        ("A list of 3 numbers.", "A list.", 'assert {"A list', 'the prose does not say "A list of 3 numbers"'),
        (FILLER, "Short.", None, "words of prose; a lesson has 900 to 2200"),
        (FILLER, FILLER * 3, None, "words of prose; a lesson has 900 to 2200"),
        (ARANGE, LONG + "\n", "x0 = 0", "41 lines of code in one cell; never more than 40"),
        (ARANGE, "show(fig)\n", "show(fig)", "a figure without a description"),
        (ARANGE, PLOT + "plt.show()\n", "plt.show()", "a figure without a description"),
        (ARANGE, PLOT + "fig.show()\n", "fig.show()", "a figure without a description"),
        (" points=2", "", 'check("relu"', "gives no points; write points=2"),
        ("points=2", "points=0", 'check("relu"', "gives no points; write points=2"),
        (
            '"""The wrong half is kept."""\n',
            "",
            "def relu(x):\n    return x.clamp(max=0)",
            "this mistake does not begin",
        ),
        (
            '"""As a product."""\n',
            "",
            "def relu(x: torch.Tensor) -> torch.Tensor:\n    return x * (x > 0)",
            "this alternative does",
        ),
        (
            "Write it.",
            "Write it:\n### BEGIN SOLUTION",
            "### BEGIN",
            '"### BEGIN SOLUTION" has no place in a markdown cell',
        ),
        (ARANGE, "### END HIDDEN TESTS\n" + ARANGE, "### END", '"### END HIDDEN TESTS" has no place in a demo cell'),
        ("x.abs()", "x.abs()  ### END SOLUTION", "x.abs()  ###", '"### END SOLUTION" has no place in a mistake cell'),
        ("    ### BEGIN SOLUTION\n", "", "def relu", "in pairs"),
        ("    ### END SOLUTION\n", "", "def relu", "in pairs"),
        ("    ### END HIDDEN TESTS\n", "", 'check("relu"', "in pairs"),
        ("    ### BEGIN HIDDEN TESTS\n", "", 'check("relu"', "in pairs"),
        ("### BEGIN SOLUTION", "### END SOLUTION", "def relu", "in pairs"),
        ("any number of rows", "keeps what is positive", "[[-1.5]", 'are called "keeps what is positive"'),
        ('check("relu", {', 'y = relu(torch.ones(2))\ncheck("relu", {', "y = relu", "`relu` is called outside of an"),
        (ARANGE, "x = = 2\n", "x = = 2", "not Python"),
        (ARANGE, "x = 1\nif x:\nx = 2\n", "x = 2", "not Python"),
        ("```python\ntorch.arange(3.0)", "```bash\nls -l", "ls -l", "not Python"),
        (STATED, "", "def relu", 'exercise "relu" does not state: Difficulty'),
        ("**About 15 minutes**", "**About 25 minutes**", "About 25", "reading and exercises take 15"),
        ("> **About 15 minutes**", "About ten minutes", None, "the title box is missing"),
        (MISTAKE, "", "def relu", 'exercise "relu" has 3 named mistakes; at least 4'),
        (ALTERNATIVE, "", "def relu", 'exercise "relu" has 2 alternatives; at least 3'),
        (HINT, "", "def relu", 'exercise "relu" has 2 hints; at least 3'),
        ("Negative entries are still there", "So " * 24, "def relu", "a title of at most 70 letters"),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, at: str | None, message: str) -> None:
    text = spoiled(old, new)
    found = lint(lesson(tmp_path, text))
    line = 1 if at is None else text[: text.index(at)].count("\n") + 1
    assert message in {error.line: error.message for error in found}.get(line, ""), [str(error) for error in found]


def test_hidden_and_plain_checks_are_both_needed(tmp_path: Path) -> None:
    text = spoiled("    ### BEGIN HIDDEN TESTS\n", "").replace("    ### END HIDDEN TESTS\n", "")
    text = text.replace('check("relu", {\n', 'check("relu", {\n    ### BEGIN HIDDEN TESTS\n    ### END HIDDEN TESTS\n')
    (error,) = lint(lesson(tmp_path, text))
    assert error.message == 'the check of "relu" needs observations in plain sight and hidden ones'


def test_names_that_could_collide_with_other_cells(tmp_path: Path) -> None:
    (error,) = lint(lesson(tmp_path, TEXT.replace('"relu"', '"why-relu"')))
    assert (error.line, "no name for an exercise" in error.message) == (line_of(TEXT, "def relu"), True)


def test_every_exercise_states_what_it_asks(tmp_path: Path) -> None:
    """What the exercise before it stated does not count."""
    part = TEXT[TEXT.index("### Exercise 1") : TEXT.index("## Summary")]
    second = part.replace("Exercise 1", "Exercise 2").replace(STATED, "").replace("relu", "relu2")
    errors = lint(lesson(tmp_path, TEXT.replace("## Summary", second + "## Summary")))
    assert ['exercise "relu2" does not state' in error.message for error in errors] == [True]


def test_too_many_long_cells(tmp_path: Path) -> None:
    long = "\n".join(LONG.splitlines()[:16])
    text = spoiled(ARANGE, long + "\n").replace("```python\nimport torch\n", f"```python\n{long}\n")
    (error,) = (each for each in lint(lesson(tmp_path, text)) if "minutes" not in each.message)
    assert "2 of 4 cells have more than 15 lines" in error.message


def test_names_are_not_measurements(tmp_path: Path) -> None:
    """Nor are formulas, code, links, and the numbers of lists."""
    prose = (
        "As in lesson 2.2, Module 1, exercise 3 and Okabe 2008, the classes 0 and 1 of $x^2 + 7$ and `a[5]`.\n\n"
        "1. See [there](http://example.org/17).\n\n```text\n25\n\n26\n```\n\n$$\n3\n\n4\n$$"
    )
    assert lint(lesson(tmp_path, spoiled("Write it.", prose))) == []


def test_a_heading_does_not_hide_the_paragraph_below_it(tmp_path: Path) -> None:
    text = spoiled("## Summary\n\nIt is done.", "## Summary\nIt took 17 steps.")
    (error,) = lint(lesson(tmp_path, text))
    assert (error.line, '"17"' in error.message) == (line_of(text, "17 steps"), True)


def test_counts(tmp_path: Path) -> None:
    tiny = lesson(tmp_path)
    assert words(lesson(tmp_path, spoiled("Write it.", "Write $x$ it."))) == words(tiny)
    assert words(lesson(tmp_path, spoiled("Write it.", "Write it down."))) == words(tiny) + 1
    assert minutes(lesson(tmp_path, spoiled("about 7 minutes", "about 11 minutes"))) == 20
    assert claims(tiny) == {"A list of 3 numbers": line_of(TEXT, "assert {")}


THERE = 'A list of 3 numbers.\n\n```python proof\nclaims = {"A list of 3 numbers": True}\n```\n'


@pytest.mark.parametrize(
    ("number", "phrase", "theirs", "message"),
    [
        ("9.8", "the 3 numbers", "A list of 3 numbers", ""),
        ("9.7", "the 3 numbers", "A list of 3 numbers", "there is no lesson 9.7 to quote"),
        ("9.8", "the 3 numbers", "A list of 4 numbers", 'no proof cell of lesson 9.8 claims "A list of 4 numbers"'),
        ("9.8", "the 5 numbers", "A list of 3 numbers", '"the 5 numbers" has other numbers than lesson 9.8'),
    ],
)
def test_numbers_of_other_lessons(tmp_path: Path, number: str, phrase: str, theirs: str, message: str) -> None:
    (tmp_path / "9.8-before.md").write_text(TEXT + THERE, encoding="utf-8")
    quote = (
        f'Recall {phrase}.\n\n```python proof\nquotes = {{"{phrase}": ("{number}", "{theirs}")}}\n```\n\n## Exercises'
    )
    found = [error.message for error in lint(lesson(tmp_path, spoiled("## Exercises", quote)))]
    assert [message in one for one in found] == ([True] if message else [])

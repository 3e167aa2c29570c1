"""Each of the course's rules refuses the lesson that breaks it, at its line, and nothing else."""

from pathlib import Path

import pytest

from tests.lessons import ANSWERS, FILLER, TEXT, lesson, line_of, place_of, spoiled, spoiled_lesson
from trainloop.authoring.lint import claims, lint
from trainloop.authoring.pace import FAMILIAR, NEW, minutes, time_sentence, words

MISTAKE, ALTERNATIVE = (next(part for part in ANSWERS.split("\n\n") if word in part) for word in ("Nothing", "Half of"))
PLOT = "fig = torch.arange(3.0)\n"
LONG = "\n".join(f"x{number} = {number}" for number in range(41))
ARANGE = "torch.arange(3.0)\n"
HINT = '    "I do not know how to begin": "Which numbers may stay as they are?",\n'
STATED = "Difficulty 1 of 5, importance 5 of 5, about 5 minutes."


def test_the_tiny_lesson_is_as_it_should_be(tmp_path: Path) -> None:
    assert lint(lesson(tmp_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        (
            "relu(torch.tensor([0.5, 3.0]))",
            "relu(numbers)",
            'check("relu"',
            "the check takes `numbers` from a demonstration, which may not have run",
        ),
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
        (FILLER, "Short.", None, "words of prose; a lesson has 1500 to 5000"),
        (FILLER, FILLER * 4, None, "words of prose; a lesson has 1500 to 5000"),
        (ARANGE, LONG + "\n", "x0 = 0", "41 lines of code in one cell; never more than 40"),
        (ARANGE, "show(fig)\n", "show(fig)", "a figure without a description"),
        (ARANGE, PLOT + "plt.show()\n", "plt.show()", "a figure without a description"),
        (ARANGE, PLOT + "fig.show()\n", "fig.show()", "a figure without a description"),
        (" points=2", "", 'check("relu"', "gives no points; write points=2"),
        ("points=2", "points=0", 'check("relu"', "gives no points; write points=2"),
        (
            "The wrong half is kept.\n",
            "",
            "def relu(x):\n    return x.clamp(max=0)",
            "this mistake has no sentence",
        ),
        (
            "As a product.\n",
            "",
            "def relu(x: torch.Tensor) -> torch.Tensor:\n    return x * (x > 0)",
            "this alternative has no sentence",
        ),
        (
            "Write it.",
            "Write it:\n### BEGIN SOLUTION",
            "### BEGIN",
            '"### BEGIN SOLUTION" has no place in a markdown cell',
        ),
        (ARANGE, "### END HIDDEN TESTS\n" + ARANGE, "### END", '"### END HIDDEN TESTS" has no place in a demo cell'),
        ("    ### BEGIN SOLUTION\n", "", "def relu", "in pairs"),
        ("    ### END SOLUTION\n", "", "def relu", "in pairs"),
        ("### END HIDDEN TESTS\n", "", 'check("relu"', "in pairs"),
        (
            '    "keeps what is positive": lambda: relu(torch.tensor([[1.25], [2.5]])),\n',
            "",
            '    "keeps what is positive": lambda: relu(torch.tensor([0.5',
            '"keeps what is positive" has no hidden twin: what is public alone could be played back',
        ),
        (
            '    "keeps what is positive": lambda: relu(torch.tensor([[1.25]',
            '    "keeps the rest": lambda: relu(torch.tensor([[1.25]',
            '    "keeps the rest"',
            'the hidden check "keeps the rest" has no visible twin: nobody could notice what it asks for',
        ),
        (
            "relu(torch.tensor([[1.25], [2.5]]))",
            "relu(torch.tensor([0.5, 3.0]))",
            '    "keeps what is positive": lambda: relu(torch.tensor([0.5, 3.0])),\n'
            '    "negative entries become zero": lambda: relu(torch.tensor([[-1.5]',
            "make the same call; give it other numbers",
        ),
        ("points=2", "points=3", 'check("relu"', "the titles are worth 2 points together, the fence says points=3"),
        ("### BEGIN SOLUTION", "### END SOLUTION", "def relu", "in pairs"),
        (
            '"negative entries become zero": lambda: relu(torch.tensor([[',
            '"keeps what is positive": lambda: relu(torch.tensor([[',
            "relu(torch.tensor([[-1.5",
            'two checks of "relu" are called "keeps what is positive"',
        ),
        ('check("relu", {', 'y = relu(torch.ones(2))\ncheck("relu", {', "y = relu", "`relu` is called outside of an"),
        (ARANGE, "x = = 2\n", "x = = 2", "not Python"),
        (ARANGE, "x = 1\nif x:\nx = 2\n", "x = 2", "not Python"),
        ("```python\ntorch.arange(3.0)", "```bash\nls -l", "ls -l", "not Python"),
        (STATED, "", "def relu", 'exercise "relu" does not state: Difficulty'),
        ("; 15 minutes", "; 25 minutes", "> **About", 'write "About half an hour; 15 minutes if'),
        ("> **About half", "About half", None, "the title box is missing"),
        (MISTAKE, "", "def relu", 'exercise "relu" has 3 named mistakes; at least 4'),
        (ALTERNATIVE, "", "def relu", 'exercise "relu" has 2 alternatives; at least 3'),
        (HINT, "", "def relu", 'exercise "relu" has 2 hints; at least 3'),
        ("Negative entries are still there", "So " * 24, "def relu", "a title of at most 70 letters"),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, at: str | None, message: str) -> None:
    found = lint(spoiled_lesson(tmp_path, old, new))
    place = ("lesson.md", 1) if at is None else place_of(tmp_path, at)
    told = {(error.path.name, error.line): error.message for error in found}
    assert message in told.get(place, ""), [str(error) for error in found]


def test_a_rule_needs_no_twin_and_earns_nothing(tmp_path: Path) -> None:
    rule = '}, rules={"x stays": lambda: relu(torch.ones(1))}, worth={"keeps'
    assert lint(lesson(tmp_path, spoiled('}, worth={"keeps', rule))) == []
    hidden = rule.replace("x stays", "negative entries become zero")
    assert [error.message for error in lint(lesson(tmp_path, spoiled('}, worth={"keeps', hidden)))]


def test_what_is_hidden_does_not_make_a_check_long(tmp_path: Path) -> None:
    rows = "".join(f"x{number} = {number}\n" for number in range(41))
    assert lint(lesson(tmp_path, spoiled("### END HIDDEN TESTS\n", f"{rows}### END HIDDEN TESTS\n"))) == []
    (error,) = lint(lesson(tmp_path, spoiled('check("relu", {\n', f'{rows}check("relu", {{\n')))
    assert "lines of code in one cell; never more than 40" in error.message


def test_names_that_could_collide_with_other_cells(tmp_path: Path) -> None:
    answers = ANSWERS.replace("## relu", "## why-relu")
    (error,) = lint(lesson(tmp_path, TEXT.replace('"relu"', '"why-relu"'), answers))
    assert (error.line, "no name for an exercise" in error.message) == (line_of(TEXT, "def relu"), True)


def test_every_exercise_states_what_it_asks(tmp_path: Path) -> None:
    """What the exercise before it stated does not count."""
    part = TEXT[TEXT.index("### Exercise 1") : TEXT.index("## Summary")]
    second = part.replace("Exercise 1", "Exercise 2").replace(STATED, "").replace("relu", "relu2")
    answers = ANSWERS + ANSWERS[ANSWERS.index("## relu") :].replace("relu", "relu2")
    errors = lint(lesson(tmp_path, TEXT.replace("## Summary", second + "## Summary"), answers))
    assert ['exercise "relu2" does not state' in error.message for error in errors] == [True]


def test_what_a_check_may_take_from_other_cells(tmp_path: Path) -> None:
    """A name of a cell that imports, or of one between the exercises, is there; one of a demonstration may not be."""
    takes = spoiled("relu(torch.tensor([0.5, 3.0]))", "relu(numbers)")
    numbers = "numbers = torch.tensor([0.5, 3.0])\n"
    between = takes.replace("Write it.\n", f"Write it.\n\n```python\n{numbers}```\n")
    beside_imports = takes.replace("from trainloop import check\n", f"from trainloop import check\n\n{numbers}")
    demonstrated = takes.replace(ARANGE, numbers)
    refused = [[error.message for error in lint(lesson(tmp_path, text))] for text in (between, beside_imports)]
    assert refused == [[], []]
    assert any("takes `numbers`" in error.message for error in lint(lesson(tmp_path, demonstrated)))


def test_what_a_demonstration_may_take_from_an_exercise(tmp_path: Path) -> None:
    """Nothing, unless it binds the name itself. A function that it defines may name it, and is not to be called."""
    later = "\n## Summary"
    assert TEXT.count(later) == 1
    named = "def twice(x: int) -> int:\n    return relu(relu(x))"
    takes, own = "relu(torch.ones(2))", "def relu(x: int) -> int:\n    return x\n\n\nrelu(3)"
    told = [
        [error.message for error in lint(lesson(tmp_path, TEXT.replace(later, f"\n```python\n{code}\n```\n{later}")))]
        for code in (takes, own, named, f"{named}\n\n\ntwice(3)")
    ]
    said = "a demonstration takes `{}` from an exercise, which may not be solved; define it here"
    assert told == [[said.format("relu")], [], [], [said.format("twice")]]


def test_what_a_cell_takes_from_a_proof_is_refused(tmp_path: Path) -> None:
    later = "\n## Summary"
    proof = "```python proof\nhalf, twice = 0.5, 2\n```\n"
    told = [
        [error.message for error in lint(lesson(tmp_path, TEXT.replace(later, f"\n{proof}\n{cells}{later}")))]
        for cells in ("```python\nprint(half)\n```\n", "```python\nhalf = 1\nprint(half)\n```\n", proof)
    ]
    assert told == [["`half` comes from a proof, which learners do not have; define it in a cell of theirs"], [], []]


def test_a_loop_that_every_grading_would_run_is_refused(tmp_path: Path) -> None:
    """Because an exercise needs its cell, or because nobody can tell what it changes. What is not needed may loop."""
    needing = TEXT.replace("    ### BEGIN SOLUTION\n", "    ### BEGIN SOLUTION\n    limit\n")
    loop = "for number in range(3):\n    {}\n"
    cells = {
        "limit = 3\n": needing,
        "limit = 3\n" + loop.format("print(number)"): needing,
        loop.format("print(number)"): TEXT,
        loop.format("torch.set_default_dtype(torch.float64)"): TEXT,
    }
    told = [
        [error.message for error in lint(lesson(tmp_path, text.replace(ARANGE, cell)))] for cell, text in cells.items()
    ]
    said = "grading runs this loop for every submission; put what exercises need into a cell of its own"
    assert told == [[], [said], [], [said]]


@pytest.mark.parametrize(
    ("code", "questions", "is_refused"), [(4, 0, False), (5, 0, True), (4, 1, False), (5, 1, True)]
)
def test_four_exercises_of_code_and_one_of_questions(
    tmp_path: Path, code: int, questions: int, is_refused: bool
) -> None:
    start, end = TEXT.index("### Exercise 1"), TEXT.index("## Summary")
    exercise = TEXT[start:end]
    question = (
        '### The last: a letter\n\n- **A**: yes\n\n```python exercise="letter"\nq1 = ...\n### BEGIN SOLUTION\n'
        'q1 = "A"\n### END SOLUTION\n```\n\n```python check="letter" points=0.5\n'
        'check("letter", {"question 1": lambda: q1})\n```\n\n'
    )
    text = TEXT[:start] + "".join(exercise.replace("relu", f"relu{n}") for n in range(code)) + questions * question
    answers = ANSWERS.replace("## relu", "## relu0") + "".join(
        ANSWERS[ANSWERS.index("## relu") :].replace("relu", f"relu{n}") for n in range(1, code)
    )
    found = [
        error.message for error in lint(lesson(tmp_path, text + TEXT[end:], answers.replace("def relu(", "def relu0(")))
    ]
    assert any("one to four exercises" in message for message in found) is is_refused, found


def test_too_many_long_cells(tmp_path: Path) -> None:
    long = "\n".join(LONG.splitlines()[:16])
    text = spoiled(ARANGE, long + "\n").replace("```python\nimport torch\n", f"```python\nimport torch\n{long}\n")
    (error,) = (each for each in lint(lesson(tmp_path, text)) if "minutes" not in each.message)
    assert "2 of 2 idea cells have more than 15 lines" in error.message


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
    longer = lesson(tmp_path, spoiled("about 5 minutes", "about 45 minutes"))
    assert minutes(longer, FAMILIAR) == minutes(tiny, FAMILIAR) + 40
    assert minutes(longer, NEW) == minutes(tiny, NEW) + 80
    formula = lesson(tmp_path, spoiled("Write it.", "Write it:\n\n$$\nx\n$$"))
    assert minutes(formula, NEW) == minutes(tiny, NEW) + 2
    assert minutes(formula, FAMILIAR) == minutes(tiny, FAMILIAR)
    assert time_sentence(longer) == "About 1.5 hours; 55 minutes if the mathematics is familiar."
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
    before = tmp_path / "9.8-before" / "lesson.md"
    before.parent.mkdir()
    before.write_text(TEXT + THERE, encoding="utf-8")
    quote = (
        f'Recall {phrase}.\n\n```python proof\nquotes = {{"{phrase}": ("{number}", "{theirs}")}}\n```\n\n## Exercises'
    )
    found = [error.message for error in lint(lesson(tmp_path, spoiled("## Exercises", quote)))]
    assert [message in one for one in found] == ([True] if message else [])

"""The instant answer, as a learner meets it: in a real kernel, with the visible key beside the notebook."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from trainloop.checks import rules, verdict, words
from trainloop.checks.key import KEY_VARIABLE, SOLUTIONS_NAME, VISIBLE_NAME, CheckKey, ExerciseKey, Key
from trainloop.checks.packed import pack
from trainloop.checks.values import Json, encode
from trainloop.checks.worked import Worked, dump
from trainloop.learner import instant
from trainloop.learner.instant import ChecksFailed, check, given
from trainloop.learner.worked import solution

X = torch.tensor([1.0, 2.0])
CALL = (
    'check("double", {"a": lambda: double(X), "b": lambda: double(-X), "secret": lambda: double(0 * X), "c": letter})'
)
CELLS = {
    "set up": (
        "import torch\nfrom trainloop import check\nX = torch.tensor([1.0, 2.0])\ndef letter() -> str:\n    return 'B'"
    ),
    "hint before any check": "from trainloop import hint\nhint()",
    "no name": CALL,
    "right": f"def double(x):\n    return 2 * x\n{CALL}",
    "named": f"def double(x):\n    return x * x\n{CALL}",
    "raises": "def double(x):\n    y = 2 * x\n    return y.foo",
    "after raises": CALL,
    "stops": f"def double(x):\n    raise SystemExit\n{CALL}",
    "stub": f"def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n{CALL}",
    "sealed": f"def double(x):\n    return 2 * x\ndef letter() -> str:\n    return 'A'\n{CALL}",
    "seeds": (
        "import random\nimport numpy as np\n"
        "def double(x):\n    torch.rand(3), np.random.rand(), random.random()\n    return 2 * x\n"
        "def states():\n    return repr((torch.get_rng_state().sum(), np.random.get_state(), random.getstate()))\n"
        "before = states()\n"
        'check("double", {"a": lambda: double(X), "b": lambda: double(-X), "c": lambda: "B"})\n'
        "print(before == states())"
    ),
    "interrupted": f"def double(x):\n    for n in range(3):\n        raise KeyboardInterrupt\n{CALL}",
    "validated": (
        "import os\ndef double(x):\n    return x * x\nos.environ['NBGRADER_VALIDATING'] = '1'\n"
        f"try:\n    {CALL}\nfinally:\n    del os.environ['NBGRADER_VALIDATING']"
    ),
    "unknown": 'check("triple", {"a": lambda: 1})',
    "hints": "from trainloop import hint\nhint('double')",
    "second hint": "hint('double', 2)",
    "no such hint": "hint('double', 3)",
    "hint elsewhere": "hint('triple')",
    "hint for the last": "hint()",
    "hint of a function": "hint(double)",
    "predict untouched": 'from trainloop import predict\npredict("width", ...)',
    "predict right": 'predict("width", "b")',
    "predict wrong": 'predict("width", "A")',
    "predict no option": 'predict("width", "E")',
    "predict a number": 'predict("share", 86)',
    "predict too low": 'predict("share", 12.5)',
    "predict close": 'predict("share", "90 %")',
    "predict too high": 'predict("share", 99)',
    "predict no number": 'predict("share", "many")',
    "predict elsewhere": 'predict("depth", 1)',
    "wrong again": f"def double(x):\n    return x * x\n{CALL}",
    "solution too early": "from trainloop import solution\nsolution('double')",
    "solution in earnest": "solution(double, sure=True)",
    "the letter again": "def letter() -> str:\n    return 'B'",
    "an answer alone": "def double(x):\n    return 2 * x",
    "right again": CALL,
    "solution": "solution()",
    "solution elsewhere": "solution('triple')",
    "does not compile": "def double(x):\n    return 2 * x)",
    "after a text that does not compile": CALL,
    "compiles again": f"def double(x):\n    return x + x\n{CALL}",
    "hint by function": "hint('letter', 3)",
    "names taken": "sum = max = 3\ndef double(x):\n    return 2 * x",
    "own names": (
        "def first(xs):\n    return max(xs, key=lambda x: sum(x.tolist()))\n"
        'check("double", {"a": lambda: double(first([X, 0 * X])), "b": lambda: sum([double(-X)]), "c": lambda: "B"})'
    ),
    "needs one": "def double(x):\n    return together([x, x])\ndef together(xs):\n    return sum(xs)",
    "one is needed": CALL,
    "not any more": f"del sum, max\n{CALL}",
    "elsewhere": f"import os\nos.mkdir('empty')\nos.chdir('empty')\n%cd ..\n%cd empty\n{CALL}",
    "nowhere": f"os.rename('../checks.json', '../hidden.json')\n{CALL}",
}


WORKED = Worked("def double(x):\n    return x + x", (("As a product.", "def double(x):\n    return 2 * x"),))
PREDICTIONS = {
    "width": pack({"right": "B", "options": {"A": "It grows.", "B": "It stays as it is."}}),
    "share": pack({"right": 86, "within": 5, "sentences": {"right": "Good eye.", "low": "More.", "high": "Less."}}),
}


def seen(value: object) -> Json:
    return {"saw": "value", "value": encode(value)}


def key() -> Key:
    close, square = rules.close(), seen(X * X)
    checks = (
        CheckKey("a", "double(X)", 1.0, False, close, seen(2 * X), (square, None), ("double",)),
        CheckKey("b", "double(-X)", 1.0, False, close, seen(-2 * X), (square, None), ("double",)),
        CheckKey("secret", "double(0 * X)", 1.0, True, close, seen(0 * X), (None, None), ("double",)),
        CheckKey("c", "letter()", 1.0, False, close, seen("B"), (None, seen("A")), ("letter",)),
    )
    sentences = ("That is the square.", "A is what the loss does.")
    hints = (("I do not know how to begin", "What is twice 3?"), ("It squares", "Look for **. " + "It is there. " * 9))
    exercise = ExerciseKey("double", "Exercise 1", ("double", "letter"), 4.0, sentences, checks, hints)
    return Key("9.9-tiny", {"double": exercise}, {"X": encode(X)}, PREDICTIONS)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    folder = tmp_path_factory.mktemp("lesson")
    (folder / VISIBLE_NAME).write_text(key().visible().dump(), encoding="utf-8")
    (folder / SOLUTIONS_NAME).write_text(dump({"double": WORKED}), encoding="utf-8")
    cells = [new_code_cell(source, id=name.replace(" ", "-")) for name, source in CELLS.items()]
    done = new_notebook(cells=cells)
    NotebookClient(
        done, timeout=120, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(folder)}}
    ).execute()
    return done


def printed(notebook: NotebookNode, name: str) -> tuple[str, str]:
    """What a cell printed, and the error that it shows."""
    outputs = next(cell.outputs for cell in notebook.cells if cell.id == name.replace(" ", "-"))
    text = "".join(one.text for one in outputs if one.output_type == "stream")
    error = "\n".join(line for one in outputs if one.output_type == "error" for line in one.traceback)
    return text, error


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        (
            "hints",
            [
                'Which of these would you say? hint("double", 1) shows the first.',
                "  1  I do not know how to begin",
                "  2  It squares",
            ],
        ),
        (
            "second hint",
            [
                "It squares",
                "        Look for **. It is there. It is there. It is there. It is there. It is there. It",
                "        is there. It is there. It is there. It is there.",
            ],
        ),
        ("hint before any check", ['There are hints for these exercises: hint("double").']),
        ("no such hint", ["`double` has hints 1 to 2."]),
        ("hint by function", ["`double` has hints 1 to 2."]),
        ("hint elsewhere", ["There are no hints for `triple`. There are some for: double."]),
        (
            "hint for the last",
            [
                'Which of these would you say? hint("double", 1) shows the first.',
                "  1  I do not know how to begin",
                "  2  It squares",
            ],
        ),
        (
            "hint of a function",
            [
                'Which of these would you say? hint("double", 1) shows the first.',
                "  1  I do not know how to begin",
                "  2  It squares",
            ],
        ),
    ],
)
def test_hints(notebook: NotebookNode, cell: str, lines: list[str]) -> None:
    assert printed(notebook, cell) == ("\n".join(lines) + "\n", "")


def test_a_check_that_fails_says_that_there_are_hints(notebook: NotebookNode) -> None:
    told = 'Stuck? hint("double"), in a new cell, lists 2 hints.'
    assert printed(notebook, "named")[1].splitlines() == ["1 of 3 checks of `double` passed.", told]
    assert told not in "".join(printed(notebook, "right"))


def test_a_check_cell_means_pythons_own_names(notebook: NotebookNode) -> None:
    """And its author's: `double` and what it calls see the names that the notebook has."""
    assert printed(notebook, "own names") == (printed(notebook, "right")[0], "")


def test_a_name_of_pythons_own_that_is_taken_is_told_where_the_answer_needs_it(notebook: NotebookNode) -> None:
    text, _ = printed(notebook, "one is needed")
    told = "`sum` is a name of Python's own, but in this notebook it now stands for something else (int)"
    assert told in " ".join(text.split()) and "`del sum`" in text
    assert "Python's own" not in printed(notebook, "named")[0] + printed(notebook, "not any more")[0]


def test_hints_where_there_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    """As in a notebook that is graded: nothing is raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    instant.hint("double")
    assert "is not beside this notebook" in capsys.readouterr().out  # type: ignore[attr-defined]


def test_right(notebook: NotebookNode) -> None:
    told = 'solution("double"), in a new cell, shows a worked answer beside yours.'
    assert printed(notebook, "right") == (f"All 3 checks of `double` passed.\n{told}\n", "")


STUCK = '\nStuck? hint("double"), in a new cell, lists 2 hints.'


@pytest.mark.parametrize(
    ("cell", "text", "error"),
    [
        (
            "no name",
            [
                "  FAIL  a",
                "  FAIL  b",
                "        `double` is not defined. Run the cell of this exercise, then this one.",
                "  ok    c",
            ],
            "1 of 3 checks of `double` passed.",
        ),
        (
            "named",
            [
                "  FAIL  a",
                "  FAIL  b",
                "        That is the square.",
                "        1 of 2 entries differ, most at [0], by 1.",
                "        Called:   double(X)",
                "        Yours:    [1., 4.]  shape (2,)",
                "        Expected: [2., 4.]  shape (2,)",
                "  ok    c",
            ],
            "1 of 3 checks of `double` passed.",
        ),
        (
            "after raises",
            [
                "  FAIL  a",
                "  FAIL  b",
                "        It stopped with AttributeError: 'Tensor' object has no attribute 'foo' (line 3",
                "        of the cell: `return y.foo`).",
                "        Called:   double(X)",
                "  ok    c",
            ],
            "1 of 3 checks of `double` passed.",
        ),
        (
            "stops",
            [
                "  FAIL  a",
                "  FAIL  b",
                "        It stopped with SystemExit (line 2 of the cell: `raise SystemExit`).",
                "        Called:   double(X)",
                "  ok    c",
            ],
            "1 of 3 checks of `double` passed.",
        ),
        (
            "sealed",
            [
                "  FAIL  c",
                "        A is what the loss does.",
                "        The value differs.",
                "        Called:   letter()",
                "  ok    a · b",
            ],
            "2 of 3 checks of `double` passed.",
        ),
        ("unknown", [], "The key beside this notebook knows no exercise `triple`. Get the lesson anew."),
    ],
)
def test_wrong(notebook: NotebookNode, cell: str, text: list[str], error: str) -> None:
    """All checks are made; what is wrong is said first and once; the cell fails with a count instead of a traceback."""
    lines, shown = printed(notebook, cell)
    assert lines.splitlines() == text
    assert shown.removesuffix(STUCK) == error


def test_an_untouched_exercise_is_one_line() -> None:
    untouched = {name: {"saw": "stub"} for name in ("a", "b", "c")}
    result = verdict.judge(key().visible().exercises["double"], untouched)
    assert words.render(result) == ""
    assert words.tally(result).startswith("`double` is not started yet: `raise NotImplementedError()` is still there")


def test_passed_checks_are_one_line_however_many() -> None:
    titles = [f"a check with the number {number}" for number in range(30)]
    checks = tuple(CheckKey(title, "f()", 0.5, False, rules.close(), seen(1), ()) for title in titles)
    exercise = ExerciseKey("f", "Exercise 1", ("f",), 15.0, (), checks)
    observations = {titles[0]: seen(0), **dict.fromkeys(titles[1:], seen(1))}
    text = words.render(verdict.judge(exercise, observations))
    *_, last = text.splitlines()
    assert last.startswith("  ok    a check with the number 1 · ") and last.endswith(" more") and len(last) <= 88


def test_a_check_says_when_the_answer_is_older_than_the_text(notebook: NotebookNode) -> None:
    text, _ = printed(notebook, "after a text that does not compile")
    said = (
        "What is checked here is older than your text: the last cell with `double` did not compile (line 2: unmatched"
    )
    assert " ".join(text.split()).startswith(said)
    assert "older" not in printed(notebook, "compiles again")[0]
    assert "older" not in printed(notebook, "right again")[0]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("untouched", "Put your letter in quotes, or your number, in place of the dots, and run this cell again."),
        ("right", "Right, B: It stays as it is."),
        ("wrong", "Not quite, A: It grows."),
        ("no option", "The answers to choose from are A, B. Write one letter, in quotes."),
        ("a number", "Right: it is 86. Good eye."),
        ("too low", "Too low. More."),
        ("close", "Close: it is 86. Good eye."),
        ("too high", "Too high. Less."),
        ("no number", "A number is asked for, without its unit."),
        ("elsewhere", 'There is no question "depth" here. There are: share, width.'),
    ],
)
def test_predictions(notebook: NotebookNode, cell: str, told: str) -> None:
    text, error = printed(notebook, f"predict {cell}")
    assert (" ".join(text.split()), error) == (told, "")


def test_nothing_of_a_prediction_or_an_answer_can_be_read_beside_the_notebook() -> None:
    text = key().visible().dump() + dump({"double": WORKED})
    assert not any(told in text for told in ("It stays", "It grows", "86", "Good eye", "x + x", "As a product"))


def test_the_worked_answer(notebook: NotebookNode) -> None:
    early, _ = printed(notebook, "solution too early")
    assert 'solution("double", sure=True)' in early and "x + x" not in early
    text, _ = printed(notebook, "solution")
    lines = text.splitlines()
    assert lines[0].split("   |   ") == [f"{'Your answer':{lines[0].index('   |   ')}}", "A worked answer"]
    assert "    return x + x" in lines[3]
    assert lines[-4:] == ["Another right answer. As a product.", "", "def double(x):", "    return 2 * x"]
    earnest, _ = printed(notebook, "solution in earnest")
    assert "return x * x" in earnest and "return x + x" in earnest
    assert printed(notebook, "solution elsewhere")[0].startswith(
        "There are worked answers to these exercises: solution("
    )


def test_an_edition_without_worked_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    Path(VISIBLE_NAME).write_text(key().visible().dump(), encoding="utf-8")
    solution("double", sure=True)
    assert "does not hand them out" in capsys.readouterr().out  # type: ignore[attr-defined]
    Path(SOLUTIONS_NAME).write_text('{"exercises": {"double": "AAAA"}}')
    solution("double", sure=True)
    assert "damaged" in capsys.readouterr().out  # type: ignore[attr-defined]


def test_a_check_that_is_stopped_says_where_it_was(notebook: NotebookNode) -> None:
    said = 'Stopped during the check "a" in line 3 of your cell: `raise KeyboardInterrupt`.'
    text, error = printed(notebook, "interrupted")
    assert " ".join(error.split()) == f"{said} If it would not end: what makes its loop end?"
    assert text == ""


def test_in_validate_the_error_says_all_because_it_alone_is_shown(notebook: NotebookNode) -> None:
    text, error = printed(notebook, "validated")
    lines = error.splitlines()
    assert (text, lines[0], lines[-1]) == ("", "Exercise 1", "0 of 3 checks of `double` passed.")
    assert "        That is the square." in lines


def test_the_answer_to_a_question_is_not_printed(notebook: NotebookNode) -> None:
    assert "Expected" not in printed(notebook, "sealed")[0]
    assert '"B"' not in key().visible().dump()


def test_the_learners_generators_are_left_alone(notebook: NotebookNode) -> None:
    text, error = printed(notebook, "seeds")
    assert (text.splitlines()[-1], error) == ("True", "")


def test_a_notebook_that_goes_elsewhere(notebook: NotebookNode) -> None:
    assert "All 3 checks of `double` passed." in printed(notebook, "elsewhere")[0]


def test_a_notebook_that_has_gone_elsewhere_before_it_began(tmp_path: Path) -> None:
    (tmp_path / VISIBLE_NAME).write_text(key().visible().dump(), encoding="utf-8")
    gone = "import os\nos.mkdir('gone')\nos.chdir('gone')"
    set_up = "import torch\nfrom trainloop import check\nX = torch.tensor([1.0, 2.0])\nletter = None"
    called = f"{set_up}\ndef double(x):\n    return 2 * x\n{CALL}"
    done = new_notebook(cells=[new_code_cell(gone), new_code_cell(called)])
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(done, timeout=120, kernel_name="python3", allow_errors=True, resources=where).execute()
    assert "  ok    a · b\n" in done.cells[1].outputs[0].text


def test_without_a_key(notebook: NotebookNode) -> None:
    text, error = printed(notebook, "nowhere")
    assert text == ""
    assert error.startswith("The file checks.json is not beside this notebook")
    assert error.count(". ") == 1 and "\n" not in error


def test_the_full_key_of_an_instructor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.json"
    path.write_text(key().dump(), encoding="utf-8")
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    first = given("X")
    first += 1
    assert torch.equal(given("X"), X)
    with pytest.raises(KeyError):
        given("Y")
    right = {"a": lambda: 2 * X, "b": lambda: -2 * X, "c": lambda: "B"}
    check("double", {**right, "secret": lambda: 0 * X})
    with pytest.raises(ChecksFailed, match="2 of 3 checks"):
        check("double", {**right, "c": lambda: "A"})


def test_a_damaged_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    Path(VISIBLE_NAME).write_text("{", encoding="utf-8")
    with pytest.raises(ChecksFailed, match="cannot be read"):
        check("double", {})


def test_hidden_twins_are_judged_by_the_full_key_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an instructor's notebook: a call between the markers repeats the titles of the call above it."""
    checks = (
        CheckKey("a", "f(1)", 1.0, False, rules.close(), seen(2), ()),
        CheckKey("a", "f(2)", 0.0, True, rules.close(), seen(4), ()),
    )
    full = Key("9.9-tiny", {"f": ExerciseKey("f", "Exercise 1", ("f",), 1.0, (), checks)}, {})
    path, cell = tmp_path / "key.json", tmp_path / "cell.py"
    hidden = '### BEGIN HIDDEN TESTS\ncheck("f", {"a": lambda: f(2)})\n### END HIDDEN TESTS\n'
    cell.write_text('check("f", {"a": lambda: f(1)})\n' + hidden)

    def run(f: Callable[[int], int]) -> None:
        exec(compile(cell.read_text(), str(cell), "exec"), {"check": check, "f": f})

    monkeypatch.setenv(KEY_VARIABLE, str(path))
    path.write_text(full.dump(), encoding="utf-8")
    run(lambda n: 2 * n)
    with pytest.raises(ChecksFailed):
        run(lambda n: 2)  # as it should be for the visible one alone
    path.write_text(full.visible().dump(), encoding="utf-8")
    run(lambda n: 2)


def test_one_mistake_is_told_once() -> None:
    close, square = rules.close(), seen(X * X)
    shown = {"a": square, "b": None, "c": square}
    checks = tuple(CheckKey(t, "double(X)", 1.0, False, close, seen(2 * X), (each,)) for t, each in shown.items())
    exercise = ExerciseKey("double", "Exercise 1", ("double",), 3.0, ("That is the square.",), checks)
    text = words.render(verdict.judge(exercise, {"a": square, "b": seen(2 * X), "c": square}))
    assert [line.strip() for line in text.splitlines()[:3]] == ["FAIL  a", "FAIL  c", "That is the square."]
    assert text.count("square") == 1 and text.splitlines()[-1] == "  ok    b"


def test_an_error_without_a_name_is_told_once() -> None:
    error = {"saw": "raised", "type": "TypeError", "message": "no", "line": 1, "code": "x"}
    other = error | {"message": "not so"}
    checks = tuple(CheckKey(title, "double(X)", 1.0, False, rules.close(), seen(X), ()) for title in "abc")
    exercise = ExerciseKey("double", "Exercise 1", ("double",), 3.0, (), checks)
    text = words.render(verdict.judge(exercise, {"a": error, "b": error, "c": other}))
    assert [text.count(one) for one in ("TypeError: no (", "TypeError: not so (", "FAIL")] == [1, 1, 3]


def test_different_facts_are_all_told() -> None:
    wrong = {"a": seen(3 * X), "b": seen(-3 * X), "c": seen("C")}
    text = words.render(verdict.judge(key().visible().exercises["double"], wrong))
    assert text.count("Called:") == 3


def test_a_broken_rule_stands_beside_the_count() -> None:
    rule = CheckKey("no loop", "f()", 0.0, False, rules.close(), seen(None), (), caps=True)
    fine = CheckKey("a", "f()", 1.0, False, rules.close(), seen(1), ())
    exercise = ExerciseKey("f", "Exercise 1", ("f",), 1.0, (), (fine, rule))
    broken = {"saw": "raised", "type": "RuleBroken", "message": "There is a loop.", "line": None, "code": ""}
    result = verdict.judge(exercise, {"a": seen(1), "no loop": broken})
    assert words.render(result).splitlines()[:2] == ["  RULE  no loop", "        There is a loop."]
    assert words.tally(result) == "1 of 1 checks of `f` passed; 1 rule not seen to be kept: at most half of the points."
    assert words.tally(verdict.judge(exercise, {"a": seen(1), "no loop": seen(None)})) == "All 1 checks of `f` passed."


@pytest.mark.parametrize(("mistake", "listed"), [(None, False), (0, True)])
def test_a_rule_that_a_crash_kept_from_being_looked_at_is_not_broken(mistake: int | None, listed: bool) -> None:
    """What has a name may break the rule as well as fail the check: then the cap is told."""
    check, rule = (
        verdict.CheckResult(title, False, "wrong", 0.0, 1.0, "One sentence.", ("a fact",), mistake, title == "kept")
        for title in ("a", "kept")
    )
    result = verdict.ExerciseResult("f", "Exercise 1", "wrong", 0.0, 1.0, (check, rule))
    assert ("RULE  kept" in words.render(result)) is listed
    assert ("at most half of the points" in words.tally(result)) is listed
    assert "FAIL  a" in words.render(result)

"""The instant answer, as a learner meets it: in a real kernel, with the visible key beside the notebook."""

from pathlib import Path

import pytest
import torch
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from trainloop import instant, rules
from trainloop.instant import ChecksFailed, check, given
from trainloop.key import VISIBLE_NAME, CheckKey, ExerciseKey, Key
from trainloop.values import Json, encode

X = torch.tensor([1.0, 2.0])
CALL = (
    'check("double", {"a": lambda: double(X), "b": lambda: double(-X), "secret": lambda: double(0 * X), "c": letter})'
)
CELLS = {
    "set up": (
        "import torch\nfrom trainloop import check\nX = torch.tensor([1.0, 2.0])\ndef letter() -> str:\n    return 'B'"
    ),
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
    "hint by function": "hint('letter', 3)",
    "elsewhere": f"import os\nos.mkdir('empty')\nos.chdir('empty')\n{CALL}",
}


def seen(value: object) -> Json:
    return {"saw": "value", "value": encode(value)}


def key() -> Key:
    close, square = rules.close(), seen(X * X)
    checks = (
        CheckKey("a", "double(X)", 1.0, False, close, seen(2 * X), (square, None)),
        CheckKey("b", "double(-X)", 1.0, False, close, seen(-2 * X), (square, None)),
        CheckKey("secret", "double(0 * X)", 1.0, True, close, seen(0 * X), (None, None)),
        CheckKey("c", "letter()", 1.0, False, close, seen("B"), (None, seen("A"))),
    )
    sentences = ("That is the square.", "A is what the loss does.")
    hints = (("I do not know how to begin", "What is twice 3?"), ("It squares", "Look for **. " + "It is there. " * 9))
    exercise = ExerciseKey("double", "Exercise 1", ("double", "letter"), 4.0, sentences, checks, hints)
    return Key("9.9-tiny", {"double": exercise}, {"X": encode(X)})


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    folder = tmp_path_factory.mktemp("lesson")
    (folder / VISIBLE_NAME).write_text(key().visible().dump(), encoding="utf-8")
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
        ("no such hint", ["`double` has hints 1 to 2."]),
        ("hint by function", ["`double` has hints 1 to 2."]),
        ("hint elsewhere", ["There are no hints for `triple`. There are some for: double."]),
    ],
)
def test_hints(notebook: NotebookNode, cell: str, lines: list[str]) -> None:
    assert printed(notebook, cell) == ("\n".join(lines) + "\n", "")


def test_a_check_that_fails_says_that_there_are_hints(notebook: NotebookNode) -> None:
    told = 'Stuck? hint("double"), in a new cell, lists 2 hints.'
    assert told in printed(notebook, "named")[0]
    assert told not in printed(notebook, "right")[0]


def test_hints_where_there_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    """As in a notebook that is graded: nothing is raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(instant.KEY_VARIABLE, raising=False)
    instant.hint("double")
    assert "is not beside this notebook" in capsys.readouterr().out  # type: ignore[attr-defined]


def test_right(notebook: NotebookNode) -> None:
    assert printed(notebook, "right") == ("  ok    a\n  ok    b\n  ok    c\nAll checks of `double` passed.\n", "")


@pytest.mark.parametrize(
    ("cell", "text", "error"),
    [
        (
            "no name",
            [
                "  FAIL  a",
                "        `double` is not defined. Run the cell of this exercise, then this one.",
                "  ok    c",
            ],
            "2 of 3 checks did not pass yet; the lines above say why.",
        ),
        (
            "named",
            [
                "  FAIL  a",
                "        That is the square.",
                "        1 of 2 entries differ, most at [0], by 1.",
                "        Called:   double(X)",
                "        Yours:    [1., 4.]  shape (2,)",
                "        Expected: [2., 4.]  shape (2,)",
                "  FAIL  b",
                "  ok    c",
                "1 of 3 checks of `double` passed.",
            ],
            "2 of 3 checks did not pass yet; the lines above say why.",
        ),
        (
            "after raises",
            [
                "        It stopped with AttributeError: 'Tensor' object has no attribute 'foo' (line 3",
                "        of the cell: `return y.foo`).",
                "  ok    c",
            ],
            "2 of 3 checks did not pass yet; the lines above say why.",
        ),
        ("stops", ["  FAIL  b", "  ok    c"], "2 of 3 checks did not pass yet; the lines above say why."),
        (
            "stub",
            [
                "        exercise that this one uses.",
                "  ok    c",
            ],
            "2 of 3 checks did not pass yet; the lines above say why.",
        ),
        (
            "sealed",
            ["  ok    b", "  FAIL  c", "        A is what the loss does.", "        Called:   letter()"],
            "1 of 3 checks did not pass yet; the lines above say why.",
        ),
        ("unknown", [], "The key beside this notebook knows no exercise `triple`. Get the lesson anew."),
    ],
)
def test_wrong(notebook: NotebookNode, cell: str, text: list[str], error: str) -> None:
    """All checks are made, what is wrong is said, and the cell fails with one line instead of a traceback."""
    lines, shown = printed(notebook, cell)
    for line in text:
        assert line in lines.splitlines()
    assert shown == error
    assert "secret" not in lines and "Traceback" not in lines


def test_a_check_that_is_stopped_says_where_it_was(notebook: NotebookNode) -> None:
    said = 'Stopped during the check "a" in line 3 of your cell: `raise KeyboardInterrupt`.'
    text, error = printed(notebook, "interrupted")
    assert " ".join(error.split()) == f"{said} If it would not end: what makes its loop end?"
    assert text == ""


def test_in_validate_the_error_says_all_because_it_alone_is_shown(notebook: NotebookNode) -> None:
    text, error = printed(notebook, "validated")
    lines = text.splitlines()
    assert lines.pop().startswith("Stuck?")
    assert error == "\n".join(["Exercise 1", *lines])
    assert "        That is the square." in error.splitlines()


def test_the_answer_to_a_question_is_not_printed(notebook: NotebookNode) -> None:
    assert "Expected" not in printed(notebook, "sealed")[0]
    assert '"B"' not in key().visible().dump()


def test_the_learners_generators_are_left_alone(notebook: NotebookNode) -> None:
    text, error = printed(notebook, "seeds")
    assert (text.splitlines()[-1], error) == ("True", "")


def test_without_a_key(notebook: NotebookNode) -> None:
    text, error = printed(notebook, "elsewhere")
    assert text == ""
    assert error.startswith("The file checks.json is not beside this notebook")
    assert error.count(". ") == 1 and "\n" not in error


def test_the_full_key_of_an_instructor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.json"
    path.write_text(key().dump(), encoding="utf-8")
    monkeypatch.setenv(instant.KEY_VARIABLE, str(path))
    first = given("X")
    first += 1
    assert torch.equal(given("X"), X)
    with pytest.raises(KeyError):
        given("Y")
    right = {"a": lambda: 2 * X, "b": lambda: -2 * X, "c": lambda: "B"}
    check("double", {**right, "secret": lambda: 0 * X})
    with pytest.raises(ChecksFailed, match="1 of 4 checks"):
        check("double", right)


def test_a_damaged_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(instant.KEY_VARIABLE, raising=False)
    Path(VISIBLE_NAME).write_text("{", encoding="utf-8")
    with pytest.raises(ChecksFailed, match="cannot be read"):
        check("double", {})


def test_one_mistake_is_told_once() -> None:
    close, square = rules.close(), seen(X * X)
    checks = tuple(CheckKey(title, "double(X)", 1.0, False, close, seen(2 * X), (square,)) for title in ("a", "b", "c"))
    exercise = ExerciseKey("double", "Exercise 1", ("double",), 3.0, ("That is the square.",), checks)
    text = instant.render(instant.judge(exercise, {"a": square, "b": seen(2 * X), "c": square}))
    assert [line.strip() for line in text.splitlines() if "square" in line or "above" in line] == [
        "That is the square.",
        instant.AGAIN,
    ]
    assert instant.read_back(text) == {"double": {"b"}}


def test_an_error_without_a_name_is_told_once() -> None:
    error = {"saw": "raised", "type": "TypeError", "message": "no", "line": 1, "code": "x"}
    other = error | {"message": "not so"}
    checks = tuple(CheckKey(title, "double(X)", 1.0, False, rules.close(), seen(X), ()) for title in "abc")
    exercise = ExerciseKey("double", "Exercise 1", ("double",), 3.0, (), checks)
    text = instant.render(instant.judge(exercise, {"a": error, "b": error, "c": other}))
    assert [text.count(one) for one in ("TypeError: no (", "TypeError: not so (", instant.AGAIN)] == [1, 1, 1]


def test_different_facts_are_all_told() -> None:
    wrong = {"a": seen(3 * X), "b": seen(-3 * X), "c": seen("C")}
    text = instant.render(instant.judge(key().visible().exercises["double"], wrong))
    assert instant.AGAIN not in text
    assert text.count("Called:") == 3

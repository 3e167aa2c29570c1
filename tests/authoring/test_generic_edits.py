"""One-place edits of an answer: what they make, in which words, and what they never say."""

import ast
import re

import pytest

from tests.conftest import ROOT
from trainloop.authoring.generic_edits import MAX_EDITS, edits, hollow, idle_answers
from trainloop.authoring.key_maker import generic_edits_of
from trainloop.authoring.lesson import read, released_script

ANSWER = """
def fit(X: torch.Tensor, y: torch.Tensor, lr: float = 0.1) -> tuple[torch.Tensor, list[float]]:
    \"\"\"Train.\"\"\"
    w = torch.zeros(3)
    losses = []
    for epoch in range(n):
        loss = ((X @ w - y) ** 2).mean(dim=0)
        optimizer.zero_grad()
        loss.backward()
        w -= lr * w.grad.T
        losses.append(loss.item())
    if lr > 0:
        w = -w
    return w[1:], losses
"""
KNOWN = frozenset({"zero_grad", "append", "mean", "lr", "X", "y"})
MADE = {edit.code: edit.what for edit in edits(ANSWER, KNOWN)}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("        optimizer.zero_grad()", "        pass", "`zero_grad()` is left out"),
        ("        loss.backward()", "        pass", "one line is left out"),
        ("X @ w - y", "X @ w + y", "a plus stands where a minus belongs"),
        ("X @ w - y", "X * w - y", "`*` stands where `@` belongs"),
        ("X @ w - y", "w @ X - y", "the two sides of an operation are exchanged"),
        ("X @ w - y", "X @ w", "a term is left out"),
        ("X @ w - y", "X @ w - X", "`X` is taken for `y`"),
        ("(X @ w - y) ** 2", "X @ w - y", "a power is left out"),
        (".mean(dim=0)", ".sum(dim=0)", "a sum is taken where a mean belongs"),
        (".mean(dim=0)", ".mean(dim=1)", "it goes along the other axis"),
        (".mean(dim=0)", ".mean()", "a setting is not given"),
        (".mean(dim=0)", "", "`mean()` is left out"),
        ("range(n)", "range(n - 1)", "a loop makes one round less"),
        ("range(n)", "range(n + 1)", "a loop makes one round more"),
        ("torch.zeros(3)", "torch.ones(3)", "ones stand where zeros belong"),
        ("lr * w.grad.T", "lr * w.grad", "a transposition is left out"),
        ("lr * w.grad.T", "lr", "a factor is left out"),
        ("lr * w.grad.T", "w.grad.T", "a factor is left out"),
        ("w -= lr", "w += lr", "a plus stands where a minus belongs"),
        ("loss.item()", "loss", "a call is left out"),
        ("lr > 0", "lr < 0", "a comparison is the wrong way round"),
        ("lr > 0", "True", "a condition always holds"),
        ("lr > 0", "False", "a condition never holds"),
        ("w = -w", "w = +w", "a minus sign is left out"),
        ("w[1:]", "w[:]", "a slice begins at the first entry"),
        ("w[1:], losses", "losses, w[1:]", "the results come back in the other order"),
        ("range(n)", "range(n)", ""),
    ],
)
def test_edits(old: str, new: str, what: str) -> None:
    assert ANSWER.count(old) == 1
    # A pair of brackets that is no longer needed is gone, too.
    made = ast.unparse(ast.parse(ANSWER.replace(old, new)))
    assert MADE.get(made, "") == what


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        (
            "what stands before a loop is done anew in every round",
            ["    for epoch in range(n):", "        losses = []"],
        ),
        ("`append()` comes one line later", []),
        ("`zero_grad()` comes one line later", ["        loss.backward()", "        optimizer.zero_grad()"]),
        ("a loop comes after what hangs on a condition", ["        w = -w", "    for epoch in range(n):"]),
        ("what stands last in a loop comes once, after the loop", ["    losses.append(loss.item())"]),
        ("two lines come in the other order", ["    losses = []", "    w = torch.zeros(3)"]),
    ],
)
def test_edits_of_statements(what: str, lines: list[str]) -> None:
    texts = [code for code, told in MADE.items() if told == what]
    assert any("\n".join(lines) in text for text in texts) == bool(lines)


def test_each_edit_is_a_program_of_its_own() -> None:
    assert 40 < len(MADE) <= MAX_EDITS
    assert ast.unparse(ast.parse(ANSWER)) not in MADE
    for text in MADE:
        compile(text, "edit", "exec")


def test_loops_that_may_not_end_are_left_alone() -> None:
    answer = "def f(n):\n    i = 0\n    while i < n:\n        i += 2\n    return i - 1"
    assert edits(answer, KNOWN)
    left = [edit.code for edit in edits(answer, KNOWN) if "while" in edit.code]
    assert left and all("while i < n:\n        i += 2\n" in code for code in left)


def test_signatures_and_what_stands_outside_of_functions_are_left_alone() -> None:
    answer = "RATE = 3\n\ndef f(x: list[int] = [1, 2]) -> dict[str, 4]:\n    return x"
    assert edits(answer, KNOWN) == []


def test_no_sentence_names_what_learners_have_not_read() -> None:
    for edit in edits(ANSWER, frozenset()):
        assert set(re.findall(r"`(\w+)", edit.what)) <= {"X", "y", "lr", "return"}, "but what stands in the stub"
        assert not re.search(r"\d", edit.what)


def test_hollow_answers_give_back_what_they_were_given() -> None:
    found = hollow("def f(x, y):\n    return x + y\n\nclass M:\n    def g(self, z):\n        return z + 1")
    assert [text.count("return None") for text in found] == [1, 0, 0, 1, 0]
    assert "def f(x, y):\n    return y" in found[2] and "return z + 1" in found[2]
    assert found[4].endswith("return z")


def test_idle_answers_compute_nothing() -> None:
    source = "class M:\n    def __init__(self, a):\n        self.a = a\n\n    def g(self, z):\n        return z + 1"
    whole = f"def f(x, y):\n    return x + y\n\ndef h():\n    return 1\n\n{source}"
    zero, *handed_back = idle_answers(whole)
    assert zero.count("return 0") == 3 and zero.count("super().__init__()") == 1
    assert [re.findall(r"return \w+", one) for one in handed_back] == [
        ["return x", "return 0", "return z"],
        ["return y", "return 0", "return z"],
    ]


@pytest.mark.parametrize("slug", sorted(path.name for path in (ROOT / "notebooks").iterdir()))
def test_no_edit_of_a_lessons_answer_gives_away_anything(slug: str) -> None:
    """No name beyond stub, docstring and the lesson's text, and no number."""
    lesson = read(ROOT / "notebooks" / slug / "lesson.md")
    shown = "\n".join(cell.source for cell in lesson.cells if cell.kind in ("markdown", "demo"))
    for exercise in lesson.exercises.values():
        source = exercise.cell.source
        stub = released_script(source) if exercise.is_script else source.split("### BEGIN SOLUTION")[0]
        met = set(re.findall(r"\w+", shown + stub)) | {"return", "with"}
        for edit in generic_edits_of(lesson, exercise):
            assert set(re.findall(r"`(\w+)", edit.what)) <= met
            assert not re.search(r"\d", re.sub(r"`\w+", "", edit.what))

"""Habits from elsewhere: which changes they make of a right answer, in which words."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import ROOT
from trainloop.authoring.habits import habits
from trainloop.authoring.key_maker import generic_edits_of
from trainloop.authoring.lesson import read

BY_HAND = '''
def fit(X: torch.Tensor, y: torch.Tensor, lr: float, n_epochs: int) -> torch.Tensor:
    """Train."""
    w = torch.zeros(3)
    for _ in range(n_epochs):
        loss = ((X @ w - y) ** 2).mean(dim=0)
        loss.backward()
        w -= lr * w.grad
        total += 1
    return w
'''
WITH_OPTIMIZER = """
def train(model, loader, lr, n_epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(n_epochs):
        loss = nn.MSELoss()(model(X), y)
        loss.backward()
        optimizer.step()
    return torch.mean(loss)
"""
HAND = {edit.code: edit.what for edit in habits(BY_HAND, {"lr": [0.1, 0.02], "X": [], "other": [3.0]})}
OPTIMIZER = {edit.code: edit.what for edit in habits(WITH_OPTIMIZER)}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"""Train."""', '"""Train."""\n    lr = 0.02', "`lr` is set to a number inside of the function"),
        ("(X @ w - y) ** 2", "abs(X @ w - y)", "an absolute value stands where a square belongs"),
        (".mean(dim=0)", ".median(dim=0).values", "a median is taken where a mean belongs"),
        (".mean(dim=0)", ".amax(dim=0)", "the largest is taken where a mean belongs"),
        ("lr * w.grad", "lr * (w.grad * w.grad)", "a factor counts twice"),
        ("w -= lr * w.grad", "w -= lr * w.grad\n        w -= lr * w.grad", "a step is made twice"),
        ("total += 1", "total = 1", "each round replaces a sum, rather than adds to it"),
        ("for _ in range(n_epochs)", "for round_ in range(n_epochs)", ""),
    ],
)
def test_habits(old: str, new: str, what: str) -> None:
    assert BY_HAND.count(old) == 1
    assert HAND.get(ast.unparse(ast.parse(BY_HAND.replace(old, new))), "") == what


@pytest.mark.parametrize(
    ("made", "what", "text"),
    [
        (HAND, "the learning rate falls from round to round", "w -= lr * (1 / (1 + round_)) * w.grad"),
        (HAND, "the gradient is clipped before a step", ".clamp(-1.0, 1.0)"),
        (HAND, "only the sign of the gradient counts", "(v > 0) * 1.0"),
        (HAND, "the root is taken of the loss", "loss = ((X @ w - y) ** 2).mean(dim=0) ** 0.5"),
        (OPTIMIZER, "the learning rate falls from round to round", "* 0.9 ** epoch"),
        (OPTIMIZER, "the gradient is clipped before a step", "clip_grad_norm_"),
        (OPTIMIZER, "only the sign of the gradient counts", "p.grad.sign_()\n        optimizer.step()"),
        (OPTIMIZER, "a step is made twice", "optimizer.step()\n        optimizer.step()"),
        (OPTIMIZER, "absolute errors stand where squared ones belong", "nn.L1Loss()(model(X), y)"),
        (OPTIMIZER, "a sum is taken where a mean belongs", "nn.MSELoss(reduction='sum')"),
        (OPTIMIZER, "a median is taken where a mean belongs", "return torch.median(loss)"),
    ],
)
def test_habits_of_training(made: dict[str, str], what: str, text: str) -> None:
    assert any(text in code for code, told in made.items() if told == what)


def test_each_is_a_program_of_its_own() -> None:
    for made, own in ((HAND, BY_HAND), (OPTIMIZER, WITH_OPTIMIZER)):
        assert ast.unparse(ast.parse(own)) not in made
        for text in made:
            compile(text, "habit", "exec")


def test_the_numbers_are_those_of_the_lesson() -> None:
    lesson = read(ROOT / "notebooks/1.1-what-is-a-training-loop/lesson.md")
    fixed = [edit for edit in generic_edits_of(lesson, lesson.exercises["fit"]) if "set to a number" in edit.what]
    assert fixed and {edit.what.split("`")[1] for edit in fixed} <= {"lr", "w", "n_epochs"}

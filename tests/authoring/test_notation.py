"""The table of notation, and what the build makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.lessons import line_of, spoiled
from trainloop.authoring import notation
from trainloop.authoring.lesson import read
from trainloop.authoring.lint import lint


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"$\hat{y}_i = w x_i$ and code `a` and \$5", {"y", "i", "w", "x"}),
        (r"$$\mathbf{X}\mathbf w + \boldsymbol{\theta}$$", {r"\mathbf{X}", r"\mathbf{w}", r"\boldsymbol{\theta}"}),
        (r"$\mathcal{L}(\eta)$, $\nabla^2\mathcal{L}$", {r"\mathcal{L}", r"\eta", r"\nabla"}),
        (r"$\text{if so}$ $\operatorname{ReLU}(x)$ $\begin{cases} 1 & x \end{cases}$", {"x"}),
        (r"$\frac{\partial \mathcal{L}}{\partial w} \times \ln 2$", {r"\partial", r"\mathcal{L}", "w"}),
        ("```python\ncost = '$q$'\n```\nno formula: 3 $ and 4", set()),
    ],
)
def test_the_signs_of_a_formula(text: str, found: set[str]) -> None:
    assert notation.signs(text) == found


def test_the_table_names_each_sign_once() -> None:
    rows = [line for line in (ROOT / notation.TABLE).read_text(encoding="utf-8").splitlines() if line.startswith("| $")]
    firsts = [row.split("|")[1].strip() for row in rows]
    assert len(firsts) == len(set(firsts)) > 40


def tiny(root: Path, formula: str, slug: str = "1.2-tiny") -> list[str]:
    """What the build refuses in the tiny lesson with this formula, at the formula's line."""
    (root / "docs").mkdir()
    (root / "docs" / "notation.md").write_text(
        "| $w$, $w_j$ | a weight | 1.1 |\n| $j$ | counts | 1.1 |\n| $z$ | a logit | 2.1 |\n"
    )
    (root / "notebooks").mkdir()
    text = spoiled("The larger of the two.", f"Some words.\n\nThe larger {formula} of the two.")
    path = root / "notebooks" / slug / "lesson.md"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return [error.message for error in lint(read(path)) if error.line == line_of(text, "The larger")]


def test_known_signs_are_taken(tmp_path: Path) -> None:
    assert tiny(tmp_path, "$w_j$") == []


def test_an_unknown_sign_is_refused(tmp_path: Path) -> None:
    assert tiny(tmp_path, "$w_q$") == ["the sign $q$ is not in docs/notation.md; use another, or enter it there"]


def test_a_sign_before_its_time_is_refused(tmp_path: Path) -> None:
    assert tiny(tmp_path, "$z$") == ["the sign $z$ is introduced in lesson 2.1, says docs/notation.md"]


def test_a_sign_in_its_time_is_taken(tmp_path: Path) -> None:
    assert tiny(tmp_path, "$z$", "2.1-tiny") == []

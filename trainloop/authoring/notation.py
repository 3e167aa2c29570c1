"""The signs that formulas may use: the table in docs/notation.md, and what a lesson's formulas hold.

A sign is a letter in one of its faces: `X`, `\\mathbf{X}`, `\\mathcal{L}`, `\\eta`. Accents, indices and exponents
are not part of it, so $\\hat{y}_i$ uses `y` and `i`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TABLE = Path("docs", "notation.md")

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$", re.S)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
WORD_COMMANDS = re.compile(r"\\(?:text|operatorname|mathrm|begin|end)\*?\{[^}]*\}")
FACE = re.compile(r"\\(mathbf|mathcal|mathbb|boldsymbol)\s*(?:\{\s*(\\?[A-Za-z]+)\s*\}|([A-Za-z]))")
COMMAND = re.compile(r"\\([A-Za-z]+)")
GREEK = re.compile(
    r"(?:var)?(?:alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|upsilon|phi"
    r"|chi|psi|omega)|ell|partial|nabla",
    re.I,
)


def signs(text: str) -> set[str]:
    """The signs of all formulas in a Markdown text."""
    return {sign for match in FORMULA.finditer(CODE.sub("", text)) for sign in _of(match[1] or match[2])}


def table(text: str) -> dict[str, tuple[int, int]]:
    """The signs of the table, each with the lesson that introduces it: its first column and its last."""
    found: dict[str, tuple[int, int]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and (lesson := re.fullmatch(r"(\d+)\.(\d+)", cells[-1])):
            for sign in signs(cells[0]):
                number = (int(lesson[1]), int(lesson[2]))
                found[sign] = min(number, found.get(sign, number))
    return found


def _of(formula: str) -> Iterator[str]:
    rest = WORD_COMMANDS.sub(" ", formula)
    for match in FACE.finditer(rest):
        for letter in [match[2]] if match[2] and match[2].startswith("\\") else match[2] or match[3]:
            yield f"\\{match[1]}{{{letter}}}"
    rest = FACE.sub(" ", rest)
    for match in COMMAND.finditer(rest):
        if GREEK.fullmatch(match[1]):
            yield f"\\{match[1]}"
    yield from re.findall(r"[A-Za-z]", COMMAND.sub(" ", rest))

"""One style sheet for all pages: the theme's, without the rules that no page uses, and the course's own behind them.

The theme comes with five sheets, one of which asks for the next, and with the rules for whatever may stand in a page. A
phone far from a mast waits seconds for them before it shows a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import tinycss2

FILE = "styles/site.css"  # in _static/, beside the theme's own, so that its addresses hold
SHEETS = ("basic.css", "styles/pydata-sphinx-theme.css", "pygments.css", "styles/sphinx-book-theme.css", "course.css")
LIGHT, DARK = (re.compile(rf'\[data-theme="?{name}"?\]') for name in ("light", "dark"))
UNSAID = "[data-theme=auto]"
SCRIPTS = ("*.js", "scripts/*.js")  # what puts names into a page once it is open


def write(out: Path) -> None:
    """Write the sheet of a built site."""
    static = out / "_static"
    used = names(out)
    parts = []
    for sheet in SHEETS:
        text = (static / sheet).read_text(encoding="utf-8")
        parts += list(kept(tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True), used))
    (static / FILE).write_text("\n".join(parts) + "\n", encoding="utf-8")


def names(out: Path) -> set[str]:
    """Every class and id that a page has or may get: those of its elements, and all words of the scripts."""
    found: set[str] = set()
    for page in out.rglob("*.html"):
        for value in re.findall(r'(?:class|id)="([^"]*)"', page.read_text(encoding="utf-8")):
            found.update(value.split())
    for pattern in SCRIPTS:
        for script in (out / "_static").glob(pattern):
            found.update(re.findall(r"[\w-]+", script.read_text(encoding="utf-8")))
    return found


def kept(rules: Sequence[Any], used: set[str]) -> Iterator[str]:
    """The rules that say something about these names, or about none."""
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [one for one in _split(rule.prelude) if _names(one) <= used]
            if selectors:
                told = ",".join(tinycss2.serialize(one).strip() for one in selectors)
                yield from _in_either_light(told, tinycss2.serialize(rule.content).strip())
        elif rule.type == "at-rule" and rule.at_keyword in ("media", "supports"):
            inside = list(kept(tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True), used))
            if inside:
                yield f"@{rule.at_keyword} {tinycss2.serialize(rule.prelude).strip()}{{{''.join(inside)}}}"
        elif rule.type == "at-rule":
            yield rule.serialize()


def _in_either_light(selectors: str, content: str) -> Iterator[str]:
    """A rule; one for light or dark alone also as it holds where no script has said which of them it is."""
    yield f"{selectors}{{{content}}}"
    if LIGHT.search(selectors):
        yield f"{LIGHT.sub(UNSAID, selectors)}{{{content}}}"
    elif DARK.search(selectors):
        yield f"@media (prefers-color-scheme:dark){{{DARK.sub(UNSAID, selectors)}{{{content}}}}}"


def _split(prelude: Sequence[Any]) -> list[list[Any]]:
    """The selectors between the commas."""
    found: list[list[Any]] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            found.append([])
        else:
            found[-1].append(token)
    return found


def _names(selector: Sequence[Any]) -> set[str]:
    """The classes and ids that an element must have. What stands in brackets, such as `:not(.a)`, asks for none."""
    found = {token.value for token in selector if token.type == "hash"}
    for before, token in pairwise(selector):
        if before.type == "literal" and before.value == "." and token.type == "ident":
            found.add(token.value)
    return found

"""An extension of Sphinx: terms and signs on a lesson's page say what they mean.

The first time that a page uses a term of the glossary, it becomes a link to its entry, whose definition is the link's
title. A formula is marked with the rows of the table of notation that its signs stand in. What shows either, on hover,
on focus and on a tap, is course.js.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

from trainloop.authoring import notation
from trainloop.site.signs import Sign, rows_for

LESSONS = "lessons/"
CLOSES = re.compile(r"[.,;:!?)’”]+")  # what may not begin a line
# Where a term stays as it is: in what is a link already, in code, in headings.
NOT_IN = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.raw, nodes.math, pending_xref)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("trainloop_terms", [], "env")  # (words, lesson's number, definition)
    app.add_config_value("trainloop_signs", [], "env")  # the rows of the table
    app.connect("doctree-read", _mark)
    app.connect("doctree-resolved", _define)
    changes = zlib.crc32(Path(__file__).read_bytes())  # with it, Sphinx reads anew what it has kept of the pages
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": changes}


def _mark(app: Sphinx, doctree: nodes.document) -> None:
    name = app.env.docname
    _tie(doctree)
    _name_rows(doctree)
    if not name.startswith(LESSONS):
        return
    slug = name.removeprefix(LESSONS)
    _mark_signs(doctree, [Sign(*row) for row in app.config.trainloop_signs], slug)
    _mark_terms(doctree, app.config.trainloop_terms, slug, name)


def _tie(doctree: nodes.document) -> None:
    """Keep a formula and the comma or stop behind it on one line: browsers would break between them."""
    for formula in list(doctree.findall(nodes.math)):
        place = formula.parent.index(formula)
        after = formula.parent[place + 1] if place + 1 < len(formula.parent) else None
        mark = CLOSES.match(str(after)) if isinstance(after, nodes.Text) else None
        if mark is not None:
            tied = nodes.inline("", "", formula.deepcopy(), nodes.Text(mark[0]), classes=["tied"])
            formula.parent[place : place + 2] = [tied, nodes.Text(str(after)[mark.end() :])]


def _name_rows(doctree: nodes.document) -> None:
    """A cell without words in a table's head gets one that screen readers say, so that every column has a name."""
    for head in doctree.findall(nodes.thead):
        for entry in head.findall(nodes.entry):
            formulas = [formula.astext() for formula in entry.findall(nodes.math)]
            if entry.astext().strip() in ("", *formulas):
                word = nodes.inline("", "value" if formulas else "row", classes=["unseen"])
                held = next(iter(entry.findall(nodes.paragraph)), None)
                if held is None:
                    entry += nodes.paragraph("", "", word)
                else:  # one more paragraph would be one more line
                    held += [nodes.Text(" "), word]


def _mark_signs(doctree: nodes.document, signs: Sequence[Sign], slug: str) -> None:
    for formula in [*doctree.findall(nodes.math), *doctree.findall(nodes.math_block)]:
        rows = rows_for(notation.signs(f"$${formula.astext()}$$"), signs, slug)
        formula["classes"] += [f"sign-{signs.index(row)}" for row in rows]


def _mark_terms(doctree: nodes.document, terms: Sequence[tuple[Sequence[str], str, str]], slug: str, name: str) -> None:
    here = _number(slug.split("-")[0])
    waiting = {word: words[0] for words, lesson, _ in terms if lesson and _number(lesson) <= here for word in words}
    for text in list(doctree.findall(nodes.Text)):
        if waiting and _free(text):
            parts = list(_linked(str(text), waiting, name))
            if len(parts) > 1:
                text.parent.replace(text, parts)


def _free(text: nodes.Text) -> bool:
    node: Any = text.parent
    inside_paragraph = False
    while node is not None:
        if isinstance(node, NOT_IN):
            return False
        inside_paragraph = inside_paragraph or isinstance(node, nodes.paragraph)
        node = node.parent
    return inside_paragraph


def _linked(text: str, waiting: dict[str, str], name: str) -> Iterator[nodes.Node]:
    """The text, with a link in place of each term that waits to be met; these do not wait any longer."""
    while waiting:
        words = "|".join(re.escape(word) for word in sorted(waiting, key=len, reverse=True))
        match = re.search(rf"(?<![\w-])(?P<word>{words})(?:s|es)?(?![\w-])", text, re.I)
        if match is None:
            break
        term = waiting[_as_listed(match["word"], waiting)]
        for word in [word for word, of in waiting.items() if of == term]:
            del waiting[word]
        yield nodes.Text(text[: match.start()])
        link = pending_xref(
            "", refdomain="std", reftype="term", reftarget=term, refexplicit=True, refwarn=True, refdoc=name
        )
        link += nodes.inline("", match[0], classes=["term"])
        yield link
        text = text[match.end() :]
    yield nodes.Text(text)


def _as_listed(word: str, waiting: Mapping[str, str]) -> str:
    return next(one for one in waiting if one.lower() == word.lower())


def _define(app: Sphinx, doctree: nodes.document, name: str) -> None:
    if not name.startswith(LESSONS):
        return
    told = {words[0]: definition for words, _, definition in app.config.trainloop_terms}
    by_word = {word.lower(): told[words[0]] for words, _, _ in app.config.trainloop_terms for word in words}
    for link in doctree.findall(nodes.reference):
        marked = [child for child in link.children if isinstance(child, nodes.inline) and "term" in child["classes"]]
        if marked:
            word = marked[0].astext().lower()
            forms = (word, word.removesuffix("s"), word.removesuffix("es"))
            link["reftitle"] = next(by_word[form] for form in forms if form in by_word)
            link["classes"] = [*link.get("classes", []), "term"]


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))

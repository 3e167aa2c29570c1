"""docs/glossary.md: every term that a lesson introduces, in order, with the lesson that introduces it.

A lesson introduces a term by writing it in bold inside of a sentence: `this is called **leakage**`. No term is what is
bold at the beginning of a paragraph, an item or a row, or in the box under the title, since that is a heading; nor what
ends as a sentence does, is code, or has more than three words; nor what stands in the exercises. What is bold for
emphasis alone stands in `EMPHASIS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.lessons import lesson, spoiled, written
from trainloop.authoring.lesson import Lesson

LESSONS = {slug.split("-")[0]: one for slug, one in written().items()}

# What is bold in a sentence and is no term.
EMPHASIS = frozenset(
    {
        "training set only",  # 2.5
        *("too small", "right", "too large"),  # 3.2: runs
        *("first loss", "one batch", "all data"),  # 3.6: tests
    }
)

CODE = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", re.S)
BOLD = re.compile(r"\*\*(?!\s)([^*]+?)(?<!\s)\*\*")
BEGINNING = re.compile(r"\s*(?:>.*|[-+] |\d+\. |\|.*)?")
ENTRY = re.compile(
    r"- \*\*(?P<term>[^*]+)\*\*(?: \(also (?P<also>[^)]+)\))?: (?P<text>.+) "
    r"\[(?P<number>\d\.\d)\]\(\.\./release/(?P<slug>[^/]+)/(?P=slug)\.ipynb\)"
)


@dataclass(frozen=True)
class Entry:
    term: str
    also: tuple[str, ...]
    text: str
    number: str
    slug: str

    @property
    def words(self) -> tuple[str, ...]:
        """The term and its other forms, as they are compared."""
        return tuple(plain(one) for one in (self.term, *self.also))


def plain(term: str) -> str:
    """A term as it is compared: in small letters, without its article, on one line."""
    return re.sub(r"^(?:the|an?) ", "", " ".join(term.lower().split()))


def entries() -> list[Entry]:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    items = [" ".join(item.split()) for item in re.findall(r"^- .+(?:\n  .+)*", text, re.M)]
    found = [ENTRY.fullmatch(item) for item in items]
    assert all(found), [item for item, match in zip(items, found, strict=True) if not match]
    return [
        Entry(one["term"], tuple(re.findall(r"\*(.+?)\*", one["also"] or "")), one["text"], one["number"], one["slug"])
        for one in found
        if one
    ]


ENTRIES = entries()


def introduced(one: Lesson) -> Iterator[tuple[str, int]]:
    """The terms that a lesson introduces, each with its line."""
    for cell in one.prose:
        # Code and formulas hold stars of their own; as many signs stay, so that places and lines do.
        text = CODE.sub(lambda match: re.sub(r"[^\n]", "x", match[0]), cell.source)
        for match in BOLD.finditer(text):
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            term = plain(match[1])
            if BEGINNING.fullmatch(before) or term[-1] in ".?!:" or len(term.split()) > 3:
                continue
            if plain(match[1]) != plain(cell.source[match.start(1) : match.end(1)]):
                continue  # code in bold
            yield term, cell.line + text.count("\n", 0, match.start())
        if re.search(r"^## Exercises", text, re.M):
            return


def known(term: str, words: set[str]) -> bool:
    """Whether a term, or the singular of it, is among these words."""
    return term in words or term.removesuffix("s") in words


def test_every_term_of_a_lesson_has_an_entry() -> None:
    words = {word for one in ENTRIES for word in one.words}
    missing = [
        f'lesson {number}, line {line}: "{term}" is bold and not in docs/glossary.md'
        for number, one in LESSONS.items()
        for term, line in introduced(one)
        if not known(term, words | EMPHASIS)
    ]
    assert missing == []


def test_every_entry_names_a_lesson_in_which_the_term_stands() -> None:
    wrong = []
    for one in ENTRIES:
        assert LESSONS[one.number].slug == one.slug
        prose = " ".join(" ".join(cell.source for cell in LESSONS[one.number].prose).lower().split())
        if not any(re.search(rf"(?<!\w){re.escape(word)}(?:s|es)?(?!\w)", prose) for word in one.words):
            wrong.append(f"{one.term}: lesson {one.number} does not say it")
    assert wrong == []


def test_no_lesson_introduces_a_term_before_the_one_that_is_named() -> None:
    firsts: dict[str, str] = {}
    for number, one in LESSONS.items():
        for term, _ in introduced(one):
            firsts.setdefault(term, number)
    late = [
        f"{term}: lesson {number} introduces it"
        for term, number in firsts.items()
        if (named := [one.number for one in ENTRIES if known(term, set(one.words))]) and min(named) > number
    ]
    assert late == []


def test_entries_are_in_order_and_each_stands_once() -> None:
    terms = [re.sub(r"[^a-z0-9]+", " ", one.term.lower()) for one in ENTRIES]
    assert terms == sorted(set(terms))
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    for heading, body in re.findall(r"^## (.)\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        assert {term[0].upper() for term in re.findall(r"^- \*\*(.+?)\*\*", body, re.M)} == {heading}


def test_an_entry_is_a_few_whole_sentences() -> None:
    for one in ENTRIES:
        assert one.text[0].isupper(), one.term
        assert one.text.endswith("."), one.term
        assert len(re.findall(r"[.?!](?: |$)", one.text)) <= 3, one.term


def test_what_is_bold_for_emphasis_is_bold() -> None:
    """What is not any more goes from the list."""
    assert {term for one in LESSONS.values() for term, _ in introduced(one)} >= EMPHASIS


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("This is called **leakage**. The **Two\nTowers** stand.", ["leakage", "two towers"]),
        ("We call it the **noise\nball**, and `a ** b` is code, and **`x`** too.", ["noise ball"]),
        ("**The model.** It stands.\n\n- **A**: a letter\n1. **Loss**: an item\n> **Box** of words", []),
        ("All in all, **this is a whole long sentence**, and **this ends.** There.", []),
        ("A row\n\n| what | **changed** |\n|---|---|\n", []),
    ],
)
def test_what_counts_as_a_term(tmp_path: Path, text: str, terms: list[str]) -> None:
    one = lesson(tmp_path, spoiled("The larger of the two.", text))
    assert [term for term, _ in introduced(one)] == terms


def test_exercises_introduce_nothing(tmp_path: Path) -> None:
    assert list(introduced(lesson(tmp_path, spoiled("Write it.", "Write the **leak**.")))) == []

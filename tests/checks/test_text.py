"""Text of strangers: what is shown of it, and what is not."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from trainloop.checks.text import MAX_COMBINING, MUCH_BLANK, one_line, plain

SIGN = "\N{REPLACEMENT CHARACTER}"
KEPT = {"\n", "\t"}


def test_nothing_invisible_passes() -> None:
    """Every character there is, one by one: control and format characters, halves, ends of lines and paragraphs."""
    passed = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(letter := chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and letter not in KEPT
        and plain(f"a{letter}b") not in (f"a{SIGN}b", "a\nb", "a")  # a return ends a line; an escape takes what follows
    ]
    assert passed == []


@pytest.mark.parametrize(
    "text", ["Résumé", "שָׁלוֹם", "Việt Nam", "π ≈ 3.14 → ½", "日本語", "e\u0301a\u0308", "👩\N{VARIATION SELECTOR-16}"]
)
def test_words_of_any_language_pass(text: str) -> None:
    assert plain(text) == text


def test_heaps_of_marks_on_a_letter_are_cut() -> None:
    assert plain("e" + "\u0301" * 3_000 + "x") == "e" + "\u0301" * MAX_COMBINING + "x"


def test_many_unseen_letters_in_a_row_are_one_sign() -> None:
    assert plain("a" + "\U000e0061" * 3_000 + "\u200b\u2060b") == f"a{SIGN}b"


def test_a_name_is_one_line() -> None:
    assert one_line("[/x]\x1b[2J\nada\x1b]0;title\x07") == "[/x] ada"


def test_text_is_read_in_time_that_grows_with_its_length() -> None:
    """Not timed: a pattern that takes the square of the time would not end."""
    for text in ("\x1b[" * 500_000, "\x1b]" * 500_000, "\u200b" * 1_000_000, "\u0301" * 1_000_000):
        plain(text)
    assert MUCH_BLANK.search("x " * 500_000) is None

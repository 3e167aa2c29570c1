"""Text of strangers, made fit to be shown: on a page, in a terminal, in a table."""

from __future__ import annotations

import itertools
import re
import unicodedata

MAX_SHOWN = 20_000  # characters of one cell, or of one output, on a page; a student's own notebook has the rest
MAX_COMBINING = 8  # marks on one letter; no language needs more
MUCH_BLANK = re.compile(r"\s{200,}")  # Pygments takes time that grows with the square of it: 9 s for one cell

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
# Control characters, and the ends of lines and paragraphs that no editor shows as such.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
# Unicode's category Cf: what has no width, joins, tags, or turns the order of what is read.
_FORMAT = re.compile(
    "[\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
    "\U000e0020-\U000e007f]+"
)


def plain(text: object, limit: int = MAX_SHOWN) -> str:
    """Text fit to be shown, cut to `limit` characters: without terminal codes, with a sign in the place of what cannot
    be seen, so that who looks for an odd letter finds it, and with no heaps of marks on a letter.
    """
    if isinstance(text, list):  # the lines of a text, as notebook files hold it
        text = "".join(line for line in text if isinstance(line, str))
    if not isinstance(text, str):
        return ""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    if not text.isascii():
        text = "".join(_few_marks(_FORMAT.sub("\N{REPLACEMENT CHARACTER}", text)))
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[{len(text) - limit:,} more characters are not shown here]"


def _few_marks(text: str) -> itertools.chain[str]:
    """The text, of combining marks in a row only the first ones."""
    runs = itertools.groupby(text, key=lambda letter: unicodedata.category(letter) in ("Mn", "Me"))
    return itertools.chain.from_iterable(
        itertools.islice(run, MAX_COMBINING) if are_marks else run for are_marks, run in runs
    )


def one_line(text: object, limit: int = MAX_SHOWN) -> str:
    """The same in one line: a name in a table, a note in a list."""
    return " ".join(plain(text, limit).split())

"""The theme's fonts of icons, cut down to the icons that the site shows: some two dozen of two thousand.

Whole, the font is half of what a phone fetches for a lesson.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

from trainloop.site import sheet

FONTS = "vendor/fontawesome/webfonts"  # in _static/
ICONS = re.compile("[\ue000-\uf8ff]")  # Unicode's characters for private use: the fonts have the icons there


def write(out: Path) -> None:
    """Cut down the fonts of a site whose style sheet is written: Sphinx has just put the whole ones there."""
    icons = used(out)
    for font in sorted((out / "_static" / FONTS).glob("*.woff2")):
        font.write_bytes(subset(font.read_bytes(), icons))


def used(out: Path) -> set[str]:
    """The icons that the style sheet of a built site names: it has only rules that some page needs."""
    return set(ICONS.findall((out / "_static" / sheet.FILE).read_text(encoding="utf-8")))


def subset(font: bytes, characters: Iterable[str]) -> bytes:
    """A font in the format WOFF2 with no other characters than these; its author and licence stay named in it."""
    logging.getLogger("fontTools.subset").setLevel(logging.WARNING)  # it tells of each table
    keep = Subsetter(Options(hinting=False, layout_features=[], name_IDs=["*"]))
    keep.populate(text="".join(characters))
    made = BytesIO()
    with TTFont(BytesIO(font)) as opened:
        keep.subset(opened)
        opened.save(made)
    return made.getvalue()

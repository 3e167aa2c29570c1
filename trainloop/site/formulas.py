"""How formulas are drawn: MathJax, its settings, and the files of it that a site carries.

In a page, formulas.js draws a formula when it comes near the window: to draw those of a long lesson at once keeps a
phone busy for seconds. On paper they are all drawn.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "sphinx-mathjax-offline"
SCRIPT = "tex-chtml.js"
FILES = (SCRIPT, "output/chtml/fonts/woff-v2", "a11y/assistive-mml.js", "input/tex/extensions")
PLACE = "_static/mathjax"  # in the site
SETTINGS: dict[str, Any] = {
    "loader": {"load": ["a11y/assistive-mml"]},  # what screen readers say
    "options": {"enableMenu": False},
    "chtml": {"matchFontHeight": False},
}
IN_PAGES = {**SETTINGS, "startup": {"typeset": False}}


def scripts() -> list[str]:
    """What draws all formulas of a page that lies in the site's folder itself."""
    return [
        f"<script>window.MathJax = {json.dumps(SETTINGS)}</script>",
        f'<script defer src="{PLACE}/{SCRIPT}"></script>',
    ]


def carry(out: Path) -> None:
    """Put MathJax into a site."""
    carried = find_spec(PACKAGE)
    assert carried is not None and carried.submodule_search_locations
    source = Path(carried.submodule_search_locations[0], "static", "mathjax")
    for name in FILES:
        target = out / PLACE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target, dirs_exist_ok=True)
        else:
            shutil.copy(source / name, target)

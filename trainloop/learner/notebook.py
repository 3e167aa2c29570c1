"""The notebook around a call: which cells a learner has run, as IPython remembers them.

In a plain script nothing is remembered, and nothing is said.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator


def out_of_date(names: Collection[str]) -> str:
    """A sentence where the newest text that should define one of `names` did not compile, so that an older one counts.

    Empty otherwise.
    """
    for name in names:
        for source in _newest_first():
            if not _binds(source, name):
                continue
            if (error := _syntax_error(source)) is not None:
                return (
                    f"What is checked here is older than your text: the last cell with `{name}` did not compile "
                    f"(line {error.lineno}: {error.msg}). Mend it, run it, then run this one."
                )
            break
    return ""


def own_text(names: Collection[str]) -> str:
    """The newest cell that defines one of `names` and was run, as it was written; empty where there is none."""
    for source in _newest_first():
        if any(_binds(source, name) for name in names) and _syntax_error(source) is None:
            return source.strip()
    return ""


def _newest_first() -> Iterator[str]:
    cells = getattr(sys.modules.get("__main__"), "In", [])
    yield from (cell for cell in reversed(cells) if isinstance(cell, str) and cell)


def _binds(source: str, name: str) -> bool:
    """Whether a cell, which need not be Python, seems to define a name at its top level."""
    word = re.escape(name)
    return (
        re.search(rf"^(?:def|class) +{word}\b|^(?:[\w, ]*, *)?{word} *(?:,[\w, ]*)?(?::[^=]+)?=(?!=)", source, re.M)
        is not None
    )


def _syntax_error(source: str) -> SyntaxError | None:
    try:
        ast.parse(source)
    except SyntaxError as error:
        return error
    return None

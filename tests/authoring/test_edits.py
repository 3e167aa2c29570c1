"""Edits: what they change, that they undo what a diff says, and that they refuse what is not told apart."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainloop.authoring.edits import EditError, apply

LOOP = """\
def fit(x):
    for epoch in range(3):
        step()
        keep(x)

    if x:
        step()
    return x"""
# Few different lines, so that repetitions come often.
LINES = st.lists(st.sampled_from(["", "a", "b", "  a", "  b", "c = '-'", "+d", "@x"]), max_size=8)


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        ("-        keep(x)", "        keep(x)\n", ""),
        ("-    return x\n+        return x", "    return x", "        return x"),
        ("     for epoch in range(3):\n+        x += 1", "(3):\n", "(3):\n        x += 1\n"),
        ("+    import math\n     for epoch in range(3):", "    for", "    import math\n    for"),
        ("     if x:\n-        step()\n+        go()", "if x:\n        step", "if x:\n        go"),
        ("     if x:\n         step()\n+        go()", "if x:\n        step()", "if x:\n        step()\n        go()"),
        ("-        step()\n         keep(x)", "        step()\n        keep", "        keep"),
        ("-        keep(x)\n-\n-    if x:", "        keep(x)\n\n    if x:\n", ""),
        ("-        keep(x)\n\n     if x:", "        keep(x)\n", ""),
        ("- \t", None, None),
    ],
)
def test_one_place(edit: str, old: str | None, new: str | None) -> None:
    if old is None or new is None:
        with pytest.raises(EditError, match="where do these lines go"):
            apply(LOOP, edit)
        return
    assert LOOP.count(old) == 1
    assert apply(LOOP, edit) == LOOP.replace(old, new)


def test_several_places_in_any_order() -> None:
    edit = "-    return x\n+    return y\n@@\n-def fit(x):\n+def fit(y):"
    assert apply(LOOP, edit) == LOOP.replace("fit(x)", "fit(y)").replace("return x", "return y")


@pytest.mark.parametrize(
    ("edit", "line", "message"),
    [
        ("-        step()", 0, "these lines stand there 2 times; add a line of context that tells which"),
        ("-    step()", 0, "there is no line '    step()'; blanks at the beginning count"),
        ("-        keep(x)\n@@\n-    keep(x)", 2, "there is no line '    keep(x)'"),
        ("-def fit(x):\n-    return x", 0, "do not stand there one below the other; write @@ between two places"),
        ("-        keep(x)\nstep()", 1, "begins with -, with + or, for context, with a blank; this one with 's'"),
        ("+        keep(x)", 0, "where do these lines go? Write a line of context"),
        ("         keep(x)", 0, "nothing is changed here"),
        ("-        keep(x)\n+        keep(x)", 0, "nothing is changed here"),
        ("-        keep(x)\n@@\n", 2, "nothing is changed here"),
        ("", 0, "nothing is changed here"),
        ("-        keep(x)\n@@\n         keep(x)\n+        more()", 2, "two places of this edit overlap"),
    ],
)
def test_refused(edit: str, line: int, message: str) -> None:
    with pytest.raises(EditError) as caught:
        apply(LOOP, edit)
    assert message in caught.value.message
    assert caught.value.line == line


@given(LINES, LINES)
def test_a_whole_diff_gives_what_it_was_made_from(old: list[str], new: list[str]) -> None:
    """With all lines as context there is one place, and it stands there once."""
    old, new = [*old, "end"], [*new, "end"]
    edit = [line for line in difflib.ndiff(old, new) if not line.startswith("?")]
    text = "\n".join(line[0] + line[2:] for line in edit)
    if old == new:
        with pytest.raises(EditError):
            apply("\n".join(old), text)
    else:
        assert apply("\n".join(old), text) == "\n".join(new).strip("\n")

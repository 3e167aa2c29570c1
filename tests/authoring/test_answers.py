"""The second file of a lesson: what its fences mean, and what is refused, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainloop.authoring.answers import Answers, read_answers
from trainloop.authoring.errors import LessonError

REFERENCE = 'def relu(x: Tensor) -> Tensor:\n    """max(0, x)."""\n    return x.clamp(min=0)'
TEXT = """\
# 9.9 Tiny: answers

What stands here is free.

## relu

```python base
def relu(x):
    return x * (x > 0)
```

The wrong half
is `kept`.
```diff mistake
-    return x * (x > 0)
+    return x * (x < 0)
```

Of the reference.
```diff mistake of="reference"
-    return x.clamp(min=0)
+    return x.clamp(max=0)
```

Two forms of one.
```diff mistake of="where"
-    return torch.where(x > 0, x, 0)
+    return torch.where(x > 0, 0, x)
```
```python mistake
def relu(x):
    return min(0, x)
```

By choosing.
```python alternative="where"
def relu(x):
    return torch.where(x > 0, x, 0)
```

With a maximum.
```python alternative
def relu(x):
    return torch.maximum(x, zero)
```

```python judge
judges = {}
```

## step

Nothing happens.
```diff mistake
-    return 1
+    return 0
```
- `1` → `0.0`

In one line.
- reference: `1` → `2`
- after `def step():`: `pass`, ` 1` → nothing
"""


def answers(folder: Path, text: str = TEXT) -> dict[str, Answers]:
    path = folder / "answers.md"
    path.write_text(text, encoding="utf-8")
    return read_answers(path, {"relu": REFERENCE, "step": "def step():\n    return 1"})


def line_of(text: str, fragment: str) -> int:
    return text[: text.index(fragment)].count("\n") + 1


def test_what_stands_in_it(tmp_path: Path) -> None:
    relu, step = answers(tmp_path).values()
    assert relu.base is not None and relu.base.code == "def relu(x):\n    return x * (x > 0)"
    assert [(one.sentence, one.code.splitlines()[-1]) for one in relu.mistakes] == [
        ("The wrong half is `kept`.", "    return x * (x < 0)"),
        ("Of the reference.", "    return x.clamp(max=0)"),
        ("Two forms of one.", "    return torch.where(x > 0, 0, x)"),
        ("Two forms of one.", "    return min(0, x)"),
    ]
    assert relu.mistakes[1].code == REFERENCE.replace("min=0", "max=0")
    assert [one.sentence for one in relu.alternatives] == ["By choosing.", "With a maximum."]
    assert [one.code for one in relu.judges] == ["judges = {}"]
    assert [(one.sentence, one.code) for one in step.mistakes] == [
        ("Nothing happens.", "def step():\n    return 0"),
        ("Nothing happens.", "def step():\n    return 0.0"),
        ("In one line.", "def step():\n    return 2"),
        ("In one line.", "def step():\n    pass\n    return"),
    ]
    assert [TEXT.splitlines()[one.line - 1][:6] for one in step.mistakes[1:]] == ["- `1` ", "- refe", "- afte"]
    for one in (relu.base, *relu.mistakes, *relu.alternatives, *relu.judges):
        assert TEXT.splitlines()[one.line - 2].startswith("```")


def test_no_file_has_no_answers(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "answers.md", {"relu": REFERENCE}) == {}
    assert answers(tmp_path, "") == {}


def test_a_sentence_is_shared_by_fences_with_nothing_between(tmp_path: Path) -> None:
    apart = answers(tmp_path, TEXT.replace("```\n```python mistake", "```\n\n```python mistake"))
    assert [one.sentence for one in apart["relu"].mistakes][2:] == ["Two forms of one.", ""]


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("## step", "## stepp", "## stepp", 'there is no exercise "stepp"; there are: relu, step'),
        ("## step", "## relu", "## relu\n\nNothing", 'a second heading is "relu"'),
        ("## relu\n", "", "```python base", 'which exercise is this of? Write "## name" above it'),
        ("With a maximum.", "With a maximum.\n\nMore.", "With a maximum.", "no edit or fence directly below it"),
        ("Nothing happens.", "", "-    return 1", ""),
        ("In one line.\n", "More.\n\nIn one line.\n", "More.", "no edit or fence directly below it"),
        ("Nothing happens.", "- Nothing happens.", "- Nothing", "write `old` → `new`, `old` → nothing, after `line`"),
        ("Nothing happens.", "> Nothing happens.", "> Nothing", "only sentences, edits and fences stand under"),
        ("Nothing happens.", "- Nothing\n  happens.", "  happens", "an item of a list is an edit in one line"),
        (
            "- `1` → `0.0`",
            "- `1` → `0.0`; `2` → `3`",
            "- `1` → `0.0`; ",
            "with a comma between; here it is '; `2` → `3`'",
        ),
        ("- `1` → `0.0`", "- `2` → `0.0`", "- `2`", "'2' does not stand there"),
        ("- `1` → `0.0`", "- `t` → `0.0`", "- `t`", "'t' stands there 2 times; write enough of it to tell which"),
        ("- `1` → `0.0`", "- `return 1` → `2`, `1` → `3`", "- `return 1`", "two changes of this line overlap"),
        ("- `1` → `0.0`", "- after `1`: `2`", "- after `1`", "'1' does not stand there"),
        ("- reference: `1`", "- other: `1`", "- other", 'there is no answer "other" to edit; there are: reference'),
        ("Nothing happens.", "### Nothing", "### Nothing", "only sentences, edits and fences stand under"),
        ("python base", "python bass", "```python bass", '"python bass" is none of these fences: python base,'),
        ("python base", "python", "```python\n", '"python" is none of these fences'),
        ("python base", "python base=1", "```python base=1", "is none of these fences"),
        ("python base", "diff base", "```diff base", "only a mistake is written as an edit; write the base as a whole"),
        ("diff mistake of", 'diff mistake="a" of', '```diff mistake="a"', "an attribute that means nothing here"),
        ("python judge", 'python judge of="where"', "```python judge", "an attribute that means nothing here"),
        ("python judge", "python base", "judges = {}", "a second base; an exercise has one"),
        (
            "python alternative\n",
            'python alternative="where"\n',
            "def relu(x):\n    return torch.max",
            "something else",
        ),
        ("python alternative\n", 'python alternative="reference"\n', "def relu(x):\n    return torch.max", "else, too"),
        (
            'of="where"',
            'of="were"',
            "-    return torch.where",
            'there is no answer "were" to edit; there are: reference, where',
        ),
        ("-    return 1\n", "-    return 2\n", "-    return 2", "there is no line '    return 2'"),
        ("+    return 0", "+    return (", "-    return 1", "the edit makes no Python: '(' was never closed"),
        ("    return min(0, x)", "    return min(", "    return min(", "not Python"),
        ("judges = {}", "judges = {", "judges = {", "not Python"),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, at: str, message: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    if not message:  # a missing sentence is the matter of the lint
        assert answers(tmp_path, text)["step"].mistakes[0].sentence == ""
        return
    with pytest.raises(LessonError) as caught:
        answers(tmp_path, text)
    assert message in caught.value.message
    assert (caught.value.path.name, caught.value.line) == ("answers.md", line_of(text, at))

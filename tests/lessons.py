"""A tiny lesson in which everything is as it should be, to spoil one thing at a time; and those of the course."""

from functools import cache
from pathlib import Path

from trainloop.authoring.lesson import Lesson, read
from trainloop.course import Course

SLUG = "9.9-tiny"
FILLER = "Some plain words stand here, one after another, to make the text as long as lessons are. " * 92

TEXT = f"""\
---
jupyter:
  jupytext:
    split_at_heading: true
---

# 9.9 A Tiny Lesson

> **About half an hour; 15 minutes if the mathematics is familiar.** You need nothing.

## Introduction

{FILLER}

## ELI5

A child would see it.

## Mathematical foundations

The larger of the two.

## In-depth explanation

None is needed.

## Demonstrations

```python
import torch

from trainloop import check
```

A list of 3 numbers.

```python
torch.arange(3.0)
```

```python proof
assert {{"A list of 3 numbers": len(torch.arange(3.0)) == 3}}["A list of 3 numbers"]
```

## Exercises

### Exercise 1: ReLU

Difficulty 1 of 5, importance 5 of 5, about 5 minutes.

Write it.

```python exercise="relu"
def relu(x: torch.Tensor) -> torch.Tensor:
    \"\"\"Elementwise max(0, x).\"\"\"
    ### BEGIN SOLUTION
    return torch.where(x > 0, x, torch.zeros_like(x))
    ### END SOLUTION
```

```python check="relu" points=2
check("relu", {{
    "keeps what is positive": lambda: relu(torch.tensor([0.5, 3.0])),
    "negative entries become zero": lambda: relu(torch.tensor([-2.0, 0.5])),
}}, worth={{"keeps what is positive": 1.0, "negative entries become zero": 1.0}})
### BEGIN HIDDEN TESTS
check("relu", {{
    "keeps what is positive": lambda: relu(torch.tensor([[1.25], [2.5]])),
    "negative entries become zero": lambda: relu(torch.tensor([[-1.5], [2.5]])),
}})
### END HIDDEN TESTS
```

```python hints="relu"
hints = {{
    "I do not know how to begin": "Which numbers may stay as they are?",
    "Negative entries are still there": "Choose, entry by entry, with `torch.where`.",
    "I get an error about a truth value": "A comparison of a tensor is a tensor, too: `x > 0` has one answer an entry.",
}}
```

## Summary

It is done.

## Key takeaways

- Bend.
"""

ANSWERS = """\
# 9.9 A Tiny Lesson: answers

## relu

That is the absolute value.
```python mistake
def relu(x):
    return x.abs()
```

Nothing is done to the input.
```python mistake
def relu(x):
    return x
```

That is the slope, not the value.
```diff mistake of="product"
-    return x * (x > 0)
+    return (x > 0).float()
```

The wrong half is kept.
```python mistake
def relu(x):
    return x.clamp(max=0)
```

With clamp.
```python alternative
def relu(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(min=0)
```

Half of the sum.
```python alternative
def relu(x: torch.Tensor) -> torch.Tensor:
    return (x + x.abs()) / 2
```

As a product.
```python alternative="product"
def relu(x: torch.Tensor) -> torch.Tensor:
    return x * (x > 0)
```
"""


def spoiled(old: str, new: str) -> str:
    """The article with the first `old` replaced."""
    assert old in TEXT, old
    return TEXT.replace(old, new, 1)


def lesson(folder: Path, text: str = TEXT, answers: str = ANSWERS) -> Lesson:
    """Article and answers as a lesson read from a folder of its own in `folder`."""
    path = folder / SLUG / "lesson.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.with_name("answers.md").write_text(answers, encoding="utf-8")
    return read(path)


@cache
def written() -> dict[str, Lesson]:
    """The lessons of the course by slug, each read once in a process."""
    course = Course(Path(__file__).resolve().parents[1])
    return {slug: read(course.text(slug)) for slug in course.slugs()}


def spoiled_lesson(folder: Path, old: str, new: str) -> Lesson:
    """The lesson with the first `old` replaced, in whichever of its files that is."""
    if old in TEXT:
        return lesson(folder, spoiled(old, new))
    assert old in ANSWERS, old
    return lesson(folder, TEXT, ANSWERS.replace(old, new, 1))


def place_of(folder: Path, fragment: str) -> tuple[str, int]:
    """The file, of the lesson in `folder`, that holds `fragment`, and the line where that begins."""
    for name in ("lesson.md", "answers.md"):
        text = (folder / SLUG / name).read_text(encoding="utf-8")
        if fragment in text:
            return name, text[: text.index(fragment)].count("\n") + 1
    raise AssertionError(fragment)


def line_of(text: str, fragment: str) -> int:
    """The number of the first line that holds `fragment`."""
    return next(number for number, line in enumerate(text.splitlines(), start=1) if fragment in line)

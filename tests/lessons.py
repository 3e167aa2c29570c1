"""A tiny lesson in which everything is as it should be, to spoil one thing at a time."""

from pathlib import Path

from trainloop.lesson import Lesson, read

SLUG = "9.9-tiny"
FILLER = "Some plain words stand here, one after another, to make the text as long as lessons are. " * 56

TEXT = f"""\
---
jupyter:
  jupytext:
    split_at_heading: true
---

# 9.9 A Tiny Lesson

> **About 15 minutes**: reading and one exercise.

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

Difficulty 1 of 5, importance 5 of 5, about 7 minutes.

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
    ### BEGIN HIDDEN TESTS
    "any number of rows": lambda: relu(torch.tensor([[-1.5], [2.5]])),
    ### END HIDDEN TESTS
}})
```

```python hints="relu"
hints = {{
    "I do not know how to begin": "Which numbers may stay as they are?",
    "Negative entries are still there": "Choose, entry by entry, with `torch.where`.",
    "I get an error about a truth value": "A comparison of a tensor is a tensor, too: `x > 0` has one answer an entry.",
}}
```

```python mistake="relu"
\"\"\"That is the absolute value.\"\"\"
def relu(x):
    return x.abs()
```

```python mistake="relu"
\"\"\"Nothing is done to the input.\"\"\"
def relu(x):
    return x
```

```python mistake="relu"
\"\"\"That is the slope, not the value.\"\"\"
def relu(x):
    return (x > 0).float()
```

```python mistake="relu"
\"\"\"The wrong half is kept.\"\"\"
def relu(x):
    return x.clamp(max=0)
```

```python alternative="relu"
\"\"\"With clamp.\"\"\"
def relu(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(min=0)
```

```python alternative="relu"
\"\"\"Half of the sum.\"\"\"
def relu(x: torch.Tensor) -> torch.Tensor:
    return (x + x.abs()) / 2
```

```python alternative="relu"
\"\"\"As a product.\"\"\"
def relu(x: torch.Tensor) -> torch.Tensor:
    return x * (x > 0)
```

## Summary

It is done.

## Key takeaways

- Bend.
"""


def spoiled(old: str, new: str) -> str:
    """The text with the first `old` replaced."""
    assert old in TEXT, old
    return TEXT.replace(old, new, 1)


def lesson(folder: Path, text: str = TEXT) -> Lesson:
    """The text as a lesson read from a file in `folder`."""
    path = folder / f"{SLUG}.md"
    path.write_text(text, encoding="utf-8")
    return read(path)


def line_of(text: str, fragment: str) -> int:
    """The number of the first line that holds `fragment`."""
    return next(number for number, line in enumerate(text.splitlines(), start=1) if fragment in line)

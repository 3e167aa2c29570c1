"""Where the attacks take place: a small course with one lesson, and all that is needed to hand in and grade.

The lesson has three exercises. Attacks aim at `scale`, whose answer they leave wrong, so that a forged mark would show;
`describe` and `predict` stand for the right parts of the same submission, which keep what they deserve.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.conftest import ROOT
from tests.sample_class import dump, reference
from trainloop.authoring.build import build, write
from trainloop.authoring.lesson import read
from trainloop.classroom.demo import set_up
from trainloop.course import CONFIG_NAME, Course
from trainloop.grading.grade import LessonBundle
from trainloop.sandbox.box import Box

Doc: TypeAlias = dict[str, Any]

SLUG = "9.8-attacked"
FULL: Mapping[str, float] = {"scale": 4.0, "describe": 2.0, "predict": 2.0}
# What only the hidden checks hold, and what the reference makes of it: none of it may reach a student.
SECRETS = ("64.1875", "129.375", "37.4375", "75.875", "drawer", "-45.3125", "HIDDEN TESTS")
WRONG = 'def scale(x):\n    """Twice x, plus one."""\n    return x - 1000.0\n'

TEXT = '''\
# 9.8 Attacked

```python
import torch

from trainloop import check
```

A cell that nothing needs.

```python
torch.arange(3.0)
```

### Exercise 1: Scale

```python exercise="scale"
def scale(x: torch.Tensor) -> torch.Tensor:
    """Twice x, plus one, entry by entry."""
    ### BEGIN SOLUTION
    return 2 * x + 1
    ### END SOLUTION
```

```python check="scale" points=4
check("scale", {
    "a vector": lambda: scale(torch.tensor([0.5, 3.0])),
    "a matrix": lambda: scale(torch.tensor([[1.0, -2.0]])),
    ### BEGIN HIDDEN TESTS
    "an unknown number": lambda: scale(torch.tensor([64.1875])),
    "an unknown array": lambda: scale(given("drawer")),
    ### END HIDDEN TESTS
})
```

### Exercise 2: Describe

```python exercise="describe"
def describe(x: torch.Tensor) -> dict[str, object]:
    """How many entries, their mean, and what kind they are of."""
    ### BEGIN SOLUTION
    return {"count": x.numel(), "mean": float(x.mean()), "kind": str(x.dtype)}
    ### END SOLUTION
```

```python check="describe" points=2
check("describe", {
    "three entries": lambda: describe(torch.tensor([1.0, 2.0, 6.0])),
    ### BEGIN HIDDEN TESTS
    "an unknown entry": lambda: describe(torch.tensor([-45.3125])),
    ### END HIDDEN TESTS
})
```

### Exercise 3: Predict

```python exercise="predict"
def predict(x: torch.Tensor) -> torch.Tensor:
    """Class 1 where x is positive, else class 0."""
    ### BEGIN SOLUTION
    return (x > 0).long()
    ### END SOLUTION
```

```python check="predict" points=2
check("predict", {
    "two points": lambda: predict(torch.tensor([-1.0, 2.0])),
    ### BEGIN HIDDEN TESTS
    "unknown points": lambda: predict(torch.sin(torch.arange(40.0))),
    ### END HIDDEN TESTS
})
```
'''

ANSWERS = """\
# 9.8 Attacked: answers

## scale

```python judge
import torch

given = {"drawer": torch.tensor([37.4375, -5.25])}
```

## predict

```python judge
import torch

judges = {"unknown points": accuracy((torch.sin(torch.arange(40.0)) > 0).long(), at_least=0.9)}
```
"""


@dataclass(frozen=True)
class Arena:
    """The course, what its lesson is graded with, and the right answers."""

    course: Course
    material: LessonBundle
    right: Mapping[str, str]

    @staticmethod
    def build(folder: Path, box: Box) -> Arena:
        """Write the lesson into `folder` and build it there."""
        course = Course(folder)
        course.text(SLUG).parent.mkdir(parents=True)
        shutil.copy(ROOT / CONFIG_NAME, folder)
        course.text(SLUG).write_text(TEXT, encoding="utf-8")
        course.text(SLUG).with_name("answers.md").write_text(ANSWERS, encoding="utf-8")
        lesson = read(course.text(SLUG))
        write(build(lesson, box), folder)
        return Arena(course, LessonBundle.of(course, SLUG), reference(lesson.exercises))

    def with_gradebook(self, folder: Path) -> Arena:
        """The same course in a new folder, released there by nbgrader."""
        course = set_up(self.course, SLUG, folder)
        return Arena(course, LessonBundle.of(course, SLUG), self.right)

    def folder(self, student: str) -> Path:
        """Where a student hands in; made, empty."""
        folder = self.course.root / "submitted" / student / SLUG
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def document(self, **answers: str) -> Doc:
        """A submission as plain JSON: everything right, apart from `answers`."""
        doc: Doc = json.loads(dump(self.notebook(**answers)))
        return doc

    def notebook(self, *added: str, **answers: str) -> NotebookNode:
        """A submission: everything right, apart from `answers`, and `added` cells before the first check.

        There they bite: a check looks at the notebook as it is where the check stands, and at nothing that comes later.
        """
        notebook = copy.deepcopy(self.material.released)
        for cell in notebook.cells:
            cell.source = {**self.right, **answers}.get(cell.id, cell.source)
        first = next(place for place, cell in enumerate(notebook.cells) if cell.id == "check-scale")
        notebook.cells[first:first] = [new_code_cell(text) for text in added]
        return notebook

    def honest(self, folder: Path) -> None:
        """Hand in everything right."""
        put(folder, dump(self.notebook()))


HandIn: TypeAlias = Callable[[Arena, Path], object]


def by_code(code: str, **answers: str) -> HandIn:
    """`code` in a cell before the first check; `scale` is wrong unless it is among the `answers`."""
    return lambda arena, folder: put(folder, dump(arena.notebook(code, **{"scale": WRONG, **answers})))


def by_answer(scale: str = WRONG, **answers: str) -> HandIn:
    """These answers in their cells, the others right."""
    return lambda arena, folder: put(folder, dump(arena.notebook(scale=scale, **answers)))


def by_change(change: Callable[[Doc], object], **answers: str) -> HandIn:
    """The notebook's JSON with everything right apart from `answers`, and then changed in place."""

    def hand_in(arena: Arena, folder: Path) -> None:
        doc = arena.document(**answers)
        change(doc)
        put(folder, json.dumps(doc).encode())

    return hand_in


def by_bytes(change: Callable[[bytes], bytes]) -> HandIn:
    """The bytes of a right notebook, changed."""
    return lambda arena, folder: put(folder, change(dump(arena.notebook())))


def put(folder: Path, data: bytes, name: str = f"{SLUG}.ipynb") -> Path:
    """Write a file of a submission."""
    (folder / name).write_bytes(data)
    return folder / name


def cell(doc: Doc, name: str) -> Doc:
    """A cell of a notebook in plain JSON."""
    return next(one for one in doc["cells"] if one.get("id") == name)

"""Names and state as they were: what a student does before and after a check is no matter to it, as in the notebook.

Each case is a notebook with right answers and something of the student's own. From top to bottom it passes in Jupyter,
so it gets all points, on the way of every submission.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import pytest
from nbformat.v4 import new_code_cell

from tests.conftest import ROOT, Grader
from tests.sample_class import dump
from trainloop.authoring.build import build, write
from trainloop.authoring.lesson import read
from trainloop.checks.verdict import ExerciseResult
from trainloop.course import CONFIG_NAME, Course
from trainloop.grading.grade import Graded
from trainloop.sandbox.box import Box
from trainloop.sandbox.job import Limits

SLUG = "9.7-named"
LIMITS = Limits(cell_seconds=4.0)
TEXT = '''\
# 9.7 Named

```python
import torch
from torch import nn

from trainloop import check
```

```python
X = torch.arange(6.0).reshape(3, 2)
```

```python exercise="relu"
def relu(x: torch.Tensor) -> torch.Tensor:
    """Elementwise max(0, x)."""
    ### BEGIN SOLUTION
    return torch.where(x > 0, x, torch.zeros_like(x))
    ### END SOLUTION
```

```python check="relu" points=3
def many(n: int) -> list[torch.Tensor]:
    return list(relu(torch.arange(k + 1.0) - 1) for k in range(n))


check("relu", {
    "a vector": lambda: relu(torch.tensor([-2.0, 0.5])),
    "how much in all": lambda: float(sum(max(part) for part in many(4))),
    ### BEGIN HIDDEN TESTS
    "a matrix": lambda: relu(torch.tensor([[-1.5, 3.0], [2.5, -4.0]])),
    ### END HIDDEN TESTS
})
```

```python exercise="train"
def train(model: nn.Module, steps: int) -> torch.Tensor:
    """The weight after some steps."""
    ### BEGIN SOLUTION
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(X).pow(2).mean().backward()
        optimizer.step()
    return model.weight.detach()
    ### END SOLUTION
```

```python check="train" points=3
def line() -> nn.Module:
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


check("train", {
    "one step": lambda: train(line(), 1),
    "two steps": lambda: train(line(), 2),
    ### BEGIN HIDDEN TESTS
    "three steps": lambda: train(line(), 3),
    ### END HIDDEN TESTS
})
```

```python exercise="quiz"
q1 = ...
### BEGIN SOLUTION
q1 = "A"
### END SOLUTION
```

```python check="quiz" points=2
check("quiz", {"question 1": lambda: q1})
```

```python options="quiz"
options = {"q1": {"A": "Right.", "B": "No, that is the other."}}
```

```python exercise="drill"
loop1 = ...
### BEGIN SOLUTION
loop1 = "B"
### END SOLUTION
```

```python check="drill" points=2
check("drill", {"loop 1": lambda: loop1})
```

```python options="drill"
options = {"loop1": {"A": "No, that is the other.", "B": "Right."}}
```
'''
THREADS = (
    "torch.set_num_threads(4)\n"
    "for _ in range(3):\n"
    "    (torch.randn(400, 400, requires_grad=True) @ torch.randn(400, 400)).sum().backward()"
)
WITH_SIGMA = "sigma = 1.0\ndef relu(x):\n    return sigma * x.clamp(min=0)"
RIGHT = "def relu(x):\n    return x.clamp(min=0)"
WRONG = "def relu(x):\n    return x - 1000"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grader]:
    """A grader of the lesson above, in a box with little patience."""
    folder = tmp_path_factory.mktemp("named")
    course = Course(folder)
    course.text(SLUG).parent.mkdir(parents=True)
    (folder / CONFIG_NAME).write_text((ROOT / CONFIG_NAME).read_text())
    course.text(SLUG).write_text(TEXT, encoding="utf-8")
    with Box(LIMITS) as box:
        write(build(read(course.text(SLUG)), box), folder)
        yield Grader(course, box)


def graded(
    grader: Grader,
    answers: Mapping[str, str] | None = None,
    below: Mapping[str, str] | None = None,
    slug: str = SLUG,
) -> Graded:
    """The reference's answers, or others, and cells of the student's own below those of these ids, or at the "end"."""
    notebook = copy.deepcopy(grader.material(slug).released)
    texts = {**grader.reference(slug), **(answers or {})}
    cells = []
    for cell in notebook.cells:
        cell.source = texts.get(cell.id, cell.source)
        cells += [cell, *(new_code_cell(text) for name, text in (below or {}).items() if name == cell.id)]
    notebook.cells = [*cells, *(new_code_cell(text) for name, text in (below or {}).items() if name == "end")]
    return grader.grade_bytes(slug, dump(notebook))


def exercise(found: Graded, name: str) -> ExerciseResult:
    return next(one for one in found.exercises if one.name == name)


def faults(found: Graded) -> list[str]:
    return [f"{one.title}: {one.sentence}" for part in found.exercises for one in part.checks if one.status != "ok"]


def assert_all_right(found: Graded) -> None:
    assert (found.status, found.points, faults(found)) == ("ok", found.possible, [])


# --------------------------------------------------------------------------------------------------- below, and above


@pytest.mark.parametrize(
    "below",
    [
        {"check-train": "train, test = X[:2], X[2:]"},
        {"end": "sum = 0\nfor k in range(5):\n    sum += k"},
        {"check-relu": "relu = nn.ReLU()\nrelu.weight = 3"},
        {"check-drill": "from torch import *"},
        {"check-relu": "many = line = None", "end": "del relu, train, X, torch, nn"},
        {"check-relu": "X.zero_()\nX = torch.arange(6.0).reshape(3, 2)", "end": "X.zero_()"},
        {"end": "torch.where = nn.Linear = None\ntorch.set_default_dtype(torch.float64)\ntorch.zeros_like = None"},
    ],
)
def test_what_is_done_below_a_check_is_no_matter(named: Grader, below: dict[str, str]) -> None:
    assert_all_right(graded(named, below=below))


@pytest.mark.parametrize("place", ["check-relu", "end"])
def test_a_global_that_an_answer_reads_may_be_something_else_below(named: Grader, place: str) -> None:
    assert_all_right(graded(named, {"relu": WITH_SIGMA}, {place: "sigma = 0"}))


@pytest.mark.parametrize(
    "line", ["sum = 0", "sum = max = float = list = range = len = 3", "from torch import *", "list = [1]\nrange = {}"]
)
def test_a_check_cell_sees_pythons_own_names(named: Grader, line: str) -> None:
    found = graded(named, {"relu": f"{line}\n{RIGHT}"})
    assert exercise(found, "relu").status == "ok", faults(found)


def test_an_answer_sees_the_names_that_its_author_gave(named: Grader) -> None:
    found = graded(named, {"relu": "max = 3\ndef relu(x):\n    return x.clamp(min=0) + 0 * max"})
    assert_all_right(found)
    found = graded(named, {"relu": "max = 3\ndef relu(x):\n    return max(x, 0)"})
    assert exercise(found, "relu").points == 0 and "'int' object is not callable" in str(faults(found))


def test_letters_of_one_quiz_set_again_in_another_quizs_cell(named: Grader) -> None:
    assert_all_right(graded(named, {"drill": 'q1 = "B"\nloop1 = "B"'}))


def test_who_asks_torch_for_more_threads_is_graded_with_one(named: Grader) -> None:
    below = {"check-relu": THREADS, "end": f"{THREADS}\nprint(torch.get_num_threads())"}
    found = graded(named, below=below)
    assert_all_right(found)
    assert "1\\n" in str(found.notebook.cells[-1].outputs)


def test_random_numbers_of_a_check_cell_are_the_same_each_time(named: Grader) -> None:
    draw = "import random\ndef relu(x):\n    return x.clamp(min=0) + 0 * random.random()\nseen = random.random()"
    one, two = (graded(named, {"relu": draw}, {"end": "print(seen, random.random())"}) for _ in range(2))
    assert str(one.notebook.cells[-1].outputs) == str(two.notebook.cells[-1].outputs)


# ------------------------------------------------------------------------------------------------ answered anew below


@pytest.mark.parametrize("place", ["check-relu", "check-drill", "end"])
@pytest.mark.parametrize("magic", ["", "%matplotlib inline\n"])
def test_an_answer_that_failed_and_is_defined_again_below_counts(named: Grader, place: str, magic: str) -> None:
    assert_all_right(graded(named, {"relu": WRONG}, {place: magic + RIGHT}))


def test_the_last_of_several_answers_below_counts(named: Grader) -> None:
    found = graded(named, {"relu": WRONG}, {"check-relu": RIGHT, "end": WRONG.replace("1000", "999")})
    assert exercise(found, "relu").points == 0


def test_the_better_of_both_counts(named: Grader) -> None:
    in_part = "def relu(x):\n    return x.clamp(min=0) if x.dim() == 2 else x - 1000"
    found = graded(named, {"relu": in_part}, {"end": WRONG})
    assert exercise(found, "relu").points == 1
    found = graded(named, {"relu": WRONG}, {"end": in_part})
    assert exercise(found, "relu").points == 1


def test_who_passed_in_plain_sight_has_no_second_try_at_what_is_hidden(named: Grader) -> None:
    found = graded(named, {"relu": "def relu(x):\n    return x.clamp(min=0) if x.dim() < 2 else x"}, {"end": RIGHT})
    assert exercise(found, "relu").points == 2


def test_only_the_exercises_own_name_defined_again_is_looked_at_again(named: Grader) -> None:
    calls = "def helper(x):\n    return x - 1000\ndef relu(x):\n    return helper(x)"
    found = graded(named, {"relu": calls}, {"end": "def helper(x):\n    return x.clamp(min=0)"})
    assert exercise(found, "relu").points == 0


# ------------------------------------------------------------------------------------------------ what goes wrong later


@pytest.mark.parametrize(
    "trouble", ["import os\nos._exit(3)", "while True: pass", "hoard = [bytes(10**9) for _ in range(9)]", "1 / 0"]
)
def test_what_was_observed_above_stays(named: Grader, trouble: str) -> None:
    assert_all_right(graded(named, below={"check-relu": trouble, "end": trouble}))


def test_a_loop_in_one_check_leaves_the_other_exercises_alone(named: Grader) -> None:
    found = graded(named, {"relu": "def relu(x):\n    while x.dim() == 1: pass\n    return x"})
    assert {one.name: one.status for one in found.exercises if one.status != "ok"} == {"relu": "timeout"}
    assert exercise(found, "relu").points == 0


@pytest.mark.parametrize(
    ("trap", "status"),
    [
        ("os._exit(1)", "crashed"),
        ("[0 for _ in iter(int, 1)]", "timeout"),
        ("os.kill(os.getpid(), 9)", "out of memory"),
    ],
)
def test_trouble_in_a_hidden_check_costs_that_check_only(named: Grader, trap: str, status: str) -> None:
    code = f"import os\ndef relu(x):\n    return x.clamp(min=0) if x.dim() < 2 else {trap}"
    found = graded(named, {"relu": code})
    assert {one.name: one.status for one in found.exercises if one.status != "ok"} == {"relu": status}
    assert [one.title for one in exercise(found, "relu").checks if one.status != "ok"] == ["a matrix"]


def test_without_forks_the_checks_in_plain_sight_stand_where_they_stand(named: Grader) -> None:
    """And the hidden ones see the names as they are at the end: a system other than Linux."""
    with Box(LIMITS, once=True) as box:
        grader = Grader(named.course, box)
        assert_all_right(graded(grader))
        found = graded(grader, {"relu": WITH_SIGMA}, {"end": "sigma = 0\nq1 = 3"})
    assert [one.split(":")[0] for one in faults(found)] == ["a matrix"]


# ------------------------------------------------------------------------------------------------------- a real lesson


@pytest.mark.parametrize(
    "below",
    [
        {"check-train": "train, test = X[:150], X[150:]"},
        {"check-activations": "relu = nn.ReLU()", "end": "sum = 0\nfor k in range(5):\n    sum += k"},
    ],
)
def test_reported_elsewhere(grader: Grader, below: dict[str, str]) -> None:
    slug = next(path.name for path in (ROOT / "notebooks").glob("2.1-*"))
    assert_all_right(graded(grader, below=below, slug=slug))

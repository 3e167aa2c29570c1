"""Which cells run: each notebook below is a list of cells, the first letter says what kind."""

import tracemalloc

import pytest

from trainloop.sandbox import needs
from trainloop.sandbox.job import Step
from trainloop.sandbox.needs import cells_to_run


def run(**cells: str) -> list[str]:
    """Names of the cells that run. `c...` are checks, `e...` exercises, `d...` demos."""
    steps = [Step(name, "check" if name[0] == "c" else "code", source) for name, source in cells.items()]
    return [step.id for step in cells_to_run(steps, {name for name in cells if name[0] == "e"})]


CHECK = 'check("relu", {"a": lambda: relu(x)})'


def test_what_nobody_needs_does_not_run() -> None:
    assert run(d1="x = 1", d2="y = 2", e="def relu(x): return x", c='check("relu", {"a": lambda: relu(3)})') == [
        "e",
        "c",
    ]


@pytest.mark.parametrize(
    "binding",
    [
        "x = 1",
        "x, y = 1, 2",
        "x: int = 1",
        "x += 1",
        "(x := 1)",
        "for x in range(3): pass",
        "with open('f') as x: pass",
        "def x(): pass",
        "class x: pass",
        "import x",
        "import numpy as x",
        "from numpy import ones as x",
        "if True:\n    x = 1",
        "[*x] = [1]",
        "def f():\n    global x\n    x = 1",
    ],
)
def test_a_demo_that_binds_a_needed_name_runs(binding: str) -> None:
    assert run(d1=binding, d2="other = 1", c=CHECK) == ["d1", "c"]


def test_needs_are_transitive_and_order_is_kept() -> None:
    assert run(d1="import torch", d2="a = torch.ones(2)", d3="b = 7", d4="x = a + 1", c=CHECK) == [
        "d1",
        "d2",
        "d4",
        "c",
    ]


def test_an_augmented_assignment_needs_its_target() -> None:
    assert run(d1="total = 0", d2="other = 0", e="total += 1") == ["d1", "e"]


def test_a_demo_after_the_check_runs_too_if_it_binds_what_is_needed() -> None:
    assert run(c=CHECK, d="x = 2") == ["c", "d"]


def test_local_names_are_no_needs() -> None:
    local = "def relu(z):\n    w = z\n    return [v for v in w]"
    assert run(d1="z = 1", d2="w = 1", d3="v = 1", e=local, c="relu") == ["e", "c"]


def test_globals_used_inside_functions_are_needs() -> None:
    assert run(d1="rate = 0.1", e="def relu(z):\n    return z * rate", c="relu") == ["d1", "e", "c"]


def test_a_name_that_a_running_cell_makes_for_itself_is_no_need() -> None:
    assert run(d1="t = 5", e="t = 1\nu = t + 1") == ["e"]


def test_a_later_demo_may_rebind_what_a_function_reads_when_it_is_called() -> None:
    assert run(e="rate = 1\ndef step(w): return w - rate", d="rate = 5") == ["e", "d"]


@pytest.mark.parametrize(
    "change", ["x.zero_()", "x[0] = 5", "train(x)", "y = train(x)", "x.attribute = 1", "f = lambda: x.add_(1)\nf()"]
)
def test_a_demo_that_may_change_a_needed_object_runs(change: str) -> None:
    assert run(d1="x = [1]", d2=change, c=CHECK) == ["d1", "d2", "c"]


def test_a_demo_that_changes_an_object_of_an_exercise_runs() -> None:
    assert run(e="x = [1]", d="x.append(2)", c=CHECK) == ["e", "d", "c"]


def test_another_name_for_a_needed_object_is_followed() -> None:
    assert run(d1="x = [[1]]", d2="part = x[0]", d3="part.append(1)", c=CHECK) == ["d1", "d2", "d3", "c"]


def test_using_a_needed_function_or_module_changes_nothing() -> None:
    cells = {"d1": "import torch", "d2": "y = torch.ones(2)", "e": "def relu(v): return v", "d3": "z = relu(3)"}
    assert run(**cells, c="relu(torch.ones(1))") == ["d1", "e", "c"]


@pytest.mark.parametrize(
    "look",
    [
        "print(x)",
        "print(len(x), x.mean())",
        "show(x, alt='five words are cells_to_run here')",
        "plt.plot(x, x)",
        "fig, ax = plt.subplots()\nax.plot(x, [1, 2])\nfig.savefig('a.png')",
        "fig, axes = plt.subplots(2)\nfor ax, title in zip(axes, 'ab'):\n    ax.plot(x)\n    ax.set_title(title)",
    ],
)
def test_printing_and_drawing_need_not_run(look: str) -> None:
    assert run(d0="import matplotlib.pyplot as plt", d1="x = [1]", d2=look, c=CHECK) == ["d1", "c"]


def test_a_call_inside_print_may_change_its_argument() -> None:
    assert run(d1="x = [1]", d2="print(train(x))", c=CHECK) == ["d1", "d2", "c"]


@pytest.mark.parametrize(
    "doubt",
    [
        "from math import *",
        "%timeit 1",
        "!ls",
        "exec('x = 1')",
        "globals()['x'] = 1",
        "setattr(object, 'x', 1)",
        "del something",
        "import torch\ntorch.set_default_dtype(torch.float64)",
        "import torch\ntorch.backends.flag = True",
        "from torch import set_default_dtype\nset_default_dtype(1)",
        "import torch\nif True:\n    torch.set_default_dtype(torch.float64)",
        "from pathlib import Path\nPath('a').write_text('b')",
        "def broken(:",
    ],
)
def test_what_is_in_doubt_runs(doubt: str) -> None:
    assert run(d1=doubt, d2="other = 1") == ["d1"]


def test_odd_sources_are_no_error() -> None:
    assert run(d1="", d2="# nothing", d3="x = '\0'", d4="return 5", d5="-" * 5_000 + "1", c="await y")[-1] == "c"


# ------------------------------------------------------------------------------------------- what is no reason to run


@pytest.mark.parametrize(
    "demo",
    [
        "explore(draw, alt='words', lr=(0.1, 1.0, 0.1, 0.2))",
        "animate(draw, range(9), alt='words')",
        "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    y = 1",
        "from torch import nn\nmodel = nn.Linear(1, 1)\nnn.init.zeros_(model.weight)",
        "from torch import nn\nmodel = nn.Linear(1, 1)\nnn.utils.vector_to_parameters(z, model.parameters())",
        "def f() -> float:\n    total = 0\n    total += 1\n    return total",
    ],
)
def test_what_changes_nothing_that_a_check_sees_does_not_run(demo: str) -> None:
    assert run(d1=demo, d2="total = z = 5", e="def relu(x): return x", c='check("relu", {"a": lambda: relu(3)})') == [
        "e",
        "c",
    ]


@pytest.mark.parametrize("call", ["torch.set_default_dtype(torch.float64)", "torch.use_deterministic_algorithms(True)"])
def test_what_changes_a_package_runs(call: str) -> None:
    assert run(d1=f"import torch\n{call}", c="check('a', {'b': lambda: 3})") == ["d1", "c"]


def test_a_call_that_fills_a_needed_object_runs() -> None:
    fills = "from torch import nn\nnn.init.zeros_(x)"
    assert run(d1="x = ones(2)", d2=fills, d3="y = 1", c=CHECK) == ["d1", "d2", "c"]


def test_what_a_check_cell_binds_itself_is_not_needed_from_elsewhere() -> None:
    cell = "x = 1\ndef known(): return x\n" + CHECK.replace("relu(x)", "relu(known() + x)")
    assert run(d1="x = 5", d2="def known(): return 7", c=cell) == ["c"]


def test_what_a_check_cell_reads_before_it_binds_it_is_needed() -> None:
    assert run(d1="x = 5", c="y = x\nx = 1\n" + CHECK) == ["d1", "c"]


def test_an_exercise_may_meet_another_cells_value_of_a_name_that_it_binds() -> None:
    assert run(e="x = 1\ndef f(): return x", d1="x = 5", c='check("f", {"a": lambda: f()})') == ["e", "d1", "c"]


def test_a_name_in_a_type_hint_is_needed_and_not_touched() -> None:
    hint = "def f(a: Kind) -> Kind: return a"
    other = "def g(a: Kind) -> Kind: return a"
    assert run(d1="Kind = list[int]", d2=other, e=hint, c='check("f", {"a": lambda: f([3])})') == ["d1", "e", "c"]


def test_an_augmented_global_of_a_function_is_needed() -> None:
    count = "def f():\n    global total\n    total += 1\n    return total"
    assert run(d1="total = 0", e=count, c='check("f", {"a": lambda: f()})') == ["d1", "e", "c"]


def test_an_augmented_local_of_a_function_is_not() -> None:
    count = "def f():\n    total = 0\n    total += 1\n    return total"
    assert run(d1="total = 0", e=count, c='check("f", {"a": lambda: f()})') == ["e", "c"]


def many(imported: int, cells: int) -> list[Step]:
    names = ", ".join(f"n{number}" for number in range(imported))
    return [
        Step("e", "code", f"def f():\n    import {names}"),
        *(Step(f"e{number}", "code", f"x{number} = {number}") for number in range(cells)),
        Step("d", "code", "y = 1"),
    ]


def test_what_a_submission_imports_is_not_kept_with_each_of_its_cells() -> None:
    """Twenty thousand names and 150 cells filled gigabytes."""
    steps = many(900, 150)
    needs._read_ours.cache_clear()
    needs._ours.cache_clear()
    always = {step.id for step in steps} - {"d"}
    assert [step.id for step in cells_to_run(steps, always)] == [step.id for step in steps if step.id != "d"]
    assert (needs._read_ours.cache_info().currsize, needs._ours.cache_info().currsize) == (1, 1), (
        "only the lesson's own"
    )
    tracemalloc.start()
    cells_to_run(steps, always)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_where_there_are_too_many_imports_to_look_at_everything_runs() -> None:
    steps = many(20_000, 150)
    assert cells_to_run(steps, {step.id for step in steps} - {"d"}) == steps

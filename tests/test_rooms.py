"""The arrows between the rooms of the package: each imports only from those to its left, wherever an import stands."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = "trainloop"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE
GROUND = frozenset({"course", "errors", "moved", "plots", "syllabus", "watch"})  # everyone stands on it
LEFT_OF: Mapping[str, frozenset[str]] = {
    "checks": frozenset(),
    "sandbox": frozenset({"checks"}),
    "learner": frozenset({"checks", "sandbox"}),
    "authoring": frozenset({"checks", "sandbox"}),
    "grading": frozenset({"checks", "sandbox", "learner", "authoring"}),
    "classroom": frozenset({"checks", "sandbox", "learner", "authoring", "grading"}),
    "site": frozenset({"checks", "sandbox", "learner", "authoring"}),
    "cli": frozenset({"checks", "sandbox", "learner", "authoring", "grading", "classroom", "site"}),
    # The front door: what lessons import, each from its room at first use.
    "": frozenset({"checks", "learner"}),
}


def sources() -> dict[str, str]:
    """The package's modules by their dotted names, a room's `__init__` by the room's."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imported(source: str, modules: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Line and name of each module of the package that a source imports: anywhere, also in functions, also by name."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: write the whole name of what you import"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else str(node.module) for name in within]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module":
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        yield from ((getattr(node, "lineno", 0), name) for name in names if name.split(".")[0] == PACKAGE)


def room(module: str) -> str:
    """The room that a module stands in, or its own name where it stands in none."""
    return [*module.split("."), ""][1]


def wrong_arrows(package: Mapping[str, str]) -> list[str]:
    """Each import that goes to the right, or from the ground into a room."""
    wrong = []
    for module, source in package.items():
        here = room(module)
        allowed = GROUND if here in GROUND else GROUND | LEFT_OF[here] | {here}
        for line, name in imported(source, frozenset(package)):
            if room(name) not in allowed:
                wrong.append(f"{module}, line {line}: {name}")
    return wrong


def test_each_room_imports_only_from_its_left() -> None:
    assert wrong_arrows(sources()) == []


def test_no_modules_use_each_other() -> None:
    package = sources()
    modules = frozenset(package)
    uses = {module: {name for _, name in imported(source, modules)} for module, source in package.items()}
    graphlib.TopologicalSorter(uses).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize(
    "source",
    [
        "from trainloop.classroom import report",
        "import trainloop.classroom.report",
        "def late():\n    from trainloop.classroom.report import table",
        "if TYPE_CHECKING:\n    from trainloop.classroom.report import table",
        'importlib.import_module("trainloop.classroom.report")',
    ],
)
def test_an_import_to_the_right_is_found_wherever_it_stands(source: str) -> None:
    package = {"trainloop.grading.grade": source, "trainloop.classroom.report": "", "trainloop.classroom": ""}
    assert [one.split(",")[0] for one in wrong_arrows(package)] == ["trainloop.grading.grade"]
    assert wrong_arrows({**package, "trainloop.grading.grade": "", "trainloop.cli": source}) == []


def test_the_ground_stands_on_no_room_and_nobody_enters_by_the_front_door() -> None:
    package = {"trainloop": "", "trainloop.checks.key": "", "trainloop.course": "from trainloop.checks import key"}
    assert wrong_arrows(package) == ["trainloop.course, line 1: trainloop.checks.key"]
    assert wrong_arrows({"trainloop": "", "trainloop.cli": "from trainloop import check"}) != []

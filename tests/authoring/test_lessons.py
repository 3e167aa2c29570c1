"""Every lesson as it is read and run: end to end without a network, within its time, described, typed, in step."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import nbformat
import pytest
from nbformat import NotebookNode

from tests.conftest import ROOT, common, first
from tests.lessons import written
from tests.samples import sampled
from trainloop.authoring.execute import allowed_seconds
from trainloop.authoring.lesson import Lesson
from trainloop.course import Course
from trainloop.sandbox.job import Step
from trainloop.sandbox.needs import cells_to_run

LESSONS = written()
KINDS = ("source", "release", "solutions")
# All that needs a lesson to have run comes together: otherwise two processes would ask for the same one, and one wait.
of_each_lesson = pytest.mark.parametrize("slug", LESSONS, scope="module")
SECONDS = 300  # for a lesson, on a busy machine
RELEASES = 7  # run as students get them; the lessons that are drawn change with each commit

# Cuts the network off, then runs each lesson that it is told, with where to put what came of it, as `trainloop run`
# does. Of the students' notebook, where it is to run too, whose demonstrations are the same and take nothing from an
# exercise (the lint sees to that), it runs what exercises and checks need.
OFFLINE = """
import json, socket, sys
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from trainloop.course import Course
from trainloop.authoring.execute import execute
from trainloop.authoring.lesson import read
from trainloop.sandbox.job import Step
from trainloop.sandbox.needs import cells_to_run

if {isolated}:  # in a namespace without any interface but the loopback, which is down
    import fcntl, struct
    with socket.socket() as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sh22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP

try:
    socket.create_connection(("192.0.2.1", 80), timeout=2)  # an address that is nobody's
    reached = True
except TimeoutError:
    reached = True
except OSError:
    reached = False


def run(course, slug, release_too):
    done = execute(read(course.text(slug)), course.key(slug))
    return {{
        "reached": reached,
        "faults": done.faults,
        "seconds": done.seconds,
        "slowest": done.slowest,
        "notebook": done.notebook,
        "released": run_released(course, slug) if release_too else course.read("release", slug),
    }}


def run_released(course, slug):
    released = course.read("release", slug)
    code = [cell for cell in released.cells if cell.cell_type == "code"]
    kinds = {{one.id: "check" if one.metadata.get("nbgrader", {{}}).get("grade") else "code" for one in code}}
    asks = {{one.id for one in code if one.metadata.get("nbgrader", {{}}).get("solution") or "predict(" in one.source}}
    running = cells_to_run([Step(cell.id, kinds[cell.id], cell.source) for cell in code], asks)
    released.cells = [cell for cell in code if cell.id in {{step.id for step in running}}]
    try:
        NotebookClient(released, timeout=120, kernel_name="python3").execute(cwd=str(course.root / "release" / slug))
    except CellExecutionError:
        pass
    return released


for order in sys.stdin:
    slug, release_too, result = json.loads(order)
    Path(result).write_text(json.dumps(run(Course.find(), slug, release_too)))
    print("done", flush=True)
"""

# For systems without network namespaces: Python itself refuses every address but those of this machine.
REFUSE = """
import socket

_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex

def _here(address):
    if isinstance(address, tuple) and not str(address[0]).startswith(("127.", "::1", "localhost")):
        raise OSError(101, "Network is unreachable")

def _refuse(method):
    def call(self, address):
        _here(address)
        return method(self, address)
    return call

socket.socket.connect, socket.socket.connect_ex = _refuse(_connect), _refuse(_connect_ex)
"""


@dataclass(frozen=True)
class Ran:
    """What came of a lesson that ran without a network."""

    reached: bool
    faults: list[str]
    seconds: float
    slowest: list[tuple[float, str]]
    notebook: NotebookNode
    released: NotebookNode  # it has run where the lesson is one of those drawn


def isolation() -> list[str]:
    """The words that run a command in a network namespace of its own; none where the system has no such thing."""
    command = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
        return command
    return []


class Offline:
    """A process without a network that runs lessons of a course, one after the other; a context manager."""

    def __init__(self, course: Course, folder: Path, results: Path, drawn: Sequence[str]) -> None:
        prefix = isolation()
        (folder / "sitecustomize.py").write_text("" if prefix else REFUSE)
        self._results, self._drawn, self._log = results, drawn, folder / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-c", OFFLINE.format(isolated=bool(prefix))],
                cwd=course.root,
                env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )

    def __enter__(self) -> Offline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, slug: str) -> Ran:
        """Run one lesson, within `SECONDS`; unless another process of the test run has done so."""
        result = self._results / f"{slug}.json"
        with first(self._results, slug) as is_first:
            if is_first:
                self._run(slug, result)
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        notebooks = {name: nbformat.from_dict(found[name]) for name in ("notebook", "released")}
        return Ran(**{**found, **notebooks})

    def _run(self, slug: str, result: Path) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: the log says why
            print(json.dumps([slug, slug in self._drawn, str(result)]), file=self._process.stdin, flush=True)
        assert select.select([self._process.stdout], [], [], SECONDS)[0], f"{slug} ran longer than {SECONDS} s"
        assert self._process.stdout.readline() == "done\n", self._log.read_text()


Runs: TypeAlias = Callable[[str], Ran]


def released(config: pytest.Config) -> list[str]:
    """The lessons whose releases are run."""
    return sampled(config, list(LESSONS), RELEASES, "releases")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What a release does is tested of those that are run."""
    if "drawn" in metafunc.fixturenames:
        metafunc.parametrize("drawn", released(metafunc.config))


@pytest.fixture(scope="session")
def ran(course: Course, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Runs]:
    """What came of a lesson, by slug. Each is run once, by whichever process of the test run comes first."""
    results, drawn = common(tmp_path_factory, "ran"), released(pytestconfig)
    with contextlib.ExitStack() as stack:
        offline = cache(
            lambda: stack.enter_context(Offline(course, tmp_path_factory.mktemp("offline"), results, drawn))
        )
        yield cache(lambda slug: offline().run(slug))


def stopped_at(notebook: NotebookNode) -> list[str]:
    """The ids of the cells that ended in an error."""
    outputs = ((cell.id, output) for cell in notebook.cells for output in cell.get("outputs", []))
    return [name for name, output in outputs if output["output_type"] == "error"]


# ----------------------------------------------------------------------------------------------------------------- run


@of_each_lesson
def test_the_lesson_runs_without_a_network(ran: Runs, slug: str) -> None:
    assert not ran(slug).reached, "the network was not cut off"
    assert ran(slug).faults == []
    assert stopped_at(ran(slug).notebook) == []
    code = [cell for cell in ran(slug).notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)


@of_each_lesson
def test_the_lesson_keeps_its_time(ran: Runs, slug: str) -> None:
    for_all, for_one = allowed_seconds(slug)
    assert 0 < ran(slug).seconds <= for_all
    assert 0 < ran(slug).slowest[0][0] <= for_one, ran(slug).slowest[0]


@pytest.mark.parametrize("slug", LESSONS)
def test_what_is_graded_starts_no_process(slug: str) -> None:
    kinds = {"demo": "code", "drawing": "code", "exercise": "code", "check": "check"}
    cells = {f"{cell.kind}-{cell.line}": cell for cell in LESSONS[slug].cells if cell.kind in kinds}
    steps = [Step(name, kinds[cell.kind], cell.source) for name, cell in cells.items()]
    graded = cells_to_run(steps, {name for name, cell in cells.items() if cell.kind == "exercise"})
    assert [step.id for step in graded if "subprocess" in step.source or "run_ranks" in step.source] == []


@of_each_lesson
def test_every_figure_is_described(ran: Runs, slug: str) -> None:
    outputs = [output for cell in ran(slug).notebook.cells for output in cell.get("outputs", [])]
    figures = [output for output in outputs if any(kind.startswith("image/") for kind in output.get("data", {}))]
    assert len(figures) >= LESSONS[slug].path.read_text(encoding="utf-8").count("\nshow(") > 0
    for figure in figures:
        assert len(figure["metadata"]["image/png"]["alt"].split()) >= 5


def test_the_students_notebook_stops_at_each_check_and_goes_on_behind_it(ran: Runs, drawn: str) -> None:
    exercises = LESSONS[drawn].exercises
    questions = [name for name, exercise in exercises.items() if exercise.is_question]
    stops = stopped_at(ran(drawn).released)
    assert [one for one in stops if one not in questions] == [f"check-{name}" for name in exercises]


# --------------------------------------------------------------------------------------------------------------- built


def unhinted(code: str) -> list[str]:
    """Functions that lack a type hint for an argument or for what they return."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            every = node.args
            arguments = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
            hints = [argument.annotation for argument in arguments if argument and argument.arg not in ("self", "cls")]
            if None in [*hints, node.returns]:
                found.append(node.name)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slug", LESSONS)
def test_every_function_has_type_hints(course: Course, slug: str, kind: str) -> None:
    code = [cell.source for cell in course.read(kind, slug).cells if cell.cell_type == "code"]
    assert any("def " in source for source in code)
    assert [name for source in code for name in unhinted(source)] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slug", LESSONS)
def test_there_is_no_html_in_the_text(course: Course, slug: str, kind: str) -> None:
    code = re.compile(r"^```.*?^```|`+[^`]*`+|\$\$.*?\$\$|\$[^$\n]+\$|<https?://[^>\s]+>", re.M | re.S)
    texts = [cell.source for cell in course.read(kind, slug).cells if cell.cell_type == "markdown"]
    assert texts
    assert [found for text in texts for found in re.findall(r"<[a-zA-Z/!?][^>]*>?", code.sub("", text))] == []


@pytest.mark.parametrize("slug", LESSONS)
def test_the_notebooks_of_a_lesson_correspond(course: Course, slug: str) -> None:
    """Cell by cell: the same ids, the same grading settings, and the same text where no answer and no check stands."""
    source, release, solutions = (course.read(kind, slug) for kind in KINDS)
    lesson: Lesson = LESSONS[slug]
    graded = {name for exercise in lesson.exercises for name in (exercise, f"check-{exercise}")}
    assert [cell.id for cell in source.cells] == [cell.id for cell in release.cells]
    assert {cell.metadata.nbgrader.grade_id for cell in release.cells if "nbgrader" in cell.metadata} == graded
    for ours, theirs in zip(source.cells, release.cells, strict=True):
        assert (ours.source == theirs.source) or ours.id in graded
        settings = [dict(cell.metadata.get("nbgrader", {})) for cell in (ours, theirs)]
        settings[1].pop("checksum", None)
        settings[1].pop("cell_type", None)
        assert settings[0] == settings[1]
    why = {f"why-{exercise}" for exercise in lesson.exercises}
    assert [cell.id for cell in solutions.cells if cell.id not in why] == [cell.id for cell in release.cells]
    assert why <= {cell.id for cell in solutions.cells}
    for notebook in (source, release, solutions):
        assert notebook.metadata.trainloop.lesson == slug
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


@pytest.mark.parametrize("slug", LESSONS)
def test_drawings_and_checks_alone_are_folded_each_under_a_line_in_sight(course: Course, slug: str) -> None:
    cells = course.read("release", slug).cells
    folded = {
        cell.id: (above.cell_type, above.source)
        for above, cell in itertools.pairwise(cells)
        if cell.metadata.get("jupyter", {}).get("source_hidden")
    }
    lesson = LESSONS[slug]
    checks = {f"check-{name}": f'`solution("{name}")`' for name in lesson.exercises}
    drawings = {cell.source: cell.exercise for cell in lesson.cells if cell.kind == "drawing"}
    told = {cell.id: drawings[cell.source] for cell in cells if cell.source in drawings} | checks
    assert len(told) == len(drawings) + len(checks)
    assert folded.keys() == told.keys()
    for name, (kind, line) in folded.items():
        assert kind == "markdown" and told[name] in line and "\n" not in line.strip(), name


# -------------------------------------------------------------------------------------------------------------- course


def demo_functions(lesson: Lesson) -> set[str]:
    """The functions and classes that a lesson's demonstrations define."""
    trees = [cell.tree(lesson.path) for cell in lesson.cells if cell.kind == "demo"]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_no_two_lessons_define_the_same_helper() -> None:
    """What two lessons need belongs into the package."""
    owners: dict[str, list[str]] = {}
    for slug, lesson in LESSONS.items():
        for name in demo_functions(lesson):
            owners.setdefault(name, []).append(slug)
    assert {name: slugs for name, slugs in owners.items() if len(slugs) > 1} == {}


@pytest.mark.parametrize("slug", LESSONS)
def test_no_two_exercises_of_a_lesson_ask_for_one_name(slug: str) -> None:
    """A check looks at what a name holds at last: asked for twice, it would hold the later answer in both."""
    names = [name for exercise in LESSONS[slug].exercises.values() for name in set(exercise.defines)]
    assert sorted(set(names)) == sorted(names)


def test_no_two_lessons_have_a_number_in_common() -> None:
    numbers = [slug.split("-")[0] for slug in LESSONS]
    assert sorted(set(numbers)) == sorted(numbers)


@pytest.mark.parametrize("slug", LESSONS)
def test_lessons_that_are_named_are_of_the_course(slug: str) -> None:
    """`lesson 2.4` is a lesson of the plan, and one that this lesson looks back on is written."""
    text = "\n".join(cell.source for cell in LESSONS[slug].prose)
    named = set(re.findall(r"\b[Ll]essons? (\d\.\d+)", text))
    plan = {f"{module}.{number}" for module, count in ((1, 6), (2, 7), (3, 9)) for number in range(1, count + 1)}
    written = {one.split("-")[0] for one in LESSONS}
    here = slug.split("-")[0]
    assert named <= plan
    assert {number for number in named if number < here} <= written


def test_the_readme_opens_each_lesson_as_students_get_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\d\.\d) .*\]\(release/(.*)/\2\.ipynb\) \| .+ \|$", readme, re.M) == [
        (slug.split("-")[0], slug) for slug in LESSONS
    ]
    assert "](notebooks/" not in readme, "there stand the solutions"


def test_links_lead_somewhere() -> None:
    """In the README and its neighbours, the guides and the lessons: every relative link is a file of the project."""
    pages = [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *(one.path for one in LESSONS.values()),
    ]
    broken = []
    for page in pages:
        text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path = target.split("#")[0]
            if path and not re.match(r"[a-z]+:", path) and not (page.parent / path).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []

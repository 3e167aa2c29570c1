"""The same lesson as an otter-grader assignment, and its `otter run` on each submission, side by side on all cores.

otter-grader has an environment of its own, whose command `--otter` names:

    uv venv otter && uv pip install --python otter otter-grader ipykernel torch matplotlib scikit-learn

Its tests make the observations of our checks, hidden ones included, and hold each to the reference's value. So the
marks agree, and the time is for the same work.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import Advance, BenchmarkError, Measured, Way
from tests.sample_class import Student
from trainloop.checks.key import KEY_VARIABLE, Key
from trainloop.course import Course

TEST = '''
from otter.test_files import test_case

OK_FORMAT = False
name = {name!r}
points = None
EXERCISE = {name!r}


def observe(env, title):
    """Make one observation of the check cell, as the lesson does, and compare it with the reference's."""
    from trainloop.checks import rules, values
    from trainloop.checks.key import Key
    from trainloop.checks.key import KEY_VARIABLE
    import os, torch
    from pathlib import Path
    key = Key.load(Path(os.environ[KEY_VARIABLE]))
    seen = {{}}
    given = lambda name: torch.from_numpy(values.array(key.given[name]).copy())
    exec({source!r}, {{**env, "check": lambda _, calls: seen.update(calls), "given": given}})
    check = next(one for one in key.exercises[EXERCISE].checks if one.title == title)
    observation = values.validate_observation(values.observe(seen[title]))
    assert rules.passes(check.rule, observation, check.expected)
'''
CASE = """

@test_case(points={points!r}, hidden={hidden!r})
def test_{number}(env):
    observe(env, {title!r})
"""


def autograder(course: Course, slug: str, path: Path) -> None:
    """Write otter's zip file with the tests of a lesson."""
    key = Key.load(course.key(slug))
    sources = {cell.id: cell.source for cell in course.read("source", slug).cells}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("otter_config.json", json.dumps({"show_stdout": False}))
        for exercise in key.exercises.values():
            text = TEST.format(name=exercise.name, source=sources[f"check-{exercise.name}"])
            for number, check in enumerate(exercise.checks):
                text += CASE.format(points=check.points, hidden=check.hidden, number=number, title=check.title)
            file.writestr(f"tests/{exercise.name}.py", text)


def measure(
    otter: Path, course: Course, slug: str, submissions: Sequence[Student], workers: int, advance: Advance
) -> Measured:
    """Run otter on each submission, `workers` at a time.

    Raises:
        BenchmarkError: otter failed on one.
    """
    with tempfile.TemporaryDirectory(prefix="trainloop-otter-") as folder:
        top = Path(folder)
        autograder(course, slug, top / "autograder.zip")
        # The lesson's own package comes from this course; everything else from otter's environment.
        paths = {"PYTHONPATH": str(course.root), "PATH": f"{otter.parent}{os.pathsep}{os.environ['PATH']}"}
        environment = {**os.environ, **paths, "OMP_NUM_THREADS": "1", KEY_VARIABLE: str(course.key(slug))}
        done = 0

        def one(student: Student) -> tuple[str, dict[str, float]]:
            nonlocal done
            scores = _run(otter, top, student, slug, environment)
            done += 1
            advance(done)
            return student.name, scores

        started = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            marks = dict(pool.map(one, submissions))
        seconds = time.perf_counter() - started
    return Measured(Way("otter run, on all cores", (str(otter), "run"), "", stock=True), seconds, marks)


def _run(otter: Path, top: Path, student: Student, slug: str, environment: Mapping[str, str]) -> dict[str, float]:
    folder = top / student.name
    student.hand_in(folder, slug)
    command = [str(otter), "run", "--no-logo", "-a", str(top / "autograder.zip"), "-o", str(folder), f"{slug}.ipynb"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    try:
        tests = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tests"]
    except (OSError, ValueError, KeyError):
        raise BenchmarkError(f"otter run failed: {(ended.stderr or ended.stdout)[-1_000:]}") from None
    return {f"check-{one['name'].partition(' ')[0]}": one.get("score", 0.0) for one in tests if "max_score" in one}

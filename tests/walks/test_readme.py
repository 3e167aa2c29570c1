"""An instructor with the README alone: its commands, word for word and in its order, reach a graded, exported class."""

from __future__ import annotations

import csv
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.documented import block
from tests.pages import SCRIPTS, SECONDS, environment
from tests.sample_class import filled, reference
from trainloop.authoring.lesson import read
from trainloop.checks.key import Key
from trainloop.course import Course


def test_the_readmes_commands_reach_a_graded_class(own_course: Course) -> None:
    root, slug = own_course.root, own_course.slug("2.1")
    answers, released = reference(read(own_course.text(slug)).exercises), own_course.read("release", slug)
    first = next(iter(answers))
    with zipfile.ZipFile(root / "submissions.zip", "w") as delivered:  # as Canvas names them
        delivered.writestr(f"ada_1_22_{slug}.ipynb", filled(released, answers))
        delivered.writestr(f"ben_2_23_{slug}.ipynb", filled(released, {first: answers[first]}))
    for program, *words in block("README.md", "Teach"):
        done = subprocess.run(
            [str(SCRIPTS / program), *(word.replace("$S", slug) for word in words)],
            cwd=root,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, (words, done.stdout + done.stderr)
    points = {name: one.points for name, one in Key.load(own_course.key(slug)).exercises.items()}
    with (root / "grades.csv").open(newline="", encoding="utf-8") as file:
        marks = {row["student_id"].split("-")[0]: float(row["score"]) for row in csv.DictReader(file)}
    assert marks == {"ada": pytest.approx(sum(points.values())), "ben": pytest.approx(points[first])}
    assert len([*root.glob(f"feedback/*/{slug}/{slug}.html")]) == 2
    with zipfile.ZipFile(root / "class.zip") as edition:
        names = {os.path.relpath(name, "class") for name in edition.namelist()}
    assert f"release/{slug}/{slug}.ipynb" in names and not any(Path(name).parts[0] == "source" for name in names)

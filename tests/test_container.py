"""The course's image: that its file is sound and lets nothing secret in, and, where an engine runs, that it works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from tests.conftest import ROOT
from trainloop.course import CourseError
from trainloop.learner import container
from trainloop.learner.lab import START, lessons

LINES = DockerfileParser(fileobj=(ROOT / "Dockerfile").open("rb")).structure
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
NAME = "trainloop-test"
MINUTES = 60


def said(instruction: str) -> list[str]:
    return [line["value"] for line in LINES if line["instruction"] == instruction]


def test_the_base_and_what_is_installed_are_pinned() -> None:
    (base,) = [one.removeprefix("BASE=") for one in said("ARG") if one.startswith("BASE=")]
    assert re.search(r":\d+\.\d+\.\d+-", base), "a version, and not whatever is newest"
    assert said("FROM") == ["${BASE}"] and not said("ADD")
    assert any(re.fullmatch(r"JUPYTERHUB=\d+\.\d+\.\d+", one) for one in said("ARG"))
    assert not any("pip install" in run and "==" not in run for run in said("RUN"))


def test_it_runs_as_somebody_who_may_not_change_the_course() -> None:
    places = [line["instruction"] for line in LINES]
    assert said("USER") == ["${NB_UID}"] and "NB_UID=1000" in said("ARG"), "a number: Kubernetes asks for one"
    assert "COPY" not in places[places.index("USER") :] and "RUN" not in places[places.index("USER") :]
    assert not any("chown" in line["content"] for line in LINES)


def test_nothing_goes_into_the_image_but_what_students_get() -> None:
    assert IGNORED[0] == "*"
    let_in = {line[1:] for line in IGNORED if line.startswith("!")}
    secret = {
        "notebooks",
        "source",
        "solutions",
        "tests",
        "submitted",
        "autograded",
        "feedback",
        "gradebook.db",
        "work",
    }
    assert not {name.split("/")[0] for name in let_in} & secret
    assert all((ROOT / name).exists() for name in let_in)
    assert "release/*/solutions.json" in IGNORED
    copied = [source for line in said("COPY") for source in line.split()[:-1] if source != "."]
    assert set(copied) <= let_in


def test_the_devcontainer_uses_the_same_file() -> None:
    path = ROOT / ".devcontainer" / "devcontainer.json"
    about = json.loads(path.read_text())
    assert (path.parent / about["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (path.parent / about["build"]["context"]).resolve() == ROOT
    assert f"NB_USER={about['remoteUser']}" in said("ARG")
    assert (
        set(about["containerEnv"]) == {container.WORK} and "trainloop.learner.container" in about["postCreateCommand"]
    )
    assert not (ROOT / "binder").exists() and not (ROOT / ".binder").exists(), "else Binder takes what lies there"


def test_jupyter_opens_the_learners_copy_on_the_start_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(container.COURSE, str(ROOT))
    monkeypatch.setenv(container.WORK, str(tmp_path / "work"))
    settings = container.settings()
    assert settings["ServerApp.root_dir"] == str(tmp_path / "work")
    assert settings["LabApp.default_url"] == f"/lab/tree/{START}"
    assert settings["StartPage.release"] == str(ROOT / "release") and settings["StartPage.fresh"] == []
    assert len(lessons(tmp_path / "work")) == len(lessons(ROOT / "release"))

    monkeypatch.setenv(container.COURSE, str(tmp_path))
    with pytest.raises(CourseError):
        container.settings()


def engine() -> str:
    """A container engine that runs; the test is skipped, with the reason, where there is none or it gets no base."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0:
            if subprocess.run([name, "pull", base()], capture_output=True, timeout=600).returncode:
                pytest.skip(f"{name} cannot get the base image {base()} here.")
            return name
    pytest.skip("No container engine runs here: neither docker nor podman.")


def base() -> str:
    named = next(one.removeprefix("BASE=") for one in said("ARG") if one.startswith("BASE="))
    return os.environ.get("TRAINLOOP_BASE", named)


def test_the_image_is_built_and_starts_where_an_engine_runs() -> None:
    name = engine()
    options = ["--build-arg", f"BASE={base()}", "--build-arg", f"PIP_FIND_LINKS={os.environ.get('PIP_FIND_LINKS', '')}"]
    subprocess.run([name, "build", *options, "-t", NAME, str(ROOT)], check=True, timeout=60 * MINUTES)
    try:
        inside = "id -u; python -m trainloop.learner.container; ls work | wc -l; jupyterhub-singleuser --version"
        done = subprocess.run(
            [name, "run", "--rm", NAME, "sh", "-c", inside], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[0] == "1000" and START in done.stdout
        secret = (
            "find /opt/course -name solutions.json -o -path '/opt/course/notebooks*' -o -path '/opt/course/solutions*'"
        )
        done = subprocess.run(
            [name, "run", "--rm", NAME, "sh", "-c", secret], capture_output=True, text=True, check=True
        )
        assert done.stdout == ""
    finally:
        subprocess.run([name, "rmi", "--force", NAME], capture_output=True)

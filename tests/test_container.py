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


def test_the_graders_image_is_as_sound() -> None:
    """The one of docs/cluster.md: pinned, made of files that are there and hold no solution, and nobody's root."""
    lines = DockerfileParser(fileobj=(ROOT / "docs" / "cluster" / "Dockerfile").open("rb")).structure
    each = {name: [one["value"] for one in lines if one["instruction"] == name] for name in ("FROM", "COPY", "USER")}
    assert [bool(re.search(r":\d+\.\d+\.\d+-", base)) for base in each["FROM"]] == [True]
    copied = [source for value in each["COPY"] for source in value.split()[:-1]]
    assert set(copied) == {"pyproject.toml", "README.md", "trainloop"} and all((ROOT / one).exists() for one in copied)
    assert each["USER"] and each["USER"][-1] not in ("root", "0")
    assert not any(re.search(r"\b(curl|wget)\b", one["content"]) for one in lines)


def test_it_runs_as_somebody_who_may_not_change_the_course() -> None:
    places = [line["instruction"] for line in LINES]
    assert said("USER") == ["${NB_UID}"] and "NB_UID=1000" in said("ARG"), "a number: Kubernetes asks for one"
    assert "COPY" not in places[places.index("USER") :] and "RUN" not in places[places.index("USER") :]
    assert not any("chown" in line["content"] for line in LINES)


def test_nothing_is_run_that_comes_straight_from_the_network() -> None:
    script = (ROOT / "tools" / "uv").read_text(encoding="utf-8")
    for text in [*said("RUN"), script]:
        assert not re.search(r"\b(curl|wget)\b|\|\s*(sudo\s+)?(ba|da|z)?sh\b|--trusted-host|--no-verify", text)
    assert not any(re.search(r"\b(sudo|chmod\s+(777|u\+s))\b", run) for run in said("RUN"))
    assert not any(re.search(r"(?i)token|password|secret", line["content"]) for line in LINES)


def test_what_it_starts_is_there_and_can_be_reached() -> None:
    environment = " ".join(said("ENV"))
    places = [Path(place) for place in re.findall(r"/opt/course/(trainloop[^\s:]*)", environment)]
    assert places and all((ROOT / place).exists() for place in places)
    (start,) = said("CMD")
    command = json.loads(start)  # a list: Jupyter itself is the first process, and is the one that is told to end
    assert command[:2] == ["jupyter", "lab"] and "--ip=0.0.0.0" in command and "--allow-root" not in command
    about = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert [str(port) for port in about["forwardPorts"]] == said("EXPOSE") == [*about["portsAttributes"]]
    interpreter = Path(about["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"])
    assert f"PATH={interpreter.parent}:$PATH" in environment


def test_binder_finds_the_user_that_it_asks_for() -> None:
    """It builds with these two arguments, which must have a default elsewhere, and starts as that user at home."""
    names = [one.partition("=")[0] for one in said("ARG")]
    assert {"NB_USER", "NB_UID"} <= set(names)
    assert any('useradd --uid "${NB_UID}" --create-home' in run and '"${NB_USER}"' in run for run in said("RUN"))
    assert said("WORKDIR")[-1] == "/home/${NB_USER}" and "HOME=/home/${NB_USER}" in " ".join(said("ENV"))
    assert not said("ENTRYPOINT"), "Binder and hubs start a command of their own"


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

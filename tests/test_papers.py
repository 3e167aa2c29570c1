"""The papers beside the code: how to cite the course, and what has changed."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from tests.conftest import ROOT
from trainloop.cli import app

REQUIRED = {"cff-version", "message", "title", "authors"}  # of CFF 1.2.0
KNOWN = {
    *REQUIRED,
    *("type", "abstract", "keywords", "version", "date-released", "license", "license-url", "repository"),
    *("repository-code", "repository-artifact", "url", "doi", "identifiers", "commit", "contact", "references"),
    "preferred-citation",
}
ENTITY = {"name", "alias", "email", "website", "orcid", "address", "city", "country"}
PERSON = {"family-names", "given-names", "alias", "affiliation", "email", "website", "orcid"}


def test_the_citation_is_valid() -> None:
    """What the schema of CFF 1.2.0 asks for, and no key that it does not know: a forge shows nothing of such a file."""
    cited: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited.keys() >= REQUIRED and cited.keys() <= KNOWN
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    texts = [cited["message"], cited["title"], cited["abstract"], *cited["keywords"]]
    assert all(isinstance(text, str) and text.strip() for text in texts)
    assert cited["authors"]
    for author in cited["authors"]:
        assert "name" in author or "family-names" in author
        assert author.keys() <= (ENTITY if "name" in author else PERSON)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert cited.get("version", version) == version


def test_there_is_no_licence_and_the_readme_says_so() -> None:
    """Whoever adds one has the sentence to change; whoever drops the sentence leaves instructors in the dark."""
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    said = "The author has not chosen a licence yet: until then, ask before you pass the course on." in readme
    files = [path.name for path in ROOT.iterdir() if path.name.lower().startswith(("licen", "copying"))]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {bool(files), "license" in cited, "license" in project} == {not said}


def test_the_changes_begin_with_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.M)
    assert text.startswith("# Changes\n") and headings[0] == "Not released yet"
    torn = re.findall(r"\.\n +[a-z].*", text)
    assert torn == [], "the rest of a sentence, left over where two changes met"
    paths = [path for path in re.findall(r"\]\(([^)#:]+)\)", text) if not (ROOT / path).exists()]
    assert paths == []


def test_a_command_that_the_changes_name_is_there() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    there = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    named = set(re.findall(r"`trainloop (\w+)", text))
    assert named and named <= there

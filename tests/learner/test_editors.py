"""Other editors' habits: a lesson that was saved by one of them still holds its answers, and intake finds each.

VS Code, PyCharm, Colab, jupytext and their like keep the text of the cells. What they do with ids, metadata, outputs,
the form of the text and the version of the format differs, and so does what nbformat makes of an older notebook.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import jupytext
import nbformat
import pytest
from nbformat import NotebookNode

from tests.conftest import ROOT
from tests.sample_class import filled, reference
from trainloop.authoring.lesson import read
from trainloop.course import Course
from trainloop.grading.intake import Intake, rebuild

Doc: TypeAlias = dict[str, Any]

COURSE = Course(ROOT)
SLUGS = COURSE.slugs()


def each_cell(change: Callable[[Doc], None]) -> Callable[[Doc], None]:
    """A habit that concerns each cell by itself."""

    def habit(doc: Doc) -> None:
        for cell in doc["cells"]:
            change(cell)

    return habit


def no_metadata(doc: Doc) -> None:
    doc["metadata"] = {}
    each_cell(lambda cell: cell.update(metadata={}))(doc)


def new_ids(doc: Doc) -> None:
    """As VS Code once did, and as copying all cells into a new notebook does."""
    each_cell(lambda cell: cell.update(id=uuid.UUID(int=random.Random(cell["id"]).getrandbits(128)).hex[:8]))(doc)


def no_ids(doc: Doc) -> None:
    """nbformat 4.4, as Colab and older tools write it."""
    doc["nbformat_minor"] = 4
    each_cell(lambda cell: cell.pop("id"))(doc)


def bare(doc: Doc) -> None:
    """Nothing left but the texts."""
    no_ids(doc)
    no_metadata(doc)


def strange(doc: Doc) -> None:
    """Ids are there, but not ours."""
    new_ids(doc)
    no_metadata(doc)


def backwards(doc: Doc) -> None:
    """Everything in another order, cells excepted."""

    def turned(value: object) -> object:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in sorted(value, reverse=True)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    doc.update({key: turned(doc.pop(key)) for key in sorted(doc)})


def as_text(cell: Doc) -> None:
    cell["source"] = "".join(cell["source"])


def as_lines(cell: Doc) -> None:
    cell["source"] = "".join(cell["source"]).splitlines(keepends=True)


def ends_in_a_line_feed(cell: Doc) -> None:
    cell["source"] = "".join(cell["source"]).rstrip() + "\n"


def windows_lines(cell: Doc) -> None:
    cell["source"] = [line.replace("\n", "\r\n") for line in "".join(cell["source"]).splitlines(keepends=True)]


def no_blank_ends(cell: Doc) -> None:
    """ "Trim trailing whitespace", as a formatter on save does."""
    cell["source"] = "\n".join(line.rstrip() for line in "".join(cell["source"]).split("\n"))


def vscode_outputs(cell: Doc) -> None:
    cell["metadata"] |= {"vscode": {"languageId": "python"}, "collapsed": True}
    if cell["cell_type"] == "code":
        name, data = "application/vnd.code.notebook.stdout", {"text/plain": ["ok\n"]}
        shown = {"output_type": "display_data", "data": data, "metadata": {"vscode": {"outputMimeType": name}}}
        cell |= {"execution_count": 3, "outputs": [{"output_type": "stream", "name": "stdout", "text": "ok\n"}, shown]}


HABITS: Mapping[str, Callable[[Doc], None]] = {
    "as it was": lambda doc: None,
    "all metadata dropped": no_metadata,
    "ids renewed": new_ids,
    "no ids": no_ids,
    "ids renewed, metadata dropped": strange,
    "neither ids nor metadata": bare,
    "in another order": backwards,
    "an older minor version": lambda doc: doc.update(nbformat_minor=2),
    "a newer minor version": lambda doc: doc.update(nbformat_minor=9),
    "text as one string": each_cell(as_text),
    "text as lines": each_cell(as_lines),
    "a line feed at the end": each_cell(ends_in_a_line_feed),
    "lines as on Windows": each_cell(windows_lines),
    "blanks at line ends trimmed": each_cell(no_blank_ends),
    "outputs as in VS Code": each_cell(vscode_outputs),
}


@pytest.fixture(scope="module", params=SLUGS)
def slug(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def answers(slug: str) -> dict[str, str]:
    return reference(read(COURSE.text(slug)).exercises)


def solved(slug: str, answers: Mapping[str, str]) -> Doc:
    doc: Doc = json.loads(filled(COURSE.read("release", slug), answers))
    return doc


def taken(slug: str, data: bytes) -> Intake:
    return rebuild(data, COURSE.read("source", slug), COURSE.read("release", slug))


def found(intake: Intake, names: Iterable[str]) -> dict[str, str]:
    return {cell.id: plain(cell.source) for cell in intake.notebook.cells if cell.id in names}


def plain(text: str) -> str:
    """A text without the blanks that end its lines, which editors take away or add."""
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip()


def assert_all_found(intake: Intake, answers: Mapping[str, str]) -> None:
    """Each answer in its place, the lesson's own cells in theirs, and nothing to complain of."""
    assert found(intake, answers) == {name: plain(text) for name, text in answers.items()}
    assert not [cell.source for cell in intake.notebook.cells if cell.id.startswith("added-")]
    assert (intake.missing, intake.status, intake.notes) == (frozenset(), "ok", ())


@pytest.mark.parametrize("habit", HABITS)
def test_each_answer_is_found_whatever_an_editor_did(slug: str, answers: Mapping[str, str], habit: str) -> None:
    doc = solved(slug, answers)
    HABITS[habit](doc)
    assert_all_found(taken(slug, json.dumps(doc, ensure_ascii=False).encode()), answers)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("indent", [None, 1, 4])
def test_the_layout_of_the_file_does_not_matter(
    slug: str, answers: Mapping[str, str], indent: int | None, ends: str
) -> None:
    text = json.dumps(solved(slug, answers), indent=indent) + ends
    assert_all_found(taken(slug, text.replace("\n", ends).encode()), answers)


def test_an_older_notebook_that_nbformat_lifted(slug: str, answers: Mapping[str, str]) -> None:
    """It gives each cell an id of its own."""
    doc = solved(slug, answers)
    no_ids(doc)
    lifted: NotebookNode = nbformat.reads(json.dumps(doc), as_version=4)
    assert_all_found(taken(slug, nbformat.writes(lifted).encode()), answers)


@pytest.mark.parametrize("form", ["py:percent", "md"])
def test_a_notebook_that_went_through_a_text_file(slug: str, answers: Mapping[str, str], form: str) -> None:
    """jupytext's pairing, and "Export to Python script" and back: ids are new, metadata are what the text can hold."""
    text = jupytext.writes(nbformat.from_dict(solved(slug, answers)), form)
    back = jupytext.reads(text, form)
    assert_all_found(taken(slug, nbformat.writes(back).encode()), answers)


def test_an_answer_that_cannot_be_found_is_named(slug: str, answers: Mapping[str, str]) -> None:
    """Without ids and metadata, its cell deleted: the others are found, and the note says which one is not."""
    lost, *others = answers
    doc = solved(slug, answers)
    doc["cells"] = [cell for cell in doc["cells"] if cell["id"] != lost]
    bare(doc)
    intake = taken(slug, json.dumps(doc).encode())
    assert intake.missing == {lost}
    assert any(f"The exercise cell {lost} was not found" in note for note in intake.notes)
    assert found(intake, others) == {name: plain(answers[name]) for name in others}

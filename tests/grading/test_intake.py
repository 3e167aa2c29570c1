"""Intake under attack: whatever is handed in ends as a valid notebook with our checks in it."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from trainloop.grading.intake import Intake, ingest, rebuild
from trainloop.grading.submitted_files import IntakeLimits

Doc: TypeAlias = dict[str, Any]

SLUG = "2.1-neurons"
SETUP = "import torch"
MOONS = "points = torch.rand(10, 2)\nprint(points)"
RELU_STUB = 'def relu(x):\n    """Elementwise max(0, x)."""\n    raise NotImplementedError'
RELU_SOLVED = 'def relu(x):\n    """Elementwise max(0, x)."""\n    return x.clamp(min=0)'
STEP_STUB = 'def step(w, grad):\n    """One step of descent."""\n    raise NotImplementedError'
STEP_SOLVED = 'def step(w, grad):\n    """One step of descent."""\n    return w - 0.1 * grad'
RELU_CHECK = 'check("relu", {\n    "keeps what is positive": lambda: relu(torch.tensor([0.5])),\n})'
RELU_HIDDEN = RELU_CHECK.replace("\n})", '\n    "hidden one": lambda: relu(torch.zeros(3)),\n})')
STEP_CHECK = 'check("step", {"moves": lambda: step(1.0, 1.0)})'
ANSWER = "def relu(x):\n    return torch.maximum(x, torch.zeros(()))"


def cases(*rows: object) -> list[Any]:
    """Parameters numbered from 0; made from bytes of this kind, pytest's own ids would be megabytes long."""
    return [pytest.param(*(row if isinstance(row, tuple) else (row,)), id=str(n)) for n, row in enumerate(rows)]


def graded(name: str, source: str, points: float | None = None) -> NotebookNode:
    settings: Doc = {"grade": points is not None, "solution": points is None, "locked": points is not None}
    settings |= {"grade_id": name, "schema_version": 3}
    made: NotebookNode = new_code_cell(
        source, id=name, metadata={"nbgrader": settings | ({} if points is None else {"points": points})}
    )
    return made


def lesson(relu: str, step: str, relu_check: str) -> NotebookNode:
    cells = [
        new_markdown_cell("# Neurons", id="neurons-1"),
        new_code_cell(SETUP, id="neurons-2"),
        new_code_cell(MOONS, id="the-moons-1"),
        graded("relu", relu),
        graded("check-relu", relu_check, points=2),
        new_markdown_cell("Now **descend**.", id="descent-1"),
        graded("step", step),
        graded("check-step", STEP_CHECK, points=3),
    ]
    made: NotebookNode = new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    return made


BASE = lesson(RELU_SOLVED, STEP_SOLVED, RELU_HIDDEN)
RELEASED = lesson(RELU_STUB, STEP_STUB, RELU_CHECK)
IDS = [cell.id for cell in BASE.cells]


def handed_in(**texts: str) -> Doc:
    """The released notebook as plain JSON, with `relu` answered, and other texts by id (`_` for `-`)."""
    doc: Doc = json.loads(nbformat.writes(RELEASED))
    for name, text in ({"relu": ANSWER} | texts).items():
        cell(doc, name.replace("_", "-"))["source"] = text
    return doc


def cell(doc: Doc, name: str) -> Doc:
    return next(each for each in doc["cells"] if each.get("id") == name)


def position(doc: Doc, name: str) -> int:
    return int(doc["cells"].index(cell(doc, name)))


def strip(doc: Doc) -> Doc:
    """Without ids and metadata, as some editors leave a notebook."""
    for each in doc["cells"]:
        each.pop("id", None)
        each["metadata"] = {}
    return doc


def taken(doc: object, limits: IntakeLimits | None = None) -> Intake:
    intake = rebuild(json.dumps(doc).encode(), BASE, RELEASED, limits)
    assert_sound(intake)
    return intake


def source(intake: Intake, name: str) -> str:
    return next(str(each.source) for each in intake.notebook.cells if each.id == name)


def assert_sound(intake: Intake) -> None:
    """What holds for every submission."""
    nbformat.validate(intake.notebook)
    nbformat.writes(intake.notebook).encode("utf-8")
    cells = intake.notebook.cells
    assert (intake.notebook.nbformat, intake.notebook.nbformat_minor) == (4, 5)
    assert intake.notebook.metadata == BASE.metadata
    assert [each.id for each in cells if each.id in IDS] == IDS
    for ours in BASE.cells:
        built = next(each for each in cells if each.id == ours.id)
        assert (built.cell_type, built.metadata) == (ours.cell_type, ours.metadata)
        if ours.id.startswith("check-") or ours.cell_type == "markdown":
            assert built == ours
    for each in cells:
        assert each.id in IDS or (each.metadata == {} and each.id in intake.own)
        assert "clamp" not in each.source and "w - 0.1" not in each.source, "a solution got out"
        assert each.cell_type != "code" or (each.outputs == [] and each.execution_count is None)
    assert {"relu", "step"} <= intake.own <= {each.id for each in cells if each.cell_type == "code"}
    assert not intake.own & {"check-relu", "check-step"}
    assert (intake.status == "tampered") == bool(intake.tampered)
    if intake.status == "missing":
        assert intake.notes and intake.missing == {"relu", "step"} and intake.own == intake.missing


def test_an_honest_submission_keeps_its_answers_and_nothing_else() -> None:
    doc = handed_in(the_moons_1="points = torch.zeros(3, 2)")
    doc["metadata"]["kernelspec"] = {"name": "evil", "display_name": "evil"}
    for each in doc["cells"]:
        each["metadata"]["tags"] = ["skip-execution"]
        if each["cell_type"] == "code":
            each["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "2 of 2"}]
            each["execution_count"] = 7
        else:
            each["attachments"] = {"a.svg": {"image/svg+xml": "<svg onload=alert(1)>"}}
    data = json.dumps(doc).encode()
    intake = rebuild(data, BASE, RELEASED)
    assert_sound(intake)
    assert (intake.status, intake.notes, intake.missing) == ("ok", (), frozenset())
    assert source(intake, "relu") == ANSWER
    assert source(intake, "step") == STEP_STUB
    assert source(intake, "the-moons-1") == "points = torch.zeros(3, 2)"
    assert intake.own == {"relu", "step", "the-moons-1"}
    assert intake.digest == hashlib.sha256(data).hexdigest()


def test_outputs_of_the_base_are_not_carried() -> None:
    base = copy.deepcopy(BASE)
    base.cells[2].update(execution_count=3, outputs=[new_output("stream", text="tensor(...)")])
    intake = rebuild(json.dumps(handed_in()).encode(), base, RELEASED)
    assert_sound(intake)


def test_nothing_is_changed_in_the_callers_notebooks() -> None:
    base, released = copy.deepcopy(BASE), copy.deepcopy(RELEASED)
    intake = rebuild(json.dumps(handed_in()).encode(), base, released)
    intake.notebook.cells[3].metadata["nbgrader"]["points"] = 99
    intake.notebook.metadata["kernelspec"]["name"] = "other"
    assert (base, released) == (BASE, RELEASED)


# --- bytes

GOOD = json.dumps(handed_in(relu=ANSWER + "  # größer als 0 ✓"), ensure_ascii=False)


@pytest.mark.parametrize(
    "data",
    cases(
        GOOD.encode(),
        GOOD.encode("utf-8-sig"),
        GOOD.encode("utf-16"),
        GOOD.encode("utf-16-le"),
        GOOD.encode("utf-16-be"),
        GOOD.encode("utf-32"),
        GOOD.encode() + b"\0" * 4096,
        b"\n \n" + GOOD.encode() + b"\r\n",
        GOOD.replace('"nbformat": 4', '"x": [NaN, -Infinity, 1e999, ' + "9" * 5000 + '], "nbformat": 4').encode(),
        GOOD.replace('"nbformat": 4', '"nbformat": 99').encode(),
        GOOD.replace('"nbformat": 4', '"nbformat": "four"').encode(),
        GOOD.replace('"nbformat": 4, ', "").encode(),
        json.dumps({"cells": handed_in(relu=ANSWER + "  # größer als 0 ✓")["cells"]}).encode(),
    ),
)
def test_odd_bytes_that_still_hold_a_notebook(data: bytes) -> None:
    intake = rebuild(data, BASE, RELEASED)
    assert_sound(intake)
    assert (intake.status, intake.notes) == ("ok", ())
    assert source(intake, "relu") == ANSWER + "  # größer als 0 ✓"


def test_another_encoding_is_read_with_a_note() -> None:
    intake = rebuild(GOOD.replace(" ✓", "").encode("latin-1"), BASE, RELEASED)
    assert_sound(intake)
    assert source(intake, "relu") == ANSWER + "  # gr\ufffd\ufffder als 0"
    assert "UTF-8" in intake.notes[0]


@pytest.mark.parametrize(
    ("data", "said"),
    cases(
        (b"", "empty"),
        (b"\0" * 500, "empty"),
        (b" \n\n", "empty"),
        (GOOD.encode()[:700], "ends in the middle"),
        (GOOD.encode()[:-1], "ends in the middle"),
        (GOOD[: GOOD.index("}") + 1].encode(), "ends in the middle"),
        (b"{}", "no cells"),
        (b'{"cells": []}', "no cells"),
        (b'{"cells": 3}', "no cells"),
        (b'{"cells": {"a": 1}}', "no cells"),
        (b'{"cells": [1, null, "x", []]}', "no cells"),
        (b'{"worksheets": [{"cells": 1}, 2]}', "no cells"),
        (b"[]", "no cells"),
        (b"null", "not a notebook"),
        (b"def relu(x): ...", "not a notebook"),
        (b"PK\3\4" + bytes(range(256)), "zip"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (GOOD.replace('"cells"', '\n<<<<<<< HEAD\n"cells"').encode(), "merge conflict"),
        (GOOD.replace('"cells":', '"cells"').encode(), "damaged in line 1"),
        (b"[" * 1_000_000, "too deeply"),
        (b'{"a":' * 1_000_000, "too deeply"),
        (b'{"cells": ' + b"[" * 1_000_000, "too deeply"),
        (bytes(random.Random(1).randbytes(5000)), ""),
    ),
)
def test_no_notebook_ends_as_missing_with_a_sentence(data: bytes, said: str) -> None:
    intake = rebuild(data, BASE, RELEASED)
    assert_sound(intake)
    assert intake.status == "missing"
    assert said in intake.notes[-1]
    assert source(intake, "relu") == RELU_STUB
    assert intake.digest == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("version", [2, 3])
def test_old_formats_with_worksheets(version: int) -> None:
    cells = [{"cell_type": "heading", "level": 1, "source": ["Neurons"]}]
    for each in handed_in()["cells"]:
        text = each["source"].splitlines(keepends=True) if isinstance(each["source"], str) else each["source"]
        cells.append({"cell_type": each["cell_type"], "metadata": each["metadata"]})
        cells[-1]["input" if each["cell_type"] == "code" else "source"] = text
    intake = taken({"nbformat": version, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]})
    assert (intake.status, intake.notes) == ("ok", ())
    assert source(intake, "relu") == ANSWER


@pytest.mark.parametrize(
    ("value", "text"),
    cases(
        (["def relu(x):\n", "    return x"], "def relu(x):\n    return x"),
        (["def relu(x):\n", 7, None, ["no"], "    return x"], "def relu(x):\n    return x"),
        ("def relu(x):\r\n    return x\r", "def relu(x):\n    return x\n"),
        ("x = '\ud800'", "x = '?'"),
        ("x = '\0'", "x = ''"),
        (None, ""),
        (3.5, ""),
        ({"a": "b"}, ""),
        ("def relu(x:", "def relu(x:"),
    ),
)
def test_any_form_of_source(value: object, text: str) -> None:
    doc = handed_in()
    cell(doc, "relu")["source"] = value
    intake = taken(doc)
    assert (intake.status, intake.missing) == ("ok", frozenset())
    assert source(intake, "relu") == text


@pytest.mark.parametrize("key", ["cell_type", "metadata", "id", "source", "outputs"])
@pytest.mark.parametrize("value", cases(None, 1, "", [], {}, [[]], {"nbgrader": []}, {"nbgrader": {"grade_id": []}}))
def test_broken_cells_are_read_as_far_as_they_go(key: str, value: object) -> None:
    doc = handed_in()
    cell(doc, "step")[key] = value
    intake = taken(doc)
    assert source(intake, "relu") == ANSWER


def test_entries_that_are_no_cells_are_left_out() -> None:
    doc = handed_in()
    doc["cells"][2:2] = [None, 3, "cell", []]
    intake = taken(doc)
    assert source(intake, "relu") == ANSWER
    assert "4 of its cells" in intake.notes[0]


def test_caps_on_file_cells_and_characters() -> None:
    doc = handed_in(relu=ANSWER + "\n#" + "x" * 500)
    doc["cells"] += [{"cell_type": "code", "source": f"a = {n}"} for n in range(50)]
    intake = taken(doc, IntakeLimits(cells=10, cell_chars=200))
    assert source(intake, "relu") == (ANSWER + "\n#" + "x" * 500)[:200]
    assert len(intake.notebook.cells) == 10
    assert "58 cells" in intake.notes[0] and "200 characters" in intake.notes[1]
    small = taken(doc, IntakeLimits(file_bytes=1000))
    assert small.status == "missing" and "shorten the cells" in small.notes[0]


MUCH = "A" * 21_000_000


def bulky(kind: str, much: str) -> Doc:
    doc = handed_in()
    match kind:
        case "outputs":
            cell(doc, "relu")["outputs"] = [
                {"output_type": "display_data", "data": {"text/html": much}, "metadata": {}}
            ]
        case "attachments":
            doc["cells"][0]["attachments"] = {"source.png": {"image/png": much}}
        case "widgets":
            state = {"version_major": 2, "state": {"m": {"state": {"value": much}}}}
            doc["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    return doc


BULKY = {
    "outputs": "Clear Outputs of All Cells",
    "attachments": "take the pictures out",
    "widgets": "Save Widget State",
}


@pytest.mark.parametrize("kind", BULKY)
def test_a_notebook_is_read_despite_its_bulk(kind: str) -> None:
    intake = taken(bulky(kind, MUCH))
    assert (intake.status, intake.notes) == ("ok", ())
    assert source(intake, "relu") == ANSWER


def test_a_notebook_just_below_nbgraders_limit_is_read(tmp_path: Path) -> None:
    data = json.dumps(bulky("outputs", "@")).encode().replace(b'"@"', b'"' + b"A" * 99_000_000 + b'"')
    assert 99_000_000 < len(data) < 100_000_000
    (tmp_path / f"{SLUG}.ipynb").write_bytes(data)
    intake = taken_from(tmp_path)
    assert (intake.status, intake.notes) == ("ok", ())
    assert source(intake, "relu") == ANSWER


@pytest.mark.parametrize("kind", BULKY)
def test_what_is_too_large_says_where_its_bytes_are_and_is_no_other_notebook(tmp_path: Path, kind: str) -> None:
    put(tmp_path, f"{SLUG}.ipynb", bulky(kind, "A" * 3_000_000))
    (note, end) = taken_from(tmp_path, IntakeLimits(file_bytes=2_000_000)).notes
    assert f'"{SLUG}.ipynb" is larger than 2 MB and was not read. Most of it (' in note and BULKY[kind] in note
    assert end == f"No notebook was found that can be read. Hand in {SLUG}.ipynb."


def test_the_files_of_a_folder_are_bounded_together(tmp_path: Path) -> None:
    put(tmp_path, f"{SLUG}.ipynb", OTHER)
    put(tmp_path, "first.ipynb", bulky("outputs", "A" * 30_000), age=1)
    put(tmp_path, "second.ipynb", handed_in(), age=9)
    intake = taken_from(tmp_path, IntakeLimits(folder_bytes=20_000))
    assert any('"first.ipynb" is larger than' in note for note in intake.notes)
    assert source(intake, "relu") == ANSWER


@pytest.mark.parametrize("part", ["[],", '{"a":0},', '"ab",', "0.123456,"])
def test_a_notebook_of_many_small_parts_takes_no_more_memory_than_others(part: str) -> None:
    data = json.dumps(handed_in()).encode()[:-1] + f', "more": [{part * 3_000_000} 0]}}'.encode()
    tracemalloc.start()
    try:
        intake = rebuild(data, BASE, RELEASED, IntakeLimits(parts_bytes=60_000_000))
        assert tracemalloc.get_traced_memory()[1] < 60_000_000 + 8 * len(data)
    finally:
        tracemalloc.stop()
    assert intake.status == "ok" or "too many parts" in intake.notes[0]


HERE = "{}.{}".format(*sys.version_info)


@pytest.mark.parametrize(("version", "told"), [("3.99.1", 1), ("3.98; rm", 1), (f"{HERE}.0", 0), ("2.7.1", 0), (5, 0)])
def test_a_note_where_another_python_ran_it(version: object, told: int) -> None:
    doc = handed_in()
    doc["metadata"]["language_info"] = {"name": "python", "version": version}
    notes = taken(doc).notes
    assert len(notes) == told
    assert all(f"and is graded with Python {HERE}." in note and "rm" not in note for note in notes)


def test_a_doubled_notebook_is_taken_as_one() -> None:
    doc = handed_in()
    doc["cells"].insert(3, own_cell("mine = 1") | {"id": "mine"})
    doc["cells"] += copy.deepcopy(doc["cells"])
    intake = taken(doc)
    assert [one.source for one in intake.notebook.cells if one.id.startswith("added-")] == ["mine = 1"]
    assert source(intake, "relu") == ANSWER and not intake.missing
    assert (intake.status, intake.notes) == ("ok", ()), "nobody has changed anything"


# --- exercise cells


def test_metadata_gone_matches_by_cell_id() -> None:
    doc = handed_in()
    cell(doc, "relu")["metadata"] = {}
    intake = taken(doc)
    assert (source(intake, "relu"), intake.status, len(intake.notebook.cells)) == (ANSWER, "ok", len(IDS))


def test_id_gone_matches_by_grade_id() -> None:
    doc = handed_in()
    cell(doc, "relu")["id"] = "4f2a"
    cell(doc, "check-relu")["id"] = "relu"
    intake = taken(doc)
    assert (source(intake, "relu"), intake.status) == (ANSWER, "ok")


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        "def relu(x: torch.Tensor) -> torch.Tensor: return x",
        "def relu(x)\n    return x  # a syntax error",
        RELU_STUB.replace("def relu", "def my_relu").replace("raise NotImplementedError", "return x"),
    ],
    ids=["same name", "one line", "syntax error", "renamed, same docstring"],
)
def test_ids_and_metadata_gone_matches_by_likeness(text: str) -> None:
    doc = handed_in(relu=text, step="def step(w, grad):\n    return w")
    intake = taken(strip(doc))
    assert (source(intake, "relu"), source(intake, "step")) == (text, "def step(w, grad):\n    return w")
    assert not intake.missing
    assert (intake.status, intake.notes) == ("ok", ())  # an editor did it, which left no cell its settings
    assert [each.id for each in intake.notebook.cells] == IDS


def test_likeness_prefers_the_answer_to_the_stub_below_it() -> None:
    doc = handed_in(relu=RELU_STUB)
    doc["cells"].insert(position(doc, "relu"), {"cell_type": "code", "source": ANSWER})
    intake = taken(strip(doc))
    assert source(intake, "relu") == ANSWER
    assert len(intake.notebook.cells) == len(IDS)


def test_names_that_other_cells_define_make_no_likeness() -> None:
    base, released = copy.deepcopy(BASE), copy.deepcopy(RELEASED)
    base.cells[2].source = released.cells[2].source = "relu = torch.relu"
    doc = {"cells": [own_cell("relu = torch.sigmoid"), own_cell("def step(w, grad):\n    return w")]}
    intake = rebuild(json.dumps(doc).encode(), base, released)
    assert intake.missing == {"relu"}
    assert source(intake, "step") == "def step(w, grad):\n    return w"


def test_a_stub_without_names_is_known_by_those_of_the_solution() -> None:
    released = copy.deepcopy(RELEASED)
    released.cells[IDS.index("relu")].source = "# Your code here"
    intake = rebuild(json.dumps(strip(handed_in())).encode(), BASE, released)
    assert source(intake, "relu") == ANSWER


def test_an_answer_that_is_like_nothing_is_known_by_its_place() -> None:
    doc = handed_in(step="q1, q2 = 'A', 'B'")
    at = position(doc, "step")
    doc["cells"].insert(at, own_cell("scratch = 1"))
    doc["cells"].insert(at + 2, own_cell(" \n"))
    intake = taken(strip(doc))
    assert (source(intake, "step"), source(intake, "added-1")) == ("q1, q2 = 'A', 'B'", "scratch = 1")
    assert (intake.status, intake.missing, len(intake.notebook.cells)) == ("ok", frozenset(), len(IDS) + 1)


def test_lines_that_every_stub_has_make_no_likeness() -> None:
    doc = handed_in()
    cell(doc, "step").update(id="x", metadata={}, source="raise NotImplementedError")
    doc["cells"].append(doc["cells"].pop(position(doc, "x")))  # away from its place, which would tell
    intake = taken(doc)
    assert intake.missing == {"step"}
    assert source(intake, "added-1") == "raise NotImplementedError"


@pytest.mark.parametrize(
    ("texts", "counts", "kept"),
    cases(
        (["one = 1", "two = 2"], "two = 2", ["one = 1"]),
        (["one = 1", RELU_STUB], "one = 1", []),
        ([RELU_STUB, "two = 2"], "two = 2", []),
        (["one = 1", "two = 2", " \n"], "two = 2", ["one = 1"]),
        ([RELU_STUB, RELU_STUB + "  \n"], RELU_STUB, []),
    ),
)
def test_the_last_written_of_several_copies_counts(texts: list[str], counts: str, kept: list[str]) -> None:
    doc = handed_in()
    at = position(doc, "relu")
    original = doc["cells"].pop(at)
    doc["cells"][at:at] = [original | {"id": f"copy{n}", "source": text} for n, text in enumerate(texts)]
    intake = taken(doc)
    assert source(intake, "relu") == counts
    assert [each.source for each in intake.notebook.cells if each.id not in IDS] == kept
    differ = len({text.rstrip() for text in texts}) > 1
    assert [f"There are {len(texts)} cells of the exercise relu" in note for note in intake.notes] == [True] * differ
    if kept:
        assert [each.id for each in intake.notebook.cells][2:5] == ["the-moons-1", "added-1", "relu"]


@pytest.mark.parametrize("kind", ["markdown", "raw", "heading", 5])
def test_an_exercise_turned_into_text_is_taken_if_it_is_python(kind: object) -> None:
    doc = handed_in()
    cell(doc, "relu")["cell_type"] = kind
    intake = taken(doc)
    assert source(intake, "relu") == ANSWER
    assert "turned into a text cell" in intake.notes[0]


@pytest.mark.parametrize(
    "text", cases("My answer is this:", "x = '\\", "-" * 100_000 + "1", "a" + ".b" * 50_000, "(" * 9999)
)
def test_an_exercise_turned_into_prose_is_missing(text: str) -> None:
    doc = handed_in(relu=text)
    cell(doc, "relu")["cell_type"] = "markdown"
    intake = taken(doc)
    assert (source(intake, "relu"), intake.missing, intake.status) == (RELU_STUB, frozenset({"relu"}), "ok")
    assert "Make it a code cell again" in intake.notes[0]


def test_reading_a_text_cell_as_python_warns_nobody(recwarn: pytest.WarningsRecorder) -> None:
    doc = handed_in(relu=r"pattern = '\d'")
    cell(doc, "relu")["cell_type"] = "markdown"
    assert source(taken(doc), "relu") == r"pattern = '\d'"
    assert not recwarn.list


def test_a_removed_exercise_is_put_back_as_released() -> None:
    doc = handed_in()
    doc["cells"].remove(cell(doc, "step"))
    intake = taken(doc)
    assert (source(intake, "step"), intake.missing, intake.status) == (STEP_STUB, frozenset({"step"}), "ok")
    assert "step was not found" in intake.notes[0]


def test_a_written_answer_keeps_the_students_prose() -> None:
    def with_question(text: str) -> NotebookNode:
        settings = {"grade": True, "solution": True, "locked": False, "points": 1, "grade_id": "why"}
        question = new_markdown_cell(text, id="why", metadata={"nbgrader": settings})
        notebook = copy.deepcopy(RELEASED)
        notebook.cells.append(question)
        return notebook

    base, released = with_question("Because."), with_question("Write here.")
    data = nbformat.writes(with_question("It depends on *x*.")).encode()
    intake = rebuild(data, base, released)
    assert (intake.notebook.cells[-1].source, intake.status) == ("It depends on *x*.", "ok")
    assert rebuild(b"", base, released).notebook.cells[-1].source == "Write here."
    as_code = rebuild(
        data.replace(b'"cell_type": "markdown",\n   "id": "why"', b'"cell_type": "code", "id": "why"'), base, released
    )
    assert (as_code.notebook.cells[-1].cell_type, as_code.notebook.cells[-1].source) == (
        "markdown",
        "It depends on *x*.",
    )
    assert "why" not in intake.own


# --- check cells


def drop(doc: Doc) -> None:
    doc["cells"].remove(cell(doc, "check-relu"))


def double_changed(doc: Doc) -> None:
    doc["cells"].append(cell(doc, "check-relu") | {"id": "again", "source": "print('mine')"})


def setting(key: str, value: object) -> Callable[[Doc], None]:
    def change(doc: Doc) -> None:
        cell(doc, "check-relu")["metadata"]["nbgrader"][key] = value

    return change


def field(key: str, value: object) -> Callable[[Doc], None]:
    def change(doc: Doc) -> None:
        cell(doc, "check-relu")[key] = value

    return change


@pytest.mark.parametrize(
    ("tamper", "said"),
    cases(
        (drop, "was missing; it has been put back"),
        (double_changed, "was there 2 times"),
        (double_changed, "had been changed"),
        (field("source", "pass"), "had been changed"),
        (field("source", ""), "had been changed"),
        (field("cell_type", "raw"), "had been changed"),
        (field("metadata", {}), "settings"),
        (setting("points", 200), "settings"),
        (setting("task", True), "settings"),
        (setting("points", float("nan")), "settings"),
        (setting("points", [[[]]]), "settings"),
        (setting("locked", False), "settings"),
        (setting("grade", False), "settings"),
        (setting("solution", True), "settings"),
        (setting("grade_id", "check-step"), "was there 2 times"),
        (setting("grade_id", "relu"), "was missing"),
    ),
)
def test_a_check_cell_is_ours_whatever_was_done_to_it(tamper: Callable[[Doc], None], said: str) -> None:
    doc = handed_in()
    tamper(doc)
    intake = taken(doc)
    assert intake.status == "tampered"
    assert "check-relu" in intake.tampered
    assert any(said in note for note in intake.notes)
    assert "print('mine')" not in [each.source for each in intake.notebook.cells]


@pytest.mark.parametrize(
    "text", cases(RELU_CHECK + "\n\n", RELU_CHECK.replace("\n", "  \n"), RELU_CHECK.replace("\n", "\r\n"))
)
def test_trailing_whitespace_is_no_tampering(text: str) -> None:
    assert taken(handed_in(check_relu=text)).status == "ok"


def test_fields_that_other_versions_of_nbgrader_write_are_no_tampering() -> None:
    doc = handed_in()
    cell(doc, "check-relu")["metadata"]["nbgrader"] |= {
        "task": False,
        "schema_version": 4,
        "checksum": "0",
        "points": 2.0,
    }
    assert taken(doc).status == "ok"


def test_copies_of_check_cells_and_prose_are_dropped() -> None:
    doc = handed_in()
    copies = [RELU_CHECK, STEP_CHECK + "\n", "# Neurons", STEP_STUB, " "]
    doc["cells"] += [{"cell_type": "code", "id": f"c{n}", "source": text} for n, text in enumerate(copies)]
    intake = taken(doc)
    assert ([each.id for each in intake.notebook.cells], intake.status) == (IDS, "ok")


# --- other cells


def own_cell(text: str, **more: object) -> Doc:
    return {"cell_type": "code", "source": text, "metadata": {"tags": ["skip-execution"]}, "outputs": [], **more}


def test_additions_keep_their_place_and_order() -> None:
    doc = handed_in()
    doc["cells"].insert(position(doc, "relu") + 1, own_cell("b = 2"))
    doc["cells"].insert(position(doc, "relu"), own_cell("a = 1", id="relu-helper"))
    doc["cells"].insert(position(doc, "descent-1") + 1, {"cell_type": "markdown", "source": "my note"})
    doc["cells"].insert(position(doc, "descent-1") + 2, own_cell("c = 3", id="added-1"))
    doc["cells"].insert(0, own_cell("z = 0"))
    doc["cells"].append(own_cell("d = 4"))
    intake = taken(doc)
    order = [each.id if each.id in IDS else each.source for each in intake.notebook.cells]
    assert order == (
        ["z = 0", *IDS[:3], "a = 1", "relu", "b = 2", "check-relu", "descent-1", "c = 3", "step", "check-step", "d = 4"]
    )
    fresh = {f"added-{n}" for n in range(1, 6)}
    assert fresh == {each.id for each in intake.notebook.cells} - set(IDS)
    assert intake.own == fresh | {"relu", "step"}
    assert (intake.status, intake.notes) == ("ok", ())


def test_fresh_ids_avoid_those_of_the_lesson() -> None:
    base, released = copy.deepcopy(BASE), copy.deepcopy(RELEASED)
    base.cells[0].id = released.cells[0].id = "added-1"
    doc = handed_in()
    doc["cells"].append(own_cell("d = 4"))
    intake = rebuild(json.dumps(doc).encode(), base, released)
    assert intake.notebook.cells[-1].id == "added-2"


def test_a_deleted_demo_comes_back_and_a_moved_one_goes_back() -> None:
    doc = handed_in()
    doc["cells"].remove(cell(doc, "the-moons-1"))
    doc["cells"].append(doc["cells"].pop(position(doc, "neurons-2")))
    intake = taken(doc)
    assert [each.id for each in intake.notebook.cells] == IDS
    assert source(intake, "the-moons-1") == MOONS
    assert "the-moons-1" in intake.notes[0]
    assert intake.own == {"relu", "step"}


def test_a_demo_without_its_id_is_known_by_its_text() -> None:
    doc = handed_in(the_moons_1=MOONS + "  \n")
    del cell(doc, "the-moons-1")["id"]
    intake = taken(doc)
    assert [each.id for each in intake.notebook.cells] == IDS
    assert source(intake, "the-moons-1") == MOONS


def test_a_demo_turned_into_text_comes_back_and_prose_turned_into_code_is_an_addition() -> None:
    doc = handed_in(the_moons_1="not now", descent_1="extra = 1")
    cell(doc, "the-moons-1")["cell_type"] = "markdown"
    cell(doc, "descent-1")["cell_type"] = "code"
    intake = taken(doc)
    assert (source(intake, "the-moons-1"), source(intake, "added-1")) == (MOONS, "extra = 1")


def test_prose_is_always_ours() -> None:
    intake = taken(handed_in(neurons_1="<script>alert(1)</script>", descent_1=""))
    assert intake.status == "ok"  # and assert_sound compared the prose


def test_another_lesson_is_missing_even_if_the_imports_agree() -> None:
    doc = {"cells": [own_cell(SETUP), own_cell("def softmax(x):\n    raise NotImplementedError")]}
    intake = taken(doc)
    assert intake.status == "missing"
    assert "looks like another notebook" in intake.notes[0]
    assert [each.id for each in intake.notebook.cells] == IDS


# --- folders


def put(folder: Path, name: str, doc: object, age: float = 0) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(doc if isinstance(doc, bytes) else json.dumps(doc).encode())
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def taken_from(folder: Path, limits: IntakeLimits | None = None) -> Intake:
    intake = ingest(folder, SLUG, BASE, RELEASED, limits)
    assert_sound(intake)
    return intake


OTHER = {"cells": [own_cell(SETUP), own_cell("print('another lesson')")]}


def test_the_file_with_the_right_name_is_taken(tmp_path: Path) -> None:
    path = put(tmp_path, f"{SLUG}.ipynb", handed_in(), age=50)
    put(tmp_path, f"{SLUG} (2).ipynb", handed_in(relu="newer = 1"))
    intake = taken_from(tmp_path)
    assert source(intake, "relu") == ANSWER
    assert intake.notes == (f'Other notebooks in the folder were ignored: "{SLUG} (2).ipynb".',)
    assert intake.digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "name", ["2.1 (2).ipynb", "copy of lesson.ipynb", f"{SLUG}.IPYNB", "Löwe ☃.ipynb", "a\nb.ipynb"]
)
def test_a_renamed_file_is_taken_with_a_note(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, handed_in())
    put(tmp_path, "notes.txt", b"hello")
    intake = taken_from(tmp_path)
    assert source(intake, "relu") == ANSWER
    assert "is not there" in intake.notes[0] and "\n" not in intake.notes[0]


def test_of_several_the_one_that_fits_best_then_the_newest_then_the_first_by_name(tmp_path: Path) -> None:
    half = handed_in(relu="half = 1")
    half["cells"] = half["cells"][:5]
    put(tmp_path, "half.ipynb", half)
    put(tmp_path, "other.ipynb", OTHER)
    put(tmp_path, "a-old.ipynb", handed_in(relu="old = 1"), age=50)
    put(tmp_path, "new-b.ipynb", handed_in(relu="b = 1"), age=5)
    put(tmp_path, "new-a.ipynb", handed_in(relu="a = 1"), age=5)
    assert source(taken_from(tmp_path), "relu") == "a = 1"


@pytest.mark.parametrize("broken", cases(b"", b"{", b'{"cells": []}', json.dumps(OTHER).encode(), b"[" * 300_000))
def test_a_broken_file_with_the_right_name_gives_way(tmp_path: Path, broken: bytes) -> None:
    put(tmp_path, f"{SLUG}.ipynb", broken)
    put(tmp_path, "rescued.ipynb", handed_in(), age=50)
    intake = taken_from(tmp_path)
    assert source(intake, "relu") == ANSWER
    assert f"{SLUG}.ipynb cannot be read or is another lesson" in intake.notes[0]


def test_a_broken_file_alone_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    put(tmp_path, f"{SLUG}.ipynb", b"{")
    intake = taken_from(tmp_path)
    assert intake.status == "missing"
    assert "ends in the middle" in intake.notes[-1]
    assert intake.digest == hashlib.sha256(b"{").hexdigest()


def test_one_folder_down_only_if_no_notebook_lies_on_top(tmp_path: Path) -> None:
    put(tmp_path, f"inner/{SLUG}.ipynb", handed_in())
    put(tmp_path, f"__MACOSX/{SLUG}.ipynb", b"garbage")
    put(tmp_path, f".ipynb_checkpoints/{SLUG}.ipynb", handed_in(relu="old = 1"))
    put(tmp_path, "inner/deeper/x.ipynb", handed_in(relu="deep = 1"))
    intake = taken_from(tmp_path)
    assert source(intake, "relu") == ANSWER
    assert intake.notes == (
        f'"inner/{SLUG}.ipynb" was taken as the notebook of this lesson, because {SLUG}.ipynb is not there.',
    )
    put(tmp_path, "top.ipynb", handed_in(relu="top = 1"))
    assert source(taken_from(tmp_path), "relu") == "top = 1"


def test_an_empty_folder_is_missing(tmp_path: Path) -> None:
    put(tmp_path, "._x.ipynb", handed_in())
    (tmp_path / "folder.ipynb").mkdir()
    intake = taken_from(tmp_path)
    assert (intake.status, intake.digest) == ("missing", "")
    assert intake.notes == (f"No notebook was found that can be read. Hand in {SLUG}.ipynb.",)


def test_links_pipes_and_large_files_are_not_read(tmp_path: Path) -> None:
    outside = put(tmp_path, "outside/secret.ipynb", handed_in(relu="secret = 1"))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"{SLUG}.ipynb").symlink_to(outside)
    (folder / "sub").symlink_to(outside.parent)
    os.mkfifo(folder / "pipe.ipynb")
    put(folder, "large.ipynb", GOOD.encode() + b" " * 50_000)
    intake = taken_from(folder, IntakeLimits(file_bytes=30_000))
    assert intake.status == "missing"
    assert sum("is a link, a pipe or a device" in note for note in intake.notes) == 2
    assert any("larger than 0.03 MB" in note for note in intake.notes)
    below = tmp_path / "below"
    below.mkdir()
    (below / "sub").symlink_to(outside.parent)
    assert taken_from(below).status == "missing"
    linked = tmp_path / "linked"
    linked.symlink_to(outside.parent)
    assert taken_from(linked).status == "missing"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_name_that_becomes_something_else_after_it_was_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    outside = put(tmp_path, "outside/secret.ipynb", handed_in(relu="secret = 1"))
    path = put(tmp_path, f"in/{SLUG}.ipynb", handed_in())
    real = os.open

    def swap(name: object, flags: int) -> int:
        path.unlink()
        match kind:
            case "link":
                path.symlink_to(outside)
            case "pipe":
                os.mkfifo(path)
            case _:
                path.mkdir()
        return real(path, flags)

    monkeypatch.setattr(os, "open", swap)
    intake = taken_from(path.parent)
    assert intake.status == "missing"
    assert "could not be read" in intake.notes[0]


def test_a_hard_link_is_read_and_noted(tmp_path: Path) -> None:
    outside = put(tmp_path, "outside.ipynb", handed_in())
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"{SLUG}.ipynb").hardlink_to(outside)
    intake = taken_from(folder)
    assert source(intake, "relu") == ANSWER
    assert "hard link" in intake.notes[0]


def test_no_more_files_than_the_cap_are_opened(tmp_path: Path) -> None:
    for n in range(9):
        put(tmp_path, f"{n}.ipynb", OTHER if n < 8 else handed_in(), age=n)
    assert taken_from(tmp_path, IntakeLimits(files=8)).status == "missing"
    assert taken_from(tmp_path, IntakeLimits(entries=0)).status == "missing"
    intake = taken_from(tmp_path)
    assert intake.status == "ok"
    assert "and 3 more" in intake.notes[1]


# --- our own mistakes are the only errors


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no submission folder"):
        ingest(tmp_path / "nobody", SLUG, BASE, RELEASED)


def broken_base(change: Callable[[NotebookNode], None], both: bool) -> tuple[NotebookNode, NotebookNode]:
    base, released = copy.deepcopy(BASE), copy.deepcopy(RELEASED)
    change(base)
    if both:
        change(released)
    return base, released


@pytest.mark.parametrize(
    ("change", "both", "said"),
    cases(
        (lambda nb: nb.cells.pop(), False, "different cells"),
        (lambda nb: nb.cells[0].update(id="other"), False, "different cells"),
        (lambda nb: nb.cells[0].update(id="relu"), True, "no id, or the id of another"),
        (lambda nb: nb.cells[0].pop("id"), True, "no id, or the id of another"),
        (lambda nb: nb.cells[3].metadata.nbgrader.update(grade_id="x"), True, "another grade id"),
    ),
)
def test_a_broken_base_is_an_error(change: Callable[[NotebookNode], None], both: bool, said: str) -> None:
    base, released = broken_base(change, both)
    with pytest.raises(ValueError, match=said):
        rebuild(GOOD.encode(), base, released)


# --- chance finds what we did not think of

JUNK: list[Any] = [None, True, -1, 1e308, float("nan"), "", "relu", "check-relu", "\ud800", "code", [], {}, [[{}]]]
JUNK += [{"nbgrader": {"grade_id": "check-step", "grade": False}}, {"cells": []}, ["a\n", 1]]


def mutate_json(doc: Any, chance: random.Random) -> Any:
    """Replace, delete, repeat or exchange a few things anywhere in a document."""
    for _ in range(chance.randint(1, 6)):
        nodes = [node for node in walk(doc) if isinstance(node, dict | list) and node]
        if not nodes:
            return doc
        node = chance.choice(nodes)
        key = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
        match chance.randrange(4):
            case 0:
                node[key] = copy.deepcopy(chance.choice(JUNK))
            case 1:
                del node[key]
            case 2 if isinstance(node, list):
                node.insert(chance.randrange(len(node)), copy.deepcopy(node[key]))
            case _:
                node[key] = copy.deepcopy(chance.choice(list(walk(doc))))
    return doc


def walk(node: Any) -> list[Any]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [node, *(each for child in inner for each in walk(child))]


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 3, 30])):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.3 else changed)


@pytest.mark.parametrize("seed", range(10))
def test_any_mutation_ends_in_a_sound_notebook(seed: int) -> None:
    chance = random.Random(seed)
    read = 0
    for n in range(60):
        data = json.dumps(handed_in()).encode()
        data = mutate_bytes(data, chance) if n % 3 == 0 else json.dumps(mutate_json(json.loads(data), chance)).encode()
        intake = rebuild(data, BASE, RELEASED)
        assert_sound(intake)
        assert rebuild(data, BASE, RELEASED) == intake
        read += intake.status != "missing"
    assert 20 < read < 60, "the mutations are either all harmless or all deadly"

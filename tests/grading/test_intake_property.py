"""A property of intake: whatever a notebook has become, it ends in a status, and in a sound notebook of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.grading.test_intake import BASE, IDS, RELEASED, Doc, assert_sound, handed_in
from trainloop.grading.intake import rebuild

Change: TypeAlias = Callable[[Doc], None]

# The same notebooks in every run, and no clock: the machine may be busy.
unhurried = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
EXAMPLES = 1_500, 800  # changed documents, changed bytes

texts = st.text(st.characters(codec=None), max_size=30)  # halves of characters, too
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
places = st.integers(0, 2 * len(IDS))
names = st.sampled_from([*IDS, "", "twin"])
fields = st.sampled_from(["id", "cell_type", "metadata", "source", "outputs", "attachments", "input", "nbgrader"])
grading = st.sampled_from(["grade_id", "grade", "solution", "locked", "points", "task", "schema_version", "tags"])
tops = st.sampled_from(["cells", "metadata", "nbformat", "nbformat_minor", "worksheets", "cells2"])


def at(doc: Doc, place: int) -> Any:
    """The list of cells and a place in it; (None, 0) where a change has left none."""
    cells = doc.get("cells")
    return (cells, place % len(cells)) if isinstance(cells, list) and cells else (None, 0)


def on_cells(change: Callable[[list[Any], int], None], place: int) -> Change:
    def apply(doc: Doc) -> None:
        cells, index = at(doc, place)
        if cells is not None:
            change(cells, index)

    return apply


def delete(place: int) -> Change:
    return on_cells(lambda cells, i: cells.pop(i), place)


def duplicate(place: int, other: int) -> Change:
    return on_cells(lambda cells, i: cells.insert(other % (len(cells) + 1), json.loads(json.dumps(cells[i]))), place)


def swap(place: int, other: int) -> Change:
    def change(cells: list[Any], i: int) -> None:
        j = other % len(cells)
        cells[i], cells[j] = cells[j], cells[i]

    return on_cells(change, place)


def replace(place: int, value: object) -> Change:
    return on_cells(lambda cells, i: cells.__setitem__(i, value), place)


def set_field(place: int, name: str, value: object) -> Change:
    def change(cells: list[Any], i: int) -> None:
        if isinstance(cells[i], dict):
            cells[i][name] = value

    return on_cells(change, place)


def set_grading(place: int, name: str, value: object) -> Change:
    return set_field(place, "metadata", {"nbgrader": {"grade_id": "relu", name: value}})


def write(place: int, text: str, where: int) -> Change:
    """Put text into a cell's source."""

    def change(cells: list[Any], i: int) -> None:
        if isinstance(cells[i], dict) and isinstance(cells[i].get("source"), str):
            source = cells[i]["source"]
            split = where % (len(source) + 1)
            cells[i]["source"] = source[:split] + text + source[split:]

    return on_cells(change, place)


def nest(place: int, depth: int) -> Change:
    def change(cells: list[Any], i: int) -> None:
        for _ in range(depth):
            cells[i] = {"cell_type": "code", "metadata": cells[i], "source": [cells[i]] if depth < 5 else ""}

    return on_cells(change, place)


def set_top(name: str, value: object) -> Change:
    return lambda doc: doc.__setitem__(name, value)


changes = st.one_of(
    st.builds(delete, places),
    st.builds(duplicate, places, places),
    st.builds(swap, places, places),
    st.builds(replace, places, values),
    st.builds(set_field, places, fields, values),
    st.builds(set_field, places, st.just("id"), names),
    st.builds(set_field, places, st.just("cell_type"), st.sampled_from(["code", "markdown", "raw", "heading"])),
    st.builds(set_grading, places, grading, values | names),
    st.builds(write, places, texts, st.integers(0, 500)),
    st.builds(nest, places, st.integers(1, 12)),
    st.builds(set_top, tops, values),
)
DATA = json.dumps(handed_in()).encode()
edits = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, len(DATA)), st.just(b"")),
    st.tuples(st.just("flip"), st.integers(0, len(DATA) - 1), st.binary(min_size=1, max_size=1)),
    st.tuples(
        st.just("insert"),
        st.integers(0, len(DATA)),
        st.binary(max_size=8) | st.just(b"\\ud800") | st.just(b"[" * 5_000),
    ),
    st.tuples(st.just("encode"), st.just(0), st.sampled_from([b"utf-8-sig", b"utf-16", b"utf-16-le", b"utf-32"])),
)


def assert_taken(data: bytes) -> None:
    intake = rebuild(data, BASE, RELEASED)
    assert intake.status in ("ok", "tampered", "missing")
    assert_sound(intake)


@settings(unhurried, max_examples=EXAMPLES[0])
@given(st.lists(changes, min_size=1, max_size=6))
def test_any_change_of_a_notebook_ends_in_a_status(chosen: Sequence[Change]) -> None:
    doc = handed_in()
    for change in chosen:
        change(doc)
    assert_taken(json.dumps(doc).encode())


@settings(unhurried, max_examples=EXAMPLES[1])
@given(st.lists(edits, min_size=1, max_size=3))
def test_any_change_of_its_bytes_ends_in_a_status(chosen: Sequence[tuple[str, int, bytes]]) -> None:
    data = DATA
    for kind, place, more in chosen:
        match kind:
            case "cut":
                data = data[:place]
            case "flip":
                data = data[:place] + more + data[place + 1 :]
            case "insert":
                data = data[:place] + more + data[place:]
            case _:
                data = data.decode(errors="replace").encode(more.decode())
    assert_taken(data)

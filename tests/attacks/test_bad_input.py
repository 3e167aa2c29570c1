"""Bad input: what is handed in by accident or malice and is no notebook, or not the one that was handed out."""

from __future__ import annotations

import copy
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.arena import (
    FULL,
    SLUG,
    WRONG,
    Arena,
    Doc,
    HandIn,
    by_answer,
    by_bytes,
    by_change,
    cell,
    put,
)
from tests.attacks.attack import Attack, Referee, by_name, handful, whole
from tests.attacks.batch import assert_batch
from tests.sample_class import dump

NAME = f"{SLUG}.ipynb"
LARGE = 200_000_000
ROOT = os.geteuid() == 0


def lost(name: str, does: str, hand_in: HandIn) -> Attack:
    """Nothing can be read: no points, and that is what the status says."""
    return Attack(name, does, hand_in, whole(*FULL), "missing")


def kept(name: str, does: str, hand_in: HandIn) -> Attack:
    """The answers can be read, and are right."""
    return Attack(name, does, hand_in)


# --- bytes


def sparse(arena: Arena, folder: Path) -> None:
    with open(put(folder, b"{"), "r+b") as file:
        file.truncate(LARGE)


def spaces(arena: Arena, folder: Path) -> None:
    with open(put(folder, dump(arena.notebook())), "ab") as file:
        for _ in range(LARGE // 1_000_000):
            file.write(b" " * 1_000_000)


def nested(data: bytes) -> bytes:
    return data.replace(b'"metadata"', b'"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b', "metadata"', 1)


BYTES = [
    lost("empty", "Hands in an empty file.", by_bytes(lambda _: b"")),
    lost("truncated", "Hands in the first half of a file.", by_bytes(lambda data: data[: len(data) // 2])),
    lost("sparse-200-mb", "Hands in 200 MB that take no room on the disk.", sparse),
    lost("spaces-200-mb", "Hands in a notebook with 200 MB of spaces behind it.", spaces),
    lost("nested", "Nests lists 100,000 deep.", by_bytes(nested)),
    lost("brackets", "Hands in a million opening brackets.", by_bytes(lambda _: b"[" * 1_000_000)),
    lost("zip", "Hands in an archive.", by_bytes(lambda data: b"PK\3\4" + data)),
    lost("noise", "Hands in bytes without meaning.", by_bytes(lambda _: bytes(range(256)) * 1_000)),
    lost("cells-twice", "Has two lists of cells, the second one empty.", by_bytes(lambda data: again(data, []))),
    kept("cells-first-none", "Has two lists of cells, the first one empty.", by_bytes(lambda data: again(data))),
    kept("null-bytes", "Puts null bytes before, into and behind the text.", by_bytes(lambda data: nulls(data))),
    kept("utf-16", "Writes the notebook in UTF-16.", by_bytes(lambda data: data.decode().encode("utf-16"))),
    kept("byte-order-mark", "Begins with a byte-order mark.", by_bytes(lambda data: b"\xef\xbb\xbf" + data)),
    kept("latin-1", "Has a letter that is not UTF-8.", by_bytes(lambda data: data.replace(b"Twice", b"Zweifach \xfc"))),
    kept("not-a-number", "Has NaN and infinity in the JSON.", by_bytes(lambda data: odd(data, b"[NaN, -Infinity]"))),
    kept("long-number", "Has a number of 5,000 digits.", by_bytes(lambda data: odd(data, b"1" + b"0" * 5_000))),
    kept("line-ends", "Ends lines as other systems do.", by_bytes(lambda data: data.replace(b"\n", b"\r\n"))),
]


def again(data: bytes, cells: list[Doc] | None = None) -> bytes:
    """A second "cells" in the JSON: behind the first, or (None) an empty one before it."""
    if cells is None:
        return data.replace(b"{", b'{"cells": [], ', 1)
    return data.rstrip()[:-1] + b', "cells": ' + json.dumps(cells).encode() + b"}"


def nulls(data: bytes) -> bytes:
    return data.replace(b'"cells"', b'"cells"\0', 1) + b"\0" * 4_096


def odd(data: bytes, value: bytes) -> bytes:
    return data.replace(b'"metadata"', b'"odd": ' + value + b', "metadata"', 1)


# --- JSON that is no notebook, or an old one


def old(version: int) -> Callable[[Doc], None]:
    """nbformat 2 and 3: worksheets, and `input` for `source`."""

    def change(doc: Doc) -> None:
        cells = doc.pop("cells")
        for one in cells:
            one.pop("id")
            if one["cell_type"] == "code":
                one["input"] = one.pop("source")
        doc.update(nbformat=version, nbformat_minor=0, worksheets=[{"cells": cells}])

    return change


def set_all(**fields: Any) -> Callable[[Doc], object]:
    return lambda doc: [one.update(copy.deepcopy(fields)) for one in doc["cells"]]


def set_source(name: str, source: object, **fields: object) -> Callable[[Doc], None]:
    return lambda doc: cell(doc, name).update(source=source, **fields)


def remove(name: str) -> Callable[[Doc], None]:
    return lambda doc: doc["cells"].remove(cell(doc, name))


def twice(doc: Doc) -> None:
    doc["cells"] += copy.deepcopy(doc["cells"])


def split(doc: Doc) -> None:
    """JupyterLab's "Split Cell" leaves the metadata on both halves."""
    whole_cell = cell(doc, "scale")
    helper = copy.deepcopy(whole_cell)
    helper["id"], helper["source"] = "half", "def double(x):\n    return x + x\n"
    whole_cell["source"] = "def scale(x):\n    return double(x) + 1\n"
    doc["cells"].insert(doc["cells"].index(whole_cell), helper)


def many_cells(doc: Doc) -> None:
    doc["cells"] += [{"cell_type": "code", "metadata": {}, "source": f"n = {n}"} for n in range(50_000)]


def much_code(doc: Doc) -> None:
    """As much code as is read at all, none of it alike and none of it run."""
    line = "total_{} = sum([value * 2 for value in range(3)]) if True else [1, 2, {{3: 4}}]\n"
    cells = ["raise SystemExit\n" + line.format(number) * 120 for number in range(1_900)]
    doc["cells"] += [{"cell_type": "code", "metadata": {}, "source": source} for source in cells]


def without(*names: str) -> Callable[[Doc], object]:
    """Takes fields away from every cell."""
    return lambda doc: [one.pop(name, None) for one in doc["cells"] for name in names]


def tampered(name: str, does: str, change: Callable[[Doc], object]) -> Attack:
    """Checks were changed, answers not."""
    return Attack(name, does, by_change(change), {}, "tampered")


def unanswered(name: str, does: str, change: Callable[[Doc], object]) -> Attack:
    """One answer is not there."""
    return Attack(name, does, by_change(change), whole("scale"), "missing")


CHAIN = "if False:\n    pass\n" + "elif False:\n    pass\n" * 2_000
SUM = "total = " + "+".join(["1"] * 5_000) + "\n"
CALLS = "text = ''" + ".strip()" * 3_000 + "\n"
BRACKETS = "(" * 150 + ")" * 150 + "\n"
MINUS = "x = " + "-" * 100_000 + "1\n"
LONG_NAME = "a" * 100_000 + " = 1\n"
RIGHT = "def scale(x):\n    return 2 * x + 1\n"

DOCUMENTS = [
    kept("nbformat-2", "Hands in the format of 2011.", by_change(old(2))),
    kept("nbformat-3", "Hands in the format of 2013.", by_change(old(3))),
    kept("nbformat-99", "Hands in a format that is not there yet.", by_change(lambda doc: doc.update(nbformat=99))),
    lost("cells-a-number", "Has a number for its cells.", by_change(lambda doc: doc.update(cells=5))),
    lost("cells-of-cells", "Has lists in the list of cells.", by_change(lambda doc: doc.update(cells=[doc["cells"]]))),
    lost("a-list", "Is a list and no notebook.", by_bytes(lambda data: b"[" + data + b"]")),
    unanswered("source-a-number", "Has a number for its answer.", set_source("scale", 5)),
    unanswered("source-of-lists", "Has lists of lists for its answer.", set_source("scale", [["def"], [["scale"]]])),
    kept("source-in-lines", "Has its answer in lines.", by_change(set_source("scale", RIGHT.splitlines(True)))),
    kept("metadata-a-list", "Has a list for the metadata of every cell.", by_change(set_all(metadata=[1]))),
    kept("no-metadata", "Has neither metadata nor ids.", by_change(without("metadata", "id"))),
    unanswered("exercise-deleted", "Lacks an exercise.", remove("scale")),
    tampered("check-deleted", "Lacks a check.", remove("check-scale")),
    kept("all-twice", "Has every cell twice.", by_change(twice)),
    kept("reversed", "Has its cells from last to first.", by_change(lambda doc: doc["cells"].reverse())),
    kept("split", "Has split an answer into two cells.", by_change(split)),
    kept(
        "as-text", "Has turned an answer into a text cell.", by_change(set_source("scale", RIGHT, cell_type="markdown"))
    ),
    tampered("locked-edited", "Has edited a locked check.", set_source("check-scale", "assert True")),
    kept("surrogates", "Has halves of characters.", by_change(set_source("scale", RIGHT + "# \ud800\udfff \udcff"))),
    kept("ten-megabytes", "Has a comment of 10 MB.", by_change(set_source("scale", RIGHT + "# " + "x" * 10_000_000))),
    Attack("many-cells", "Has 50,000 cells more.", by_change(many_cells), seconds=180.0),
    Attack("much-code", "Has 19 MB of code.", by_change(much_code), seconds=180.0),
    *(
        kept(f"code-{name}", f"Has {does} in its code.", by_answer(text + RIGHT))
        for name, does, text in (
            ("name", "a name of 100,000 letters", LONG_NAME),
            ("brackets", "150 brackets inside each other", BRACKETS),
            ("null", "a null character", "\0"),
        )
    ),
    *(
        Attack(f"code-{name}", f"Has {does} in its code.", by_answer(text + RIGHT), whole("scale"), "wrong")
        for name, does, text in (
            ("choices", "a choice with 2,000 branches", CHAIN),
            ("sum", "a sum of 5,000 terms", SUM),
            ("calls", "3,000 calls in a row", CALLS),
        )
    ),
    Attack(
        "code-minus",
        "Has 100,000 signs before a number, more than the parser has memory for.",
        by_answer(MINUS + RIGHT),
        whole("scale"),
        "out of memory",
    ),
]

# --- files


def named(name: str | bytes) -> HandIn:
    """The notebook, right, under another name."""

    def hand_in(arena: Arena, folder: Path) -> None:
        with open(os.path.join(os.fsencode(folder), os.fsencode(name)), "wb") as file:
            file.write(dump(arena.notebook()))

    return hand_in


def beside(*more: HandIn) -> HandIn:
    """The notebook, right, with other things in its folder."""

    def hand_in(arena: Arena, folder: Path) -> None:
        put(folder, dump(arena.notebook()))
        for one in more:
            one(arena, folder)

    return hand_in


def device(arena: Arena, folder: Path) -> None:
    try:
        os.mknod(folder / NAME, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        (folder / NAME).symlink_to("/dev/zero")


def unix_socket(arena: Arena, folder: Path) -> None:
    # The kernel takes short addresses only.
    directory = os.open(folder, os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{directory}/{NAME}")
    os.close(directory)


def unreadable(arena: Arena, folder: Path) -> None:
    put(folder, dump(arena.notebook())).chmod(0)


def hard_link(arena: Arena, folder: Path) -> None:
    (folder / NAME).hardlink_to(put(arena.folder("friend"), dump(arena.notebook())))


def thousands(arena: Arena, folder: Path) -> None:
    for number in range(12_000):
        (folder / f"{number:05}.txt").touch()


def loop(arena: Arena, folder: Path) -> None:
    (folder / "loop").symlink_to(".")
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to("..")


def stamped(text: bytes) -> HandIn:
    return beside(lambda arena, folder: put(folder, text, "timestamp.txt"))


def future(arena: Arena, folder: Path) -> None:
    for path in (put(folder, dump(arena.notebook())), put(folder, b"2100-01-01 00:00:00 UTC", "timestamp.txt")):
        os.utime(path, (4_102_444_800.0, 4_102_444_800.0))


def past(arena: Arena, folder: Path) -> None:
    os.utime(put(folder, dump(arena.notebook())), (-1e9, -1e9))


def wrong(arena: Arena, folder: Path) -> None:
    """A second notebook, newer and wrong."""
    path = put(folder, dump(arena.notebook(scale=WRONG)), f"{SLUG} (1).ipynb")
    os.utime(path, (4_102_444_800.0, 4_102_444_800.0))


NAMES: Mapping[str, str | bytes] = {
    "copy": f"{SLUG} (2).ipynb",
    "upper-case": f"{SLUG}.IPYNB",
    "line-feed": "two\nlines.ipynb",
    "dash": "-rf.ipynb",
    "dots": "x...ipynb",
    "no-text": b"\xff\xfe.ipynb",
    "long": "x" * 249 + ".ipynb",
    "html": "<script>alert(1)<\u2215script>.ipynb",
    "format": "%s{0}$HOME`id`.ipynb",
}

FILES = [
    lost("none", "Hands in nothing.", lambda arena, folder: None),
    lost("folder", "Hands in a folder with the notebook's name.", lambda arena, folder: (folder / NAME).mkdir()),
    lost(
        "symlink",
        "Hands in a link to the solutions.",
        lambda arena, folder: (folder / NAME).symlink_to(arena.course.notebook("solutions", SLUG)),
    ),
    lost("dangling", "Hands in a link to nothing.", lambda arena, folder: (folder / NAME).symlink_to("nowhere")),
    lost("pipe", "Hands in a pipe.", lambda arena, folder: os.mkfifo(folder / NAME)),
    lost("device", "Hands in a device without end.", device),
    lost("socket", "Hands in a socket.", unix_socket),
    lost("hidden", "Hands in a hidden file.", named(f".{NAME}")),
    lost("loop-alone", "Hands in a folder that holds itself.", loop),
    kept("hard-link", "Hands in another name of a file.", hard_link),
    kept("loop", "Hands in a folder that holds itself beside the notebook.", beside(loop)),
    kept("thousands", "Hands in 12,000 files beside the notebook.", beside(thousands)),
    kept("two", "Hands in two notebooks: the one with the right name counts.", beside(wrong)),
    kept("future", "Hands in from the future.", future),
    kept("past", "Hands in from before there were computers.", past),
    kept("time-garbage", "Says a time that is none.", stamped(b"\xff\xfe the day after tomorrow")),
    kept("time-huge", "Says a time that is out of range.", stamped(b"9" * 4_000)),
    (kept if ROOT else lost)("unreadable", "Hands in a file that only the administrator can read.", unreadable),
    *(kept(f"name-{name}", "Hands in the notebook under an odd name.", named(text)) for name, text in NAMES.items()),
]

# --- while it is graded


def exchange(folder: Path, over: threading.Event) -> None:
    """Puts one right version after the other in its place."""
    right = (folder / NAME).read_bytes()
    turn = 0
    while not over.wait(0.001):
        turn += 1
        draft = folder / "draft"
        draft.write_bytes(right + b" " * (turn % 50))
        os.replace(draft, folder / NAME)


def spoil(folder: Path, over: threading.Event) -> None:
    """Spoils it when it has been read and runs: see `SLOW`."""
    over.wait(3.0)
    (folder / NAME).write_bytes(b"{}")


SLOW = "import time\ntime.sleep(5)\n" + RIGHT
MEANWHILE = [
    Attack("exchanged", "Is exchanged all the time while it is graded.", by_answer(RIGHT), meanwhile=exchange),
    Attack("spoilt", "Is spoilt while it is graded.", by_answer(SLOW), meanwhile=spoil),
]

ATTACKS = [*BYTES, *DOCUMENTS, *FILES, *MEANWHILE]


@pytest.mark.parametrize("attack", ATTACKS, ids=by_name)
def test_bad_input_stops_nothing(attack: Attack, referee: Referee, tmp_path: Path) -> None:
    referee.judge(attack, tmp_path / "kept")


def test_nor_by_way_of_nbgrader(referee: Referee, tmp_path: Path) -> None:
    assert_batch(handful(ATTACKS), referee, tmp_path / "course")

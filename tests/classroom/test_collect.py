"""Collecting from Canvas and Moodle: archives as those make them, with names and contents as strangers make them."""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import subprocess
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbgrader.api import Gradebook
from typer.testing import CliRunner, Result

from tests.conftest import ROOT
from tests.pages import SCRIPTS, SECONDS, environment
from trainloop.classroom import collect as collect_module
from trainloop.classroom.archives import CollectError, DeliveryLimits
from trainloop.classroom.collect import NO_NOTEBOOK, Delivery, collect, delivered
from trainloop.classroom.roster import Student
from trainloop.cli import app
from trainloop.course import CONFIG_NAME, Course

SLUG = "2.1-from-linear-to-nonlinear"
MINE = f"{SLUG}.ipynb"
Files = Mapping[Any, bytes]  # by name, or zipfile's description of one
Got = dict[str, dict[str, bytes]]


class Unmarked(zipfile.ZipInfo):
    """A name in UTF-8 that is not marked as such."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
        return self.filename.encode(), self.flag_bits


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content, method)
    return data.getvalue()


def packed(folder: Path, files: Files, name: str = "submissions.zip") -> Path:
    path = folder / name
    path.write_bytes(zipped(files))
    return path


def taken(
    *paths: Path, known: Sequence[Student] = (), limits: DeliveryLimits | None = None, slug: str = SLUG
) -> tuple[Got, str]:
    """What each student handed in, and what is said about it."""
    with delivered(paths, slug, known, limits or DeliveryLimits()) as delivery:
        got = {one.student: one.contents(delivery.notes) for one in delivery.handed}
        return got, said(delivery)


def said(delivery: Delivery) -> str:
    return "\n".join(delivery.notes)


def answers(got: Got) -> dict[str, dict[str, str]]:
    return {student: {name: data.decode() for name, data in files.items()} for student, files in got.items()}


# ---------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # Canvas
        ([f"lovelaceada_12345_678901_{MINE}"], {"lovelaceada-12345": [MINE]}),
        ([f"lovelaceada_LATE_12345_678901_{SLUG}-1.ipynb"], {"lovelaceada-12345": [MINE]}),
        ([f"late_LATE_7_8_{MINE}", f"LATE_9_8_{MINE}"], {"late-7": [MINE], "late-9": [MINE]}),
        ([f"łukasiewiczján_1_22_{MINE}"], {"łukasiewiczján-1": [MINE]}),
        ([f"लवलेसऐडा_1_22_{MINE}", f"李小龍_2_23_{MINE}"], {"लवलेसऐडा-1": [MINE], "李小龍-2": [MINE]}),
        ([f"team_b_1_22_{MINE}"], {"team-b-1": [MINE]}),
        ([f"lovelaceada_1_22_333_44_{MINE}"], {"lovelaceada-1": [f"333_44_{MINE}"]}),  # the student's own numbers
        ([f"lovelaceada_1_22_{SLUG}-3fa85f64-5717-4562-b3fc-2c963f66afa6.ipynb"], {"lovelaceada-1": [MINE]}),
        ([f"anon_aB3dE_22_{MINE}", f"LATE_anon_Zz9Zz_23_{MINE}"], {"anon-Zz9Zz": [MINE], "anon-aB3dE": [MINE]}),
        ([f"ada_1_22_{MINE}", "ada_1_text.html", "ben_LATE_2_text.html"], {"ada-1": [MINE]}),
        # Moodle
        ([f"Ada Lovelace_123456_assignsubmission_file_/{MINE}"], {"ada-lovelace": [MINE]}),
        ([f"Ada Lovelace_123456_assignsubmission_file/{MINE}"], {"ada-lovelace": [MINE]}),
        ([f"Ada Lovelace_123456_assignsubmission_file_{MINE}"], {"ada-lovelace": [MINE]}),
        ([f"Seán O’Brien_1_assignsubmission_file_/a/b/{MINE}"], {"seán-obrien": [MINE]}),
        ([f"李 小龍_1_assignsubmission_file_/{MINE}"], {"李-小龍": [MINE]}),
        (
            [
                f"Ada Lovelace_1_assignsubmission_file_/{MINE}",
                "Ada Lovelace_1_assignsubmission_onlinetext_/onlinetext.html",
                "Ben Bit_2_assignsubmission_onlinetext_onlinetext.html",
            ],
            {"ada-lovelace": [MINE]},
        ),
        (
            [f"Wei Zhang_1_assignsubmission_file_/{MINE}", f"Wei Zhang_2_assignsubmission_file_/{MINE}"],
            {"wei-zhang-1": [MINE], "wei-zhang-2": [MINE]},
        ),
        ([f"Participant_77_assignsubmission_file_/{MINE}"], {"participant-77": [MINE]}),
        ([f"Group A_9_assignsubmission_file_/{MINE}", f"Default group_assignsubmission_file_/{MINE}"],
         {"default-group": [MINE], "group-a": [MINE]}),
        # a name behind the one that tells is the student's to choose
        ([f"Ada Lovelace_1_assignsubmission_file_/Ben Bit_2_assignsubmission_file_/{MINE}"], {"ada-lovelace": [MINE]}),
        ([f"Ada Lovelace_1_assignsubmission_file_/bitben_2_33_{MINE}"], {"ada-lovelace": [f"bitben_2_33_{MINE}"]}),
        ([f"lovelaceada_1_22_Ben Bit_2_assignsubmission_file_{MINE}"],
         {"lovelaceada-1": [f"Ben Bit_2_assignsubmission_file_{MINE}"]}),
        # anything else
        ([f"ada_{MINE}", f"ben_b_{MINE}", "s12_2.1.ipynb"], {"ada": [MINE], "ben_b": [MINE], "s12": ["2.1.ipynb"]}),
        ([f"ada/{MINE}", "ben/work/my answer.ipynb"], {"ada": [MINE], "ben": ["my answer.ipynb"]}),
        ([f"ada/{MINE}"], {"ada": [MINE]}),
        ([f"submitted/ada/{SLUG}/{MINE}"], {"ada": [MINE]}),
        ([f"ada/{SLUG}/{MINE}", f"ben/{SLUG}/{MINE}"], {"ada": [MINE], "ben": [MINE]}),
        ([f"{SLUG}/ada/{MINE}", f"{SLUG}/ben/{MINE}"], {"ada": [MINE], "ben": [MINE]}),
        ([f"class\\ada\\{MINE}", f"class\\ben\\{MINE}"], {"ada": [MINE], "ben": [MINE]}),
        ([f"./ada/{MINE}", f"./ben/{MINE}"], {"ada": [MINE], "ben": [MINE]}),
        ([f"ada@uni.example_{MINE}"], {"ada@uni.example": [MINE]}),
        # packed again
        ([f"all/lovelaceada_1_2_{MINE}", f"all/bitben_2_3_{MINE}"], {"bitben-2": [MINE], "lovelaceada-1": [MINE]}),
        (
            [f"all/A B_1_assignsubmission_file_/{MINE}", f"all/C D_2_assignsubmission_file_/{MINE}", "all/grades.csv"],
            {"a-b": [MINE], "c-d": [MINE]},
        ),
        # renamed by a browser or by the student
        ([f"ada_1_2_{SLUG} (2).ipynb"], {"ada-1": [f"{SLUG} (2).ipynb"]}),
        ([f"ada_1_2_{MINE}.txt", f"ben_2_3_{MINE}.json"], {"ada-1": [MINE], "ben-2": [MINE]}),
        (["ada_1_2_Übung Nr. 2.IPYNB"], {"ada-1": ["Übung Nr. 2.ipynb"]}),
        (["ada_1_2_.ipynb", "ada_1_2_a<b>?.ipynb"], {"ada-1": ["_.ipynb", "a_b__.ipynb"]}),
        # what operating systems and Jupyter leave
        (
            [f"ada/{MINE}", f"__MACOSX/ada/._{MINE}", "ada/.DS_Store", f"ada/.ipynb_checkpoints/{SLUG}.ipynb"],
            {"ada": [MINE]},
        ),
    ],
)  # fmt: skip
def test_whose_file_it_is_and_what_it_is_called(
    tmp_path: Path, files: list[str], expected: dict[str, list[str]]
) -> None:
    got, _ = taken(packed(tmp_path, {name: name.encode() for name in files}))
    assert {student: sorted(contents) for student, contents in got.items()} == expected


def test_names_without_the_mark_for_utf_8(tmp_path: Path) -> None:
    """Some programs write UTF-8 and do not say so; macOS takes letters apart."""
    got, _ = taken(packed(tmp_path, {Unmarked(f"Sea\u0301n 李_1_assignsubmission_file_/{MINE}"): b"?"}))
    assert list(got) == ["seán-李"]


@pytest.mark.parametrize("lesson", ["12.1", "2.10", "2.11"])
def test_another_lessons_number_tells_nothing(tmp_path: Path, lesson: str) -> None:
    got, notes = taken(packed(tmp_path, {f"ada_{lesson}-x.ipynb": b"?", "hello.ipynb": b"?"}))
    assert not got
    assert f"Whose these are cannot be told, so they were left out: 'ada_{lesson}-x.ipynb', 'hello.ipynb'." in notes


# ----------------------------------------------------------------------------------------------------- which one counts


def test_of_what_canvas_numbers_the_newest_counts(tmp_path: Path) -> None:
    files = {
        f"ada_1_900_{SLUG}-2.ipynb": b"third",
        f"ada_1_100_{MINE}": b"first",
        f"ada_LATE_1_500_{SLUG}-1.ipynb": b"second",
        f"ben_2_20_{MINE}": b"his",
    }
    got, notes = taken(packed(tmp_path, files))
    assert answers(got) == {"ada-1": {MINE: "third"}, "ben-2": {MINE: "his"}}
    assert f"ada-1: of 3 files the newest counts, 'ada_1_900_{SLUG}-2.ipynb'; left out: " in notes
    assert f"'ada_1_100_{MINE}'" in notes and "ben" not in notes
    assert "Late, by Canvas's word: ada-1." in notes


def test_canvas_number_of_the_file_is_asked_before_the_one_in_its_name(tmp_path: Path) -> None:
    """A student who deletes the older file has the next one begin without a number again."""
    got, _ = taken(packed(tmp_path, {f"ada_1_900_{MINE}": b"new", f"ada_1_100_{SLUG}-5.ipynb": b"old"}))
    assert answers(got) == {"ada-1": {MINE: "new"}}


def test_different_notebooks_are_all_taken(tmp_path: Path) -> None:
    files = {f"ada_1_9_{MINE}": b"mine", "ada_1_8_1.1-other.ipynb": b"other", f"ada_1_7_{SLUG} (2).ipynb": b"again"}
    got, notes = taken(packed(tmp_path, files))
    assert answers(got) == {"ada-1": {MINE: "mine", "1.1-other.ipynb": "other", f"{SLUG} (2).ipynb": "again"}}
    assert notes == ""


def test_a_notebook_on_top_counts_before_one_in_a_folder(tmp_path: Path) -> None:
    student = "Ada Lovelace_1_assignsubmission_file_"
    got, _ = taken(packed(tmp_path, {f"{student}/{MINE}": b"top", f"{student}/old/{MINE}": b"old"}))
    assert answers(got) == {"ada-lovelace": {MINE: "top"}}


@pytest.mark.parametrize(("later", "counts"), [("b.zip", "second"), ("a.zip", "first")])
def test_of_two_archives_the_newer_counts(tmp_path: Path, later: str, counts: str) -> None:
    """Also where the newer one has the notebook under another name: then the older must not be looked at."""
    student = "Ada Lovelace_1_assignsubmission_file_"
    first = packed(tmp_path, {f"{student}/{MINE}": b"first", f"Ben_2_assignsubmission_file_/{MINE}": b"his"}, "a.zip")
    second = packed(tmp_path, {f"{student}/{SLUG} (2).ipynb": b"second"}, "b.zip")
    for path in (first, second):
        os.utime(path, (time.time() - (0 if path.name == later else 3600),) * 2)
    got, notes = taken(first, second)
    assert [*answers(got)["ada-lovelace"].values()] == [counts]
    assert answers(got)["ben"] == {MINE: "his"}
    assert "In several archives, of which the newest counts: ada-lovelace." in notes
    assert taken(tmp_path)[0] == got  # a folder with both in it


def test_a_zip_archive_that_was_handed_in_is_looked_into(tmp_path: Path) -> None:
    own = zipped({f"work/{MINE}": b"mine", "work/data.csv": b"1", f"__MACOSX/work/._{MINE}": b"?"})
    got, notes = taken(packed(tmp_path, {"ada_1_22_work.zip": own, "ben_2_23_work.zip": zipped({"a.txt": b"?"})}))
    assert answers(got)["ada-1"] == {MINE: "mine"}
    assert list(got["ben-2"]) == [NO_NOTEBOOK]
    assert "ben-2 handed in no notebook, but: work.zip." in notes


def test_who_handed_in_no_notebook_is_seen(tmp_path: Path) -> None:
    got, notes = taken(packed(tmp_path, {"ada_1_22_essay.pdf": b"%PDF", "ben_2_text.html": b"see attached"}))
    assert answers(got) == {"ada-1": {NO_NOTEBOOK: "No notebook was handed in, but: essay.pdf\n"}}
    assert "ada-1 handed in no notebook, but: essay.pdf." in notes
    assert "No file, only a text that was typed in, came from: 'ben'." in notes


def test_a_folder_is_as_good_as_the_archive(tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    for name in (f"Ada L_1_assignsubmission_file_/{MINE}", f"Ada L_1_assignsubmission_file_/x/{SLUG}-1.ipynb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"mine")
    (folder / f"lovelaceada_1_2_{MINE}").write_bytes(b"hers")
    (folder / "bitben_2_3_work.zip").write_bytes(zipped({MINE: b"his"}))
    got, _ = taken(folder)
    assert answers(got) == {
        "ada-l": {MINE: "mine"},
        "lovelaceada-1": {MINE: "hers"},
        "bitben-2": {MINE: "his"},
    }


# --------------------------------------------------------------------------------------------------------------- roster


ROSTER = [
    Student("al", "Ada", "Lovelace", "ada@uni.example", "12345"),
    Student("bb", "Ben", "Bit"),
    Student("wz1", "Wei", "Zhang"),
    Student("wz2", "Wei", "Zhang"),
]


@pytest.mark.parametrize(
    ("file", "student"),
    [
        (f"renamedada_12345_2_{MINE}", "al"),
        (f"bitben_77_2_{MINE}", "bb"),
        (f"lovelaceada_99_2_{MINE}", "lovelaceada-99"),  # somebody else of this name
        (f"zhangwei_5_2_{MINE}", "zhangwei-5"),
        (f"Ben Bit_4_assignsubmission_file_/{MINE}", "bb"),
        (f"Wei Zhang_4_assignsubmission_file_/{MINE}", "wei-zhang"),
        (f"bb/{MINE}", "bb"),
        (f"Ada Lovelace/{MINE}", "al"),
        (f"ada@uni.example_{MINE}", "al"),
        (f"carol/{MINE}", "carol"),
    ],
)
def test_students_of_the_gradebook_are_found(tmp_path: Path, file: str, student: str) -> None:
    got, notes = taken(packed(tmp_path, {file: b"?"}), known=ROSTER)
    assert list(got) == [student]
    assert ("Not in the gradebook yet" in notes) == (student not in {one.id for one in ROSTER})


def test_nobody_gets_the_work_of_a_namesake(tmp_path: Path) -> None:
    files = {f"Ben Bit_{number}_assignsubmission_file_/{MINE}": str(number).encode() for number in (1, 2)}
    got, notes = taken(packed(tmp_path, files), known=ROSTER)
    assert answers(got) == {"ben-bit-1": {MINE: "1"}, "ben-bit-2": {MINE: "2"}}
    assert "2 people have the name 'Ben Bit'" in notes


def test_a_new_id_is_nobodys(tmp_path: Path) -> None:
    """Two in the gradebook may be this Wei Zhang; one of them has the id that would be made of the name."""
    known = [Student("wei-zhang"), Student("wz2", "Wei", "Zhang")]
    got, notes = taken(packed(tmp_path, {f"Wei Zhang_4711_assignsubmission_file_/{MINE}": b"?"}), known=known)
    assert list(got) == ["wei-zhang-4711"]
    assert "Not in the gradebook yet: wei-zhang-4711." in notes


def test_ids_stay_the_same_from_lesson_to_lesson(tmp_path: Path) -> None:
    canvas = {f"lovelaceada_1_22_{MINE}": b"?"}
    moodle = {f"Ada Lovelace_4711_assignsubmission_file_/{MINE}": b"?"}
    for files in (canvas, moodle):
        (first,), _ = taken(packed(tmp_path, files))
        later = {name.replace("4711", "5822").replace("_22_", "_99_"): data for name, data in files.items()}
        (second,), _ = taken(packed(tmp_path, later), known=[Student(first), Student("somebody-else")])
        assert first == second


# -------------------------------------------------------------------------------------------------------------- hostile


PIECES = (
    "ada", "_", "12", "_12345", "_678_", "LATE", "anon_aB3dE", "_assignsubmission_", "file", "_file_", "onlinetext",
    SLUG, "2.1", "-1", " (2)", ".ipynb", ".zip", "/", "..", ".", "\\", "C:", " ", "李", "ऐ", "e\u0301", "\u202e",
    "\x1b[31m", "\n", "=", "x" * 150, "__MACOSX",
)  # fmt: skip


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        (f"../../ada/{MINE}", b"?", "has a path that leads out of the archive"),
        (f"ada/../../../{MINE}", b"?", "has a path that leads out of the archive"),
        (f"/etc/{MINE}", b"?", "has a path that leads out of the archive"),
        (f"C:\\ada\\{MINE}", b"?", "has a path that leads out of the archive"),
        (f"ada\\..\\..\\{MINE}", b"?", "has a path that leads out of the archive"),
        (link(f"ada/{MINE}"), b"/etc/passwd", "is a link, a pipe or a device"),
        (f"ada/{MINE}", b"0" * 2_000, "is larger than 0.001 MB"),
        ("ada/work.zip", b"PK, but no archive", "cannot be read as a zip archive"),
        ("ada/work.zip", zipped({MINE: b"0" * 2_000}), "is larger than 0.001 MB"),
        ("ada/work.zip", zipped({f"../{MINE}": b"?"}), "has a path that leads out of the archive"),
        ("ada/work.zip", zipped({link(MINE): b"/etc/passwd"}), "is a link, a pipe or a device"),
        ("ada/work.zip", zipped({MINE: b"?"}, zipfile.ZIP_LZMA), "is packed in an unusual way"),
    ],
)
def test_what_cannot_be_trusted_is_left_out(
    tmp_path: Path, name: str | zipfile.ZipInfo, data: bytes, sentence: str
) -> None:
    files: dict[str | zipfile.ZipInfo, bytes] = {name: data, f"ben/{MINE}": b"his"}
    got, notes = taken(packed(tmp_path, files), limits=DeliveryLimits(file_bytes=1_000))
    assert sentence in notes
    assert answers(got).pop("ben") == {MINE: "his"}
    assert all(list(contents) == [NO_NOTEBOOK] for student, contents in got.items() if student != "ben")
    assert [path.name for path in tmp_path.rglob("*")] == ["submissions.zip"]


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / MINE).write_bytes(b"secret")
    folder = tmp_path / "unpacked"
    (folder / "ada").mkdir(parents=True)
    (folder / "ada" / MINE).symlink_to(secret / MINE)
    (folder / "ben").symlink_to(secret)
    (folder / "all.zip").symlink_to(packed(tmp_path, {f"eve/{MINE}": b"?"}))
    got, notes = taken(folder)
    assert b"secret" not in {data for files in got.values() for data in files.values()}
    assert "is a link, a pipe or a device" in notes
    assert list(got) == ["ada"]


def test_a_damaged_file_in_an_archive_is_said(tmp_path: Path) -> None:
    path = packed(tmp_path, {f"ada/{MINE}": b"A" * 50 + bytes(range(250)), f"ben/{MINE}": b"his"})
    data = bytearray(path.read_bytes())
    data[len(f"ada/{MINE}") + 40] ^= 0xFF
    path.write_bytes(data)
    got, notes = taken(path)
    assert answers(got)["ben"] == {MINE: "his"}
    assert f"ada: {MINE} cannot be read (" in notes
    assert list(got["ada"]) == [NO_NOTEBOOK]


def counted(patch: pytest.MonkeyPatch) -> list[object]:
    """The archives that are opened from now on."""
    opened: list[object] = []

    class Counted(zipfile.ZipFile):
        def __init__(self, file: Any, *more: Any) -> None:
            opened.append(file)
            super().__init__(file, *more)

    patch.setattr(zipfile, "ZipFile", Counted)
    return opened


def test_an_archive_of_thousands_of_files_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read its list takes a quarter of a second, each time."""
    bomb = zipped({f"{number}.txt": b"" for number in range(20_000)} | {MINE: b"hers"})
    path = packed(tmp_path, {"ada/work.zip": bomb, f"ben/{MINE}": b"his"})
    opened = counted(monkeypatch)
    got, notes = taken(path)
    assert opened == [path]
    assert "it holds 20,001 files" in notes
    assert answers(got)["ben"] == {MINE: "his"} and list(got["ada"]) == [NO_NOTEBOOK]


def test_an_archive_in_an_archive_is_not_opened_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = zipped({f"{number}.ipynb": b"?" for number in range(15)})
    path = packed(tmp_path, {f"{name}/work.zip": inner for name in ("ada", "ben")})
    opened = counted(monkeypatch)
    got, _ = taken(path)
    assert [len(files) for files in got.values()] == [15, 15]
    assert len(opened) == 1 + 2 * 2  # once to see what is in it, once to read that


def test_many_notebooks_of_one_student(tmp_path: Path) -> None:
    got, notes = taken(packed(tmp_path, {f"ada/{n}.ipynb": b"?" for n in range(30)}), limits=DeliveryLimits(files=5))
    assert len(got["ada"]) == 5
    assert "ada: 30 notebooks were handed in; the first 5 were taken." in notes


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join), min_size=1, max_size=8))
def test_no_names_are_too_strange(tmp_path: Path, names: list[str]) -> None:
    """Whatever an archive's paths are: folders and files get safe names, and nothing is lost in silence."""
    own = [f"{name}/{number}.ipynb" for number, name in enumerate(names)] + [f"{name}.ipynb" for name in names]
    got, notes = taken(packed(tmp_path, {name: name.encode() for name in own}))
    for student, files in got.items():
        for name in (student, *files):
            assert name.isprintable() and len(name.encode()) < 200
            assert not set(name) & set("/\\") and not name.startswith(".")
    contents = {data for files in got.values() for data in files.values()}
    lost = [re.split(r"[/\\]", name) for name in own if name.encode() not in contents]
    assert notes or all(any(part[:1] == "." or part == "__MACOSX" for part in parts) for parts in lost)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (DeliveryLimits(entries=2), "holds more than 2 files"),
        (DeliveryLimits(total_bytes=20), "Are these the right files?"),
    ],
)
def test_too_much_is_refused_before_it_is_unpacked(tmp_path: Path, limits: DeliveryLimits, sentence: str) -> None:
    path = packed(tmp_path, {f"{name}/{MINE}": b"0" * 10 for name in ("ada", "ben", "carol")})
    with pytest.raises(CollectError, match=sentence.replace("?", r"\?")):
        taken(path, limits=limits)


# ------------------------------------------------------------------------------------------------------ into the course


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course folder with a released lesson that nobody has handed in."""
    root = tmp_path / "course"
    for kind in ("notebooks", "release"):
        (root / kind).mkdir(parents=True)
    shutil.copy(ROOT / CONFIG_NAME, root)
    shutil.copytree(ROOT / "notebooks" / SLUG, root / "notebooks" / SLUG)
    shutil.copytree(ROOT / "release" / SLUG, root / "release" / SLUG)
    return Course(root)


def submitted(course: Course) -> Got:
    folder = course.root / "submitted"
    assert not list(folder.glob("*/.*")), "something is left over"
    return {
        path.parent.name: {file.name: file.read_bytes() for file in path.iterdir()} for path in folder.glob(f"*/{SLUG}")
    }


def trainloop(course: Course, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(course.root)
        return CliRunner().invoke(app, list(words))


def test_collect_puts_submissions_where_they_are_graded(course: Course, tmp_path: Path) -> None:
    archive = packed(tmp_path, {f"lovelaceada_LATE_1_22_{MINE}": b"hers", f"bitben_2_23_{MINE}": b"his"})
    result = trainloop(course, "collect", "2.1", str(archive))
    assert result.exit_code == 0, result.output
    assert f"{SLUG}: 2 students: 2 new, 0 changed, 0 as before." in result.output
    assert "Late, by Canvas's word: lovelaceada-1." in result.output
    assert answers(submitted(course)) == {"lovelaceada-1": {MINE: "hers"}, "bitben-2": {MINE: "his"}}
    assert archive.exists()


def test_collecting_again_changes_only_what_is_new(course: Course, tmp_path: Path) -> None:
    first = {f"lovelaceada_1_22_{MINE}": b"hers", f"bitben_2_23_{MINE}": b"his", f"zhangwei_3_24_{MINE}": b"theirs"}
    collect(course, SLUG, [packed(tmp_path, first)])
    kept = course.root / "submitted" / "bitben-2" / SLUG
    (kept / "timestamp.txt").write_text("2026-01-01 12:00:00")
    before = kept.stat().st_mtime_ns
    left = course.root / "submitted" / "lovelaceada-1" / f".{SLUG}.part"
    left.mkdir()
    (left / "half.ipynb").write_bytes(b"of a run that was killed")
    second = {
        f"lovelaceada_1_99_{SLUG} (1).ipynb": b"better",
        f"bitben_2_23_{MINE}": b"his",
        f"hoppergrace_4_25_{MINE}": b"late",
    }
    collected = collect(course, SLUG, [packed(tmp_path, second)])
    assert dict(collected.kinds) == {"bitben-2": "as before", "hoppergrace-4": "new", "lovelaceada-1": "changed"}
    assert str(collected) == "3 students: 1 new, 1 changed, 1 as before."
    assert kept.stat().st_mtime_ns == before and (kept / "timestamp.txt").exists()
    assert answers(submitted(course))["lovelaceada-1"] == {f"{SLUG} (1).ipynb": "better"}
    assert answers(submitted(course))["zhangwei-3"] == {MINE: "theirs"}  # is in the first archive alone


def test_the_gradebook_is_asked_who_they_are(course: Course, tmp_path: Path) -> None:
    directory = course.directory(SLUG)
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        gradebook.add_student("al", first_name="Ada", last_name="Lovelace", lms_user_id="12345")
    collect(course, SLUG, [packed(tmp_path, {f"x_12345_22_{MINE}": b"hers"})])
    assert answers(submitted(course)) == {"al": {MINE: "hers"}}


def test_no_gradebook_is_made_by_asking(course: Course, tmp_path: Path) -> None:
    collect(course, SLUG, [packed(tmp_path, {f"ada/{MINE}": b"hers"})])
    assert not (course.root / "gradebook.db").exists()


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("there-is-none.zip", None, "There is no"),
        ("cut.zip", b"PK\x03\x04 and no more", "Was the download cut off? Download it again."),
        ("empty.zip", zipped({}), "There are no submissions in"),
        ("other.zip", zipped({"hello.txt": b"?"}), "Whose these are cannot be told"),
        ("essay.pdf", b"%PDF", "Whose these are cannot be told"),
    ],
)
def test_collect_refuses_in_a_sentence(
    course: Course, tmp_path: Path, name: str, data: bytes | None, sentence: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    result = trainloop(course, "collect", "2.1", str(tmp_path / name))
    assert result.exit_code == 1
    assert sentence in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (course.root / "submitted").exists()


def test_a_folder_that_cannot_be_written(course: Course, tmp_path: Path) -> None:
    (course.root / "submitted").write_text("in the way")
    result = trainloop(course, "collect", "2.1", str(packed(tmp_path, {f"ada/{MINE}": b"hers"})))
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert "cannot be written: " in said and "0 of 1 students have been collected." in said


def test_one_that_cannot_be_put_there_costs_no_other(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = collect_module._put

    def full(place: Path, contents: Mapping[str, bytes]) -> Any:
        if "ben" in str(place):
            raise OSError(28, "No space left on device")
        return real(place, contents)

    files = {f"{name}/{MINE}": name.encode() for name in ("ada", "ben", "carol")}
    with monkeypatch.context() as patch:
        patch.setattr(collect_module, "_put", full)
        result = trainloop(course, "collect", "2.1", str(packed(tmp_path, files)))
    assert result.exit_code == 1 and "ben could not be collected" in " ".join(result.output.split())
    assert set(submitted(course)) == {"ada", "carol"}
    assert trainloop(course, "collect", "2.1", str(packed(tmp_path, files))).exit_code == 0
    assert set(submitted(course)) == {"ada", "ben", "carol"}


# ----------------------------------------------------------------------------------------------- nbgrader's own command


def zip_collect(course: Course, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPTS / "nbgrader"), "zip_collect", SLUG, *options],
        cwd=course.root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def deliver(course: Course, files: Files, name: str = "submissions.zip") -> Path:
    folder = course.root / "downloaded" / SLUG / "archive"
    folder.mkdir(parents=True, exist_ok=True)
    return packed(folder, files, name)


def test_nbgrader_collects_as_we_do(course: Course, tmp_path: Path) -> None:
    """All formats at once, with nothing set but what this course's configuration says."""
    files: Files = {
        f"lovelaceada_LATE_12345_678_{SLUG}-1.ipynb": b"second",
        f"lovelaceada_12345_600_{MINE}": b"first",
        f"लवलेसऐडा_7_679_{MINE}": b"ada",
        "bitben_8_680_essay.pdf": b"%PDF",
        f"Seán O’Brien_4711_assignsubmission_file_/work/{SLUG} (2).ipynb": b"sean",
        "Seán O’Brien_4711_assignsubmission_onlinetext_/onlinetext.html": b"see attached",
        f"李 小龍_4712_assignsubmission_file_{MINE}": b"bruce",
        f"../../../escaped/{MINE}": b"?",
        link(f"eve/{MINE}"): b"/etc/passwd",
    }
    deliver(course, files)
    (course.root / "downloaded" / SLUG / "archive" / f"s12_{MINE}").write_bytes(b"plain")
    done = zip_collect(course)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    expected = {
        "lovelaceada-12345": {MINE: "second"},
        "लवलेसऐडा-7": {MINE: "ada"},
        "bitben-8": {NO_NOTEBOOK: "No notebook was handed in, but: essay.pdf\n"},
        "seán-obrien": {f"{SLUG} (2).ipynb": "sean"},
        "李-小龍": {MINE: "bruce"},
        "eve": {NO_NOTEBOOK: f"No notebook was handed in, but: {MINE}\n"},
        "s12": {MINE: "plain"},
    }
    assert answers(submitted(course)) == expected
    for sentence in (
        "lovelaceada-12345: of 2 files the newest counts",
        "Late, by Canvas's word: lovelaceada-12345.",
        "bitben-8 handed in no notebook, but: essay.pdf.",
        "has a path that leads out of the archive, and was left out.",
        "is a link, a pipe or a device, and was left out.",
    ):
        assert sentence in said
    assert not list(tmp_path.rglob("escaped"))
    shutil.rmtree(course.root / "submitted")
    collect(course, SLUG, [course.root / "downloaded" / SLUG / "archive"])
    assert answers(submitted(course)) == expected


def test_nbgrader_refuses_before_anything_is_lost(course: Course) -> None:
    deliver(course, {f"ada_1_22_{MINE}": b"first", f"ben_2_23_{MINE}": b"his"})
    assert zip_collect(course).returncode == 0
    shutil.rmtree(course.root / "submitted" / "ada-1")
    shutil.rmtree(course.root / "downloaded" / SLUG / "extracted")
    deliver(course, {f"ada_1_99_{MINE}": b"second", f"ben_2_98_{MINE}": b"his second"})
    refused = zip_collect(course)
    assert refused.returncode == 1
    assert "There are submissions already of: ben-2." in refused.stderr
    assert "--force" in refused.stderr and "Traceback" not in refused.stderr
    assert answers(submitted(course)) == {"ben-2": {MINE: "his"}}
    assert zip_collect(course, "--force").returncode == 0
    assert answers(submitted(course)) == {"ada-1": {MINE: "second"}, "ben-2": {MINE: "his second"}}


def test_nbgrader_says_that_an_archive_is_cut_off(course: Course) -> None:
    path = deliver(course, {f"ada_1_22_{MINE}": b"first"})
    path.write_bytes(path.read_bytes()[:40])
    done = zip_collect(course)
    assert done.returncode == 1
    assert "Was the download cut off? Download it again." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (course.root / "submitted").exists()

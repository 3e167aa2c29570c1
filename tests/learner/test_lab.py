"""The learner's working copy: nothing of theirs is overwritten, and everything of ours stays up to date."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.error
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from tests.servers import serving
from trainloop.learner import lab

LESSON = "2.1-tensors"
OTHER = "2.2-losses"
Tree = dict[str, str]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    publish(folder, "one")
    publish(folder, "one", OTHER)
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def publish(release: Path, version: str, lesson: str = LESSON) -> None:
    """Put a version of a lesson into the release; the contents name the version."""
    folder = release / lesson
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{lesson}.ipynb").write_text(notebook(version))
    (folder / "checks.json").write_text(f"checks of {version}")


def notebook(text: str) -> str:
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": text}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def answer(work: Path, text: str = "my answer", folder: str = LESSON) -> None:
    (work / folder / f"{LESSON}.ipynb").write_text(notebook(text))


def kinds(updates: list[lab.Update]) -> dict[str, str]:
    return {update.lesson: update.kind for update in updates}


def tree(folder: Path) -> Tree:
    """All files but the record, by their path in `folder`."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != lab.RECORD)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def version(text: str, folder: str = LESSON, checks: str = "") -> Tree:
    return {f"{folder}/{LESSON}.ipynb": notebook(text), f"{folder}/checks.json": f"checks of {checks or text}"}


def of_lesson(work: Path) -> Tree:
    return {name: text for name, text in tree(work).items() if name.startswith(LESSON)}


def test_first_time_copies_every_lesson(release: Path, work: Path) -> None:
    updates = lab.update(release, work)
    assert updates == [lab.Update(LESSON, "new", work / LESSON), lab.Update(OTHER, "new", work / OTHER)]
    assert tree(work) == tree(release)


def test_second_time_changes_nothing(release: Path, work: Path) -> None:
    lab.update(release, work)
    stamps = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    assert kinds(lab.update(release, work)) == {LESSON: "unchanged", OTHER: "unchanged"}
    assert stamps == {path: path.stat().st_mtime_ns for path in work.rglob("*")}


def test_an_untouched_lesson_is_updated_in_place(release: Path, work: Path) -> None:
    lab.update(release, work)
    publish(release, "two")
    assert kinds(lab.update(release, work)) == {LESSON: "updated", OTHER: "unchanged"}
    assert of_lesson(work) == version("two")


def test_a_lesson_added_to_the_course_is_new(release: Path, work: Path) -> None:
    lab.update(release, work)
    publish(release, "one", "2.3-optimisers")
    assert kinds(lab.update(release, work))["2.3-optimisers"] == "new"


def test_work_stays_while_the_release_is_the_same(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    assert kinds(lab.update(release, work))[LESSON] == "unchanged"
    assert of_lesson(work) == version("my answer", checks="one")


def test_work_keeps_its_own_key_and_the_newer_version_lies_beside(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    publish(release, "two")
    updates = lab.update(release, work)
    assert updates[0] == lab.Update(LESSON, "kept, newer version beside it", work / f"{LESSON}-new")
    assert of_lesson(work) == version("my answer", checks="one") | version("two", f"{LESSON}-new")
    assert kinds(lab.update(release, work))[LESSON] == "unchanged"


def test_an_untouched_version_beside_is_replaced_by_the_next(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    for text in ("two", "three"):
        publish(release, text)
        assert kinds(lab.update(release, work))[LESSON] == "kept, newer version beside it"
    assert of_lesson(work) == version("my answer", checks="one") | version("three", f"{LESSON}-new")


def test_work_in_the_version_beside_stays_too(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    publish(release, "two")
    lab.update(release, work)
    answer(work, "better answer", f"{LESSON}-new")
    publish(release, "three")
    lab.update(release, work)
    assert of_lesson(work) == (
        version("my answer", checks="one")
        | version("better answer", f"{LESSON}-new", checks="two")
        | version("three", f"{LESSON}-new-2")
    )


def test_a_version_beside_that_was_deleted_stays_away_until_a_newer_one(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    publish(release, "two")
    lab.update(release, work)
    remove(work / f"{LESSON}-new")
    assert kinds(lab.update(release, work))[LESSON] == "unchanged"
    assert of_lesson(work) == version("my answer", checks="one")
    publish(release, "three")
    lab.update(release, work)
    assert of_lesson(work) == version("my answer", checks="one") | version("three", f"{LESSON}-new")


@pytest.mark.parametrize("edited", [False, True])
def test_the_version_beside_can_take_the_place_of_the_old_one(release: Path, work: Path, edited: bool) -> None:
    lab.update(release, work)
    answer(work)
    publish(release, "two")
    lab.update(release, work)
    remove(work / LESSON)
    (work / f"{LESSON}-new").rename(work / LESSON)
    if edited:
        answer(work)
    assert kinds(lab.update(release, work))[LESSON] == "unchanged"
    publish(release, "three")
    lab.update(release, work)
    kept = version("my answer", checks="two") | version("three", f"{LESSON}-new")
    assert of_lesson(work) == (kept if edited else version("three"))


def test_a_deleted_lesson_comes_back(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    remove(work / LESSON)
    assert kinds(lab.update(release, work))[LESSON] == "restored"
    assert of_lesson(work) == version("one")


def test_a_deleted_notebook_comes_back_in_its_newest_version(release: Path, work: Path) -> None:
    lab.update(release, work)
    (work / LESSON / f"{LESSON}.ipynb").unlink()
    publish(release, "two")
    assert kinds(lab.update(release, work))[LESSON] == "updated"
    assert of_lesson(work) == version("two")


def test_a_deleted_key_comes_back_for_the_notebook_it_fits(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    (work / LESSON / "checks.json").unlink()
    assert kinds(lab.update(release, work))[LESSON] == "restored"
    assert of_lesson(work) == version("my answer", checks="one")


def test_a_newer_key_is_never_put_to_an_older_notebook(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    (work / LESSON / "checks.json").unlink()
    publish(release, "two")
    for _ in range(2):
        lab.update(release, work)
        assert not (work / LESSON / "checks.json").exists()


def test_files_of_the_learner_are_left_alone(release: Path, work: Path) -> None:
    lab.update(release, work)
    notes = work / LESSON / "notes.md"
    notes.write_text("mine")
    publish(release, "two")
    assert kinds(lab.update(release, work))[LESSON] == "updated"
    assert notes.read_text() == "mine"


def test_other_files_of_a_lesson_travel_with_it_but_hidden_ones_do_not(release: Path, work: Path) -> None:
    for name in ("data/moons.csv", ".ipynb_checkpoints/old.ipynb"):
        (release / LESSON / name).parent.mkdir()
        (release / LESSON / name).write_text("x")
    lab.update(release, work)
    assert (work / LESSON / "data/moons.csv").read_text() == "x"
    assert not (work / LESSON / ".ipynb_checkpoints").exists()


def test_a_folder_that_was_there_before_is_the_learners(release: Path, work: Path) -> None:
    (work / LESSON).mkdir(parents=True)
    answer(work)
    assert kinds(lab.update(release, work))[LESSON] == "kept, newer version beside it"
    assert of_lesson(work) == {f"{LESSON}/{LESSON}.ipynb": notebook("my answer")} | version("one", f"{LESSON}-new")


def test_whatever_stands_in_the_way_is_not_overwritten(release: Path, work: Path) -> None:
    work.mkdir()
    (work / LESSON).write_text("a file where the lesson's folder should be")
    (work / OTHER).mkdir()
    link = work / OTHER / f"{OTHER}.ipynb"
    link.symlink_to("nowhere")
    assert set(kinds(lab.update(release, work)).values()) == {"kept, newer version beside it"}
    assert (work / LESSON).read_text() == "a file where the lesson's folder should be"
    assert link.is_symlink()
    assert of_lesson(work / f"{LESSON}-new").keys() == {f"{LESSON}.ipynb"}


@pytest.mark.parametrize("writes", range(6))
def test_an_interrupted_update_is_completed_by_the_next(
    release: Path, work: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.update(release, work)
    work_of_other = notebook("my answer")
    (work / OTHER / f"{OTHER}.ipynb").write_text(work_of_other)
    publish(release, "two")
    publish(release, "two", OTHER)

    done: list[Path] = []
    replace = Path.replace

    def interrupted(part: Path, target: Path) -> Path:
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(target)
        return replace(part, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lab.update(release, work)
    assert not list(work.rglob("*.part"))
    if of_lesson(work)[f"{LESSON}/{LESSON}.ipynb"] == notebook("two"):
        assert of_lesson(work) == version("two"), "the notebook is newer than its key"

    lab.update(release, work)
    assert of_lesson(work) == version("two")
    assert (work / OTHER / f"{OTHER}.ipynb").read_text() == work_of_other
    assert (work / OTHER / "checks.json").read_text() == "checks of one"
    assert (work / f"{OTHER}-new" / "checks.json").read_text() == "checks of two"
    assert not (work / f"{LESSON}-new").exists()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"[" * 100_000,
        b'{"format": 2, "lessons": {}}',
        b'{"format": 1, "lessons": []}',
        b'{"format": 1, "lessons": {"2.1-tensors": 3}}',
        b'{"format": 1, "lessons": {"2.1-tensors": {"2.1-tensors": []}}}',
        b'{"format": 1, "lessons": {"2.1-tensors": {"2.1-tensors": {"checks.json": 1}}}}',
    ],
)
def test_a_damaged_record_is_a_sentence_and_nothing_is_written(release: Path, work: Path, damage: bytes) -> None:
    lab.update(release, work)
    answer(work)
    publish(release, "two")
    (work / lab.RECORD).write_bytes(damage)
    before = tree(work)
    with pytest.raises(lab.LabError, match=r"damaged.*delete this file"):
        lab.update(release, work)
    assert tree(work) == before


def test_without_its_record_work_is_still_not_overwritten(release: Path, work: Path) -> None:
    lab.update(release, work)
    answer(work)
    (work / lab.RECORD).unlink()
    assert kinds(lab.update(release, work)) == {LESSON: "kept, newer version beside it", OTHER: "unchanged"}
    assert of_lesson(work) == version("my answer", checks="one") | version("one", f"{LESSON}-new")
    publish(release, "two", OTHER)
    assert kinds(lab.update(release, work))[OTHER] == "updated"


def test_a_release_without_lessons_is_refused(tmp_path: Path, work: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(lab.LabError, match="There are no lessons"):
        lab.update(tmp_path / "empty", work)


def test_the_working_copy_cannot_be_the_release(release: Path) -> None:
    with pytest.raises(lab.LabError, match="Choose another folder"):
        lab.update(release, release / "work")


def test_a_folder_that_cannot_be_made_is_a_sentence(release: Path, work: Path) -> None:
    work.write_text("a file")
    with pytest.raises(lab.LabError, match="could not be brought up to date"):
        lab.update(release, work)


@pytest.mark.parametrize("asked", [LESSON, "2.1"])
def test_a_lesson_is_found_by_its_slug_or_number(release: Path, work: Path, asked: str) -> None:
    lab.update(release, work)
    answer(work)
    publish(release, "two")
    lab.update(release, work)
    assert lab._find(work, asked) == f"{LESSON}/{LESSON}.ipynb"


@pytest.mark.parametrize("asked", ["2", "9.9", "../release/2.1-tensors", ""])
def test_a_lesson_that_is_not_there_is_a_sentence(release: Path, work: Path, asked: str) -> None:
    lab.update(release, work)
    with pytest.raises(lab.LabError, match=f"{LESSON}, {OTHER}"):
        lab.launch(work, asked)


def test_jupyterlab_serves_the_working_copy_and_ends_on_an_interrupt(release: Path, work: Path) -> None:
    lab.update(release, work)
    home = work.parent
    code = "import sys; from pathlib import Path; from trainloop.learner import lab; "
    code += f"sys.exit(lab.launch(Path({str(work)!r}), '2.1', browser=False, options=['--port=0']))"
    env = os.environ | {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    with serving([sys.executable, "-c", code], home / "log", home / "runtime", env) as server:
        assert server.folder("") == {LESSON, OTHER}
        assert server.folder(LESSON) == {f"{LESSON}.ipynb", "checks.json"}
        assert f"/lab/tree/{LESSON}/{LESSON}.ipynb" in server.said
        assert '"news": {"disabled": true}' in server.ask("lab")
        assert server.ask("nbgrader_version?version=any"), "Validate is served"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            server.ask("formgrader/api/assignments")
        assert server.stop(signal.SIGINT) == 0
        assert "Traceback" not in server.said


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_a_kernel_loads_torch_by_itself_and_leaves_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", str(lab.CONFIG / "startup.py"))
    names = "sorted(name for name in ('importlib', 'sys', 'threading', 'torch') if name in globals())"
    wait = "import sys, time\nfor _ in range(1200):\n    time.sleep(0.1 * ('torch' not in sys.modules))"
    cells = [new_code_cell(source) for source in (f"print({names})", f"{wait}\nprint('torch' in sys.modules)")]
    notebook = new_notebook(cells=cells)
    NotebookClient(
        notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert [cell.outputs[0].text for cell in notebook.cells] == ["[]\n", "True\n"]

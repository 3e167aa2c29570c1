"""The optional notebook as a learner meets it: hints are counted, `hunt` tells how far one is, nobody is unfinished."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT
from trainloop.checks import rules
from trainloop.checks.key import SOLUTIONS_NAME, VISIBLE_NAME, CheckKey, ExerciseKey, Key
from trainloop.checks.values import encode
from trainloop.checks.worked import Worked, dump
from trainloop.course import CONFIG_NAME
from trainloop.learner import counted, instant, lab, start
from trainloop.learner.counted import ANSWER, FILE_NAME, Count
from trainloop.learner.hunt import hunt, summary_lines
from trainloop.learner.instant import ChecksFailed, check, hint
from trainloop.learner.progress import progress, progress_table
from trainloop.learner.worked import solution
from trainloop.syllabus import MODULES, OPTIONAL, is_optional, titles

HINTS = (("Where?", "Look."), ("Why?", "Think."), ("Tell me.", "It is lesson 2.5."))


def exercise(name: str, lesson: str = "2.5") -> ExerciseKey:
    value = {"saw": "value", "value": encode(2)}
    hints = (*HINTS[:2], ("Tell me.", f"It is lesson {lesson}."))
    checks = (CheckKey("twice", f"{name}(1)", 1.0, False, rules.close(), value, ()),)
    return ExerciseKey(name, "Script 1", (name,), 1.0, (), checks, hints)


KEY = Key("4.1-bugs", {"f": exercise("f"), "g": exercise("g", "1.1"), "h": exercise("h", "3.2")}, {})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the key of three scripts, in a session in which nothing was checked."""
    return session(tmp_path, monkeypatch, KEY)


def session(folder: Path, monkeypatch: pytest.MonkeyPatch, key: Key) -> Path:
    (folder / VISIBLE_NAME).write_text(key.visible().dump(), encoding="utf-8")
    worked = {name: Worked(f"def {name}(x):\n    return 2 * x") for name in key.exercises}
    (folder / SOLUTIONS_NAME).write_text(dump(worked), encoding="utf-8")
    monkeypatch.setattr(instant, "FIRST_FOLDER", folder)
    monkeypatch.setattr(instant, "_session", instant._Session())
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(In=[""]))
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


# --------------------------------------------------------------------------------------------------------------- count


def test_each_hint_that_is_read_before_the_script_is_mended_counts_once(folder: Path) -> None:
    hint("f")  # the list of them is free
    assert not (folder / FILE_NAME).exists()
    for number in (2, 1, 2):
        hint("f", number)
    hint("f", 9)  # there is no such hint
    assert counted.read(folder) == {"f": Count(frozenset({1, 2}))}
    check("f", {"twice": lambda: 2})
    hint("f", 3)
    assert counted.read(folder) == {"f": Count(frozenset({1, 2}), mended=True)}


def test_a_script_that_fails_is_not_mended_and_one_that_was_stays_so(folder: Path) -> None:
    with pytest.raises(ChecksFailed):
        check("f", {"twice": lambda: 3})
    assert counted.read(folder) == {}
    check("f", {"twice": lambda: 2})
    with pytest.raises(ChecksFailed):
        check("f", {"twice": lambda: 3})
    assert counted.read(folder) == {"f": Count(mended=True)}


def test_the_lesson_is_told_once_the_checks_have_passed_and_not_before(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ChecksFailed) as failed:
        check("g", {"twice": lambda: 3})
    assert "1.1" not in said(capsys) + str(failed.value)
    check("g", {"twice": lambda: 2})
    assert f"a matter of lesson 1.1, {titles()['1.1']}" in said(capsys)


@pytest.mark.parametrize("number", ["1.1", "2.5", "3.9"])
def test_a_title_that_ends_in_a_question_mark_has_no_full_stop_behind_it(
    number: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session(folder, monkeypatch, Key("4.1-bugs", {"f": exercise("f", number)}, {}))
    check("f", {"twice": lambda: 2})
    title = titles()[number]
    assert said(capsys).endswith(f"lesson {number}, {title}" if title.endswith("?") else f"lesson {number}, {title}.")


def test_a_worked_answer_that_is_asked_for_early_counts(folder: Path) -> None:
    solution("f")  # asks first
    assert counted.read(folder) == {}
    solution("f", sure=True)
    assert counted.read(folder) == {"f": Count(frozenset({ANSWER}))}


def test_in_a_lesson_nothing_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session(tmp_path, monkeypatch, replace(KEY, lesson="2.5-pipelines"))
    hint("f", 1)
    solution("g", sure=True)
    check("f", {"twice": lambda: 2})
    assert not (tmp_path / FILE_NAME).exists()
    assert "a matter of lesson" not in said(capsys)
    hunt()
    assert "nothing to hunt for" in said(capsys)


def test_nothing_is_kept_beside_the_release_that_all_get_copies_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CONFIG_NAME).touch()
    for place in ("release", "work"):
        folder = tmp_path / place / "4.1-bugs"
        folder.mkdir(parents=True)
        session(folder, monkeypatch, KEY)
        hint("f", 1)
        assert (folder / FILE_NAME).exists() == (place == "work")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"f": 1}', '{"f": {"hints": ["one"], "mended": true}}', "[" * 100_000, "\udcff"]
)
def test_a_damaged_file_counts_as_none(folder: Path, text: str) -> None:
    (folder / FILE_NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert counted.read(folder) == {}
    hint("f", 1)
    assert counted.read(folder) == {"f": Count(frozenset({1}))}


def test_where_nothing_can_be_written_the_hint_is_still_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(counted, "write_whole", full)
    hint("f", 1)
    assert "Look." in said(capsys)


# ----------------------------------------------------------------------------------------------------------------- say


def test_who_has_done_nothing_reads_which_lessons_but_not_which_script_is_of_which(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hunt()
    text = said(capsys)
    assert text.startswith("0 of 3 scripts mended: 0 unaided, 0 with hints, 0 after the worked answer. Hints read: 0.")
    assert "Not mended yet: f, g, h." in text
    assert [number for number in titles() if f" {number} " in text] == ["1.1", "2.5", "3.2"]


def test_unaided_with_hints_and_after_the_answer_are_told_apart(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hint("g", 1)
    solution("h", sure=True)
    for name in KEY.exercises:
        check(name, {"twice": lambda: 2})
    capsys.readouterr()
    hunt()
    text = said(capsys)
    assert text.startswith("3 of 3 scripts mended: 1 unaided, 1 with hints, 1 after the worked answer. Hints read: 1.")
    assert "Not mended" not in text
    assert [number for number in titles() if f" {number} " in text] == ["3.2"]  # where the answer helped


def test_the_last_hint_names_a_lesson_to_read_again_and_an_earlier_one_does_not() -> None:
    counts = {name: Count(mended=True) for name in KEY.exercises}
    early, last = Count(frozenset({1, 2}), mended=True), Count(frozenset({3}), mended=True)
    assert "stayed" in list(summary_lines(KEY, {**counts, "f": early}))[-1]
    assert list(summary_lines(KEY, {**counts, "f": last}))[-1] == f"  2.5  {titles()['2.5']}"


def test_without_a_folder_what_passed_in_this_session_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check("f", {"twice": lambda: 2})
    (folder / FILE_NAME).unlink()
    capsys.readouterr()
    hunt()
    assert said(capsys).startswith("1 of 3 scripts mended: 1 unaided")


# ------------------------------------------------------------------------------------------------------------ optional


def done(work: Path, optional: bool) -> None:
    """Let the lessons of a working copy, or what is optional in it, say that every check has passed."""
    for path in lab.lessons(work):
        if is_optional(path.name) != optional:
            continue
        file = path / f"{path.name}.ipynb"
        notebook = json.loads(file.read_text(encoding="utf-8"))
        key = Key.load(path / VISIBLE_NAME)
        lines = [f"All 99 checks of `{name}` passed.\n" for name in key.exercises]
        output = {"output_type": "stream", "name": "stdout", "text": lines}
        next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")["outputs"] = [output]
        file.write_text(json.dumps(notebook), encoding="utf-8")


def test_the_optional_is_in_the_plan_behind_the_lessons_and_is_none_of_them() -> None:
    lessons = [number for module in MODULES for number in module.lessons]
    assert len(lessons) == 22 and not any(map(is_optional, lessons))
    assert list(titles()) == [*lessons, *OPTIONAL.lessons]
    released = [path.name.split("-")[0] for path in lab.lessons(ROOT / "release")]
    assert released == list(titles())


def test_who_has_done_all_lessons_is_done_and_may_go_on(tmp_path: Path) -> None:
    release = ROOT / "release"
    lab.update(release, tmp_path)
    done(tmp_path, optional=False)
    text = start.page(start.rows(release, tmp_path))
    assert "**You have done every lesson that there is so far.** [What you solved](" in text
    assert " If you like: [4.1 " in text
    solved = start.solved_page(start.rows(release, tmp_path))
    assert "All checks of 22 lessons have passed" in solved and "4.1 " not in solved
    assert "\n22 of 22 lessons done, " in text
    assert f"\n## {OPTIONAL.title}\n" in text and "## Further lessons" not in text
    assert text.index(OPTIONAL.title) > text.index("[3.9 ")
    table = progress_table(progress(release, tmp_path))
    assert str(table.caption).startswith("22 of 22 lessons done.")
    assert str(list(table.columns[0].cells)[-1]).endswith("(optional)")
    done(tmp_path, optional=True)
    assert "If you like" not in start.page(start.rows(release, tmp_path))


def test_who_has_done_the_optional_alone_is_told_where_to_begin(tmp_path: Path) -> None:
    release = ROOT / "release"
    lab.update(release, tmp_path)
    done(tmp_path, optional=True)
    text = start.page(start.rows(release, tmp_path))
    assert "**Begin with [1.1 " in text and "\n0 of 22 lessons done, " in text

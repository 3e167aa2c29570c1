"""`disagree`: what is kept when a learner says that a verdict is not true, and what is read of it again."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainloop.checks import rules
from trainloop.checks.key import VISIBLE_NAME, CheckKey, ExerciseKey, Key
from trainloop.checks.values import encode
from trainloop.learner import instant
from trainloop.learner.disagreements import (
    FILE_NAME,
    MAX_BYTES,
    MAX_KEPT,
    MAX_WHY,
    DamagedFileError,
    Disagreement,
    disagree,
    read,
)
from trainloop.learner.instant import ChecksFailed, check

ANSWER = "def f(x):\n    return x + 7"


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the key of one exercise, in a session in which nothing was checked."""
    checks = (CheckKey("twice", "f(1)", 1.0, False, rules.close(), {"saw": "value", "value": encode(2)}, ()),)
    key = Key("9.9-tiny", {"f": ExerciseKey("f", "Exercise 1", ("f",), 1.0, (), checks)}, {})
    (tmp_path / VISIBLE_NAME).write_text(key.visible().dump(), encoding="utf-8")
    monkeypatch.setattr(instant, "FIRST_FOLDER", tmp_path)
    monkeypatch.setattr(instant, "_session", instant._Session())
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(In=["", ANSWER]))
    return tmp_path


def checked() -> None:
    with pytest.raises(ChecksFailed):
        check("f", {"twice": lambda: 8})


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_verdict_answer_and_words_are_kept(lesson: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked()
    verdict = capsys.readouterr().out
    disagree("f", "  It is right:\n1 + 7 = 8.  ")
    assert f"Kept in {FILE_NAME}" in said(capsys)
    (one,) = read(lesson)
    assert (one.exercise, one.why, one.answer) == ("f", "It is right:\n1 + 7 = 8.", ANSWER)
    assert one.verdict == f"{verdict}0 of 1 checks of `f` passed."


def test_the_exercise_checked_last_is_meant_where_none_is_named(lesson: Path) -> None:
    checked()
    disagree(why="No.")
    assert [one.exercise for one in read(lesson)] == ["f"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("g", "No."), "Which exercise? There are: f. For example: disagree("),
        (("f", "No."), "`f` has not been checked since this notebook was opened. Run its check first"),
        ((), "Which exercise?"),
    ],
)
def test_what_is_missing_is_told_and_nothing_kept(
    lesson: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...], told: str
) -> None:
    disagree(*arguments)
    assert told in said(capsys)
    assert read(lesson) == []


@pytest.mark.parametrize("why", ["", " \n", 7])
def test_words_are_asked_for(lesson: Path, capsys: pytest.CaptureFixture[str], why: object) -> None:
    checked()
    capsys.readouterr()
    disagree("f", why)
    assert "Say why, in your own words" in said(capsys)
    assert read(lesson) == []


def test_earlier_ones_stay_the_newest_when_there_are_too_many(lesson: Path) -> None:
    checked()
    for number in range(MAX_KEPT + 2):
        disagree("f", f"{number} " + "x" * MAX_WHY)
    kept = read(lesson)
    assert [one.why.split()[0] for one in kept] == [str(number) for number in range(2, MAX_KEPT + 2)]
    assert {len(one.why) for one in kept} == {MAX_WHY}


@pytest.mark.parametrize(
    "damaged",
    [b"{", b"{}", b"[1]", b'[{"exercise": "f"}]', b"\xff\xfe", b"[" * 100_000, b" " * (MAX_BYTES + 1)],
    ids=["no JSON", "no list", "no entry", "half an entry", "no UTF-8", "deep", "large"],
)
def test_a_file_of_another_kind_is_refused_and_stays(
    lesson: Path, capsys: pytest.CaptureFixture[str], damaged: bytes
) -> None:
    (lesson / FILE_NAME).write_bytes(damaged)
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read(lesson)
    checked()
    disagree("f", "No.")
    assert "Put it aside to begin a new one." in said(capsys)
    assert (lesson / FILE_NAME).read_bytes() == damaged


def test_a_link_is_not_followed(lesson: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(json.dumps([vars(Disagreement("f", "", "", "", ""))]), encoding="utf-8")
    (lesson / FILE_NAME).symlink_to(tmp_path / "secret")
    assert read(lesson) == []


def test_a_folder_that_cannot_be_written_is_told(
    lesson: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    checked()
    monkeypatch.setattr(os, "replace", refuse)
    disagree("f", "No.")
    assert "It could not be kept (No space left on device)" in said(capsys)
    assert [path.name for path in lesson.iterdir()] == [VISIBLE_NAME]

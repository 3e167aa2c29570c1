"""A new lesson: a skeleton that is taken once its blanks are filled, and files that are watched while it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lessons import FILLER
from trainloop.authoring import begin
from trainloop.authoring.answers import NAME as ANSWERS
from trainloop.authoring.begin import BLANK, saves, skeleton
from trainloop.authoring.build import build
from trainloop.authoring.lesson import read
from trainloop.authoring.lint import lint
from trainloop.authoring.pace import time_sentence
from trainloop.course import CONFIG_NAME, Course, CourseError
from trainloop.sandbox.box import Box


@pytest.fixture
def empty(tmp_path: Path) -> Course:
    (tmp_path / CONFIG_NAME).write_text("")
    return Course(tmp_path)


def filled(article: Path) -> Path:
    """The skeleton as somebody fills it in who only takes the marks away; the title box is what the build asks for."""
    for path in (article, article.with_name(ANSWERS)):
        text = path.read_text(encoding="utf-8")
        text = text.replace("TODO: in a few sentences,", FILLER)
        text = text.replace("About TODO hours", "About an hour")
        path.write_text(re.sub(r"  # TODO.*|TODO:? ?", "", text), encoding="utf-8")
    due = time_sentence(read(article))
    article.write_text(article.read_text(encoding="utf-8").replace("About an hour", due), encoding="utf-8")
    return article


def test_the_skeleton_is_refused_for_its_blanks(empty: Course) -> None:
    article, answers = skeleton(empty, "2.2")
    assert article == empty.text("2.2-forward-and-backward-passes")
    assert "# 2.2 Forward and Backward Passes\n" in article.read_text(encoding="utf-8")
    blanks = {error.path.name: error.line for error in lint(read(article)) if "a blank to fill in" in error.message}
    for path in (article, answers):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert blanks[path.name] == max(number for number, line in enumerate(lines, start=1) if BLANK in line)


def test_once_filled_it_is_taken(empty: Course) -> None:
    lesson = read(filled(skeleton(empty, "2.2")[0]))
    assert [str(error) for error in lint(lesson)] == []
    with Box() as box:
        key = build(lesson, box).key
    assert len(key.exercises["twice"].sentences) == 4


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        ("2.8", "", 'The plan has no lesson "2.8". It has: 1.1, 1.2'),
        ("2.2", "Backward!", '"Backward!" is no name for a lesson'),
        ("2.2", "../x", '"../x" is no name for a lesson'),
    ],
)
def test_refused(empty: Course, number: str, name: str, message: str) -> None:
    with pytest.raises(CourseError) as caught:
        skeleton(empty, number, name)
    assert message in str(caught.value)
    assert not (empty.root / "notebooks").exists()


def test_what_is_there_is_not_written_over(empty: Course) -> None:
    article, answers = skeleton(empty, "2.2", "backward")
    before = article.read_bytes(), answers.read_bytes()
    with pytest.raises(CourseError, match=r"Lesson 2\.2 is there already: .*2\.2-backward"):
        skeleton(empty, "2.2")
    assert (article.read_bytes(), answers.read_bytes()) == before


def test_each_save_is_seen_once(empty: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    article, answers = skeleton(empty, "2.2")

    def save(path: Path) -> None:
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    def replace(path: Path) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(path.read_bytes())
        os.utime(new, ns=(0, 0))
        new.replace(path)

    def waits() -> Iterator[None]:
        for change, path in ((save, article), (save, answers), (replace, article), (Path.unlink, answers)):
            yield
            change(path)
        yield
        raise KeyboardInterrupt

    turns = waits()
    monkeypatch.setattr(begin.time, "sleep", lambda seconds: next(turns))
    seen = 0
    with pytest.raises(KeyboardInterrupt):
        for _ in saves([article]):
            seen += 1
    assert seen == 5  # at the beginning, and at each change

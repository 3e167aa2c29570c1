"""JupyterLab on the learner's own working copy of the lessons.

The working copy is a folder that the course never takes anything away from. `update` puts the released
lessons there, one folder each with the notebook and the `checks.json` it is checked against, and
brings them up to date later. What is ours is told from what is the learner's by a record, `.trainloop.json`:
the hash of each file as it was handed out. The rules:

- A lesson's files fit one another, so a lesson is handed out, updated or left alone as a whole.
- If no released file of the lesson has been changed, a newer release replaces them.
- If any of them has, all of them stay: a newer notebook or key would not fit the work that is there. Running
  a cell counts as a change, since its output may be an hour of training. The newer version goes into a folder
  beside it, `<lesson>-new/`, where it works as it is. The learner copies over what they wish to keep; either
  folder may be renamed or deleted.
- What the learner deletes from a lesson's own folder comes back, so that deleting a notebook is the way to
  start it again. A `<lesson>-new/` that is deleted was not wanted, and stays away until there is a newer one.
- Files that the learner added are not looked at. The worked solution of a lesson is one of them: `give` puts it
  there when it is asked for, and never again touches it.
- The page to start from, `0-start-here.md`, is written by `start`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

from trainloop.course import Course
from trainloop.errors import TrainloopError

# Inside the course's folder, where learners look for it and two copies of the course do not meet;
# ignored by git, so that no `git pull` or `git clean -fd` reaches it.
FOLDER = Path("work")
RECORD = ".trainloop.json"
FORMAT = 1
SOLUTION = "{}-solution.ipynb"  # the worked solution of a lesson, beside the learner's notebook
START = "0-start-here.md"  # sorts before every lesson, and is not a name that a learner would choose
CONFIG = Path(__file__).with_name("jupyter")  # settings of Jupyter's for `trainloop lab` alone

EXAMPLE = "trainloop check work/<lesson>/<lesson>.ipynb"

UpdateKind = Literal["new", "updated", "restored", "kept, newer version beside it", "unchanged"]
FileHashes: TypeAlias = dict[str, str]  # name of a file -> hash of its contents
Manifest: TypeAlias = dict[str, dict[str, FileHashes]]  # lesson -> name of a folder -> what was handed out into it


class LabError(TrainloopError):
    """The working copy cannot be prepared; the message says why and what to do."""


@dataclass(frozen=True)
class Update:
    """What happened to one lesson.

    Attributes:
        lesson: its slug.
        kind: what was done; "restored" when files that the learner had deleted came back.
        folder: where the lesson was put, or lies unchanged.
    """

    lesson: str
    kind: UpdateKind
    folder: Path


def update(release: Path, folder: Path) -> list[Update]:
    """Bring the working copy `folder` up to date with `release`, by the rules of this module.

    Each file is written whole or not at all, and an interrupted update is completed by the next one.

    Args:
        release: holds one folder a lesson, `<slug>/<slug>.ipynb` and the files that belong to it.
        folder: the working copy; made if it is not there.

    Returns:
        One entry a lesson, in order of their slugs.

    Raises:
        LabError: there are no lessons in `release`; `folder` lies in it, cannot be written or its record is damaged.
            No file of the learner's has been changed.
    """
    if folder.resolve().is_relative_to(release.resolve()):
        raise LabError(f"{folder} is part of the course itself. Choose another folder for your working copy.")
    try:
        released = lessons(release)
        if not released:
            raise LabError(f"There are no lessons in {release}. Run `trainloop build`, or get the course anew.")
        folder.mkdir(parents=True, exist_ok=True)
        record = _read_record(folder / RECORD)
        return [_update_lesson(lesson, folder, record) for lesson in released]
    except OSError as error:
        raise LabError(
            f"The working copy {folder} could not be brought up to date: {error}. "
            "What you changed is as you left it. Once that is put right, run the command again."
        ) from error


def launch(folder: Path, lesson: str | None = None, browser: bool = True, options: Sequence[str] = ()) -> int:
    """Run JupyterLab with `folder` as its root, in this process, until the learner ends it.

    Ctrl-C is JupyterLab's own: it asks once, and a second Ctrl-C ends it.

    Args:
        folder: the working copy.
        lesson: a slug, or its number such as "2.1", to open first; without it, the start page if there is one.
        browser: open a browser; without it, the address to open is printed.
        options: further options of `jupyter lab`, such as "--port=9000".

    Returns:
        JupyterLab's exit code.

    Raises:
        LabError: `folder` has no such lesson.
    """
    arguments = _arguments(folder, lesson, browser, options)
    # Of nbgrader, a learner has use for Validate alone. `jupyter lab` by itself still shows all of it.
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, [str(CONFIG), os.getenv("JUPYTER_CONFIG_PATH")]))
    os.environ.setdefault("PYTHONSTARTUP", str(CONFIG / "startup.py"))  # a learner's own stays
    # Imported here, because it takes a second that no other command needs.
    from jupyterlab.labapp import LabApp

    try:
        # Validate reads nbgrader's configuration in the current folder. That of the course is for grading.
        with contextlib.chdir(folder):
            LabApp.launch_instance(argv=arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _arguments(folder: Path, lesson: str | None, browser: bool, options: Sequence[str]) -> list[str]:
    # In a container the learner often is root. The server listens to this machine alone, and asks for a token.
    arguments = ["--allow-root", *(f"--{name}={_said(value)}" for name, value in settings_on(folder, lesson).items())]
    if not browser:
        arguments.append("--no-browser")
    return [*arguments, *options]


def _said(value: object) -> str:
    """A setting as an option's value: a list of one is written as its one entry."""
    return str(value[0] if isinstance(value, list) else value)


def settings_on(folder: Path, lesson: str | None = None) -> dict[str, object]:
    """Jupyter's settings for a working copy, by the names of its traits.

    Args:
        folder: the working copy.
        lesson: a slug, or its number such as "2.1", to open first; without it, the start page if there is one.

    Raises:
        LabError: `folder` has no such lesson.
    """
    settings: dict[str, object] = {
        "ServerApp.root_dir": str(folder.resolve()),
        # No question about news on the first start, and nothing fetched from outside.
        "LabApp.news_url": None,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.extra_labextensions_path": [str(CONFIG / "labextensions")],
    }
    if lesson is not None or (folder / START).is_file():
        first = START if lesson is None else _find(folder, lesson)
        settings["LabApp.default_url"] = f"/lab/tree/{quote(first)}"
    return settings


def _find(folder: Path, lesson: str) -> str:
    """The path within `folder` of the notebook of the lesson with this slug or number."""
    names = [path.name for path in lessons(folder)] if folder.is_dir() else []
    matches = [name for name in names if name == lesson] or [name for name in names if name.startswith(f"{lesson}-")]
    if len(matches) != 1:
        raise LabError(f"There is no lesson {lesson!r} in {folder}. Its lessons are: {', '.join(names) or 'none'}.")
    return f"{matches[0]}/{matches[0]}.ipynb"


def lessons(folder: Path) -> list[Path]:
    """The folders of lessons in a release or a working copy, in the order of their slugs."""
    return sorted(path for path in folder.iterdir() if (path / f"{path.name}.ipynb").is_file())


def newer(release: Path, folder: Path) -> dict[str, Path]:
    """Where the newest version of a lesson lies beside the learner's own in the working copy `folder`, by lesson.

    Raises:
        LabError: the record is damaged.
    """
    record = _read_record(folder / RECORD)
    found = {}
    for lesson in lessons(release):
        latest, handed_out = _latest(lesson), record.get(lesson.name, {})
        beside = [name for name, files in handed_out.items() if name != lesson.name and files == latest]
        there = [folder / name for name in beside if (folder / name / f"{lesson.name}.ipynb").is_file()]
        if there and handed_out.get(lesson.name) != latest:
            found[lesson.name] = there[0]
    return found


def to_check(course: Course, named: str) -> list[Path]:
    """The notebooks that a learner means by a file, a folder, or a lesson of their working copy.

    Those of a folder lie in it or one folder further down, as in the working copy. Worked solutions are none of them.

    Raises:
        LabError: there is none.
        CourseError: it is neither a file nor a folder nor a lesson.
    """
    place = Path(named)
    if place.is_dir():
        found = {path for pattern in ("*.ipynb", "*/*.ipynb") for path in place.glob(pattern)}
        shown = [path for path in found if not any(part.startswith(".") for part in path.relative_to(place).parts)]
        if mine := sorted(path for path in shown if not path.match(SOLUTION.format("*"))):
            return mine
        raise LabError(f"There is no notebook in the folder {place}. Name yours: {EXAMPLE}")
    if not place.exists() and place.suffix != ".ipynb":
        slug = course.slug(named)
        place = course.root / FOLDER / slug / f"{slug}.ipynb"
        if not place.is_file():
            raise LabError(f"There is no {place} yet. Open the lesson first: trainloop lab {named}")
    if not place.is_file():
        raise LabError(f"There is no file {place}. Name your notebook: {EXAMPLE}")
    return [place]


def give(worked: Path, release: Path, folder: Path) -> Path:
    """Put the worked solution of a lesson beside the learner's notebook, in the folder whose checks it fits.

    Args:
        worked: the worked notebook, `<slug>.ipynb`.
        release: the released lessons.
        folder: the working copy.

    Returns:
        The file, `<slug>-solution.ipynb`. It is not the lesson's notebook: it is neither counted nor graded.

    Raises:
        LabError: the lesson is not in the working copy; another file of that name is there, and stays; the file
            cannot be written.
    """
    home = newer(release, folder).get(worked.stem, folder / worked.stem)
    if not home.is_dir():
        raise LabError(f"There is no {home} for the solution to lie in. Run `trainloop lab` once, and then this again.")
    place = home / SOLUTION.format(worked.stem)
    try:
        if not os.path.lexists(place):
            write_whole(place, worked.read_bytes())
        elif _hash(place) != _hash(worked):
            raise LabError(
                f"{place} is there already and stays as it is. It is not what is handed out now: you ran or changed "
                "it, or there is a newer one. Rename or delete it to get the solution anew."
            )
    except OSError as error:
        raise LabError(f"The solution could not be put into {home}: {error}.") from error
    return place


def _latest(source: Path) -> FileHashes:
    """The files of a released lesson, with their hashes."""
    return {name: _hash(source / name) for name in _released_names(source)}


def _update_lesson(source: Path, folder: Path, record: Manifest) -> Update:
    lesson = source.name
    latest = _latest(source)
    handed_out = record.setdefault(lesson, {})
    home = folder / lesson
    before = handed_out.get(lesson)
    if not _changed(home, before, latest):
        place = home
    elif latest not in handed_out.values():
        place = next(path for path in _beside(home) if not _changed(path, handed_out.get(path.name), latest))
    else:
        # Only the version that the learner's notebook came from may complete it.
        missing = _missing(home, latest) if before == latest else []
        _copy(source, home, missing)
        return Update(lesson, "restored" if missing else "unchanged", home)

    write = _different(place, latest)
    kind = _kind(home, before, latest, write) if place == home else "kept, newer version beside it"
    _copy(source, place, write)
    if handed_out.get(place.name) != latest:
        handed_out[place.name] = latest
        _write_record(folder / RECORD, record)
    return Update(lesson, kind, place)


def _kind(home: Path, before: FileHashes | None, latest: FileHashes, write: list[str]) -> UpdateKind:
    if not write:
        return "unchanged"
    if before is None:
        return "new"
    return "restored" if before == latest and write == _missing(home, latest) else "updated"


def _beside(home: Path) -> Iterator[Path]:
    yield home.with_name(f"{home.name}-new")
    for number in itertools.count(2):
        yield home.with_name(f"{home.name}-new-{number}")


def _released_names(source: Path) -> list[str]:
    """The files of a released lesson, the notebook last: it never stands there with a key older than itself."""
    names = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    visible = [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]
    return sorted(visible, key=lambda name: (name == f"{source.name}.ipynb", name))


def _changed(place: Path, before: FileHashes | None, latest: FileHashes) -> bool:
    """Whether writing the latest files into `place` would overwrite anything that is not ours."""
    if place.exists() and not place.is_dir():
        return True
    ours = before or {}
    present = [name for name in latest if os.path.lexists(place / name)]
    return any(_hash(place / name) not in (ours.get(name), latest[name]) for name in present)


def _different(place: Path, latest: FileHashes) -> list[str]:
    return [name for name in latest if not (place / name).exists() or _hash(place / name) != latest[name]]


def _missing(place: Path, latest: FileHashes) -> list[str]:
    return [name for name in latest if not (place / name).exists()]


def _hash(path: Path) -> str:
    """A file's hash; of anything else (a folder, a broken link) a text that no file's hash equals."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "not a file"


def _copy(source: Path, place: Path, names: list[str]) -> None:
    for name in names:
        write_whole(place / name, (source / name).read_bytes())


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file at once: whoever reads it sees the old contents or the new.

    Who may read it stays as it was. What is no file, such as /dev/stdout or a pipe, is written into.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            if path.exists():
                shutil.copymode(path, part)  # before there is anything to read
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_record(path: Path, record: Manifest) -> None:
    text = json.dumps({"format": FORMAT, "lessons": record}, indent=1, sort_keys=True)
    write_whole(path, text.encode())


def _read_record(path: Path) -> Manifest:
    if not path.exists():
        return {}
    try:
        return _parse_record(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise LabError(
            f"{path}, the record of the lessons handed out to you, is damaged or was written by a newer version "
            f"of the course ({error}). Your notebooks are as they were. Get the newest version of the course; "
            "or delete this file and run the command again: every notebook that you changed stays, "
            "and the released one is put beside it."
        ) from error


def _parse_record(saved: object) -> Manifest:
    match saved:
        case {"format": 1, "lessons": dict(lessons)}:
            files = list(_files(lessons.values()))
        case _:
            raise ValueError("it has not the form expected")
    if not all(isinstance(value, str) for value in files):
        raise ValueError("a hash is a text")
    return lessons


def _files(lessons: Iterable[object]) -> Iterator[object]:
    for places in lessons:
        if not isinstance(places, dict) or not all(isinstance(files, dict) for files in places.values()):
            raise ValueError("a lesson is a table of folders and files")
        for files in places.values():
            yield from files.values()

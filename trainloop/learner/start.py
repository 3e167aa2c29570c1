"""The page that a learner starts from: all lessons in order, how far they are in each, and where to go on.

It is a Markdown file in the working copy, ours, and written anew whenever something has changed: by `trainloop lab`,
and, while JupyterLab runs, after a notebook was saved. This module is a server extension of Jupyter's for that;
`jupyter/` beside it switches it on. The file's last line tells our text from one that somebody has written into,
which is moved aside and never lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from traitlets import List, Unicode
from traitlets.config import Configurable

from trainloop.checks.key import VISIBLE_NAME, ExerciseKey, Key, KeyFileError
from trainloop.learner.lab import SOLUTION, START, LabError, Update, newer, write_whole
from trainloop.learner.progress import Progress, of_lesson, progress, remaining
from trainloop.syllabus import MODULES, OPTIONAL, TITLE, hours, hours_in_words, is_optional

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

ADVICE = "Go on in yours, or copy into the newer one what you wish to keep."
SOLVED = "0-what-you-solved.html"
UNTOLD = "How it differs could not be told."
HELP = """\
## How a lesson works

- **Write, run, check.** Write your answer in place of `raise NotImplementedError()`, run the cell with Shift+Enter,
  then the check below it. A check that fails says what it saw and, where it can, which mistake that is.
- **Stuck?** Write `hint("relu")`, with the name that stands in the check, into a cell of your own: it lists hints in
  the words of people who were stuck there. `hint("relu", 1)` shows the first.
- **Something odd?** Choose *Kernel*, then *Restart Kernel and Run All Cells*. If a cell does not end, press the square
  in the toolbar.
- **Save** with Ctrl+S (on a Mac, Command+S). This page counts the checks in your notebooks as they were last saved.
- **To begin again,** delete the lesson's notebook, or give it another name; the next `trainloop lab` brings a new one.
- **To hand in,** run all cells, save, press *Validate* above the notebook, and hand in that one `.ipynb` file the way
  your instructor asks for. Leave its name as it is.

Not a beginner? `from trainloop import placement`, then `placement()`, in any notebook: twenty questions name the
lessons that are worth your time.

More in a terminal (*File*, *New*, *Terminal*): `trainloop check 1.1` runs your notebook from the top, as when it is
graded; `trainloop solution 1.1` brings the worked solution of a lesson.

This page is written anew again and again. Keep your notes in a file of your own.
"""


@dataclass(frozen=True)
class LessonRow:
    """One lesson in the working copy.

    Attributes:
        progress: in the learner's own notebook.
        newer: the same for the newer version that lies beside it, if one does.
        place: the newer version's folder.
        difference: what is new in it, in words.
        solution: the path of the worked solution, if the learner has it.
        fresh: it came with the last update.
    """

    progress: Progress
    newer: Progress | None = None
    place: str = ""
    difference: str = ""
    solution: str = ""
    fresh: bool = False

    @property
    def number(self) -> str:
        """The lesson's number, such as "2.1"."""
        return self.progress.slug.split("-")[0]


def rows(release: Path, work: Path, fresh: Collection[str] = ()) -> list[LessonRow]:
    """All lessons that there are, in order.

    Args:
        release: holds one folder a lesson.
        work: the working copy.
        fresh: slugs of lessons that came with the last update.

    Raises:
        KeyFileError: a released key is missing or damaged.
        LabError: the record of the working copy is damaged.
    """
    beside = newer(release, work)
    return [_row(one, release, work, beside.get(one.slug), one.slug in fresh) for one in progress(release, work)]


def _row(one: Progress, release: Path, work: Path, beside: Path | None, fresh: bool) -> LessonRow:
    slug = one.slug
    solutions = [folder / SOLUTION.format(slug) for folder in (work / slug, beside) if folder is not None]
    solution = next((path.relative_to(work).as_posix() for path in solutions if path.is_file()), "")
    row = LessonRow(one, solution=solution, fresh=fresh)
    if beside is None:
        return row
    there = of_lesson(release / slug, beside / f"{slug}.ipynb")
    return replace(row, newer=there, place=beside.name, difference=difference(work / slug, beside))


def difference(old: Path, new: Path) -> str:
    """What the exercises of a lesson's newer version ask for that those of the old did not, in words.

    Empty where the old version's checks are not there to compare.
    """
    try:
        before, after = (Key.load(folder / VISIBLE_NAME).exercises for folder in (old, new))
    except KeyFileError:
        return ""
    changed = [one for name, one in after.items() if name in before and not _same(before[name], one)]
    lines = [f'It has another exercise, "{one.title}".' for name, one in after.items() if name not in before]
    lines += [f'"{one.title}" is no longer in it.' for name, one in before.items() if name not in after]
    lines += [f'The checks of "{one.title}" are others.' for one in changed]
    return " ".join(lines) or "Its exercises have the same checks; what is newer is the text around them."


def _same(before: ExerciseKey, after: ExerciseKey) -> bool:
    """Whether the same answers are right; the sentences that help to find them may have changed."""
    return _bare(before).agrees(_bare(after))


def _bare(exercise: ExerciseKey) -> Key:
    checks = tuple(replace(check, mistakes=()) for check in exercise.checks)
    return Key("", {"": replace(exercise, title="", sentences=(), hints=(), checks=checks)}, {})


# ------------------------------------------------------------------------------------------------------------ in words


def news(updates: Sequence[Update], lessons: Sequence[LessonRow]) -> list[str]:
    """What an update of the working copy came to, for the terminal: a line each, none if nothing happened."""
    if all(one.kind == "new" for one in updates):
        return [f"{_count(len(updates), 'lesson')} put into {updates[0].folder.parent} for you."]
    titles = {row.progress.slug: row.progress.title for row in lessons}
    differences = {row.progress.slug: row.difference for row in lessons}
    return [_told(one, titles[one.lesson], differences[one.lesson]) for one in updates if one.kind != "unchanged"]


def _told(one: Update, title: str, what: str) -> str:
    match one.kind:
        case "new":
            return f"New lesson: {title}"
        case "updated":
            return f"A newer version of a lesson that you had not changed: {title}"
        case "restored":
            return f"Put back, because it had been deleted: {title}"
        case "kept, newer version beside it":
            return (
                f"There is a newer version of a lesson that you work on: {title}\n"
                f"  Yours is as you left it; the newer one lies beside it, in {one.folder}.\n"
                f"  {what or UNTOLD} {ADVICE}"
            )
        case "unchanged":
            return ""


def fresh(updates: Sequence[Update]) -> list[str]:
    """The lessons that an update brought to somebody who had some before."""
    new = [one.lesson for one in updates if one.kind == "new"]
    return new if len(new) < len(updates) else []


def page(lessons: Sequence[LessonRow]) -> str:
    """The start page, as Markdown without HTML, ending in the line that says whose it is."""
    parts = [f"# {TITLE}", _next(lessons), _sum(lessons), *_beside(lessons)]
    remaining = {row.number: row for row in lessons}
    for module in MODULES:
        parts += [f"## Module {module.number}: {module.title}", module.goal]
        parts.append(
            _table(_line(remaining.pop(name, None), f"{name} {title}") for name, title in module.lessons.items())
        )
    beyond = [remaining.pop(name) for name in OPTIONAL.lessons if name in remaining]
    if beyond:
        parts += [f"## {OPTIONAL.title}", OPTIONAL.goal, _table(_line(row, "") for row in beyond)]
    if remaining:
        parts += ["## Further lessons", _table(_line(row, "") for row in remaining.values())]
    return _signed("\n\n".join([*parts, HELP]))


def _next(lessons: Sequence[LessonRow]) -> str:
    lessons, beyond = _apart(lessons)
    todo = [row for row in lessons if row.progress.state not in ("done", "cannot be read")]
    if not todo:
        solved = f"{_link('What you solved', SOLVED)} is a page to keep or to print." if _all_done(lessons) else ""
        offered = [row.progress for row in beyond if row.progress.state not in ("done", "cannot be read")]
        more = [f"If you like: {_link(one.title, _notebook(one))} (about {one.time})." for one in offered]
        return " ".join(filter(None, ["**You have done every lesson that there is so far.**", solved, *more]))
    one = todo[0].progress
    # In the middle of a lesson, how long it takes from its beginning says little.
    begun = one.state == "started"
    words = "Go on with" if begun or len(todo) < len(lessons) else "Begin with"
    how_far = f"{one.passed} of {one.checks} checks passed" if begun else f"about {one.time}"
    return f"**{words} {_link(one.title, _notebook(one))}** ({how_far})"


def _apart(lessons: Sequence[LessonRow]) -> tuple[list[LessonRow], list[LessonRow]]:
    """The lessons of the course, and what is optional: nobody is unfinished who leaves that."""
    beyond = [row for row in lessons if is_optional(row.number)]
    return [row for row in lessons if row not in beyond], beyond


def _sum(lessons: Sequence[LessonRow]) -> str:
    lessons, _ = _apart(lessons)
    done = sum(row.progress.state == "done" for row in lessons)
    passed = sum(row.progress.passed for row in lessons)
    checks = sum(row.progress.checks for row in lessons)
    planned = sum(len(module.titles) for module in MODULES)
    left = remaining([row.progress for row in lessons])
    return (
        f"{done} of {_count(len(lessons), 'lesson')} done, {passed} of {_count(checks, 'check')} passed."
        f"{left and f' What remains takes about {left} for someone new to the mathematics.'}"
        f"{'' if len(lessons) >= planned else f' The course will have {planned} lessons.'}"
    )


def _all_done(lessons: Sequence[LessonRow]) -> bool:
    lessons, _ = _apart(lessons)
    return bool(lessons) and all(row.progress.state == "done" for row in lessons)


def _beside(lessons: Sequence[LessonRow]) -> Iterator[str]:
    """About lessons with a newer version, and those that cannot be read."""
    for row in lessons:
        if row.newer is not None:
            there = _link("the newer one", f"{row.place}/{row.progress.slug}.ipynb")
            begun = f" ({_state(row.newer)})" if row.newer.state in ("started", "done") else ""
            yield (
                f"> **A lesson that you work on has a newer version: {row.progress.title}**\n>\n"
                f"> Yours is as you left it; {there}{begun} lies beside it, in `{row.place}`. "
                f"{row.difference or UNTOLD} {ADVICE}"
            )
        if row.progress.state == "cannot be read":
            yield (
                f"> **A notebook of yours cannot be read: {row.progress.title}**\n>\n"
                "> The file is damaged. Rename it and run `trainloop lab` again: a new one comes, and what can be "
                "saved from yours can be copied over."
            )


def _table(lines: Iterable[str]) -> str:
    return "\n".join(["| lesson | time | checks | how far you are |", "|:---|---:|---:|:---|", *lines])


def _line(row: LessonRow | None, planned: str) -> str:
    if row is None:
        return f"| {planned} | | | not written yet |"
    one = row.progress
    state = _state(one) + (" (new)" if row.fresh and one.state == "not started" else "")
    more = [_link("newer version", f"{row.place}/{one.slug}.ipynb")] if row.newer is not None else []
    more += [_link("worked solution", row.solution)] if row.solution else []
    checks = f"{one.passed} of {one.checks}"
    return f"| {_link(one.title, _notebook(one))} | {one.time} | {checks} | {' · '.join([state, *more])} |"


def _state(one: Progress) -> str:
    match one.state:
        case "done":
            return "**done**"
        case "started":
            return f"started: {one.passed} of {one.checks} checks"
        case "not opened" | "not started":
            return "not started"
        case "cannot be read":
            return "cannot be read"


def _notebook(one: Progress) -> str:
    return f"{one.slug}/{one.slug}.ipynb"


def _link(text: str, path: str) -> str:
    return f"[{text}]({quote(path)})"


def _count(many: int, what: str) -> str:
    return f"{many} {what}{'s' if many != 1 else ''}"


def solved_page(lessons: Sequence[LessonRow]) -> str:
    """What a learner solved, once all is done, as one file of HTML to keep or print: no script, nothing loaded."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # most learners are not done yet

    loader = FileSystemLoader(Path(__file__).parents[1] / "templates")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    lessons = [row for row in lessons if row.progress.state == "done"]  # what is optional may not be
    left = {row.number: row.progress for row in lessons}
    parts = [(f"Module {one.number}: {one.title}", [left.pop(n) for n in one.lessons if n in left]) for one in MODULES]
    parts.append((OPTIONAL.title, [left.pop(n) for n in OPTIONAL.lessons if n in left]))
    parts.append(("Further lessons", list(left.values())))
    return pages.get_template("solved_page/page.html.j2").render(
        course=TITLE,
        parts=[(title, there) for title, there in parts if there],
        lessons=len(lessons),
        checks=sum(row.progress.checks for row in lessons),
        time=hours_in_words(sum(hours(row.progress.time) for row in lessons)),
    )


# ------------------------------------------------------------------------------------------------------------ the file


def write(lessons: Sequence[LessonRow], work: Path) -> Path:
    """Write the start page into the working copy, if it has changed. What is not ours is moved aside first.

    Where all is done, the page of what was solved is written beside it.

    Raises:
        LabError: it cannot be written.
    """
    path, text = work / START, page(lessons)
    try:
        there = _text(path)
        if there != text:
            if os.path.lexists(path) and (there is None or not _is_ours(there)):
                path.rename(_aside(path))
            write_whole(path, text.encode())
        if _all_done(lessons):
            solved = solved_page(lessons)
            if _text(work / SOLVED) != solved:
                write_whole(work / SOLVED, solved.encode())
    except OSError as error:
        raise LabError(f"The start page {path} could not be written: {error}.") from error
    return path


def _text(path: Path) -> str | None:
    """What is in the file; None if it is no file of text."""
    try:
        return path.read_bytes().decode() if path.is_file() and not path.is_symlink() else None
    except UnicodeDecodeError:
        return None


def _signed(text: str) -> str:
    """The text with a last line that no reader sees: a link nobody refers to, that holds the text's hash."""
    return f"{text}\n{_signature(text)}\n"


def _signature(text: str) -> str:
    return f"[//]: # (trainloop {hashlib.sha256(text.encode()).hexdigest()[:16]})"


def _is_ours(text: str) -> bool:
    body, _, last = text.removesuffix("\n").rpartition("\n")
    return last == _signature(body)


def _aside(path: Path) -> Path:
    """A free name for what somebody has written into the page."""
    names = itertools.chain(["-yours"], (f"-yours-{count}" for count in itertools.count(2)))
    places = (path.with_name(f"{path.stem}{name}{path.suffix}") for name in names)
    return next(place for place in places if not os.path.lexists(place))


# ------------------------------------------------------------------------------------------------


class StartPage(Configurable):
    """What `trainloop lab` tells the server extension; where it tells nothing, the extension does nothing."""

    release = Unicode("", help="The folder of the released lessons.").tag(config=True)
    fresh: list[str] = List(Unicode(), help="The lessons that are new.").tag(config=True)  # type: ignore[assignment]


def options(release: Path, new: Iterable[str]) -> list[str]:
    """Options of `jupyter lab` by which the page is kept up to date."""
    return [f"--StartPage.release={release.resolve()}", *(f"--StartPage.fresh={slug}" for slug in new)]


@dataclass
class StartPageUpdater:
    """Keeps the page of one working copy up to date, in a thread of its own: no save waits for it, or fails by it."""

    release: Path
    work: Path
    fresh: Collection[str]
    log: Any
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "start-page"))
    _waiting: Future[None] | None = None

    def saved(self, *, model: Mapping[str, Any], **_: object) -> None:
        """Jupyter's hook: something was saved."""
        # One that has not begun yet will see this save, too.
        waits = self._waiting is not None and not self._waiting.running() and not self._waiting.done()
        if model.get("type") == "notebook" and not waits:
            with contextlib.suppress(RuntimeError):  # no more threads, or the server is about to end
                self._waiting = self._pool.submit(self._write)

    def _write(self) -> None:
        try:
            write(rows(self.release, self.work, self.fresh), self.work)
        except Exception:  # a page that is out of date is no reason to trouble a learner
            self.log.warning("The start page could not be written.", exc_info=True)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "trainloop.learner.start"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    settings = StartPage(parent=server)
    if settings.release:
        updater = StartPageUpdater(Path(settings.release), Path(server.root_dir), settings.fresh, server.log)
        server.contents_manager.register_post_save_hook(updater.saved)  # type: ignore[no-untyped-call]

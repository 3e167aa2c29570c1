"""From a lesson's text to its four products: instructor notebook, student notebook, worked solutions, key.

    notebooks/<slug>/   -> source/<slug>/<slug>.ipynb, checks.json     the visible key travels with the release,
                                         solutions.json                as do the worked answers, packed
                        -> release/<slug>/                             by nbgrader's own generation
                        -> solutions/<slug>/<slug>.ipynb               to hand out
                        -> solutions/keys/<slug>.json                  for the grader alone

The same text gives the same bytes. Only a key holds computed numbers; on a processor that adds in another order they
differ in the last digits, so a key that agrees with the committed one to rounding is left as it is.

`notebooks` makes the notebooks, `key_maker` the key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType

from nbformat import NotebookNode

from trainloop.authoring.key_maker import make_key
from trainloop.authoring.lesson import Lesson
from trainloop.authoring.notebooks import (
    dump,
    refuse_leaks,
    release_notebook,
    source_notebook,
    worked_answer,
    worked_notebook,
)
from trainloop.authoring.trials import Kept
from trainloop.checks import worked
from trainloop.checks.key import SOLUTIONS_NAME, VISIBLE_NAME, Key, KeyFileError
from trainloop.sandbox.job import Runs


@dataclass(frozen=True)
class Built:
    """The products of one lesson, as text, by their path under the course's folder."""

    lesson: Lesson
    key: Key
    files: dict[Path, str]


def build(
    lesson: Lesson,
    *boxes: Runs,
    known: Key | None = None,
    kept: Kept | None = None,
    with_edits: bool = False,
    backwards: bool = False,
    release: Callable[[str, NotebookNode], NotebookNode] = release_notebook,
) -> Built:
    """Make all products of one lesson, in memory.

    Args:
        lesson: as read from its text.
        boxes: at least one; each runs some answers at a time, all of them beside each other.
        known: the key as it was, if there is one. Answers that ran together and disagree with it run again alone.
        kept: what answers computed in an earlier build, which are not run again. None: everything is run.
        with_edits: make the generic edits, too. Else those of the known key stay, of exercises whose visible checks
            are as they were: an author who writes need not wait for them.
        backwards: try the answers in the opposite order. The key is the same if no answer reaches another.
        release: makes the student's notebook, given the lesson's slug and its source.

    Raises:
        LessonError: a check of this page's docstring fails, at the line that is at fault.
    """
    source = source_notebook(lesson)
    key = make_key(lesson, boxes, known, kept, with_edits, backwards)
    visible = key.visible().dump()
    answers = worked.dump({name: worked_answer(exercise) for name, exercise in lesson.exercises.items()})
    released = release(lesson.slug, source)
    refuse_leaks(lesson, released, visible)
    folder = Path(lesson.slug)
    return Built(
        lesson,
        key,
        {
            "source" / folder / f"{lesson.slug}.ipynb": dump(source, brief=True),
            "source" / folder / VISIBLE_NAME: visible,
            "source" / folder / SOLUTIONS_NAME: answers,
            "release" / folder / f"{lesson.slug}.ipynb": dump(released),
            "release" / folder / VISIBLE_NAME: visible,
            "release" / folder / SOLUTIONS_NAME: answers,
            "solutions" / folder / f"{lesson.slug}.ipynb": dump(worked_notebook(lesson, released), brief=True),
            Path("solutions", "keys", f"{lesson.slug}.json"): key.dump(),
        },
    )


class Release:
    """nbgrader's generation in a process of its own: it changes the folder in which a process works, and so may not
    run beside other threads. A context manager; the process is started when it is first needed."""

    def __init__(self) -> None:
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __enter__(self) -> Release:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.shutdown(cancel_futures=True)

    def __call__(self, slug: str, source: NotebookNode) -> NotebookNode:
        """Make the student's notebook."""
        return self._process.submit(release_notebook, slug, source).result()


def committed(path: Path) -> Key | None:
    """The key that lies in `path`, if one does that can be read."""
    with contextlib.suppress(KeyFileError):
        return Key.load(path)
    return None


def write(built: Built, root: Path) -> list[Path]:
    """Write what differs from the files under `root`, and say which. Keys that agree to rounding stay."""
    changed = differences(built, root)
    for path in changed:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(built.files[path], encoding="utf-8")
    return changed


def differences(built: Built, root: Path) -> list[Path]:
    """The files under `root` that are not what the build makes: missing, changed, or not made by it at all."""
    drifted = [path for path, text in built.files.items() if not _is_current(built, root, path, text)]
    slug = built.lesson.slug
    there = {p.relative_to(root) for top in ("source", "release", "solutions") for p in (root / top / slug).glob("*")}
    strays = {path for path in there if path not in built.files and path.name != ".ipynb_checkpoints"}
    return sorted([*drifted, *strays])


def _is_current(built: Built, root: Path, path: Path, text: str) -> bool:
    target = root / path
    if not target.is_file():
        return False
    old = target.read_text(encoding="utf-8")
    if old == text:
        return True
    if path.suffix != ".json":
        return False
    try:
        fresh = built.key if path.parts[0] == "solutions" else built.key.visible()
        return Key.load(target).agrees(fresh)
    except Exception:
        return False

"""Which tests are slow: read off their code, so that nobody has to remember to mark one.

`slow`     starts a process: a box, a kernel, a command, nbgrader. Whole folders, and whatever reaches a name below,
           itself, by its fixtures or by helpers of the tests.
`browser`  drives Chromium. All of these are slow, too.

The others are pure, and `make quick` runs them at each save. There they are held to it: a process that one of them
starts is refused.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType

import pytest

SLOW_FOLDERS = ("tests/attacks/", "tests/walks/")
STARTERS = frozenset(  # whole packages, and single names
    {
        "distributed",
        "multiprocessing",
        "nbclient.client.NotebookClient",
        "nbgrader.api.Gradebook",  # where there is none yet, alembic makes it
        "psutil",
        "subprocess",
        "trainloop.authoring.execute.execute",
        "trainloop.grading.aside.Aside",
        "trainloop.grading.engine.Threads",
        "trainloop.grading.engines.choose_engine",
        "trainloop.grading.reader.SubmissionReader",
        "trainloop.grading.batch.alone",
        "trainloop.grading.batch.grade_class",
        "trainloop.grading.record.record_class",
        "trainloop.sandbox.box.Box",
        "trainloop.sandbox.isolation.choose",
        "trainloop.sandbox.isolation.probe",
        "trainloop.site.build.build",
        "trainloop.site.demonstrations.lesson_outputs",
        "typer.testing.CliRunner",
    }
)
STARTS = frozenset({"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"})

_pure: list[str] = []  # the test that runs, if it is pure


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark the tests that are slow, and those that drive a browser."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if "browser" in item.fixturenames:
            item.add_marker("browser")
        if "browser" in item.fixturenames or item.nodeid.startswith(SLOW_FOLDERS) or _starts_a_process(item):
            item.add_marker("slow")


def _starts_a_process(item: pytest.Function) -> bool:
    fixtures = (one.func for found in item._fixtureinfo.name2fixturedefs.values() for one in found)
    seen: set[int] = set()
    return any(_reaches_starter(one, seen) for one in (item.function, *fixtures))


def _reaches_starter(found: object, seen: set[int]) -> bool:
    """Whether this, or what it names of the tests' own, is one of the starters or names one."""
    if id(found) in seen:
        return False
    seen.add(id(found))
    found = inspect.unwrap(found) if callable(found) else found  # of what decorators made of it
    if _name(found) in STARTERS or _name(found).split(".")[0] in STARTERS:
        return True
    if isinstance(found, FunctionType) and found.__module__.startswith("tests."):
        names = list(_names(found.__code__))
        named = [found.__globals__.get(name) for name in names]
        named += [getattr(one, name, None) for one in named if isinstance(one, ModuleType) for name in names]
    elif inspect.isclass(found) and found.__module__.startswith("tests."):
        members = (getattr(one, "__func__", getattr(one, "fget", one)) for one in vars(found).values())
        named = [one for one in members if isinstance(one, FunctionType)]
    else:
        return False
    return any(_reaches_starter(one, seen) for one in named)


def _name(found: object) -> str:
    if isinstance(found, ModuleType):
        return found.__name__
    return f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


@contextmanager
def held(item: pytest.Item) -> Iterator[None]:
    """While a pure test runs, with its fixtures, refuse to start a process."""
    pure = item.get_closest_marker("slow") is None
    _pure[:] = [item.nodeid] if pure else []
    try:
        yield
    finally:
        _pure.clear()


def _refuse(event: str, _: object) -> None:
    if _pure and event in STARTS:
        test = _pure.pop()
        raise RuntimeError(
            f"{test} starts a process ({event}), by way of a name that tests/kinds.py does not know yet."
        )


def watch() -> None:
    """Look at each process that this one starts, from now on."""
    sys.addaudithook(_refuse)

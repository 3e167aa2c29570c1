"""The pages for instructors: whatever students write, are called, or are told is inert on them, in a real browser.

The payloads are those of `payloads`. They are in the students' names, in their code, and in what it computes and
raises; and, as if the grader had failed, in every text of a verdict. The pages' own policy is taken down, except where
it is tried itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.attacks.payloads import PAYLOADS, Listener, witness
from tests.attacks.test_pages import Visit, answered, visit
from tests.lessons import SLUG
from tests.pages import Class
from tests.test_cli import trainloop

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

STUDENT = "<img src onerror=pwn('student')> witness-student"
NAMES = (STUDENT, "mallory", "mike", "molly", "max", "red\u202e")
KINDS = {"report": f"{SLUG}.html", "similar": f"{SLUG}-similar.html"}


def hand_in(one: Class, listener: Listener) -> None:
    """Two by two, so that what they were told is quoted, and what they wrote is alike."""
    raises = f"def relu(x):\n    raise ValueError({listener.brief('message')!r})  #{listener.all('code')}"
    texts = (
        f"def relu(x):\n    return {listener.brief('value')!r} + {listener.brief('value')!r} # {listener.all('code')}"
    )
    stops = f"class Odd(Exception):\n    pass\nOdd.__qualname__ = Odd.__name__ = {listener.brief('class')!r}\n"
    stops += f"raise Odd({listener.brief('stopped')!r})"
    for student, code in zip(NAMES, (raises, raises, texts, texts, stops, stops), strict=True):
        one.hand_in(student, answered(one, code))
    for number in range(12):  # so that two are a small part of the class
        one.hand_in(f"other-{number}", answered(one, f"def relu(x):\n    return x + {number} - {number + 1} * x.sum()"))


def forge(one: Class, listener: Listener) -> None:
    """What no student can do if all goes well: payloads in each text of two verdicts."""
    for student in ("other-0", "other-1"):
        notebook = one.course.read(f"autograded/{student}", SLUG)
        verdict = notebook.metadata["trainloop"]["verdict"]
        verdict |= {"words": listener.brief("words"), "notes": [listener.brief("note")]}
        exercise = verdict["exercises"]["relu"]
        exercise |= {"title": listener.brief("exercise"), "name": listener.brief("name")}
        for place, check in enumerate(exercise["checks"]):
            check |= {name: listener.brief(name) for name in ("title", "sentence")}
            check |= {"detail": [f"Yours: {listener.brief('detail')}"], "status": "wrong"}
            check["mistake"] = 0 if place else None
        one.rewrite(student, notebook)


@pytest.fixture(scope="module")
def pages(listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], str]:
    """Each page, with names and without."""
    one = Class.build(tmp_path_factory.mktemp("class-pages"))
    hand_in(one, listener)
    one.run("autograde", SLUG)
    forge(one, listener)
    made = {}
    for kind, name in KINDS.items():
        for names in (False, True):
            folder: Path = tmp_path_factory.mktemp("made")
            result = trainloop(one.course.root, kind, "9.9", "-o", str(folder), *(["--names"] if names else []))
            assert result.exit_code == 0, result.output
            made[kind, names] = (folder / name).read_text(encoding="utf-8")
    return made


def seen(browser: Browser, listener: Listener, source: str, csp: bool = False) -> Visit:
    return visit(browser, listener, listener.serve("class", source), "h1", csp=csp)


@pytest.mark.parametrize("names", [False, True], ids=["numbers", "names"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_on_a_page_acts(
    browser: Browser, listener: Listener, pages: dict[tuple[str, bool], str], kind: str, names: bool
) -> None:
    found = seen(browser, listener, pages[kind, names])
    assert (found.marks, found.heard, found.asked, found.left) == ((), (), (), ())
    assert found.shown == (True,)
    assert "\x1b" not in found.text and "\u202e" not in found.text


ARRIVED = {
    ("report", False): ("message", "value", "stopped", "words", "exercise", "title", "sentence"),
    ("report", True): ("message", "value", "stopped", "words", "exercise", "title", "sentence", "student"),
    ("similar", False): ("code", "value", "class", "stopped"),
    ("similar", True): ("code", "value", "class", "stopped", "student"),
}


@pytest.mark.parametrize(("kind", "names"), ARRIVED)
def test_the_payloads_were_there_to_be_shown(pages: dict[tuple[str, bool], str], kind: str, names: bool) -> None:
    missing = [place for place in ARRIVED[kind, names] if witness(place).strip() not in pages[kind, names]]
    assert missing == []
    if not names:
        assert "witness-student" not in pages[kind, names]
    if kind == "report":
        assert "witness-code" not in pages[kind, names]


@pytest.mark.parametrize("kind", KINDS)
def test_the_browser_itself_stops_what_is_raw(
    browser: Browser, listener: Listener, pages: dict[tuple[str, bool], str], kind: str
) -> None:
    raw = {name: text for name, text in PAYLOADS.items() if name != "refresh"}  # no policy forbids it
    walled = pages[kind, False].replace("<main>", f"<main>{listener.all('walled', raw)}")
    found = seen(browser, listener, walled, csp=True)
    assert "witness-walled" in found.text
    assert (found.marks, found.heard, found.asked, found.left) == ((), (), (), ())


def test_the_control_acts(browser: Browser, listener: Listener, pages: dict[tuple[str, bool], str]) -> None:
    """The same page, with one payload that is not escaped and no policy: here, the marks are left."""
    raw = pages["report", False].replace("<main>", f"<main>{listener.all('control')}")
    found = seen(browser, listener, raw)
    assert {mark.split("/")[0] for mark in found.marks} == {"control"} and found.heard

"""A learner's first minute, in the real JupyterLab: the start page, into a lesson, and back."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat.v4 import new_output

from tests.sample_class import filled, reference
from tests.walks.jupyterlab import Desk, Lab, Notebook, Theme, new_page, take
from trainloop.authoring.lesson import read
from trainloop.checks.key import Key
from trainloop.checks.verdict import judge
from trainloop.checks.words import tally
from trainloop.course import Course
from trainloop.learner import lab
from trainloop.syllabus import TITLE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

THEMES: tuple[Theme, ...] = ("Light", "Dark")
POP_UPS = ".jp-Dialog, .Toastify__toast, .jp-Notification"
FITS = "view => [...view.querySelectorAll('th, td')].every(cell => cell.scrollWidth <= cell.clientWidth)"
SETTLED = 3000  # milliseconds in which JupyterLab would ask what it asks at its first start


def start_page(page: Page, running: Lab) -> Locator:
    """The page that the browser is sent to, once it is rendered."""
    (address,) = set(re.findall(r"http://127\.0\.0\.1:\d+/lab/tree/\S+", running.said))
    page.goto(address)
    view = page.locator(".jp-MarkdownViewer")
    view.get_by_role("heading", name=TITLE).wait_for()
    return view


def row(view: Locator, number: str) -> Locator:
    """The row of a lesson."""
    return view.get_by_role("row").filter(has_text=re.compile(rf"^\s*{re.escape(number)} "))


def save_passed(desk: Desk, slug: str, exercises: int) -> None:
    """Save a notebook in which the visible checks of the first exercises have passed."""
    course = desk.course
    answers = reference(read(course.text(slug)).exercises)
    names = list(answers)[:exercises]
    text = filled(course.read("release", slug), {name: answers[name] for name in names})
    notebook = nbformat.reads(text.decode(), as_version=4)
    key = Key.load(course.key(slug))
    for cell in notebook.cells:
        if (name := cell.id.removeprefix("check-")) in names and cell.cell_type == "code" and cell.id != name:
            visible = tuple(check for check in key.exercises[name].checks if not check.hidden)
            result = judge(replace(key.exercises[name], checks=visible), {one.title: one.expected for one in visible})
            cell.outputs = [new_output("stream", name="stdout", text=tally(result) + "\n")]
    desk.notebook(slug).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, desk.notebook(slug))


def test_the_first_minute(browser: Browser, tmp_path: Path, album: Path) -> None:
    desk = Desk.set_up(tmp_path)
    slug = desk.course.slug("1.1")
    with desk.lab() as running, new_page(browser) as page:
        view = start_page(page, running)
        page.wait_for_timeout(SETTLED)
        assert page.locator(POP_UPS).count() == 0
        assert view.get_by_role("heading", level=2).count() == 5, "three modules, what is optional, and help"
        assert "not started" in row(view, "1.1").inner_text()
        assert "not started" in row(view, "3.9").inner_text()
        assert "not written yet" not in view.inner_text(), "the course is complete"
        assert "[//]" not in view.inner_text()
        assert view.evaluate(FITS), "what stands in a table's cell fits into it"
        take(page, album, "student-start")

        view.get_by_role("paragraph").get_by_role("link", name="1.1 ").click()
        notebook = Notebook(page)
        notebook.wait_until_idle()
        notebook.write("mse", "def mse(w, x, y):\n    return 0  # my answer")
        notebook.save()

        # The page behind is fresh when one comes back to it, without loading anything anew.
        page.get_by_role("tab", name=lab.START).click()
        row(view, "1.1").filter(has_text="started: 0 of").wait_for()
        assert f"Go on with {lesson_title(desk.course, slug)}" in view.inner_text()
        assert page.locator(POP_UPS).count() == 0


def lesson_title(course: Course, slug: str) -> str:
    return next(one.removeprefix("# ") for one in course.text(slug).read_text().splitlines() if one.startswith("# 1"))


def test_in_the_middle_of_the_course(browser: Browser, tmp_path: Path, album: Path) -> None:
    desk = Desk.set_up(tmp_path)
    slugs = desk.course.slugs()
    lab.update(desk.course.root / "release", desk.work)
    for slug, exercises in zip(slugs, (4, 4, 2), strict=False):
        save_passed(desk, slug, exercises)
    newer = desk.course.notebook("release", slugs[0])
    newer.write_text(newer.read_text().replace("Afterwards you can", "After it you can", 1))
    with desk.lab() as running, new_page(browser) as page:
        view = start_page(page, running)
        assert "done" in row(view, "1.2").inner_text() and "newer version" in row(view, "1.1").inner_text()
        assert re.search(r"started: \d+ of \d+ checks", row(view, "1.3").inner_text())
        for theme in THEMES:
            Notebook(page).theme(theme)
            take(page, album, f"student-start-{theme.lower()}")
        view.get_by_role("link", name="the newer one").click()
        rendered = Notebook(page).panel.locator(".jp-MarkdownOutput")  # its source may stand there, too, hidden
        rendered.get_by_text("After it you can", exact=True).wait_for()
        # It is a notebook of its own: what is done in one is not done in the other.
        assert f"{slugs[0]}-new/" in page.url
        running.wait_for_kernels()

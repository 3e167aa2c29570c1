"""The formgrader as an instructor uses it: JupyterLab over a course's folder, in a real browser."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.attacks.test_pages import INIT, MATHJAX_URL, serve_mathjax
from tests.pages import SCRIPTS, environment
from tests.servers import PATIENCE, serving
from tests.walks.jupyterlab import SIZE, take

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Locator, Page, Route

OPTIONS = ("--allow-root", "--no-browser", "--ServerApp.port=0", "--LabApp.news_url=None")


@contextmanager
def jupyter_lab(course: Path, home: Path, exchange: Path) -> Iterator[str]:
    """`jupyter lab` as an instructor types it in the course's folder; gives the address to open."""
    home.mkdir(parents=True)
    # What stands in /etc/jupyter on an instructor's machine.
    (home / "nbgrader_config.py").write_text(f"c = get_config()\nc.Exchange.root = {str(exchange)!r}\n")
    asked = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    asked.parent.mkdir(parents=True)
    asked.write_text('{"fetchNews": "false"}')  # the answer to a question that JupyterLab asks once
    own = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {f"JUPYTERLAB_{name}_DIR": str(home / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    env = environment() | own | {"JUPYTER_CONFIG_PATH": str(home), "HOME": str(home)}
    with serving([SCRIPTS / "jupyter", "lab", *OPTIONS], home / "log", home / "runtime", env, course) as server:
        yield f"{server.url}lab?token={server.token}"
        server.stop(signal.SIGTERM)


@contextmanager
def window(browser: Browser) -> Iterator[Page]:
    """A window of the browser that reaches this machine alone. Scripts that students bring in leave marks in it."""
    context = browser.new_context(viewport=SIZE, reduced_motion="reduce")
    context.set_default_timeout(1000 * PATIENCE)
    context.add_init_script(INIT)

    def route(route: Route) -> None:
        if re.match(r"http://(127\.0\.0\.1|localhost)[:/]|file:|data:|blob:", route.request.url):
            route.continue_()
        elif route.request.url.startswith(MATHJAX_URL):
            serve_mathjax(route)
        else:
            route.abort()

    context.route("**/*", route)
    yield context.new_page()
    context.close()


@dataclass(frozen=True)
class Formgrader:
    """The formgrader, open in JupyterLab."""

    page: Page
    frame: Frame
    pictures: Path

    @staticmethod
    def open(page: Page, address: str, pictures: Path) -> Formgrader:
        """Open it from JupyterLab's menu."""
        page.goto(address)
        page.locator(".jp-Launcher").wait_for()
        page.keyboard.press("ControlOrMeta+B")  # the list of files makes room
        page.get_by_role("menuitem", name="Nbgrader", exact=True).click()
        page.get_by_role("menuitem", name="Formgrader", exact=True).click()
        shown = page.wait_for_selector("#jp-main-dock-panel iframe", state="attached")
        frame = shown.content_frame() if shown else None
        assert frame is not None
        made = Formgrader(page, frame, pictures)
        made.is_at("Manage Assignments")
        return made

    def picture(self, name: str) -> None:
        """Take a picture of what is shown now."""
        take(self.page, self.pictures, f"instructor-{name}")

    def is_at(self, title: str) -> None:
        """Wait until the page with this title has its table."""
        self.frame.locator("h1", has_text=title).wait_for()
        self.frame.wait_for_function("models && models.loaded")

    def go(self, text: str, title: str, address: str) -> None:
        """Follow a link, to the page with this title and an address that ends so."""
        self.frame.get_by_role("link", name=text, exact=True).first.click()
        self.frame.wait_for_url(f"**{address}")
        self.is_at(title)

    def row(self, text: str) -> Locator:
        """The row of a table that has a cell with this text."""
        exactly = re.compile(rf"^\s*{re.escape(text)}\s*$")
        return self.frame.locator("#main-table tr").filter(has=self.frame.locator("td", has_text=exactly))

    def cell(self, text: str, column: str) -> str:
        """What a cell says."""
        return " ".join(self.row(text).locator(f"td.{column}").inner_text().split())

    def column(self, column: str) -> dict[str, str]:
        """What a column says, by student."""
        rows = self.frame.locator("#main-table tr").all()
        return {one.locator("td.student-id").inner_text(): one.locator(f"td.{column}").inner_text() for one in rows}

    def press(self, text: str, column: str) -> str:
        """Press the button of a row, wait for nbgrader's answer, and give it; it stays open."""
        self.row(text).locator(f"td.{column} a").click()
        answer = self.frame.locator(".modal.in")
        answer.wait_for()
        said = answer.inner_text()
        assert answer.get_attribute("id") == "success-modal", said
        return said

    def close(self) -> None:
        """Close nbgrader's answer."""
        answer = self.frame.locator(".modal.in")
        answer.get_by_role("button", name="OK").click()
        answer.wait_for(state="detached")
        self.frame.locator(".modal-backdrop").wait_for(state="detached")

    def list_submissions(self, slug: str) -> None:
        """Go to the list of what was handed in."""
        if self.frame.locator("li.live-notebook").count():  # the page of a submission has no such link
            self.go("Manual Grading", "Manual Grading", "/gradebook")
        self.go("Manage Assignments", "Manage Assignments", "/manage_assignments")
        self.row(slug).locator("td.num-submissions a").click()
        self.frame.wait_for_url(f"**/manage_submissions/{slug}")
        self.is_at("Manage Submissions")

    def open_submission(self, slug: str, student: str) -> None:
        """Open a submission to be marked by hand; `student` as the page names them."""
        self.go("Manual Grading", "Manual Grading", "/gradebook")
        self.go(slug, "Manual Grading", f"/gradebook/{slug}")
        self.go(slug, "Manual Grading", f"/gradebook/{slug}/{slug}")
        self.frame.locator("#toggle_names").click()
        self.frame.get_by_role("link", name=student, exact=True).click()
        self.frame.wait_for_function(
            "typeof formgrader === 'object' && formgrader.grades?.loaded && formgrader.comments?.loaded"
        )

    def write(self, name: str, text: str) -> None:
        """Write into a field of a submission, and wait until it is kept."""
        field = self.frame.locator(f'[id="{name}"]')
        field.fill(text)
        with self.page.expect_response(lambda one: one.request.method == "PUT" and "/formgrader/api/" in one.url):
            field.blur()

    def resolve(self, name: str) -> None:
        """Say that a mark given by hand still holds."""
        cell = self.frame.locator(".nbgrader_cell").filter(has=self.frame.locator(f'[id="{name}"]'))
        with self.page.expect_response(lambda one: one.request.method == "PUT" and "/api/grade/" in one.url):
            cell.get_by_role("button", name="Resolve").click()

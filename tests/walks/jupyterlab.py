"""JupyterLab as a person uses it: the real `trainloop lab`, and a notebook in its page.

What a person does is done with mouse and keyboard. JupyterLab's own objects (`jupyterapp` in the page) are asked only
for what a person knows anyway: where a cell is, what is written in it, and (of a folded one, too) whether it has run.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.error import HTTPError

from tests.conftest import copy_course
from tests.documented import block, made
from tests.pages import SCRIPTS, environment
from tests.servers import PATIENCE, Server, serving
from trainloop.course import Course

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, ViewportSize

SIZE: ViewportSize = {"width": 1200, "height": 800}
OURS = ("http://127.0.0.1:", "http://localhost:", "data:", "blob:")
PICTURES = "TRAINLOOP_PICTURES"  # the folder that pictures are wanted in, if they are wanted

NOTEBOOK = "jupyterapp.shell.currentWidget.content"
PLACE = f"name => {NOTEBOOK}.widgets.findIndex(cell => cell.model.id === name)"
ACTIVE = f"{NOTEBOOK}.activeCell.model.id"
SOURCE = f"place => {NOTEBOOK}.widgets[place].model.sharedModel.getSource()"
PASTE = """(editor, text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  editor.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""
COUNT = f"place => {NOTEBOOK}.widgets[place].model.executionCount"  # null before and while it runs
DONE = f"""([place, before]) => {{
  const cell = {NOTEBOOK}.widgets[place].model;
  return ![null, before].includes(cell.executionCount) && cell.executionState !== "running";
}}"""
# After "Restart Kernel and Run All Cells" the code cells are numbered as they stand.
ALL_DONE = f"""() => {NOTEBOOK}.widgets
  .filter(cell => cell.model.type === "code" && cell.model.sharedModel.getSource().trim())
  .every((cell, place) => cell.model.executionCount === place + 1 && cell.model.executionState !== "running")"""

Theme = Literal["Light", "Dark"]
DIMMED: dict[Theme, str] = {"Light": "none", "Dark": "brightness(0.8) contrast(1.2)"}  # the filter of a figure


@dataclass(frozen=True)
class Desk:
    """Where one learner works: a course, the working copy, and settings of Jupyter's that are of this place alone."""

    folder: Path

    @staticmethod
    def set_up(folder: Path, lesson: str = "") -> Desk:
        """A desk with all lessons, or with those whose slug begins with `lesson`."""
        copy_course(folder / "course", lesson)
        return Desk(folder)

    @property
    def course(self) -> Course:
        """The learner's copy of the course."""
        return Course(self.folder / "course")

    @property
    def work(self) -> Path:
        """The working copy."""
        return self.folder / "work"

    def notebook(self, slug: str) -> Path:
        """The learner's notebook of a lesson."""
        return self.work / slug / f"{slug}.ipynb"

    @contextmanager
    def lab(self) -> Iterator[Lab]:
        """What the README's `make lab` runs, from its start to its end. It must end well."""
        (line,) = [words for words in block("README.md", "Learn") if words[0] == "make"]
        program, *words = made(line)[-1]
        with self._serving(SCRIPTS / program, *words, "--no-browser", "--folder", self.work) as lab:
            yield lab

    @contextmanager
    def notebook_7(self) -> Iterator[Lab]:
        """Plain Notebook on the working copy, from its start to its end. It must end well."""
        with self._serving(SCRIPTS / "jupyter", "notebook", "--no-browser", "--allow-root", self.work) as lab:
            yield lab

    @contextmanager
    def _serving(self, *command: str | Path) -> Iterator[Lab]:
        runtime = self.folder / "runtime"
        with serving(command, self.folder / "log", runtime, self._environment(), self.course.root) as server:
            yield Lab(server)
            assert server.stop(signal.SIGTERM) == 0, server.said

    def _environment(self) -> dict[str, str]:
        """Home, settings, caches: everything is in the desk's own folder."""
        config = self.folder / "config"
        config.mkdir(exist_ok=True)
        # A free port, on this machine alone; and the objects that the page is asked about.
        shown = {"expose_app_in_browser": True}
        settings = {"server": {"ServerApp": {"port": 0}}, "lab": {"LabApp": shown}}
        settings["notebook"] = {"JupyterNotebookApp": shown}
        for name, values in settings.items():
            (config / f"jupyter_{name}_config.json").write_text(json.dumps(values))
        folders = {f"JUPYTER_{name}_DIR": name.lower() for name in ("CONFIG", "DATA", "RUNTIME")}
        folders |= {f"JUPYTERLAB_{name}_DIR": name.lower() for name in ("SETTINGS", "WORKSPACES")}
        own = {"HOME": ".", "IPYTHONDIR": "ipython", **folders}
        inherited = {name: value for name, value in environment().items() if not name.startswith("XDG_")}
        return inherited | {name: str(self.folder / place) for name, place in own.items()}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    server: Server

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.server.said

    def end_kernels(self) -> None:
        """End all kernels, so that the next notebook has the machine to itself."""
        for kernel in json.loads(self.server.ask("api/kernels")):
            self.server.ask(f"api/kernels/{kernel['id']}", "DELETE")

    def wait_for_kernels(self) -> None:
        """Wait until a kernel has started: a server that is stopped while one starts does not end."""
        end = time.monotonic() + PATIENCE
        while self._kernel_states() != ["idle"]:
            assert time.monotonic() < end, "no kernel has started"
            time.sleep(0.2)

    def _kernel_states(self) -> list[str]:
        try:
            return [kernel["execution_state"] for kernel in json.loads(self.server.ask("api/kernels"))]
        except HTTPError as error:
            if error.code != 500:  # the server's own, of a kernel that comes while it counts them
                raise
            return []

    def address(self, path: str) -> str:
        """Where the browser finds a file of the working copy, alone in the window."""
        return f"{self.server.url}lab/tree/{path}?reset&token={self.server.token}"

    def open(self, page: Page, path: str) -> Notebook:
        """Open a file of the working copy, and wait until its kernel is ready."""
        page.goto(self.address(path))
        notebook = Notebook(page)
        notebook.wait_until_idle()
        return notebook


@contextmanager
def new_page(browser: Browser, size: ViewportSize = SIZE) -> Iterator[Page]:
    """A page with nothing remembered, from which nothing is fetched but what this machine serves."""
    context = browser.new_context(viewport=size, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE * 1000)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    yield context.new_page()
    context.close()
    assert [url for url in asked if not url.startswith(OURS)] == []


@dataclass(frozen=True)
class Notebook:
    """The notebook that is open in front."""

    page: Page

    @property
    def panel(self) -> Locator:
        """Its toolbar and its cells."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def wait_until_idle(self) -> None:
        """Wait until the kernel is there and does nothing."""
        self.page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()

    def wait_until_busy(self) -> None:
        """Wait until the kernel does something."""
        self.page.locator("#jp-main-statusbar").get_by_text("| Busy").wait_for()

    def cell(self, name: str) -> Locator:
        """The cell with this id."""
        return self.panel.locator(".jp-Notebook .jp-Cell").nth(self._place(name))

    def _place(self, name: str) -> int:
        place = int(self.page.evaluate(PLACE, name))
        assert place >= 0, f"There is no cell {name}."
        return place

    def source(self, name: str) -> str:
        """What is written in a cell."""
        return str(self.page.evaluate(SOURCE, self._place(name)))

    def select(self, name: str) -> Locator:
        """Click beside a cell, folded or not."""
        cell = self.cell(name)
        cell.scroll_into_view_if_needed()
        cell.locator(".jp-InputPrompt").first.click()
        return cell

    def write(self, name: str, text: str) -> None:
        """Replace what is written in a cell, by pasting."""
        editor = self.cell(name).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("ControlOrMeta+A")
        editor.evaluate(PASTE, text)
        assert self.source(name) == text

    def start(self, name: str) -> Locator:
        """Run a cell with Shift+Enter, and do not wait for its end."""
        cell = self.select(name)
        self.page.keyboard.press("Shift+Enter")
        return cell

    def run(self, name: str) -> str:
        """Run a cell, and give what it put out, as text."""
        before = self.page.evaluate(COUNT, self._place(name))
        self.start(name)
        return self.finished(name, before)

    def run_on_to(self, name: str) -> str:
        """Press Shift+Enter until the cell with this id has run, and give what it put out. A folded cell stays so."""
        before = self.page.evaluate(COUNT, self._place(name))
        while self.page.evaluate(ACTIVE) != name:
            self.page.keyboard.press("Shift+Enter")
        self.page.keyboard.press("Shift+Enter")
        return self.finished(name, before)

    def finished(self, name: str, before: int | None = None) -> str:
        """Wait for the end of a cell that was started when its number was `before`, and give what it put out."""
        self.page.wait_for_function(DONE, arg=[self._place(name), before])
        return self.output(name)

    def ask(self, name: str, text: str) -> str:
        """Type into a new cell below another, run it, and give its id."""
        self.select(name)
        for key in ("b", "Enter"):
            self.page.keyboard.press(key)
        self.page.keyboard.type(text)
        new = str(self.page.evaluate(ACTIVE))
        assert self.source(new) == text
        self.page.keyboard.press("Shift+Enter")
        self.finished(new)
        return new

    def run_all(self, names: Sequence[str]) -> None:
        """Run cells one after the other."""
        for name in names:
            self.run(name)

    def output(self, name: str) -> str:
        """What stands under a cell, as text."""
        return "\n".join(self.cell(name).locator(".jp-OutputArea-output").all_text_contents())

    def show(self, name: str) -> None:
        """Scroll to what stands under a cell. Of cells that were never in sight, JupyterLab has not drawn it yet."""
        cell = self.cell(name)
        cell.scroll_into_view_if_needed()
        output = cell.locator(".jp-OutputArea-output").last
        output.wait_for()
        output.scroll_into_view_if_needed()

    def tool(self, name: str) -> Locator:
        """A button of the notebook's toolbar."""
        return self.panel.locator(f'.jp-NotebookPanel-toolbar [data-jp-item-name="{name}"] jp-button')

    def restart_and_run_all(self) -> None:
        """Press the button, say yes, and wait until every cell has run."""
        self.tool("restart-and-run").click()
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.wait_for_function(ALL_DONE)
        self.wait_until_idle()

    def interrupt(self) -> None:
        """Press the stop button."""
        self.tool("interrupt").click()

    @property
    def validate_button(self) -> Locator:
        """nbgrader's button."""
        return self.panel.locator(".jp-NotebookPanel-toolbar jp-button.validate-button")

    def validate(self) -> Locator:
        """Press nbgrader's button, and give the window in which it answers."""
        self.validate_button.click()
        answer = self.page.get_by_role("dialog").filter(has_text="Validation Results")
        answer.wait_for()
        return answer

    def save(self) -> None:
        """Save with the keyboard, and wait until the file is written."""
        self.page.keyboard.press("ControlOrMeta+S")
        self.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")

    def _item(self, label: str) -> Locator:
        return self.page.locator(".lm-Menu-item", has=self.page.get_by_text(label, exact=True))

    def theme(self, name: Theme) -> None:
        """Choose a theme from the menu."""
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        self._item("Theme").hover()
        self._item(f"JupyterLab {name}").click()
        self.page.locator(f'body[data-jp-theme-name="JupyterLab {name}"]').wait_for(state="attached")


def take(page: Page | Locator, folder: Path, name: str) -> None:
    """Take a picture."""
    page.screenshot(path=folder / f"{name}.png", animations="disabled", caret="hide")


def pictures(otherwise: Path) -> Path:
    """Where pictures go."""
    folder = Path(os.environ.get(PICTURES) or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

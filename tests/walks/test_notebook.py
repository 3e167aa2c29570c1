"""The lessons in plain Notebook 7, as somebody opens them who does not want JupyterLab: `jupyter notebook work`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sample_class import reference
from tests.walks.jupyterlab import DIMMED, Desk, Lab, Notebook, new_page, take
from trainloop.authoring.lesson import read
from trainloop.learner.lab import update

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SPRING = "1.1-what-is-a-training-loop"
WRONG = "def mse(w, x, y):\n    return ((w * x - y) ** 2).sum()"
DRAWN = ("introduction-4", "introduction-7")  # what the first figure needs, and the cell that draws it
IDLE = "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


@dataclass(frozen=True)
class Plain(Notebook):
    """A notebook in Notebook 7, whose page has no status bar."""

    def wait_until_idle(self) -> None:
        """Wait until the kernel is there and does nothing."""
        self.page.wait_for_function(IDLE)


@pytest.fixture(scope="module")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk.set_up(tmp_path_factory.mktemp("desk"), "1.1")
    update(desk.course.root / "release", desk.work)
    return desk


@pytest.fixture(scope="module")
def running(desk: Desk) -> Iterator[Lab]:
    with desk.notebook_7() as running:
        yield running


@pytest.fixture
def page(browser: Browser, running: Lab) -> Iterator[Page]:
    with new_page(browser) as page:
        yield page
    running.end_kernels()


def test_a_figure_an_exercise_a_verdict_a_hint_a_prediction_and_a_solution(
    desk: Desk, running: Lab, page: Page, album: Path
) -> None:
    page.goto(f"{running.server.url}notebooks/{SPRING}/{SPRING}.ipynb?token={running.server.token}")
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.content?.widgets?.length > 20")
    notebook = Plain(page)
    notebook.wait_until_idle()
    imports = next(one.id for one in desk.course.read("release", SPRING).cells if "from trainloop import" in one.source)
    notebook.run_all([imports, *DRAWN])

    figure = page.get_by_role("img", name=re.compile("^Ten measured points"))
    for theme, dimmed in DIMMED.items():
        notebook.theme(theme)
        assert figure.evaluate("picture => getComputedStyle(picture).filter") == dimmed
        take(page, album, f"notebook-figure-{theme.lower()}")

    notebook.write("mse", WRONG)
    notebook.run("mse")
    said = notebook.run("check-mse")
    assert "This is the sum of the squares." in said and "Traceback" not in said
    notebook.show("check-mse")
    take(page, album, "notebook-verdict")

    hints = notebook.ask("check-mse", 'hint("mse")')
    assert 'hint("mse", 1)' in notebook.output(hints)
    solved = notebook.ask(hints, 'solution("mse", sure=True)')
    assert "def mse" in notebook.output(solved)
    notebook.show(solved)
    take(page, album, "notebook-solution")

    question = "predict-furthest"
    notebook.write(question, notebook.source(question).replace("...", '"A"', 1))
    assert "Yes. A step is the learning rate times the slope" in notebook.run(question)
    take(page, album, "notebook-prediction")

    notebook.write("mse", reference(read(desk.course.text(SPRING)).exercises)["mse"])
    notebook.run("mse")
    assert "FAIL" not in (said := notebook.run("check-mse")) and "checks of `mse` passed." in said
    notebook.save()
    assert "checks of `mse` passed." in desk.notebook(SPRING).read_text()

"""Figures that move: a still picture always, a player where a script runs, sliders where a kernel answers."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from trainloop import explore
from trainloop.learner import motion

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DRAW = """\
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from trainloop import animate, explore

calls = []

def draw(step: float = 0, lr: float = 0) -> Figure:
    calls.append((step, lr))
    fig, ax = plt.subplots(figsize=(4, 3))
    ax.plot([0, 1], [step, lr])
    return fig
"""
ALT = 'A line "turns" & rises with each step.'
# What the front end does when somebody moves the slider.
TOLD = "A line that rises to {lr:.1f} at its right end."
MOVE = """\
import gc

from ipywidgets import FloatSlider

(slider,) = [one for one in gc.get_objects() if isinstance(one, FloatSlider)]
slider.value = 0.9
print(calls[-1])
"""
CELLS = {
    "draw": DRAW,
    "animate": f"animate(draw, range(10), alt={ALT!r})",
    "explore": f"explore(draw, alt={ALT!r}, lr=(0.1, 0.9, 0.1, 0.5))",
    "move": MOVE,
    "explore-told": f"explore(draw, alt=lambda lr: f{TOLD!r}, lr=(0.1, 0.9, 0.1, 0.5))",
    "move-told": MOVE.replace("FloatSlider)]", "FloatSlider) and one.value == 0.5]"),
    "open": "print(plt.get_fignums())",
}


@pytest.fixture(scope="module")
def done() -> NotebookNode:
    notebook = new_notebook(cells=[new_code_cell(source, id=name) for name, source in CELLS.items()])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook


def outputs(done: NotebookNode, name: str) -> list[NotebookNode]:
    return next(cell.outputs for cell in done.cells if cell.id == name)


def picture(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png)))


def test_an_animation_leaves_a_still_grid_with_its_description(done: NotebookNode) -> None:
    (output,) = outputs(done, "animate")
    assert output.metadata["image/png"]["alt"] == output.data["text/plain"] == ALT
    still = picture(output.data["image/png"])
    assert still.size == (2 * 300, 3 * 225)  # six frames of 4 by 3 inches, in rows of two


def test_a_figure_is_the_same_picture_with_its_description_as_html(done: NotebookNode) -> None:
    """Which is what front ends prefer, and the only form in which JupyterLab tells a screen reader what is seen."""
    figure = outputs(done, "explore")[0]
    source, spoken = figure.data["image/png"].strip(), "A line &quot;turns&quot; &amp; rises with each step."
    assert figure.data["text/html"] == f'<img src="data:image/png;base64,{source}" alt="{spoken}">'


def test_the_player_stands_in_for_the_grid_only_where_a_script_runs(done: NotebookNode) -> None:
    html = outputs(done, "animate")[0].data["text/html"]
    assert ".player { display: none;" in html
    assert "@media print" in html
    frames = re.search(r"var frames = (\[.*?\])", html)
    assert frames is not None and frames[1].count('"') == 2 * 10
    assert html.count('alt="A line &quot;turns&quot; &amp; rises with each step."') == 2
    assert not re.search(r"https?:", html)  # nothing is fetched


def test_an_explored_figure_is_drawn_at_its_start_and_again_when_the_slider_moves(done: NotebookNode) -> None:
    figure, slider = outputs(done, "explore")
    assert figure.metadata["image/png"]["alt"] == ALT
    assert "application/vnd.jupyter.widget-view+json" in slider.data
    (printed,) = [one for one in outputs(done, "move") if one.output_type == "stream"]
    assert printed.text == "(0, 0.9)\n"


def test_moving_the_slider_draws_in_the_same_place(done: NotebookNode) -> None:
    """The first output now shows what is drawn at 0.9."""
    namespace: dict[str, object] = {}
    exec(DRAW, namespace)
    draw = namespace["draw"]
    assert callable(draw)
    expected = motion.as_png(draw(lr=0.9))
    assert outputs(done, "explore")[0].data["image/png"].strip() == base64.b64encode(expected).decode()


def test_the_description_may_follow_the_slider(done: NotebookNode) -> None:
    assert outputs(done, "explore-told")[0].metadata["image/png"]["alt"] == TOLD.format(lr=0.9)


def test_no_figure_stays_open(done: NotebookNode) -> None:
    assert outputs(done, "open")[0].text == "[]\n"


def test_without_a_kernel_the_still_figure_is_all(capsys: pytest.CaptureFixture[str]) -> None:
    before = plt.get_fignums()  # of other tests in this process
    explore(one_line, alt=ALT, lr=(0.0, 1.0, 0.1, 0.2))
    assert capsys.readouterr().out.count("'text/plain'") == 1
    assert plt.get_fignums() == before


def test_a_start_outside_of_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"The slider `lr` starts at 2\.0, outside of its range from 0\.0 to 1\.0"):
        explore(one_line, alt=ALT, lr=(0.0, 1.0, 0.1, 2.0))


def test_no_frames_and_no_description_are_refused() -> None:
    with pytest.raises(ValueError, match="There is nothing to show"):
        motion.animate(one_line, [], alt=ALT)
    with pytest.raises(ValueError, match="Describe the figure in words"):
        motion.animate(one_line, [1, 2], alt="A line.")


@pytest.mark.parametrize(
    ("count", "places"),
    [(1, [0]), (7, [*range(7)]), (8, [*range(8)]), (9, [0, 2, 3, 5, 6, 8]), (24, [0, 5, 9, 14, 18, 23])],
)
def test_the_stills_are_evenly_spaced(count: int, places: list[int]) -> None:
    assert motion.stills(count) == places


@pytest.mark.parametrize(("step", "places"), [(1.0, 0), (0.5, 1), (0.1, 1), (0.05, 2), (0.001, 3), (10.0, 0)])
def test_a_slider_shows_as_many_decimals_as_it_has(step: float, places: int) -> None:
    assert motion._places(step) == places


def one_line(lr: float) -> Figure:
    fig, ax = plt.subplots()
    ax.plot([0, lr])
    return fig


def test_the_page_of_an_animation(browser: Browser, done: NotebookNode, tmp_path: Path) -> None:
    """In a real browser: the grid without scripts, the player with them, and frames that go by."""
    html = outputs(done, "animate")[0].data["text/html"]
    page_file = tmp_path / "page.html"
    page_file.write_text(f"<!doctype html><html><body>{html}</body></html>", encoding="utf-8")
    still = browser.new_context(java_script_enabled=False).new_page()
    still.goto(page_file.as_uri())
    assert still.locator("img.still").is_visible() and not still.locator(".player").is_visible()
    page = browser.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("img.frame").is_visible() and not page.locator("img.still").is_visible()
    first = page.locator("img.frame").get_attribute("src")
    page.locator("input").fill("9")
    assert page.locator("img.frame").get_attribute("src") != first
    assert page.locator("span").inner_text() == "9"
    page.locator("button").click()  # from the end it begins anew
    page.wait_for_function("document.querySelector('span').textContent === '2'")
    page.emulate_media(media="print")
    assert page.locator("img.still").is_visible() and not page.locator(".player").is_visible()

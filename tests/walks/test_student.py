"""A student's hour: lessons in the real JupyterLab, opened by `trainloop lab`, in a real browser.

Each test is a step that a person takes and looks at what comes. Pictures go to the folder that TRAINLOOP_PICTURES
names; those called `student-...` are the ones in `docs/images/`, the others are there to be looked at.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sample_class import filled, reference
from tests.walks.jupyterlab import DIMMED, Desk, Lab, Notebook, new_page, take
from trainloop.authoring.lesson import Exercise, read
from trainloop.course import Course
from trainloop.learner.lab import START
from trainloop.learner.progress import of_lesson

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, ViewportSize

    from tests.walks.jupyterlab import Theme

SPRING = "1.1-what-is-a-training-loop"
LANDSCAPE = "1.4-visualizing-the-loss-landscape"
RECAP = "1.6-recap-and-key-takeaways"
NEURONS = "2.1-from-linear-to-nonlinear"
HUNT = "4.1-twenty-silent-bugs"
VALLEY = "script-3-down-a-valley-2"  # the cell that runs `descend`
THEMES: tuple[Theme, ...] = ("Light", "Dark")
MOST_LINES = 45  # of the answer to a check; what is more is a wall


# -------------------------------------------------------------------------------------------------------- what there is


@pytest.fixture(scope="module")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.set_up(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def lab(desk: Desk) -> Iterator[Lab]:
    with desk.lab() as running:
        yield running


@pytest.fixture
def page(browser: Browser, lab: Lab) -> Iterator[Page]:
    with new_page(browser) as page:
        yield page
    lab.end_kernels()


def exercises(course: Course, slug: str) -> Mapping[str, Exercise]:
    return read(course.text(slug)).exercises


def code(course: Course, slug: str, upto: str) -> Sequence[str]:
    """The ids of a lesson's code cells, from the first to that with this text."""
    cells = [cell for cell in course.read("release", slug).cells if cell.cell_type == "code"]
    last = next(place for place, cell in enumerate(cells) if upto in cell.source)
    return [cell.id for cell in cells[: last + 1]]


def put(desk: Desk, slug: str, answers: Mapping[str, str]) -> str:
    """Put a notebook with these answers into the working copy, and give its path there."""
    desk.notebook(slug).write_bytes(filled(desk.course.read("release", slug), answers))
    return path(slug)


def path(slug: str) -> str:
    return f"{slug}/{slug}.ipynb"


def assert_short(output: str) -> None:
    """What a learner reads is no wall: no frames of Python's, and not many lines."""
    assert "Traceback" not in output
    assert output.count("\n") < MOST_LINES, output


# ---------------------------------------------------------------------------------------------------------- the figures


@pytest.fixture(scope="module")
def spring(browser: Browser, lab: Lab, desk: Desk) -> Iterator[Notebook]:
    """Lesson 1.1, run up to its first figure."""
    with new_page(browser) as page:
        notebook = lab.open(page, path(SPRING))
        notebook.run_all(code(desk.course, SPRING, "explore(draw"))
        yield notebook
    lab.end_kernels()


FIRST_FIGURE = "Ten measured points on a rising line"
REDRAWN = """([alt, before]) =>
  [...document.images].some(one => one.alt.startsWith(alt) && one.complete && one.naturalWidth && one.src !== before)"""


def figure_of(notebook: Notebook, alt: str) -> Locator:
    """A figure as a screen reader finds it: an image with this name."""
    return notebook.panel.get_by_role("img", name=re.compile(f"^{re.escape(alt)}"))


def test_a_figure_is_seen_in_both_themes_and_spoken(spring: Notebook, album: Path) -> None:
    """On a dark page it is dimmed."""
    figure = figure_of(spring, FIRST_FIGURE)
    figure.scroll_into_view_if_needed()
    for theme in THEMES:
        spring.theme(theme)
        assert figure.is_visible() and figure.evaluate("picture => picture.naturalWidth") > 500
        assert figure.evaluate("picture => getComputedStyle(picture).filter") == DIMMED[theme]
        take(spring.page, album, f"look-figure-{theme.lower()}")
    spring.theme("Light")


def test_a_slider_redraws_the_figure_by_keyboard_and_by_mouse(spring: Notebook, album: Path) -> None:
    handle, value = spring.panel.get_by_role("slider"), spring.panel.locator(".widget-readout")
    assert value.inner_text() == "0.60"

    def redrawn(before: str | None) -> None:
        spring.page.wait_for_function(REDRAWN, arg=[FIRST_FIGURE, before])

    before = figure_of(spring, FIRST_FIGURE).get_attribute("src")
    handle.press("ArrowRight")
    redrawn(before)
    assert value.inner_text() == "0.62"

    before = figure_of(spring, FIRST_FIGURE).get_attribute("src")
    box = spring.panel.locator(".noUi-target").bounding_box()
    assert box is not None
    handle.hover()
    spring.page.mouse.down()
    spring.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"], steps=5)
    spring.page.mouse.up()
    redrawn(before)
    assert 1.4 < float(value.inner_text()) < 1.6
    take(spring.page, album, "student-slider")


def test_an_animation_plays(page: Page, lab: Lab, desk: Desk, album: Path) -> None:
    notebook = lab.open(page, path(LANDSCAPE))
    *before, last = code(desk.course, LANDSCAPE, "animate(ravine_at")
    notebook.run_all(before)
    notebook.run(last)
    cell = notebook.cell(last)
    label, play = cell.locator(".controls span"), cell.get_by_role("button", name="Play or pause the animation")
    assert label.inner_text() == "0"
    first = figure_of(notebook, "A narrow ravine").get_attribute("src")
    play.click()
    page.wait_for_function(REDRAWN, arg=["A narrow ravine", first])
    cell.get_by_role("slider", name="Frame of the animation").press("End")
    assert label.inner_text() == "20"
    figure_of(notebook, "A narrow ravine").scroll_into_view_if_needed()
    take(page, album, "look-animation")


# ----------------------------------------------------------------------------------------------------------- the checks


@pytest.fixture(scope="module")
def neurons(browser: Browser, lab: Lab, desk: Desk) -> Iterator[Notebook]:
    """Lesson 2.1, of which the imports have been run."""
    with new_page(browser) as page:
        notebook = lab.open(page, path(NEURONS))
        notebook.run(code(desk.course, NEURONS, "import torch")[0])
        yield notebook
    lab.end_kernels()


def test_a_check_before_its_exercise_says_what_to_run(neurons: Notebook) -> None:
    said = neurons.run("check-activations")
    assert "`relu` is not defined. Run the cell of this exercise, then this one." in said
    assert_short(said)


def test_an_untouched_exercise_says_so(neurons: Notebook) -> None:
    neurons.run("activations")
    said = neurons.run("check-activations")
    assert "`activations` is not started yet" in said
    assert_short(said)


def test_a_mistake_is_named_and_mended(neurons: Notebook, desk: Desk, album: Path) -> None:
    exercise = exercises(desk.course, NEURONS)["activations"]
    wrong = exercise.mistakes[0]
    neurons.write("activations", wrong.code)
    assert neurons.run("activations") == ""
    said = neurons.run("check-activations")
    assert wrong.sentence in flat(said)
    assert "  FAIL  relu" in said and "  ok    sigmoid" in said, "told in words, not by colour"
    assert_short(said)
    for theme in THEMES:
        neurons.theme(theme)
        neurons.show("check-activations")
        take(neurons.page, album, "student-mistake" if theme == "Light" else "look-mistake-dark")
    neurons.theme("Light")

    editor = neurons.cell("activations").locator(".cm-content")
    editor.get_by_text("x.abs()").click()
    for key in ("End", "Shift+Home"):
        neurons.page.keyboard.press(key)
    neurons.page.keyboard.type("return x.clamp(min=0)")
    assert neurons.source("activations") == wrong.code.replace("x.abs()", "x.clamp(min=0)")
    neurons.run("activations")
    said = neurons.run("check-activations")
    assert re.search(r"All \d+ checks of `activations` passed\.", said) and "FAIL" not in said
    neurons.show("check-activations")
    take(neurons.page, album, "look-mended")


def test_hints_come_when_they_are_asked_for(neurons: Notebook, desk: Desk, album: Path) -> None:
    hints = exercises(desk.course, NEURONS)["activations"].hints
    neurons.write("activations", exercises(desk.course, NEURONS)["activations"].mistakes[0].code)
    neurons.run("activations")
    assert f'Stuck? hint("activations"), in a new cell, lists {len(hints)} hints.' in neurons.run("check-activations")
    list_cell = neurons.ask("check-activations", 'hint("activations")')
    listed, first = neurons.output(list_cell), neurons.output(neurons.ask(list_cell, 'hint("activations", 1)'))
    title, text = next(iter(hints.items()))
    assert all(title in listed for title in hints) and text not in flat(listed)
    assert title in first and text in flat(first)
    take(neurons.page, album, "student-hint")


def test_cells_run_twice_and_checks_in_reverse_say_the_same(neurons: Notebook, desk: Desk) -> None:
    names = [*exercises(desk.course, NEURONS)]
    for name in names:
        neurons.write(name, reference(exercises(desk.course, NEURONS))[name])
    for name in [*names, *names]:
        neurons.run(name)
    first = {name: neurons.run(f"check-{name}") for name in reversed(names)}
    again = {name: neurons.run(f"check-{name}") for name in names}
    assert first == again
    for name, said in first.items():
        assert re.search(rf"All \d+ checks of `{name}` passed\.", said)


def flat(text: str) -> str:
    """Text without the line ends that it was wrapped at."""
    return " ".join(text.split())


# ------------------------------------------------------------------------------------------------------------- stopping

ENDLESS = """\
def relu(x):
    n = 0
    while n >= 0:
        n += 1
    return x


def sigmoid(x):
    return x


def tanh(x):
    return x
"""


def test_an_endless_loop_is_stopped_and_named(neurons: Notebook, album: Path) -> None:
    neurons.write("activations", ENDLESS)
    neurons.run("activations")
    neurons.start("check-activations")
    neurons.wait_until_busy()
    neurons.interrupt()
    said = neurons.finished("check-activations")
    assert "Stopped during the check" in said and re.search(
        r"in line \d of your cell: `(while n >= 0:|n \+= 1)`", flat(said)
    )
    assert_short(said)
    neurons.show("check-activations")
    take(neurons.page, album, "student-stopped")
    neurons.write("activations", ENDLESS.replace(">= 0", "< 0"))
    neurons.run("activations")
    assert "FAIL" in neurons.run("check-activations"), "the kernel goes on"


# -------------------------------------------------------------------------------------------- the notebook from the top


def test_a_solved_lesson_runs_from_the_top_and_validates(page: Page, lab: Lab, desk: Desk, album: Path) -> None:
    solved = reference(exercises(desk.course, SPRING))
    notebook = lab.open(page, put(desk, SPRING, solved))
    notebook.restart_and_run_all()
    for name in solved:
        assert re.search(rf"All \d+ checks of `{name}` passed\.", notebook.output(f"check-{name}"))
    answer = notebook.validate()
    assert "Success! Your notebook passes all the tests." in answer.inner_text()
    take(page, album, "look-validate-passed")


def test_validate_agrees_with_a_failed_check_and_says_why(page: Page, lab: Lab, desk: Desk, album: Path) -> None:
    known = exercises(desk.course, SPRING)
    wrong = known["mse"].mistakes[0]
    notebook = lab.open(page, put(desk, SPRING, {**reference(known), "mse": wrong.code}))
    answer = notebook.validate()
    _, _, said = answer.inner_text().partition("The following cell failed:")
    assert said.lstrip().startswith(known["mse"].title), "the verdict comes first, and not the code of the check"
    assert "The following cell failed" not in said
    assert wrong.sentence in flat(said)
    assert_short(answer.locator("pre").last.inner_text())
    take(page, album, "student-validate")


def test_running_all_goes_on_behind_what_fails_and_loses_no_progress(
    page: Page, lab: Lab, desk: Desk, album: Path
) -> None:
    known = exercises(desk.course, SPRING)
    right = reference(known)
    names = list(right)
    question = next(name for name in names if known[name].is_question)
    wrong, broken, solved = [name for name in names if name != question]
    answers = {wrong: known[wrong].mistakes[0].code, broken: "def step(:", solved: right[solved]}
    notebook = lab.open(page, put(desk, SPRING, answers))
    notebook.restart_and_run_all()
    assert known[wrong].mistakes[0].sentence in flat(notebook.output(f"check-{wrong}"))
    assert "SyntaxError" in notebook.output(broken)
    assert "passed." not in notebook.output(f"check-{broken}")
    assert f"of `{question}` passed: `q1` has no answer yet" in flat(notebook.output(f"check-{question}"))
    for cell in (f"check-{broken}", f"check-{question}"):
        assert_short(notebook.output(cell))
    passed = re.search(rf"All (\d+) checks of `{solved}` passed\.", notebook.output(f"check-{solved}"))
    assert passed, "the run goes on to the last exercise"
    take(page, album, "look-run-all")
    notebook.save()
    after = of_lesson(desk.course.root / "release" / SPRING, desk.notebook(SPRING))
    assert after.state == "started"
    assert int(passed[1]) <= after.passed < after.checks


DESK_SCREEN: ViewportSize = {"width": 1440, "height": 900}
VERDICT = ".jp-OutputArea-output"


@pytest.mark.parametrize("slug", [SPRING, NEURONS])
def test_an_answer_and_its_verdict_are_seen_at_once(browser: Browser, lab: Lab, desk: Desk, slug: str) -> None:
    known = exercises(desk.course, slug)
    mistaken = {name: one.mistakes[0].code for name, one in known.items() if one.mistakes and not one.is_question}
    notebook_path = put(desk, slug, mistaken)
    with new_page(browser, DESK_SCREEN) as page:
        notebook = lab.open(page, notebook_path)
        notebook.run(code(desk.course, slug, "import torch")[0])
        room = notebook.panel.locator(".jp-WindowedPanel-outer").bounding_box()
        assert room
        heights = {}
        for name in mistaken:
            notebook.select(name)
            assert "FAIL" in notebook.run_on_to(f"check-{name}")
            notebook.show(f"check-{name}")
            answer = notebook.cell(name).bounding_box()
            verdict = notebook.cell(f"check-{name}").locator(VERDICT).last.bounding_box()
            assert answer and verdict
            assert verdict["y"] > answer["y"]
            heights[name] = verdict["y"] + verdict["height"] - answer["y"]
        assert {name: height for name, height in heights.items() if height > room["height"]} == {}
    lab.end_kernels()


def test_of_nbgrader_there_is_what_a_student_can_use(neurons: Notebook) -> None:
    assert neurons.validate_button.is_visible()
    assert neurons.page.get_by_role("menuitem", name="Nbgrader").count() == 0
    assert neurons.page.get_by_role("tab", name="Create Assignment").count() == 0


# ------------------------------------------------------------------------------------------------------------- the quiz


def test_a_quiz_explains_the_option_that_was_chosen(page: Page, lab: Lab, desk: Desk, album: Path) -> None:
    quiz = exercises(desk.course, RECAP)["quiz"]
    right = dict(quiz.letters)
    wrong = {name: next(letter for letter in "ABCD" if letter != right[name]) for name in ("q1", "q4")}
    notebook = lab.open(page, path(RECAP))
    notebook.run(code(desk.course, RECAP, "import torch")[0])

    def answer(letters: Mapping[str, str]) -> str:
        notebook.write("quiz", "\n".join(f'{name} = "{letter}"' for name, letter in letters.items()))
        notebook.run("quiz")
        return notebook.run("check-quiz")

    said = answer(right | wrong)
    assert f"{len(right) - len(wrong)} of {len(right)} checks of `quiz` passed." in said
    for name, letter in wrong.items():
        assert quiz.options[name][letter] in flat(said)
    assert_short(said)
    notebook.show("check-quiz")
    take(page, album, "look-quiz")
    assert f"All {len(right)} checks of `quiz` passed." in answer(right)


# ----------------------------------------------------------------------------------------------------- a script to mend


def test_a_silent_bug_is_seen_and_mended_with_a_hint(page: Page, lab: Lab, desk: Desk, album: Path) -> None:
    (_, hint), *others = exercises(desk.course, HUNT)["descend"].hints.items()
    notebook = lab.open(page, path(HUNT))
    notebook.run_all([code(desk.course, HUNT, "import torch")[0], "descend"])
    assert "-" in notebook.run(VALLEY), "a coordinate crosses zero"
    said = notebook.run("check-descend")
    assert "`descend` is not mended yet: this is still what the script computes as you got it." in flat(said)
    assert_short(said)

    asked = notebook.ask("check-descend", 'hint("descend", 1)')
    assert hint in flat(notebook.output(asked))
    assert not any(text in flat(notebook.output(asked)) for _, text in others)
    take(page, album, "look-hunt")

    released = notebook.source("descend")
    notebook.cell("descend").locator(".cm-content").get_by_text("loss = (curvature").click()
    for key in ("End", "Enter"):
        page.keyboard.press(key)
    page.keyboard.type("w.grad = None")
    assert notebook.source("descend") == released.replace("sum() / 2\n", "sum() / 2\n        w.grad = None\n")
    notebook.run("descend")
    assert "-" not in notebook.run(VALLEY)
    mended = notebook.run("check-descend")
    assert "All 2 checks of `descend` passed." in mended and "FAIL" not in mended
    assert "a matter of lesson 1.1" in flat(mended)

    summary = notebook.run(code(desk.course, HUNT, "hunt()")[-1])
    assert "1 of 20 scripts mended: 0 unaided, 1 with hints, 0 after the worked answer." in summary
    assert "Hints read: 1." in summary
    take(page, album, "look-hunted")


# ---------------------------------------------------------------------------------------------------------- coming back


def test_what_was_done_is_there_after_a_break(browser: Browser, tmp_path: Path) -> None:
    desk = Desk.set_up(tmp_path, "1.1")
    answer = reference(exercises(desk.course, SPRING))["mse"]
    with desk.lab() as lab, new_page(browser) as page:
        notebook = lab.open(page, path(SPRING))
        notebook.run_all(code(desk.course, SPRING, "explore(draw"))
        notebook.write("mse", answer)
        notebook.run("mse")
        said = notebook.run("check-mse")
        notebook.save()
    with desk.lab() as lab, new_page(browser) as page:
        assert not {"New", "newer"} & set(lab.said.split()), "nothing was handed out"
        page.goto(f"{lab.server.url}lab?token={lab.server.token}")  # the layout of last time, not a chosen file
        notebook = Notebook(page)
        notebook.wait_until_idle()
        assert notebook.source("mse") == answer
        notebook.show("check-mse")
        assert notebook.output("check-mse") == said
        notebook.show(code(desk.course, SPRING, "explore(draw")[-1])
        assert figure_of(notebook, FIRST_FIGURE).evaluate("picture => picture.naturalWidth") > 500


def test_a_newer_version_of_the_course_leaves_work_alone(browser: Browser, tmp_path: Path, album: Path) -> None:
    desk = Desk.set_up(tmp_path)
    released = desk.course.root / "release"
    shutil.move(released / RECAP, tmp_path / RECAP)  # a lesson that comes later
    with desk.lab() as lab, new_page(browser) as page:
        assert f"{len(desk.course.slugs()) - 1} lessons put into" in flat(lab.said)
        notebook = lab.open(page, path(SPRING))
        notebook.write("mse", "def mse(w, x, y):\n    return 0  # my answer")
        notebook.save()
    mine = desk.notebook(SPRING).read_bytes()

    shutil.move(tmp_path / RECAP, released / RECAP)
    for slug in (SPRING, LANDSCAPE):
        change(released / slug / f"{slug}.ipynb")
    with desk.lab() as lab, new_page(browser) as page:
        said = flat(lab.said)
        assert "New lesson: 1.6" in said and "a lesson that you had not changed: 1.4" in said
        assert "There is a newer version of a lesson that you work on: 1.1" in said
        assert desk.notebook(SPRING).read_bytes() == mine
        page.goto(lab.address(START))
        news = page.locator(".jp-MarkdownViewer").get_by_text("A lesson that you work on has a newer version: 1.1")
        news.wait_for()
        take(page, album, "student-newer")
        assert "my answer" in lab.open(page, path(SPRING)).source("mse")
        for newer in (f"{SPRING}-new/{SPRING}.ipynb", path(LANDSCAPE)):
            lab.open(page, newer).panel.get_by_role("paragraph").filter(has_text=NEWS).wait_for()


NEWS = "This version is newer."


def change(notebook: Path) -> None:
    """A newer version of a released notebook."""
    text = json.loads(notebook.read_text(encoding="utf-8"))
    text["cells"][1]["source"] += [f"\n\n{NEWS}"]
    notebook.write_text(json.dumps(text), encoding="utf-8")

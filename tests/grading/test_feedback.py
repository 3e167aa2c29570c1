"""The feedback page, as nbgrader's own command writes it: what it says, what it keeps back, how it looks."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.utils import parse_utc

from tests.lessons import SLUG
from tests.pages import Class
from trainloop.checks.text import MAX_SHOWN, plain
from trainloop.checks.verdict import IN_WORDS
from trainloop.course import CONFIG_NAME
from trainloop.grading import feedback
from trainloop.grading.feedback import (
    MAX_CELLS,
    TEMPLATES,
    SanitizeStudents,
    plain_outputs,
    safe_markdown,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

RIGHT = "def relu(x):\n    return x.clamp(min=0)"
STOPS = "def relu(x):\n\n    y = x.clamp(min=0)\n    return y.nothing_of_this_name"
MISTAKE = "That is the absolute value."
VECTORS_ONLY = "def relu(x):\n    return x.clamp(min=0) if x.dim() == 1 else x"  # right in all that can be seen
WRONG_HALF = "def relu(x):\n    return x.clamp(max=0)"
SECRET = "torch.tensor([[-1.5], [2.5]])"  # what a hidden twin hands in
COMMENT = "Please **name** your variables. See `torch.clamp`."
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one point
PHONE = {"width": 390, "height": 844}


def answered(one: Class, answer: str, *more: NotebookNode, demo: str = "") -> NotebookNode:
    """The released notebook with an answer, cells before it, and another demonstration."""
    notebook = one.released
    for cell in notebook.cells:
        if cell.id == "relu":
            cell.source = answer
        elif demo and cell.source == "torch.arange(3.0)":
            cell.source = demo
    place = next(index for index, cell in enumerate(notebook.cells) if cell.id == "relu")
    notebook.cells[place:place] = more
    return notebook


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Class:
    """The class, graded, looked over by a person, and given feedback."""
    one = Class.build(tmp_path_factory.mktemp("feedback"))
    config = one.course.root / CONFIG_NAME
    config.write_text(config.read_text() + '\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    with one.gradebook() as gradebook:
        gradebook.update_or_create_assignment(SLUG, duedate=parse_utc("2026-11-01 12:00:00 UTC"))
    one.hand_in("ada", answered(one, RIGHT))
    one.hand_in("ben", answered(one, "def relu(x):\n    return x.abs()"))
    helper = new_code_cell("def help_me(x):\n    return x.clamp(min=0)", id="helper")
    one.hand_in("cleo", answered(one, "def relu(x):\n    return help_me(x)", helper, demo="torch.arange(4.0) * 2"))
    one.hand_in("dan", answered(one, STOPS))
    one.hand_in("eve", answered(one, RIGHT))
    (one.course.root / "submitted" / "eve" / SLUG / "timestamp.txt").write_text("2026-11-01 12:30:00 UTC")
    one.hand_in_files("fay", {"answers.txt": b"See my e-mail."})
    one.hand_in("gus", answered(one, "def relu(x):\n    return x"))
    one.hand_in("hal", answered(one, RIGHT))
    one.hand_in("ida", answered(one, VECTORS_ONLY))
    one.hand_in("ivy", answered(one, WRONG_HALF))
    one.run("autograde", SLUG)
    with one.gradebook() as gradebook:
        gradebook.find_grade("check-relu", SLUG, SLUG, "gus").manual_score = 1.5
        gradebook.find_comment("relu", SLUG, SLUG, "gus").manual_comment = COMMENT
    fail(one, "hal")
    one.run("generate_feedback", SLUG)
    return one


def fail(one: Class, student: str) -> None:
    """Let the notebook of a student carry the verdict that a failure of the grader leaves."""
    notebook = SanitizeStudents().preprocess(one.course.read("autograded/" + student, SLUG), {})[0]
    verdict = notebook.metadata["trainloop"]["verdict"]
    exercise = verdict["exercises"]["relu"]
    verdict |= {"status": "grader error", "words": IN_WORDS["grader error"]}
    exercise |= {"status": "grader error", "points": 0.0}
    for check in exercise["checks"]:
        check |= {"status": "grader error", "points": 0.0, "sentence": "This could not be graded.", "detail": []}
    one.rewrite(student, notebook)
    with one.gradebook() as gradebook:
        gradebook.find_grade("check-relu", SLUG, SLUG, student).auto_score = 0.0


def page(one: Class, student: str) -> str:
    return one.feedback(student).read_text(encoding="utf-8")


def said(one: Class, student: str) -> str:
    """What the page says, with single spaces."""
    body = page(one, student).split("<body>")[1]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", body)).split())


STUDENTS = ("ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal", "ida", "ivy")

# ------------------------------------------------------------------------------------------------------- what it says


@pytest.mark.parametrize("student", STUDENTS)
def test_each_check_stands_there_with_its_status_points_and_sentence(graded: Class, student: str) -> None:
    text, checks = said(graded, student), graded.verdict(student)["exercises"]["relu"]["checks"]
    assert len(checks) == 2
    for check in checks:
        line = f"{IN_WORDS[check['status']]}: {check['title']}{' with other numbers' * check['hidden']}"
        assert f"{line} {check['points']:g} of {check['possible']:g} points" in text
        assert check["sentence"].replace("`", "") in text
        assert all(" ".join(detail.split()) in text for detail in check["detail"])


def test_the_mark_comes_first(graded: Class) -> None:
    text = said(graded, "ben")
    assert text.startswith("Feedback for ben 9.9 A Tiny Lesson")
    points = graded.verdict("ben")["exercises"]["relu"]["points"]
    assert 0 < points < 2
    assert text.index(f"{points:g} of 2 points 0 of 1 right") < text.index("Exercise 1: ReLU") < text.index(MISTAKE)


def test_a_named_mistake_is_named_and_where_it_comes_again_said_once_more_on_demand(graded: Class) -> None:
    assert page(graded, "ben").count(MISTAKE) == 1
    source, sentence = page(graded, "ivy"), "The wrong half is kept."
    assert source.count(sentence) == 2
    again = source.index("The same as above")
    assert source.index(sentence) < again < source.rindex(sentence)


def test_of_twins_the_hidden_one_is_spoken_of_where_what_can_be_seen_is_right(graded: Class) -> None:
    assert "negative entries become zero with other numbers 0 of 1 points" in said(graded, "ida")
    assert all("with other numbers 0" not in said(graded, student) for student in STUDENTS if student != "ida")


def test_the_line_that_stopped_is_marked_in_the_students_code(graded: Class) -> None:
    marked = re.findall(r'<span class="hll">(.*?)\n</span>', page(graded, "dan"))
    assert [html.unescape(re.sub(r"<[^>]*>", "", line)).split() for line in marked] == [
        ["4", "return", "y.nothing_of_this_name"]
    ]
    assert all('class="hll"' not in page(graded, student) for student in STUDENTS if student != "dan")


def test_where_all_checks_say_the_same_it_is_said_once(graded: Class) -> None:
    sentences = {check["sentence"] for check in graded.verdict("fay")["exercises"]["relu"]["checks"]}
    assert said(graded, "fay").count(sentences.pop()) == 2, "as the note on the file, and over the checks"
    assert not sentences


def test_of_the_other_cells_only_the_students_own_are_shown(graded: Class) -> None:
    text = said(graded, "cleo")
    assert "1def help_me(x): 2 return x.clamp(min=0)" in text
    assert "1torch.arange(4.0) * 2" in text
    assert "Other cells that you wrote or changed" in text
    ada = said(graded, "ada")
    assert "torch.arange" not in ada and "Other cells" not in ada and "import torch" not in ada
    assert "A child would see it." not in ada, "the lesson's text"


def test_a_submission_without_a_notebook_gets_a_page_that_says_so(graded: Class) -> None:
    text = said(graded, "fay")
    assert "0 of 2 points not answered About the file that you handed in No notebook was found" in text
    assert "not final" not in text


def test_points_and_comment_of_a_grader_stand_beside_those_of_the_checks(graded: Class) -> None:
    text = said(graded, "gus")
    by_checks = graded.verdict("gus")["exercises"]["relu"]["points"]
    assert "1.5 of 2 points 0 of 1 right" in text
    assert f"The checks gave {by_checks:g}. A grader looked at your answer and set the points by hand." in text
    assert "From your grader Please name your variables. See torch.clamp." in text
    assert "<strong>name</strong>" in page(graded, "gus")
    for student in set(STUDENTS) - {"gus"}:
        assert "grader looked" not in said(graded, student) and "From your grader" not in said(graded, student)
        assert "checks passed" not in said(graded, student), "the gradebook's own comment"


def test_a_penalty_for_being_late_is_explained(graded: Class) -> None:
    text = said(graded, "eve")
    assert "0 of 2 points right It came in late. 2 points are taken off for that already." in text
    assert "Exercise 1: ReLUright2 of 2 points" in text.replace(" right", "right").replace("right 2", "right2")
    assert all("late" not in said(graded, student) for student in STUDENTS if student != "eve")


def test_a_failure_of_the_grader_is_not_blamed_on_the_student(graded: Class) -> None:
    text = said(graded, "hal")
    assert "could not be graded These points are not final" in text
    assert all("not final" not in said(graded, student) for student in STUDENTS if student != "hal")


@pytest.mark.parametrize("student", STUDENTS)
def test_nothing_of_a_hidden_check_shows(graded: Class, student: str) -> None:
    cell = next(cell for cell in graded.course.read("source", SLUG).cells if cell.id == "check-relu")
    assert SECRET in cell.source
    source = html.unescape(page(graded, student).split("<body>")[1])
    assert "negative entries become zero" in source
    assert not any(secret in source for secret in (SECRET, "-1.5", "2.5", "HIDDEN TESTS", "Traceback", "lambda"))


# ---------------------------------------------------------------------------------------------------- how it is made


class Outline(HTMLParser):
    """The headings, pictures and addresses of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.lang = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.addresses += [value for name, value in given.items() if name in ("href", "src", "action", "data")]
        self.ids += [given["id"]] if "id" in given else []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "html":
            self.lang = given["lang"]


@pytest.mark.parametrize("student", STUDENTS)
def test_the_page_is_in_order_and_loads_nothing(graded: Class, student: str) -> None:
    outline = Outline(page(graded, student))
    assert outline.lang == "en"
    assert outline.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert len(set(outline.ids)) == len(outline.ids)
    assert "script" not in outline.tags and "link" not in outline.tags
    anchors = {f"#{name}" for name in outline.ids}
    assert all(address in anchors or address.startswith("data:image/") for address in outline.addresses)
    assert "url(" not in page(graded, student) and "@import" not in page(graded, student)


@pytest.mark.parametrize("student", STUDENTS)
def test_every_status_is_a_word(graded: Class, student: str) -> None:
    """The sign and the colour come on top, and are not read aloud."""
    source = page(graded, student)
    for badge in re.findall(
        r'<span class="badge [a-z]+"><span aria-hidden="true" class="sign"></span>(.*?)</span>', source
    ):
        assert badge in IN_WORDS.values() or re.fullmatch(r"\d of \d right", badge)
    assert source.count('class="badge') == 3


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb", from the Web Content Accessibility Guidelines 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_of_text_can_be_read_on_every_ground_it_stands_on() -> None:
    style = (TEMPLATES / "feedback_page" / "style.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)]
    assert len(schemes) == 3, "light, dark, print"
    for scheme in schemes:
        grounds = [luminance(scheme.pop(name)) for name in ("page", "panel", "mark")]
        scheme.pop("rule")
        for name, colour in scheme.items():
            for ground in grounds[:2] if name in ("right", "wrong", "trouble", "open", "link") else grounds:
                light, dark = sorted((luminance(colour), ground), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, colour)


@pytest.mark.parametrize("student", STUDENTS)
def test_it_fits_a_phone(graded: Class, browser: Browser, student: str) -> None:
    opened = browser.new_page(viewport=PHONE)
    opened.goto(graded.feedback(student).as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    opened.close()


def test_it_is_dark_where_the_reader_asks_for_dark(graded: Class, browser: Browser) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        opened = browser.new_page(color_scheme=scheme)
        opened.goto(graded.feedback("ben").as_uri())
        grounds.append(opened.evaluate("getComputedStyle(document.body).backgroundColor"))
        opened.close()
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 24, 31)"]


def test_on_paper_everything_is_unfolded(graded: Class, browser: Browser) -> None:
    opened = browser.new_page()
    opened.goto(graded.feedback("cleo").as_uri())
    code = opened.locator("details.answer pre").last
    assert not code.is_visible()
    opened.emulate_media(media="print")
    assert code.is_visible()
    assert opened.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    opened.close()


# ------------------------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://example.org\x07a link\x1b]8;;\x07", "a link"),
        ("\x1b[31", ""),
        ("10%\r100%\r\n", "10%\n100%\n"),
        ("a\x00b\u202ec\ud800", "a\ufffdb\ufffdc\ufffd"),
        (["two ", "parts"], "two parts"),
        (None, ""),
    ],
)
def test_text_is_shown_without_what_a_terminal_acts_on(text: object, shown: str) -> None:
    assert plain(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert plain("x" * (MAX_SHOWN + 1_234)) == "x" * MAX_SHOWN + "\n[1,234 more characters are not shown here]"
    assert plain("\x1b[31m" * 1_000_000 + "end") == "end"


@pytest.mark.parametrize("code", ["match" + " " * 10_000, " \n" * 9_000, "x = 1\n" + "\t" * 300 + "y"])
def test_much_that_is_blank_is_shown_without_colours(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lexer of Python takes up to nine seconds for it."""
    coloured = str(feedback._shown(new_code_cell("for x in y: pass")).code)
    monkeypatch.setattr(feedback, "PythonLexer", None)
    assert re.search('class="k"', coloured)
    shown = re.sub(r"<[^>]+>", "", str(feedback._shown(new_code_cell(code)).code))
    assert re.sub(r"(?m)^ *\d+", "", shown).split() == code.split()


def test_of_outputs_text_and_pictures_stay() -> None:
    picture = new_output(
        "display_data", {"image/png": PIXEL, "text/html": "<b>"}, metadata={"image/png": {"alt": "A dot."}}
    )
    bare = new_output("display_data", {"image/png": PIXEL})
    broken = new_output("display_data", {"image/png": 'x" onerror="alert(1)', "text/plain": "as text"})
    other = new_output(
        "display_data", {"text/html": "<b>", "application/javascript": "alert(1)", "image/svg+xml": "<svg/>"}
    )
    shown = plain_outputs([picture, bare, broken, other, NotebookNode(output_type="unheard of")])
    assert [dict(output.data) for output in shown] == [
        {"image/png": PIXEL, "text/plain": "A dot."},
        {"image/png": PIXEL, "text/plain": "A figure that this cell drew; it comes without a description."},
        {"text/plain": "as text"},
    ]
    assert plain_outputs(shown) == shown


def test_the_formgraders_page_shows_no_more_added_cells_than_a_person_would_read(graded: Class) -> None:
    cells = [new_code_cell(f"x = {i}", id=f"added-{i}") for i in range(MAX_CELLS + 40)]
    exporter = HTMLExporter(config=graded.course.config())  # type: ignore[no-untyped-call]
    source, _ = exporter.from_notebook_node(new_notebook(cells=cells))
    assert "[40 more added cells are not shown on this page]" in source
    assert source.count("jp-CodeCell") - source.count(".jp-CodeCell") == MAX_CELLS


def test_the_lessons_own_markdown_looks_as_it_did() -> None:
    """Formulas for MathJax, tables, code, links; compared with what nbconvert makes of it."""
    text = "## A & B\n\n$$a_1 < b_1, \\quad *c*$$\n\n| a | b |\n|---|---|\n| $x_i$ | `<b>` |\n\n"
    text += (
        "```python\nif a < 1: pass\n```\n\n**bold** [link](https://example.org/a?b=1&c=2) ![A plot](images/plot.png)\n"
    )
    stock = HTMLExporter(exclude_anchor_links=True).markdown2html({}, text)  # type: ignore[no-untyped-call]
    made = safe_markdown(text)
    assert "$$a_1 &lt; b_1, \\quad *c*$$" in made
    assert tags(made) == tags(stock)
    assert re.sub(r"<[^>]*>", "", made) == re.sub(r"<[^>]*>", "", stock)


def tags(source: str) -> list[str]:
    return re.findall(r"<(?!span\b|/span)/?\w+", source)


def test_the_template_travels_with_the_package() -> None:
    assert json.loads((TEMPLATES / "feedback_page" / "conf.json").read_text()) == {"mimetypes": {"text/html": True}}
    assert TEMPLATES.parent == Path(__file__).parents[2] / "trainloop"

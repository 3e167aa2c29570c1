"""The class at a glance: what it counts, what it keeps back, how it looks, and what it says where there is nothing."""

from __future__ import annotations

import html
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.grading.test_feedback import Outline, answered, luminance
from tests.lessons import SLUG
from tests.pages import Class
from tests.test_cli import refused, trainloop, words
from trainloop.checks.verdict import CheckResult, ExerciseResult, VerdictStatus
from trainloop.classroom.class_report import (
    DRAWN,
    MAX_LIST_ROWS,
    ClassResults,
    Report,
    Result,
    class_results,
    draw,
    draw_marks,
    report,
    write_report,
)
from trainloop.classroom.pages import MOST_NAMED, NUMBERS, people
from trainloop.course import Course
from trainloop.grading.feedback import TEMPLATES
from trainloop.grading.folders import graded_notebooks
from trainloop.learner.disagreements import FILE_NAME, Disagreement

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning")

ABS, IDENTITY = "That is the absolute value.", "Nothing is done to the input."
CODE = "a_word_of_their_own"  # in every answer


def function(body: str) -> str:
    return f"def relu(x):\n    {CODE} = 1\n    {body}"


ANSWERS = {
    "ada": function("return x.clamp(min=0)"),
    "ben": function("return x.abs()"),
    "bea": function("return abs(x)"),
    "cleo": function("return x"),
    "dan": function("return x.clamp(min=1)"),
    "dora": function("return x.clamp(min=0) + (x < 1) * (1 - x.clamp(min=0))"),
    "eli": function("return x.clamp(min=0) + 7"),
    "finn": function("raise ValueError('the words of finn')"),
    "gil": function("raise KeyError('the words of two')"),
    "gus": function("x = x\n    raise KeyError('the words of two')"),
    "hal": function("import os; os._exit(1)"),
}
UNTOUCHED, NO_NOTEBOOK, LATE, AGAIN = "ivo", "jan", "kim", "ada"
GRADED = [*ANSWERS, UNTOUCHED, NO_NOTEBOOK]
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Class:
    """The class, graded; then one more hands in, and one hands in again."""
    one = Class.build(tmp_path_factory.mktemp("report"))
    for student, answer in ANSWERS.items():
        one.hand_in(student, answered(one, answer))
    one.hand_in(UNTOUCHED, one.released)
    one.hand_in_files(NO_NOTEBOOK, {"answers.txt": b"See my e-mail."})
    one.run("autograde", SLUG)
    one.hand_in(LATE, one.released)
    beside = one.course.root / "submitted"
    against = [vars(Disagreement("relu", "<b>I</b> do keep\x1b[2J what is positive.", "FAIL  a", "code of ada", ""))]
    (beside / AGAIN / SLUG / FILE_NAME).write_text(json.dumps(against), encoding="utf-8")
    (beside / LATE / SLUG / FILE_NAME).write_bytes(b"[[[")
    again = one.course.root / "submitted" / AGAIN / SLUG / f"{SLUG}.ipynb"
    after = one.autograded(AGAIN).stat().st_mtime + 60
    os.utime(again, (after, after))
    return one


@pytest.fixture(scope="module")
def results(graded: Class) -> ClassResults:
    return class_results(graded.course, SLUG, graded_notebooks(graded.course, SLUG))


@pytest.fixture(scope="module")
def named(graded: Class, results: ClassResults) -> Report:
    return report(graded.course, results, by_name=True)


@pytest.fixture(scope="module")
def anonymous(graded: Class, results: ClassResults) -> Report:
    return report(graded.course, results)


@pytest.fixture(scope="module")
def written(graded: Class, anonymous: Report, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_report(anonymous, tmp_path_factory.mktemp("written"))


def said(source: str) -> str:
    """What a page says, with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", source.split("<body")[1])).split())


# ------------------------------------------------------------------------------------------------------- what it counts


def test_the_class_in_numbers(named: Report) -> None:
    assert named.students == len(GRADED)
    assert (named.right, named.possible) == (1, 2.0)
    assert 0 < named.mean < 1
    assert sorted(named.marks)[-1] == 2.0
    assert named.not_graded.who == LATE
    assert named.handed_in_since.who == AGAIN


def test_a_named_mistake_is_counted_once_a_student(named: Report) -> None:
    found = [(str(row.text), row.count, row.who) for row in named.mistakes]
    assert found == [(ABS, 2, "bea and ben"), (IDENTITY, 1, "cleo")]
    assert all(row.where == "Exercise 1: ReLU" for row in named.mistakes)
    assert named.mistakes[0].share == pytest.approx(2 / len(GRADED))


def test_the_checks_that_fail_most(named: Report) -> None:
    """Those who did not answer say nothing about a check; those whose code ended the process do."""
    failed = {str(row.text): row.count for row in named.checks}
    assert failed["negative entries become zero"] == len(ANSWERS) - 1, "all but ada"
    counts = [row.count for row in named.checks]
    assert counts == sorted(counts, reverse=True)
    assert not any(row.who for row in named.checks)
    assert named.never_failed == 0


def test_errors_without_a_name_are_grouped_by_what_was_computed_or_said(named: Report) -> None:
    found = {row.who: row for row in named.unnamed}
    assert set(found) == {"dan and dora", "gil and gus"}
    assert found["dan and dora"].quote.startswith("Yours: [1., 3.]")
    assert "stopped with KeyError: &#39;the words of two&#39;" in str(found["gil and gus"].text)
    assert found["gil and gus"].where == "Exercise 1: ReLU: keeps what is positive"


def test_what_one_student_alone_was_told_is_not_quoted(named: Report) -> None:
    assert {(str(row.text), row.who) for row in named.alone} == {
        ("Another result than expected, and nobody else has the same.", "eli"),
        ("It stopped with ValueError.", "finn"),
    }


def test_statuses_stand_in_words_the_good_ones_first(named: Report) -> None:
    found = [(str(row.text), row.count, row.who) for row in named.statuses]
    wrong = len(ANSWERS) - 2
    assert found == [
        ("right", 1, ""),
        ("0 of 1 right", wrong, ""),
        ("not answered", 2, ""),
        ("the process ended", 1, "hal"),
    ]


def test_exercises(named: Report) -> None:
    (one,) = named.exercises
    assert (one.title, one.right, one.missing) == ("Exercise 1: ReLU", 1, 2)
    assert one.right + one.partly + one.wrong + one.missing == len(GRADED)
    assert one.partly >= 3, "the absolute value keeps what is positive"


def test_who_disagrees_is_quoted_with_the_verdict(named: Report, written: tuple[Path, Path]) -> None:
    ada, kim = named.disagreements
    assert (ada.who, ada.where, ada.verdict) == (AGAIN, named.exercises[0].title, "FAIL  a")
    assert ada.why == "<b>I</b> do keep what is positive."
    assert (kim.who, kim.where) == (LATE, "") and "cannot be read" in kim.why
    page = said(written[0].read_text(encoding="utf-8"))
    assert "<b>I</b> do keep what is positive. FAIL a" in page
    assert "code of ada" not in page


def test_time(named: Report) -> None:
    assert named.seconds is not None and named.middle is not None
    assert 0 < named.middle < named.seconds
    assert [seconds for _, seconds in named.slowest] == sorted((s for _, s in named.slowest), reverse=True)


def test_verdicts_of_an_earlier_version_have_no_time(graded: Class, results: ClassResults) -> None:
    old = replace(results, results=tuple(replace(one, seconds=None) for one in results.results))
    one = report(graded.course, old)
    assert one.seconds is None and one.slowest == ()


# ----------------------------------------------------------------------------------------------- what it keeps back


def test_no_name_and_no_code_of_a_student_is_on_the_page(written: tuple[Path, Path]) -> None:
    text = written[0].read_text(encoding="utf-8").split("<body")[1]
    assert not [name for name in (*GRADED, LATE) if re.search(rf"\b{name}\b", text)]
    for secret in (CODE, "clamp(", "raise ", "the words of finn", "os._exit", "line 3"):
        assert secret not in html.unescape(text), secret
    assert ABS in text and "the words of two" in html.unescape(text)


def test_names_where_they_are_asked_for(graded: Class, named: Report, tmp_path: Path) -> None:
    text = said(write_report(named, tmp_path)[0].read_text(encoding="utf-8"))
    assert "Made by bea and ben." in text
    assert "This report names students." in text


def test_numbers_stay_and_tell_no_name(own_course: Course) -> None:
    names = [f"student-{place:02}" for place in range(60)]
    first = people(own_course, names)
    assert sorted(first.names.values(), key=int) == [str(number) for number in range(1, 61)]
    assert [first.names[name] for name in names] != sorted(first.names.values(), key=int), "drawn by lot"
    later = people(own_course, ["a-new-one", *names[:20]])
    assert later.names["a-new-one"] == "61"
    assert {name: later.names[name] for name in names[:20]} == {name: first.names[name] for name in names[:20]}
    assert list(later.names.values()) == sorted(later.names.values(), key=int)


def test_two_courses_draw_differently(own_course: Course, tmp_path: Path) -> None:
    names = [f"student-{place:02}" for place in range(60)]
    assert people(own_course, names).names != people(Course(tmp_path), names).names


def test_students_in_a_row(own_course: Course) -> None:
    known = people(own_course, ["ada", "ben", "cleo"])
    by_name = people(own_course, ["cleo", "ada", "ben"], by_name=True)
    assert by_name.many({"ada"}) == "ada"
    assert by_name.many({"cleo", "ada", "ben"}) == "ada, ben and cleo"
    assert by_name.many({"cleo", "ada", "ben"}, most=1) == "ada and 2 more"
    assert known.many({"ada", "ben", "cleo"}) == "students 1, 2 and 3"
    assert known.many({"ada"}) == f"student {known.names['ada']}" == known.one("ada")


# ------------------------------------------------------------------------------------------------------- how it is made


def test_the_page_is_in_order_and_loads_nothing(written: tuple[Path, Path]) -> None:
    source = written[0].read_text(encoding="utf-8")
    outline = Outline(source)
    assert outline.lang == "en"
    assert outline.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert len(set(outline.ids)) == len(outline.ids)
    assert "script" not in outline.tags and "link" not in outline.tags
    anchors = {f"#{name}" for name in outline.ids}
    assert all(address in anchors or address.startswith("data:image/png;base64,") for address in outline.addresses)
    assert "url(" not in source and "@import" not in source
    assert "Content-Security-Policy" in source and "default-src 'none'" in source


def test_the_figure_on_the_page_is_described(anonymous: Report, written: tuple[Path, Path]) -> None:
    _, alt = draw_marks(anonymous)
    assert f'alt="{html.escape(alt)}"' in written[0].read_text(encoding="utf-8")
    counted = {name: int(count) for name, count in re.findall(r"(\d+): (\d+)", alt)}
    assert sum(counted.values()) == len(GRADED)
    assert counted["2"] == 1
    assert counted["0"] + counted["1"] == len(GRADED) - 1


def test_the_picture_is_a_picture(written: tuple[Path, Path]) -> None:
    data = written[1].read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert 10_000 < len(data) < 200_000


@pytest.mark.parametrize("text", ["$\\frac{", "$x^$ and \\alpha_{", "<b>&amp;", "a\x00b\u202e", "x" * 10_000, ""])
def test_no_text_stops_the_picture(anonymous: Report, text: str, tmp_path: Path) -> None:
    rows = tuple(replace(row, text=text) for row in anonymous.mistakes)
    spoiled = replace(anonymous, title=text, mistakes=rows, checks=rows)
    assert write_report(spoiled, tmp_path)[1].read_bytes().startswith(b"\x89PNG")


def test_every_colour_of_text_can_be_read_on_a_mark() -> None:
    """The feedback page's own test looks at its colours; these pages put ordinary ink onto marks."""
    style = (TEMPLATES / "feedback_page" / "style.css").read_text(encoding="utf-8")
    for block in re.findall(r":root \{(.*?)\}", style, re.S):
        colours = dict(re.findall(r"--(\w+): (#\w{6});", block))
        light, dark = sorted((luminance(colours["ink"]), luminance(colours["mark"])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5
    ours = (TEMPLATES / "class_page" / "style.css").read_text(encoding="utf-8")
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b", ours), "no colour but the feedback page's"


def opened(browser: Browser, path: Path, **options: object) -> Page:
    page = browser.new_page(**options)  # type: ignore[arg-type]
    page.goto(path.as_uri())
    return page


def test_it_fits_a_phone(browser: Browser, written: tuple[Path, Path]) -> None:
    page = opened(browser, written[0], viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.close()


def test_it_is_dark_where_the_reader_asks_for_dark(browser: Browser, written: tuple[Path, Path]) -> None:
    """And its picture is dimmed there, but not on paper."""
    grounds, dimmed = [], []
    for scheme in ("light", "dark"):
        page = opened(browser, written[0], color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for media in ("screen", "print"):
            page.emulate_media(media=media, color_scheme=scheme)
            dimmed.append(page.locator("img.figure").evaluate("picture => getComputedStyle(picture).filter"))
        page.close()
    assert len(set(grounds)) == 2
    assert dimmed == ["none", "none", "brightness(0.8) contrast(1.2)", "none"]


def test_a_bar_is_as_long_as_the_share(browser: Browser, written: tuple[Path, Path], anonymous: Report) -> None:
    page = opened(browser, written[0])
    inner, outer = page.evaluate(
        "(() => { const bar = document.querySelector('#mistakes ~ .list .bar');"
        " return [bar.firstElementChild.offsetWidth, bar.offsetWidth]; })()"
    )
    assert inner / outer == pytest.approx(anonymous.mistakes[0].share, abs=0.02)
    page.close()


def test_it_prints(browser: Browser, written: tuple[Path, Path]) -> None:
    page = opened(browser, written[0])
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.close()


# -------------------------------------------------------------------------------------------------------- a large class


def crowd(count: int) -> ClassResults:
    """A class of this size, in which everybody makes some of many mistakes."""
    return ClassResults(SLUG, "9.9 A Crowd", tuple(_one_of_many(number) for number in range(count)), ())


def _one_of_many(number: int) -> Result:
    exercises = tuple(_exercise(place, number) for place in range(4))
    status: VerdictStatus = "wrong" if any(one.status == "wrong" for one in exercises) else "ok"
    return Result(f"s{number:05}", status, status, 1.0 + number % 7, exercises, False)


def _exercise(place: int, number: int) -> ExerciseResult:
    made = number % 23 if number % 3 else None
    mistake = None if made == 22 else made
    sentence = "" if made is None else f"Mistake {made} of {place}." if mistake is not None else f"Value {number % 5}."
    status: VerdictStatus = "ok" if made is None else "wrong"
    check = CheckResult(f"check {place}", False, status, float(made is None), 1.0, sentence, (), mistake)
    return ExerciseResult(f"e{place}", f"Exercise {place}", status, check.points, 1.0, (check,))


def test_lists_of_a_large_class_are_cut_and_say_so(own_course: Course, tmp_path: Path) -> None:
    before = time.process_time()
    one = report(own_course, crowd(2_000))
    page, _ = write_report(one, tmp_path)
    assert time.process_time() - before < 60
    assert page.stat().st_size < 300_000
    text = said(page.read_text(encoding="utf-8"))
    assert len(one.mistakes) == 4 * 22
    assert f"and {4 * 22 - MAX_LIST_ROWS} more, each of" in text
    shown = re.findall(r"Made by students [\d, ]+ and (\d+) more\.", text)
    assert len(shown) >= MAX_LIST_ROWS
    assert int(shown[0]) == one.mistakes[0].count - MOST_NAMED
    assert len(draw(one).axes[2].patches) == DRAWN


# ---------------------------------------------------------------------------------------------------------- the command


def test_the_command_writes_page_and_picture_and_names_nobody(graded: Class) -> None:
    result = trainloop(graded.course.root, "report", "9.9")
    assert result.exit_code == 0, result.output
    folder = graded.course.root / "reports"
    assert sorted(path.name for path in folder.iterdir()) == [f"{SLUG}.html", f"{SLUG}.png"]
    assert f"{SLUG}: {len(GRADED)} students" in words(result)
    assert f"2 {ABS}" in words(result)
    assert not [name for name in (*GRADED, LATE) if re.search(rf"\b{name}\b", result.output.replace(str(folder), ""))]


def test_the_command_with_names_and_a_folder(graded: Class, tmp_path: Path) -> None:
    result = trainloop(graded.course.root, "report", SLUG, "--names", "--output", str(tmp_path / "a" / "b"))
    assert result.exit_code == 0, result.output
    assert f"not in the report: {LATE}." in words(result)
    assert "bea and ben" in (tmp_path / "a" / "b" / f"{SLUG}.html").read_text(encoding="utf-8")


def test_where_nothing_is_graded(own_course: Course) -> None:
    refused(trainloop(own_course.root, "report", "2.1"), "is graded yet: there is no")
    assert not (own_course.root / "reports").exists()


@pytest.mark.parametrize(
    "notebook",
    [
        b"",
        b"[]",
        b'{"metadata": {}}',
        b'{"metadata": {"trainloop": {"verdict": {"status": "?", "words": "", "exercises": {}}}}}',
        b'{"metadata": {"trainloop": {"verdict": {"status": "ok", "words": "", "exercises": {"relu": {"name": 1}}}}}}',
    ],
)
def test_notebooks_without_a_verdict(own_course: Course, notebook: bytes) -> None:
    slug = own_course.slug("2.1")
    folder = own_course.root / "autograded" / "ada" / slug
    folder.mkdir(parents=True)
    (folder / f"{slug}.ipynb").write_bytes(notebook)
    refused(trainloop(own_course.root, "report", "2.1"), "carry no verdicts of this course. Run: trainloop grade 2.1")


@pytest.mark.parametrize("damaged", ["", "[]", '{"ada": "1"}'])
def test_damaged_numbers_are_refused_and_kept(own_course: Course, damaged: str) -> None:
    path = own_course.root / ".trainloop" / NUMBERS
    path.parent.mkdir()
    path.write_text(damaged)
    with pytest.raises(Exception, match="Delete it: students then get new numbers"):
        people(own_course, ["ada"])
    assert path.read_text() == damaged


def test_a_folder_that_cannot_be_written(graded: Class, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(
        trainloop(graded.course.root, "report", "9.9", "--output", str(tmp_path / "file")), "is a file. Name a folder"
    )

"""The pages in a real browser: at any width, in light and dark, by keyboard, without JavaScript, and with nothing asked
of another host."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.lessons import written
from tests.site.conftest import LESSONS, Site, pages_of
from trainloop.learner.placement import questions
from trainloop.site import book
from trainloop.site.guide_pages import terms

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = (360, 768, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MEDIA: tuple[Literal["screen", "print"], ...] = ("screen", "print")
PATIENCE = 60_000  # milliseconds, on a busy machine
AXE = {"preload": False}  # it would ask for style sheets again, at addresses where they are not
MANY = 600  # presses of Tab; a page has fewer stops


@contextmanager
def opened(browser: Browser, address: str, **settings: Any) -> Iterator[Page]:
    """A page in a context of its own, and at its end: nothing was asked of another host, and nothing went wrong."""
    context = browser.new_context(**settings)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None)
    try:
        yield page
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
        assert wrong == []
    finally:
        context.close()


def ready(page: Page, url: str) -> None:
    """Open a page and wait until its formulas stand."""
    page.goto(url)
    page.wait_for_function("!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each page of the site is a test of its own."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", pages_of(metafunc.config))


def test_a_page_reads_at_any_width_in_light_and_dark(browser: Browser, address: str, name: str) -> None:
    with opened(browser, address) as page:
        ready(page, address + name)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert over <= 0, f"{scheme}, {width} px: {over} px too wide"
                if (scheme, width) in (("light", WIDTHS[0]), ("dark", WIDTHS[-1])):
                    page.wait_for_timeout(300)  # what a change of width sets off
                    found = Axe().run(page, options=AXE).response["violations"]
                    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], f"{scheme}, {width} px"
            dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until what the selector names has the focus."""
    for _ in range(MANY):
        page.keyboard.press("Tab")
        if page.evaluate("one => document.activeElement.matches(one)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_the_keyboard_answers_a_question_and_moves_a_slider(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        tab_to(page, "figure.moving input[type=range]")
        image = page.locator("figure.moving img.frame").first
        before = (image.get_attribute("src"), image.get_attribute("alt"))
        page.keyboard.press("ArrowRight")
        after = (image.get_attribute("src"), image.get_attribute("alt"))
        assert before[0] != after[0] and before[1] != after[1]
        assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "0.64"
        tab_to(page, ".ask button[aria-pressed]")
        page.keyboard.press("Enter")
        said = page.evaluate("document.activeElement.closest('.ask').querySelector('.said').innerText")
        assert said.startswith(("Right, A:", "Not quite, A:"))


def test_a_quiz_says_the_sentence_of_the_option_that_was_chosen(browser: Browser, address: str) -> None:
    exercise = written()[LESSONS[0]].exercises["forecast"]
    with opened(browser, address, viewport={"width": 360, "height": 740}) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        for number, (question, options) in enumerate(exercise.options.items(), start=1):
            ask = page.locator(f'.ask[data-name="Your answer to question {number}"]')
            for letter, sentence in options.items():
                ask.get_by_role("button", name=letter, exact=True).click()
                said = ask.locator(".said").inner_text()
                right = letter == exercise.letters[question]
                assert said.startswith(f"{'Right' if right else 'Not quite'}, {letter}:")
                assert sentence.split()[0] in said
                others = [told for other, told in options.items() if other != letter]
                assert not any(told in said for told in others)


def test_a_number_is_judged_as_in_the_notebook(browser: Browser, address: str) -> None:
    numbers = {
        slug: [one for one in written()[slug].predictions.values() if one.within is not None] for slug in LESSONS
    }
    slug = next(slug for slug, found in numbers.items() if found)
    one = numbers[slug][0]
    right, within = float(one.right), float(one.within or 0)
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{slug}.html")
        ask = page.locator(".ask[data-number]").first
        for given, begins in ((right, "Right"), (right - within - 1, "Too low"), (right + within + 1, "Too high")):
            ask.locator("input").fill(str(given))
            ask.get_by_role("button", name="Check").click()
            assert ask.locator(".said").inner_text().startswith(begins)
        ask.locator("input").fill("many")
        ask.get_by_role("button", name="Check").click()
        assert "A number is asked for" in ask.locator(".said").inner_text()


def test_the_placement_questions_name_the_lessons_that_were_missed(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}docs/placement.html")
        rows, told = page.locator(".placement [data-question]"), page.locator(".placement .told")
        assert told.inner_text() == f"0 of 0 right; {len(questions())} still to answer."
        assert not any(row.is_visible() for row in rows.all())
        first, second, third = questions()[:3]
        wrong = "B" if first.right == "A" else "A"
        asks = page.locator(".ask")
        for ask, answer in zip(asks.all()[:3], (wrong, second.right, "I do not know"), strict=False):
            ask.get_by_role("button", name=answer, exact=True).click()
        said = asks.first.locator(".said").inner_text()
        assert said.startswith(f"Not quite, {wrong}:")
        assert f"{third.right}:" in asks.nth(2).locator(".said").inner_text()
        asks.first.get_by_role("button", name=first.right, exact=True).click()
        assert told.inner_text() == f"1 of 3 right; {len(questions()) - 3} still to answer.", "the first answer counts"
        assert [row.inner_text() for row in rows.all() if row.is_visible()] == ["question 1", "question 3"]


def test_an_animation_plays_to_its_end(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[1]}.html")
        figure = page.locator("figure.moving:has(button)").first
        slider = figure.locator("input")
        assert slider.input_value() == "0"
        figure.get_by_role("button", name="Play").click()
        page.wait_for_function("one => one.value === one.max", arg=slider.element_handle())
        assert figure.get_by_role("button").inner_text() == "Play"


def test_hints_and_answers_open_layer_by_layer(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        hints, worked = page.locator("details.hints").first, page.locator("details.worked").first
        first = hints.locator("details.hint").first
        assert not first.locator("summary").is_visible() and not worked.locator("pre").first.is_visible()
        hints.locator("summary").first.click()
        assert first.locator("summary").is_visible() and not first.locator("p").first.is_visible()
        first.locator("summary").click()
        assert first.locator("p").first.is_visible()
        worked.locator("summary").first.click()
        assert worked.locator("pre").first.is_visible() and worked.locator(".highlight-diff").first.is_visible()


def test_terms_and_signs_say_what_they_mean(browser: Browser, address: str, site: Site) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        page.locator("a.term", has_text="learning rate").first.focus()
        glossary = (site.course.root / "docs" / "glossary.md").read_text(encoding="utf-8")
        (told,) = [one.told for one in terms(glossary) if one.term == "learning rate"]
        assert page.locator("#meaning").inner_text().split()[:4] == told.split()[:4]
        page.keyboard.press("Escape")
        assert not page.locator("#meaning").is_visible()
        page.locator(".bd-article section > p [class*=sign-]").first.click()
        assert page.locator("#meaning li").count() >= 1


def test_what_was_read_is_kept_in_the_browser(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        page.get_by_role("button", name="Mark this lesson as read").click()
        ready(page, address)
        assert page.locator(".bd-article .read-mark").count() == 1
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        page.get_by_role("button", name="Read ✓").click()
        assert page.locator(".read-mark").count() == 0


def test_search_answers_without_a_server(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.goto(f"{address}search.html?q=gradient")
        page.wait_for_selector("#search-results li a")
        assert any(LESSONS[0] in (link.get_attribute("href") or "") for link in page.locator("#search-results a").all())


def test_without_javascript_everything_can_be_read(browser: Browser, address: str, site: Site) -> None:
    lesson = site.lessons[0]
    with opened(browser, address, java_script_enabled=False) as page:
        page.goto(f"{address}lessons/{lesson.slug}.html")
        assert page.locator("figure.moving .stills img").first.is_visible()
        for fold in ("details.hints", ".ask details", "details.worked"):
            inside = page.locator(f"{fold} p").first
            assert not inside.is_visible()
            page.locator(f"{fold} > summary").first.click()
        assert page.locator(".ask .answer").first.is_visible()
        assert page.locator("details.hint > summary").first.is_visible()
        assert page.locator("details.worked pre").first.is_visible()
        assert page.get_by_role("link", name="Download this lesson as a notebook").is_visible()
        page.goto(f"{address}docs/placement.html")
        page.locator(".ask summary").first.click()
        assert page.locator(".ask .answer").first.is_visible()
        assert all(row.is_visible() for row in page.locator(".placement [data-question]").all())


def test_paper_shows_the_text_and_no_controls(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[1]}.html")
        page.emulate_media(media="print")
        for gone in (".bd-sidebar-primary", ".sliders", ".ask", "figure.moving .frame", "details.hints"):
            assert not page.locator(gone).first.is_visible(), gone
        assert page.locator("figure.moving .stills img").first.is_visible()
        assert page.locator("h1").first.is_visible()
        assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_figure_is_dimmed_on_a_dark_page_and_not_on_paper(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        dimmed = {}
        for scheme, media in itertools.product(SCHEMES, MEDIA):
            page.emulate_media(color_scheme=scheme, media=media)
            filters = "every => every.map(one => getComputedStyle(one).filter)"
            dimmed[scheme, media] = set(page.locator("figure.shown img, figure.moving img").evaluate_all(filters))
        assert dimmed.pop(("dark", "screen")) == {"brightness(0.8) contrast(1.2)"}
        assert set.union(*dimmed.values()) == {"none"}


def test_the_lessons_are_printed_as_one_book(browser: Browser, site: Site, tmp_path: Path) -> None:
    shutil.copytree(site.folder, tmp_path / "site")
    printed = book.write(tmp_path / "site", site.slugs[:2]).read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", printed)) > 20
    assert b"/Outlines" in printed
    assert not (tmp_path / "site" / book.PAGE).exists()

"""The pages in a real browser: at any width, in light and dark, by keyboard, without JavaScript, and with nothing asked
of another host."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from tests.lessons import written
from tests.site.conftest import LESSONS, Site, lessons_of, pages_of
from trainloop.authoring.lesson import Lesson, Prediction
from trainloop.learner.placement import questions
from trainloop.site import book
from trainloop.site.book import served
from trainloop.site.guide_pages import terms

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = (360, 768, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MEDIA: tuple[Literal["screen", "print"], ...] = ("screen", "print")
PATIENCE = 60_000  # milliseconds, on a busy machine
# To preload, it would ask for style sheets again, at addresses where they are not. What is in order need not be told.
AXE = {"preload": False, "resultTypes": ["violations"]}
UNDRAWN = ".math:not(:has(mjx-container))"
DRAW = f"window.courseFormulas && courseFormulas.draw(Array.from(document.querySelectorAll('{UNDRAWN}')))"
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
    """Open a page and wait until all its formulas stand: drawn at once, which a reader does not wait for."""
    page.goto(url)
    page.evaluate(DRAW)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each page of the site is a test of its own, or each lesson."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", pages_of(metafunc.config))
    if "slug" in metafunc.fixturenames:
        metafunc.parametrize("slug", lessons_of(metafunc.config))


def test_a_page_reads_at_any_width_in_light_and_dark(browser: Browser, address: str, name: str) -> None:
    with opened(browser, address) as page:
        ready(page, address + name)
        look(page, [("light", WIDTHS[0]), ("dark", WIDTHS[-1])])
        page.evaluate(OPEN_AND_ANSWER)
        page.evaluate(DRAW)
        assert page.locator(".bd-article details:not([open])").count() == 0
        look(page, [("light", WIDTHS[-1]), ("dark", WIDTHS[0])])


# Each fold is opened, and each question gets an answer that is not the right one.
OPEN_AND_ANSWER = """() => {
    document.querySelectorAll(".bd-article details").forEach(one => { one.open = true; });
    document.querySelectorAll(".ask").forEach(ask => {
        const field = ask.querySelector("input");
        if (field) {
            field.value = String(Number(ask.dataset.number) + 1000);
            field.form.requestSubmit();
        } else {
            ask.querySelector("button").click();
        }
        if (ask.querySelector(".answer") === null) { throw new Error("no answer: " + ask.dataset.name); }
    });
}"""


def look(page: Page, closely: Sequence[tuple[str, int]]) -> None:
    """Nothing scrolls sideways, dark is dark, and, where one looks closely, axe-core finds nothing."""
    for scheme in SCHEMES:
        emulate(page, scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, f"{scheme}, {width} px: {over} px too wide"
            if (scheme, width) in closely:
                page.wait_for_timeout(300)  # what a change of width sets off
                assert violations(page) == [], f"{scheme}, {width} px"
        assert is_dark(page) == (scheme == "dark")


# A page of code has ten thousand words in a colour. Of those that look alike in one piece of code, the one that stands
# furthest to the left is looked at for all. axe-core judges no single characters and no brackets: they stand for none.
RUN_AXE = """async options => {
    document.querySelectorAll("pre").forEach(pre => {
        const first = new Map();
        pre.querySelectorAll("span").forEach(one => {
            const looks = [];
            for (let each = one; each !== pre; each = each.parentElement) {
                const { color, backgroundColor, opacity, fontSize, fontWeight, visibility } = getComputedStyle(each);
                looks.push(color, backgroundColor, opacity, fontSize, fontWeight, visibility);
            }
            const kind = looks.join(), left = one.getBoundingClientRect().left;
            const isWord = Array.from(one.childNodes).some(each => each.nodeType === 3 && /\\w\\w/.test(each.data));
            one.dataset.alike = "";
            if (isWord && !(first.has(kind) && first.get(kind).left <= left)) { first.set(kind, { one, left }); }
        });
        first.forEach(({ one }) => { delete one.dataset.alike; });
    });
    axe.configure({ rules: [{ id: "color-contrast", selector: ":not([data-alike])" }] });
    return (await axe.run(document, options)).violations;
}"""


def violations(page: Page) -> list[tuple[str, str]]:
    """What axe-core finds: the name of the rule and the first element that breaks it."""
    page.evaluate(Axe().axe_script)
    return [(one["id"], one["nodes"][0]["html"]) for one in page.evaluate(RUN_AXE, AXE)]


def test_one_word_of_code_that_cannot_be_read_is_found(browser: Browser, address: str) -> None:
    with opened(browser, address, viewport={"width": WIDTHS[0], "height": 800}) as page:
        page.goto(f"{address}lessons/{LESSONS[0]}.html")
        page.evaluate("""() => {
            const last = Array.from(document.querySelectorAll(".bd-article pre span"))
                .filter(one => one.checkVisibility() && !one.children.length && /\\w\\w/.test(one.textContent)).at(-1);
            last.id = "faint";
            last.style.color = "#bbbbbb";
        }""")
        ((rule, element),) = violations(page)
        assert rule == "color-contrast" and 'id="faint"' in element


def emulate(page: Page, scheme: str, media: str | None = None) -> None:
    """Set scheme and medium, and wait until the theme's script has heard of it."""
    page.emulate_media(color_scheme=scheme, media=media)
    page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)


def is_dark(page: Page) -> bool:
    """Whether the page's background is."""
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", color)[:3])) < 200


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
        said = "document.activeElement.closest('.ask').querySelector('.said').innerText"
        tab_to(page, ".ask[data-name^='Your answer'] button[aria-pressed]")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert page.evaluate(said).startswith(("Right, B:", "Not quite, B:"))


def test_the_keyboard_gives_a_number(browser: Browser, address: str) -> None:
    slug = next(slug for slug in LESSONS if any(one.within is not None for one in written()[slug].predictions.values()))
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{slug}.html")
        tab_to(page, ".ask[data-number] input")
        page.keyboard.type("-1000000")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.closest('.ask').querySelector('.said').innerText").startswith(
            "Too low."
        )


# What each question says to each of its buttons, or to each number that is given, where one is asked for: the text
# with a sign in place of each formula.
SAID = """given => Array.from(document.querySelectorAll(".ask")).map((ask, place) => {
    function told() {
        const copy = ask.querySelector(".said").cloneNode(true);
        copy.querySelectorAll(".math").forEach(one => { one.replaceWith("\u220e"); });
        return copy.textContent;
    }
    const field = ask.querySelector("input");
    const said = {};
    if (field) {
        for (const one of given[ask.dataset.number]) {
            field.value = one;
            field.form.requestSubmit();
            said[one] = told();
        }
    } else {
        for (const button of ask.querySelectorAll("button")) {
            button.click();
            said[button.textContent] = told();
        }
    }
    return [ask.dataset.name, said];
})"""


def plain_words(text: str) -> str:
    """What a sentence in Markdown reads, as a page has it: a sign in place of each formula, see `even`."""
    without = re.sub(r"(`[^`]*`)|\$[^$]+\$", lambda found: found[1] or "\u220e", text)
    return even(BeautifulSoup(MarkdownIt("commonmark").render(without), "html.parser").get_text())


def even(text: str) -> str:
    """A text without what pages do to it: spaces, the form of quotes, dashes and dots."""
    straight = text.translate(str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--"))
    return re.sub(r"-+", "-", re.sub(r"\s", "", straight).replace("\u2026", "..."))


def expected(one: Lesson) -> Iterator[tuple[str, dict[str, str]]]:
    """What each question of a lesson has to say: to each letter, or to numbers at its bounds, right or not."""
    for prediction in one.predictions.values():
        if isinstance(prediction.right, str):
            yield "Your prediction", to_letters(prediction.sentences, prediction.right)
        else:
            yield "Your prediction, a number", to_numbers(prediction)
    for exercise in one.exercises.values():
        for question, options in exercise.options.items():
            number = re.fullmatch(r"q(\d+)", question)
            name = f"question {number[1]}" if number else question.replace("_", " ")
            yield f"Your answer to {name}", to_letters(options, exercise.letters[question])


def to_letters(sentences: Mapping[str, str], right: str) -> dict[str, str]:
    return {one: f"{'Right' if one == right else 'Not quite'}, {one}: {told}" for one, told in sentences.items()}


def to_numbers(prediction: Prediction) -> dict[str, str]:
    right, within = float(prediction.right), float(prediction.within or 0)
    told = {which: f"Too {which}. {sentence}" for which, sentence in prediction.sentences.items()}
    told["right"] = f"Right: it is {right:g}. {prediction.sentences['right']}"
    given = {right: "right", right - 1.01 * within - 1e-6: "low", right + 1.01 * within + 1e-6: "high"}
    return {"many": "A number is asked for, without its unit.", **{repr(one): told[w] for one, w in given.items()}}


def test_each_question_says_the_sentence_of_the_answer_that_was_given(
    browser: Browser, address: str, slug: str
) -> None:
    one = written()[slug]
    numbers = {repr(each.right): list(to_numbers(each)) for each in one.predictions.values() if each.within is not None}
    wanted = [(name, {to: plain_words(text) for to, text in said.items()}) for name, said in expected(one)]
    with opened(browser, address, viewport={"width": 360, "height": 740}) as page:
        page.goto(f"{address}lessons/{slug}.html")
        told = page.evaluate(SAID, numbers)
    found = [(name, {to: even(text) for to, text in said.items()}) for name, said in told]
    assert len(found) > 2
    assert sorted(found, key=str) == sorted(wanted, key=str)


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


def test_a_tap_on_a_term_says_what_it_means_and_a_second_one_follows_it(browser: Browser, address: str) -> None:
    with opened(browser, address, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740}) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        first, second = page.locator("a.term:visible").all()[:2]
        meaning = page.locator("#meaning")
        first.tap()
        assert meaning.is_visible()
        told = meaning.inner_text()
        page.locator(".bd-article h1").first.tap()
        assert not meaning.is_visible(), "a tap elsewhere puts it away"
        second.tap()
        assert meaning.is_visible() and meaning.inner_text() != told
        assert page.url.endswith(f"lessons/{LESSONS[0]}.html")
        second.tap()
        page.wait_for_url("**/docs/glossary.html#*")


def test_a_tap_on_a_formula_says_what_its_signs_mean_also_beside_a_mouse(browser: Browser, address: str) -> None:
    with opened(browser, address, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740}) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        page.locator(".ask button").first.click()  # here the mouse stays
        page.locator(".bd-article section > p [class*=sign-]").first.tap()
        page.wait_for_timeout(500)  # after this the browser has looked where the mouse is
        assert page.locator("#meaning li").first.is_visible()
        page.locator(".bd-article h1").first.tap()
        assert not page.locator("#meaning").is_visible(), "a tap elsewhere puts it away"


def test_formulas_are_drawn_as_they_come_near(browser: Browser, address: str) -> None:
    with opened(browser, address, viewport={"width": 1440, "height": 800}) as page:
        page.goto(f"{address}lessons/{LESSONS[1]}.html")
        formulas = page.locator(".bd-article .math")
        far = page.locator(".bd-article section > p .math:visible").last
        assert page.locator("mjx-container").count() < formulas.count() / 2
        assert far.inner_text().startswith("\\("), "as it is written"
        far.scroll_into_view_if_needed()
        far.locator("mjx-container").wait_for(state="attached")
        page.wait_for_function(f"document.querySelectorAll('.bd-article {UNDRAWN}').length === 0")


# Each heading that ends lower than its words.
LOWER = """Array.from(document.querySelectorAll(".bd-article :is(h1, h2, h3)")).filter(one => {
    const words = document.createRange();
    words.selectNodeContents(one);
    const link = one.querySelector(".headerlink");
    if (link) { words.setEndBefore(link); }
    const below = one.getBoundingClientRect().bottom - words.getBoundingClientRect().bottom;
    return below > parseFloat(getComputedStyle(one).fontSize) / 2;
}).map(one => one.textContent)"""


def test_no_heading_on_a_phone_ends_in_an_empty_line(browser: Browser, address: str, slug: str) -> None:
    with opened(browser, address, viewport={"width": WIDTHS[0], "height": 740}) as page:
        page.goto(f"{address}lessons/{slug}.html")
        assert page.evaluate(LOWER) == []


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
        sign, field = (page.locator(f".bd-search-container form {one}") for one in ("i", "input"))
        after = sign.evaluate("one => one.getBoundingClientRect().right")
        assert after <= field.evaluate("one => one.getBoundingClientRect().left"), "the sign lies on the word"
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
        page.goto(address)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert is_dark(page) == (scheme == "dark")
        assert page.locator("figure.loop svg").is_visible()
        page.locator(f".bd-article a[href='lessons/{lesson.slug}.html']").last.click()
        assert page.locator(".bd-article h1").first.is_visible()


def test_paper_shows_the_text_and_no_controls(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[1]}.html")
        page.locator("figure.moving").first.scroll_into_view_if_needed()  # what is far away waits; printing fetches it
        page.emulate_media(media="print")
        for gone in (".bd-sidebar-primary", ".sliders", ".ask", "figure.moving .frame", "details.hints"):
            assert not page.locator(gone).first.is_visible(), gone
        page.locator("figure.moving .stills img").first.wait_for(state="visible")
        assert page.locator("h1").first.is_visible()
        text, paper = (page.locator(one).first.bounding_box() for one in (".bd-article section", "body"))
        assert text is not None and paper is not None
        assert (text["x"], text["width"]) == (paper["x"], paper["width"]), "the margins are the paper's alone"
        assert page.pdf(format="A4").startswith(b"%PDF")


def test_no_formula_is_printed_as_it_is_written(browser: Browser, address: str) -> None:
    undrawn = f"document.querySelectorAll('{UNDRAWN}').length"
    with opened(browser, address) as page:
        page.add_init_script(f"window.print = () => {{ window.undrawn = {undrawn}; }}")
        page.goto(f"{address}lessons/{LESSONS[0]}.html")
        assert page.evaluate(undrawn) > 20, "those far away wait"
        page.keyboard.press("Control+p")
        page.wait_for_function("window.undrawn !== undefined")
        assert page.evaluate("window.undrawn") == 0, "by key"

        page.reload()
        page.evaluate("courseFormulas.draw([document.querySelector('.math')])")
        page.wait_for_function("document.querySelector('.math mjx-container')")
        waiting = page.evaluate(f"[{undrawn}, window.dispatchEvent(new Event('beforeprint')), {undrawn}]")
        assert waiting[0] > 20 and waiting[2] == 0, "from the menu"


def test_a_figure_is_dimmed_on_a_dark_page_and_not_on_paper(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}lessons/{LESSONS[0]}.html")
        dimmed = {}
        for scheme, media in itertools.product(SCHEMES, MEDIA):
            emulate(page, scheme, media)
            filters = "every => every.map(one => getComputedStyle(one).filter)"
            dimmed[scheme, media] = set(page.locator("figure.shown img, figure.moving img").evaluate_all(filters))
        assert dimmed.pop(("dark", "screen")) == {"brightness(0.8) contrast(1.2)"}
        assert set.union(*dimmed.values()) == {"none"}


def test_in_a_difference_red_goes_and_green_comes(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        ready(page, f"{address}docs/the-loop.html")
        for scheme, (name, channel) in itertools.product(SCHEMES, (("gd", 0), ("gi", 1))):
            emulate(page, scheme)
            shown = page.locator(f".highlight .{name}").first.evaluate("one => getComputedStyle(one).color")
            channels = [int(number) for number in re.findall(r"\d+", shown)]
            assert channels[channel] == max(channels), f"{scheme}: {name} is {shown}"


def test_each_lesson_of_the_book_begins_on_a_page_of_its_own(browser: Browser, site: Site, tmp_path: Path) -> None:
    shutil.copytree(site.folder, tmp_path / "site")
    names = ["index", *(f"lessons/{slug}" for slug in site.slugs[:2])]
    (tmp_path / "site" / book.PAGE).write_text(book.assembled(tmp_path / "site", names), encoding="utf-8")
    with served(tmp_path / "site") as address, opened(browser, address) as page:
        page.goto(f"{address}{book.PAGE}")
        page.emulate_media(media="print")
        breaks = page.locator("article").evaluate_all("all => all.map(one => getComputedStyle(one).breakBefore)")
        assert breaks == ["auto", "page", "page"]
        page.goto(f"{address}lessons/{site.slugs[1]}.html")
        assert page.locator("article").evaluate("one => getComputedStyle(one).breakBefore") == "auto"


def test_the_lessons_are_printed_as_one_book(browser: Browser, site: Site, tmp_path: Path) -> None:
    shutil.copytree(site.folder, tmp_path / "site")
    printed = book.write(tmp_path / "site", site.slugs[:2]).read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", printed)) > 20
    assert b"/Outlines" in printed
    assert not (tmp_path / "site" / book.PAGE).exists()

"""What stands in the built pages and what may not, and what a second build makes anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from bs4 import BeautifulSoup
from fontTools.pens.boundsPen import BoundsPen
from fontTools.ttLib import TTFont

from tests.lessons import lesson, spoiled, written
from tests.site.conftest import LESSONS, Site
from trainloop.authoring.lesson import Exercise, Lesson
from trainloop.authoring.notebooks import worked_answer
from trainloop.course import Course
from trainloop.site import demonstrations, sheet
from trainloop.site.build import FRAME_BYTES, build, with_pages
from trainloop.site.demonstrations import lesson_outputs
from trainloop.site.errors import SiteError
from trainloop.site.icons import FONTS
from trainloop.site.lesson_page import NOTEBOOKS, title_box
from trainloop.site.mistakes import mistakes
from trainloop.syllabus import TITLE

WHOLE = 80_000_000  # bytes, of a site of all lessons


def plain(text: str) -> str:
    """Code without what formatting changes."""
    return re.sub(r"\s+", "", text).replace('"', "'")


def text_of(path: Path) -> str:
    """What a reader, or a search of the page's source, finds in it."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    return soup.get_text() + " ".join(str(script) for script in soup.find_all("script"))


def all_text(site: Site) -> str:
    """Of the whole site, also of what search and the notebooks hold."""
    other = [*site.folder.glob("_notebooks/*"), site.folder / "searchindex.js"]
    return "\n".join([*(text_of(page) for page in site.pages), *(one.read_text(encoding="utf-8") for one in other)])


def leaks(one: Lesson, text: str) -> Iterator[str]:
    """The hidden checks of a lesson that show in a text."""
    here = plain(text)
    for exercise in one.exercises.values():
        seen = {check.call for check in exercise.checks if not check.hidden}
        for check in exercise.checks:
            told = check.call if check.title in exercise.visible_titles else check.title
            if check.hidden and told not in seen and plain(told) in here:
                yield told


def test_no_hidden_check_and_no_key_is_in_the_site(site: Site) -> None:
    text = all_text(site)
    for one in site.lessons:
        assert list(leaks(one, text)) == []
        hidden = next(check for each in one.exercises.values() for check in each.checks if check.hidden)
        assert hidden.call in leaks(one, f"{text}\n{hidden.call}"), "and it would be found"
    of_lessons = "".join(text_of(page) for page in site.pages if page.parent.name in ("lessons", "mistakes"))
    assert "BEGIN HIDDEN" not in of_lessons  # the guide for authors explains it
    assert not re.search(r"\bgiven\(", of_lessons)
    names = {path.name for path in site.folder.rglob("*")}
    assert not names & {"checks.json", "solutions.json", *(f"{slug}.json" for slug in site.slugs)}


def answers(exercise: Exercise) -> Iterator[str]:
    """What gives an exercise away: right answers, and the sentences of options and mistakes.

    Left out are sentences with signs that a page shows in another form, and values, which may stand anywhere.
    """
    if not exercise.is_question:
        worked = worked_answer(exercise)
        yield worked.code
        yield from (code for _, code in worked.others)
    told = [mistake.sentence for mistake in mistakes(exercise)]
    told += [sentence for each in exercise.options.values() for sentence in each.values()]
    yield from (one for one in told if not set(one) & set("`$*_\\'\"<>[]-") and "..." not in one)


# Of lesson 2.1: the guides quote them, in either edition, to show what a check says and how an author writes it.
EXAMPLES = (
    "Your relu gives the absolute value: a negative entry becomes 0, not its mirror image.",
    "The order is wrong: each step uses the gradient of the step before. First backward(), then step().",
)


def test_the_edition_without_solutions_holds_none(site: Site, without_solutions: Site) -> None:
    open_text, closed_text = plain(all_text(site)), plain(all_text(without_solutions))
    for one in site.lessons:
        given_away = [plain(told) for exercise in one.exercises.values() for told in answers(exercise)]
        assert len(given_away) > 50
        assert [told for told in given_away if told not in open_text] == []
        assert {told for told in given_away if told in closed_text} <= set(map(plain, EXAMPLES))
    assert not (without_solutions.folder / "mistakes").exists()


def test_the_front_page_says_what_the_course_is_and_where_to_begin(site: Site) -> None:
    soup = BeautifulSoup((site.folder / "index.html").read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    assert article is not None
    text = " ".join(article.get_text().split())
    assert text.startswith(TITLE) and "predict, measure the loss, find the gradient, take a step, repeat" in text
    loop = article.select_one("figure.loop svg[role=img]")
    assert loop is not None and {"predict", "loss", "gradient", "step"} <= set(loop.get_text(" ").split())
    assert article.select_one('a[href="docs/placement.html"]') is not None
    assert "make lab" in [" ".join(one.get_text().split()) for one in article.find_all("pre")]
    for one in site.lessons:
        row = article.select_one(f'li:has(a[href="lessons/{one.slug}.html"])')
        assert row is not None and title_box(one)[0] in " ".join(row.get_text().split())
    modules = {one.slug.split(".")[0] for one in site.lessons}
    heads = [head.get_text() for head in article.find_all("h3")]
    assert [head.removeprefix("Module ")[0] for head in heads] == sorted(modules)


def test_a_lesson_says_how_long_it_takes_and_leads_to_its_neighbours(site: Site) -> None:
    for place, one in enumerate(site.lessons):
        soup = BeautifulSoup((site.folder / "lessons" / f"{one.slug}.html").read_text(encoding="utf-8"), "html.parser")
        top = soup.select_one("article.bd-article blockquote")
        minutes, need = title_box(one)
        assert top is not None and minutes in " ".join(top.get_text().split()) and need
        assert f"../{NOTEBOOKS}/{one.slug}.ipynb" in [str(link["href"]) for link in soup.select(".take a[download]")]
        for side, near in (("left-prev", site.slugs[:place][-1:]), ("right-next", site.slugs[place + 1 :][:1])):
            link = soup.select_one(f".prev-next-area a.{side}")
            assert link is not None, f"{one.slug}: {side}"
            assert not near or str(link["href"]) == f"{near[0]}.html"


def targets(page: Path) -> Iterator[str]:
    """What a page asks for or leads to."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    for element in soup.find_all(["a", "link", "img", "script"]):
        for name in ("href", "src"):
            if (value := element.get(name)) is not None:
                yield str(value)
    for script in soup.select("figure.moving script"):
        yield from json.loads(str(script.string))["frames"]


def test_every_link_leads_somewhere(site: Site, without_solutions: Site) -> None:
    for one in (site, without_solutions):
        ids: dict[Path, set[str]] = {}
        for page in one.pages:
            soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
            ids[page.resolve()] = {str(found["id"]) for found in soup.find_all(id=True)}
        for page in one.pages:
            for target in targets(page):
                if urlparse(target).scheme:
                    continue
                address, anchor = urldefrag(target)
                path = (page.parent / unquote(urlparse(address).path)).resolve() if address else page.resolve()
                assert path.is_file(), f"{page.name}: {target}"
                assert not anchor or path not in ids or unquote(anchor) in ids[path], f"{page.name}: {target}"


def test_only_links_to_read_on_lead_away(site: Site) -> None:
    for page in site.pages:
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        for element in soup.find_all(["link", "img", "script", "iframe", "source"]):
            for name in ("href", "src"):
                assert not urlparse(str(element.get(name, ""))).netloc, f"{page.name}: {element}"
        for script in soup.select("figure.moving script"):
            frames = json.loads(str(script.string))["frames"]
            assert frames and all(frame.startswith("../_figures/") for frame in frames), page.name


def test_every_picture_has_a_description(site: Site) -> None:
    for slug in site.slugs:
        soup = BeautifulSoup((site.folder / "lessons" / f"{slug}.html").read_text(encoding="utf-8"), "html.parser")
        figures = soup.select("figure.shown, figure.moving")
        assert len(figures) > 1
        for figure in figures:
            assert len(str(figure.find_all("img")[-1]["alt"]).split()) >= 5


def test_a_column_that_a_formula_heads_has_a_name_and_no_second_line(site: Site) -> None:
    soup = BeautifulSoup((site.folder / "lessons" / f"{LESSONS[0]}.html").read_text(encoding="utf-8"), "html.parser")
    heads = soup.select("th:has(.unseen)")
    assert r"\(h\) value" in [" ".join(head.get_text().split()) for head in heads]
    assert all(len(head.find_all("p")) == 1 for head in heads)


def drawn(path: Path) -> set[str]:
    """The characters for which a font draws something."""
    found = set()
    with TTFont(path) as font:
        glyphs = font.getGlyphSet()
        for code, name in font.getBestCmap().items():
            pen = BoundsPen(glyphs)
            glyphs[name].draw(pen)
            if pen.bounds:
                found.add(chr(code))
    return found


def test_each_icon_of_a_page_is_in_its_font_and_few_others_are(site: Site) -> None:
    static = site.folder / "_static"
    rules = re.findall(r'(\.fa-[^{}]*)\{--fa:"(.)"\}', (static / sheet.FILE).read_text(encoding="utf-8"))
    icons = {name: icon for selectors, icon in rules for name in re.findall(r"\.(fa-[\w-]+)", selectors)}
    kinds = {path.name.rsplit("-", 1)[0]: path for path in (static / FONTS).iterdir()}
    fonts = {kind: drawn(path) for kind, path in kinds.items()}
    shown: set[frozenset[str]] = set()
    for page in site.pages:
        found = map(str.split, re.findall(r'class="([^"]*)"', page.read_text(encoding="utf-8")))
        shown |= {frozenset(classes) for classes in found if set(classes) & set(kinds)}
    for classes in shown:
        (kind,), (name,) = classes & set(kinds), classes & set(icons)
        assert icons[name] in fonts[kind], name
    assert {"fa-bars", "fa-magnifying-glass", "fa-moon"} <= frozenset().union(*shown)
    assert sum(path.stat().st_size for path in kinds.values()) < 10_000


def test_the_size(site: Site, pytestconfig: pytest.Config) -> None:
    frames = {
        slug: sum(path.stat().st_size for path in (site.folder / "_figures" / slug).glob("frame-*"))
        for slug in site.slugs
    }
    assert max(frames.values()) < FRAME_BYTES and sum(frames.values()) > 0
    everything = sum(path.stat().st_size for path in site.folder.rglob("*") if path.is_file())
    of_lessons = sum(
        path.stat().st_size
        for slug in site.slugs
        for path in [*site.folder.glob(f"*/{slug}.*"), *(site.folder / "_figures" / slug).iterdir()]
    )
    count = len(with_pages(list(written())))  # what the lessons that are not in this site would add
    assert everything + of_lessons * (count / len(site.slugs) - 1) < WHOLE


def test_new_words_run_nothing_and_a_link_that_leads_nowhere_is_refused(
    copied: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(one: Lesson) -> None:
        raise AssertionError(f"{one.slug} is run again")

    monkeypatch.setattr(demonstrations, "_run", refuse)
    path = copied.text(LESSONS[0])
    path.write_text(f"{path.read_text(encoding='utf-8')}\n- Marmalade.\n", encoding="utf-8")
    build(copied, LESSONS[:1], tmp_path / "out", True, workers=1)
    assert "Marmalade" in text_of(tmp_path / "out" / "lessons" / f"{LESSONS[0]}.html")
    assert (tmp_path / "out" / "mistakes").exists()
    build(copied, LESSONS[:1], tmp_path / "out", False, workers=1)
    assert not (tmp_path / "out" / "mistakes").exists(), "another edition leaves nothing of the first"
    assert "Another right answer" not in text_of(tmp_path / "out" / "lessons" / f"{LESSONS[0]}.html")
    guide = copied.root / "docs" / "students.md"
    guide.write_text(f"{guide.read_text(encoding='utf-8')}\n[To nowhere](nowhere.md)\n", encoding="utf-8")
    with pytest.raises(SiteError, match=r"students\.md"):
        build(copied, LESSONS[:1], tmp_path / "out", False, workers=1)


def test_a_demonstration_that_fails_is_told(tmp_path: Path) -> None:
    broken = lesson(tmp_path, spoiled("torch.arange(3.0)", "1 / 0"))
    with pytest.raises(SiteError, match="ZeroDivisionError"):
        lesson_outputs(broken, tmp_path / "kept")
    assert not list(tmp_path.glob("kept/*"))


def test_an_optional_notebook_has_no_page() -> None:
    optional = "4.1-twenty-silent-bugs"
    assert with_pages([LESSONS[0], optional]) == [LESSONS[0]]
    with pytest.raises(SiteError, match=r"4\.1-twenty-silent-bugs: an optional notebook has no page"):
        with_pages([optional])

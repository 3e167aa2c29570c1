"""Build the site: run what has changed, write the pages' texts, hand them to Sphinx, put files beside what it makes.

Sphinx reads Markdown through MyST-Parser and not through MyST-NB: the lessons are run here, since figures that move are
drawn frame by frame and what a lesson showed is kept by the hash of its code; and MyST-NB's pages ask other hosts for
scripts.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainloop.authoring.lesson import Lesson, read
from trainloop.course import Course
from trainloop.site import book, formulas, guide_pages, icons, sheet
from trainloop.site.demonstrations import LessonOutputs, lesson_outputs
from trainloop.site.errors import SiteError
from trainloop.site.lesson_page import FIGURES, NOTEBOOKS, LessonPage, page
from trainloop.site.signs import Sign, table
from trainloop.syllabus import TITLE, is_optional

FOLDER = "site"
CACHE = Path(".trainloop", "site")  # in the course: what the next build need not make anew
FRAME_BYTES = 1_500_000  # of all figures that move, in a lesson
NEEDS = ("sphinx", "myst_parser", "sphinx_book_theme", "brotli", formulas.PACKAGE)
MISSING = "The web edition needs packages that are not installed. Install them: uv sync --extra site"
PAGES = ("lessons", "mistakes", "docs")  # the folders of pages
MARK = ".edition"  # a file in the site: by it the next build knows what it may delete


def check_installed() -> None:
    """Raises `SiteError` where the optional packages are missing."""
    if any(find_spec(name) is None for name in NEEDS):
        raise SiteError(MISSING)


def build(
    course: Course,
    slugs: Sequence[str],
    out: Path,
    solutions: bool,
    workers: int,
    paper: bool = False,
    step: Callable[[str], None] = lambda done: None,
) -> None:
    """Build the site of these lessons into `out`.

    Args:
        course: the course, built.
        slugs: which of its lessons.
        out: the folder of the site; what it holds and the site does not have is deleted.
        solutions: whether worked answers, mistakes and the answers to quizzes may stand in it.
        workers: lessons run at the same time.
        paper: whether to print them as one book, too.
        step: called with a few words after each lesson, and once more at the end.

    Raises:
        SiteError: a package is missing, no lesson is named that has a page, a cell fails, a lesson's moving figures are
            too large, or a link leads nowhere.
    """
    check_installed()
    slugs = with_pages(slugs)
    if paper:
        book.browser()
    edition = "open" if solutions else "without-solutions"
    _make_room(out, edition)
    lessons = [read(course.text(slug)) for slug in slugs]
    signs = table((course.root / "docs" / "notation.md").read_text(encoding="utf-8"))

    def made(lesson: Lesson) -> LessonPage:
        run: LessonOutputs = lesson_outputs(lesson, course.root / CACHE / "shown")
        one = page(lesson, run, course.read("release", lesson.slug), signs, solutions)
        if one.frame_bytes > FRAME_BYTES:
            told = f"{one.frame_bytes / 1e6:.2f} MB; a lesson has {FRAME_BYTES / 1e6:.1f}"
            raise SiteError(f"{lesson.slug}: the figures that move take {told}. Give their sliders fewer values.")
        step(lesson.slug)
        return one

    with ThreadPoolExecutor(workers) as pool:
        running = pool.map(made, lessons)
        import_module("sphinx.application")  # takes its time, as the texts do, while kernels run beside this process
        texts = dict(_texts(course, lessons, solutions, paper))
        pages = list(running)
    place = course.root / CACHE / edition
    folder = place / "text"
    _write(folder, texts | {f"lessons/{one.lesson.slug}.md": one.text.encode() for one in pages})
    _write(place / "static", {"signs.js": _signs_script(signs)})
    _sphinx(folder, place / "doctrees", out, settings(_terms(course), signs, place / "static"))
    _beside(course, pages, out)
    sheet.write(out)
    icons.write(out)
    if paper:
        book.write(out, slugs)
    else:
        (out / book.FILE).unlink(missing_ok=True)
    step("Sphinx")


def with_pages(slugs: Sequence[str]) -> list[str]:
    """The lessons that have a page. What is optional is to be run and mended: without a kernel there is nothing in it.

    Raises:
        SiteError: none of them has.
    """
    found = [slug for slug in slugs if not is_optional(slug)]
    if not found:
        raise SiteError(f"{', '.join(slugs)}: an optional notebook has no page. Name a lesson, or none for all.")
    return found


def _make_room(out: Path, edition: str) -> None:
    """An empty folder for the site, or one with this edition of it: a page of the other one may not stay behind.

    Raises:
        SiteError: the folder holds something else.
    """
    mark = out / MARK
    if out.is_dir() and any(out.iterdir()):
        if not mark.is_file():
            raise SiteError(f"{out} is not empty, and no site of this course is in it. Name another folder.")
        if mark.read_text(encoding="utf-8") != edition:
            shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text(edition, encoding="utf-8")


def _texts(course: Course, lessons: Sequence[Lesson], solutions: bool, paper: bool) -> Iterator[tuple[str, bytes]]:
    """Every file that Sphinx reads, by its path, but the lessons' pages."""
    docs, slugs = course.root / "docs", [lesson.slug for lesson in lessons]
    names = guide_pages.guide_names(docs)
    yield "index.md", guide_pages.front(lessons, names, solutions, book.FILE if paper else "").encode()
    for lesson in lessons:
        if solutions and guide_pages.has_mistakes(lesson):
            yield f"mistakes/{lesson.slug}.md", guide_pages.wrong(lesson).encode()
    if solutions:
        yield "mistakes/index.md", guide_pages.wrong_index(lessons).encode()
    for name in names:
        text = (docs / f"{name}.md").read_text(encoding="utf-8")
        yield f"docs/{name}.md", guide_pages.guide(name, text, slugs).encode()
    for path in sorted(docs.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            yield f"docs/{path.relative_to(docs)}", path.read_bytes()


def _write(folder: Path, texts: Mapping[str, bytes]) -> None:
    """Write what differs, so that Sphinx reads only that; delete what is no part any more."""
    for name, data in texts.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for path in list(folder.rglob("*")):
        if path.is_file() and str(path.relative_to(folder)) not in texts:
            path.unlink()


def _terms(course: Course) -> list[tuple[tuple[str, ...], str, str]]:
    """The glossary for `meanings`: words, number of the lesson, definition in plain text."""
    text = (course.root / "docs" / "glossary.md").read_text(encoding="utf-8")
    return [(one.names, one.lesson, _plain(one.told)) for one in guide_pages.terms(text)]


def _plain(text: str) -> str:
    """A definition without its marks and without the link to its lesson."""
    without = re.sub(r"\s*\[\d+\.\d+\]\([^)]*\)", "", text)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", without).strip()


def _signs_script(signs: Sequence[Sign]) -> bytes:
    """The table of notation as course.js reads it: each row's signs and meaning, as Markdown writes formulas."""
    rows = [[one.sign, one.meaning] for one in signs]
    return f"window.courseSigns = {json.dumps(rows)};\n".encode()


def settings(terms: Sequence[tuple[tuple[str, ...], str, str]], signs: Sequence[Sign], static: Path) -> dict[str, Any]:
    """Sphinx's configuration."""
    return {
        "project": TITLE,
        "author": TITLE,
        "language": "en",
        "extensions": ["myst_parser", "sphinx.ext.mathjax", "trainloop.site.meanings"],
        "root_doc": "index",
        "myst_enable_extensions": ["dollarmath", "amsmath"],
        "myst_heading_anchors": 4,
        "myst_links_external_new_tab": False,
        "html_theme": "sphinx_book_theme",
        "html_title": TITLE,
        "html_copy_source": False,
        "html_show_sourcelink": False,
        "html_show_sphinx": False,
        "html_show_copyright": False,
        "html_last_updated_fmt": None,
        "templates_path": [str(files("trainloop") / "templates" / "site" / "pages")],
        "html_static_path": [str(files("trainloop") / "templates" / "site" / "static"), str(static)],
        "html_css_files": ["course.css"],
        "html_js_files": [("signs.js", {"defer": "defer"}), ("course.js", {"defer": "defer"})],
        "html_favicon": str(files("trainloop") / "templates" / "site" / "favicon.svg"),
        "html_context": {"default_mode": "auto", "sheet_version": _version()},
        "html_theme_options": {
            "logo": {"text": TITLE},
            "home_page_in_toc": True,
            "show_navbar_depth": 1,
            "show_toc_level": 2,
            "use_download_button": False,
            "use_fullscreen_button": False,
            "navigation_with_keys": False,
            "back_to_top_button": False,
            "footer_content_items": [],
            "navbar_start": [],
            "navbar_center": [],
            "navbar_end": [],
            "navbar_persistent": [],
            "pygments_light_style": "a11y-high-contrast-light",
            "pygments_dark_style": "a11y-high-contrast-dark",
        },
        "mathjax_path": "formulas.js",
        "mathjax3_config": formulas.IN_PAGES,
        "trainloop_terms": list(terms),
        "trainloop_signs": [astuple(one) for one in signs],
        "suppress_warnings": ["config.cache"],
    }


def _version() -> str:
    """What tells one style sheet from the next to a browser that keeps it."""
    ours = files("trainloop").joinpath("templates", "site", "static", "course.css").read_bytes()
    theirs = "".join(version(name) for name in ("sphinx", "pydata-sphinx-theme", "sphinx-book-theme"))
    return hashlib.sha256(theirs.encode() + ours).hexdigest()[:8]


def _sphinx(texts: Path, doctrees: Path, out: Path, configuration: dict[str, Any]) -> None:
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    warnings = io.StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            texts,
            None,
            out,
            doctrees,
            "html",
            confoverrides=configuration,
            status=None,
            warning=warnings,
            parallel=min(2, os.cpu_count() or 1),
        )
        app.build()
        pages = {*app.env.found_docs, "genindex", "search"}
    if told := warnings.getvalue().strip():
        for path in doctrees.glob("*.pickle"):  # so that the next build says it again
            path.unlink()
        plain = re.sub(r"\x1b\[[0-9;]*m", "", told)
        raise SiteError(f"Sphinx is not content:\n{plain}")

    for path in [*out.glob("*.html"), *(path for folder in PAGES for path in (out / folder).glob("*.html"))]:
        if str(path.relative_to(out).with_suffix("")) not in pages:
            path.unlink()


def _beside(course: Course, pages: Sequence[LessonPage], out: Path) -> None:
    """Pictures, notebooks, and MathJax: what Sphinx does not carry."""
    beside: dict[str, bytes] = {}
    for one in pages:
        beside |= one.pictures
        slug = one.lesson.slug
        beside[f"{NOTEBOOKS}/{slug}.ipynb"] = course.notebook("release", slug).read_bytes()
    for folder in (FIGURES, NOTEBOOKS):
        (out / folder).mkdir(exist_ok=True)
        _write(out / folder, {n.removeprefix(f"{folder}/"): d for n, d in beside.items() if n.startswith(folder)})
    (out / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with _
    formulas.carry(out)

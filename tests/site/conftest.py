"""A site of two lessons, built once for all tests of it, in both editions, and a server for it.

With `--all` it is the site of all lessons, and every page of it is looked at. What `trainloop site` has kept of the
working copy is then not drawn again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, common, copy_course, first
from tests.lessons import written
from trainloop.authoring.lesson import Lesson
from trainloop.course import Course
from trainloop.site.book import served
from trainloop.site.build import CACHE, build, with_pages
from trainloop.site.guide_pages import guide_names, has_mistakes

# One with a slider, predictions and a quiz; one with an animation.
LESSONS = ("1.1-what-is-a-training-loop", "2.3-a-simple-neural-net-from-scratch")
# Of the pages beside them, one of each kind.
GUIDES = ("placement", "the-loop", "glossary", "notation", "students", "instructors", "authors", "site")


def lessons_of(config: pytest.Config) -> tuple[str, ...]:
    """The lessons of the site: two, or all."""
    return tuple(with_pages(list(written()))) if config.getoption("--all") else LESSONS


def pages_of(config: pytest.Config) -> list[str]:
    """The pages that a browser looks at, by their paths in the site."""
    slugs = lessons_of(config)
    everything = config.getoption("--all")
    wrong = [slug for slug in slugs if has_mistakes(written()[slug])] if everything else LESSONS[:1]
    guides = guide_names(ROOT / "docs") if everything else GUIDES
    return [
        "index.html",
        *(f"lessons/{slug}.html" for slug in slugs),
        *(f"mistakes/{slug}.html" for slug in (*wrong, "index")),
        *(f"docs/{name}.html" for name in guides),
        *(["genindex.html"] if everything else []),
        "search.html",
    ]


@dataclass(frozen=True)
class Site:
    """A built site."""

    course: Course
    folder: Path
    slugs: tuple[str, ...]

    @property
    def pages(self) -> list[Path]:
        """Its pages: not the template that the theme leaves among its files."""
        return sorted(path for path in self.folder.rglob("*.html") if "_static" not in path.parts)

    @property
    def lessons(self) -> list[Lesson]:
        """The lessons that it holds."""
        return [written()[slug] for slug in self.slugs]


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> dict[bool, Site]:
    """The open edition, and the one without solutions: built by whichever process comes first."""
    shared = common(tmp_path_factory, "site")
    course, slugs = Course(shared / "course"), lessons_of(pytestconfig)
    names = {True: "open", False: "without-solutions"}
    found = {solutions: Site(course, shared / name, slugs) for solutions, name in names.items()}
    with first(shared) as is_first:
        if is_first:
            copy_course(course.root)
            shutil.copytree(ROOT / "docs", course.root / "docs")
            if (ROOT / CACHE / "shown").is_dir():
                shutil.copytree(ROOT / CACHE / "shown", course.root / CACHE / "shown")
            for solutions, site in found.items():
                build(course, slugs, site.folder, solutions, workers=2)
    return found


@pytest.fixture(scope="session")
def site(sites: dict[bool, Site]) -> Site:
    """The open edition."""
    return sites[True]


@pytest.fixture(scope="session")
def without_solutions(sites: dict[bool, Site]) -> Site:
    """The edition for a class that gets marks."""
    return sites[False]


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    """Where the open edition is served."""
    with served(site.folder) as found:
        yield found


@pytest.fixture
def copied(site: Site, tmp_path: Path) -> Course:
    """The course that the site was built from, with what the build has kept, to be changed."""
    shutil.copytree(site.course.root, tmp_path / "course", symlinks=True)
    return Course(tmp_path / "course")

"""The pages beside the lessons: the front page, what learners get wrong, the glossary, the guides of docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from string import Template

from trainloop.authoring.lesson import Lesson
from trainloop.site import placement_page
from trainloop.site.lesson_page import label, title, title_box, told_mistake
from trainloop.site.mistakes import mistakes
from trainloop.syllabus import MODULES, TITLE

# The guides in the order of the menu, each by its name in docs/; others in docs/ stand behind them.
LOOK_UP = ("placement", "the-loop", "glossary", "notation")
GUIDES = ("students", "setup", "instructors", "isolation", "cluster", "scale", "benchmark", "authors", "house", "site")
LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|`[^`]*`)*)\]\((?P<target>\.\./[^)\s]*)\)")
LESSON = re.compile(r"\.\./release/(?P<slug>[^/]+)/[^/]+\.ipynb")
ITEM = re.compile(r"- \*\*(?P<term>[^*]+)\*\*(?: \(also (?P<also>(?:\*[^*]+\*(?:, | and )?)+)\))?: (?P<told>.+)", re.S)


@dataclass(frozen=True)
class Term:
    """An entry of the glossary: the term, other words for it, what it means, and the lesson that introduces it."""

    term: str
    also: tuple[str, ...]
    told: str  # Markdown
    lesson: str  # its number

    @property
    def names(self) -> tuple[str, ...]:
        """All words for it."""
        return (self.term, *self.also)


def terms(text: str) -> list[Term]:
    """The entries of docs/glossary.md. A word that is a term of its own, or of an entry above, is no other word."""
    found = [one for item in _items(text) if (one := _term(item)) is not None]
    taken = {one.term for one in found}
    for place, one in enumerate(found):
        also = tuple(word for word in dict.fromkeys(one.also) if word not in taken)
        taken.update(also)
        found[place] = replace(one, also=also)
    return found


def _items(text: str) -> Iterator[str]:
    """Each item of the glossary's lists in one line."""
    for item in re.split(r"^(?=- \*\*)|\n\n", text, flags=re.M):
        yield " ".join(item.split())


def _term(item: str) -> Term | None:
    match = ITEM.fullmatch(item)
    if match is None:
        return None
    told = match["told"]
    lesson = re.search(r"\[(\d+\.\d+)\]\([^)]*\)\.?$", told)
    also = tuple(re.findall(r"\*([^*]+)\*", match["also"] or ""))
    return Term(match["term"], also, told, lesson[1] if lesson else "")


def guide(name: str, text: str, slugs: Sequence[str]) -> str:
    """A page of docs/ for the site: links to lessons lead to their pages, links to files of the code say their names.

    Args:
        name: of the file, without its ending.
        text: of the file.
        slugs: the lessons of the site.
    """
    if name == placement_page.NAME:
        return placement_page.placement_page(slugs)
    linked = LINK.sub(lambda match: _link(match["text"], match["target"], slugs), text)
    return glossary(linked) if name == "glossary" else linked


def _link(text: str, target: str, slugs: Sequence[str]) -> str:
    lesson = LESSON.fullmatch(target)
    return f"[{text}](../lessons/{lesson['slug']}.md)" if lesson and lesson["slug"] in slugs else text


def glossary(text: str) -> str:
    """The glossary with each list as Sphinx's own, so that terms can be linked to and stand in the index."""
    names = {one.term: one.names for one in terms(text)}
    parts, entries = [], list[str]()
    for item in _items(text):
        if one := _term(item):
            entries.append("\n".join([*names[one.term], f"  {one.told}"]))
            continue
        parts += [_directive(entries)] if entries else []
        entries = []
        parts.append(item)
    return "\n\n".join([*parts, *([_directive(entries)] if entries else [])]) + "\n"


def _directive(entries: Sequence[str]) -> str:
    return "\n".join(["```{glossary}", "\n\n".join(entries), "```"])


def front(lessons: Sequence[Lesson], guides: Sequence[str], solutions: bool, book: str = "") -> str:
    """The front page: what the course is, its loop, its lessons, where to begin; and the menu of all pages.

    Args:
        lessons: of the site.
        guides: the pages of docs/, by name.
        solutions: whether there is a page of what learners get wrong.
        book: the file that holds all lessons to print, if there is one.
    """
    templates = files("trainloop") / "templates" / "site"
    by_number = {lesson.slug.split("-")[0]: lesson for lesson in lessons}
    modules, menus = [], []
    for module in MODULES:
        there = [by_number[number] for number in module.lessons if number in by_number]
        if there:
            rows = [_row(lesson) for lesson in there]
            modules.append("\n".join([f"### Module {module.number}: {module.title}", "", module.goal, "", *rows]))
            menus.append(_menu(f"Module {module.number}", [f"lessons/{lesson.slug}" for lesson in there]))
    look_up = [f"docs/{name}" for name in LOOK_UP if name in guides]
    wrong = ["mistakes/index"] if solutions else []
    rest = [name for name in guides if name not in (*LOOK_UP, *GUIDES)]
    menus.append(_menu("Look things up", [*look_up, *wrong, "genindex"]))
    menus.append(_menu("Guides", [f"docs/{name}" for name in (*GUIDES, *rest) if name in guides]))
    text = Template((templates / "index.md").read_text(encoding="utf-8"))
    return text.substitute(
        title=TITLE,
        loop=(templates / "loop.svg").read_text(encoding="utf-8").strip(),
        modules="\n\n".join(modules),
        menus="\n\n".join(menus),
        first=f"lessons/{lessons[0].slug}.md",
        count=len(lessons),
        book=f'<p class="take"><a href="{book}">All lessons as one book (PDF)</a>, to print or to read on a tablet.</p>'
        if book
        else "",
    )


def _row(lesson: Lesson) -> str:
    minutes, _ = title_box(lesson)
    return f"- [{title(lesson)}](lessons/{lesson.slug}.md)<br>\n  {minutes}"


def _menu(caption: str, pages: Sequence[str]) -> str:
    if not pages:
        return ""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])


def wrong_index(lessons: Sequence[Lesson]) -> str:
    """The page that leads to what learners get wrong, lesson by lesson."""
    counts: Mapping[str, int] = {
        lesson.slug: sum(len(mistakes(one)) for one in lesson.exercises.values() if not one.options)
        for lesson in lessons
    }
    rows = [f"- [{title(one)}]({one.slug}.md): {counts[one.slug]} mistakes" for one in lessons if counts[one.slug]]
    menu = ["```{toctree}", ":hidden:", "", *(one.slug for one in lessons if counts[one.slug]), "```"]
    return "\n".join(
        [
            "# What learners get wrong",
            "",
            "A check of this course does not only say that an answer is wrong. Where it can, it says what was done in "
            "place of what was asked. For that, somebody had to write each mistake down, with the sentence that helps. "
            f"Here they are: {sum(counts.values())} mistakes of {len(rows)} lessons, each as the lines in which it "
            "differs from a right answer.",
            "",
            "Solve the exercise first. These pages give every answer away.",
            "",
            *rows,
            "",
            *menu,
        ]
    )


def wrong(lesson: Lesson) -> str:
    """What learners get wrong in one lesson."""
    parts = [
        f"# {title(lesson).split(' ')[0]}: what learners get wrong",
        f"In the exercises of [{title(lesson)}](../lessons/{lesson.slug}.md). Each sentence is what a learner reads "
        "whose code computes what this mistake computes. A red line with `-` belongs there, a green one with `+` was "
        "written in its place.",
    ]
    for exercise in lesson.exercises.values():
        found = mistakes(exercise)
        if exercise.options or not found:
            continue
        anchor = label(lesson, exercise.name)
        parts += [f"(mistakes-{anchor})=", f"## {exercise.title}", f"[To the exercise](#{anchor})."]
        for one in found:
            parts += list(told_mistake(one))
    return "\n\n".join(parts) + "\n"


def has_mistakes(lesson: Lesson) -> bool:
    """Whether there is such a page."""
    return any(mistakes(one) for one in lesson.exercises.values() if not one.options)


def guide_names(docs: Path) -> list[str]:
    """The pages of docs/, by name."""
    return sorted(path.stem for path in docs.glob("*.md"))

"""What the site is made of, piece by piece: nothing is run here."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import tinycss2
import typer
import yaml
from matplotlib.figure import Figure

from tests.conftest import ROOT
from tests.lessons import written
from tests.site.test_pages import leaks
from trainloop.cli import app
from trainloop.learner.placement import RECAPS, questions
from trainloop.site import book, build, frames, guide_pages, sheet, signs
from trainloop.site.errors import SiteError
from trainloop.site.lesson_page import _option_lists
from trainloop.site.mistakes import diff_lines, mistakes
from trainloop.syllabus import MODULES, is_optional

GLOSSARY = """\
# Glossary

Words.

## B

- **bias** (also *offset*): A number that
  is *added*. [1.2](../release/1.2-x/1.2-x.ipynb)
- **bias of a model** (also *bias*): Another thing. [2.6](../release/2.6-y/2.6-y.ipynb)
"""


@pytest.mark.parametrize(
    "sliders",
    [
        {"w": (0.0, 2.0, 0.02, 0.6)},
        {"angle": (0, 350, 10, 60), "shift": (-1.0, 1.25, 0.25, 0.5)},
        {"turn": (0, 45, 5, 45), "rate": (0.25, 3.0, 0.25, 1.0), "momentum": (0.05, 0.95, 0.05, 0.9)},
        {"step": (0, 4, 1, 2)},
    ],
)
def test_the_grid_holds_start_and_ends_of_each_slider(sliders: dict[str, tuple[float, float, float, float]]) -> None:
    found = frames.grid(sliders)
    assert math.prod(map(len, found.values())) <= frames.MAX_PICTURES
    for name, (low, high, _, start) in sliders.items():
        assert start in found[name]
        assert found[name] == sorted(set(found[name]))
        assert (found[name][0], found[name][-1]) == pytest.approx((low, high))


def test_a_few_values_are_all_drawn() -> None:
    assert frames.grid({"step": (0, 4, 1, 2)}) == {"step": [0, 1, 2, 3, 4]}


def test_a_mistake_is_told_by_the_lines_that_differ() -> None:
    right = ["def f(x):", "    y = x", "    a = 1", "    b = 2", "    c = 3", "    return y"]
    wrong = ["def f(x):", "    y = -x", "    a = 1", "    b = 2", "    c = 3", "    return y + 1"]
    told = list(diff_lines(right, wrong))
    assert [line for line in told if line[0] in "+-"] == [
        "-    y = x",
        "+    y = -x",
        "-    return y",
        "+    return y + 1",
    ]
    assert "  ..." in told


def test_every_mistake_of_the_course_is_told_once_for_each_sentence() -> None:
    for one in written().values():
        for exercise in one.exercises.values():
            found = mistakes(exercise)
            assert {each.sentence for each in found} == {each.sentence for each in exercise.mistakes}
            assert len({each.sentence for each in found}) == len(found)
            assert all(each.code.strip() for each in found)


def test_the_glossary_names_each_word_once() -> None:
    first, second = guide_pages.terms(GLOSSARY)
    assert (first.names, first.lesson) == (("bias", "offset"), "1.2")
    assert second.names == ("bias of a model",)
    page = guide_pages.guide("glossary", GLOSSARY, ["1.2-x"])
    assert "```{glossary}\nbias\noffset\n  A number that is *added*. [1.2](../lessons/1.2-x.md)\n" in page
    assert "bias of a model\n  Another thing. 2.6\n```" in page, "a lesson that the site does not have is no link"


def test_the_front_page_lists_every_lesson_of_every_module_with_its_minutes() -> None:
    lessons = [written()[slug] for slug in build.with_pages(list(written()))]
    page = guide_pages.front(lessons, [], True)
    parts = re.split(r"^### ", page, flags=re.M)[1:]
    assert len(parts) == len(MODULES) == 3
    for part, module in zip(parts, MODULES, strict=True):
        assert part.startswith(f"Module {module.number}: {module.title}\n\n{module.goal}\n")
        rows = re.findall(r"^- \[(\S+) (.+)\]\(lessons/(.+)\.md\)<br>\n  (.+)$", part, flags=re.M)
        assert {number: title for number, title, _, _ in rows} == module.lessons
        assert all(slug.startswith(f"{number}-") and slug in written() for number, _, slug, _ in rows)
        assert all(re.search(r"\d+ minutes|hour", minutes) for _, _, _, minutes in rows), [row[3] for row in rows]
        assert f":caption: Module {module.number}\n\n" + "\n".join(f"lessons/{row[2]}" for row in rows) in page


def test_no_guide_shows_a_hidden_check() -> None:
    guides = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
    for slug in build.with_pages(list(written())):
        assert list(leaks(written()[slug], guides)) == []


def test_links_to_code_become_names() -> None:
    told = guide_pages.guide("house", "The [`checks`](../trainloop/checks) of [all](students.md).", [])
    assert told == "The `checks` of [all](students.md)."


def test_a_sign_means_what_it_means_in_the_lesson() -> None:
    rows = signs.table(
        "| $N$ | points | number | `N` | 1.1 |\n"
        "| $N$ | in lesson 3.8 only: parameters | number | `N` | 3.8 |\n"
        "| $\\eta$ | the rate | number | `lr` | 1.3 |\n"
    )
    assert [one.meaning for one in signs.signs_of("$N \\eta$", rows, "2.1-x")] == ["points", "the rate"]
    assert [one.meaning for one in signs.signs_of("$N$", rows, "3.8-x")] == ["in lesson 3.8 only: parameters"]
    assert signs.signs_of("$\\eta$", rows, "1.1-x") == []


def test_lists_of_options_are_found() -> None:
    text = (
        "Which?\n\n- **A**: one\n- **B**: two\n  lines\n\nAnd?\n\n- plain\n\n1. **A**\n\n- **A**: x\n\nOr?\n\n- A. y\n"
    )
    assert list(_option_lists(text)) == [6, 14, 17]


def test_what_is_missing_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    build.check_installed()
    monkeypatch.setattr(build, "NEEDS", ("sphinx", "no_such_package"))
    with pytest.raises(SiteError, match="uv sync --extra site"):
        build.check_installed()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("mine", encoding="utf-8")
    with pytest.raises(SiteError, match="is not empty"):
        build._make_room(tmp_path, "open")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]


def test_a_slider_with_very_many_values_doubles_and_halves() -> None:
    found = frames.grid({"batch_size": (1, 442, 1, 128), "lr": (0.01, 0.2, 0.01, 0.05)})
    assert found["batch_size"] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 442]
    assert 0.05 in found["lr"] and len(found["batch_size"]) * len(found["lr"]) <= frames.MAX_PICTURES
    several = frames.grid({"a": (1, 1000, 1, 10), "b": (1, 900, 1, 3), "c": (0, 5, 1, 2)})
    assert math.prod(map(len, several.values())) <= frames.MAX_PICTURES
    assert all(len(values) >= 3 for values in several.values())


def test_an_animation_names_its_frames_as_the_function_that_draws_them(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[tuple[object, ...]] = []
    monkeypatch.setattr(frames, "_hand_over", lambda *told: handed.append(told))

    def draw(steps: int) -> Figure:
        raise AssertionError(steps)

    frames.animate(draw, range(0, 30, 10), "What goes by.")
    assert handed[0][:3] == ({"steps": [0, 10, 20]}, {"steps": 2}, draw)


def test_the_placement_page_asks_all_questions_and_names_all_lessons() -> None:
    slugs = [one.slug for one in written().values() if not is_optional(one.slug)]
    page = guide_pages.guide("placement", "", slugs)
    for number, one in enumerate(questions(), start=1):
        assert f"## Question {number}\n\n{one.text}\n" in page
        assert all(sentence in page for sentence in one.sentences.values())
    asked = {int(number) for number in re.findall(r'data-question="(\d+)"', page)}
    left_out = {number for number, one in enumerate(questions(), start=1) if one.lesson in RECAPS.values()}
    assert asked == set(range(1, len(questions()) + 1)) - left_out
    assert all(f"(../lessons/{slug}.md)" in page for slug in slugs)
    assert "](" not in guide_pages.guide("placement", "", []).partition('<div class="placement">')[2]


BOOK = {
    "index": '<a href="lessons/1.1.html#top">one</a> <a href="https://example.org/">away</a>'
    '<p class="take"><a href="book.pdf">this book</a></p>'
    '<svg><marker id="tip"></marker><path marker-end="url(#tip)"></path></svg>',
    "lessons/1.1": '<h2 id="top">One<a class="headerlink" href="#top">#</a></h2>'
    '<img loading="lazy" src="../_figures/a.webp">'
    '<a href="../docs/site.html">guide</a><a href="#top">up</a><div class="ask">?</div>'
    '<script defer src="../_static/formulas.js?v=1"></script>',
}


def test_a_book_keeps_its_links_inside(tmp_path: Path) -> None:
    for name, text in BOOK.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.html").write_text(
            f'<head><link rel="stylesheet" href="a.css"></head><article class="bd-article">{text}</article>'
        )
    made = book.assembled(tmp_path, list(BOOK))
    assert '<link href="a.css" rel="stylesheet"/>' in made
    assert '<a href="#lessons/1.1--top">one</a> <a href="https://example.org/">away</a>' in made
    assert '<h2 id="lessons/1.1--top">One</h2><img src="_figures/a.webp"/>' in made
    assert '<marker id="tip">' in made and "this book" not in made
    head = made.partition("</head>")[0]
    assert 'src="_static/mathjax/tex-chtml.js"' in head and "formulas.js" not in made, "all are drawn at once"
    assert '"typeset": false' not in head
    assert '<a>guide</a><a href="#lessons/1.1--top">up</a></article>' in made


def test_a_book_without_a_browser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "BROWSERS", ("no-such-browser",))
    with pytest.raises(SiteError, match="none is installed"):
        book.browser()


def test_the_recipes_for_publishing_can_be_read_and_their_commands_exist() -> None:
    text = (ROOT / "docs" / "site.md").read_text(encoding="utf-8")
    github, gitlab = (yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", text, re.S))
    steps = github["jobs"]["site"]["steps"]
    commands = [step["run"] for step in steps if "run" in step] + gitlab["pages"]["script"]
    assert [command for command in commands if command.startswith("make")] == ["make site", "make site"]
    assert re.search(r"^site:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    (published,) = [step["with"]["path"] for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    assert published == build.FOLDER
    assert f"mv {build.FOLDER} {gitlab['pages']['artifacts']['paths'][0]}" in commands
    options = {option for one in typer.main.get_command(app).commands["site"].params for option in one.opts}
    assert set(re.findall(r"make site ARGS=(--[\w-]+)", text)) == {"--no-solutions", "--pdf"} <= options


SHEET = """
.used > a, .unused a { color: red }
#there:not(.unused) { color: blue }
.unused { color: green }
@media print { .used { margin: 0 } .unused { margin: 1px } }
@media screen { .unused { margin: 2px } }
@font-face { font-family: "Icons"; src: url(../icons.woff2) }
html[data-theme=light] { --ink: black }
html[data-theme="dark"] .used { --ink: white }
"""


def test_the_sheet_keeps_what_pages_use_and_says_what_holds_before_a_script_has_run() -> None:
    rules = tinycss2.parse_stylesheet(SHEET, skip_comments=True, skip_whitespace=True)
    told = list(sheet.kept(rules, {"used", "there", "elsewhere"}))
    assert told == [
        ".used > a{color: red}",
        "#there:not(.unused){color: blue}",
        "@media print{.used{margin: 0}}",
        '@font-face { font-family: "Icons"; src: url(../icons.woff2) }',
        "html[data-theme=light]{--ink: black}",
        "html[data-theme=auto]{--ink: black}",
        'html[data-theme="dark"] .used{--ink: white}',
        "@media (prefers-color-scheme:dark){html[data-theme=auto] .used{--ink: white}}",
    ]


def test_names_are_those_of_elements_and_the_words_of_scripts(tmp_path: Path) -> None:
    (tmp_path / "_static" / "scripts").mkdir(parents=True)
    (tmp_path / "index.html").write_text('<p class="one two" id="three">four</p>', encoding="utf-8")
    (tmp_path / "_static" / "scripts" / "a.js").write_text('x.classList.add("is-alive")', encoding="utf-8")
    found = sheet.names(tmp_path)
    assert {"one", "two", "three", "is-alive"} <= found and "four" not in found

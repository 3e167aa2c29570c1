"""Similar submissions: what counts as alike, what does not, and the page on which a person looks at them."""

from __future__ import annotations

import html
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.classroom.test_class_report import PHONE, opened, said
from tests.grading.test_feedback import Outline, answered
from tests.lessons import SLUG
from tests.pages import Class
from tests.test_cli import refused, trainloop, words
from trainloop.classroom.similar import (
    GRAM,
    MAX_LINES,
    Comparison,
    FingerprintedAnswer,
    Fingerprinter,
    answers,
    compare,
    write_page,
)
from trainloop.course import Course
from trainloop.grading.folders import submissions
from trainloop.grading.grade import LessonBundle

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STUB = '''\
def relu(x: torch.Tensor) -> torch.Tensor:
    """Elementwise max(0, x)."""
    raise NotImplementedError()
'''
READER = Fingerprinter("relu", STUB, frozenset({"torch"}))
ODD = """\
def relu(x: torch.Tensor) -> torch.Tensor:
    # the way of one
    flat = x.reshape(-1)
    out = torch.empty_like(flat)
    for i in range(flat.numel()):
        out[i] = flat[i] if flat[i] > 0 else 0.0
    return out.reshape(x.shape)
"""
# The same with other names, layout, comments and docstring.
DISGUISED = """\
def relu(tensor: torch.Tensor) -> torch.Tensor:
    '''I wrote this myself.'''
    v = tensor.reshape( -1 )   # make it flat
    result=torch.empty_like(v)
    for   index in range(v.numel()):

        result[index] = v[index] if v[index] > 0 else 0.
    return result.reshape(tensor.shape)
"""
USUAL = """\
def relu(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, x, torch.zeros_like(x))
"""
OTHER = """\
def relu(x: torch.Tensor) -> torch.Tensor:
    mask = (x > 0).to(x.dtype)
    return mask * x
"""


def read(code: str, reader: Fingerprinter = READER) -> FingerprintedAnswer:
    found = reader.answer(code)
    assert found is not None
    return found


def compared(codes: Mapping[str, str]) -> Comparison:
    return compare({student: {"relu": read(code)} for student, code in codes.items()})


def pairs(found: Comparison) -> list[tuple[str, str]]:
    return [pair.students for pair in found.pairs]


def crowd(count: int = 12) -> dict[str, str]:
    """Students who all write something of their own."""
    return {
        f"crowd-{number}": "def relu(x: torch.Tensor) -> torch.Tensor:\n"
        f"    y = x.mul({number}).sub({number + 10})\n    return (y + {number}) * {number + 1} - y.pow({number}.5)\n"
        for number in range(count)
    }


# ----------------------------------------------------------------------------------------------------- what is compared


def test_names_layout_and_comments_make_no_difference() -> None:
    assert read(ODD).own == read(DISGUISED).own
    assert read(ODD).own, "there is something that is the same"


@pytest.mark.parametrize(
    ("old", "new"),
    [("out[i] = flat[i]", "out[i] = flat[0]"), ("> 0", ">= 0"), ("empty_like", "zeros_like"), ("range", "reversed")],
)
def test_another_number_operator_or_function_makes_one(old: str, new: str) -> None:
    assert old in ODD
    assert read(ODD).own != read(ODD.replace(old, new)).own


@pytest.mark.parametrize("one", ["0.5", ".5", "5e-1", "0.50"])
def test_one_number_in_several_spellings(one: str) -> None:
    code = "def relu(x):\n    return x * {} + x.mean() - x.sum()\n"
    assert read(code.format(one)).own == read(code.format("0.5")).own


def test_what_was_released_is_taken_out() -> None:
    assert READER.answer(STUB) is None
    assert READER.answer(STUB.replace("x", "y").replace("Elementwise", "My own docstring:")) is None
    odd = read(ODD)
    assert not odd.own & READER.released
    first = ODD.index("flat = ")
    assert min(odd.tokens[place].start for place in odd.places(odd.own)) == first


@pytest.mark.parametrize(
    "code",
    [
        "def relu(x:\n    ((((",
        "\x00\x1b[31m\u202e" * 50,
        "'''" * 99,
        "(" * 5_000,
        "x = " + "1 + " * 50_000 + "1",
        "f'{" * 500,
        "\\\n" * 4_000,
        "%%bash\nrm -rf /",
        "",
    ],
)
def test_nothing_stops_the_reader(code: str) -> None:
    before = time.process_time()
    READER.answer(code)
    assert time.process_time() - before < 10


# ----------------------------------------------------------------------------------------------------- which come first


def test_an_unusual_agreement_is_found_behind_other_names() -> None:
    found = compared({**crowd(), "ada": ODD, "ben": DISGUISED})
    assert found.students == 14
    assert pairs(found) == [("ada", "ben")]
    (one,) = found.pairs[0].agreements
    assert one.shares == (1.0, 1.0)
    assert one.others == 2
    assert not one.is_same_text


def test_what_many_write_is_no_agreement() -> None:
    many = {f"usual-{number}": USUAL for number in range(6)}
    assert pairs(compared({**crowd(), **many})) == []
    assert pairs(compared({**crowd(), **many, "ada": ODD, "ben": DISGUISED})) == [("ada", "ben")]


def test_a_rarer_agreement_comes_before_a_more_common_one() -> None:
    some = {f"other-{number}": OTHER for number in range(4)}
    found = pairs(compared({**crowd(40), **some, "ada": ODD, "ben": DISGUISED}))
    assert found[0] == ("ada", "ben")
    assert {student for pair in found[1:] for student in pair} == set(some)


def test_of_a_group_only_the_pairs_that_join_it() -> None:
    group = {f"group-{number}": ODD for number in range(4)}
    found = compared({**crowd(30), **group})
    assert len(found.pairs) == 3
    assert found.in_groups == 3
    assert {student for pair in found.pairs for student in pair.students} == set(group)
    assert all(one.is_same_text for pair in found.pairs for one in pair.agreements)


def test_no_two_are_alike() -> None:
    assert pairs(compared(crowd())) == []
    assert pairs(compare({})) == []


def test_of_many_pairs_the_strongest() -> None:
    twins = {}
    for number in range(30):
        body = "".join(f"    x = x.add({number * 100 + line}).mul({line})\n" for line in range(3 + number))
        for name in "ab":
            twins[f"{number:02}{name}"] = f"def relu(x):\n{body}    return x\n"
    found = compared({**twins, **crowd(40)})
    assert len(found.pairs) == 25
    assert pairs(found)[0] == ("29a", "29b"), "the longest"
    assert all(first[:2] == second[:2] for first, second in pairs(found))


def test_a_large_class_takes_minutes_at_most() -> None:
    codes = {**crowd(1_200), "ada": ODD, "ben": DISGUISED}
    before = time.process_time()
    found = compared(codes)
    assert time.process_time() - before < 120
    assert ("ada", "ben") in pairs(found)


# ------------------------------------------------------------------------------------------------------------- the page

HOSTILE = "</span></pre><script>document.title = 'ran'</script><img src=x onerror=alert(1)>"
LONG = "".join(f"    value_{line} = x * {line} + x.sum() - {line}.25\n" for line in range(MAX_LINES + 40))
SUBMISSIONS = {
    **crowd(),
    "ada": ODD,
    "ben": DISGUISED + f"# {HOSTILE}\n",
    "eve": f"def relu(x):\n{LONG}    return '''{HOSTILE}'''\n",
    "eli": f"def relu(x):\n{LONG}    return '''{HOSTILE}'''\n",
    "mia": STUB.replace(
        '"""\n',
        '"""\n    total = 0.0\n    for one in x.flatten().tolist():\n        total += max(one, 0) ** 2 / 7\n',
        1,
    ),
    "may": STUB.replace(
        '"""\n', '"""\n    s = 0.0\n    for e in x.flatten().tolist():\n        s += max(e, 0) ** 2 / 7\n', 1
    ),
}


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Class:
    """A class that has handed in and is not graded."""
    one = Class.build(tmp_path_factory.mktemp("similar"))
    for student, code in SUBMISSIONS.items():
        one.hand_in(student, answered(one, code))
    one.hand_in("untouched", one.released)
    one.hand_in_files("nothing", {"answers.txt": b"See my e-mail."})
    return one


@pytest.fixture(scope="module")
def found(handed_in: Class) -> Comparison:
    material = LessonBundle.of(handed_in.course, SLUG)
    return compare(answers(material, submissions(handed_in.course, SLUG)))


@pytest.fixture(scope="module")
def page(handed_in: Class, found: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_page(handed_in.course, LessonBundle.of(handed_in.course, SLUG), found, folder)[0]


def test_submissions_are_compared_as_they_were_taken_in(found: Comparison) -> None:
    assert found.students == len(SUBMISSIONS)
    assert pairs(found) == [("eli", "eve"), ("ada", "ben"), ("may", "mia")]


def test_the_page_says_what_it_is_and_names_nobody(page: Path) -> None:
    text = said(page.read_text(encoding="utf-8"))
    assert "Alike is not copied." in text and "Pairs to look at, not verdicts" in text
    assert f"{len(SUBMISSIONS)} submissions with an answer were compared" in text
    assert not [name for name in SUBMISSIONS if re.search(rf"\b{name}\b", text)]
    assert len(re.findall(r"\d\. student \d+ and student \d+", text)) == 3


def test_both_sides_are_marked_where_they_agree_and_not_by_colour_alone(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    second = source.split('<details class="pair"')[2]
    rows = re.findall(r'<span class="row ([a-z]*)"><span class="number">(\d*)</span>', second)
    assert {kind for kind, _ in rows} == {"shared", "given", ""}
    marked = [html.unescape(text) for text in re.findall(r"<mark>(.*?)</mark>", second)]
    assert "flat = x.reshape(-1)" in marked and "v = tensor.reshape( -1 )" in marked
    assert not any("def relu" in text or "the way of one" in text for text in marked)
    assert second.count('<span class="unseen">alike: </span>') == sum(kind == "shared" for kind, _ in rows)


def test_the_released_cell_is_folded_where_it_is_long(handed_in: Class, page: Path) -> None:
    third = page.read_text(encoding="utf-8").split('<details class="pair"')[3]
    assert "total += max(one, 0) ** 2 / 7" in html.unescape(third)
    assert 'class="row given"' in third


def test_long_code_is_cut_and_says_so(page: Path) -> None:
    first = page.read_text(encoding="utf-8").split('<details class="pair"')[1]
    assert len(re.findall(r"\[\d+ more lines are not shown\]", first)) == 2
    assert "The two cells are the same to the letter." in first


def test_students_code_is_inert(page: Path, browser: Browser) -> None:
    source = page.read_text(encoding="utf-8")
    assert "document.title" in source, "it is there"
    outline = Outline(source)
    assert "script" not in outline.tags and "img" not in outline.tags
    assert outline.addresses == []
    shown = opened(browser, page)
    assert shown.title() == "Similar submissions: 9.9 A Tiny Lesson"
    shown.close()


def test_the_page_is_in_order(page: Path) -> None:
    outline = Outline(page.read_text(encoding="utf-8"))
    assert outline.lang == "en" and outline.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))


@pytest.mark.parametrize(("width", "columns"), [(1200, 2), (PHONE["width"], 1)])
def test_side_by_side_where_there_is_room(browser: Browser, page: Path, width: int, columns: int) -> None:
    shown = opened(browser, page, viewport={"width": width, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    tops = shown.evaluate("[...document.querySelector('.sides').children].map(one => one.offsetTop)")
    assert len(set(tops)) == 3 - columns
    shown.close()


def test_on_paper_every_pair_is_unfolded(browser: Browser, page: Path, tmp_path: Path) -> None:
    folded = tmp_path / "folded.html"
    folded.write_text(page.read_text(encoding="utf-8").replace('class="pair" open', 'class="pair"'), encoding="utf-8")
    shown = opened(browser, folded)
    code = shown.locator(".side").first
    assert not code.is_visible()
    shown.emulate_media(media="print")
    assert code.is_visible()
    assert shown.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    shown.close()


# ---------------------------------------------------------------------------------------------------------- the command


def test_the_command(handed_in: Class) -> None:
    result = trainloop(handed_in.course.root, "similar", "9.9")
    assert result.exit_code == 0, result.output
    assert (handed_in.course.root / "reports" / f"{SLUG}-similar.html").is_file()
    assert f"{len(SUBMISSIONS)} submissions compared, 3 pairs to look at." in words(result)
    assert "Alike is not copied." in words(result)
    assert len(re.findall(r"student \d+ and student \d+: Exercise 1", result.output)) == 3


def test_the_command_with_names_and_a_folder(handed_in: Class, tmp_path: Path) -> None:
    result = trainloop(handed_in.course.root, "similar", "9.9", "--names", "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "ada and ben: Exercise 1" in words(result)
    assert "ada and ben" in said((tmp_path / f"{SLUG}-similar.html").read_text(encoding="utf-8"))


def test_where_nothing_was_handed_in(own_course: Course) -> None:
    refused(trainloop(own_course.root, "similar", "2.1"), "Collect submissions into")


def test_where_there_is_nothing_to_compare(own_course: Course) -> None:
    slug = own_course.slug("2.1")
    folder = own_course.root / "submitted" / "ada" / slug
    folder.mkdir(parents=True)
    shutil.copy(own_course.notebook("release", slug), folder)
    refused(trainloop(own_course.root, "similar", "2.1"), "There is nothing to compare yet: 0 of the submissions")
    assert not (own_course.root / "reports").exists()


def test_a_fingerprint_is_about_a_line() -> None:
    assert len(READER.tokens("y = torch.zeros_like(x)")) == GRAM

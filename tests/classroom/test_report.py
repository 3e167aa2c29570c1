"""The tables of a graded class, in a terminal of 80 columns: every mark is whole, whatever students are called."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from trainloop.checks.verdict import IN_WORDS
from trainloop.classroom.class_report import Report, summary
from trainloop.classroom.report import changes_table, class_table, shortened
from trainloop.grading.grade import Graded
from trainloop.grading.gradebook import Change

LONG = "s" + "0123456789" * 18
NAMES = ("ada", LONG, LONG[::-1], "李小龍-" * 40, "[/x]", "[bold red]red", "\x1b[2J\x1b]0;t\x07esc", "e\u0301" * 200)
SHORT = {"mlp": 3.0, "relu": 2.5}
USUAL = {"activations": 2.5, "mlp": 3.0, "train": 2.25, "collapse": 1.0, "quiz": 12.5}
WORDY = {"operations": 2.5, "gradient_variance": 3.0, "mlp_backward": 2.25, "split_and_scale": 1.5}
MANY = {f"exercise_{number}": 1.25 for number in range(20)}


def graded(exercises: Mapping[str, float], words: str) -> Graded:
    made = [SimpleNamespace(name=name, points=most / 2, possible=most) for name, most in exercises.items()]
    whole = sum(exercises.values())
    return cast(
        Graded, SimpleNamespace(exercises=made, points=whole / 2, possible=whole, status="wrong", in_words=words)
    )


def printed(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(table)
    lines: list[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(cell_len, lines)) <= width
    return lines


def numbers(lines: Iterable[str]) -> list[str]:
    return [word for line in lines for word in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.…])", line)]


def rows(lines: Sequence[str]) -> list[str]:
    """The lines below the titles, cells without the first."""
    body = lines[next(place for place, line in enumerate(lines) if "━" in line and "╇" in line) + 1 :]
    return [line.split("│", 2)[2] for line in body if line.startswith("│")]


@pytest.mark.parametrize("words", [*sorted(IN_WORDS.values()), "3 of 20 right"])
@pytest.mark.parametrize("exercises", [SHORT, USUAL, WORDY, MANY, {}])
@pytest.mark.parametrize("width", [80, 200])
def test_every_mark_is_whole(width: int, exercises: Mapping[str, float], words: str) -> None:
    lines = printed(class_table({name: graded(exercises, words) for name in NAMES}, "2.1", width), width)
    expected = [f"{most / 2:g}" for most in exercises.values()] + [f"{sum(exercises.values()) / 2:g}"]
    one = [number[:6] for number in (f"{float(number):.2f}".rstrip("0").rstrip(".") for number in expected)]
    found = numbers(line.replace(words, "") for line in rows(lines))
    assert sorted(found) == sorted(one * len(NAMES))
    text = " ".join(" ".join(lines).split())
    assert all(name in text for name in exercises)  # in a title, or below the table
    assert not {"\x1b[2J", "\x1b]", "\x07"} & set(re.findall(r"\x1b.{0,3}|\x07", text))
    assert "[/x]" in text and "[bold" in text


def test_an_id_keeps_its_ends_and_a_short_one_is_whole() -> None:
    lines = printed(class_table({name: graded(USUAL, "right") for name in ("ada", LONG)}, "2.1"), 80)
    assert any(re.match(r"│ ada +│", line) for line in lines)
    assert any(re.match(r"│ s0\d+…\d+9 +│", line) for line in lines)
    assert "activations" in " ".join(lines)


@pytest.mark.parametrize("shown", [{"ada": graded(USUAL, "right")}, {}])
def test_titles_are_whole_above_short_ids(shown: Mapping[str, Graded]) -> None:
    text = "\n".join(printed(class_table(shown, "2.1"), 80))
    assert re.search(r"┃ student +┃", text) and re.search(r"┃ status +┃", text)


@pytest.mark.parametrize("by_hand", [True, False])
def test_marks_that_change_are_whole(by_hand: bool) -> None:
    changes = [Change(name, "gradient_variance", 10.25, 12.75, by_hand) for name in NAMES]
    lines = printed(changes_table(changes, 80), 80)
    assert numbers(rows(lines)) == ["10.25", "12.75"] * len(NAMES)
    assert ("your mark by hand stays" in " ".join(re.sub("│", " ", " ".join(lines)).split())) == by_hand
    assert sum("gradient_variance" in line for line in lines) == len(NAMES)


@pytest.mark.parametrize("width", range(8, 30))
@pytest.mark.parametrize("name", [*NAMES, ""])
def test_no_name_is_wider_than_its_column(name: str, width: int) -> None:
    short: Any = shortened(name, width)
    assert cell_len(short) <= width and short.isprintable()
    assert ("…" in short) == (cell_len(shortened(name, 10_000)) > width)


def test_the_report_in_a_terminal_keeps_to_its_width() -> None:
    sentence = "The gradients add up: without a line that clears them, each step moves against the sum of all of them. "
    row = SimpleNamespace(count=12, text=sentence * 3)
    nobody = SimpleNamespace(count=0, who="")
    counts = {"slug": "2.1", "students": 30, "mean": 0.5, "right": 3, "mistakes": [row] * 5, "disagreements": ()}
    made = cast(Report, SimpleNamespace(**counts, not_graded=nobody, handed_in_since=nobody))
    for width in (80, 120):
        lines = summary(made, width)
        assert width - 20 < max(map(len, lines)) < width
        assert sum(line.endswith(" ...") for line in lines) == 3

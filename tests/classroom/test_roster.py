"""Who is who: matches that are certain, none that is not, and ids that are safe in every place they go to."""

from __future__ import annotations

import re

import pytest

from trainloop.classroom.roster import (
    Clues,
    Student,
    canvas_name,
    identifier,
    matched,
    normalized_name,
    safe_student_id,
)

ADA = Student("ada", "Ada", "Lovelace", "ada@uni.example", "12345")
BEN = Student("ben", "Ben", "O'Brien", "ben@uni.example")
WEI = Student("wz1", "Wei", "Zhang")
WEI_TOO = Student("wz2", "Wei", "Zhang")
NAMELESS = Student("grace-hopper")
EVERYBODY = [ADA, BEN, WEI, WEI_TOO, NAMELESS]


@pytest.mark.parametrize(
    ("clues", "student"),
    [
        (Clues(lms_id="12345"), ADA),
        (Clues(lms_id="12345", names=("Ben O'Brien",)), ADA),  # the number is stronger than the name
        (Clues(ids=("ben",)), BEN),
        (Clues(emails=("BEN@uni.example",)), BEN),
        (Clues(names=("lovelaceada",)), ADA),
        (Clues(names=("Lovelace, Ada",)), ADA),
        (Clues(names=("Ben OBrien",)), BEN),  # Moodle's archives leave the apostrophe out
        (Clues(names=("Grace Hopper",)), NAMELESS),
        (Clues(lms_id="99", names=("Ben O'Brien",)), BEN),
        (Clues(lms_id="99", names=("Ada Lovelace",)), None),  # of the same name, with another number
        (Clues(names=("Wei Zhang",)), None),  # two have this name
        (Clues(names=("Nobody",), emails=("",), ids=("",)), None),
        (Clues(), None),
    ],
)
def test_a_match_is_certain_or_none(clues: Clues, student: Student | None) -> None:
    assert matched({"one": clues}, EVERYBODY) == ({"one": student} if student else {})


def test_two_people_are_never_one_student() -> None:
    people = {"first": Clues(names=("Ada Lovelace",)), "second": Clues(names=("Lovelace Ada",))}
    assert matched(people, EVERYBODY) == {}
    assert matched({**people, "third": Clues(lms_id="12345")}, EVERYBODY) == {"third": ADA}


def test_who_is_found_by_a_stronger_clue_leaves_the_weaker_to_others() -> None:
    people = {"first": Clues(ids=("wz1",), names=("Wei Zhang",)), "second": Clues(names=("Wei Zhang",))}
    assert matched(people, EVERYBODY) == {"first": WEI, "second": WEI_TOO}


NASTY = (
    "Lovelace, Ada", "O'Brien", "../../etc", "=1+1", "-rf", "@x", "a/b\\c", "*?[x]", "Łukasiewicz Ján", "李 小龍",
    "ऐडा लवलेस", "‮evil", "nul\x00", "a\nb", "🙂", "", ".", "{x}", "%s", "x" * 300, "李" * 300,
    "ada@uni.example", "Müller-Lüdenscheidt",
)  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("number", ["", "12345"])
def test_an_id_is_a_safe_name(name: str, number: str) -> None:
    for one in (identifier(name, number), safe_student_id(name)):
        assert re.fullmatch(r"[^\W_].*", one)
        assert not set(one) & set("/\\*?[]{}%=+,;:'\"<>|\n\x00\u202e ")
        assert one.isprintable()
        assert len(one.encode()) <= 128
    assert identifier(identifier(name), number) == identifier(name, number)


@pytest.mark.parametrize(
    ("name", "number", "made"),
    [
        ("Ada Lovelace", "", "ada-lovelace"),
        ("lovelaceada", "12345", "lovelaceada-12345"),
        ("Seán O'Brien", "", "seán-obrien"),
        ("李 小龍", "", "李-小龍"),
        ("ऐडा लवलेस", "", "ऐडा-लवलेस"),
        ("🙂", "7", "unnamed-7"),
    ],
)
def test_an_id_can_be_read(name: str, number: str, made: str) -> None:
    assert identifier(name, number) == made


def test_an_id_that_was_given_stays() -> None:
    assert [safe_student_id(one) for one in ("ada", "s1234_b", "Ada.L@uni.example", "A-1")] == [
        "ada", "s1234_b", "Ada.L@uni.example", "A-1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sortable", "name"),
    [
        ("Lovelace, Ada", "lovelaceada"),
        ("O'Brien, Seán", "obrienseán"),
        ("लवलेस, ऐडा", "लवलेसऐडा"),  # the marks on letters are part of the name
        ("Team_12_B", "team12b"),
        ("van der Berg-Müller, Jan", "vanderbergmüllerjan"),
    ],
)
def test_names_as_canvas_writes_them(sortable: str, name: str) -> None:
    assert canvas_name(sortable) == name


def test_names_are_compared_by_letters_alone() -> None:
    assert normalized_name("O’Brien, SEÁN") == normalized_name("o'brien sea\u0301n") == "obrienseán"
    assert normalized_name("Straße") == normalized_name("STRASSE")
    assert normalized_name("ऐडा") != normalized_name("ऐड")

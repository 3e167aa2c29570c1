"""What an instructor can set: every limit, by the name that it has, with the defaults that the configuration tells."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from traitlets import TraitError
from traitlets.config import Config

from trainloop.course import CONFIG_NAME, Course
from trainloop.grading.settings import Grading
from trainloop.sandbox.job import Limits

ROOT = Path(__file__).parents[2]


def test_the_defaults_are_the_boxs() -> None:
    assert Grading().limits() == Limits()
    assert Grading().isolation == "full"


def test_every_limit_can_be_set_in_the_courses_configuration(tmp_path: Path) -> None:
    wanted = {field.name: getattr(Limits(), field.name) * 2 for field in fields(Limits)}
    lines = [f"c.Grading.{name} = {value}" for name, value in wanted.items()]
    text = "\n".join(["c = get_config()", 'c.Grading.isolation = "limits"', *lines])
    (tmp_path / CONFIG_NAME).write_text(text)
    grading = Grading(config=Course(tmp_path).config())
    assert grading.limits() == Limits(**wanted)
    assert grading.isolation == "limits"


def test_the_courses_configuration_tells_the_defaults() -> None:
    told = re.findall(r"^# c\.Grading\.(\w+) = ([^#\n<]+)", (ROOT / CONFIG_NAME).read_text(), re.MULTILINE)
    for name, value in told:
        assert eval(value, {"__builtins__": {}}) == getattr(Grading(), name), name
    assert {name for name, _ in told} >= {"isolation", "cell_seconds", "total_seconds", "memory_bytes", "processes"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("isolation", "none"), ("cell_seconds", 0), ("memory_bytes", 1_000), ("workers", 0), ("processes", "many")],
)
def test_what_makes_no_sense_is_refused(name: str, value: object) -> None:
    with pytest.raises(TraitError, match=name):
        Grading(config=Config(Grading={name: value}))

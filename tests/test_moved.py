"""An instructor's configuration from before the rooms is told what to write, by our commands and by nbgrader's own."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from nbgrader.converters import Autograde
from nbgrader.exchange import ExchangeFactory
from traitlets import TraitError
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from trainloop.course import CONFIG_NAME, Course, CourseError
from trainloop.moved import MOVED

ROOT = Path(__file__).resolve().parents[1]
EXCHANGE = Config({"ExchangeFactory": {"collect": "trainloop.exchange.Collect"}})


def told(message: str) -> bool:
    """Whether a message says what to write, for each of the old names, without their being met one by one."""
    return all(f"{new} in place of {old}" in message for old, new in MOVED.items())


@pytest.mark.parametrize("old", MOVED)
def test_an_old_module_is_told_where_python_looks_for_it(old: str) -> None:
    import_module(MOVED[old])
    with pytest.raises(TraitError) as refused:
        import_module(old)
    assert told(str(refused.value))


def test_other_modules_that_are_not_there_are_not_there() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("trainloop.recorder")


def test_nbgrader_shows_the_sentence() -> None:
    with pytest.raises(TraitError) as refused:
        Autograde(config=Config({"Autograde": {"exporter_class": "trainloop.record.SubmissionExporter"}}))
    assert told(str(refused.value))
    with pytest.raises(TraitError) as refused:
        ExchangeFactory(config=EXCHANGE)
    assert told(str(refused.value))


@pytest.mark.parametrize(
    "line",
    [
        'c.Autograde.autograde_preprocessors = ["trainloop.record.RecordVerdict"]',
        'c.HTMLExporter.filters = {"markdown2html": "trainloop.feedback.safe_markdown"}',
        'c.ExportApp.plugin_class = "trainloop.export.CsvExporter"',
    ],
)
def test_our_commands_refuse_an_old_configuration_before_they_begin(tmp_path: Path, line: str) -> None:
    (tmp_path / CONFIG_NAME).write_text(f"c = get_config()\n{line}\n", encoding="utf-8")
    with pytest.raises(CourseError) as refused:
        Course(tmp_path).config()
    assert told(str(refused.value))


def test_all_that_the_configuration_of_today_names_is_there() -> None:
    text = (ROOT / CONFIG_NAME).read_text(encoding="utf-8")
    names = [word for word in text.split('"') if word.startswith("trainloop.")]
    assert len(names) >= len(MOVED)
    for name in names:
        import_item(name)

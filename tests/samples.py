"""Some of many: what the build has proved of all is tested again of a few, others with each commit."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import pytest

from tests.conftest import ROOT

T = TypeVar("T")


@cache
def commit() -> str:
    """What the working copy was last committed as; empty where there is no git to ask."""
    try:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return asked.stdout.strip()


def sampled(config: pytest.Config, items: Sequence[T], count: int, about: str) -> list[T]:
    """`count` of the items in their order, drawn by the commit and what they are `about`; all with `--all`."""
    if config.getoption("--all") or len(items) <= count:
        return list(items)
    chosen = random.Random(f"{commit()} {about}").sample(range(len(items)), count)
    return [items[index] for index in sorted(chosen)]

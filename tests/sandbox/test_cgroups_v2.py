"""Control groups of version 2 on a kernel that has them: as most machines do today, and CI's does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox import machine
from tests.sandbox.guest import SEEN


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What was seen at each place in which a grader may find itself."""
    kernel = machine.kernel()
    if kernel is None:
        pytest.skip("There is no kernel in /boot, or no emulator, to start a machine with.")
    printed = machine.boot(kernel, tmp_path_factory.mktemp("machine"))
    found = [json.loads(line.split(SEEN, 1)[1]) for line in printed.splitlines() if SEEN in line]
    assert found, printed[-3_000:]
    return {one.pop("place"): one for one in found}


@pytest.mark.parametrize(
    ("place", "parent"),
    [
        ("root", "/sys/fs/cgroup"),
        ("scope", "/sys/fs/cgroup/user.slice/user@1000.service/app.slice"),
    ],
)
def test_the_kernel_limits_and_tells(seen: dict[str, dict[str, Any]], place: str, parent: str) -> None:
    assert seen[place] == {
        "version": "cgroup v2",
        "parent": parent,
        "codes": {"small": 0, "hungry": -9, "hoard": -9},
        "kills": 2,
        "full": True,
        "starved": [1, False],  # where the memory of a group above was full, in the place of the computer's
        "is_removed": True,
    }


@pytest.mark.parametrize("place", ["nobody", "container"])
def test_where_no_group_can_be_made_there_is_none(seen: dict[str, dict[str, Any]], place: str) -> None:
    """For a user to whom nothing was handed over; in a container whose only group holds its processes."""
    assert seen[place] == {"version": None}

"""Turns: submissions run side by side, or one of them alone, in all gradings that a user of this machine has started.

What decides is who holds two files, in the user's own folder: *running*, shared by all that run side by side, and
*gate*, through which each comes to it. Who wants to be alone keeps the gate shut, waits until nobody runs, and so waits
for no longer than the runs last that have begun. The kernel lets go of a file when its process ends, whatever ended it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer


@dataclass(frozen=True)
class Turns:
    """Turns by the files in a folder; gradings that name the same folder take turns with each other.

    Args:
        folder: one that is there, and that nobody else can write into.
    """

    folder: Path

    @contextlib.contextmanager
    def beside_others(self) -> Iterator[None]:
        """Run beside others; wait while somebody is, or wants to be, alone."""
        with contextlib.ExitStack() as running:
            with self._held("gate", fcntl.LOCK_EX):
                running.enter_context(self._held("running", fcntl.LOCK_SH))
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until the others have ended, and keep new ones waiting."""
        with self._held("gate", fcntl.LOCK_EX), self._held("running", fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def _held(self, name: str, how: int) -> Iterator[None]:
        with (self.folder / name).open("a") as file:
            fcntl.flock(file, how)
            yield


@functools.cache
def turns() -> Turns:
    """Those of this user; of this process alone, where the user has no folder that can be written."""
    try:
        folder = Path(typer.get_app_dir("trainloop"), "turns")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("gate", "running"):
            (folder / name).touch(mode=0o600)
    except (OSError, RuntimeError):  # RuntimeError: nobody knows where home is
        folder = Path(tempfile.mkdtemp(prefix="trainloop-turns-"))
    return Turns(folder)

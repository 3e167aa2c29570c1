"""A Dask cluster on loopback as one starts it by hand: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

DASK = str(Path(sys.executable).parent / "dask")
START_SECONDS = 60.0


@contextmanager
def cluster(folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a scheduler, whose workers are started with `options`; without any, there is no worker.

    Args:
        folder: for what Dask writes.
        options: of `dask worker`.
        environment: of the workers, besides our own.
    """
    about = folder / "scheduler.json"
    here = ("--host", "127.0.0.1", "--no-dashboard")
    # One death of a worker is enough for the scheduler to hand the matter to us.
    patience = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with ExitStack() as processes:
        start = ("scheduler", *here, "--port", "0", "--scheduler-file", str(about))
        processes.enter_context(_process(folder, start, patience))
        address = _address(about)
        if options:
            start = ("worker", address, *here, "--local-directory", str(folder / "workers"), *options)
            processes.enter_context(_process(folder, start, environment or {}))
        yield address


@contextmanager
def _process(folder: Path, words: tuple[str, ...], environment: Mapping[str, str]) -> Iterator[None]:
    with (folder / f"{words[0]}.log").open("wb") as log:
        process = psutil.Popen([DASK, *words], env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            below = process.children(recursive=True)
            process.terminate()
            psutil.wait_procs([process, *below], timeout=20)
            for one in [*below, process]:
                if one.is_running():
                    one.kill()
            process.wait()


def _address(about: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            return str(json.loads(about.read_text())["address"])
        except (OSError, ValueError):
            time.sleep(0.1)
    raise TimeoutError("The scheduler did not start.")

"""Which engine a run gets: this machine's cores, or the workers of a Dask cluster."""

from __future__ import annotations

from trainloop.grading.engine import Engine, EngineError, Setup, Threads
from trainloop.sandbox.isolation import choose


def choose_engine(setup: Setup, workers: int, scheduler: str | None = None) -> Engine:
    """The engine for a run, not open yet: a Dask scheduler's workers if it is named, else this machine's cores.

    Raises:
        EngineError: Dask is not installed.
        IsolationError: this machine is to grade and cannot, at the level of the set-up.
    """
    if scheduler is None:
        choose(setup.level)
        return Threads(setup, workers)
    try:
        from trainloop.grading.cluster import Cluster
    except ModuleNotFoundError as error:
        raise EngineError(
            f"Grading on many machines needs Dask ({error}). Install this course's extra for it, here and on every "
            "worker: uv sync --extra cluster"
        ) from None
    return Cluster(setup, scheduler)

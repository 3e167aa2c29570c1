"""`python -m benchmarks.fork_cost`: what a fork of the worker costs, in pages of 4 KiB and in huge ones.

CPU time of parent and copy together, until the copy has ended, so that a busy machine matters little. Each check of a
submission is made in a copy of its own, and two more are needed for each submission.
"""

from __future__ import annotations

import importlib
import os
import resource

from trainloop.sandbox import huge_pages
from trainloop.sandbox.shell import start_shell

FORKS = 100


def milliseconds() -> float:
    """CPU time of a fork whose copy ends at once."""
    before = _cpu()
    for _ in range(FORKS):
        copy = os.fork()
        if copy == 0:
            os._exit(0)
        os.waitpid(copy, 0)
    return 1_000 * (_cpu() - before) / FORKS


def _cpu() -> float:
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


def main() -> None:
    """Measure and print."""
    importlib.import_module("trainloop.sandbox.worker")  # and all that it loads before it forks
    start_shell()
    plain = milliseconds()
    started = _cpu()
    count = huge_pages.gather()
    took = _cpu() - started
    gathered = milliseconds()
    print(f"A fork takes {plain:.1f} ms of CPU time, {gathered / plain:.2f} of that with {count} huge pages.")
    print(f"To gather them took {took:.2f} s: the gain of {1_000 * took / (plain - gathered):.0f} forks.")


if __name__ == "__main__":
    main()

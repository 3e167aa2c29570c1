"""The clock that limits on time go by."""

from __future__ import annotations

import time

SLACK = 3.0  # by how much time in which a submission does not compute counts less, see `Clock`


class Clock:
    """Seconds that count against a submission: those in which it computes, with one processor or with several.

    Of seconds in which it waits, or does not get a processor because the machine is busy, every third counts: nobody
    pays for others who compute at the same time, and nobody sleeps for ever.
    """

    def __init__(self) -> None:
        self.waited = 0.0  # of what has been counted
        self.delayed = 0.0  # for want of a processor
        self._cpu = 0.0
        self._counted = 0.0
        self._looked = time.monotonic()

    def saw(self, cpu_seconds: float, delayed_seconds: float) -> None:
        """What all processes together have computed so far, and been delayed; told by one thread, again and again."""
        self.delayed = max(self.delayed, delayed_seconds)
        now = time.monotonic()
        computed = min(max(cpu_seconds - self._cpu, 0.0), now - self._looked)
        slow = (now - self._looked) / SLACK
        self.waited += max(slow - computed, 0.0)
        self._counted, self._looked, self._cpu = self._counted + max(computed, slow), now, cpu_seconds

    def now(self) -> float:
        """Seconds counted since the beginning."""
        return self._counted + (time.monotonic() - self._looked) / SLACK

"""What this room refuses."""

from __future__ import annotations

from trainloop.errors import TrainloopError


class SiteError(TrainloopError):
    """The site cannot be built; one sentence says why, and what to do."""

"""What is refused in the two files of a lesson."""

from __future__ import annotations

from pathlib import Path

from trainloop.errors import TrainloopError


class LessonError(TrainloopError):
    """Something in a lesson's text is refused. Says where, what, and what to do."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.path, self.line, self.message = path, line, message

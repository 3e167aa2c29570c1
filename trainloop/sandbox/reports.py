"""Reports: the lines in which a process of a submission tells what it did, read as the bytes of a stranger."""

from __future__ import annotations

import json
from collections.abc import Iterator

from trainloop.checks.values import Json

MAX_PARTS = 400_000  # lists, items and pairs of one report; each takes a hundred bytes and more once it is read


class Lines:
    """Cuts a stream of bytes into lines, and drops those that are longer than `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._hold(end)
            if 0 < len(self._held) <= self._most:
                yield bytes(self._held)
            self._held.clear()
        self._hold(rest)

    def _hold(self, part: bytes) -> None:
        self._held += part[: self._most + 1 - len(self._held)]


def parse(line: bytes) -> Json:
    """The report in a line; empty if it is none.

    The bytes are decoded first, strictly: `json.loads` would guess at their encoding, and let halves of characters by.
    """
    if sum(map(line.count, (b"[", b"{", b","))) > MAX_PARTS:
        return {}
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        if b"\\u" in line:  # half a character, which no file could hold
            message = json.loads(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")

"""Texts that travel to learners and should not be read by accident: packed, and unpacked where they are asked for.

A courtesy to those who do not want to see an answer yet, not a lock: whoever wants to can unpack them.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

MAX_CHARACTERS = 1_000_000  # characters unpacked; a lesson's worked answers have some ten thousand


def pack(plain: Any) -> str:
    """Plain JSON as one word."""
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True)
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")


def unpack(text: str) -> Any:
    """What `pack` was given. Raises `ValueError` for any other text."""
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), MAX_CHARACTERS)
        return json.loads(data)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("this was not packed by `pack`") from error

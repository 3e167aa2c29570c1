"""Outputs: what a cell puts out, of which only what is kept takes memory."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping
from typing import Any

from trainloop.checks.values import Json
from trainloop.sandbox.job import Limits

MAX_OUTPUTS = 1_000  # of one cell
MAX_ERRORS = 3  # among the outputs of one cell


class Outputs:
    """What a cell puts out, tidied as it comes: of what may be anything only what is kept takes memory.

    What is kept are valid nbformat 4 outputs, text and PNG images only, cut to the limits.

    Attributes:
        figure_bytes: of the images that are kept, in base64.
    """

    def __init__(self, limits: Limits, figure_room: int) -> None:
        self.figure_bytes = 0
        self._limits = limits
        self._figure_room = figure_room  # what is left to the whole submission
        self._kept: list[Json] = []
        self._chars, self._figures, self._errors, self._parts = limits.output_chars, limits.figures, MAX_ERRORS, 0
        self._is_crowded = False  # a figure had to go because of those of other cells

    def add(self, output: object) -> None:
        """Take in one more output; text joins the text before it."""
        if self._parts > MAX_OUTPUTS or self._chars < 0:
            return
        last = self._kept[-1] if self._kept else {}
        match output, last:
            case ({"output_type": "stream", "name": str(a), "text": str(text)}, {"name": b}) if a == b:
                last["text"] += self._fit(text)
            case ({"output_type": "stream", "name": "stdout" | "stderr" as name, "text": str(text)}, _):
                self._keep({"output_type": "stream", "name": name, "text": self._fit(text)})
            case ({"output_type": "display_data", "data": {**data}}, _):
                self._display(output, data)
            case ({"output_type": "error", "ename": str(name), "evalue": str(text), "traceback": [*lines]}, _):
                self._errors -= 1
                plain = [line[:2_000] for line in lines[:50] if isinstance(line, str)]
                error = {"output_type": "error", "ename": name[:200], "evalue": text[:2_000], "traceback": plain}
                if self._errors >= 0:
                    self._keep(error)

    def kept(self) -> list[Json]:
        """The outputs, and notes on what was left out."""
        limits, notes = self._limits, []
        if self._chars < 0:
            notes.append(f"The rest of this output is cut: {limits.output_chars:,} characters of a cell are kept.")
        if self._figures < 0:
            notes.append(f"The other figures are left out: {limits.figures} of a cell are kept.")
        if self._is_crowded:
            most = limits.all_figure_bytes / 1e6
            notes.append(f"A figure is left out: {most:g} MB of the figures of a whole notebook are kept.")
        if self._parts > MAX_OUTPUTS:
            notes.append(f"The rest of this output is cut: {MAX_OUTPUTS:,} parts of a cell's output are kept.")
        return [*self._kept, *map(_note, notes)]

    def _display(self, output: object, data: Mapping[Any, object]) -> None:
        shown = _shown(data, self._limits)
        if "text/plain" in shown:
            shown["text/plain"] = self._fit(shown["text/plain"])
        if "image/png" in shown:
            self._figures -= 1
            size = len(shown["image/png"])
            if self._figures < 0:
                return
            if self.figure_bytes + size > self._figure_room:
                self._is_crowded = True
                return
            self.figure_bytes += size
        if shown:
            self._keep({"output_type": "display_data", "data": shown, "metadata": _alt(output)})

    def _keep(self, output: Json) -> None:
        self._parts += 1
        if self._parts <= MAX_OUTPUTS:
            self._kept.append(output)

    def _fit(self, text: str) -> str:
        fitting = text[: self._chars]
        self._chars -= len(text)
        return fitting


def _shown(data: Mapping[Any, object], limits: Limits) -> Json:
    shown: Json = {}
    text, image = data.get("text/plain"), data.get("image/png")
    if isinstance(text, str):
        shown["text/plain"] = text
    if isinstance(image, str) and len(image) <= limits.figure_bytes * 3 // 2:
        with contextlib.suppress(binascii.Error, ValueError):
            raw = base64.b64decode("".join(image.split()), validate=True)
            if raw.startswith(b"\x89PNG\r\n\x1a\n") and len(raw) <= limits.figure_bytes:
                shown["image/png"] = base64.b64encode(raw).decode("ascii")
    return shown


def _alt(output: object) -> Json:
    """The description of an image in words, which is all that is kept of an output's metadata."""
    match output:
        case {"metadata": {"image/png": {"alt": str(alt)}}}:
            return {"image/png": {"alt": alt[:2_000]}}
    return {}


def _note(sentence: str) -> Json:
    return {"output_type": "stream", "name": "stderr", "text": f"\n[{sentence}]\n"}

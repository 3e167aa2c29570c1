"""In the kernel that draws the site's figures: `explore` and `animate` give all their frames away, ahead of time.

A page has no kernel that could draw when a slider moves. So `record` puts in place of both a version that draws a grid
of the sliders' values, and hands the pictures over as one output of the type `FRAMES`.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from trainloop import plots
from trainloop.learner import motion

FRAMES = "application/vnd.trainloop.frames+json"
MOST = 60  # pictures behind one figure's sliders
SHARPER = 1.5  # pixels of a still picture for one of the page, so that it is crisp on a phone
FRAME_DPI = 90
QUALITY = 70  # of the frames, in WebP's percent


def record() -> None:
    """From now on, in this process, figures that move are recorded, and still ones are drawn sharper."""
    plots.use_style()
    plt.rcParams["figure.dpi"] *= SHARPER
    motion.explore = explore
    motion.animate = animate


def animate(draw: Callable[[Any], Figure], frames: Sequence[Any], alt: str) -> None:
    """What `motion.animate` is to a notebook: the frames in a row, by their numbers or counted."""
    shown = list(frames)
    labels = shown if all(isinstance(one, int) for one in shown) else list(range(1, len(shown) + 1))
    by_label = dict(zip(labels, shown, strict=True))
    last = {"frame": len(labels) - 1}
    _hand_over({"frame": labels}, last, lambda frame: draw(by_label[frame]), lambda frame: alt, True)


def explore(draw: Callable[..., Figure], alt: str | Callable[..., str], **sliders: motion.Slider) -> None:
    """What `motion.explore` is to a notebook: the figures at a grid of the sliders' values."""
    values = grid(sliders)
    starts = {name: values[name].index(start) for name, (_, _, _, start) in sliders.items()}
    _hand_over(values, starts, draw, alt if callable(alt) else lambda **_: alt, False)


def grid(sliders: Mapping[str, motion.Slider], most: int = MOST) -> dict[str, list[float]]:
    """For each slider its start, every so-many-th value below and above, and both ends.

    So many that the product of their numbers stays at or below `most`.
    """
    counts = {name: round((high - low) / step) + 1 for name, (low, high, step, _) in sliders.items()}
    firsts = {name: round((start - low) / step) for name, (low, _, step, start) in sliders.items()}
    strides = dict.fromkeys(sliders, 1)

    def places(name: str) -> list[int]:
        among = range(firsts[name] % strides[name], counts[name], strides[name])
        return sorted({0, *among, counts[name] - 1})

    while math.prod(len(places(name)) for name in sliders) > most:
        strides[max(sliders, key=lambda name: len(places(name)))] += 1
    return {
        name: [start if place == firsts[name] else round(low + place * step, 10) for place in places(name)]
        for name, (low, _, step, start) in sliders.items()
    }


def _hand_over(
    values: Mapping[str, Sequence[float]],
    starts: Mapping[str, int],
    draw: Callable[..., Figure],
    alt: Callable[..., str],
    plays: bool,
) -> None:
    frames, alts, size = [], [], (0, 0)
    for combination in itertools.product(*values.values()):
        named = dict(zip(values, combination, strict=True))
        picture, size = as_webp(plots.as_png(draw(**named), FRAME_DPI))
        frames.append(base64.b64encode(picture).decode("ascii"))
        alts.append(alt(**named))
    told = {
        "sliders": [{"name": n.replace("_", " "), "values": list(v), "start": starts[n]} for n, v in values.items()],
        "frames": frames,
        "alts": alts,
        "size": size,
        "plays": plays,
    }
    display({FRAMES: told, "text/plain": "A figure that moves."}, raw=True)  # type: ignore[no-untyped-call]


def as_webp(png: bytes, lossless: bool = False) -> tuple[bytes, tuple[int, int]]:
    """A picture as it lies beside the page, and its width and height."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=QUALITY, method=4, lossless=lossless)
    return file.getvalue(), image.size

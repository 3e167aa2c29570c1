"""In the kernel that draws the site's figures: `explore` and `animate` give all their frames away, ahead of time.

A page has no kernel that could draw when a slider moves. So `record` puts in place of both a version that draws a grid
of the sliders' values, and hands the pictures over as one output of the type `FRAMES`.
"""

from __future__ import annotations

import base64
import inspect
import io
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from trainloop import plots
from trainloop.learner import motion

FRAMES = "application/vnd.trainloop.frames+json"
MAX_PICTURES = 60  # pictures behind one figure's sliders
MANY = 100  # values of one slider: from here on its places are doubled and halved, not counted
FEWEST = 3  # start and both ends
SHARPER = 1.5  # pixels of a still picture for one of the page, so that it is crisp on a phone
FRAME_DPI = 90
QUALITY = 70  # of the frames, in WebP's percent


def record() -> None:
    """From now on, in this process, figures that move are recorded, and still ones are drawn sharper."""
    plots.use_style()
    plt.rcParams["figure.dpi"] *= SHARPER
    motion.explore = explore
    motion.animate = animate


def animate(draw: Callable[..., Figure], frames: Sequence[int], alt: str) -> None:
    """What `motion.animate` is to a notebook: the frames in a row, each by its number, named as `draw` calls it."""
    (name, *_) = inspect.signature(draw).parameters
    last = {name: len(frames) - 1}
    _hand_over({name: list(frames)}, last, draw, lambda **_: alt, True)


def explore(draw: Callable[..., Figure], alt: str | Callable[..., str], **sliders: motion.Slider) -> None:
    """What `motion.explore` is to a notebook: the figures at a grid of the sliders' values."""
    values = grid(sliders)
    starts = {name: values[name].index(start) for name, (_, _, _, start) in sliders.items()}
    _hand_over(values, starts, draw, alt if callable(alt) else lambda **_: alt, False)


def grid(sliders: Mapping[str, motion.Slider], most: int = MAX_PICTURES) -> dict[str, list[float]]:
    """For each slider its start, every so-many-th value below and above, and both ends.

    So many that the product of their numbers stays at or below `most`. A slider with very many values, all above 0,
    goes up and down from its start by doubling and halving: there a fixed stride would leave the small values out.
    """
    strides = dict.fromkeys(sliders, 1)

    def cost(name: str) -> tuple[bool, float]:
        count = len(_places(sliders[name], strides[name]))
        return count > FEWEST, count / (2 if _doubles(sliders[name]) else 1)

    while math.prod(len(_places(sliders[name], stride)) for name, stride in strides.items()) > most:
        strides[max(sliders, key=cost)] += 1
    return {
        name: [start if place == _first(slider) else round(low + place * step, 10) for place in _places(slider, stride)]
        for (name, slider), stride in zip(sliders.items(), strides.values(), strict=True)
        for low, _, step, start in [slider]
    }


def _places(slider: motion.Slider, stride: int) -> list[int]:
    """Which of a slider's values are drawn, each by its place among all, counted from 0."""
    low, high, step, start = slider
    last = round((high - low) / step)
    if _doubles(slider):
        powers = range(-int(math.log2(start / low)), int(math.log2(high / start)) + 1, stride)
        among = [round((start * 2.0**power - low) / step) for power in powers]
    else:
        among = list(range(_first(slider) % stride, last + 1, stride))
    return sorted({0, _first(slider), *among, last})


def _first(slider: motion.Slider) -> int:
    """The place of the start."""
    low, _, step, start = slider
    return round((start - low) / step)


def _doubles(slider: motion.Slider) -> bool:
    """Whether its values double from one that is drawn to the next."""
    low, high, step, _ = slider
    return low > 0 and (high - low) / step >= MANY


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
    figure = {
        "sliders": [
            {"name": name.replace("_", " ").strip(), "values": list(those), "start": starts[name]}
            for name, those in values.items()
        ],
        "frames": frames,
        "alts": alts,
        "size": size,
        "plays": plays,
    }
    display({FRAMES: figure, "text/plain": "A figure that moves."}, raw=True)  # type: ignore[no-untyped-call]


def as_webp(png: bytes, lossless: bool = False) -> tuple[bytes, tuple[int, int]]:
    """A picture as it lies beside the page, and its width and height."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=QUALITY, method=4, lossless=lossless)
    return file.getvalue(), image.size

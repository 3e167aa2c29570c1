"""Figures that move: `animate`, to be watched frame by frame, and `explore`, with sliders.

Both take a pure `draw`: the same arguments, the same figure. Both leave a still picture with a description, for saved
notebooks, for print, and where no JavaScript runs.
"""

from __future__ import annotations

import base64
import io
import json
import math
import uuid
from collections.abc import Callable, Sequence
from html import escape
from string import Template
from typing import TypeAlias

import ipywidgets
from IPython.core.getipython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from trainloop.plots import as_png, described

# Lowest value, highest, step between two, and the one to start with.
Slider: TypeAlias = tuple[float, float, float, float]

STILLS, ALL, COLUMNS = 6, 8, 2  # frames in the still picture, all where there are so few, and how many side by side
FRAME_DPI, STILL_DPI = 100, 75
PAUSE_MS = 350  # between two frames

# The still picture is what stands there; only a script that runs puts the player in its place.
PLAYER = Template("""\
<div id="$id">
<style>
#$id .player { display: none; max-width: ${width}px; color: inherit; font: inherit; }
#$id.on .player { display: block; }
#$id.on .still { display: none; }
#$id img { max-width: 100%; }
#$id .controls { display: flex; gap: 0.6em; align-items: center; margin: 0.4em 0; }
#$id input { flex: 1; }
#$id button { min-width: 5em; padding: 0.3em 0.8em; font: inherit; }
@media print { #$id.on .player { display: none; } #$id.on .still { display: block; } }
</style>
<img class="still" src="data:image/png;base64,$still" alt="$alt">
<div class="player">
<img class="frame" alt="$alt">
<div class="controls">
<button type="button" aria-label="Play or pause the animation">Play</button>
<input type="range" min="0" max="$last" value="0" aria-label="Frame of the animation">
<span aria-live="off"></span>
</div>
</div>
<script>
(function () {
  var root = document.getElementById("$id");
  if (!root) { return; }
  var frames = $frames, labels = $labels, timer = null;
  var frame = root.querySelector(".frame"), button = root.querySelector("button");
  var slider = root.querySelector("input"), label = root.querySelector("span");
  function draw() {
    frame.src = "data:image/png;base64," + frames[slider.value];
    label.textContent = labels[slider.value];
  }
  function pause() { clearInterval(timer); timer = null; button.textContent = "Play"; }
  function advance() {
    if (!document.body.contains(root) || Number(slider.value) === frames.length - 1) { pause(); return; }
    slider.value = Number(slider.value) + 1;
    draw();
  }
  button.addEventListener("click", function () {
    if (timer) { pause(); return; }
    if (Number(slider.value) === frames.length - 1) { slider.value = 0; draw(); }
    button.textContent = "Pause";
    timer = setInterval(advance, $pause);
  });
  slider.addEventListener("input", function () { pause(); draw(); });
  draw();
  root.classList.add("on");
})();
</script>
</div>
""")


def animate(draw: Callable[[int], Figure], frames: Sequence[int], alt: str) -> None:
    """Show figures one after another, with a button to play them and a slider to choose one.

    Args:
        draw: a frame's number -> its figure; all of one size.
        frames: the numbers, in order; some two dozen at most, since the notebook keeps every picture.
        alt: what is to be seen as the frames go by, in one to three sentences.

    Raises:
        ValueError: there is no frame, or `alt` is too short to describe anything.
    """
    if not frames:
        raise ValueError("There is nothing to show: `frames` is empty.")
    chosen = [frames[index] for index in stills(len(frames))]
    still = _grid([as_png(draw(frame), STILL_DPI) for frame in chosen])
    data, metadata = described(still, alt)
    pictures = [as_png(draw(frame), FRAME_DPI) for frame in frames]
    data["text/html"] = PLAYER.substitute(
        id=f"animation-{uuid.uuid4().hex[:12]}",
        still=data["image/png"],
        alt=escape(alt, quote=True),
        width=Image.open(io.BytesIO(pictures[0])).width,
        last=len(frames) - 1,
        frames=json.dumps([base64.b64encode(picture).decode("ascii") for picture in pictures]),
        labels=json.dumps([str(frame) for frame in frames]),
        pause=PAUSE_MS,
    )
    display(data, raw=True, metadata=metadata)  # type: ignore[no-untyped-call]


def explore(draw: Callable[..., Figure], alt: str | Callable[..., str], **sliders: Slider) -> None:
    """Show a figure, and under it a slider for each of its arguments that draws it anew in its place.

    Where no kernel answers, as in a saved notebook, the figure of the starting values stays.

    Args:
        draw: called with the sliders' values by name; quick, since it is drawn while one moves a slider.
        alt: what is to be seen, in one to three sentences: at the starting values, and what a slider changes; or a
            function, called as `draw` is, of what is to be seen at these values.
        sliders: lowest value, highest, step and start of each argument, by its name.

    Raises:
        ValueError: a slider's start lies outside of its range, or `alt` is too short to describe anything.
    """
    for name, (low, high, _, start) in sliders.items():
        if not low <= start <= high:
            raise ValueError(f"The slider `{name}` starts at {start}, outside of its range from {low} to {high}.")

    def drawn(values: dict[str, float]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        return described(as_png(draw(**values)), alt if isinstance(alt, str) else alt(**values))

    data, metadata = drawn({name: start for name, (_, _, _, start) in sliders.items()})
    place = display(data, raw=True, metadata=metadata, display_id=True)  # type: ignore[no-untyped-call]
    if getattr(get_ipython(), "kernel", None) is None:  # nobody to move a slider
        return
    widgets = {
        name: ipywidgets.FloatSlider(
            start,
            min=low,
            max=high,
            step=step,
            description=name.replace("_", " "),
            tooltip=f"{name.replace('_', ' ')}, from {low:g} to {high:g}",
            layout=ipywidgets.Layout(width="34em", max_width="100%"),
            readout_format=f".{_places(step)}f",
            continuous_update=False,
        )
        for name, (low, high, step, start) in sliders.items()
    }

    def redraw(_: object) -> None:
        fresh, about = drawn({name: widget.value for name, widget in widgets.items()})
        place.update(fresh, raw=True, metadata=about)

    for widget in widgets.values():
        widget.observe(redraw, names="value")
    display(ipywidgets.VBox(list(widgets.values())))  # type: ignore[no-untyped-call]


def _places(step: float) -> int:
    """The decimals that show a slider's steps."""
    return max(0, -math.floor(math.log10(step)))


def stills(count: int) -> list[int]:
    """Which of `count` frames a still picture shows: all, if they are few; else some, evenly, first and last too."""
    if count <= ALL:
        return list(range(count))
    return [round(place * (count - 1) / (STILLS - 1)) for place in range(STILLS)]


def _grid(pictures: Sequence[bytes]) -> bytes:
    """Pictures of one size side by side, in rows, as one PNG file."""
    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    width, height = images[0].size
    columns = min(COLUMNS, len(images))
    whole = Image.new("RGB", (columns * width, -(-len(images) // columns) * height), "#FDFDFB")
    for place, image in enumerate(images):
        whole.paste(image, (place % columns * width, place // columns * height))
    file = io.BytesIO()
    whole.save(file, format="PNG", optimize=True)
    return file.getvalue()

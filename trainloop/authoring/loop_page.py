"""The loop through the course, docs/the-loop.md: each lesson's training loop, and what changed from the one before.

The code comes from the lessons themselves. `LOOPS` says for each which of its loops is shown, and why it changed. A new
lesson gets one entry there, or one in `WITHOUT`. `trainloop build` writes the page when it builds all lessons.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trainloop.authoring.errors import LessonError
from trainloop.authoring.lesson import Lesson
from trainloop.syllabus import is_optional

PAGE = Path("docs", "the-loop.md")

ROUNDS = frozenset({"epoch", "step", "t"})  # what a training loop counts

# Of each lesson: something that its loop holds, and why it changed. Shown is the first loop of an idea cell that counts
# rounds and holds it; what students are to write themselves is not looked at.
LOOPS: Mapping[str, tuple[str, str]] = {
    "1.1": (
        "w -= lr * w.grad",
        "One weight, and all five beats: predict, loss, gradient (cleared first), step, repeat.",
    ),
    "1.2": (
        "optimizer.step()",
        "Parameters become many, so the model holds them, and an optimizer clears and moves them all at once.",
    ),
    "1.3": (
        "y_hat = model(X_batch)",
        "A step need not look at all the data: a second loop inside the first hands out one batch for each step.",
    ),
    "1.4": (
        "footprints.append(",
        "All points in each step again, and before each the place on the map is noted, so that the path can be drawn.",
    ),
    "1.5": (
        "slopes = gradient(theta)",
        "The gradient comes from a formula that may be wrong, which is why this lesson checks it; being made anew in "
        "each round, it needs no clearing.",
    ),
    "1.6": (
        "epoch_total += loss.item()",
        "The whole loop of the module: batches, PyTorch's parts, and a mean loss for each epoch in which a short last "
        "batch counts for what it holds.",
    ),
    "2.1": (
        "z = mlp(X)",
        "The model is a network and answers with logits, one batch holds all points, and the beats stay as they were.",
    ),
    "2.3": (
        "delta1 = ",
        "Nothing is left to PyTorch: the forward pass, the gradients from the end to the start, and the step are "
        "written out in plain tensors.",
    ),
    "2.4": (
        "f(hidden @ W_l + b_l)",
        "Any number of layers and any activation `f`, for several networks trained side by side; PyTorch finds the "
        "gradients again.",
    ),
    "2.5": (
        "order.split(32)",
        "Each epoch shuffles the rows of the training set, and only of that, before they are cut into batches.",
    ),
    "2.6": (
        "nn.functional.dropout(",
        "Low training loss is no longer the aim: dropout disturbs the hidden layer, and a penalty on the weights joins "
        "the loss.",
    ),
    "2.7": (
        "y_hat = model(X)",
        "The plain loop trains a line and a network with the same lines, which is what makes the comparison fair.",
    ),
    "3.1": (
        "cross_entropy(model(X_train",
        "Momentum, RMSProp and Adam change what stands behind `optimizer.step()`; in the loop itself nothing moves.",
    ),
    "3.2": (
        "y_batch = (X_batch[:, :1] >",
        "The learning rate changes on the way: after each step the scheduler sets the rate of the next.",
    ),
    "3.3": (
        "torch.relu(hidden @ W_l + b_l)",
        "What matters here has happened before the first round: how large the random weights are that the loop begins "
        "with.",
    ),
    "3.4": (
        "clamp(max=1)",
        "Fifty layers need help: the blocks inside the model normalize and skip, and a gradient that is too long is "
        "shortened before the step.",
    ),
    "3.5": (
        "torch.autocast(",
        "The same loop on a device: the data go there too, and large products are computed in half the bits; with "
        "several devices, a mean of their gradients would stand before the step.",
    ),
    "3.6": (
        "norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "A run that nobody watches can be sick for days, so the loop writes down loss, gradient norm and size of the "
        "step, and looks at validation data after each epoch.",
    ),
    "3.7": (
        "mean.lerp_(",
        "What helps on new data goes around the beats: pictures and labels are changed before the step, and the "
        "weights are averaged after it.",
    ),
    "3.8": (
        "clip_grad_norm_(model.parameters(), 1.0)",
        "The large loop in small: a rate that warms up and falls, a batch of windows of text, and a clipped gradient, "
        "around the beats of lesson 1.1.",
    ),
    "3.9": (
        "Z = features(body, X_batch) @ head[0]",
        "The beats stay, and the loop does not begin from nothing: the body comes pre-trained, and the optimizer gets "
        "only what is to learn.",
    ),
}

# The lessons that are left out, and why.
WITHOUT: Mapping[str, str] = {
    "2.2": "It takes one line of the loop apart, `loss.backward()`, and makes no step.",
}


def page(lessons: Sequence[Lesson]) -> str:
    """The page, made from the texts of all lessons, in their order. What is optional has no loop to teach.

    Raises:
        LessonError: a lesson stands in neither table, or has no such loop.
    """
    lessons = [lesson for lesson in lessons if not is_optional(lesson.slug)]
    parts, before = [HEAD], list[str]()
    for lesson in lessons:
        if number(lesson) in WITHOUT:
            continue
        holds, why = _entry(lesson)
        lines = loop(lesson, holds)
        shown = ["```diff", *changed_lines(before, lines), "```"] if before else ["```python", *lines, "```"]
        parts.append("\n".join([f"## {_title(lesson)}", "", _wrapped(f"{why} {_link(lesson)}"), "", *shown]))
        before = lines
    left_out = [lesson for lesson in lessons if number(lesson) in WITHOUT]
    if left_out:
        items = [_wrapped(f"- {_title(one)}. {WITHOUT[number(one)]} {_link(one)}", "  ") for one in left_out]
        parts.append("\n".join(["## Without a loop of their own", "", *items]))
    return "\n\n".join(parts) + "\n"


HEAD = """\
# The loop through the course

One loop runs through all lessons. Here it is, lesson by lesson, as it stands there. A green line with `+` is new
against the lesson before, a red one with `-` is gone, and the others stay. A line counts as the same if its code is the
same, whatever its comment says, however far it is indented, and however many rounds it asks for.

Five beats recur: predict, loss, gradient, step, repeat. Look for them in each. Where a shape begins with `S`, several
networks are trained side by side, each with a loss of its own; the sum of these losses gives each network its own
gradient.

This page is made from the lessons by `trainloop build`. To change it, change them."""


def number(lesson: Lesson) -> str:
    """The lesson's number, such as "2.1"."""
    return lesson.slug.split("-")[0]


def loop(lesson: Lesson, holds: str) -> list[str]:
    """The lines of the first loop of an idea cell that counts rounds and holds these words, without its indent.

    Raises:
        LessonError: there is none.
    """
    for cell in lesson.cells:
        if cell.kind == "demo" and holds in cell.source:
            lines = cell.source.splitlines()
            for node in _loops(cell.tree(lesson.path)):
                text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                if holds in text:
                    return textwrap.dedent(text).splitlines()
    table = f"LOOPS in {Path(__file__).name}"
    raise LessonError(lesson.path, 1, f'no loop over epochs or steps in an idea cell holds "{holds}"; see {table}')


def changed_lines(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """The lines of a loop with what was done to them: blank, `-` or `+` in the first column."""
    old, new = [_code(line) for line in before], [_code(line) for line in after]
    for what, first, last, begin, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            yield from (f"  {line}" for line in after[begin:end])
        else:
            yield from (f"- {line}" for line in before[first:last])
            yield from (f"+ {line}" for line in after[begin:end])


def _loops(node: ast.AST) -> Iterator[ast.For]:
    """The loops that count rounds, from the top; a loop within such a loop belongs to it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.For) and any(
            isinstance(name, ast.Name) and name.id in ROUNDS for name in ast.walk(child.target)
        ):
            yield child
        else:
            yield from _loops(child)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _code(line: str) -> str:
    """A line without its comment, indent and alignment; of the outer loop's, the number of rounds does not count."""
    code = re.sub(rf"^(for (?:{'|'.join(sorted(ROUNDS))}) in range)\(.*\):", r"\1:", line.strip())
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.COMMENT:
                return " ".join(code[: token.start[1]].split())
    except (tokenize.TokenError, SyntaxError):
        pass  # a statement that goes on in the next line
    return " ".join(code.split())


def _entry(lesson: Lesson) -> tuple[str, str]:
    if number(lesson) not in LOOPS:
        raise LessonError(
            lesson.path, 1, f"{PAGE} has nothing on this lesson: enter it in LOOPS or WITHOUT in {Path(__file__).name}"
        )
    return LOOPS[number(lesson)]


def _title(lesson: Lesson) -> str:
    """The lesson's heading, with its number."""
    found = (re.search(r"^# +(\d.+)$", cell.source, re.M) for cell in lesson.prose)
    return next((match[1] for match in found if match), lesson.slug)


def _link(lesson: Lesson) -> str:
    return f"[Open the lesson](../release/{lesson.slug}/{lesson.slug}.ipynb)."

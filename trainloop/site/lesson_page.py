"""A lesson as a page: its text, what its demonstrations showed, and what answers without a kernel.

The page is Markdown for MyST with a little HTML, which folds (`details`) and marks (`div class=...`) what course.js
brings to life. Without JavaScript every fold still opens and every sentence can be read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from nbformat import NotebookNode

from trainloop.authoring.lesson import Cell, Exercise, Lesson, Prediction
from trainloop.authoring.notebooks import worked_answer
from trainloop.learner.motion import stills
from trainloop.site.demonstrations import PICTURE, LessonOutputs
from trainloop.site.frames import FRAMES, SHARPER
from trainloop.site.mistakes import Mistake, mistakes
from trainloop.site.signs import Sign, signs_of
from trainloop.syllabus import TITLE

FEW = 4  # mistakes beside a worked answer; all of them stand on a page of their own
FIGURES = "_figures"  # the folder of the site in which pictures lie
NOTEBOOKS = "_notebooks"  # and released notebooks
TIME_BOX = re.compile(r"^> \*\*(?P<minutes>About [^*]+)\*\*\s*(?P<need>You need .*?)?\s*$", re.M)
ASKED = re.compile(r"\*\*`(\w+)`")  # how a question with a name of its own begins
_markdown = MarkdownIt("commonmark")


@dataclass
class LessonPage:
    """A page's text, and the pictures that it shows, by their names in the site."""

    lesson: Lesson
    text: str = ""
    pictures: dict[str, bytes] = field(default_factory=dict)

    @property
    def frame_bytes(self) -> int:
        """The size of all frames of figures that move."""
        return sum(len(data) for name, data in self.pictures.items() if "/frame-" in name)


def page(
    lesson: Lesson, shown: LessonOutputs, released: NotebookNode, signs: Sequence[Sign], solutions: bool
) -> LessonPage:
    """The page of a lesson.

    Args:
        lesson: as written.
        shown: what its demonstrations showed.
        released: the notebook that students get, for the stubs in it.
        signs: the table of notation.
        solutions: whether right answers may stand in it.
    """
    found = LessonPage(lesson)
    writer = _PageWriter(found, shown, released, signs, solutions)
    for place, cell in enumerate(lesson.cells):
        writer.cell(place, cell)
    writer.end()
    found.text = "\n\n".join(part.strip("\n") for part in writer.parts if part.strip()) + "\n"
    return found


def title(lesson: Lesson) -> str:
    """The lesson's own heading, such as "2.1 From Linear to Nonlinear: Why Neural Networks?"."""
    heads = (re.search(r"^# +(\d.+)$", cell.source, re.M) for cell in lesson.prose)
    return next((head[1] for head in heads if head), lesson.slug)


def title_box(lesson: Lesson) -> tuple[str, str]:
    """How long the lesson takes, and what one needs for it, as its title box says."""
    found = next((match for cell in lesson.prose if (match := TIME_BOX.search(cell.source))), None)
    return (found["minutes"], found["need"] or "") if found else ("", "")


def label(lesson: Lesson, exercise: str) -> str:
    """The anchor of an exercise, the only one of this name in the site."""
    return f"exercise-{lesson.slug.replace('.', '-')}-{exercise.replace('_', '-')}"


class _PageWriter:
    """The parts of a page, one after another."""

    def __init__(
        self, found: LessonPage, shown: LessonOutputs, released: NotebookNode, signs: Sequence[Sign], solutions: bool
    ) -> None:
        self.page, self.lesson, self.shown, self.solutions = found, found.lesson, shown, solutions
        self.signs = signs
        self.stubs = {cell.get("id", ""): str(cell.source) for cell in released.cells}
        self.parts: list[str] = []
        # How many parts there were after each list of options that waits for use, and before each question by name.
        self.option_lists: list[int] = []
        self.asked: dict[str, int] = {}

    def cell(self, place: int, cell: Cell) -> None:
        """Write what a cell becomes."""
        if cell.kind == "markdown":
            self._prose(cell.source)
        elif cell.kind == "demo":
            self.parts += [_code(cell.source), *self._outputs(place)]
        elif cell.kind == "drawing":
            self.parts += [_fold(f"The code that draws {escape(cell.exercise)}", [_code(cell.source)], "drawing")]
            self.parts += self._outputs(place)
        elif cell.kind == "predict":
            self.parts.append(_ask_prediction(self.lesson.predictions[cell.exercise]))
            self._forget()
        elif cell.kind == "written":
            self._written(cell)
        elif cell.kind == "exercise":
            self._exercise(place, self.lesson.exercises[cell.exercise])
        elif cell.kind == "check":
            self._help(self.lesson.exercises[cell.exercise])

    def end(self) -> None:
        """What stands below every lesson."""
        slug = self.lesson.slug
        self.parts.append(f'<p class="read-this"><button type="button" data-lesson="{slug}" hidden></button></p>')

    def _prose(self, source: str) -> None:
        text = re.sub(rf"^# {re.escape(TITLE)}\s*$", "", source, flags=re.M)
        if TIME_BOX.search(text):
            text = f"{text.rstrip()}\n\n{self._above()}"
        lines, last = text.splitlines(), 0
        lists = set(_option_lists(text))
        asked = {number: match[1] for number, line in enumerate(lines) if (match := ASKED.match(line))}
        for cut in sorted(lists | asked.keys()):
            self.parts.append("\n".join(lines[last:cut]))
            if cut in lists:
                self.option_lists.append(len(self.parts))
            if cut in asked:
                self.asked[asked[cut]] = len(self.parts)
            last = cut
        self.parts.append("\n".join(lines[last:]))

    def _above(self) -> str:
        """What stands below the title box: the notebook to take away, and the signs of the formulas."""
        slug = self.lesson.slug
        unfolds = "hints and worked answers" if self.solutions else "hints"
        take = (
            f'<p class="take"><a download href="../{NOTEBOOKS}/{slug}.ipynb">Download this lesson as a notebook</a> '
            f"<span>On this page figures move, questions answer, and {unfolds} fold out. Code does not run here: where "
            "the text speaks of running a cell, it means the notebook. "
            f"<code>make lab ARGS={slug.split('-')[0]}</code> opens it in the course, with its checks.</span></p>"
        )
        used = signs_of("\n\n".join(cell.source for cell in self.lesson.prose), self.signs, slug)
        if not used:
            return take
        table = ["| sign | what it is |", "|---|---|", *(f"| {one.sign} | {one.meaning} |" for one in used)]
        return f"{take}\n\n{_fold('The signs in the formulas of this lesson', [chr(10).join(table)], 'signs')}"

    def _outputs(self, place: int) -> Iterator[str]:
        printed = ""
        for output in self.shown.outputs.get(place, []):
            data: Mapping[str, Any] = output.get("data", {})
            if output["output_type"] == "stream":
                printed += output["text"] if output["name"] == "stdout" else ""
            elif FRAMES in data:
                yield self._moving(data[FRAMES])
            elif PICTURE in data:
                yield self._picture(data[PICTURE], output["metadata"][PICTURE])
            elif "text/plain" in data:
                printed += data["text/plain"] + "\n"
        if printed.strip():
            yield f'<div class="output">\n\n{_code(printed.rstrip(), "text")}\n\n</div>'

    def _picture(self, data: str, about: Mapping[str, Any]) -> str:
        source = self._keep("figure", base64.b64decode(data))
        width, height = (round(side / SHARPER) for side in about["size"])
        return f'<figure class="shown">{_image(source, about["alt"], width, height)}</figure>'

    def _moving(self, figure: Mapping[str, Any]) -> str:
        sources = [self._keep("frame", base64.b64decode(frame)) for frame in figure["frames"]]
        width, height = figure["size"]
        place = 0
        for slider in figure["sliders"]:
            place = place * len(slider["values"]) + slider["start"]
        count = len(sources)
        shown = stills(count) if figure["plays"] else [place]  # where no JavaScript runs
        images = [_image(sources[k], figure["alts"][k] if k == shown[-1] else "", width, height) for k in shown]
        about = {**{name: figure[name] for name in ("sliders", "plays")}, "frames": sources, "alts": figure["alts"]}
        if len(set(figure["alts"])) == 1:
            about["alts"] = figure["alts"][:1]
        data = json.dumps({**about, "size": [width, height]}, ensure_ascii=False).replace("</", "<\\/")
        return (
            f'<figure class="moving"><div class="stills stills-{min(2, len(images))}">{"".join(images)}</div>'
            f'<script type="application/json">{data}</script></figure>'
        )

    def _keep(self, kind: str, data: bytes) -> str:
        name = f"{FIGURES}/{self.lesson.slug}/{kind}-{hashlib.sha256(data).hexdigest()[:12]}.webp"
        self.page.pictures[name] = data
        return f"../{name}"

    def _written(self, cell: Cell) -> None:
        self.parts.append("Write your answer down first, in your own words.")
        if self.solutions:
            self.parts.append(_fold("An answer to compare yours with", [cell.source], "worked"))

    def _exercise(self, place: int, exercise: Exercise) -> None:
        self.parts.append(f"({label(self.lesson, exercise.name)})=")
        if exercise.options and self.solutions:
            self._quiz(exercise)
        else:
            self.parts.append(_code(self.stubs[exercise.name]))
            self.parts += self._outputs(place)
        self._forget()

    def _forget(self) -> None:
        """What was asked so far has its place now."""
        self.option_lists.clear()
        self.asked.clear()

    def _quiz(self, exercise: Exercise) -> None:
        """Each question's answers below its options; below the question where all share a list; or all here."""
        asks = {
            question: ask(letters(each, exercise.letters[question]), exercise.letters[question], _named(question))
            for question, each in exercise.options.items()
        }
        ends = self.option_lists
        if len(ends) != len(asks):
            starts = [self.asked[question] for question in asks if question in self.asked]
            shared = len(starts) == len(asks) and ends[:1] and ends[0] <= starts[0]
            ends = [*starts[1:], len(self.parts) - 1] if shared else []
        if ends:
            for end, one in zip(reversed(ends), reversed(asks.values()), strict=True):
                self.parts.insert(end, one)
        else:
            for question, one in asks.items():
                self.parts += [f"**`{question}`**", one]

    def _help(self, exercise: Exercise) -> None:
        """Below an exercise: hints, what the checks look at, and the worked answer, each in its fold."""
        if exercise.options:
            return
        if exercise.hints:
            layers = [_fold(_inline(told), [text], "hint") for told, text in exercise.hints.items()]
            self.parts.append(_fold("I am stuck: hints, from the softest on", layers, "hints"))
        titles = dict.fromkeys(check.title for check in exercise.checks if not check.hidden)
        looked_at = "\n".join(f"- {told}" for told in titles)
        self.parts.append(_fold("What the checks look at", [looked_at], "checks"))
        if self.solutions:
            self.parts.append(_fold("A worked answer", list(self._worked(exercise)), "worked"))

    def _worked(self, exercise: Exercise) -> Iterator[str]:
        worked = worked_answer(exercise)
        yield _code(worked.code)
        for told, code in worked.others:
            yield f"**Another right answer.** {told}"
            yield _code(code)
        found = mistakes(exercise)
        if not found:
            return
        yield "**What learners get wrong here.**"
        for one in found[:FEW]:
            yield from told_mistake(one)
        if len(found) > FEW:
            place = f"#mistakes-{label(self.lesson, exercise.name)}"
            yield f"[All {len(found)} mistakes that the checks know by name]({place}), each with what it looks like."


def told_mistake(one: Mistake) -> Iterator[str]:
    """The sentence that a learner reads, and below it what they wrote."""
    yield one.sentence
    yield _code(one.code, one.language)


def _option_lists(text: str) -> Iterator[int]:
    """The line behind each list of options, `- **A**: ...` or `- A. ...`."""
    tokens = _markdown.parse(text)
    for place, token in enumerate(tokens):
        if token.type == "bullet_list_open" and token.level == 0 and token.map is not None:
            first = next(one for one in tokens[place:] if one.type == "inline")
            if re.match(r"\*\*A\*\*|A\. ", first.content):
                yield token.map[1]


def letters(sentences: Mapping[str, str], right: str) -> dict[str, str]:
    """What `predict` and a check would say to each letter."""
    return {one: f"**{'Right' if one == right else 'Not quite'}, {one}:** {told}" for one, told in sentences.items()}


def _named(question: str) -> str:
    """What a question is called on the page: `q1` is question 1."""
    number = re.fullmatch(r"q(\d+)", question)
    return f"Your answer to question {number[1]}" if number else f"Your answer to {question.replace('_', ' ')}"


def _ask_prediction(prediction: Prediction) -> str:
    if isinstance(prediction.right, str):
        return ask(letters(prediction.sentences, prediction.right), prediction.right, "Your prediction")
    said = {"low": "**Too low.**", "right": f"**Right:** it is {prediction.right:g}.", "high": "**Too high.**"}
    told = {which: f"{said[which]} {prediction.sentences[which]}" for which in said}
    numbers = f'data-number="{prediction.right!r}" data-within="{prediction.within!r}"'
    return ask(told, "right", "Your prediction, a number", numbers)


def ask(sentences: Mapping[str, str], right: str, name: str, numbers: str = "") -> str:
    """A question that answers at once: every sentence stands in it, and course.js shows the chosen one alone."""
    answers = "\n\n".join(
        f'<div class="answer{" right" if which == right else ""}" data-answer="{which}">\n\n{told}\n\n</div>'
        for which, told in sentences.items()
    )
    return (
        f'<div class="ask" data-name="{escape(name)}" {numbers}>\n<details><summary>Decide first, then open: what '
        f"each answer means</summary>\n\n{answers}\n\n</details>\n</div>"
    )


def _fold(summary: str, parts: Sequence[str], kind: str) -> str:
    return f'<details class="fold {kind}"><summary>{summary}</summary>\n\n' + "\n\n".join(parts) + "\n\n</details>"


def _code(source: str, language: str = "python") -> str:
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", source)), 3)
    return f"{fence}{language}\n{source.strip(chr(10))}\n{fence}"


def _inline(text: str) -> str:
    """A line of Markdown as HTML, for places where HTML stands."""
    return str(_markdown.renderInline(text))


def _image(source: str, alt: str, width: int, height: int) -> str:
    size = f'width="{width}" height="{height}" loading="lazy" decoding="async"'
    return f'<img src="{source}" alt="{escape(alt, quote=True)}" {size}>'

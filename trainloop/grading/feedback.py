"""Feedback: the page that a student gets, and what makes students' work inert wherever nbgrader shows a notebook.

`nbgrader generate_feedback` writes the page with `FeedbackExporter`, `Summarise` and the template beside them;
`nbgrader_config.py` names them. It answers three questions in this order: what did I get, why, and where in my code.
The lesson's own text is left out: the student has it, the page stays short, and no formula needs a script. The page
holds no script, loads nothing, and forbids both to the browser, so it reads the same without a network and on paper.

The formgrader keeps nbgrader's page. `SanitizeStudents` and `safe_markdown` make what it shows inert: text and pictures
stay, all that a browser could act on goes. They trust nothing in an autograded notebook, although intake and the box
have already kept back the rest of a submission.
"""

from __future__ import annotations

import base64
import binascii
import glob
import html
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bleach
from jinja2 import Environment
from markdown_it import MarkdownIt
from markupsafe import Markup
from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import NbGraderPreprocessor
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer, TextLexer
from traitlets.config import Config

from trainloop.checks.text import MUCH_BLANK, plain
from trainloop.checks.values import Json
from trainloop.checks.verdict import IN_WORDS
from trainloop.checks.words import points_text
from trainloop.grading.people import called
from trainloop.grading.record import VERDICT
from trainloop.grading.unfinished import IS_FINAL, begin, mark_unfinished

TEMPLATES = Path(__file__).parents[1] / "templates"
MAX_CELLS = 60  # cells on a page that are not exercises
MAX_SENTENCE = 4_000  # characters
MAX_LINES = 12  # of what was computed, under one check

# ------------------------------------------------------------------------------------------------------------ inert

_SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


def plain_outputs(outputs: Iterable[Mapping[str, Any]]) -> list[NotebookNode]:
    """Outputs with nothing in them but plain text and PNG or JPEG pictures."""
    return [NotebookNode(kept) for output in outputs if (kept := _plain_output(output))]


def _plain_output(output: Mapping[str, Any]) -> Json:
    match output.get("output_type"):
        case "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            return {"output_type": "stream", "name": name, "text": plain(output.get("text"))}
        case "error":
            lines = output.get("traceback")
            text = plain("\n".join(map(str, lines)) if isinstance(lines, list) else "")
            name, value = (plain(output.get(key), MAX_SENTENCE) for key in ("ename", "evalue"))
            return {"output_type": "error", "ename": name, "evalue": value, "traceback": [text or f"{name}: {value}"]}
        case "display_data" | "execute_result":
            return _plain_display(output)
    return {}


def _plain_display(output: Mapping[str, Any]) -> Json:
    data, metadata = output.get("data"), output.get("metadata")
    if not isinstance(data, Mapping):
        return {}
    for kind in _SIGNATURES:
        if picture := _picture(kind, data.get(kind)):
            about = metadata.get(kind) if isinstance(metadata, Mapping) else None
            alt = plain(about.get("alt"), MAX_SENTENCE) if isinstance(about, Mapping) else ""
            alt = alt or "A figure that this cell drew; it comes without a description."
            return {
                "output_type": "display_data",
                "data": {kind: picture, "text/plain": alt},
                "metadata": {kind: {"alt": alt}},
            }
    text = plain(data.get("text/plain"))
    return {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}} if text else {}


def _picture(kind: str, data: object) -> str:
    """The picture in base64 again, from its bytes; an empty text if it is none of its kind."""
    try:
        found = base64.b64decode("".join(str(data).split()), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return base64.b64encode(found).decode("ascii") if found.startswith(_SIGNATURES[kind]) else ""


class SanitizeStudents(Preprocessor):
    """Makes an autograded notebook inert, for every page that nbgrader makes of it."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """Called by nbconvert before it makes a page."""
        nb.metadata = _only(nb.metadata, "kernelspec", "language_info", VERDICT)
        kept = 0
        for cell in nb.cells:
            cell.metadata = _only(cell.metadata, "nbgrader")
            cell.pop("attachments", None)
            cell.source = plain(cell.source)
            if cell.cell_type == "raw":
                cell.source = html.escape(cell.source)
            if cell.cell_type == "code":
                cell.outputs = plain_outputs(cell.outputs)
            kept += _is_added(cell)
        if kept > MAX_CELLS:
            nb.cells = _without_excess(nb.cells)
        for name in ("student", "first_name", "last_name", "notebook_path"):  # the formgrader's page prints them raw
            if isinstance(resources.get(name), str):
                resources[name] = html.escape(resources[name])
        if "submission_id" in resources:  # the formgrader's page; the student's says this in its own way
            nb.cells.insert(0, _told(nb))
        return nb, resources


def _told(nb: NotebookNode) -> NotebookNode:
    """A cell that tells a grader, before all others, how it went and what was odd about the file, with ways there."""
    verdict = nb.metadata.get(VERDICT, {}).get("verdict", {})
    exercises, answers = verdict.get("exercises", {}), verdict.get("answers", {})
    lines = [f"- {_literal(note)}" for note in verdict.get("notes", ())]
    for cell in nb.cells:
        name = cell.get("id", "")
        if one := exercises.get(name):
            got = f"{points_text(one['points'])} of {points_text(one['possible'])} points"
            lines.append(f"- [{_literal(one['title'])}](#check-{name}): {_literal(one['comment'])}, {got}")
        elif one := answers.get(name):
            lines.append(f"- [{_literal(_heading(nb, cell) or name)}](#{name}): {_literal(one['comment'])}")
    words = _literal(verdict.get("words", "this notebook has no verdict"))
    told: NotebookNode = new_markdown_cell("\n".join([f"**Status: {words}**", "", *lines]))
    return told


def _literal(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(plain(text, MAX_SENTENCE).split()))


def _only(metadata: Mapping[str, Any], *names: str) -> NotebookNode:
    return NotebookNode({name: metadata[name] for name in names if name in metadata})


def _is_added(cell: NotebookNode) -> bool:
    """Whether this is a cell of the student's own, as `intake` names them."""
    return str(cell.get("id", "")).startswith("added-")


def _without_excess(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    added = [cell for cell in cells if _is_added(cell)]
    excess = {id(cell) for cell in added[MAX_CELLS:]}
    added[MAX_CELLS - 1].outputs = [
        NotebookNode(
            output_type="stream", name="stdout", text=f"[{len(excess)} more added cells are not shown on this page]\n"
        )
    ]
    return [cell for cell in cells if id(cell) not in excess]


# What Markdown makes, and nothing that a browser acts on.
_TAGS = {
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "div",
    "em",
    "hr",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "span",
    "strong",
    "ul",
}
_TAGS |= {"hr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr"}
_RELATIVE = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")


def _allowed(tag: str, name: str, value: str) -> bool:
    match tag, name:
        case "a", "href":
            return value.startswith(("https://", "http://", "mailto:")) or re.fullmatch(r"#[\w-]+", value) is not None
        case "img", "src":  # beside the notebook, and nowhere else: looking at a page is nobody's business
            return _RELATIVE.fullmatch(value) is not None
        case "img", "alt":
            return True
        case "div" | "span", "class":  # of highlighted code; others could lay one thing over another
            return value == "highlight" or re.fullmatch(r"[a-z][a-z0-9]{0,2}", value) is not None
    return False


_cleaner = bleach.Cleaner(tags=_TAGS, attributes=_allowed, protocols={"https", "http", "mailto"}, strip_comments=True)


def safe_markdown(source: str) -> str:
    """The HTML of Markdown as nbconvert makes it, formulas left for MathJax, cleaned of all else. A filter of Jinja."""
    renderer = IPythonRenderer(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)
    renderer.attachments = _NoAttachments()
    return _cleaner.clean(MarkdownWithMath(renderer=renderer).render(plain(source)))  # type: ignore[no-any-return]


class _NoAttachments(dict[str, dict[str, str]]):
    """Has every attachment, an empty one: nbconvert stops at one that is missing."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> dict[str, str]:
        return {"text/plain": ""}


# ------------------------------------------------------------------------------------------------------------- the page


@dataclass(frozen=True)
class CellView:
    """A cell of the student's as it is shown."""

    code: Markup
    outputs: tuple[Json, ...]


@dataclass(frozen=True)
class CheckView:
    """One check, in words."""

    title: str
    hidden: bool
    rule: bool  # of the exercise: kept, it earns nothing; broken, the exercise earns at most half
    look: str
    words: str
    points: str
    possible: str
    sentence: Markup
    is_repeated: bool  # a check above has the same sentence
    detail: tuple[str, ...]


@dataclass(frozen=True)
class ExerciseView:
    """One exercise. What does not apply is empty."""

    name: str
    title: str
    look: str
    words: str
    points: str
    possible: str
    by_checks: str  # what its checks gave, where a grader gave something else
    comment: Markup
    reason: Markup  # the one sentence of all its checks, where that is all there is to say
    checks: tuple[CheckView, ...]
    code: CellView | None
    is_open: bool


@dataclass(frozen=True)
class AnswerView:
    """One answer in words, which a person marks."""

    name: str
    title: str
    look: str
    words: str
    points: str
    possible: str
    text: Markup
    comment: Markup


@dataclass(frozen=True)
class FeedbackPage:
    """All that the template shows."""

    title: str
    student: str
    look: str
    words: str
    points: str
    possible: str
    late: str  # points taken off, empty where there are none
    is_final: bool
    notes: tuple[str, ...]
    exercises: tuple[ExerciseView, ...]
    answers: tuple[AnswerView, ...]
    others: tuple[CellView, ...]


def _add_odd_names(converter: GenerateFeedback) -> None:
    """Let nbgrader make a page also for students with a bracket in their name, which it takes for a pattern."""
    slug = converter.coursedir.assignment_id
    for folder in glob.glob(converter._format_source(slug, converter.coursedir.student_id)):
        notebook = os.path.join(folder, f"{slug}.ipynb")
        if os.path.isfile(notebook):
            converter.assignments.setdefault(folder, [notebook])


class FeedbackExporter(HTMLExporter):
    """nbconvert's exporter with this course's page, in which everything is escaped unless it says otherwise."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        if isinstance(self.parent, GenerateFeedback):
            _add_odd_names(self.parent)
            mark_unfinished(self.parent, ".html")

    def from_filename(self, filename: str, resources: dict[str, Any] | None = None, **kw: Any) -> Any:
        """An autograded notebook as a page. Returns (text, resources)."""
        if resources is not None and isinstance(self.parent, GenerateFeedback):
            names = resources["nbgrader"]
            begin(Path(self.parent._format_dest(names["assignment"], names["student"])))
        return super().from_filename(filename, resources=resources, **kw)

    @property
    def default_config(self) -> Config:
        """Named for this class, because nbgrader sets the template of every `HTMLExporter` to its own."""
        config = Config(super().default_config)
        config.FeedbackExporter.template_name = "feedback_page"
        config.FeedbackExporter.extra_template_basedirs = [str(TEMPLATES)]
        return config

    def _create_environment(self) -> Environment:
        environment: Environment = super()._create_environment()  # type: ignore[no-untyped-call]
        environment.autoescape = True
        environment.trim_blocks = environment.lstrip_blocks = True
        return environment


class Summarise(NbGraderPreprocessor):  # type: ignore[misc]  # nbgrader is untyped
    """Puts the page into the resources. It runs after nbgrader's `GetGrades`, which brings marks and comments."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """Called by nbconvert before it makes a page."""
        names = resources["nbgrader"]
        waiting, who = _recorded(names) if "db_url" in names else (frozenset(), names["student"])
        resources["page"] = page(nb, {**names, "student": who}, waiting)
        resources[IS_FINAL] = resources["page"].is_final
        return nb, resources


def _recorded(names: Mapping[str, Any]) -> tuple[frozenset[str], str]:
    """By the gradebook: the cells that have no mark yet, and wait for a person's; and what the student is called."""
    with Gradebook(names["db_url"]) as gradebook:
        notebook = gradebook.find_submission_notebook(names["notebook"], names["assignment"], names["student"])
        waiting = frozenset(grade.name for grade in notebook.grades if grade.auto_score is grade.manual_score is None)
        return waiting, called(gradebook.find_student(names["student"]))


def page(nb: NotebookNode, marks: Mapping[str, Any], waiting: AbstractSet[str] = frozenset()) -> FeedbackPage:
    """What the feedback page shows.

    Args:
        nb: an autograded notebook with its verdict, and with nbgrader's scores and comments in the cells' metadata.
        marks: the `student`, and nbgrader's `assignment`, `score`, `max_score` and `late_penalty`, in points.
        waiting: the cells that wait for a person's mark.
    """
    verdict = nb.metadata.get(VERDICT, {}).get("verdict", {})
    cells = {cell.get("id", ""): cell for cell in nb.cells}
    judged = verdict.get("exercises", {})
    exercises = tuple(_exercise(name, judged[name], cells) for name in cells if name in judged)
    mine = [cells[name] for name in verdict.get("written", ()) if name in cells]
    return FeedbackPage(
        title=lesson_title(nb, marks["assignment"]),
        student=plain(marks["student"], 400),
        look=look(verdict.get("status")),
        words=verdict.get("words", "this notebook has no verdict"),
        points=points_text(marks["score"]),
        possible=points_text(marks["max_score"]),
        late=points_text(marks["late_penalty"]) if marks.get("late_penalty") else "",
        is_final=bool(exercises) and verdict.get("status") != "grader error" and verdict.get("is_final", True),
        notes=tuple(plain(note, MAX_SENTENCE) for note in verdict.get("notes", ())),
        exercises=exercises,
        answers=tuple(_answer(name, nb, cells[name], waiting) for name in verdict.get("answers", {}) if name in cells),
        others=tuple(_shown(cell) for cell in mine if cell.source.strip()),
    )


def _exercise(name: str, one: Mapping[str, Any], cells: Mapping[str, NotebookNode]) -> ExerciseView:
    cell, check = cells.get(name), cells.get(f"check-{name}")
    score = _nbgrader(check).get("score", one["points"])
    changed = abs(score - one["points"]) > 1e-6
    comment = _nbgrader(cell).get("comment") or ""
    return ExerciseView(
        name=name,
        title=one["title"],
        look=look(one["status"]),
        words=IN_WORDS[one["status"]],
        points=points_text(score),
        possible=points_text(_nbgrader(check).get("points", one["possible"])),
        by_checks=points_text(one["points"]) if changed else "",
        comment=_comment(comment) if comment != one["comment"] else Markup(),
        reason=_reason(one["checks"]),
        checks=tuple(_check(each, one["checks"][:i]) for i, each in enumerate(one["checks"])),
        code=_shown(cell, _marked(one["checks"], cell.source)) if cell else None,
        is_open=one["status"] not in ("ok", "missing"),
    )


def _answer(name: str, nb: NotebookNode, cell: NotebookNode, waiting: AbstractSet[str]) -> AnswerView:
    one = nb.metadata[VERDICT]["verdict"]["answers"][name]
    settings = _nbgrader(cell)
    comment = settings.get("comment") or ""
    given = one["status"] == "ok"
    marked = "not marked yet" if name in waiting else "marked by your grader"
    return AnswerView(
        name=name,
        title=_heading(nb, cell) or name,
        look="open" if name in waiting or not given else "marked",
        words=marked if given else IN_WORDS["missing"],
        points=points_text(settings.get("score") or 0.0),
        possible=points_text(settings.get("points") or 0.0),
        text=_comment(cell.source) if given else Markup(),
        comment=_comment(comment) if comment != one["comment"] else Markup(),
    )


def _heading(nb: NotebookNode, cell: NotebookNode) -> str:
    """The heading that a cell stands under."""
    above = itertools.takewhile(lambda each: each is not cell, nb.cells)
    text = "\n".join(each.source for each in above if each.cell_type == "markdown" and _is_released(each))
    found: list[str] = re.findall(r"^#{1,4} +(.+)$", text, re.M)
    return plain(found[-1], 200) if found else ""


def _is_released(cell: NotebookNode) -> bool:
    """Whether no student wrote it."""
    return not _is_added(cell) and not _nbgrader(cell).get("solution")


def _reason(checks: Sequence[Mapping[str, Any]]) -> Markup:
    sentences = {check["sentence"] for check in checks}
    alike = len(sentences) == 1 and not any(check["detail"] for check in checks)
    return sentence_markup(sentences.pop()) if alike else Markup()


def _check(one: Mapping[str, Any], above: Sequence[Mapping[str, Any]]) -> CheckView:
    return CheckView(
        title=plain(one["title"], MAX_SENTENCE),
        hidden=one["hidden"],
        rule=one.get("rule", False),
        look=look(one["status"]),
        words=IN_WORDS[one["status"]],
        points=points_text(one["points"]),
        possible=points_text(one["possible"]),
        sentence=sentence_markup(one["sentence"]),
        is_repeated=bool(one["sentence"]) and one["sentence"] in (other["sentence"] for other in above),
        detail=tuple(plain(line, MAX_SENTENCE) for line in one["detail"][:MAX_LINES]),
    )


def _nbgrader(cell: NotebookNode | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = cell.metadata.get("nbgrader", {}) if cell else {}
    return found


def look(status: object) -> str:
    """A status as the style sheet knows it; the words stand beside it always."""
    return {"ok": "right", "wrong": "wrong", "missing": "open"}.get(str(status), "trouble")


def lesson_title(nb: NotebookNode, slug: str) -> str:
    """The lesson's own heading, which begins with its number."""
    heading = f"# {slug.partition('-')[0]} "
    lines = (line for cell in nb.cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next((line.removeprefix("# ") for line in lines if line.startswith(heading)), slug)


def sentence_markup(text: str) -> Markup:
    """A sentence of the verdict's: `code` as code, everything escaped."""
    parts = re.split(r"`([^`]+)`", plain(text, MAX_SENTENCE))
    return Markup().join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


# A person wrote it, in the formgrader; it may quote a student.
_comments = MarkdownIt("commonmark", {"html": False, "breaks": True}).disable(["image", "heading", "lheading"])


def _comment(text: str) -> Markup:
    return Markup(_comments.render(plain(text)))  # `html` is off: the renderer escapes


_PLACE = re.compile(r"\bline (\d+)(?: of the cell)?: `([^`\n]+)`")


def _marked(checks: Sequence[Mapping[str, Any]], source: str) -> list[int]:
    """The lines of an exercise's cell at which its checks say that it stopped; those of other cells are not meant."""
    lines = source.splitlines()
    places = {(int(n), code) for check in checks for n, code in _PLACE.findall(check["sentence"][:MAX_SENTENCE])}
    return sorted(n for n, code in places if 0 < n <= len(lines) and lines[n - 1].strip() == code.strip())


def _shown(cell: NotebookNode, marked: Sequence[int] = ()) -> CellView:
    formatter = HtmlFormatter(linenos="inline", hl_lines=list(marked), cssclass="code", wrapcode=True)
    source = plain(cell.source)
    lexer = TextLexer if MUCH_BLANK.search(source) else PythonLexer
    code = highlight(source, lexer(stripnl=False), formatter)
    return CellView(Markup(code), tuple(map(_output, plain_outputs(cell.get("outputs", ())))))


def _output(output: NotebookNode) -> Json:
    if output.output_type == "stream":
        return {"text": output.text}
    if output.output_type == "error":
        return {"text": "\n".join(output.traceback), "error": True}
    for kind in _SIGNATURES:
        if kind in output.data:
            return {"picture": f"data:{kind};base64,{output.data[kind]}", "text": output.metadata[kind]["alt"]}
    return {"text": output.data["text/plain"]}

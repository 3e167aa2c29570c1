"""Readers' answers: what people wrote who had the release alone, kept word for word, and what they read.

    tests/readers/<slug>/<exercise>.md

    # step: what readers wrote

    ## The first point alone

    Wrong. What it reads is true:

    > Every number is twice the right one.

    ```python
    def step(w, x, y, lr):
        ...
    ```

A right answer says `Right.` and has no sentence. Of a wrong one, what it reads is `true` (it names the mistake, or says
something beyond a difference), a `difference` and no more, or `false`. The sentence is the one of the first check in
plain sight that fails; where all of these pass, of the first hidden one. The build runs them all: right ones must get
full marks, wrong ones lose some, and a sentence that changes is looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from trainloop.authoring.errors import LessonError
from trainloop.checks.verdict import ExerciseResult

Truth: TypeAlias = Literal["right", "true", "difference", "false"]
SAID: dict[str, Truth] = {
    "Right.": "right",
    "Wrong. What it reads is true:": "true",
    "Wrong. What it reads is a difference:": "difference",
    "Wrong. What it reads is false:": "false",
}
NUMBER = re.compile(r"[-+]?\d[\d.]*(?:e[-+]?\d+)?")  # differs from one processor to another


@dataclass(frozen=True)
class ReaderAnswer:
    """One answer."""

    title: str
    truth: Truth
    sentence: str
    code: str
    path: Path
    line: int


def read_readers(lesson: Path, exercise: str) -> tuple[ReaderAnswer, ...]:
    """The readers' answers to an exercise of the lesson whose text is `lesson`; none where nobody has written any.

    Raises:
        LessonError: a section of the file has another form.
    """
    path = lesson.parents[2] / "tests" / "readers" / lesson.parent.name / f"{exercise}.md"
    return tuple(_answers(path, path.read_text(encoding="utf-8"))) if path.is_file() else ()


def _answers(path: Path, text: str) -> Iterator[ReaderAnswer]:
    form = "a section is a heading, `Right.` or `Wrong. What it reads is ...:` with a quotation, and a fence of Python"
    for found in re.finditer(r"^## (?P<title>.+)\n(?P<body>(?:(?!## ).*\n)*)", text + "\n", re.M):
        line = text.count("\n", 0, found.start()) + 1
        body = re.fullmatch(
            r"\s*(?P<said>.+)\n\s*(?P<quote>(?:> .*\n)*)\s*```python\n(?P<code>[\s\S]*?)\n```\s*", found["body"]
        )
        truth = SAID.get(body["said"].strip()) if body else None
        if body is None or truth is None or (truth == "right") == bool(body["quote"]):
            raise LessonError(path, line, form)
        sentence = " ".join(part.removeprefix("> ") for part in body["quote"].splitlines())
        yield ReaderAnswer(found["title"].strip(), truth, sentence, body["code"], path, line)


def refuse(answer: ReaderAnswer, result: ExerciseResult) -> None:
    """Refuse an answer that comes to something else than what is written of it.

    Raises:
        LessonError: it does.
    """
    failed = sorted((check for check in result.checks if check.status != "ok"), key=lambda check: check.hidden)
    if answer.truth == "right":
        if failed:
            message = f"this right answer loses points: {failed[0].title}: {failed[0].sentence}"
            raise LessonError(answer.path, answer.line, message)
    elif not failed:
        raise LessonError(answer.path, answer.line, "this wrong answer gets full marks; add a check")
    elif _bare(failed[0].sentence) != _bare(answer.sentence):
        message = f"this answer now reads: {failed[0].sentence} See whether that is true of it, and write it down."
        raise LessonError(answer.path, answer.line, message)


def _bare(sentence: str) -> str:
    return NUMBER.sub("_", " ".join(sentence.split()))

"""The second file of a lesson, `answers.md`: what else there is to know of its exercises.

    ## train                            which exercise; what follows, up to the next such heading, is about it

    ```python base                      a plain right answer as a beginner would write it, if the reference is not that

    The gradients add up.               the sentence that learners read, in the paragraph directly above its edit
    - `optimizer.zero_grad()` → nothing what they wrote, as an edit of the base or, without one, of the reference
    - where: `x > 0` → `x < 0`          as an edit of another answer: an alternative's name, or "reference"
    ```diff mistake                     where one line will not do
    ```diff mistake of="where"          the same of another answer
    ```python mistake                   as a whole answer, where an edit will not do

    By choosing with `torch.where`.
    ```python alternative="where"       another right answer; the name is for edits of it, and may be left out

    ```python judge                     rules other than "equal to the reference", and arrays to hand to hidden checks

Edits and fences with nothing between them, not even an empty line, share the sentence above the first: one mistake in
several forms. It is plain Markdown, no notebook: on a forge it reads as a list of what learners do wrong.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from markdown_it import MarkdownIt
from markdown_it.token import Token

from trainloop.authoring import edits
from trainloop.authoring.errors import LessonError

NAME = "answers.md"
REFERENCE = "reference"

AnswerKind: TypeAlias = Literal["base", "mistake", "alternative", "judge"]

KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
FORMS = 'python base, diff mistake, diff mistake of="...", python mistake, python alternative="...", python judge'
INFO = re.compile(r'(?P<language>python|diff) (?P<kind>\w+)(?:="(?P<name>[^"]*)")?(?: of="(?P<of>[^"]*)")?')
LINE = re.compile(r"- (?:(?P<of>[^`:]+): )?(?P<edit>.+)")  # an edit in one line, as an item of a list
_markdown = MarkdownIt("commonmark")


@dataclass(frozen=True)
class Answer:
    """Code that might stand in an exercise's cell, and the sentence that says what it is.

    `line` is that of the first line between its fences, in `path`.
    """

    kind: AnswerKind
    sentence: str
    code: str
    path: Path
    line: int
    is_edit: bool = False  # then `code` is what the edit makes, and its lines are not those of the file

    def tree(self) -> ast.Module:
        """The syntax tree. Raises `LessonError` where the code is not Python."""
        try:
            return ast.parse(self.code)
        except SyntaxError as error:
            row = error.lineno or 1
            if self.is_edit:
                line = self.code.splitlines()[row - 1] if row <= len(self.code.splitlines()) else ""
                raise LessonError(self.path, self.line, f"the edit makes no Python: {error.msg}, {line!r}") from None
            raise LessonError(self.path, self.line + row - 1, f"not Python: {error.msg}") from None


@dataclass(frozen=True)
class Answers:
    """What `answers.md` says of one exercise, each kind in the order of the text."""

    base: Answer | None = None
    mistakes: tuple[Answer, ...] = ()
    alternatives: tuple[Answer, ...] = ()
    judges: tuple[Answer, ...] = ()


@dataclass(frozen=True)
class _Fence:
    """A fence as written, with the sentence above it. Its edit is not made yet."""

    kind: AnswerKind
    source: str
    line: int
    name: str
    of: str
    is_edit: bool
    is_line: bool = False
    sentence: str = ""


def read_answers(path: Path, references: Mapping[str, str]) -> dict[str, Answers]:
    """What the file says, by exercise; nothing, if there is no file.

    Args:
        path: of `answers.md`.
        references: the lesson's exercises by name, each with its reference solution, which edits change.

    Raises:
        LessonError: the text has another form, an edit cannot be made, or what comes of it is not Python.
    """
    if not path.is_file():
        return {}
    found: dict[str, list[_Fence]] = {}
    for name, line, fences in _sections(path):
        if name not in references:
            there = ", ".join(references) or "none"
            raise LessonError(path, line, f'there is no exercise "{name}"; there are: {there}')
        if name in found:
            raise LessonError(path, line, f'a second heading is "{name}"; put its answers under the first')
        found[name] = fences
    return {name: _answers(path, fences, references[name]) for name, fences in found.items()}


def _sections(path: Path) -> Iterator[tuple[str, int, list[_Fence]]]:
    """Each exercise's name, the line of its heading, and its fences. What stands above the first heading is free."""
    text = path.read_text(encoding="utf-8")
    lines, tokens = text.splitlines(), _top(_markdown.parse(text))
    starts = [place for place, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h2"]
    early = next((token for token in tokens[: starts[0] if starts else None] if token.type == "fence"), None)
    if early is not None:
        raise LessonError(path, _line(early), 'which exercise is this of? Write "## name" above it')
    for start, end in pairwise([*starts, len(tokens)]):
        yield tokens[start + 1].content, _line(tokens[start]), list(_fences(path, lines, tokens[start + 3 : end]))


def _top(tokens: Sequence[Token]) -> list[Token]:
    """The tokens that make up the text's blocks, without what stands inside of lists and quotations."""
    return [token for token in tokens if token.level == 0 or (token.type == "inline" and token.level == 1)]


def _fences(path: Path, lines: Sequence[str], tokens: Sequence[Token]) -> Iterator[_Fence]:
    sentence, waiting = "", 0  # `waiting`: the line of a sentence that has no fence yet
    above = ("", 0)  # what kind of fence was the last, and where it ended
    for token in tokens:
        if token.type == "fence":
            fence = _fence(path, token)
            shares = above == (fence.kind, _line(token))
            yield replace(fence, sentence=sentence if waiting or shares else "")
            above, waiting = (fence.kind, _end(token)), 0
        elif token.type == "bullet_list_open":
            assert token.map is not None
            for number in range(*token.map):
                if not lines[number].strip():
                    continue
                fence = _one_line(path, number + 1, lines[number])
                shares = above == (fence.kind, number + 1)
                yield replace(fence, sentence=sentence if waiting or shares else "")
                above, waiting = (fence.kind, number + 2), 0
        elif token.type == "bullet_list_close":
            pass
        elif token.type == "inline":
            _refuse_waiting(path, waiting)
            sentence, waiting = " ".join(token.content.split()), _line(token)
        elif not token.type.startswith("paragraph_"):
            told = 'only sentences, edits and fences stand under the heading of an exercise, "## name"'
            raise LessonError(path, _line(token), told)
    _refuse_waiting(path, waiting)


def _refuse_waiting(path: Path, line: int) -> None:
    if line:
        raise LessonError(path, line, "this sentence has no edit or fence directly below it; what do learners write?")


def _fence(path: Path, token: Token) -> _Fence:
    match = INFO.fullmatch(token.info.strip())
    kind = next((kind for kind in KINDS if match and match["kind"] == kind), None)
    if match is None or kind is None:
        raise LessonError(path, _line(token), f'"{token.info.strip()}" is none of these fences: {FORMS}')
    is_edit = match["language"] == "diff"
    if is_edit and kind != "mistake":
        raise LessonError(path, _line(token), f"only a mistake is written as an edit; write the {kind} as a whole")
    if (match["of"] is not None and not is_edit) or (match["name"] is not None and kind != "alternative"):
        raise LessonError(path, _line(token), f'an attribute that means nothing here: "{token.info.strip()}"')
    source = token.content.rstrip("\n")
    return _Fence(kind, source, _line(token) + 1, match["name"] or "", match["of"] or "", is_edit)


def _one_line(path: Path, number: int, line: str) -> _Fence:
    match = LINE.fullmatch(line.rstrip())
    if match is None:
        raise LessonError(path, number, "an item of a list is an edit in one line: - `old` → `new`")
    return _Fence("mistake", match["edit"], number, "", match["of"] or "", is_edit=True, is_line=True)


def _line(token: Token) -> int:
    assert token.map is not None
    return token.map[0] + 1


def _end(token: Token) -> int:
    """The line below."""
    assert token.map is not None
    return token.map[1] + 1


def _answers(path: Path, fences: Sequence[_Fence], reference: str) -> Answers:
    """All answers of one exercise, with the edits made. What they edit may stand anywhere under the same heading."""

    def all_of(kind: AnswerKind) -> tuple[Answer, ...]:
        return tuple(_answer(path, fence, targets) for fence in fences if fence.kind == kind)

    targets = _targets(path, fences, reference)
    base = all_of("base")
    return Answers(base[0] if base else None, all_of("mistake"), all_of("alternative"), all_of("judge"))


def _targets(path: Path, fences: Sequence[_Fence], reference: str) -> dict[str, str]:
    """What an edit may change, by name; that of an edit that names nothing is ""."""
    targets = {REFERENCE: reference, "": reference}
    bases = [fence for fence in fences if fence.kind == "base"]
    if len(bases) > 1:
        raise LessonError(path, bases[1].line, "a second base; an exercise has one")
    for fence in fences:
        if fence.kind == "base":
            targets[""] = fence.source
        elif fence.name in targets and fence.name:
            raise LessonError(path, fence.line, f'"{fence.name}" is the name of something else, too')
        elif fence.kind == "alternative" and fence.name:
            targets[fence.name] = fence.source
    return targets


def _answer(path: Path, fence: _Fence, targets: Mapping[str, str]) -> Answer:
    code = fence.source
    if fence.is_edit:
        if fence.of not in targets:
            there = ", ".join(name for name in targets if name)
            raise LessonError(path, fence.line, f'there is no answer "{fence.of}" to edit; there are: {there}')
        try:
            code = (edits.apply_words if fence.is_line else edits.apply)(targets[fence.of], code)
        except edits.EditError as error:
            raise LessonError(path, fence.line + error.line, error.message) from None
    answer = Answer(fence.kind, fence.sentence, code, path, fence.line, fence.is_edit)
    answer.tree()
    return answer

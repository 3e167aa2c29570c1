"""`predict`: a small question before or after a demonstration, answered in the notebook, offline and unmarked.

What is right, and the sentence for each answer, travel packed in the visible key. Nothing is given away before one has
answered; afterwards one may answer again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trainloop.checks.key import KeyFileError
from trainloop.checks.packed import unpack
from trainloop.checks.words import paragraph
from trainloop.learner.instant import load_key

UNANSWERED = "Put your letter in quotes, or your number, in place of the dots, and run this cell again."


def predict(question: str, answer: object = ...) -> None:
    """Print what there is to say about an answer to a question of the lesson.

    Args:
        question: its name.
        answer: a letter, or a number in the unit that the question names; the dots that stand there at first: none yet.
    """
    try:
        packed = load_key().predictions
        told = _said(unpack(packed[question]), answer) if question in packed else _unknown(question, packed)
    except KeyFileError as error:
        told = str(error)
    print(paragraph(told))


def _unknown(question: str, known: Mapping[str, str]) -> str:
    return f'There is no question "{question}" here. There are: {", ".join(known) or "none"}.'


def _said(about: Mapping[str, Any], answer: object) -> str:
    if answer is ...:
        return UNANSWERED
    return _letter(about, answer) if "options" in about else _number(about, answer)


def _letter(about: Mapping[str, Any], answer: object) -> str:
    options: Mapping[str, str] = about["options"]
    chosen = str(answer).strip().upper()
    if chosen not in options:
        return f"The answers to choose from are {', '.join(options)}. Write one letter, in quotes."
    return f"{'Right' if chosen == about['right'] else 'Not quite'}, {chosen}: {options[chosen]}"


def _number(about: Mapping[str, Any], answer: object) -> str:
    try:
        number = float(str(answer).strip().rstrip("%"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        return "A number is asked for, without its unit."
    right, within = about["right"], about["within"]
    if abs(number - right) <= within:
        hit = "Right" if number == right else "Close"
        return f"{hit}: it is {right:g}. {about['sentences']['right']}"
    low = number < right
    return f"Too {'low' if low else 'high'}. {about['sentences']['low' if low else 'high']}"

"""The placement quiz as a page that answers: each question at once, and at its end the lessons to do.

Without JavaScript its folds say what each answer means, and its end says which question speaks for which lesson.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainloop.learner.placement import RECAPS, UNKNOWN, Question, questions
from trainloop.site.lesson_page import ask, letters
from trainloop.syllabus import MODULES

NAME = "placement"  # of the page, as the file in docs/


def placement_page(slugs: Sequence[str]) -> str:
    """The page as Markdown.

    Args:
        slugs: the lessons of the site; a lesson that it does not have is named without a link.
    """
    return "\n\n".join(_parts(slugs)) + "\n"


def _parts(slugs: Sequence[str]) -> Iterator[str]:
    asked = questions()
    yield "# Where to begin: twenty questions"
    yield (
        "Answer from what you know. Each question says at once what your answer means, and "
        "[the end of this page](#the-lessons-for-you) names the lessons that are worth your time. Your first answer to "
        "a question counts. Nothing is kept, and nothing is sent anywhere."
    )
    yield (
        "In a notebook, `placement()` from `trainloop` asks the same; in a terminal, `trainloop placement` does. There "
        "you hear what the answers mean when all are given."
    )
    for number, one in enumerate(asked, start=1):
        yield f"## Question {number}"
        yield one.text
        yield "\n".join(f"- **{letter}**: {option}" for letter, option in one.options.items())
        yield ask(_sentences(one), one.right, f"Your answer to question {number}")
    yield "## The lessons for you"
    yield "Each question belongs to a lesson. A question that you missed, or guessed, speaks for its lesson."
    yield '<div class="placement">'
    number_of = {one.lesson: number for number, one in enumerate(asked, start=1)}
    links = {slug.split("-")[0]: f"../lessons/{slug}.md" for slug in slugs}
    for module in MODULES:
        yield f"**Module {module.number}: {module.title}**"
        recap = RECAPS[module.number]
        items = [
            f'- {_named(lesson, title, links)}: <span data-question="{number_of[lesson]}">question '
            f"{number_of[lesson]}</span>"
            for lesson, title in module.lessons.items()
            if lesson in number_of and lesson != recap
        ]
        yield "\n".join([*items, f"- {_named(recap, module.lessons[recap], links)}, in any case"])
    yield "</div>"


def _sentences(one: Question) -> dict[str, str]:
    """What the page says to each answer, to the one who does not know as well."""
    said = letters(one.sentences, one.right)
    return {
        **said,
        UNKNOWN: f"**Not known: that is what this page is for.** {one.right}: {one.sentences[one.right]}",
    }


def _named(lesson: str, title: str, links: dict[str, str]) -> str:
    name = f"{lesson} {title}"
    return f"[{name}]({links[lesson]})" if lesson in links else name

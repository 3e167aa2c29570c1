"""The plan of the course: its modules and all their lessons, also those that are not written yet.

What a lesson says of itself counts where there is one, and is read here; the plan is the order, and what to call what
is still to come.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TITLE = "Learn the Training Loop with PyTorch"


@dataclass(frozen=True)
class Module:
    """A part of the course. Its lessons are numbered from 1 on: `titles` without the numbers, in order."""

    number: int
    title: str
    goal: str
    titles: tuple[str, ...]

    @property
    def lessons(self) -> dict[str, str]:
        """The lessons' titles by number, such as "2.1"."""
        return {f"{self.number}.{place}": title for place, title in enumerate(self.titles, start=1)}


MODULES = (
    Module(
        1,
        "The Elementary Training Loop",
        "Build the intuition: a simple loop, written by hand from nothing.",
        (
            "Introduction: What Is a Training Loop?",
            "The Simplest Case: Linear Regression",
            "Batch vs. Stochastic Gradient Descent",
            "Visualizing the Loss Landscape",
            "Numerical vs. Analytical Gradients",
            "Recap and Key Takeaways",
        ),
    ),
    Module(
        2,
        "The Training Loop for Neural Networks",
        "Carry the same loop to more powerful models.",
        (
            "From Linear to Nonlinear: Why Neural Networks?",
            "Forward and Backward Passes",
            "Implementing a Simple Neural Net from Scratch",
            "The Role of Activations",
            "Mini-Batching and Data Pipelines",
            "Regularization and Overfitting",
            "Recap: Comparing Our Simple Network with Linear Regression",
        ),
    ),
    Module(
        3,
        "Advanced Training Loops and Modern Tricks",
        "Connect the foundations to the large models used in industry.",
        (
            "Optimization Algorithms beyond SGD",
            "Learning Rate Scheduling",
            "Weight Initialization",
            "Deeper Networks and Backprop Challenges",
            "Large-Scale Training: Data Parallelism and Hardware",
            "Monitoring and Debugging the Training Loop",
            "Modern Regularization and Generalization Techniques",
            "The Training Loop in Practice: Case Studies",
            "Conclusion: What's Next after the Training Loop?",
        ),
    ),
)

# What stands behind the lessons and is no part of the course: who has done all lessons is done. Such a notebook is a
# challenge: many short exercises, each a script that runs and is wrong. `authoring.lint` has its rules.
OPTIONAL = Module(
    4,
    "For Those Who Have Done Them All",
    "Optional: see what has stayed.",
    ("Twenty Silent Bugs",),
)


def is_optional(slug: str) -> bool:
    """Whether a notebook, by its slug or number, is an optional challenge, and not one of the course's lessons."""
    return slug.split("-")[0] in OPTIONAL.lessons


def titles() -> dict[str, str]:
    """The title of everything in the plan by number, the optional at the end."""
    return {number: title for module in (*MODULES, OPTIONAL) for number, title in module.lessons.items()}


def lessons_named(text: str) -> list[str]:
    """The numbers of the lessons that a text names, as in "lesson 2.1", whether there are such lessons or not."""
    return re.findall(r"\b[Ll]esson (\d\.\d)", text)


def about(text: str) -> tuple[str, str]:
    """What a lesson's text says of itself: its title with the number, and the time for someone new to the mathematics.

    The time is that of the title box, such as "2.5 hours". Either is empty where the text does not say it.
    """
    title = re.search(r"^# (\d+\.\d+ .+)$", text, re.M)
    time = re.search(r"^> \*\*About ([^;*]+)", text, re.M)
    return title[1] if title else "", time[1] if time else ""


def hours_in_words(hours: float) -> str:
    """A time as title boxes say it, to the half hour and at least that, such as "2.5 hours"."""
    halves = max(1, round(hours * 2))
    return "half an hour" if halves == 1 else "1 hour" if halves == 2 else f"{halves / 2:g} hours"


def hours(words: str) -> float:
    """The hours that a title box says in words; 0 where it says none. The other way round than `hours_in_words`."""
    number = re.match(r"(\d+(?:\.\d+)?) hours?$", words)
    return float(number[1]) if number else 0.5 if words == hours_in_words(0.5) else 0.0

"""Evidence: what speaks for which named mistake. No name is better than a false one.

A *part* is a function of the answer, `fit`, or one item of what it returns, `fit[2]`; the build finds which a check
looks at (`authoring.parts`). A mistake is named for a part where **every** observation of that part is what the mistake
would have led to, over two or more numbers in all: one number agrees by chance too easily. A mistake that shows only in
errors, or in yes and no, is named where all of its part show just these. What the mistake would pass and the answer
fails speaks against it, but for a share right, which may lie at its threshold; so does, in any item of the same
function, what the mistake would fail in another way. Other parts neither speak for nor against, so that two faults in
two functions get two names. That a script computes what it did as it was released is a claim about all of it: every
observation must be what the released script gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainloop.checks import fingerprints, relations, rules, values
from trainloop.checks.key import CheckKey, EditKey, ExerciseKey
from trainloop.checks.values import Observation, Value

ENOUGH = 2  # numbers that agree
# Of a script that is to be mended: the sentence of a mistake, and still no mistake of the learner's.
AS_RELEASED = (
    "This is still what the script computes as you got it: the fault is in it, and nothing that you may have changed "
    "makes a difference to these numbers. Run the script and look at what it gives; the text says what you can see."
)


@dataclass(frozen=True)
class Piece:
    """What was seen of one part in one check."""

    check: CheckKey
    part: str
    place: int | None  # the item of the check's value; None: all of it
    seen: Observation  # an observation
    expected: Observation

    @property
    def functions(self) -> frozenset[str]:
        """The functions that the part belongs to."""
        return functions([self.part])

    @cached_property
    def is_right(self) -> bool:
        """Whether this is what the reference gave."""
        return rules.passes(self.check.rule, self.seen, self.expected)

    def shows(self, mistake: int) -> bool:
        """Whether the mistake would have led to something else than the reference here."""
        would_be = self._would_be(mistake)
        return would_be is not None and not self._same(would_be, self.expected)

    def fits(self, mistake: int) -> bool:
        """Whether the mistake would have led to just this."""
        would_be = self._would_be(mistake)
        if self.check.rule["rule"] != "close" and not self.is_right:
            return True  # what a trained model gets wrong differs from run to run, and between processors
        if would_be is None or self.is_right:
            return self.is_right and not self.shows(mistake)
        return self._same(self.seen, would_be)

    def _same(self, one: Observation, other: Observation) -> bool:
        rule = self.check.rule
        return rule["rule"] == "close" and values.same(one, other, rule["rtol"], rule["atol"])

    def _would_be(self, mistake: int) -> Observation | None:
        """What the mistake would have led to here; None: the same as the reference."""
        whole = self.check.mistakes[mistake]
        if whole is None or self.place is None:
            return whole
        items = _items(whole, len(self.check.parts))
        return whole if items is None else items[self.place]

    @cached_property
    def pair(self) -> relations.ResultPair | None:
        """The value that was seen beside the right one, where both are values."""
        seen, expected = self.seen.get("value"), self.expected.get("value")
        return None if seen is None or expected is None else relations.ResultPair(seen, expected, self.check.rule)

    @cached_property
    def numbers(self) -> int:
        """How many numbers were seen."""
        told = self.check.rule["rule"] == "close" and self.seen["saw"] == "value"
        return _numbers(self.seen["value"]) if told else 0


class Evidence:
    """All that was observed of one exercise in plain sight, and the mistakes that it names. All is compared once."""

    def __init__(self, key: ExerciseKey, observations: Mapping[str, Observation]) -> None:
        self.key = key
        self._pieces = [
            piece
            for check in key.checks
            if not check.hidden and check.title in observations
            for piece in _pieces(check, observations[check.title], key.defines)
        ]
        self._observations = observations
        self._fits: dict[tuple[int, int], bool] = {}

    def name(self, check: CheckKey) -> int | None:
        """The mistake that explains what this check saw, if one does: the one that explains most of all."""
        named = [self._named[piece.part] for piece in self._pieces if piece.check is check and not piece.is_right]
        found = [mistake for mistake in named if mistake is not None]
        return max(found, key=self._count) if found else None

    def relation(self, check: CheckKey) -> str | None:
        """What the numbers that this check saw have to do with the right ones, if that can be told."""
        places_of: dict[str, list[int | None]] = {}
        for piece in self._pieces:
            if piece.check is check and piece.pair is not None and not piece.is_right:
                part = [one.pair for one in self._pieces if one.part == piece.part and one.pair and not one.is_right]
                if sentence := relations.tell(piece.pair, part):
                    places_of.setdefault(sentence, []).append(piece.place)
        return " ".join(f"{_items_of(places)}{sentence}" for sentence, places in places_of.items()) or None

    @cached_property
    def edit(self) -> EditKey | None:
        """The one-place edit of the answer that computes in every visible check what was seen."""
        checks = [check for check in self.key.checks if not check.hidden]
        wrong = [piece for piece in self._pieces if not piece.is_right]
        if (
            len({piece.check.title for piece in self._pieces}) < len(checks)
            or sum(one.numbers for one in wrong) < ENOUGH
        ):
            return None
        failed = {piece.check.title for piece in wrong}
        seen = [self._observations[check.title] if check.title in failed else None for check in checks]
        for edit in self.key.edits:
            if any(_has_prints(each.split(), seen) for each in edit.prints):
                return edit
        return None

    def is_thin(self, mistake: int) -> bool:
        """Whether all that was seen is what this mistake would have led to, and yet too little to name it."""
        everything = range(len(self._pieces))
        return all(self._does_fit(at, mistake) for at in everything) and not self._is_enough(everything)

    def refuted(self) -> set[int]:
        """The mistakes that are named for a part, and that a hidden check of the same part tells the answer from.

        Only where numbers are compared: elsewhere two answers of one mistake need not agree.
        """
        hidden = [
            piece
            for check in self.key.checks
            if check.hidden and check.rule["rule"] == "close" and check.name in self._observations
            for piece in _pieces(check, self._observations[check.name], self.key.defines)
        ]
        return {
            mistake
            for part, mistake in self._named.items()
            if mistake is not None and not all(piece.fits(mistake) for piece in hidden if piece.part == part)
        }

    @cached_property
    def _named(self) -> Mapping[str, int | None]:
        """The mistake that each part shows."""
        parts = dict.fromkeys(piece.part for piece in self._pieces)
        wrong = {piece.part for piece in self._pieces if not piece.is_right}
        return {part: self._best(part) if part in wrong else None for part in parts}

    def _best(self, part: str) -> int | None:
        """The mistake that explains a part, and most of everything else."""
        mine = [at for at, piece in enumerate(self._pieces) if piece.part == part]
        candidates: Sequence[int] = range(len(self.key.sentences))
        for at in sorted(mine, key=lambda at: self._pieces[at].is_right):  # what is wrong leaves the fewest
            candidates = [mistake for mistake in candidates if self._does_fit(at, mistake)]
        candidates = [mistake for mistake in candidates if self._explains(mistake, mine)]
        return max(candidates, key=self._count) if len(candidates) > 1 else next(iter(candidates), None)

    def _explains(self, mistake: int, part: Sequence[int]) -> bool:
        """Whether a mistake that fits a part is refuted by nothing of its function, and is more than a coincidence."""
        if self.key.sentences[mistake] == AS_RELEASED and not all(
            self._does_fit(at, mistake) for at in range(len(self._pieces))
        ):
            return False
        own = self._pieces[part[0]].functions
        function = [at for at, piece in enumerate(self._pieces) if piece.functions <= own]
        fitting = [at for at in function if self._does_fit(at, mistake)]
        if any(self._pieces[at].shows(mistake) for at in function if at not in fitting):
            return False
        return self._is_enough(part) or (len(fitting) == len(function) and self._is_enough(function))

    def _count(self, mistake: int) -> int:
        return sum(self._does_fit(at, mistake) for at in range(len(self._pieces)))

    def _is_enough(self, fitting: Iterable[int]) -> bool:
        """Whether what fits is more than one number, or nothing but errors and yes or no."""
        wrong = [piece for piece in map(self._pieces.__getitem__, fitting) if not piece.is_right]
        numbers = sum(piece.numbers for piece in wrong)
        return numbers == 0 or numbers + sum(piece.numbers == 0 for piece in wrong) >= ENOUGH

    def _does_fit(self, at: int, mistake: int) -> bool:
        if (at, mistake) not in self._fits:
            self._fits[at, mistake] = self._pieces[at].fits(mistake)
        return self._fits[at, mistake]


def _items_of(places: Sequence[int | None]) -> str:
    """The items that a sentence is about, in words; nothing where it is about the whole."""
    first, last = [str(place) for place in places[:-1]], places[-1]
    if last is None:
        return ""
    return f"Items {', '.join(first)} and {last}: " if first else f"Item {last}: "


def _has_prints(prints: Sequence[str], seen: Sequence[Observation | None]) -> bool:
    """Whether what was seen has these fingerprints; None: what the reference gave."""
    return len(prints) == len(seen) and all(
        each == fingerprints.SAME if observation is None else fingerprints.fits(each, observation)
        for each, observation in zip(prints, seen, strict=True)
    )


def functions(parts: Iterable[str]) -> frozenset[str]:
    """The functions that parts belong to."""
    return frozenset(one.partition("[")[0] for part in parts for one in part.split(","))


def _pieces(check: CheckKey, seen: Observation, defines: Sequence[str]) -> Iterator[Piece]:
    """An observation by part. What says nothing of a fault, an untouched stub, is left out."""
    if seen["saw"] == "stub" or (seen["saw"] == "missing" and seen["name"] in defines):
        return
    parts = check.parts or (",".join(defines),)
    mine, theirs = _items(seen, len(parts)), _items(check.expected, len(parts))
    if len(parts) > 1 and mine is not None and theirs is not None:
        for place, part in enumerate(parts):
            yield Piece(check, part, place, mine[place], theirs[place])
        return
    whole = parts[0] if len(parts) == 1 else ",".join(sorted(functions(parts)))
    yield Piece(check, whole, None, seen, check.expected)


def _items(observation: Observation, count: int) -> list[Observation] | None:
    """The items of what was seen, as observations; None where they are not `count` of a tuple or list."""
    value = observation.get("value", {})
    if observation["saw"] != "value" or value.get("type") not in ("list", "tuple") or len(value["items"]) != count:
        return None
    return [{"saw": "value", "value": item} for item in value["items"]]


def _numbers(value: Value) -> int:
    """How many numbers a value holds. An array with NaN or infinity is like an error: it has none."""
    if values.is_array(value):
        array = values.array(value)
        return 0 if array.dtype.kind == "b" or not np.isfinite(array).all() else int(array.size)
    if value["type"] in ("int", "float"):
        return int(math.isfinite(values.number(value)))
    items = value.get("items", ())
    return sum(_numbers(item[1] if value["type"] == "dict" else item) for item in items)

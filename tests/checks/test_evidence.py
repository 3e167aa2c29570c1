"""Evidence by part: when a mistake is named, and when it must not be."""

from dataclasses import replace

import pytest
import torch

from tests.checks.test_verdict import ERROR, X, exercise, one, seen
from trainloop.checks import fingerprints
from trainloop.checks.evidence import AS_RELEASED, Evidence, functions
from trainloop.checks.key import EditKey, ExerciseKey
from trainloop.checks.values import Json
from trainloop.checks.verdict import AS_ABOVE, judge

WRONG, OTHER = seen(X + 1), seen(X + 2)
Y = torch.tensor([1.7, -2.3, 4.1])
BARE = {name: value for name, value in ERROR.items() if name not in ("line", "code")}


def named(key: ExerciseKey, *observations: Json) -> list[int | None]:
    """The mistake that each check names."""
    titles = (check.title for check in key.checks)
    return [check.mistake for check in judge(key, dict(zip(titles, observations, strict=True))).checks]


def test_a_mistake_is_named_where_all_of_its_part_fits() -> None:
    key = exercise(one("a", X, WRONG), one("b", X, seen(X + 3)), one("c", X, None))
    assert named(key, WRONG, seen(X + 3), seen(X)) == [0, 0, None]
    assert named(key, WRONG, OTHER, seen(X)) == [None, None, None]
    assert named(key, WRONG, seen(X), seen(X)) == [None, None, None], "what it would fail passes"
    assert named(key, WRONG, seen(X + 3), OTHER) == [None, None, None], "what it would pass fails"


def test_two_faults_in_two_functions_get_two_names() -> None:
    key = exercise(
        one("a", X, WRONG, None, parts=("f",)), one("b", X, seen(X + 3), None, parts=("f",)),
        one("c", X, None, OTHER, parts=("g",)),
    )  # fmt: skip
    assert named(key, WRONG, seen(X + 3), OTHER) == [0, 0, 1]
    assert named(key, WRONG, seen(X + 3), seen(X * 5)) == [0, 0, None]
    assert named(key, WRONG, OTHER, OTHER) == [None, None, 1]


def test_two_faults_in_one_row_of_functions() -> None:
    """A check that observes both: the name of the first, and the other's in its own check."""
    both = one("both", [X, X], seen([X + 1, X]), seen([X, X + 2]), parts=("f", "g"))
    key = exercise(both, one("f", X, WRONG, None, parts=("f",)), one("g", X, None, OTHER, parts=("g",)))
    assert named(key, seen([X + 1, X + 2]), WRONG, OTHER) == [0, 0, 1]
    assert named(key, seen([X + 1, X + 9]), WRONG, seen(X + 9)) == [0, 0, None]
    assert named(key, ERROR, WRONG, OTHER) == [None, 0, 1], "an error of both is neither's"


def test_items_of_what_a_function_returns_are_parts() -> None:
    key = exercise(
        one("both", (X, X), seen((X + 1, X)), seen((X, X + 2)), parts=("f[0]", "f[1]")),
        one("first", X, WRONG, None, parts=("f[0]",)),
    )
    assert named(key, seen((X + 1, X + 7)), WRONG) == [0, 0]
    assert named(key, seen((X + 1, X + 2)), WRONG) == [0, 0]
    assert named(key, seen((X, X + 2)), seen(X)) == [1, None]
    assert named(key, seen((X, X + 2)), OTHER) == [1, None]


def test_an_item_in_which_the_mistake_would_show_otherwise_refutes_it() -> None:
    key = exercise(one("both", (X, X), seen((X + 1, X + 2)), parts=("f[0]", "f[1]")))
    assert named(key, seen((X + 1, X + 2))) == [0]
    assert named(key, seen((X + 1, X))) == [None]
    assert named(key, seen((X + 1, X + 9))) == [None]


def test_a_script_is_said_to_be_as_released_only_where_all_that_it_gives_is() -> None:
    """What the released script has right and the answer has wrong speaks against it, and so does what was mended."""
    items = exercise(one("a", (X, X), seen((X, X + 1)), parts=("f[0]", "f[1]")))
    items = replace(items, sentences=(AS_RELEASED,))
    assert named(items, seen((X, X + 1))) == [0]
    assert named(items, seen((X + 5, X + 1))) == [None]
    two = exercise(one("f", X, WRONG, parts=("f",)), one("g", X, OTHER, parts=("g",)))
    assert named(two, WRONG, seen(X)) == [0, None], "of a mistake of the learner's, another function says nothing"
    two = replace(two, sentences=(AS_RELEASED,))
    assert named(two, WRONG, OTHER) == [0, 0]
    assert named(two, WRONG, seen(X)) == [None, None]


@pytest.mark.parametrize("number", [7, 7.5, torch.tensor(7.5), torch.tensor([7.5])])
def test_one_number_is_never_enough(number: object) -> None:
    right = type(number)(1) if isinstance(number, int | float) else torch.ones_like(number)  # type: ignore[call-overload]
    once = exercise(one("a", right, seen(number)), one("b", X, None))
    assert named(once, seen(number), seen(X)) == [None, None]
    twice = exercise(one("a", right, seen(number)), one("b", right, seen(number)))
    assert named(twice, seen(number), seen(number)) == [0, 0]
    beside_an_error = exercise(one("a", right, seen(number)), one("b", right, BARE))
    assert named(beside_an_error, seen(number), ERROR) == [0, 0]


@pytest.mark.parametrize("chance", [BARE, seen(None), seen(torch.tensor([True])), seen(torch.zeros(0)), seen(X / 0)])
def test_what_shows_in_no_number_is_named_if_nothing_speaks_against_it(chance: Json) -> None:
    answer = ERROR if chance is BARE else chance
    key = exercise(one("a", X, chance), one("b", X, WRONG), one("c", X, None))
    assert named(key, answer, WRONG, seen(X)) == [0, 0, None]
    assert named(key, answer, OTHER, seen(X)) == [None, None, None]
    assert named(key, answer, seen(X), seen(X)) == [None, None, None]
    alone = exercise(one("a", X, chance), one("b", X, None))
    assert named(alone, answer, seen(X)) == [0, None]
    assert named(alone, answer, OTHER) == [None, None]


def test_a_stub_and_what_was_not_reached_speak_neither_way() -> None:
    key = exercise(one("a", X, WRONG), one("b", X, seen(X + 3)))
    assert judge(key, {"a": WRONG}).checks[0].mistake == 0
    assert named(key, WRONG, {"saw": "stub"}) == [0, None]


def test_hidden_checks_name_nothing() -> None:
    """Else an answer could say something by what it gives there."""
    key = exercise(one("a", X, WRONG, WRONG), one("b", X, OTHER, seen(X + 3), hidden=True))
    assert {judge(key, {"a": WRONG, "b": there}).checks[0].mistake for there in (OTHER, seen(X + 3), seen(X))} == {0}


def test_a_mistake_with_a_single_number_is_thin() -> None:
    key = exercise(one("a", 1, seen(7)), one("b", X, None))
    assert Evidence(key, {"a": seen(7), "b": seen(X)}).is_thin(0)
    assert not Evidence(key, {"a": seen(8), "b": seen(X)}).is_thin(0)
    assert not Evidence(exercise(one("a", X, WRONG)), {"a": WRONG}).is_thin(0)


def test_functions_of_parts() -> None:
    assert functions(("f[0]", "f[1]", "g,h")) == {"f", "g", "h"}


def prints(*observations: Json | None) -> str:
    """The fingerprints of visible checks; None: as the reference."""
    return " ".join(fingerprints.SAME if one is None else fingerprints.of(one) for one in observations)


def test_a_generic_edit_is_told_where_every_visible_check_saw_what_it_computes() -> None:
    right, wrong, other = (seen(Y * Y + shift) for shift in (0.0, 1.3, 2.9))
    edits = (EditKey("a plus stands where a minus belongs", (prints(seen(9 * Y * Y), None), prints(wrong, other))),)
    key = replace(
        exercise(one("a", Y * Y, wrong), one("b", Y * Y, None), one("h", Y * Y, None, hidden=True)), edits=edits
    )
    told = "What you get is what comes out if a plus stands where a minus belongs."

    def sentences(*observations: Json) -> list[str]:
        names = (check.name for check in key.checks)
        return [one.sentence for one in judge(key, dict(zip(names, observations, strict=True))).checks]

    assert sentences(wrong, other, wrong) == [told, told, AS_ABOVE]
    assert told not in sentences(wrong, seen(Y), right), "one check differs"
    assert told not in sentences(wrong, right, right), "what it would fail passes; a mistake is named"
    assert sentences(seen(9 * Y * Y), right, right)[0] != told, "a relation comes first: every number is nine times"
    assert judge(key, {"a": wrong}).checks[0].sentence != told, "a check was not reached"
    assert told not in sentences(right, right, wrong), "what is hidden tells nothing"


def test_one_number_tells_no_edit() -> None:
    key = replace(
        exercise(one("a", 1.5), one("b", X)), edits=(EditKey("a term is left out", (prints(seen(7.5), None),)),)
    )
    assert "comes out" not in judge(key, {"a": seen(7.5), "b": seen(X)}).checks[0].sentence

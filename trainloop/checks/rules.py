"""Rules: what makes an observation right. A short closed list, because they are applied where marks are made.

A rule is plain JSON inside the key. `close` is the rule of every check that names no other. A lesson sets others
in a judge cell, which runs at build time only:

    judges = {"recognises new moons": accuracy(y_new, at_least=0.9)}
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

import numpy as np

from trainloop.checks import values
from trainloop.checks.values import Observation, Value


class Rule(TypedDict):
    """A rule, with what it compares by."""

    rule: Literal["close", "accuracy"]
    rtol: NotRequired[float]  # of "close"
    atol: NotRequired[float]
    option: NotRequired[bool]
    labels: NotRequired[Value]  # of "accuracy"
    at_least: NotRequired[float]


def close(rtol: float = 1e-4, atol: float = 1e-6) -> Rule:
    """Equal to the reference within `atol + rtol * |expected|`; the defaults suit float32 sums in any order."""
    return {"rule": "close", "rtol": rtol, "atol": atol}


def option() -> Rule:
    """Equal to the reference; a letter that was chosen names its mistake whatever else was answered."""
    return {"rule": "close", "rtol": 0.0, "atol": 0.0, "option": True}


def is_option(rule: Rule) -> bool:
    """Whether the rule is `option`'s."""
    return bool(rule.get("option", False))


def accuracy(labels: object, at_least: float) -> Rule:
    """At least this share of predicted classes, shape (N,) or (N, 1), equal to `labels`, shape (N,)."""
    import torch  # not at the top: see `values.encode`

    return {"rule": "accuracy", "labels": values.encode(torch.as_tensor(labels).reshape(-1)), "at_least": at_least}


def passes(rule: Rule, observation: Observation, expected: Observation) -> bool:
    """Whether an observation satisfies a rule; `expected` is what the reference solution computed."""
    if rule["rule"] == "accuracy":
        return share_right(rule, observation) is not None and not short_of(rule, observation)
    return values.same(observation, expected, rule["rtol"], rule["atol"])


def share_right(rule: Rule, observation: Observation) -> float | None:
    """The share of right predictions, or None where the observation holds no array of the right shape."""
    if observation["saw"] != "value" or not values.is_array(value := observation["value"]):
        return None
    predictions, labels = values.array(value), values.array(rule["labels"])
    if predictions.shape not in (labels.shape, (*labels.shape, 1)):
        return None
    return float(np.mean(predictions.reshape(-1) == labels))


def short_of(rule: Rule, observation: Observation) -> bool:
    """Whether predictions of the right size are right too seldom."""
    share = share_right(rule, observation)
    return share is not None and share < rule["at_least"]

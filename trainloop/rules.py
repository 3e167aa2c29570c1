"""Rules: what makes an observation right. A short closed list, because they are applied where marks are made.

A rule is plain JSON inside the key. `close` is the rule of every check that names no other. A lesson sets others
in a judge cell, which runs at build time only:

    judges = {"recognises new moons": accuracy(y_new, at_least=0.9)}
"""

from __future__ import annotations

import numpy as np

from trainloop import values
from trainloop.values import Json


def close(rtol: float = 1e-4, atol: float = 1e-6) -> Json:
    """Equal to the reference within `atol + rtol * |expected|`; the defaults suit float32 sums in any order."""
    return {"rule": "close", "rtol": rtol, "atol": atol}


def option() -> Json:
    """Equal to the reference; a letter that was chosen names its mistake whatever else was answered."""
    return {"rule": "close", "rtol": 0.0, "atol": 0.0, "option": True}


def is_option(rule: Json) -> bool:
    """Whether the rule is `option`'s."""
    return bool(rule.get("option", False))


def accuracy(labels: object, at_least: float) -> Json:
    """At least this share of predicted classes, shape (N,) or (N, 1), equal to `labels`, shape (N,)."""
    import torch  # not at the top: see `values.encode`

    return {"rule": "accuracy", "labels": values.encode(torch.as_tensor(labels).reshape(-1)), "at_least": at_least}


def passes(rule: Json, observation: Json, expected: Json) -> bool:
    """Whether an observation satisfies a rule; `expected` is what the reference solution computed."""
    if rule["rule"] == "accuracy":
        return share_right(rule, observation) is not None and not short_of(rule, observation)
    return values.same(observation, expected, rule["rtol"], rule["atol"])


def share_right(rule: Json, observation: Json) -> float | None:
    """The share of right predictions, or None where the observation holds no array of the right shape."""
    value = observation.get("value", {})
    if observation.get("saw") != "value" or not values.is_array(value):
        return None
    predictions, labels = values.array(value), values.array(rule["labels"])
    if predictions.shape not in (labels.shape, (*labels.shape, 1)):
        return None
    return float(np.mean(predictions.reshape(-1) == labels))


def short_of(rule: Json, observation: Json) -> bool:
    """Whether predictions of the right size are right too seldom."""
    share = share_right(rule, observation)
    return share is not None and share < rule["at_least"]

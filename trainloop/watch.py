"""What a check needs beyond calls to the learner's function, each under a name that reads as English.

    rules={
        "without torch's own": lambda: watch.without("relu", "numpy", run=lambda: relu(torch.ones(3))),
        "x stays as it was": lambda: watch.unchanged(relu, torch.tensor([-1.0, 2.0])),
    }

A helper calls the function itself. It returns None where the rule is kept and raises `RuleBroken`, whose message is a
sentence to the learner, where it is not. What it says is computed in the learner's own process: it is for people who
want to learn, and a rule earns nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Run = Callable[[], object]


class RuleBroken(Exception):
    """A rule of an exercise is broken; the message says so to the learner."""


def unchanged(function: Callable[..., object], *arguments: object) -> None:
    """Call `function` and see that its arguments stay as they were: values, shapes, dtypes, and what autograd notes.

    Looked at are tensors, the parameters of models, and lists, tuples and dictionaries of them.
    """
    before = [_state(argument) for argument in arguments]
    function(*arguments)
    for place, (argument, was) in enumerate(zip(arguments, before, strict=True)):
        if _state(argument) != was:
            raise RuleBroken(
                f"`{_name(function, place)}` was changed by the call. {_what_changed(was, _state(argument))}"
            )


def without(*names: str, run: Run) -> None:
    """Run, and refuse operations of torch by name, in whatever way they are called, and ways out of torch.

    Args:
        names: such as "relu" (also `F.relu`, `nn.ReLU`, `x.relu_()`), a function of `torch.nn.utils` such as
            "clip_grad_norm_", or "numpy" for handing a tensor to NumPy.
        run: calls the learner's function.
    """
    with _composed(names), _Ways(names), _Operations(names):
        run()


def without_autograd(run: Run) -> None:
    """Run, and refuse to compute gradients: neither `backward` nor `torch.autograd.grad`, nor a forward derivative."""

    def refuse(*_: object, **__: object) -> None:
        raise RuleBroken("PyTorch is asked for the gradient here; this exercise wants it computed by hand.")

    with contextlib.ExitStack() as stack:
        for module, name in _asking():
            stack.enter_context(patch.object(module, name, refuse))
        run()


def _asking() -> tuple[tuple[ModuleType, str], ...]:
    """What all ways to a gradient come down to, under whatever name they were imported: (module, name)."""
    from torch.autograd import forward_ad

    return (torch.autograd, "_engine_run_backward"), (forward_ad, "make_dual")


def asks_autograd(run: Run) -> None:
    """Run, and see that PyTorch is asked for a gradient, in whatever way: by `backward`, by `grad`, by `torch.func`."""
    asked = []

    def noting(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            asked.append(real)
            return real(*arguments, **named)

        return call

    with contextlib.ExitStack() as stack:
        for module, name in _asking():
            stack.enter_context(patch.object(module, name, noting(getattr(module, name))))
        run()
    if not asked:
        raise RuleBroken(
            "PyTorch is never asked for a gradient. This exercise wants it from autograd, as by `backward()`."
        )


class Counted:
    """A function that counts how often it is called, in `calls`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.calls = 0

    def __call__(self, *arguments: object, **named: object) -> Any:
        self.calls += 1
        return self._function(*arguments, **named)


def counted(function: Callable[..., Any]) -> Counted:
    """The same function, counting its calls: `loss = counted(loss)`, and `loss.calls` afterwards."""
    return Counted(function)


def no_loop(small: Run, large: Run) -> None:
    """Run with little and with much data, and refuse Python that does more for more: a loop over the data.

    Args:
        small, large: call the learner's function; both should take the same way through its code.
    """
    if _instructions(large) > _instructions(small):
        raise RuleBroken(
            "More data makes Python do more: there is a loop over it. One expression can serve all at once."
        )


def shared_randomness_untouched(run: Run) -> None:
    """Run, and see that the generators that all code shares, of torch, NumPy and Python, are as they were."""
    import random

    import numpy as np

    def states() -> Mapping[str, object]:
        return {
            "torch": torch.get_rng_state().tolist(),
            "NumPy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
            "Python": random.getstate(),
        }

    torch.rand(3), np.random.rand(3), random.random()  # so that none is where a seed would put it
    before = states()
    run()
    if moved := [name for name, state in states().items() if state != before[name]]:
        raise RuleBroken(f"The generator that all code shares in {' and '.join(moved)} has moved; draw from your own.")


# ------------------------------------------------------------------------------------------------------------ how


def _state(value: object) -> Any:
    """What a value is, as something that can be compared after it was changed in place."""
    if isinstance(value, torch.Tensor):
        plain = value.detach()
        return ("tensor", plain.shape, plain.dtype, value.requires_grad, plain.clone().flatten().tolist())
    if isinstance(value, nn.Module):
        parts = {**dict(value.named_parameters()), **dict(value.named_buffers())}
        return ("model", value.training, [(name, _state(part)) for name, part in parts.items()])
    if isinstance(value, dict):
        return ("dict", [(name, _state(one)) for name, one in value.items()])
    if isinstance(value, list | tuple):
        return ("list", [_state(one) for one in value])
    return ("other", value if isinstance(value, int | float | str | bool) else None)


def _what_changed(was: Any, now: Any) -> str:
    if was[0] == now[0] == "tensor":
        if was[1] != now[1]:
            return f"Its shape was {tuple(was[1])} and is {tuple(now[1])}."
        if was[4] == now[4] and was[2] == now[2]:
            return "It takes part in gradients now, which whoever handed it in did not ask for."
    return "Whoever handed it in still needs it: compute something new in place of writing into it."


def _name(function: Callable[..., object], place: int) -> str:
    """What the function calls its argument at a place."""
    try:
        return list(inspect.signature(function).parameters)[place]
    except (ValueError, TypeError, IndexError):
        return f"argument {place + 1}"


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations where all ways to call them meet."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names = names

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.strip("_").removesuffix("_forward")
        for forbidden in self._names:
            if name == forbidden or name == f"special_{forbidden}":
                raise RuleBroken(f"PyTorch's own `{forbidden}` is used; this exercise wants yours.")
        return func(*args, **(kwargs or {}))


class _Ways(TorchFunctionMode):
    """Refuses what operations do not see: the ways out of torch, and what torch puts together from other operations.

    Dropout is such a one: on a CPU it arrives as random numbers and a product.
    """

    OUT = ("numpy", "__array__")

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if "numpy" in self._names and name in self.OUT:
            raise RuleBroken("A tensor is handed to NumPy; this exercise stays with tensors.")
        if name.strip("_") in self._names:
            raise RuleBroken(f"PyTorch's own `{name.strip('_')}` is used; this exercise wants yours.")
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _composed(names: tuple[str, ...]) -> Iterator[None]:
    """Refuses functions of `torch.nn.utils`: they are written in Python, and no mode sees their names.

    Their code is exchanged, and not the name that leads to them: a learner may have imported them beforehand.
    """
    functions = {
        name: inspect.unwrap(found) for name in names if inspect.isfunction(found := getattr(nn.utils, name, None))
    }
    codes = {name: function.__code__ for name, function in functions.items()}
    try:
        for name, function in functions.items():
            function.__code__ = _refusal.__code__.replace(co_name=name)
        yield
    finally:
        for name, function in functions.items():
            function.__code__ = codes[name]


def _refusal(*_: object, **__: object) -> None:
    """The code of a refused function. It runs among the names of another module, so it imports what it needs."""
    import sys

    name, broken = sys._getframe().f_code.co_name, sys.modules["trainloop.watch"].RuleBroken
    raise broken(f"PyTorch's own `{name}` is used; this exercise wants yours.")


def _instructions(run: Run) -> int:
    """How many instructions Python carries out in the learner's own code."""
    count = 0

    def watch(frame: FrameType, event: str, _: object) -> Callable[..., object] | None:
        nonlocal count
        if "site-packages" in frame.f_code.co_filename or frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return watch

    before = sys.gettrace()
    run()  # once unwatched: what is imported at first use does not count
    with _tracing(watch, before):
        run()
    return count


@contextlib.contextmanager
def _tracing(watch: Callable[..., Any], before: Any) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # debuggers say that tracing is taken from them for a moment
        sys.settrace(watch)
        try:
            yield
        finally:
            sys.settrace(before)

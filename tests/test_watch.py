"""What checks need beyond calls: each helper lets through what keeps the rule, and says what breaks it."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from trainloop import watch
from trainloop.watch import RuleBroken

GRAD = torch.autograd.grad
X = torch.tensor([-1.0, 2.0])
Activation = Callable[[torch.Tensor], torch.Tensor]


def square(x: torch.Tensor, w: torch.Tensor | None = None) -> torch.Tensor:
    return x**2 if w is None else w * x**2


def numbered(*cases: object) -> list[object]:
    """Cases under a number each: a function has no name to tell it by."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), id=str(number))
        for number, case in enumerate(cases)
    ]


@pytest.mark.parametrize(
    "relu",
    numbered(
        lambda x: x.clamp(min=0),
        lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
        lambda x: (x + x.abs()) / 2,
        lambda x: torch.stack([v if v > 0 else 0 * v for v in x]),
        lambda x: torch.tensor([max(0.0, v) for v in x.tolist()]),
        lambda x: torch.tensor([max(0.0, v.item()) for v in x]),
    ),
)
def test_what_is_written_by_hand_passes(relu: Activation) -> None:
    watch.without("relu", "sigmoid", "tanh", "numpy", run=lambda: relu(X))


@pytest.mark.parametrize(
    ("call", "told"),
    numbered(
        (torch.relu, "`relu`"),
        (lambda x: x.relu(), "`relu`"),
        (lambda x: x.clone().relu_(), "`relu`"),
        (functional.relu, "`relu`"),
        (nn.ReLU(), "`relu`"),
        (torch.sigmoid, "`sigmoid`"),
        (torch.special.expit, "`sigmoid`"),
        (nn.Sigmoid(), "`sigmoid`"),
        (torch.tanh, "`tanh`"),
        (functional.tanh, "`tanh`"),
        (lambda x: x.clone().tanh_(), "`tanh`"),
        (lambda x: torch.from_numpy(np.maximum(x.numpy(), 0)), "NumPy"),
        (lambda x: torch.from_numpy(np.tanh(x)), "NumPy"),
        (lambda x: torch.tensor(np.tanh(np.asarray(x))), "NumPy"),
        (lambda x: np.maximum(0, x), "NumPy"),
    ),
)
def test_what_is_forbidden_is_refused_in_every_way_to_call_it(call: Activation, told: str) -> None:
    with pytest.raises(RuleBroken, match=told):
        watch.without("relu", "sigmoid", "tanh", "numpy", run=lambda: call(X))


@pytest.mark.parametrize("over", [list, iter])
def test_a_function_that_torch_wrote_in_python_is_refused_too(over: Callable[[list[nn.Parameter]], object]) -> None:
    parameter = nn.Parameter(X.clone())
    parameter.grad = torch.tensor([3.0, 4.0])
    clip = nn.utils.clip_grad_norm_  # as a learner's import keeps it
    with pytest.raises(RuleBroken, match="`clip_grad_norm_`"):
        watch.without("clip_grad_norm_", run=lambda: clip(over([parameter]), 1.0))
    with pytest.raises(RuleBroken, match="`get_total_norm`"):
        watch.without("get_total_norm", run=lambda: nn.utils.get_total_norm([parameter.grad]))
    assert clip(over([parameter]), 1.0).item() == 5.0  # and afterwards it works as before


def test_an_operation_has_the_name_that_learners_know() -> None:
    with pytest.raises(RuleBroken, match="`log_sigmoid`"):
        watch.without("log_sigmoid", run=lambda: functional.logsigmoid(X))


@pytest.mark.parametrize(
    "call",
    numbered(
        nn.Dropout(0.3),
        lambda x: functional.dropout(x, 0.3),
        lambda x: torch.dropout(x, 0.3, True),
        lambda x: functional.dropout(x.clone(), 0.3, inplace=True),
    ),
)
def test_what_torch_puts_together_from_other_operations_is_refused_too(call: Activation) -> None:
    with pytest.raises(RuleBroken, match="`dropout`"):
        watch.without("dropout", run=lambda: call(X))
    watch.without("dropout", run=lambda: X * torch.bernoulli(torch.full_like(X, 0.7)))


def test_nothing_is_refused_afterwards() -> None:
    with pytest.raises(RuleBroken):
        watch.without("relu", run=lambda: torch.relu(X))
    torch.relu(X)
    np.asarray(X)
    with pytest.raises(RuleBroken):
        watch.without_autograd(run=lambda: gradient_of(square))
    assert gradient_of(square) == 4.0


def gradient_of(f: Activation) -> float:
    x = torch.tensor(2.0, requires_grad=True)
    f(x).backward()
    assert x.grad is not None
    return x.grad.item()


def by_grad() -> torch.Tensor:
    x = torch.tensor(2.0, requires_grad=True)
    return torch.autograd.grad(square(x), x)[0]


def by_an_imported_name() -> torch.Tensor:
    """As after `from torch.autograd import grad` in the learner's own cell, before anything is watched."""
    x = torch.tensor(2.0, requires_grad=True)
    return GRAD(square(x), x)[0]


@pytest.mark.parametrize(
    "run",
    numbered(
        lambda: gradient_of(square),
        by_grad,
        by_an_imported_name,
        lambda: torch.func.grad(square)(torch.tensor(2.0)),
        lambda: torch.func.jvp(square, (torch.tensor(2.0),), (torch.tensor(1.0),)),
        lambda: torch.autograd.functional.jacobian(square, torch.tensor(2.0)),
    ),
)
def test_gradients(run: Callable[[], object]) -> None:
    with pytest.raises(RuleBroken, match="by hand"):
        watch.without_autograd(run)


def test_gradients_by_hand_and_by_torch() -> None:
    watch.without_autograd(lambda: 2 * X * 3)
    watch.asks_autograd(lambda: gradient_of(square))
    watch.asks_autograd(by_grad)
    watch.asks_autograd(by_an_imported_name)
    watch.asks_autograd(lambda: torch.func.jvp(square, (torch.tensor(2.0),), (torch.tensor(1.0),)))
    with pytest.raises(RuleBroken, match="never asked"):
        watch.asks_autograd(lambda: 2 * X)


def test_arguments_that_stay() -> None:
    model = nn.Linear(2, 1)
    watch.unchanged(square, X.clone(), torch.tensor(2.0))
    watch.unchanged(lambda model, rows: model(rows[0]), model, [X.clone(), {"y": X.clone()}])
    assert torch.equal(X, torch.tensor([-1.0, 2.0]))


@pytest.mark.parametrize(
    ("does", "told"),
    numbered(
        (lambda x, w: x.clamp_(min=0), "`x` was changed.*compute something new"),
        (lambda x, w: w.add_(1e-7), "`w` was changed"),
        (lambda x, w: x.requires_grad_(), "takes part in gradients"),
        (lambda x, w: x.unsqueeze_(0), r"Its shape was \(2,\) and is \(1, 2\)"),
        (lambda x, w: x.__setitem__(0, math.nan), "`x`"),
    ),
)
def test_arguments_that_were_changed(does: Callable[[torch.Tensor, torch.Tensor], object], told: str) -> None:
    with pytest.raises(RuleBroken, match=told):
        watch.unchanged(does, X.clone(), torch.tensor([0.5]))


def test_models_and_lists_that_were_changed() -> None:
    for model in (nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 1))):
        with pytest.raises(RuleBroken, match="`model`"):
            watch.unchanged(lambda model: model.double(), model)
    with pytest.raises(RuleBroken, match="`model`"):
        watch.unchanged(lambda model: model.eval(), nn.Dropout())
    with pytest.raises(RuleBroken, match="`rows`"):
        watch.unchanged(lambda rows: rows.append(X), [X])
    with pytest.raises(RuleBroken, match="argument 1"):
        watch.unchanged(dict.pop, {"x": X}, "x")


def test_an_error_of_the_learners_passes_through() -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    for call in (
        lambda: watch.unchanged(fails, X),
        lambda: watch.without("relu", run=fails),
        lambda: watch.asks_autograd(fails),
        lambda: watch.without_autograd(fails),
        lambda: watch.no_loop(fails, fails),
        lambda: watch.shared_randomness_untouched(fails),
    ):
        with pytest.raises(ZeroDivisionError):
            call()


def test_counted_calls() -> None:
    loss = watch.counted(square)
    assert loss(torch.tensor(3.0)).item() == loss(torch.tensor(-3.0)).item() == 9.0
    assert loss.calls == 2


def test_loops_over_data() -> None:
    def at_once(x: torch.Tensor) -> torch.Tensor:
        return (x**2).mean()

    def one_by_one(x: torch.Tensor) -> torch.Tensor:
        total = torch.tensor(0.0)
        for value in x:
            total = total + value**2
        return total / len(x)

    def inside(x: torch.Tensor) -> float:
        return sum(value.item() ** 2 for value in x) / len(x)

    small, large = torch.ones(2), torch.ones(9)
    watch.no_loop(lambda: at_once(small), lambda: at_once(large))
    for loop in (one_by_one, inside):
        with pytest.raises(RuleBroken, match="loop over it"):
            watch.no_loop(lambda: loop(small), lambda: loop(large))  # noqa: B023


@pytest.mark.parametrize(
    ("draws", "told"),
    numbered(
        (lambda: torch.rand(1), "torch"),
        (lambda: torch.manual_seed(3), "torch"),
        (lambda: np.random.rand(), "NumPy"),
        (lambda: __import__("random").random(), "Python"),
    ),
)
def test_shared_randomness(draws: Callable[[], object], told: str) -> None:
    with pytest.raises(RuleBroken, match=told):
        watch.shared_randomness_untouched(draws)
    watch.shared_randomness_untouched(lambda: torch.rand(1, generator=torch.Generator().manual_seed(1)))

"""Server optimizers beside torch's own, with the negative update as gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.study.training import ServerOptimizer
from fedgen.training.server_optimizer import TAU, server_update


def trained(options, deltas):
    """The model after rounds with these mean updates, from zero."""
    model, state = torch.zeros(5), {}
    for delta in deltas:
        update, state = server_update(options, delta, state)
        model = model + update
    return model, state


@pytest.fixture
def deltas():
    rng = torch.Generator().manual_seed(2)
    return [torch.randn(5, generator=rng) for _ in range(6)]


def test_average_adds_the_mean_update(deltas) -> None:
    model, state = trained(ServerOptimizer(), deltas)
    assert torch.allclose(model, torch.stack(deltas).sum(dim=0)) and state == {}


def test_momentum_is_torchs(deltas) -> None:
    model, _ = trained(ServerOptimizer(name="momentum", learning_rate=0.3, beta_1=0.8), deltas)
    parameter = torch.zeros(5, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.3, momentum=0.8)
    for delta in deltas:
        parameter.grad = -delta
        optimizer.step()
    assert torch.allclose(model, parameter.detach(), atol=1e-6)


def test_adam_is_the_papers_without_bias_correction(deltas) -> None:
    """Algorithm 2 of Reddi et al., written out with scalars."""
    options = ServerOptimizer(name="adam", learning_rate=0.05, beta_1=0.9, beta_2=0.99)
    model, _ = trained(options, deltas)
    for i in range(5):
        x = m = v = 0.0
        for delta in deltas:
            g = float(delta[i])
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
            x += 0.05 * m / (v**0.5 + TAU)
        assert float(model[i]) == pytest.approx(x, rel=1e-5)


@given(st.sampled_from(["momentum", "adam"]), st.integers(0, 5))
def test_state_carries_on_where_it_was_saved(name, stop) -> None:
    rng = torch.Generator().manual_seed(3)
    deltas = [torch.randn(5, generator=rng) for _ in range(6)]
    options = ServerOptimizer(name=name, learning_rate=0.1)
    whole, _ = trained(options, deltas)
    model, state = trained(options, deltas[:stop])
    state = {key: tensor.clone() for key, tensor in state.items()}
    for delta in deltas[stop:]:
        update, state = server_update(options, delta, state)
        model = model + update
    assert torch.equal(model, whole)

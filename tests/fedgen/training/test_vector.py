"""Networks to one vector and back, for any shapes; what is no model is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedgen.errors import FederationError
from fedgen.training.vector import ParameterLayout, check_vector, vector_sha256

SHAPES = st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=4)


class Shaped(nn.Module):
    def __init__(self, shapes: list[list[int]], rng: torch.Generator) -> None:
        super().__init__()
        self.values = nn.ParameterList([torch.randn(shape, generator=rng) for shape in shapes])


@settings(deadline=None)
@given(a=SHAPES, b=SHAPES, seed=st.integers(0, 1000))
def test_round_trip(a, b, seed) -> None:
    rng = torch.Generator().manual_seed(seed)
    networks = {"b": Shaped(b, rng), "a": Shaped(a, rng)}
    layout = ParameterLayout.of(networks)
    vector = layout.flatten(networks)
    expected = [p.detach().flatten() for name in ("a", "b") for p in networks[name].parameters()]
    assert torch.equal(vector, torch.cat(expected))
    assert (vector.dtype, vector.shape) == (torch.float32, (layout.size,))
    others = {"a": Shaped(a, rng), "b": Shaped(b, rng)}
    assert ParameterLayout.of(others) == layout
    layout.load(others, vector)
    assert torch.equal(layout.flatten(others), vector)
    for name, tensor in layout.tensors(vector).items():
        network, _, parameter = name.partition("/")
        assert torch.equal(tensor, networks[network].get_parameter(parameter))


def test_the_vector_is_a_copy() -> None:
    networks = {"net": nn.Linear(2, 2)}
    vector = ParameterLayout.of(networks).flatten(networks)
    vector += 1
    assert not torch.equal(ParameterLayout.of(networks).flatten(networks), vector)


@pytest.mark.parametrize(
    "vector",
    [
        torch.zeros(5),
        torch.zeros(7),
        torch.zeros(0),
        torch.zeros(6, dtype=torch.float64),
        torch.zeros(6, dtype=torch.int64),
        torch.zeros(2, 3),
        torch.tensor([0.0, 1, 2, 3, 4, float("nan")]),
        torch.tensor([0.0, 1, 2, 3, 4, float("inf")]),
        torch.tensor([-float("inf"), 1, 2, 3, 4, 5]),
    ],
)
def test_what_is_no_model_is_refused_and_changes_nothing(vector) -> None:
    networks = {"net": nn.Linear(2, 2)}
    layout = ParameterLayout.of(networks)
    assert layout.size == 6
    before = layout.flatten(networks)
    with pytest.raises(FederationError):
        check_vector(vector, 6)
    with pytest.raises(FederationError):
        layout.load(networks, vector)
    assert torch.equal(layout.flatten(networks), before)


def test_the_hash_is_of_the_float32_bytes() -> None:
    values = np.random.default_rng(0).normal(size=40).astype("<f4")
    vector = torch.from_numpy(values.copy())
    assert vector_sha256(vector) == hashlib.sha256(values.tobytes()).hexdigest()
    assert vector_sha256(vector[::2]) == hashlib.sha256(values[::2].tobytes()).hexdigest()
    vector[7] = float(np.nextafter(values[7], np.float32(9)))
    assert vector_sha256(vector) != hashlib.sha256(values.tobytes()).hexdigest()

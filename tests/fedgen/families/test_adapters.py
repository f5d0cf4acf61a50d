"""Adapters begin as nothing, learn exactly, and merge into plain layers that do the same."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedgen.errors import DataError, StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.parts.adapted import AdaptedFamily
from fedgen.families.parts.adapter_options import Adapters
from fedgen.families.parts.adapters import AdaptedConv2d, AdaptedConv3d, AdaptedLinear, attach, merge
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen.training.vector import ParameterLayout
from fedgen_privacy.gradients.protocol import pieces

OPTIONS = Adapters(rank=2, alpha=3.0)


def weights(networks) -> dict[str, torch.Tensor]:
    return {f"{n}/{k}": p.detach() for n, m in networks.items() for k, p in m.named_parameters()}


def shaken(networks, dtype=torch.float32):
    """Adapters away from B = 0, where dL/dA is zero and any two gradients agree."""
    torch.manual_seed(1)
    for network in networks.values():
        network.to(dtype)
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data.add_(0.1 * torch.randn_like(parameter))
    return networks


def losses(family, networks, records, draw_for, dtype=torch.float32):
    return torch.cat(
        [
            objective.loss(
                networks, records if objective.touches_data else None, draw_for(objective, dtype=dtype)
            )
            for objective in objectives_of(family)
        ]
    )


def test_adapted_networks_begin_as_the_frozen_ones(stepping, perturbed, ragged, draw_for) -> None:
    frozen = perturbed(stepping)
    networks = AdaptedFamily(stepping, OPTIONS, weights(frozen)).networks()
    names = {name for name, _ in ParameterLayout.of(networks).entries}
    assert names and all(name.endswith(("adapter_A", "adapter_B")) for name in names)
    assert {name.split("/")[0] for name in names} == set(networks)
    records = ragged()
    assert torch.equal(
        losses(stepping, networks, records, draw_for), losses(stepping, frozen, records, draw_for)
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
def test_per_record_gradients_equal_a_loop(
    stepping, dtype, tolerance, backend, perturbed, ragged, draw_for
) -> None:
    """Each backend beside one record at a time through the modules and ordinary autograd."""
    networks = shaken(AdaptedFamily(stepping, OPTIONS, weights(perturbed(stepping))).networks(), dtype)
    records = ragged(dtype)
    objective = next(o for o in objectives_of(stepping) if o.touches_data)
    draws, params = draw_for(objective, dtype=dtype), trainable(objective, networks)
    values = {name: parameter.detach() for name, parameter in params.items()}
    chunks = gradients_of(objective, networks, backend)(values, (records, draws), chunk=3)
    actual = torch.cat([torch.cat([g[name].flatten(1) for name in params], dim=1) for g, _ in chunks])
    alive = torch.zeros(actual.shape[1], dtype=torch.bool)
    for b, one in enumerate(pieces((records, draws), 1)):
        loss = objective.loss(networks, *one).sum()
        found = torch.autograd.grad(loss, list(params.values()))
        expected = torch.cat([gradient.flatten() for gradient in found])
        alive |= expected != 0
        assert (actual[b] - expected).norm() / expected.norm() < tolerance
    # No parameter may be dead, or the comparison would be vacuous for it.
    assert alive.float().mean() > 0.9


def test_merged_networks_do_the_same_and_are_plain(stepping, perturbed, ragged, draw_for) -> None:
    frozen = perturbed(stepping)
    networks = shaken(AdaptedFamily(stepping, OPTIONS, weights(frozen)).networks(), torch.float64)
    records = ragged(torch.float64)
    merged = copy.deepcopy(networks)
    merge(merged)
    modules = [module for network in merged.values() for module in network.modules()]
    assert not any(isinstance(module, AdaptedLinear | AdaptedConv2d | AdaptedConv3d) for module in modules)
    assert [(n, p.shape) for n, p in weights(merged).items()] == [
        (n, p.shape) for n, p in weights(frozen).items()
    ]
    one = losses(stepping, networks, records, draw_for, torch.float64)
    other = losses(stepping, merged, records, draw_for, torch.float64)
    assert torch.allclose(one, other, rtol=1e-9)
    start = losses(stepping, {k: n.double() for k, n in frozen.items()}, records, draw_for, torch.float64)
    assert not torch.allclose(other, start, rtol=1e-3)


@pytest.mark.parametrize(("kind", "adapt"), [(nn.Conv2d, AdaptedConv2d), (nn.Conv3d, AdaptedConv3d)])
@given(
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    mode=st.sampled_from(["zeros", "reflect", "circular"]),
    bias=st.booleans(),
    rank=st.integers(1, 9),
)
def test_a_convolution_is_the_one_of_its_summed_kernel(
    kind, adapt, stride, dilation, mode, bias, rank
) -> None:
    """W + (alpha / r) sum over the rank of B's column times A's kernel, written as a loop."""
    torch.manual_seed(0)
    layer = kind(
        3,
        4,
        3,
        stride=stride,
        dilation=dilation,
        padding=2,
        padding_mode=mode,
        bias=bias,
        dtype=torch.float64,
    )
    adapted = adapt(layer, Adapters(rank=rank, alpha=5.0))
    nn.init.normal_(adapted.adapter_B)
    inner = min(rank, 4)
    size = layer.kernel_size
    assert adapted.adapter_A.shape == (inner, 3, *size)
    kernel = layer.weight.detach().clone()
    for k in range(inner):
        for out in range(4):
            kernel[out] += 5.0 / rank * adapted.adapter_B[out, k].detach() * adapted.adapter_A[k].detach()
    expected = copy.deepcopy(layer)
    expected.weight = nn.Parameter(kernel)
    x = torch.randn(2, 3, *[2 * side for side in size], dtype=torch.float64)
    assert torch.allclose(adapted(x), expected(x))
    assert torch.allclose(adapted.merged()(x), expected(x))


def test_targets_choose_the_layers(study_of) -> None:
    from fedgen.recipe import Recipe

    def adapted(name: str, *targets: str) -> set[str]:
        networks = Recipe.of(study_of(name)).family.networks()
        attach(networks, Adapters(targets=targets))
        return {entry.rpartition(".")[0] for entry, _ in ParameterLayout.of(networks).entries}

    attention, linear = adapted("diffusion", "attention"), adapted("diffusion", "linear")
    assert attention and all(".attn." in name for name in attention)
    assert linear and not any(".attn." in name for name in linear)
    assert adapted("diffusion", "attention", "convolution", "linear") == (
        attention | linear | adapted("diffusion", "convolution")
    )
    with pytest.raises(StudyError, match=r"targets \['attention'\] names no layer of the network vae"):
        adapted("vae", "attention")


def test_no_network_is_made_on_weights_that_are_not_there(stepping) -> None:
    with pytest.raises(DataError, match=r"pretrained\.safetensors"):
        AdaptedFamily(stepping, OPTIONS, None).networks()
    assert ParameterLayout.of(AdaptedFamily(stepping, OPTIONS, None, blank=True).networks()).size

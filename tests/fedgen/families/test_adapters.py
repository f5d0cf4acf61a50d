"""Adapters begin as nothing, learn exactly, and merge into plain layers that do the same."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.networks.blocks import TransformerBlock
from monai.networks.nets import DiffusionModelUNet
from torch import nn
from torch.func import functional_call

from fedgen.errors import DataError, StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.parts.adapted import AdaptedFamily
from fedgen.families.parts.adapted_layers import ADAPTED, AdaptedLayer
from fedgen.families.parts.adapter_options import Adapters
from fedgen.families.parts.adapters import attach, merge
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen.training.vector import ParameterLayout
from fedgen_privacy.gradients.hooks import HookedGradients
from fedgen_privacy.gradients.protocol import pieces
from fedgen_privacy.gradients.vmap import vmapped

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
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-9), pytest.param(torch.float32, 2e-4, marks=pytest.mark.slow)],
)
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
    assert not any(isinstance(module, AdaptedLayer) for module in modules)
    assert [(n, p.shape) for n, p in weights(merged).items()] == [
        (n, p.shape) for n, p in weights(frozen).items()
    ]
    one = losses(stepping, networks, records, draw_for, torch.float64)
    other = losses(stepping, merged, records, draw_for, torch.float64)
    assert torch.allclose(one, other, rtol=1e-9)
    start = losses(stepping, {k: n.double() for k, n in frozen.items()}, records, draw_for, torch.float64)
    assert not torch.allclose(other, start, rtol=1e-3)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Conv3d])
@given(
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    mode=st.sampled_from(["zeros", "reflect", "circular"]),
    bias=st.booleans(),
    rank=st.integers(1, 9),
)
def test_a_convolution_is_the_one_of_its_summed_kernel(
    kind, stride, dilation, groups, mode, bias, rank
) -> None:
    torch.manual_seed(0)
    layer = kind(
        4,
        4,
        3,
        stride=stride,
        dilation=dilation,
        groups=groups,
        padding=2,
        padding_mode=mode,
        bias=bias,
        dtype=torch.float64,
    )
    assert_is_the_sum(layer, rank)


@pytest.mark.parametrize("kind", [nn.ConvTranspose2d, nn.ConvTranspose3d])
@given(
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    bias=st.booleans(),
    rank=st.integers(1, 9),
)
def test_a_transposed_convolution_is_the_one_of_its_summed_kernel(
    kind, stride, dilation, groups, bias, rank
) -> None:
    torch.manual_seed(0)
    layer = kind(
        4,
        4,
        3,
        stride=stride,
        dilation=dilation,
        groups=groups,
        padding=1,
        output_padding=stride - 1,
        bias=bias,
        dtype=torch.float64,
    )
    assert_is_the_sum(layer, rank)


def assert_is_the_sum(layer, rank: int) -> None:
    """W + (alpha / r) sum over the rank of B's column times A's slice of W, written as a loop."""
    adapted = ADAPTED[type(layer)](layer, Adapters(rank=rank, alpha=5.0))
    x = torch.randn(2, 4, *[6] * (layer.weight.ndim - 2), dtype=torch.float64)
    assert torch.equal(adapted(x), layer(x))
    nn.init.normal_(adapted.adapter_B)
    rows, *columns = layer.weight.shape
    inner = min(rank, rows)
    assert adapted.adapter_A.shape == (inner, *columns)
    kernel = layer.weight.detach().clone()
    for k in range(inner):
        for row in range(rows):
            kernel[row] += 5.0 / rank * adapted.adapter_B[row, k].detach() * adapted.adapter_A[k].detach()
    expected = copy.deepcopy(layer)
    expected.weight = nn.Parameter(kernel)
    assert torch.allclose(adapted(x), expected(x))
    assert torch.allclose(adapted.merged()(x), expected(x))


class EveryLayer(nn.Module):
    """One of each layer that adapters know, on images of `axes` axes."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        straight = {2: nn.Conv2d, 3: nn.Conv3d}[axes]
        transposed = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[axes]
        self.conv = straight(2, 4, 3, stride=2, padding=1, padding_mode="circular")
        self.grouped = straight(4, 4, 3, padding=1, groups=2, bias=False)
        self.up = transposed(4, 3, 4, stride=2, padding=1)
        self.block = TransformerBlock(4, 8, 2, with_cross_attention=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        h = self.grouped(torch.tanh(self.conv(x)))
        tokens = h.flatten(2).transpose(1, 2)
        return (
            self.up(h).square().flatten(1).mean(1) + self.head(self.block(tokens, tokens)).sum((1, 2)).tanh()
        )


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_per_record_gradients_of_every_adapted_layer_equal_a_loop(axes, backend) -> None:
    torch.manual_seed(0)
    network = EveryLayer(axes).double()
    attach({"net": network}, OPTIONS)
    assert not any(type(module) in ADAPTED for module in network.modules())
    shaken({"net": network}, torch.float64)
    params = {f"net/{n}": p for n, p in network.named_parameters() if p.requires_grad}
    records = torch.randn(3, 2, 2, *[4] * axes, dtype=torch.float64)

    def loss(values, batch):
        own = {name.removeprefix("net/"): value for name, value in values.items()}
        return functional_call(network, own, (batch.flatten(0, 1),)).reshape(len(batch), -1).mean(1)

    gradients = (
        HookedGradients(loss, {"net": network})
        if backend == "hooks"
        else vmapped(lambda values, record: loss(values, record[None])[0])
    )
    chunks = list(gradients({name: p.detach() for name, p in params.items()}, records, chunk=2))
    for name, parameter in params.items():
        found = torch.cat([chunk[name] for chunk, _ in chunks])
        assert found.abs().sum() > 0, name
        for b in range(3):
            (expected,) = torch.autograd.grad(loss(params, records[b : b + 1]).sum(), [parameter])
            assert torch.allclose(found[b], expected, rtol=1e-9, atol=1e-12), name


def test_attention_of_every_kind_is_known() -> None:
    """Self-attention, and the cross-attention by which an embedding is read."""
    network = DiffusionModelUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        channels=(8, 8),
        attention_levels=(False, True),
        num_res_blocks=1,
        num_head_channels=4,
        norm_num_groups=4,
        with_conditioning=True,
        cross_attention_dim=5,
    )
    attach({"unet": network}, Adapters(targets=("attention",)))
    ends = {name.split(".")[-2] for name, p in network.named_parameters() if p.requires_grad}
    assert ends == {"to_q", "to_k", "to_v", "out_proj"}
    kinds = {name.split(".")[-3] for name, p in network.named_parameters() if p.requires_grad}
    assert {"attn1", "attn2"} <= kinds


def test_names_choose_among_the_layers() -> None:
    network = EveryLayer(2)
    attach({"net": network}, Adapters(layers=("net/block.*", "net/u?")))
    adapted = {name for name, p in network.named_parameters() if p.requires_grad}
    assert adapted and all(name.startswith(("block.", "up.")) for name in adapted)
    with pytest.raises(StudyError, match=r"layers \['other/\*'\] names no layer of the network net"):
        attach({"net": EveryLayer(2)}, Adapters(layers=("other/*",)))


def test_a_layer_that_does_something_else_with_its_weight_is_left_alone() -> None:
    class Halved(nn.Linear):
        def forward(self, input):
            return nn.functional.linear(input, self.weight / 2, self.bias)

    network = nn.Sequential(Halved(3, 3), nn.MultiheadAttention(4, 2), nn.Linear(3, 3))
    attach({"net": network}, OPTIONS)
    adapted = {name for name, p in network.named_parameters() if p.requires_grad}
    assert adapted == {"2.adapter_A", "2.adapter_B"}


def test_a_layer_in_two_places_has_one_adapter_and_shared_weights_none() -> None:
    shared, tied = nn.Linear(3, 3), nn.Linear(3, 3)
    tied.weight = nn.Parameter(torch.randn(3, 3))
    other = nn.Linear(3, 3)
    other.weight = tied.weight
    network = nn.Sequential(shared, nn.Tanh(), shared, tied, other)
    attach({"net": network}, OPTIONS)
    assert network[0] is network[2] and isinstance(network[0], AdaptedLayer)
    assert type(network[3]) is nn.Linear and network[3].weight is network[4].weight
    x = torch.randn(2, 3)
    nn.init.normal_(network[0].adapter_B)
    expected = network(x)
    merge({"net": network})
    assert network[0] is network[2] and type(network[0]) is nn.Linear
    assert torch.allclose(network(x), expected, atol=1e-6)


def test_what_the_family_never_trains_stays_as_it_is() -> None:
    frozen = nn.Sequential(nn.Linear(2, 2)).requires_grad_(False)
    attach({"frozen": frozen, "net": EveryLayer(2)}, OPTIONS)
    assert type(frozen[0]) is nn.Linear


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

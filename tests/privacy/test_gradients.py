"""Hooks and vmap give each record's own gradient: over records, images, draws, absent images, chunks, layers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.gradients.hooks import HookedGradients
from fedgen_privacy.gradients.layers import any_layer, convolution, rule_of
from fedgen_privacy.gradients.vmap import vmapped

#: Of images along two axes, and along three.
SIZES = {2: (6, 6), 3: (4, 5, 6)}


class Scale(nn.Module):
    """A layer of two inputs that no rule knows."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4, *[1] * axes))

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        return torch.sin(self.gain * x) + shift.reshape(-1, *self.gain.shape)


class Network(nn.Module):
    """Every rule at once: two kinds of convolution, norm, embedding, linear on 2 and 3 axes, an unknown layer.

    One layer is called twice, and another's weight is tied to it.
    """

    axes = 2

    def __init__(self) -> None:
        super().__init__()
        kind = {2: nn.Conv2d, 3: nn.Conv3d}[self.axes]
        self.first = kind(1, 4, 3, padding=1)
        self.grouped = kind(4, 4, 3, stride=2, padding=2, dilation=2, groups=2, bias=False)
        self.norm = nn.GroupNorm(2, 4)
        self.label = nn.Embedding(3, 4)
        self.tokens = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.tokens.weight
        self.scale = Scale(self.axes)
        self.reflecting = kind(4, 2, 3, padding=1, padding_mode="reflect")
        self.last = nn.Linear(2, 1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        h = self.norm(torch.tanh(self.first(x)))
        h = self.scale(self.grouped(h), self.label(labels))
        tokens = self.tied(torch.tanh(self.tokens(self.tokens(h.flatten(2).movedim(1, 2)))))
        h = tokens.movedim(1, 2).reshape(h.shape)
        return self.last(self.reflecting(h).flatten(2).mean(dim=2))[:, 0]


class Volume(Network):
    """The same along three axes."""

    axes = 3


class Case:
    """A network and a batch of `counts` images a patient, each repeated for K draws of noise."""

    def __init__(self, counts: list[int], K: int, network: type[Network] = Network) -> None:
        torch.manual_seed(0)
        self.network = network().double()
        self.params = {f"net/{name}": p.detach() for name, p in self.network.named_parameters()}
        B, M = len(counts), max(counts)
        present = torch.arange(M)[None, :] < torch.tensor(counts)[:, None]
        size = SIZES[network.axes]
        here = present.reshape(B, M, *[1] * (1 + len(size)))
        self.batch = {
            "x": torch.randn(B, M, 1, *size, dtype=torch.float64) * here,
            "labels": torch.randint(3, (B, M)) * present,
            "weights": present.double() / torch.tensor(counts)[:, None],
            "noise": torch.randn(B, M, K, 1, *size, dtype=torch.float64),
        }

    def loss(self, params: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
        """(B,): weighted over images, averaged over draws."""
        own = {name.removeprefix("net/"): p for name, p in params.items()}
        B, M, K = batch["noise"].shape[:3]
        x = (batch["x"][:, :, None] + batch["noise"]).flatten(0, 2)
        labels = batch["labels"][:, :, None].expand(B, M, K).flatten()
        output = functional_call(self.network, own, (x, labels)).reshape(B, M, K)
        return (output.square().mean(dim=2) * batch["weights"]).sum(dim=1)

    def one(self, params: dict[str, Tensor], record: dict[str, Tensor]) -> Tensor:
        return self.loss(params, {name: t[None] for name, t in record.items()})[0]

    def by_hooks(self) -> HookedGradients:
        return HookedGradients(self.loss, {"net": self.network})

    def looped(self) -> Tensor:
        """(B, P), by ordinary autograd, one record at a time."""
        rows = []
        for b in range(len(self.batch["x"])):
            leaves = {name: p.clone().requires_grad_() for name, p in self.params.items()}
            loss = self.one(leaves, {name: t[b] for name, t in self.batch.items()})
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(leaves.values()))]))
        return torch.stack(rows)


def flat(pieces) -> tuple[Tensor, Tensor]:
    """(B, P) gradients and (B,) losses."""
    chunks = [
        (torch.cat([g.flatten(1) for g in gradients.values()], dim=1), losses) for gradients, losses in pieces
    ]
    return torch.cat([g for g, _ in chunks]), torch.cat([losses for _, losses in chunks])


@pytest.mark.parametrize("network", [Network, Volume])
@given(
    counts=st.lists(st.integers(1, 3), min_size=1, max_size=5), K=st.integers(1, 3), chunk=st.integers(1, 6)
)
@settings(max_examples=20)
def test_hooks_vmap_and_a_loop_agree(network: type[Network], counts: list[int], K: int, chunk: int) -> None:
    case = Case(counts, K, network)
    expected = case.looped()
    assert ((expected != 0).double().mean(dim=0) > 0).double().mean() > 0.9
    hooked, losses = flat(case.by_hooks()(case.params, case.batch, chunk=chunk))
    mapped, mapped_losses = flat(vmapped(case.one)(case.params, case.batch, chunk=chunk))
    for actual in (hooked, mapped):
        assert ((actual - expected).norm(dim=1) / expected.norm(dim=1)).max() < 1e-10
    assert torch.allclose(losses, mapped_losses, rtol=1e-10)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Conv3d])
def test_a_convolution_has_a_rule_of_its_own_where_torch_has_one(kind: type[nn.Module]) -> None:
    assert rule_of(kind(1, 1, 3)) is convolution
    for special in (kind(1, 1, 3, padding="same"), kind(1, 1, 3, padding=1, padding_mode="reflect")):
        assert rule_of(special) is any_layer


def test_nothing_is_left_on_the_network() -> None:
    case = Case([2, 1], 2)
    pieces = case.by_hooks()(case.params, case.batch, chunk=1)
    next(pieces)
    pieces.close()
    for layer in case.network.modules():
        assert not layer._forward_hooks and not layer._forward_pre_hooks and not layer._backward_hooks
    for parameter in case.network.parameters():
        assert parameter.grad is None
        assert not hasattr(parameter, "grad_sample")
        assert parameter.requires_grad


def test_a_plain_step_between_two_private_ones_changes_nothing() -> None:
    case = Case([2, 1], 1)
    per_record = case.by_hooks()
    before = flat(per_record(case.params, case.batch, chunk=2))[0]
    case.loss(dict(case.params), case.batch)
    leaves = {name: p.clone().requires_grad_() for name, p in case.params.items()}
    case.loss(leaves, case.batch).mean().backward()
    assert torch.equal(flat(per_record(case.params, case.batch, chunk=2))[0], before)


def test_the_parameters_that_are_given_are_those_that_are_used() -> None:
    case = Case([1, 2], 1)
    case.params = {name: p + 0.3 for name, p in case.params.items()}
    assert torch.allclose(
        flat(case.by_hooks()(case.params, case.batch, chunk=2))[0], case.looped(), atol=1e-10
    )


def test_a_record_that_is_not_finite_does_not_touch_the_others() -> None:
    case = Case([1, 2, 1], 1)
    expected = flat(case.by_hooks()(case.params, case.batch, chunk=3))[0]
    case.batch["x"][1] = float("nan")
    actual = flat(case.by_hooks()(case.params, case.batch, chunk=3))[0]
    assert torch.equal(actual[[0, 2]], expected[[0, 2]])
    assert actual[1].isnan().any()


class Overwrites(Network):
    """Changes a convolution's input in place after it was read."""

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        x = x.clone()
        h = self.first(x)
        x.zero_()
        return h.mean(dim=(1, 2, 3))


class Borrows(Network):
    """Uses a layer's weight without calling the layer."""

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        h = nn.functional.conv2d(x, self.first.weight, self.first.bias)
        return h.mean(dim=(1, 2, 3))


class Mixes(Network):
    """Calls a layer with rows that are not the records'."""

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return super().forward(x, labels) + self.last(torch.ones(1, 2, dtype=x.dtype))[:, 0]


@pytest.mark.parametrize(
    ("network", "error", "words"),
    [
        (Overwrites, RuntimeError, "inplace operation"),
        (Borrows, PrivacyRefusedError, "not called as a module"),
        (Mixes, PrivacyRefusedError, "rows of 2 records"),
    ],
)
def test_what_hooks_cannot_see_is_refused(network, error, words) -> None:
    case = Case([1, 1], 1, network)
    with pytest.raises(error, match=words):
        list(case.by_hooks()(case.params, case.batch, chunk=2))


def _slope_by_func(call, x):
    return torch.func.grad(lambda x: call(x).sum())(x)


def _slope_by_autograd(call, x):
    x = x.requires_grad_()
    return torch.autograd.grad(call(x).sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("slope", [_slope_by_func, _slope_by_autograd])
def test_a_loss_that_differentiates_a_network_is_refused_and_never_misread(slope) -> None:
    """The inner pass would be taken for the loss's; vmap follows it."""
    case = Case([1, 1], 1)

    def penalised(params, batch):
        own = {name.removeprefix("net/"): p for name, p in params.items()}
        labels = batch["labels"][:, 0]
        made = slope(lambda x: functional_call(case.network, own, (x, labels)), batch["x"][:, 0].clone())
        return made.flatten(1).square().sum(dim=1)

    with pytest.raises(
        PrivacyRefusedError, match=r"as a gradient penalty does: set training\.gradients to vmap"
    ):
        list(HookedGradients(penalised, {"net": case.network})(case.params, case.batch, chunk=2))
    if slope is _slope_by_func:
        by_vmap = vmapped(lambda p, r: penalised(p, {name: t[None] for name, t in r.items()})[0])
        gradients, _ = flat(by_vmap(case.params, case.batch, chunk=2))
        leaves = {name: p.clone().requires_grad_() for name, p in case.params.items()}
        total = torch.autograd.grad(
            penalised(leaves, case.batch)[1], list(leaves.values()), materialize_grads=True, allow_unused=True
        )
        assert torch.allclose(gradients[1], torch.cat([g.flatten() for g in total]), atol=1e-10)


def test_gradients_of_mixed_precision_have_the_type_of_the_parameters() -> None:
    case = Case([2, 1], 2)
    params = {name: p.float() for name, p in case.params.items()}
    batch = {name: t.float() if t.is_floating_point() else t for name, t in case.batch.items()}
    case.network.float()

    def mixed(params, batch):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            return case.loss(params, batch).float()

    hooked = HookedGradients(mixed, {"net": case.network})
    by_vmap = vmapped(lambda p, r: mixed(p, {name: t[None] for name, t in r.items()})[0])
    exact = flat(case.by_hooks()(params, batch, chunk=2))[0]
    for per_record in (hooked, by_vmap):
        (gradients, _), *_ = per_record(params, batch, chunk=2)
        assert {g.dtype for g in gradients.values()} == {torch.float32}
        rounded = torch.cat([g.flatten(1) for g in gradients.values()], dim=1)
        relative = (rounded - exact).norm() / exact.norm()
        assert 1e-6 < relative < 5e-2, "either not rounded at all, or by more than bfloat16 does"

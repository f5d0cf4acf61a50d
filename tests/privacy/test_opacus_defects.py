"""What Opacus 1.6 gets wrong is right here, whether or not a later Opacus gets it right (docs/decisions/opacus)."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from monai.networks.nets import VQVAE, AutoencoderKL
from torch import Tensor, nn
from torch.func import functional_call

from fedgen_privacy.errors import PrivacyRefusedError
from fedgen_privacy.gradients.hooks import HookedGradients
from fedgen_privacy.gradients.vmap import vmapped
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.step import LOSS_SHARE, GaussianStep

SCRIPTS = sorted((Path(__file__).parents[2] / "docs" / "decisions" / "opacus").glob("*.py"))
KEY = bytes(32)
C = 1e-2


def channels_last(x: Tensor) -> Tensor:
    """The same values, in the memory order that a transposed attention leaves behind."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


class ChannelsLast(nn.Module):
    """Two convolutions whose inputs lie in memory channels last, as after MONAI's attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 2, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(channels_last(x))
        return self.second(channels_last(torch.tanh(x)))


class Mean(nn.Module):
    """MONAI's autoencoder with attention, from the mean of its posterior, so that it can be repeated."""

    def __init__(self) -> None:
        super().__init__()
        network = AutoencoderKL(
            spatial_dims=2,
            in_channels=3,
            out_channels=3,
            channels=(4, 8),
            num_res_blocks=1,
            latent_channels=2,
            norm_num_groups=4,
            attention_levels=(False, True),
        )
        del network.quant_conv_log_sigma
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        h = self.network.encoder(x)
        return self.network.decode(self.network.quant_conv_mu(h))


class Codebook(nn.Module):
    """MONAI's vector-quantised autoencoder."""

    def __init__(self) -> None:
        super().__init__()
        self.network = VQVAE(
            spatial_dims=2,
            in_channels=3,
            out_channels=3,
            channels=(4, 4),
            num_res_channels=(4, 4),
            num_res_layers=1,
            downsample_parameters=((2, 4, 1, 1),) * 2,
            upsample_parameters=((2, 4, 1, 1, 0),) * 2,
            num_embeddings=8,
            embedding_dim=4,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[0]


def case(network: nn.Module):
    """Per-record gradients both ways, parameters, and a batch of four records of two images."""
    torch.manual_seed(0)
    # MONAI's quantiser computes in float32 whatever it is given.
    dtype = torch.float32 if isinstance(network, Codebook) else torch.float64
    network = network.to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    params = {f"net/{name}": p.detach() for name, p in network.named_parameters()}
    batch = {"x": torch.randn(4, 2, 3, 8, 8, dtype=dtype)}

    def batch_loss(params, batch):
        own = {name.removeprefix("net/"): p for name, p in params.items()}
        B = len(batch["x"])
        output = functional_call(network, own, (batch["x"].flatten(0, 1),))
        return output.square().reshape(B, -1).sum(dim=1)

    def record_loss(params, record):
        return batch_loss(params, {"x": record["x"][None]})[0]

    return batch_loss, vmapped(record_loss), params, batch


def looped(batch_loss, params, batch) -> Tensor:
    """(B, P), by ordinary autograd, one record at a time."""
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    found = []
    for x in batch["x"]:
        loss = batch_loss(leaves, {"x": x[None]}).sum()
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(leaves.values()))]))
    return torch.stack(found)


def vector(gradients) -> Tensor:
    return torch.cat([g.flatten() for g in gradients.values()])


@pytest.fixture(params=["vmap", "hooks"])
def backend(request):
    def make(network: nn.Module):
        batch_loss, by_vmap, params, batch = case(network)
        per_record = by_vmap if request.param == "vmap" else HookedGradients(batch_loss, {"net": network})
        return per_record, batch_loss, params, batch

    return make


@pytest.mark.parametrize("network", [ChannelsLast, Mean])
def test_gradients_are_right_in_any_memory_order(backend, network) -> None:
    per_record, batch_loss, params, batch = backend(network())
    (gradients, _), *_ = per_record(params, batch, chunk=4)
    actual = torch.cat([gradients[name].flatten(1) for name in params], dim=1)
    expected = looped(batch_loss, params, batch)
    assert ((actual - expected).norm(dim=1) / expected.norm(dim=1)).max() < 1e-9


@pytest.mark.parametrize("network", [ChannelsLast, Mean])
def test_a_record_moves_the_sum_by_c_at_most_and_not_by_less_than_it_may(backend, network) -> None:
    per_record, _, params, batch = backend(network())
    step = GaussianStep(C, 0.0, expected_batch=1.0, loss_bounds=(1.0,), chunk=2)
    for b in range(4):
        alone = step(per_record, params, {"x": batch["x"][b : b + 1]}, SecretRandom(KEY))
        assert float(vector(alone.gradients).norm()) == pytest.approx(
            C * (1 - LOSS_SHARE**2) ** 0.5, rel=1e-9
        )


def test_an_ema_codebook_is_refused(backend) -> None:
    per_record, _, params, batch = backend(Codebook().train())
    with pytest.raises((PrivacyRefusedError, RuntimeError), match=r"writes to a buffer|vmap"):
        list(per_record(params, batch, chunk=4))


def test_batch_norm_is_refused(backend) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    with pytest.raises((PrivacyRefusedError, RuntimeError), match=r"whole batch|in-?place"):
        per_record, _, params, batch = backend(network)
        list(per_record(params, batch, chunk=4))


def test_an_empty_batch_is_noised_without_a_forward_pass(backend) -> None:
    per_record, _, params, _ = backend(ChannelsLast())
    step = GaussianStep(C, 1.0, expected_batch=4.0, loss_bounds=(1.0,), chunk=2)
    released = vector(step(per_record, params, None, SecretRandom(KEY)).gradients)
    assert (released != 0).all()
    assert float(released.std()) == pytest.approx(C / 4, rel=0.2)


def test_the_divisor_knows_nothing_of_the_data(backend) -> None:
    per_record, _, params, batch = backend(ChannelsLast())
    step = GaussianStep(1e9, 0.0, expected_batch=7.0, loss_bounds=(1e9,), chunk=2)
    sums = [
        7.0 * vector(step(per_record, params, {"x": batch["x"][:n]}, SecretRandom(KEY)).gradients)
        for n in (3, 4)
    ]
    last = vector(step(per_record, params, {"x": batch["x"][3:]}, SecretRandom(KEY)).gradients)
    assert torch.allclose(sums[1] - sums[0], 7.0 * last, rtol=1e-9)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_every_script_gives_a_verdict(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(script))
    assert capsys.readouterr().out.splitlines()[-1] in ("reproduced", "not reproduced (fixed upstream?)")

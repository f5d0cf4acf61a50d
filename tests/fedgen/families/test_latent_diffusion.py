"""Diffusion of an autoencoder's code: both objectives a record, one vector, and classes that are told apart."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from fedgen.errors import StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.diffusion.family import DiffusionFamily
from fedgen.families.diffusion.options import SPEC, DiffusionOptions
from fedgen.priors.analytic import analytic
from fedgen.priors.card import CodeNetwork
from fedgen.priors.prior import Prior
from fedgen.priors.public_code import PublicCode
from fedgen.priors.train import trained
from fedgen.selftest.tasks import IMAGES
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records, one_image_each
from fedgen.task.task import image_of_class
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen.training.vector import ParameterLayout
from fedgen_privacy.gradients.protocol import records_of


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def family_of(image: ImageSpec, **options) -> DiffusionFamily:
    small = SPEC.small.model_copy(update={"latent": "trained", "linear_denoisers": False, **options})
    return DiffusionFamily(image_of_class(image, ("dark", "bright")), small)


def slopes(labels: Tensor, draws: torch.Generator, shape: tuple[int, ...] = (1, 16, 16)) -> Tensor:
    """Images of which those of class 0 are dark and of class 1 bright, each with a slope along an axis."""
    slope = torch.linspace(-0.3, 0.3, shape[1]) * torch.randn(len(labels), 1, generator=draws)
    rows = (labels - 0.5)[:, None] + slope
    return rows.reshape(len(labels), 1, -1, *[1] * (len(shape) - 2)).expand(-1, *shape).clamp(-1, 1)


@cache
def public(axes: int, steps: int = 20, d: int = 3) -> Prior:
    """An autoencoder of such images, of no patient."""
    shape, draws = IMAGES[axes].shape, rng(1)
    images = slopes(torch.arange(64) % 2, draws, shape)
    images = images + 0.05 * torch.randn(images.shape, generator=draws)
    card = CodeNetwork(channels=(8, 8), code_channels=4, steps=steps)
    return trained(images.clamp(-1, 1).numpy(), d, 0, card)[0]


def on_prior(axes: int, prior: Prior, **options) -> DiffusionFamily:
    return family_of(IMAGES[axes], latent="prior", **options).on(prior)


@pytest.mark.parametrize("axes", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("latent", ["trained", "prior"])
def test_gradients_of_a_record_equal_a_loop_by_every_backend(latent, axes, perturbed) -> None:
    family = family_of(IMAGES[axes]) if latent == "trained" else on_prior(axes, public(axes))
    networks = perturbed(family, torch.float64)
    there = torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    images = torch.rand(2, 2, *IMAGES[axes].shape, generator=rng(), dtype=torch.float64) * 2 - 1
    records = Records({"image": images, "class": torch.tensor([[0, 1], [1, 0]])}, {"patient": there})
    names = [objective.name for objective in objectives_of(family)]
    assert names == (["coding", "denoising"] if latent == "trained" else ["denoising"])
    for objective in objectives_of(family):
        drawn = {name: draw.double() for name, draw in objective.draw(2, 2, 2, rng(7)).items()}
        params = trainable(objective, networks)
        values = {name: p.detach() for name, p in params.items()}
        whole = [
            next(gradients_of(objective, networks, backend)(values, (records, drawn), chunk=2))
            for backend in BACKENDS
        ]
        for b in range(2):
            loss = objective.loss(networks, *records_of((records, drawn), b, b + 1))
            vector = torch.cat([g.flatten() for g in torch.autograd.grad(loss.sum(), list(params.values()))])
            assert vector.norm() > 1e-6
            for found, losses in whole:
                own = torch.cat([found[name][b].flatten() for name in params])
                assert losses[b].item() == pytest.approx(loss.item(), rel=1e-9)
                assert (own - vector).norm() < 1e-9 * vector.norm()


@pytest.mark.parametrize("axes", [2, 3])
def test_images_are_decoded_codes(axes, perturbed) -> None:
    family = family_of(IMAGES[axes])
    networks = perturbed(family)
    assert networks.keys() == {"unet", "autoencoder"}
    assert family.image.size == tuple(side // 2 for side in IMAGES[axes].size)
    given = {"class": torch.tensor([0, 1, 0])}
    images = family.sample(networks, given, 3, rng(3))
    assert images.shape == (3, *IMAGES[axes].shape)
    assert images.abs().max() <= 1
    records = one_image_each({"image": images, **given})
    assert family.score(networks, records, rng()).shape == (3,)


def test_an_image_that_cannot_be_halved_so_often_is_a_study_error() -> None:
    with pytest.raises(StudyError, match=r"autoencoder_channels: use sides that are multiples of 8"):
        family_of(ImageSpec(channels=1, size=(20, 20)), autoencoder_channels=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="multiples of 8"):
        DiffusionOptions(autoencoder_channels=(8, 12))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_public_code_is_the_priors_own_in_units_of_sigma(axes) -> None:
    prior, sigma = public(axes), 0.7
    images = slopes(torch.arange(64) % 2, rng(1), IMAGES[axes].shape)
    code = PublicCode(prior.space, sigma)
    with torch.no_grad():
        codes = code(images)
        assert torch.allclose(code.decode(codes), prior.space.decode(prior.space.encode(images)), atol=1e-4)
        # Over as many numbers as a code has, of latents whose entries have variance 1.
        drawn = torch.randn(4000, prior.d, generator=rng())
        spread = prior.space.code.decode(drawn) - prior.space.code.mean
    assert codes.shape[1:] == prior.space.code.shape
    assert (spread / code.unit).square().mean().sqrt().item() == pytest.approx(sigma, rel=0.05)
    assert not list(code.parameters())


def test_nothing_of_a_public_autoencoder_is_trained_or_sent() -> None:
    family = on_prior(2, public(2))
    assert {name.split("/")[0] for name, _ in ParameterLayout.of(family.networks()).entries} == {"unet"}
    # Without the file the same parameters are trained, so that a study can be planned.
    blank = family_of(IMAGES[2], latent="prior")
    assert ParameterLayout.of(blank.networks()).entries == ParameterLayout.of(family.networks()).entries
    before = public(2).space.tensors()["network/encoder.blocks.0.conv.weight"].clone()
    family.networks()["autoencoder"].double()
    assert torch.equal(public(2).space.tensors()["network/encoder.blocks.0.conv.weight"], before)


@pytest.mark.parametrize("latent", ["none", "trained", "prior"])
def test_a_score_moves_with_its_images(latent, perturbed) -> None:
    """As an attack on the model asks that climbs it."""
    family = family_of(IMAGES[2], latent=latent)
    family = family.on(public(2)) if latent == "prior" else family
    images = slopes(torch.arange(2), rng()).requires_grad_()
    records = one_image_each({"image": images, "class": torch.arange(2)})
    family.score(perturbed(family), records, rng()).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_a_prior_that_is_no_such_autoencoder_is_refused_by_name() -> None:
    with pytest.raises(
        StudyError, match="has no autoencoder: make one with `fedgen prior build --autoencoder"
    ):
        on_prior(2, analytic(IMAGES[2].shape, 4))
    with pytest.raises(StudyError, match=r"autoencoder_channels to \[8, 8\] and code_channels to 4"):
        on_prior(2, public(2), autoencoder_channels=(8, 16))
    with pytest.raises(StudyError, match=r"code_channels to 4"):
        on_prior(2, public(2), code_channels=2)
    with pytest.raises(TypeError, match="stands on no prior"):
        family_of(IMAGES[2]).on(public(2))


@pytest.mark.slow
@pytest.mark.parametrize("latent", ["trained", "prior"])
def test_losses_fall_and_classes_are_told_apart(latent) -> None:
    options = {"channels": (16, 16), "sigma_data": 1.0, "sampler_steps": 8}
    family = family_of(IMAGES[2], latent=latent, **options)
    family = family.on(public(2, 400, 16)) if latent == "prior" else family
    torch.manual_seed(0)
    networks, draws = family.networks(), rng()
    objectives = objectives_of(family)
    optimizers = [torch.optim.Adam(networks[o.updates[0]].parameters(), lr=3e-3) for o in objectives]
    losses: dict[str, list[float]] = {o.name: [] for o in objectives}
    for _ in range(300):
        labels = torch.randint(2, (8,), generator=draws)
        records = one_image_each({"image": slopes(labels, draws), "class": labels})
        for objective, optimizer in zip(objectives, optimizers, strict=True):
            loss = objective.loss(networks, records, objective.draw(8, 1, 1, draws)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[objective.name].append(loss.item())
    for each in losses.values():
        assert sum(each[-20:]) < 0.7 * sum(each[:20])
    given = {"class": torch.arange(32) % 2}
    made = family.sample(networks, given, 32, rng(3))
    assert (made[1::2].mean() - made[::2].mean()).item() == pytest.approx(1.0, abs=0.3)
    # Slopes, and no grain: what is public is how such images look.
    if latent == "prior":
        assert made.diff(dim=3).abs().mean() < 0.05

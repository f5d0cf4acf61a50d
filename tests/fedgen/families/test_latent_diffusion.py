"""Diffusion of an autoencoder's code: both objectives a record, one vector, and classes that are told apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedgen.errors import StudyError
from fedgen.families.contract import objectives_of
from fedgen.families.diffusion.family import DiffusionFamily
from fedgen.families.diffusion.options import SPEC, DiffusionOptions
from fedgen.selftest.tasks import IMAGES
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records, one_image_each
from fedgen.task.task import image_of_class
from fedgen.training.backends import BACKENDS, gradients_of
from fedgen.training.functional import trainable
from fedgen_privacy.gradients.protocol import records_of


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def family_of(image: ImageSpec, **options) -> DiffusionFamily:
    small = SPEC.small.model_copy(update={"latent": "trained", "linear_denoisers": False, **options})
    return DiffusionFamily(image_of_class(image, ("dark", "bright")), small)


@pytest.mark.parametrize("axes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_gradients_of_a_record_equal_a_loop_by_every_backend(axes, perturbed) -> None:
    family = family_of(IMAGES[axes])
    networks = perturbed(family, torch.float64)
    there = torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    images = torch.rand(2, 2, *IMAGES[axes].shape, generator=rng(), dtype=torch.float64) * 2 - 1
    records = Records({"image": images, "class": torch.tensor([[0, 1], [1, 0]])}, {"patient": there})
    assert [objective.name for objective in objectives_of(family)] == ["coding", "denoising"]
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


@pytest.mark.slow
def test_both_losses_fall_and_classes_are_told_apart() -> None:
    family = family_of(
        ImageSpec(channels=1, size=(16, 16)), channels=(16, 16), sigma_data=1.0, sampler_steps=8
    )
    torch.manual_seed(0)
    networks, draws = family.networks(), rng()
    objectives = objectives_of(family)
    optimizers = [torch.optim.Adam(networks[o.updates[0]].parameters(), lr=3e-3) for o in objectives]
    losses: dict[str, list[float]] = {o.name: [] for o in objectives}

    def images(labels: Tensor) -> Tensor:
        slope = torch.linspace(-0.3, 0.3, 16) * torch.randn(len(labels), 1, generator=draws)
        rows = (labels - 0.5)[:, None, None] + slope[:, :, None]
        return rows[:, None].expand(-1, 1, -1, 16).clamp(-1, 1)

    for _ in range(300):
        labels = torch.randint(2, (8,), generator=draws)
        records = one_image_each({"image": images(labels), "class": labels})
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

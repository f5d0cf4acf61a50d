"""Class-conditional EDM diffusion (Karras et al. 2022); under DP it is DPDM (Dockhorn et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.models.edm import (
    Denoiser,
    denoise,
    heun_sampler,
    loss_weight,
    per_row,
    sigma_steps,
    training_sigma,
)
from fedgen.models.family import Adam, Apply, Capability, Draws, Family, Objective, Records
from fedgen.models.folding import fold, patient_mean, rows
from fedgen.models.membership import minus_loss
from fedgen.models.registry import register
from fedgen.models.sampling import CHUNK, device_of
from fedgen.models.unet import ConditionalUNet, require_divisible
from fedgen.study.model import DiffusionOptions
from fedgen.study.study import Study

#: Noise draws an image in a membership score.
MEMBERSHIP_DRAWS = 16


class DenoisingObjective(Objective):
    """lambda(sigma) |D(y + n; sigma) - y|^2, mean over pixels and K draws of sigma and n (equation 2)."""

    name = "denoising"
    updates = ("unet",)
    touches_data = True
    #: the preconditioned loss of an untrained network is about 1
    loss_bound = 2.0

    def __init__(self, options: DiffusionOptions, image_shape: tuple[int, int, int]) -> None:
        self.options = options
        self.image_shape = image_shape
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`log_sigma`: (B, M, K) and `noise`: (B, M, K, C, H, W), both standard normal."""
        return {
            "log_sigma": torch.randn(B, M, K, generator=rng, device=rng.device),
            "noise": torch.randn(B, M, K, *self.image_shape, generator=rng, device=rng.device),
        }

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the denoising objective needs records")
        o = self.options
        y, labels = fold(records.images, records.labels, draws["log_sigma"].shape[2])
        sigma = training_sigma(rows(draws["log_sigma"]), o.P_mean, o.P_std)
        x = y + per_row(sigma, y) * rows(draws["noise"])
        D = denoise(lambda x, c: networks["unet"](x, c, labels), x, sigma, o.sigma_data)
        losses = loss_weight(sigma, o.sigma_data) * (D - y).square().flatten(1).mean(dim=1)
        return patient_mean(losses, records.weights)


class DiffusionFamily(Family):
    """One UNet, one objective."""

    capability = Capability(
        name="diffusion",
        summary="EDM diffusion on a UNet: best images, slowest to train and sample",
        dimensions=(2,),
        conditioning=("class",),
        private=True,
    )

    def __init__(self, image_shape: tuple[int, int, int], classes: int, options: DiffusionOptions) -> None:
        require_divisible(image_shape[1:], options)
        self.image_shape = image_shape
        self.classes = classes
        self.options = options
        self.objective = DenoisingObjective(options, image_shape)

    def networks(self) -> dict[str, nn.Module]:
        """`unet`."""
        return {"unet": ConditionalUNet(self.image_shape, self.classes, self.options).eval()}

    def objectives(self) -> tuple[Objective, ...]:
        """Denoising."""
        return (self.objective,)

    @torch.no_grad()
    def sample(self, networks: Mapping[str, nn.Module], labels: Tensor, rng: torch.Generator) -> Tensor:
        """Images by the deterministic Heun sampler, (n, C, H, W) float32 in [-1, 1]."""
        o = self.options
        device = device_of(networks["unet"])
        t = sigma_steps(o.sampler_steps, o.sigma_min, o.sigma_max, o.rho)
        # All noise at once, so that the images do not depend on how many are made at a time.
        noise = torch.randn(len(labels), *self.image_shape, generator=rng, device=rng.device)
        parts = zip(noise.to(device).split(CHUNK), labels.to(device).split(CHUNK), strict=True)
        return torch.cat(
            [heun_sampler(self._denoiser(networks["unet"], y), x, t).clamp(-1, 1) for x, y in parts]
        ).to(noise.device)

    def membership_score(
        self, networks: Mapping[str, nn.Module], images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Minus the denoising loss, (n,) (Matsumoto et al. 2023)."""
        return minus_loss(self.objective, networks, images, labels, K=MEMBERSHIP_DRAWS, chunk=4, rng=rng)

    def _denoiser(self, unet: Apply, labels: Tensor) -> Denoiser:
        """D(x; sigma) for images of these labels."""

        def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
            return denoise(lambda x, c: unet(x, c, labels), x, sigma, self.options.sigma_data)

        return denoiser


def build(study: Study) -> Family:
    """The diffusion model a study asks for."""
    data = study.data
    return DiffusionFamily((data.channels, *data.image_size), len(data.labels), study.model.diffusion)


register(build, DiffusionFamily.capability)

"""Class-conditional diffusion (Karras et al. 2022); under DP it is DPDM (Dockhorn et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.contract import Adam, Apply, Draws, Family, Objective
from fedgen.families.diffusion.edm import Denoiser, denoise, per_row
from fedgen.families.diffusion.options import DiffusionOptions
from fedgen.families.diffusion.parametrization import parametrization_of
from fedgen.families.diffusion.solver import solved
from fedgen.families.diffusion.unet import ConditionalUNet, require_divisible
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.parts.minus_loss import minus_loss
from fedgen.families.parts.sampling import CHUNK, ImageNoise, device_of
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

#: Noise draws an image in a membership score.
MEMBERSHIP_DRAWS = 16


def without(condition: Tensor, dropped: Tensor) -> Tensor:
    """(n, width) conditions as (n, width + 1): where dropped (n,) nothing but a last number, 1, that says so."""
    flag = dropped[:, None].to(condition.dtype)
    return torch.cat([condition * (1 - flag), flag], dim=1)


class DenoisingObjective(Objective):
    """lambda(sigma) |D(y + n; sigma) - y|^2, mean over pixels and K draws of sigma and n (equation 2).

    Where `label_dropout` is positive, that share of the images is denoised without its condition, as classifier-free
    guidance needs (Ho and Salimans 2022). All K copies of an image are, or none (DPDM): what an image teaches
    about its class is then not averaged away in its own gradient.
    """

    name = "denoising"
    updates = ("unet",)
    touches_data = True
    #: the preconditioned loss of an untrained network is about 1
    loss_bound = 2.0

    def __init__(self, task: Task, options: DiffusionOptions, label_dropout: float) -> None:
        self.parametrization = parametrization_of(options)
        self.task = task
        self.image = task.stack
        self.label_dropout = label_dropout
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`level`: (B, M, K), from which the noise levels are made; `noise`: (B, M, K, C, *size) standard normal.

        Where labels are dropped also `dropped`: (B, M, K) bool, the same for all K copies of an image.
        """
        draws = {
            "level": self.parametrization.draw((B, M, K), rng),
            "noise": torch.randn(B, M, K, *self.image.shape, generator=rng, device=rng.device),
        }
        if self.label_dropout > 0:
            decision = torch.rand(B, M, 1, generator=rng, device=rng.device) < self.label_dropout
            draws["dropped"] = decision.expand(B, M, K)
        return draws

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the denoising objective needs records")
        p = self.parametrization
        weights = records.weights["patient"]
        images, given = stacked(self.task, records.fields), condition_of(self.task, records.fields, weights)
        y, condition = fold(images, given, draws["level"].shape[2])
        dropped = rows(draws["dropped"]) if "dropped" in draws else y.new_zeros(len(y), dtype=torch.bool)
        condition = without(condition, dropped)
        sigma = p.training_sigma(rows(draws["level"]))
        x = y + per_row(sigma, y) * rows(draws["noise"])
        D = denoise(lambda x, c: networks["unet"](x, c, condition), x, p.precondition(sigma))
        losses = p.loss_weight(sigma) * (D - y).square().flatten(1).mean(dim=1)
        return patient_mean(losses, weights)


class DiffusionFamily(Family):
    """One UNet, one objective."""

    def __init__(self, task: Task, options: DiffusionOptions) -> None:
        self.task, self.image = task, task.stack
        require_divisible(self.image.size, options)
        if options.conditioning == "cross_attention" and not task.condition_width:
            raise StudyError(
                "model.diffusion.conditioning is cross_attention, but the study gives the model nothing to look at: "
                "use embedding."
            )
        self.options = options
        self.objective = DenoisingObjective(task, options, options.label_dropout)
        #: Without dropped conditions, which would only blur a membership score.
        self.scored = DenoisingObjective(task, options, 0.0)

    def networks(self) -> dict[str, nn.Module]:
        """`unet`."""
        return {"unet": ConditionalUNet(self.image, self.task.condition_width, self.options).eval()}

    def contributions(self) -> tuple[Objective, ...]:
        """Denoising."""
        return (self.objective,)

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Images by the study's sampler, (n, C, *size) float32 in [-1, 1]."""
        o = self.options
        device = device_of(networks["unet"])
        # All noise at once, so that the images do not depend on how many are made at a time.
        noise = torch.randn(n, *self.image.shape, generator=rng, device=rng.device)
        condition = condition_of(self.task, given, noise.flatten(1)[:, 0])
        seed = int(torch.randint(2**31, (1,), generator=rng, device=rng.device)) if o.stochastic else 0
        numbers = range(seed, seed + n)
        parts = []
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            D = self._denoiser(networks["unet"], condition[part].to(device))
            fresh = ImageNoise(numbers[part] if o.stochastic else (), self.image.shape, device)
            parts.append(solved(D, noise[part].to(device), fresh, o).clamp(-1, 1))
        return torch.cat(parts).to(noise.device)

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Minus the denoising loss, (B,) (Matsumoto et al. 2023)."""
        return minus_loss(self.scored, networks, records, K=MEMBERSHIP_DRAWS, chunk=4, rng=rng)

    def _denoiser(self, unet: Apply, condition: Tensor) -> Denoiser:
        """D(x; sigma) for images of these conditions, guided where the study asks for it.

        Classifier-free guidance of strength w: (1 + w) D(x; sigma, y) - w D(x; sigma) (Ho and Salimans 2022).
        """
        p, w = self.objective.parametrization, self.options.guidance
        every = torch.ones(len(condition), dtype=torch.bool, device=condition.device)
        y, no_y = without(condition, ~every), without(condition, every)

        def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
            c = p.precondition(sigma)
            D = denoise(lambda x, c: unet(x, c, y), x, c)
            if w == 0:
                return D
            return (1 + w) * D - w * denoise(lambda x, c: unet(x, c, no_y), x, c)

        return denoiser

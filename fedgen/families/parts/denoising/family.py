"""Diffusion (Karras et al. 2022); under DP it is DPDM (Dockhorn et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.contract import Apply, Attack, Family, Objective
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.denoising.edm import Denoiser, denoise
from fedgen.families.parts.denoising.objective import DenoisingObjective, without
from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.denoising.samplers import FreshNoise
from fedgen.families.parts.denoising.signs import minus_errors, step_errors
from fedgen.families.parts.denoising.solver import solved
from fedgen.families.parts.denoising.unet import ConditionalUNet, require_divisible
from fedgen.families.parts.folding import fold, patient_mean
from fedgen.families.parts.sampling import CHUNK, ImageNoise, device_of
from fedgen.task.records import Records
from fedgen.task.task import Task
from fedgen_privacy.gradients.protocol import pieces, size_of


class DenoisingFamily(Family):
    """One UNet, one objective; images are drawn from noise in steps."""

    def __init__(self, task: Task, options: DenoisingOptions) -> None:
        self.task, self.image = task, task.stack
        require_divisible(self.image.size, options)
        if options.conditioning == "cross_attention" and not task.condition_width:
            raise StudyError(
                "The model's conditioning is cross_attention, but the study gives it nothing to look at: use embedding."
            )
        self.options = options
        self.objective = DenoisingObjective(task, options, options.label_dropout)
        #: Without dropped conditions, which would only blur a membership score.
        self.scored = DenoisingObjective(task, options, 0.0)

    def networks(self) -> dict[str, nn.Module]:
        """`unet`."""
        return {"unet": self.unet().eval()}

    def unet(self, seen: int = 0) -> ConditionalUNet:
        """A fresh one, which sees pictures of so many channels beside."""
        further = 1 if self.options.label_dropout > 0 else 0
        return ConditionalUNet(self.image, self.task.condition_width, self.options, seen, further)

    def contributions(self) -> tuple[Objective, ...]:
        """Denoising."""
        return (self.objective,)

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Images by the study's sampler, (n, C, *size) float32 in [-1, 1]."""
        device, stochastic = device_of(networks["unet"]), self.options.stochastic
        # All noise at once, so that the images do not depend on how many are made at a time.
        noise = torch.randn(n, *self.image.shape, generator=rng, device=rng.device)
        condition = condition_of(self.task, given, noise.flatten(1)[:, 0])
        seen = self.seen(given, n)
        seed = int(torch.randint(2**31, (1,), generator=rng, device=rng.device)) if stochastic else 0
        numbers = range(seed, seed + n)
        parts = []
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            beside = None if seen is None else seen[part].to(device)
            D = self.denoiser(networks["unet"], condition[part].to(device), beside)
            fresh = ImageNoise(numbers[part] if stochastic else (), self.image.shape, device)
            parts.append(self.pictures(networks, self.drawn(D, noise[part].to(device), fresh)).clamp(-1, 1))
        return torch.cat(parts).to(noise.device)

    def seen(self, given: Mapping[str, Tensor], n: int) -> Tensor | None:
        """Pictures that the network sees beside each of n images, (n, S, *size); None where there are none."""
        return None

    def pictures(self, networks: Mapping[str, nn.Module], denoised: Tensor) -> Tensor:
        """The images (n, C, *size) of what was drawn."""
        return denoised

    def drawn(self, D: Denoiser, noise: Tensor, fresh: FreshNoise) -> Tensor:
        """What the study's sampler makes of standard normal noise (n, C, *size)."""
        return solved(D, noise, fresh, self.options)

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Minus the denoising loss, (B,) (Matsumoto et al. 2023)."""
        return self._errors(networks, records, rng).mean(dim=1)

    def attacks(self) -> Mapping[str, Attack]:
        """The loss, at each of its noise levels, and the error of several exact steps."""
        return {"loss": self._errors, "steps": self._steps}

    def _errors(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        return minus_errors(self.scored, networks, records, chunk=32, rng=rng)

    def _steps(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """Minus the t-error of SecMI, (B,) (Duan et al. 2023)."""
        drawn = self.scored.draw(1, records.weights["patient"].shape[1], 1, rng)
        scores = []
        for part in pieces(records, CHUNK):
            weights = part.weights["patient"]
            draws = {
                name: d.expand(size_of(part), *d.shape[1:]).to(weights.device) for name, d in drawn.items()
            }
            given = condition_of(self.task, part.fields, weights)
            x, condition = fold(self.scored.pictures(networks, part), given, 1)
            D = self.guided(networks["unet"], condition, 0.0, self.scored.seen(part, draws))
            scores.append(-patient_mean(step_errors(D, x), weights))
        return torch.cat(scores).float()

    @property
    def guidance(self) -> float:
        """Strength of classifier-free guidance."""
        return self.options.guidance

    def denoiser(self, unet: Apply, condition: Tensor, seen: Tensor | None = None) -> Denoiser:
        """D(x; sigma) for images of these conditions (n, width), guided where the study asks for it.

        Classifier-free guidance of strength w: (1 + w) D(x; sigma, y) - w D(x; sigma) (Ho and Salimans 2022).
        """
        return self.guided(unet, condition, self.guidance, seen)

    def guided(self, unet: Apply, condition: Tensor, w: float, seen: Tensor | None = None) -> Denoiser:
        """As `denoiser`, by this strength w."""
        p = self.objective.parametrization
        every = torch.ones(len(condition), dtype=torch.bool, device=condition.device)
        y, no_y = without(condition, ~every), without(condition, every)

        def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
            c = p.precondition(sigma)
            D = denoise(lambda x, c: unet(x, c, y, seen), x, c)
            if w == 0:
                return D
            return (1 + w) * D - w * denoise(lambda x, c: unet(x, c, no_y, seen), x, c)

        return denoiser

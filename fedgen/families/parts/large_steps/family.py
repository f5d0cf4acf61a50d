"""A denoising diffusion GAN (Xiao et al. 2022): a UNet and a discriminator, and images drawn in few steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Attack, Draws, Family, Objective
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.denoising.unet import ConditionalUNet, require_divisible
from fedgen.families.parts.large_steps.objectives import StepCriticObjective, StepObjective
from fedgen.families.parts.large_steps.options import LargeStepOptions
from fedgen.families.parts.large_steps.seen_pictures import SeenPictures
from fedgen.families.parts.large_steps.steps import CRITIC, GENERATOR, GivenRows, Players
from fedgen.families.parts.patch_critic import PatchCritic
from fedgen.families.parts.sampling import CHUNK, ImageNoise, device_of
from fedgen.task.records import Records
from fedgen.task.task import Task
from fedgen_privacy.gradients.protocol import pieces, size_of

#: Noises of a membership score at each step.
NOISES = 2


class LargeStepFamily(Family):
    """Two networks, two objectives that read data.

    Args:
        task: what is made of what.
        options: of the steps and the game.
        learning_rate: of Adam, for the generator.
        beside: pictures that are seen, as training leaves some out.
        whole: the same, of which nothing is left out.
    """

    def __init__(
        self,
        task: Task,
        options: LargeStepOptions,
        learning_rate: float,
        beside: SeenPictures | None = None,
        whole: SeenPictures | None = None,
    ) -> None:
        require_divisible(task.stack.size, options)
        self.task, self.options = task, options
        self.beside, whole = beside or SeenPictures(), whole or SeenPictures()
        self.critic = StepCriticObjective(task, options, self.beside)
        self.generator = StepObjective(task, options, learning_rate, self.beside)
        #: As they are scored.
        self._critic = StepCriticObjective(task, options, whole)
        self._generator = StepObjective(task, options, learning_rate, whole)

    def networks(self) -> dict[str, nn.Module]:
        """`generator` and `critic`."""
        image, width, o = self.task.stack, self.task.condition_width, self.options
        seen = self.beside.channels
        generator = ConditionalUNet(image, width, o, seen, further=o.latent_size)
        critic = PatchCritic(
            image,
            2 * image.channels + seen,
            width + o.large_steps,
            width=o.critic_channels,
            layers=o.critic_layers,
        )
        return {GENERATOR: generator.eval(), CRITIC: critic.eval()}

    def contributions(self) -> tuple[Objective, ...]:
        """The discriminator's, then the generator's: one vector of a patient."""
        return (self.critic, self.generator)

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Images by T calls of the UNet, (n, C, *size) float32 in [-1, 1]."""
        device, steps = device_of(networks[GENERATOR]), self.critic.steps
        # All latents and all seeds before, so that the images do not depend on how many are made at a time.
        z = torch.randn(n, steps.count, self.options.latent_size, generator=rng, device=rng.device)
        seed = int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
        condition, seen = condition_of(self.task, given, z[:, 0, 0]), self.beside.of_given(given, n)
        players = Players(networks, steps, self.options.sigma_data)
        parts = []
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            own = z[part].to(device)
            row = GivenRows(condition[part].to(device), None if seen is None else seen[part].to(device))
            fresh = ImageNoise(range(seed, seed + n)[part], self.task.stack.shape, device)
            x = fresh()
            for number in range(steps.count, 0, -1):
                t = torch.full((len(x),), number, device=device)
                x = steps.step_back(players.noiseless(x, t, own[:, number - 1], row), x, t, fresh())
            parts.append(x.clamp(-1, 1))
        return torch.cat(parts).to(z.device)

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """The discriminator's logit of a patient's own pairs at every step, (B,) (LOGAN, Hayes et al. 2019)."""
        return self._at_every_step(self._critic, self._critic.known, networks, records, rng)

    def attacks(self) -> Mapping[str, Attack]:
        """What the discriminator says of the images, and how near the generator comes to them."""

        def error(networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
            return -self._at_every_step(self._generator, self._generator.missed, networks, records, rng)

        return {"loss": self.score, "error": error}

    def _at_every_step(
        self,
        objective: StepCriticObjective | StepObjective,
        sign: Callable[[Mapping[str, nn.Module], Records, Draws], Tensor],
        networks: Mapping[str, nn.Module],
        records: Records,
        rng: torch.Generator,
    ) -> Tensor:
        """The mean of a sign over all steps, with the same noises for every record, (B,)."""
        T, weights = self.options.large_steps, records.weights["patient"]
        M = weights.shape[1]
        drawn = objective.draw(1, M, T * NOISES, rng)
        t = torch.arange(1, T + 1, device=rng.device).repeat_interleave(NOISES)
        drawn["t"] = t.expand(1, M, -1)
        found = []
        for part in pieces(records, CHUNK):
            draws = {
                name: draw.expand(size_of(part), *draw.shape[1:]).to(weights.device)
                for name, draw in drawn.items()
            }
            found.append(sign(networks, part, draws))
        return torch.cat(found).float()

"""The family `distilled`: a denoiser trained as in diffusion, and then a student of it that draws in few steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedgen.families.contract import Told, unheard
from fedgen.families.distilled.halving import Step, ddim_step, heun_step, levels, student_target
from fedgen.families.distilled.options import DistilledOptions
from fedgen.families.parts.conditioning import condition_of, drawn_fields
from fedgen.families.parts.denoising.edm import Denoiser, per_row
from fedgen.families.parts.denoising.family import DenoisingFamily
from fedgen.families.parts.denoising.samplers import FreshNoise, ddim_sampler
from fedgen.families.parts.denoising.solver import solved
from fedgen.families.parts.sampling import CHUNK, ImageNoise, device_of
from fedgen.task.task import Task


@dataclass(frozen=True)
class Halving:
    """What one student learns from.

    Attributes:
        teacher: its network.
        step: how the teacher takes a step.
        guidance: of the teacher.
        grid: the teacher's noise levels, twice as many as the student's.
    """

    teacher: nn.Module
    step: Step
    guidance: float
    grid: Tensor


#: Told how many parts more are done: an image drawn, a step taken.
Done = Callable[[int], None]


def counted_steps(total: int, told: Told) -> Done:
    """Counts what is done and tells it."""
    so_far = 0

    def done(more: int) -> None:
        nonlocal so_far
        so_far += more
        told(so_far, total)

    done(0)
    return done


class DistilledFamily(DenoisingFamily):
    """One UNet, one objective; after the rounds the UNet is the student."""

    options: DistilledOptions

    def __init__(self, task: Task, options: DistilledOptions) -> None:
        super().__init__(task, options)

    @property
    def guidance(self) -> float:
        """None: what a guided teacher does, its student does by itself."""
        return 0.0

    def drawn(self, D: Denoiser, noise: Tensor, fresh: FreshNoise) -> Tensor:
        """The student's few steps."""
        return ddim_sampler(D, noise, self._grid(self.options.student_steps), 0.0, fresh)

    def finished(
        self, networks: dict[str, nn.Module], rng: torch.Generator, told: Told = unheard
    ) -> dict[str, nn.Module]:
        """A student in the trained UNet's place."""
        done = counted_steps(
            self.options.own_samples + self.options.halvings * self.options.distillation_steps, told
        )
        images, condition = self._own_samples(networks["unet"], rng, done)
        teacher, step = networks["unet"], heun_step
        guidance = self.options.guidance
        for steps in self._students():
            student = copy.deepcopy(teacher)
            grid = self._grid(2 * steps)
            self._learn(student, Halving(teacher, step, guidance, grid), images, condition, rng, done)
            # From here on a teacher is a student itself: its own step is exact, and guidance is in it.
            teacher, step, guidance = student, ddim_step, 0.0
        return {**networks, "unet": teacher.eval()}

    def _students(self) -> Iterator[int]:
        """Steps of each student in turn."""
        for halving in reversed(range(self.options.halvings)):
            yield self.options.student_steps * 2**halving

    def _grid(self, steps: int) -> Tensor:
        o = self.options
        return levels(steps, o.sigma_min, o.sigma_max, o.rho)

    @torch.no_grad()
    def _own_samples(self, unet: nn.Module, rng: torch.Generator, done: Done) -> tuple[Tensor, Tensor]:
        """Images (n, C, *size) by the study's sampler with conditions drawn without any patient, (n, width)."""
        n, device = self.options.own_samples, device_of(unet)
        noise = torch.randn(n, *self.image.shape, generator=rng, device=rng.device)
        drawn = drawn_fields(self.task, (n,), rng)
        condition = condition_of(self.task, drawn, noise.flatten(1)[:, 0]).to(device)
        parts = []
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            D = self.guided(unet, condition[part], self.options.guidance)
            fresh = ImageNoise(range(n)[part], self.image.shape, device)
            parts.append(solved(D, noise[part].to(device), fresh, self.options).clamp(-1, 1))
            done(len(parts[-1]))
        return torch.cat(parts), condition

    def _learn(
        self,
        student: nn.Module,
        lesson: Halving,
        images: Tensor,
        condition: Tensor,
        rng: torch.Generator,
        done: Done,
    ) -> None:
        """Steps of Adam on |D - target|^2, weighted as the denoising loss is."""
        o, p, device = self.options, self.objective.parametrization, images.device
        trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=o.distillation_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, o.distillation_steps)
        grid, size = lesson.grid.to(device), (o.distillation_batch,)
        for _ in range(o.distillation_steps):
            which = torch.randint(len(images), size, generator=rng, device=rng.device).to(device)
            i = torch.randint(len(grid) // 2, size, generator=rng, device=rng.device).to(device)
            noise = torch.randn(*size, *self.image.shape, generator=rng, device=rng.device).to(device)
            y, sigma = condition[which], grid[2 * i].to(images)
            x = images[which] + per_row(sigma, images) * noise
            with torch.no_grad():
                teacher = self.guided(lesson.teacher, y, lesson.guidance)
                wanted = student_target(lesson.step, teacher, x, grid, i)
            D = self.guided(student, y, 0.0)(x, sigma)
            loss = (p.loss_weight(sigma) * (D - wanted).square().flatten(1).mean(dim=1)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            done(1)

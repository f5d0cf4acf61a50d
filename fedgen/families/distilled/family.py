"""The family `distilled`: a denoiser trained as in diffusion, and then a student of it that draws in few steps."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Told, unheard
from fedgen.families.distilled.consistency import agreed, consistency_sampler
from fedgen.families.distilled.halving import Step, ddim_step, heun_step, levels, student_target
from fedgen.families.distilled.lessons import Course, Done, StudentLesson, Wanted, counted_steps
from fedgen.families.distilled.options import DistilledOptions
from fedgen.families.parts.conditioning import condition_of, drawn_fields
from fedgen.families.parts.denoising.edm import Denoiser
from fedgen.families.parts.denoising.family import DenoisingFamily
from fedgen.families.parts.denoising.samplers import FreshNoise, ddim_sampler
from fedgen.families.parts.denoising.solver import solved
from fedgen.families.parts.sampling import CHUNK, ImageNoise, device_of
from fedgen.task.task import Task


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
        grid = self._grid(self.options.student_steps)
        if self.options.way == "consistency":
            return consistency_sampler(D, noise, grid, fresh)
        return ddim_sampler(D, noise, grid, 0.0, fresh)

    def sample_unfinished(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """As the teacher draws: there is no student yet, and few steps of a teacher are a blur."""
        return DenoisingFamily(self.task, self.options).sample(networks, given, n, rng)

    def finished(
        self, networks: dict[str, nn.Module], rng: torch.Generator, told: Told = unheard
    ) -> dict[str, nn.Module]:
        """A student in the trained UNet's place."""
        o, teacher = self.options, networks["unet"]
        lessons, taught = (1, self._agreeing) if o.way == "consistency" else (o.halvings, self._halved)
        done = counted_steps(o.own_samples + lessons * o.distillation_steps, told)
        own = self._own_samples(teacher, rng, done)
        course = Course(*own, self._own, self.objective.parametrization, o, rng, done)
        return {**networks, "unet": taught(teacher, course).eval()}

    def _agreeing(self, teacher: nn.Module, course: Course) -> nn.Module:
        """A student that says the same all along a path of the teacher's flow."""
        o, student = self.options, copy.deepcopy(teacher)
        grid = self._grid(o.consistency_levels)

        def wanted(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
            D, f = self.guided(teacher, y, o.guidance), self._own(student, y)
            return agreed(heun_step, D, f, x, grid.to(x.device), i)

        course.learn(student, StudentLesson(grid[:-1], wanted))
        return student

    def _halved(self, teacher: nn.Module, course: Course) -> nn.Module:
        """The last of students each of which takes half as many steps as the one before."""
        step, guidance = heun_step, self.options.guidance
        for steps in self._students():
            student, grid = copy.deepcopy(teacher), self._grid(2 * steps)
            course.learn(
                student, StudentLesson(grid[:-1:2], self._as_two_steps(step, teacher, guidance, grid))
            )
            # From here on a teacher is a student itself: its own step is exact, and guidance is in it.
            teacher, step, guidance = student, ddim_step, 0.0
        return teacher

    def _as_two_steps(self, step: Step, teacher: nn.Module, guidance: float, grid: Tensor) -> Wanted:
        def wanted(x: Tensor, y: Tensor, i: Tensor) -> Tensor:
            return student_target(step, self.guided(teacher, y, guidance), x, grid.to(x.device), i)

        return wanted

    def _own(self, unet: nn.Module, y: Tensor) -> Denoiser:
        """What a student says by itself."""
        return self.guided(unet, y, 0.0)

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

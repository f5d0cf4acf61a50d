"""What a student learns from, and how: steps of Adam on noisy images of the teacher itself, and of no patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedgen.families.contract import Told
from fedgen.families.distilled.options import DistilledOptions
from fedgen.families.parts.denoising.edm import Denoiser, per_row
from fedgen.families.parts.denoising.parametrization import Parametrization

#: A student's denoiser for conditions (n, width).
Conditioned = Callable[[nn.Module, Tensor], Denoiser]
#: Told how many parts more are done: an image drawn, a step taken.
Done = Callable[[int], None]
#: What a student should take for the denoised images, of noisy ones (n, ...), conditions (n, width) and numbers (n,)
#: of their levels among those at which it meets images.
Wanted = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class StudentLesson:
    """What one student learns from.

    Attributes:
        starts: (k,) noise levels at which it meets images.
        wanted: of it.
    """

    starts: Tensor
    wanted: Wanted


@dataclass(frozen=True)
class Course:
    """What the lessons of a teacher have in common.

    Attributes:
        images: (n, C, *size) that the teacher has drawn.
        condition: (n, width) of each.
        denoiser: D of a network and of conditions, without guidance.
        parametrization: of it.
        options: steps, batch and learning rate.
        rng: of every random number.
        done: told each step.
    """

    images: Tensor
    condition: Tensor
    denoiser: Conditioned
    parametrization: Parametrization
    options: DistilledOptions
    rng: torch.Generator
    done: Done

    def learn(self, student: nn.Module, lesson: StudentLesson) -> None:
        """Steps of Adam on |D - wanted|^2, weighted as the denoising loss is; the student is changed in place."""
        images, rng, o, device = self.images, self.rng, self.options, self.images.device
        trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=o.distillation_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, o.distillation_steps)
        starts, size = lesson.starts.to(device), (o.distillation_batch,)
        for _ in range(o.distillation_steps):
            which = torch.randint(len(images), size, generator=rng, device=rng.device).to(device)
            i = torch.randint(len(starts), size, generator=rng, device=rng.device).to(device)
            noise = torch.randn(*size, *images.shape[1:], generator=rng, device=rng.device).to(device)
            y, sigma = self.condition[which], starts[i].to(images)
            x = images[which] + per_row(sigma, images) * noise
            with torch.no_grad():
                wanted = lesson.wanted(x, y, i)
            D = self.denoiser(student, y)(x, sigma)
            weight = self.parametrization.loss_weight(sigma)
            loss = (weight * (D - wanted).square().flatten(1).mean(dim=1)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            self.done(1)


def counted_steps(total: int, told: Told) -> Done:
    """Counts what is done and tells it."""
    so_far = 0

    def done(more: int) -> None:
        nonlocal so_far
        so_far += more
        told(so_far, total)

    done(0)
    return done

"""Targets of a translation, made of sources on the model's grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fedgen.errors import DataError
from fedgen.families.contract import Family


def translator_back(
    family: Family, networks: Mapping[str, nn.Module], device: str, seed: int
) -> Callable[[Tensor], Mapping[str, Tensor] | None]:
    """The way back of a family that goes both ways, of targets (n, C, *size) on the CPU; it gives None elsewhere."""

    def back(made: Tensor) -> Mapping[str, Tensor] | None:
        rng = torch.Generator(device=device).manual_seed(seed)
        with torch.no_grad():
            parts = [family.back(networks, part.to(device), rng) for part in made.split(family.batch)]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or not known:
            return None
        return {name: torch.cat([part[name].cpu().float() for part in known]) for name in known[0]}

    return back


def translator(
    family: Family, networks: Mapping[str, nn.Module], device: str, seed: int
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """make(the task's given fields by name, (n, ...) each) -> (n, C, *size) float32 in [-1, 1] on the CPU.

    Args:
        family: gives the sampler.
        networks: its trained networks, in eval mode on `device`.
        device: where they are.
        seed: of every random number of every call, so that equal fields give equal images.
    """

    def make(fields: Mapping[str, Tensor]) -> Tensor:
        rng = torch.Generator(device=device).manual_seed(seed)
        n = len(next(iter(fields.values())))
        made = []
        with torch.no_grad():
            for start in range(0, n, family.batch):
                given = {name: each[start : start + family.batch].to(device) for name, each in fields.items()}
                count = min(family.batch, n - start)
                made.append(family.sample(networks, given, count, rng).to("cpu", torch.float32).clamp(-1, 1))
        images = torch.cat(made)
        if not bool(torch.isfinite(images).all()):
            raise DataError(
                "The model gives voxels that are not numbers (NaN or infinity), so its training diverged: train again "
                "with a smaller training.learning_rate."
            )
        return images

    return make

"""Milliseconds an image of every family, and of MONAI's own samplers on the same U-Net in the same run.

    python benchmarks/sampling.py [--images 64] [--side 64] [--threads N] [--out FILE.json]

Every family with its default options draws images of one channel and 64 x 64 of two classes; its networks have the
weights that they begin with, which cost what trained ones cost; so do students of one and two steps, and diffusion of
the code of 8 x 8 that `fedgen prior build` makes of such images. The peers are MONAI's DiffusionInferer on the very
U-Net of the family diffusion: DDPM with its 1000 steps (20 of them, times 50), DDIM with 50 and with as many as ours.
Medians of repeats that take turns in one process. A family that cannot do without a public prior stands on noise. Where
the machine has other work, the milliseconds of the processor, of all threads together, are those to compare.

The benchmark exits 0 whatever the numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler
from secagg.meter import machine
from torch import Tensor, nn

from fedgen.families.contract import Family
from fedgen.families.registry import family_class, specs
from fedgen.priors.analytic import analytic
from fedgen.priors.prior import Prior
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Task, image_of_class

HERE = Path(__file__).parent
CLASSES = ("none", "lesion")
#: Milliseconds an image that a family may take on two cores.
TARGETS = {
    "diffusion": 100.0,
    "distilled": 20.0,
    "distilled, consistency, 1 step": 20.0,
    "distilled, consistency, 2 steps": 20.0,
}
#: Options with which a family draws otherwise.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "distilled, consistency, 1 step": ("distilled", {"way": "consistency", "student_steps": 1}),
    "distilled, consistency, 2 steps": ("distilled", {"way": "consistency", "student_steps": 2}),
    "diffusion of a public code": (
        "diffusion",
        {"latent": "prior", "autoencoder_channels": (16, 32, 64, 64)},
    ),
}
#: Steps of DDPM that are measured of its 1000.
MEASURED = 20

#: Makes so many images.
Draw = Callable[[int], Tensor]


def standing(name: str, task: Task, **options: Any) -> Family:
    """A family with its default options but for these."""
    family = family_class(name)(task, specs()[name].options(**options))
    if not specs()[name].needs_prior:
        return family
    donors = torch.rand(64, *task.stack.shape) * 2 - 1
    return family.on(Prior(analytic(task.stack.shape, 16).space, donors))


def of_family(family: Family) -> Draw:
    """Its sampler, with the weights that it begins with."""
    networks = family.networks()

    def draw(n: int) -> Tensor:
        given = {"class": torch.arange(n) % len(CLASSES)}
        return family.sample(networks, given, n, torch.Generator().manual_seed(0))

    return draw


class OfMonai(nn.Module):
    """The U-Net of the family diffusion, called as MONAI's inferer calls a network."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor | None = None) -> Tensor:
        known = torch.nn.functional.one_hot(torch.arange(len(x)) % len(CLASSES), len(CLASSES)).to(x)
        # MONAI's timesteps are whole numbers below 1000; ours are brought there by the network itself.
        predicted: Tensor = self.unet(x, timesteps.expand(len(x)) / 1000.0, known)
        return predicted


def of_monai(unet: nn.Module, scheduler: DDPMScheduler | DDIMScheduler, shape: tuple[int, ...]) -> Draw:
    """MONAI's own loop, with its own scheduler."""
    inferer, network = DiffusionInferer(scheduler), OfMonai(unet)

    @torch.no_grad()
    def draw(n: int) -> Tensor:
        made: Tensor = inferer.sample(torch.randn(n, *shape), network, scheduler, verbose=False)
        return made

    return draw


def peers(task: Task, calls: int) -> dict[str, tuple[Draw, float]]:
    """MONAI's samplers by name, each with what its time is to be multiplied by."""
    unet = standing("diffusion", task).networks()["unet"]
    found: dict[str, tuple[Draw, float]] = {}
    for steps in (50, calls):
        ddim = DDIMScheduler(1000)
        ddim.set_timesteps(steps)
        found[f"MONAI DDIM, {steps} steps"] = (of_monai(unet, ddim, task.stack.shape), 1.0)
    ddpm = DDPMScheduler(1000)
    ddpm.set_timesteps(MEASURED)
    found["MONAI DDPM, 1000 steps"] = (of_monai(unet, ddpm, task.stack.shape), 1000 / MEASURED)
    return found


def calls_of(family: Family) -> int:
    """How often the sampler calls the U-Net for an image."""
    networks, count = family.networks(), 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    networks["unet"].register_forward_hook(counted)
    family.sample(networks, {"class": torch.tensor([0])}, 1, torch.Generator())
    return count


def milliseconds(
    draws: dict[str, tuple[Draw, float]], images: int, repeats: int
) -> dict[str, tuple[float, float]]:
    """Of the wall and of the processor, an image, by name."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in draws}
    for repeat in range(repeats + 1):
        for name, (draw, factor) in draws.items():
            wall, cpu = time.perf_counter(), time.process_time()
            draw(images)
            spent = (time.perf_counter() - wall, time.process_time() - cpu)
            # The first is for buffers and choices that are made once.
            if repeat:
                took[name].append((spent[0] * factor, spent[1] * factor))
    return {
        name: (median(w for w, _ in each) / images * 1e3, median(c for _, c in each) / images * 1e3)
        for name, each in took.items()
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=64, help="drawn at once")
    parser.add_argument("--side", type=int, default=64, help="pixels of a side")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sampling.json")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    task = image_of_class(ImageSpec(channels=1, size=(arguments.side,) * 2), CLASSES)
    about = {
        **machine(),
        "torch": torch.__version__,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "images at once": arguments.images,
        "side": arguments.side,
    }
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)

    families = {name: standing(name, task) for name, spec in specs().items() if spec.supports(task) is None}
    families |= {row: standing(name, task, **options) for row, (name, options) in OTHERS.items()}
    calls = {name: calls_of(family) for name, family in families.items() if "unet" in family.networks()}
    draws = {name: (of_family(family), 1.0) for name, family in families.items()}
    took = milliseconds({**draws, **peers(task, calls["diffusion"])}, arguments.images, arguments.repeats)

    print(f"\n{'sampler':<34}{'calls':>6}{'ms an image':>13}{'cpu ms':>9}{'x ours':>9}  target")
    for name, (wall, cpu) in took.items():
        target = TARGETS.get(name)
        met = "" if target is None else f"< {target:.0f}: {'met' if wall < target else 'missed'}"
        ratio = wall / took["diffusion"][0]
        print(f"{name:<34}{calls.get(name, '-'):>6}{wall:>13.1f}{cpu:>9.1f}{ratio:>9.2f}  {met}")
    rows = {
        name: {"wall_ms": wall, "cpu_ms": cpu, "calls": calls.get(name)} for name, (wall, cpu) in took.items()
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"machine": about, "samplers": rows}, indent=1) + "\n")
    print(f"\nwrote {arguments.out}")


if __name__ == "__main__":
    main()

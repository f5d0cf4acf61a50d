"""What a sampler's steps cost in quality: one trained diffusion U-Net, drawn from by every sampler from the same noise.

    python benchmarks/samplers.py [--seeds 2] [--steps 800] [--out FILE.json]

The default U-Net of the family diffusion is trained without privacy on 600 phantoms of 64 x 64, once a seed, and draws
192 images by each sampler. The error is the root mean square distance, in images of [-1, 1], to Heun's method with 40
steps, which is the flow itself as far as anyone can see. FID (a feature) and KID are to 400 other phantoms
in the offline features of the evaluation; the first line is what phantoms themselves reach. Milliseconds are of the
processor. The last lines are the students of the family distilled, with its default options in each of its ways, before
they are finished on that U-Net and after.

Nothing here chooses a default: the phantoms that judge are not those of any test. The benchmark exits 0 whatever the
numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from secagg.meter import machine
from torch import Tensor, nn

from fedgen.data.phantom.public import public_phantoms
from fedgen.evidence.known_features import extract
from fedgen.evidence.metrics.feature_moments import FeatureMoments, frechet
from fedgen.evidence.metrics.point_sets import mmd, polynomial_kernel
from fedgen.evidence.metrics.standardise import Standardiser
from fedgen.extractors.registry import build_extractor
from fedgen.families.contract import Family, objectives_of
from fedgen.families.registry import family_class, specs
from fedgen.study.data import Intensity
from fedgen.study.model import PhantomPrior
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import one_image_each
from fedgen.task.task import image_of_class

HERE = Path(__file__).parent
SIZE, CLASSES = (64, 64), ("none", "lesion")
TRAINED, JUDGES, DRAWN, BATCH = 600, 400, 192, 16
EXTRACTORS = ("random_conv", "radiomics")
#: Sampler and steps; the first is the flow.
SAMPLERS = (
    ("heun", 40),
    ("heun", 18),
    ("heun", 6),
    ("pndm", 16),
    ("pndm", 12),
    ("pndm", 10),
    ("dpm", 20),
    ("dpm", 12),
    ("ddim", 18),
)
#: Ways of distillation, and steps of each student.
STUDENTS = {"progressive": (4,), "consistency": (1, 2)}

Judge = Callable[[Tensor], dict[str, float]]


def phantoms(seed: int, n: int) -> Tensor:
    """(n, 1, 64, 64) float32 in [-1, 1]."""
    asked = PhantomPrior(patients=n, seed=seed, donors=0)
    return torch.from_numpy(public_phantoms(asked, "T1w", SIZE, Intensity())).float()


def standing(name: str, **options: Any) -> Family:
    """A family of the bench's images."""
    return family_class(name)(
        image_of_class(ImageSpec(channels=1, size=SIZE), CLASSES), specs()[name].options(**options)
    )


def trained(family: Family, images: Tensor, steps: int, seed: int) -> dict[str, nn.Module]:
    """Its networks after so many steps of Adam, averaged."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    networks = family.networks()
    objective, network = objectives_of(family)[0], networks["unet"]
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 2e-4)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    labels = torch.arange(len(images)) % len(CLASSES)
    for step in range(steps):
        rows = torch.randint(len(images), (BATCH,), generator=rng)
        records = one_image_each({"image": images[rows], "class": labels[rows]})
        loss = objective.loss(networks, records, objective.draw(BATCH, 1, 1, rng)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        if step % 100 == 0:
            print(f"  step {step}, loss {loss.item():.3f}", flush=True)
    network.load_state_dict(average.module.state_dict())
    return networks


def judge(real: Tensor) -> Judge:
    """FID a feature and KID to these images, by extractor."""
    extractors = {name: build_extractor(name, 1) for name in EXTRACTORS}
    features = {name: extract(each, real) for name, each in extractors.items()}
    scales = {
        name: Standardiser.fit(found, one_unit=extractors[name].one_unit) for name, found in features.items()
    }

    def told(images: Tensor) -> dict[str, float]:
        found = {}
        for name, extractor in extractors.items():
            a = scales[name](features[name]).numpy()
            b = scales[name](extract(extractor, images)).numpy()
            found[f"FID {name}"] = frechet(FeatureMoments.of(a), FeatureMoments.of(b)) / a.shape[1]
            of_real, of_drawn = np.arange(len(a)), len(a) + np.arange(len(b))
            found[f"KID {name}"] = mmd(polynomial_kernel(np.concatenate([a, b])), of_real, of_drawn)
        return found

    return told


def drawn(family: Family, networks: dict[str, nn.Module]) -> tuple[Tensor, float]:
    """Images from one noise for all samplers, and milliseconds of the processor an image."""
    given = {"class": torch.arange(DRAWN) % len(CLASSES)}
    began = time.process_time()
    made = family.sample(networks, given, DRAWN, torch.Generator().manual_seed(5))
    return made, (time.process_time() - began) / DRAWN * 1e3


def of_seed(seed: int, steps: int) -> Iterator[tuple[str, dict[str, float]]]:
    """The rows of one trained U-Net."""
    images = phantoms(100 + seed, TRAINED)
    told = judge(phantoms(200 + seed, JUDGES))
    yield "phantoms themselves", told(images[:DRAWN])
    networks = trained(standing("diffusion"), images, steps, seed)
    flow: Tensor | None = None
    for sampler, count in SAMPLERS:
        made, took = drawn(standing("diffusion", sampler=sampler, sampler_steps=count), networks)
        flow = made if flow is None else flow
        yield f"{sampler}, {count} steps", {"error": _error(made, flow), "ms": took, **told(made)}
    for way, counts in STUDENTS.items():
        own = standing("distilled", way=way).networks()
        own["unet"].load_state_dict(networks["unet"].state_dict())
        student = dict(
            standing("distilled", way=way).finished(dict(own), torch.Generator().manual_seed(seed))
        )
        for count in counts:
            for name, of in (("before", own), ("finished", student)):
                made, took = drawn(standing("distilled", way=way, student_steps=count), of)
                assert flow is not None
                yield (
                    f"{way} student, steps {count}, {name}",
                    {"error": _error(made, flow), "ms": took, **told(made)},
                )


def _error(made: Tensor, flow: Tensor) -> float:
    return float((made - flow).square().mean().sqrt())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=800, help="of training")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "samplers.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(1, asked.seeds + 1):
        for name, row in of_seed(seed, asked.steps):
            rows.setdefault(name, []).append(row)
            print(seed, name, {key: round(value, 4) for key, value in row.items()}, flush=True)
    names = ["error", "ms", *(f"{metric} {each}" for each in EXTRACTORS for metric in ("FID", "KID"))]
    print("\n| sampler | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for name, found in rows.items():
        cells = [" / ".join(f"{row[key]:.3g}" for row in found) if key in found[0] else "-" for key in names]
        print(f"| {name} | " + " | ".join(cells) + " |")
    means = {name: {key: mean(row[key] for row in found) for key in found[0]} for name, found in rows.items()}
    told = {
        "machine": machine(),
        "torch": torch.__version__,
        "steps": asked.steps,
        "seeds": rows,
        "means": means,
    }
    asked.out.write_text(json.dumps(told, indent=1) + "\n")
    print(f"\nwrote {asked.out}")


if __name__ == "__main__":
    main()

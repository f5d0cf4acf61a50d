"""Intensities: how far the histograms of real and synthetic images are from each other, whatever the pictures show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.regression import jensen_shannon_divergence, kl_divergence

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.metrics.fidelity_words import FLOOR, GROUP, VALUE
from fedgen.evidence.metrics.halves import MINIMUM_HALF, SPLITS, beside_floor, patient_halves
from fedgen.evidence.metrics.matched import choose_reference
from fedgen.run.row import Row, Value, cut
from fedgen.study.evaluation_section import EvaluationSection

FloatArray = NDArray[np.float64]

#: Equal bins of the window [-1, 1].
BINS = 64
#: Added to the share of each bin, since the divergence of an empty one has no end.
SMALL = 1e-4
ABOUT = {
    "histogram-KL": "Kullback-Leibler divergence of the intensities of real images from those of synthetic ones, in "
    "nats; 0 or more, lower is better. Images with shuffled pixels reach 0.",
    "histogram-JS": "Jensen-Shannon divergence of the same, in nats; 0 to 0.69, lower is better.",
}


@dataclass(frozen=True)
class Intensities(Measure):
    """Divergences of histograms of intensities."""

    id = "intensities"
    title = "Intensities"
    order = 1
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row a divergence, each beside its floor."""
        reference = choose_reference(real.sites, made, real.classes, seed=seed)
        shares = torch.cat([histograms(reference.real.images), histograms(reference.synthetic)])
        n = reference.real.n_images
        halves = [
            each
            for each in patient_halves(reference.real.patients.numpy(), splits=SPLITS, seed=seed)
            if min(map(len, each)) >= MINIMUM_HALF
        ]
        positions = np.arange(n, len(shares))
        enough = bool(halves) and len(positions) >= MINIMUM_HALF
        found = (
            beside_floor(lambda i, j: divergences(shares[i], shares[j]), halves, positions, seed=seed)
            if enough
            else {}
        )
        for id, about in ABOUT.items():
            beside = found.get(id)
            few = f"Not computed: needs {MINIMUM_HALF} images of either half of the patients, and synthetic ones."
            yield Row(
                id=id,
                title=id,
                group=GROUP,
                about=about,
                values=(
                    Value(name=VALUE, value=None)
                    if beside is None
                    else Value(
                        name=VALUE,
                        value=beside.value,
                        low=max(0.0, beside.low),
                        high=beside.high,
                        std=beside.std,
                    ),
                    Value(
                        name=FLOOR,
                        value=None if beside is None else beside.floor,
                        std=None if beside is None else beside.floor_std,
                    ),
                ),
                n={
                    "real_images": n if beside is None else beside.n,
                    "synthetic_images": len(positions) if beside is None else beside.n,
                },
                note=cut(reference.note if beside is not None else f"{few} {reference.note}"),
            )


def histograms(images: Tensor) -> Tensor:
    """(n, BINS) share of each image's values in equal bins of [-1, 1]."""
    bins = ((images.float().clamp(-1, 1) + 1) * (BINS / 2)).long().clamp_max(BINS - 1).flatten(1)
    counts = torch.zeros(len(images), BINS, dtype=torch.float64)
    counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float64))
    return counts / max(bins.shape[1], 1)


def divergences(real: Tensor, other: Tensor) -> dict[str, float]:
    """Of the mean histogram of (n, BINS) images from that of (m, BINS) others."""
    p, q = ((each.mean(dim=0, keepdim=True) + SMALL) for each in (real, other))
    p, q = p / p.sum(), q / q.sum()
    return {
        "histogram-KL": float(kl_divergence(p, q)),
        "histogram-JS": float(jensen_shannon_divergence(p, q)),
    }

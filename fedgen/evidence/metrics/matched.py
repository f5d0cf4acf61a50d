"""Which real images the synthetic ones are compared with, and how class shares are made equal.

A synthetic set has the class shares somebody asked for, the hospitals have theirs. A distance between
the two would measure that difference first, so the larger, renewable side gives way: synthetic images
are drawn, as many as possible, in the shares of the real reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.pooled import PooledImages, pool

#: with fewer held-out images or patients than this, training patients are the reference
MINIMUM_IMAGES = 50
MINIMUM_PATIENTS = 10


@dataclass(frozen=True)
class MatchedSets:
    """Real and synthetic images with equal class shares.

    Attributes:
        real: the real reference.
        synthetic: (n, C, *size) float32 in [-1, 1].
        note: one or more sentences on how both were chosen.
    """

    real: PooledImages
    synthetic: Tensor
    note: str


def choose_reference(
    sites: Sequence[SiteData], synthetic: LabelledImages, classes: Sequence[str], *, seed: int
) -> MatchedSets:
    """Held-out patients (TEST and AUDIT parts) where they are enough, training patients elsewhere."""
    real = pool(sites, (Part.TEST, Part.AUDIT))
    if real.n_images >= MINIMUM_IMAGES and real.n_patients >= MINIMUM_PATIENTS:
        notes = [f"Real reference: {real.n_images} images of {real.n_patients} held-out patients."]
    else:
        held_out = f"{real.n_images} images of {real.n_patients} patients"
        real = pool(sites, (Part.TRAIN,))
        notes = [
            f"Real reference: {real.n_images} images of {real.n_patients} training patients, because only "
            f"{held_out} are held out; a generator that copies its training images looks good here."
        ]
    common = set(real.labels.tolist()) & set(synthetic.labels.tolist())
    missing = [name for i, name in enumerate(classes) if i in real.labels and i not in common]
    unasked = [name for i, name in enumerate(classes) if i in synthetic.labels and i not in common]
    if missing:
        notes.append(f"Left out, because no synthetic image has the class: {', '.join(missing)}.")
    if unasked:
        notes.append(f"Left out, because no reference image has the class: {', '.join(unasked)}.")
    real = real.take(torch.isin(real.labels, torch.tensor(sorted(common), dtype=torch.int64)))
    chosen = match_class_shares(synthetic.labels, real.labels, seed=seed)
    if len(chosen) < len(synthetic.labels):
        notes.append(
            f"{len(chosen)} of {len(synthetic.labels)} synthetic images, in the reference's class shares."
        )
    return MatchedSets(real, synthetic.images[chosen], " ".join(notes))


def match_class_shares(labels: Tensor, target: Tensor, *, seed: int) -> Tensor:
    """Positions of the largest random subset of `labels` with the class shares of `target`.

    Each class c gets floor(s * target_c) images, where s is the largest factor that every class of
    `target` can afford; a class gets one image at least where it has any.

    Returns:
        (m,) int64, sorted.
    """
    classes, counts = target.unique(return_counts=True)
    available = [int((labels == c).sum()) for c in classes]
    # A fraction: rounding must not take an image from the very class that sets the scale.
    scale = min(
        (Fraction(n, int(count)) for n, count in zip(available, counts, strict=True)), default=Fraction(0)
    )
    if scale == 0:
        return torch.empty(0, dtype=torch.int64)
    rng = torch.Generator().manual_seed(seed)
    chosen = []
    for c, count in zip(classes, counts, strict=True):
        positions = (labels == c).nonzero().flatten()
        wanted = max(1, math.floor(scale * int(count)))
        chosen.append(positions[torch.randperm(len(positions), generator=rng)[:wanted]])
    return torch.cat(chosen).sort().values

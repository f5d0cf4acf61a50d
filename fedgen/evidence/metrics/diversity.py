"""Diversity within a class: mean MS-SSIM of random pairs (Wang et al. 2003; Odena et al. 2017).

Pairs of real images come from different patients. A synthetic mean above the real one says that the
generator repeats itself; far below it, that it draws noise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.pooled import PooledImages, pooled
from fedgen.run.row import Row, Value, cut
from fedgen.study.evaluation_section import EvaluationSection

#: pairs of each class, at most
PAIRS = 200
#: a mean over fewer pairs carries a note
FEW_PAIRS = 20
#: exponents of the five scales, finest first (Wang et al. 2003, section 3.2)
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: side of the Gaussian window (sigma 1.5) in pixels
WINDOW = 11


@dataclass(frozen=True)
class ClassDiversity:
    """Mean MS-SSIM of one class; None where there are no two images to compare."""

    name: str
    synthetic: float | None
    real: float | None
    pairs: int
    note: str | None


def scales_for(height: int, width: int) -> int:
    """Number of scales for an image size: the most, up to five, whose coarsest image still holds the window.

    Each scale halves the image, so s scales need a side of 11 * 2^(s-1) pixels, and torchmetrics asks for
    11 * (s-1)^2. So 176 px has all five, 128 px four, 64 px three, 32 px two, 16 px one (plain SSIM).
    """
    side = min(height, width)
    return max(s for s in range(1, len(WEIGHTS) + 1) if side >= WINDOW * max(2 ** (s - 1), (s - 1) ** 2))


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """MS-SSIM of n pairs of (n, C, H, W) images in [-1, 1]; shape (n,), in [0, 1].

    With s scales the first s of the five exponents are used, rescaled to sum to one.
    """
    scales = scales_for(*x.shape[-2:])
    total = sum(WEIGHTS[:scales])
    # SSIM's luminance term is meant for intensities that are not negative.
    return multiscale_structural_similarity_index_measure(
        (x.float() + 1) / 2,
        (y.float() + 1) / 2,
        data_range=1.0,
        kernel_size=WINDOW,
        betas=tuple(w / total for w in WEIGHTS[:scales]),
        normalize="relu",
        reduction="none",
    ).reshape(-1)


def random_pairs(owners: Tensor, pairs: int, rng: random.Random) -> Tensor:
    """Positions of pairs of items with different owners; each pair of owners at most once.

    Args:
        owners: (n,) int64; all owners are equally likely, however many items they have.
        pairs: how many are wanted.
        rng: generator.

    Returns:
        (min(pairs, number of pairs of owners), 2) int64.
    """
    items: dict[int, list[int]] = {}
    for position, owner in enumerate(owners.tolist()):
        items.setdefault(owner, []).append(position)
    groups = list(items.values())
    total = math.comb(len(groups), 2)
    drawn = []
    for rank in rng.sample(range(total), min(pairs, total)):
        # Pairs b < a in the order (1,0), (2,0), (2,1), (3,0), ...: rank = a (a - 1) / 2 + b.
        a = (1 + math.isqrt(1 + 8 * rank)) // 2
        b = rank - a * (a - 1) // 2
        drawn.append((rng.choice(groups[a]), rng.choice(groups[b])))
    return torch.tensor(drawn, dtype=torch.int64).reshape(-1, 2)


def measure_diversity(
    real: PooledImages, synthetic: LabelledImages, classes: Sequence[str], *, seed: int
) -> tuple[ClassDiversity, ...]:
    """Mean MS-SSIM of every class, over equally many real and synthetic pairs."""
    return tuple(_one_class(real, synthetic, c, name, seed) for c, name in enumerate(classes))


def _one_class(real: PooledImages, synthetic: LabelledImages, c: int, name: str, seed: int) -> ClassDiversity:
    rng = random.Random(f"{seed}/{c}")
    own = real.take(real.labels == c)
    generated = synthetic.images[synthetic.labels == c]
    real_pairs = random_pairs(own.patients, PAIRS, rng)
    synthetic_pairs = random_pairs(torch.arange(len(generated)), PAIRS, rng)
    notes = []
    if not len(real_pairs):
        notes.append(f"Fewer than two patients have a real training image of {name}.")
    if not len(synthetic_pairs):
        notes.append(f"Fewer than two synthetic images are of {name}.")
    pairs = min((len(p) for p in (real_pairs, synthetic_pairs) if len(p)), default=0)
    if 0 < pairs < FEW_PAIRS:
        notes.append(f"Few pairs ({pairs}): the means are coarse.")
    return ClassDiversity(
        name=name,
        synthetic=_mean(generated, synthetic_pairs[:pairs]),
        real=_mean(own.images, real_pairs[:pairs]),
        pairs=pairs,
        note=" ".join(notes) or None,
    )


def _mean(images: Tensor, pairs: Tensor) -> float | None:
    return float(ms_ssim(images[pairs[:, 0]], images[pairs[:, 1]]).double().mean()) if len(pairs) else None


@dataclass(frozen=True)
class Diversity(Measure):
    """Likeness of pairs within a class."""

    id = "diversity"
    title = "Diversity"
    order = 2
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """A row a class, and one that says what its numbers are."""
        train = pooled(real, Part.TRAIN)
        for c, found in enumerate(measure_diversity(train, made, real.classes, seed=seed)):
            yield Row(
                id=f"diversity-{c}",
                title=cut(found.name),
                group=self.id,
                values=(Value(name="synthetic", value=found.synthetic), Value(name="real", value=found.real)),
                n={
                    "real_pairs": 0 if found.real is None else found.pairs,
                    "synthetic_pairs": 0 if found.synthetic is None else found.pairs,
                },
                note=None if found.note is None else cut(found.note),
            )
        scales = scales_for(*made.images.shape[-2:])
        yield Row(
            id="ms-ssim",
            title="MS-SSIM",
            group=self.id,
            note=f"Mean MS-SSIM over pairs of images, {scales} scale{'s' if scales > 1 else ''}. Higher is more alike: "
            "a synthetic value well above the real one means the model repeats itself.",
        )

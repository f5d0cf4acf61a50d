"""How well masks agree, by case: Dice, 95 % Hausdorff distance and surface Dice of all images of one patient.

A case is a patient, since images of one patient are not independent evidence. Its Dice is that of the voxels of all
its images together, so that a slice at the edge of an organ weighs what it holds. The distances are those of single
images (slices of a 2D study have gaps between them), averaged over the images in which either mask has anything.

Empty masks, the stated rule: where a mask and the true one are both empty, they agree (Dice and surface Dice 1,
distance 0), and an image in which they do does not enter the means over images; where one of the two is empty, the
worst value counts (0, 0, and the image's diagonal), since MONAI's own would be infinite or missing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float64]

#: Names of the scores of a case, in the order of their columns.
DICE, HD95, SURFACE = "Dice", "HD95", "surface Dice"
SCORES = (DICE, HD95, SURFACE)
#: A surface counts as met within so many pixels of the finest axis.
TOLERANCE = 1.0


def of_classes(masks: Tensor, classes: int) -> Tensor:
    """Masks of classes (n, 1, *size), 0 outside of all, as (n, K, *size) bool; higher values count as none."""
    each = torch.arange(1, classes + 1, device=masks.device).reshape(1, -1, *[1] * (masks.ndim - 2))
    found: Tensor = masks == each
    return found


def case_scores(
    found: Tensor,
    truth: Tensor,
    patients: Tensor,
    classes: int,
    spacing: Sequence[float] | None = None,
) -> FloatArray:
    """Scores of every patient, mean over the classes of the mask.

    Args:
        found, truth: (n, 1, *size) of class indices, 0 outside of all.
        patients: (n,) int64.
        classes: K.
        spacing: of the size's axes, in mm; None for distances in pixels.

    Returns:
        (cases, 3) in the order of SCORES and of the patients' numbers: Dice and surface Dice in [0, 1], HD95 in mm.
    """
    sides = tuple(spacing) if spacing is not None else (1.0,) * (truth.ndim - 2)
    ours, theirs = of_classes(found, classes), of_classes(truth, classes)
    rows = []
    for patient in patients.unique():
        own = patients == patient
        dice = _dice(ours[own], theirs[own])
        distance, surface = _surfaces(ours[own], theirs[own], sides)
        rows.append([float(np.mean(each)) for each in (dice, distance, surface)])
    return np.array(rows, dtype=np.float64).reshape(-1, len(SCORES))


def _dice(found: Tensor, truth: Tensor) -> FloatArray:
    """(K,) Dice of all voxels of all images together; 1 where both masks are empty."""
    # Here and below, since MONAI takes seconds to import, and most releases have no masks.
    from monai.metrics import compute_dice

    # Side by side along one axis, so that all images are one.
    both = [torch.cat(list(each), dim=1).float()[None] for each in (found, truth)]
    value: FloatArray = compute_dice(both[0], both[1], ignore_empty=False)[0].double().numpy()
    return value


def _surfaces(found: Tensor, truth: Tensor, spacing: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    """(K,) mean HD95 and mean surface Dice over the images in which a class is in either mask."""
    axes = tuple(range(2, truth.ndim))
    ours, theirs = found.any(dim=axes), truth.any(dim=axes)
    worst = math.sqrt(sum((side * n) ** 2 for side, n in zip(spacing, truth.shape[2:], strict=True)))
    threshold = TOLERANCE * min(spacing)
    distances, surfaces = [], []
    for k in range(truth.shape[1]):
        seen = (ours[:, k] | theirs[:, k]).nonzero().flatten().tolist()
        each = [
            _one(found[i : i + 1, k : k + 1], truth[i : i + 1, k : k + 1], spacing, threshold)
            if ours[i, k] and theirs[i, k]
            else (worst, 0.0)
            for i in seen
        ]
        distances.append(float(np.mean([d for d, _ in each])) if each else 0.0)
        surfaces.append(float(np.mean([s for _, s in each])) if each else 1.0)
    return np.array(distances), np.array(surfaces)


def _one(found: Tensor, truth: Tensor, spacing: tuple[float, ...], threshold: float) -> tuple[float, float]:
    """HD95 and surface Dice of one class in one image where both masks have something."""
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    with warnings.catch_warnings():
        # MONAI warns of an argument of its own.
        warnings.simplefilter("ignore")
        distance = compute_hausdorff_distance(
            found, truth, include_background=True, percentile=95, spacing=list(spacing)
        )
        surface = compute_surface_dice(
            found,
            truth,
            class_thresholds=[threshold],
            include_background=True,
            spacing=list(spacing),
            use_subvoxels=False,
        )
    return float(distance), float(surface)

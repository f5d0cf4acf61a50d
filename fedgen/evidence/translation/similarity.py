"""How like a made image is to the real one, by case: all slices of one patient, of pictures and of volumes alike.

All intensities are shares of the window of the study, in [0, 1]. MAE, PSNR, MSE and NMSE are of the voxels of the body
in all of a case's images together; SSIM, MS-SSIM, VIF and UQI are means over its slices with anything of the body in
them, by torchmetrics, and so is LPIPS, where a study names its weights. A slice too small for one of them has none (see
`WHOLE_SIDE`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.image import (
    structural_similarity_index_measure,
    universal_image_quality_index,
    visual_information_fidelity,
)

from fedgen.evidence.metrics.diversity import ms_ssim
from fedgen.evidence.translation.perceptual import Perceptual

FloatArray = NDArray[np.float64]

#: What is above the lower bound of the window by more than this, in [-1, 1], is body and not background.
BACKGROUND = 0.02
#: Of images that are equal, where it would be infinite.
BEST_PSNR = 100.0
#: Sides in pixels that SSIM, MS-SSIM and UQI need for their window, and VIF for its four scales.
WINDOW, WHOLE_SIDE = 11, 41
#: VIF's noise is meant for 8-bit values.
_BYTE = 255.0
CHUNK = 64


@dataclass(frozen=True)
class Similarity:
    """One number of a case.

    Attributes:
        name: for the table.
        higher: whether higher is better.
        about: what it is, for a reader.
    """

    name: str
    higher: bool
    about: str


MAE, PSNR, MSE, NMSE = "MAE", "PSNR", "MSE", "NMSE"
SSIM, MS_SSIM, VIF, UQI = "SSIM", "MS-SSIM", "VIF", "UQI"
LPIPS = "LPIPS"
#: In the order of the table.
MEASURES = (
    Similarity(MAE, False, "mean absolute error in the body, as a share of the window"),
    Similarity(PSNR, True, "peak signal-to-noise ratio in the body, in dB"),
    Similarity(SSIM, True, "structural similarity"),
    Similarity(
        MS_SSIM, True, "multi-scale structural similarity, with as many scales as the image has room for"
    ),
    Similarity(MSE, False, "mean squared error in the body, as a share of the window squared"),
    Similarity(NMSE, False, "squared error in the body over the real image's own squares"),
    Similarity(VIF, True, "visual information fidelity"),
    Similarity(UQI, True, "universal image quality index in the body"),
)
#: Of a study that names the weights of its network.
PERCEPTUAL = Similarity(LPIPS, False, "distance in the features of a network, weighted as people judged")


def body_of(target: Tensor, *sources: Tensor) -> Tensor:
    """(n, 1, *size) bool: where the real target or one of its sources is above the background; all where nothing is.

    Args:
        target, sources: (n, C, *size) in [-1, 1]; a source that is absent is zeros and counts where it is there alone.
    """
    found: Tensor = (target > BACKGROUND - 1).any(dim=1, keepdim=True)
    for source in sources:
        there = (source != 0).flatten(1).any(dim=1).reshape(-1, *[1] * (source.ndim - 1))
        found = found | ((source > BACKGROUND - 1).any(dim=1, keepdim=True) & there)
    empty = ~found.flatten(1).any(dim=1).reshape(-1, *[1] * (found.ndim - 1))
    return found | empty


def similarity_by_case(
    made: Tensor, target: Tensor, body: Tensor, patients: Tensor, perceptual: Perceptual | None = None
) -> dict[str, FloatArray]:
    """Each of MEASURES for each patient, in the order of their numbers; NaN where images are too small for it.

    Args:
        made, target: (n, C, *size) in [-1, 1].
        body: (n, 1, *size) bool, see `body_of`.
        patients: (n,) int64.
        perceptual: the network of LPIPS, which is the last where it is given.
    """
    ours, theirs = (made.float().clamp(-1, 1) + 1) / 2, (target.float().clamp(-1, 1) + 1) / 2
    _, owner = patients.unique(return_inverse=True)
    cases = int(owner.max()) + 1 if len(owner) else 0
    found = _in_body(ours, theirs, body.expand_as(ours), owner, cases)
    of_slices, slice_owner = _slices(ours, owner)
    real_slices, _ = _slices(theirs, owner)
    body_slices, _ = _slices(body, owner)
    windowed = dict(_WINDOWED)
    if perceptual is not None:
        windowed[LPIPS] = lambda x, y, _: perceptual(x * 2 - 1, y * 2 - 1)
    for name, compute in windowed.items():
        found[name] = _mean_of_slices(compute, of_slices, real_slices, body_slices, slice_owner, cases)
    return {name: found[name] for name in names(perceptual is not None)}


def names(perceptual: bool) -> list[str]:
    """Of the measures, in the order of the table.

    Args:
        perceptual: whether LPIPS is one of them.
    """
    return [each.name for each in measures(perceptual)]


def measures(perceptual: bool) -> tuple[Similarity, ...]:
    """The measures; argument as of `names`."""
    return (*MEASURES, PERCEPTUAL) if perceptual else MEASURES


def _in_body(ours: Tensor, theirs: Tensor, body: Tensor, owner: Tensor, cases: int) -> dict[str, FloatArray]:
    error = (ours - theirs).double() * body
    square, absolute = error.square().flatten(1).sum(1), error.abs().flatten(1).sum(1)
    signal = (theirs.double() * body).square().flatten(1).sum(1)
    voxels = body.flatten(1).sum(1).double()

    def total(values: Tensor) -> FloatArray:
        summed: FloatArray = torch.zeros(cases, dtype=torch.float64).index_add(0, owner, values).numpy()
        return summed

    n, squares = total(voxels), total(square)
    with np.errstate(divide="ignore", invalid="ignore"):
        psnr = np.minimum(10 * np.log10(n / squares), BEST_PSNR)
        nmse = np.where(squares == 0, 0.0, squares / total(signal))
    return {MAE: total(absolute) / n, PSNR: psnr, MSE: squares / n, NMSE: nmse}


def _slices(images: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """(n, C, H, W) pictures as they are, volumes (n, C, D, H, W) as n * D pictures, each with its owner."""
    if images.ndim == 4:
        return images, owner
    depth = images.shape[2]
    return images.transpose(1, 2).flatten(0, 1), owner.repeat_interleave(depth)


#: (made, real, body) of (n, C, H, W) in [0, 1] -> (n,)
_Windowed = Callable[[Tensor, Tensor, Tensor], Tensor]


def _mean_of_slices(
    compute: _Windowed, ours: Tensor, theirs: Tensor, body: Tensor, owner: Tensor, cases: int
) -> FloatArray:
    seen = body.flatten(1).any(dim=1)
    ours, theirs, body, owner = ours[seen], theirs[seen], body[seen], owner[seen]
    values = [
        compute(*part).double()
        for part in zip(ours.split(CHUNK), theirs.split(CHUNK), body.split(CHUNK), strict=True)
    ]
    each = torch.cat(values) if values else torch.empty(0, dtype=torch.float64)
    total = torch.zeros(cases, dtype=torch.float64).index_add(0, owner, each)
    mean: FloatArray = (total / owner.bincount(minlength=cases)).numpy()
    return mean


def _ssim(ours: Tensor, theirs: Tensor, body: Tensor) -> Tensor:
    if min(ours.shape[-2:]) < WINDOW:
        return _undefined(ours)
    return _one_each(structural_similarity_index_measure(ours, theirs, data_range=1.0, reduction="none"))


def _ms_ssim(ours: Tensor, theirs: Tensor, body: Tensor) -> Tensor:
    return _undefined(ours) if min(ours.shape[-2:]) < WINDOW else ms_ssim(ours * 2 - 1, theirs * 2 - 1)


def _vif(ours: Tensor, theirs: Tensor, body: Tensor) -> Tensor:
    if min(ours.shape[-2:]) < WHOLE_SIDE:
        return _undefined(ours)
    return _one_each(visual_information_fidelity(ours * _BYTE, theirs * _BYTE, reduction="none"))


def _uqi(ours: Tensor, theirs: Tensor, body: Tensor) -> Tensor:
    """Mean over the body of the index's map, which is smaller than the image by its window."""
    if min(ours.shape[-2:]) < WINDOW:
        return _undefined(ours)
    index = universal_image_quality_index(ours, theirs, reduction="none")
    edges = [(whole - kept) // 2 for whole, kept in zip(ours.shape[-2:], index.shape[-2:], strict=True)]
    (top, left), (high, wide) = edges, index.shape[-2:]
    inside = body[..., top : top + high, left : left + wide].expand_as(index)
    weight = inside.flatten(1).sum(1)
    every = index.flatten(1).mean(1)
    return torch.where(weight > 0, (index * inside).flatten(1).sum(1) / weight.clamp_min(1), every)


def _undefined(images: Tensor) -> Tensor:
    return torch.full((len(images),), float("nan"))


def _one_each(values: Tensor) -> Tensor:
    return values.reshape(-1)


_WINDOWED: dict[str, _Windowed] = {SSIM: _ssim, MS_SSIM: _ms_ssim, VIF: _vif, UQI: _uqi}

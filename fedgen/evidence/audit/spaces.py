"""The feature spaces in which samples are compared: none of them is trained, so nothing about patients hides in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedgen.evidence.audit.audited import AuditedGroup
from fedgen.evidence.known_features import extract
from fedgen.evidence.metrics.standardise import Standardiser
from fedgen.evidence.middle import middle_slices
from fedgen.extractors.registry import build_extractor

THUMBNAIL = "thumbnail"
#: Names, and what they are called: pixels after a low pass, texture and histogram, and a network with random weights.
SPACES = {
    THUMBNAIL: "thumbnails",
    "radiomics": "radiomics features",
    "random_conv": "features of a random network",
}


def in_spaces(groups: Sequence[AuditedGroup], real: int) -> tuple[AuditedGroup, ...]:
    """Groups with their features in every space; volumes by their middle slices in all but the thumbnails'.

    Args:
        groups: of images of one size.
        real: the first so many are of real patients, who alone set the scale of a space: train and held-out alike, so
            that the scale knows no member.
    """
    found = [{THUMBNAIL: group.features} for group in groups]
    for name in SPACES:
        if name == THUMBNAIL:
            continue
        extractor = build_extractor(name, int(groups[0].images.shape[1]))
        raw = [extract(extractor, middle_slices(group.images).float()) for group in groups]
        scale = Standardiser.fit(torch.cat(raw[:real]), one_unit=extractor.one_unit)
        for features, own in zip(raw, found, strict=True):
            own[name] = scale(features).float()
    return tuple(replace(group, spaces=own) for group, own in zip(groups, found, strict=True))


def squared_distances(queries: Tensor, references: Tensor) -> Tensor:
    """Squared Euclidean distances (q, n) of (q, d) and (n, d) features, float64, at least 0.

    By one product of matrices in float64, in which a copy's distance is lost in no rounding that matters here.
    """
    q, n = queries.double(), references.double()
    lengths = q.square().sum(1, keepdim=True) + n.square().sum(1)
    return torch.addmm(lengths, q, n.T, alpha=-2).clamp_min_(0)

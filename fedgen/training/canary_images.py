"""Canaries: records that a site makes of nothing, to be trained on by the flip of a coin.

They are no images of patients, and nothing in them is computed from any: what a patient is promised must not depend on
another patient through them. All follows from one secret. Each is a pattern of squares, black and white in equal
number, over the whole range of intensities: as unlike a medical image as can be, and each as hard as any other, so
that what tells the trained ones apart is that they were trained on. Those of a site are rows of a Walsh matrix with
its cells in a secret order: orthogonal, so that none hides another, as long as there are more cells than canaries.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fedgen.data.site_data import OF_IMAGES, Part, SiteData
from fedgen_privacy.random import SecretRandom

#: Fewest squares along an axis, where it is as long.
LEAST_CELLS = 4


@dataclass(frozen=True)
class Canaries:
    """A site's m canaries, and which of them are trained on.

    Attributes:
        records: one image each; canary i is patient i of the training part.
        included: (m,) bool, a fair coin each; secret at the site.
    """

    records: SiteData
    included: Tensor

    @property
    def trained(self) -> SiteData:
        """Those whose coin fell so, patients numbered from 0."""
        return replace(self.records.only(self.included), patients=torch.arange(int(self.included.sum())))

    @property
    def sha256(self) -> str:
        """Of images, labels and coins: what a site that goes on must find again."""
        digest = hashlib.sha256()
        for tensor in (self.records.images, self.records.labels, self.included):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


def made_canaries(like: SiteData, canaries: int, mask_classes: int, secret: bytes) -> Canaries:
    """The canaries that a secret gives; the same secret gives the same ones.

    Args:
        like: the site's data, of which only the form is looked at: sizes, classes, contrasts, and what is known beside
            an image.
        canaries: m, at least 1.
        mask_classes: classes of the masks; 0 where there are none.
        secret: 32 bytes.
    """
    random, m = SecretRandom(secret), canaries
    coins = random.uniform(m) < 0.5
    channels, *size = like.images.shape[1:]
    signs = torch.where(random.uniform(m * channels) < 0.5, -1.0, 1.0)
    images = patterns(m, size, random)[:, None] * signs.reshape(m, channels, *[1] * len(size))
    labels = _below(len(like.classes), m, random)
    masks = None
    if like.masks is not None:
        inside = patterns(m, size, random)[:, None] > 0
        classes = 1 + _below(max(mask_classes, 1), m, random)
        masks = (inside * classes.reshape(m, 1, *[1] * len(size))).to(like.masks.dtype)
    covariates = None
    if like.covariates is not None:
        numbers = like.covariates.shape[1]
        covariates = 2 * random.uniform(m * numbers).reshape(m, numbers).float() - 1
    embeddings = None
    if like.embeddings is not None:
        found = random.gaussian((m, like.embeddings.shape[1]), 1.0)
        embeddings = found / found.norm(dim=1, keepdim=True)
    everything = torch.ones(m, dtype=torch.bool)
    records = replace(
        like,
        images=images.to(like.images.dtype),
        labels=labels,
        patients=torch.arange(m),
        parts=torch.full((m,), int(Part.TRAIN)),
        masks=masks,
        masked=None if like.masked is None else everything,
        present=None if like.present is None else everything[:, None].expand(m, like.present.shape[1]),
        covariates=covariates,
        embeddings=embeddings,
    )
    return Canaries(records, coins)


def patterns(n: int, size: Sequence[int], random: SecretRandom) -> Tensor:
    """n patterns of -1 and 1, (n, *size) float32; of those that share an order of the cells no two are alike.

    Args:
        n: how many.
        size: sides of an image.
        random: of the order of the cells.
    """
    cells = cells_along(n, size)
    among = math.prod(cells)
    order = torch.zeros(0, dtype=torch.int64)
    found = torch.zeros(n, among)
    for i in range(n):
        # The first row of the matrix is the constant one.
        row = i % max(among - 1, 1)
        if row == 0:
            order = random.permutation(among)
        found[i] = _walsh(row + 1, among)[order] if among > 1 else 1.0
    return interpolate(found.reshape(n, 1, *cells), size=tuple(size), mode="nearest")[:, 0]


def cells_along(n: int, size: Sequence[int]) -> tuple[int, ...]:
    """Squares along each axis, powers of two: so many that n patterns are orthogonal where an image is that large."""
    most = [2 ** (side.bit_length() - 1) for side in size]
    c = LEAST_CELLS
    while math.prod(min(c, each) for each in most) <= n and c < max(most):
        c *= 2
    return tuple(min(c, each) for each in most)


def beside(site: SiteData, more: SiteData) -> SiteData:
    """A site's images with those of other patients behind them, whose numbers go on from the site's own."""
    first = int(site.patients.max()) + 1 if site.n_images else 0
    more = replace(more, patients=more.patients + first)
    tensors: dict[str, Any] = {
        name: torch.cat([mine, getattr(more, name)])
        for name in OF_IMAGES
        if (mine := getattr(site, name)) is not None
    }
    return replace(site, **tensors)


def _walsh(row: int, columns: int) -> Tensor:
    """A row of Sylvester's matrix, (columns,) of -1 and 1; columns is a power of two."""
    both, odd = torch.arange(columns) & row, torch.zeros(columns, dtype=torch.int64)
    while bool(both.any()):
        odd, both = odd ^ (both & 1), both >> 1
    return 1.0 - 2.0 * odd


def _below(n: int, count: int, random: SecretRandom) -> Tensor:
    """(count,) int64, uniform below n."""
    return (random.uniform(count) * n).long().clamp(max=n - 1)

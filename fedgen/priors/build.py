"""A prior with its card, from images or from none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedgen.priors.analytic import analytic
from fedgen.priors.card import Card
from fedgen.priors.file import encode
from fedgen.priors.fit import fit


@dataclass(frozen=True)
class Said:
    """What whoever builds a prior of images says of them.

    Attributes:
        source: where they come from.
        licence: that they are under.
        sites: whose patients are among them, by the names under which they take part in studies.
    """

    source: str
    licence: str
    sites: tuple[str, ...] = ()


def of_images(images: NDArray[np.float32], d: int, donors: int, said: Said) -> bytes:
    """The file of a prior made of images (n, C, *size) in [-1, 1].

    Raises:
        DataError: there are too few, or they do not differ enough.
    """
    prior, explained = fit(images, d, donors)
    lent = f"; {donors} of them are kept as donors of texture" if donors else ""
    card = Card(
        kind="pca",
        source=said.source,
        licence=said.licence,
        made_of=f"mean and first {d} principal components of {len(images)} images, {explained:.0%} of their "
        f"variance{lent}",
        images_sha256=hashlib.sha256(np.ascontiguousarray(images, "<f4").tobytes()).hexdigest(),
        images=len(images),
        sites=said.sites,
        channels=images.shape[1],
        size=images.shape[2:],
        components=d,
        donors=donors,
        explained=explained,
    )
    return encode(prior, card)


def of_no_image(shape: tuple[int, ...], d: int) -> bytes:
    """The file of the analytic prior for images (C, *size).

    Raises:
        StudyError: d is larger than an image.
    """
    card = Card(
        kind="analytic",
        source="none: waves of the discrete cosine transform",
        licence="none needed",
        made_of=f"the {d} slowest waves with a 1/f amplitude, of no image",
        images_sha256="",
        images=0,
        channels=shape[0],
        size=shape[1:],
        components=d,
        donors=0,
        explained=0,
    )
    return encode(analytic(shape, d), card)

"""A prior with its card, from images or from none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedgen.errors import DataError
from fedgen.priors.analytic import analytic
from fedgen.priors.card import Card
from fedgen.priors.file import encode
from fedgen.priors.fit import chosen, fit, require_images
from fedgen.priors.prior import Prior
from fedgen.priors.train import Watch, network_for, told_again, trained
from fedgen.priors.vary import varied

#: Of so many images one is kept from the training of an autoencoder.
UNSEEN = 10


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


def of_images(images: NDArray[np.float32], d: int, donors: int, said: Said, variants: int = 0) -> bytes:
    """The file of a prior made of images (n, C, *size) in [-1, 1].

    Args:
        images: 2D or 3D.
        d: components.
        donors: how many images to keep.
        said: of the images.
        variants: of each image, as `varied` makes them, of which the prior is made; 0 takes the images as they are.

    Raises:
        DataError: there are too few, or they do not differ enough.
    """
    require_images(len(images), d, donors)
    wide, explained = fit(_shown(images, variants), d, 0)
    # Texture of the images as they are: a variant's frame is none that a patient's film has.
    prior = Prior(wide.space, chosen(images, donors, seed=0))
    of = _counted(images, variants)
    what = f"mean and first {d} principal components of {of}, {explained:.0%} of their variance"
    return _encoded(prior, images, said, explained, what, kind="pca", variants=variants)


def of_autoencoder(
    images: NDArray[np.float32],
    d: int,
    donors: int,
    said: Said,
    steps: int,
    watch: Watch | None = None,
    variants: int = 0,
) -> bytes:
    """The file of a prior whose space is that of an autoencoder trained on images (n, C, *size) in [-1, 1].

    Args:
        images: 2D or 3D.
        d: components of its code.
        donors: how many images to keep.
        said: of the images.
        steps: of its training.
        watch: told after each step how many are done, and the loss.
        variants: see `of_images`.

    Every tenth image is kept from the training, so that the card can say what the network makes of images that it has
    not seen, and what as many components of pixels make of them.

    Raises:
        DataError: there are too few images, they do not differ enough, or the training did not converge.
        StudyError: their sides cannot be halved often enough.
    """
    network = network_for(images.shape[2:], steps)
    unseen = np.arange(len(images)) % UNSEEN == UNSEEN - 1
    if not unseen.any() or donors > len(images):
        raise DataError(
            f"{len(images)} images are too few for an autoencoder, from whose training a tenth is kept, and {donors} "
            f"donors: give {max(UNSEEN, donors)} or more."
        )
    seen, others = _shown(images[~unseen], variants), torch.from_numpy(images[unseen])
    prior = Prior(trained(seen, d, 0, network, watch)[0].space, chosen(images, donors, seed=0))
    middle = torch.from_numpy(seen.mean(axis=0))
    explained = told_again(prior.space, others, middle)
    plain = told_again(fit(seen, d, 0)[0].space, others, middle)
    what = (
        f"autoencoder trained for {steps} steps on {_counted(images[~unseen], variants)}, and first {d} principal "
        f"components of its code, which tell {explained:.0%} of the variance of {len(others)} images kept from it, "
        f"where as many components of pixels tell {plain:.0%}"
    )
    return _encoded(
        prior, images, said, explained, what, kind="autoencoder", network=network, variants=variants
    )


def _shown(images: NDArray[np.float32], variants: int) -> NDArray[np.float32]:
    return varied(images, variants) if variants else images


def _counted(images: NDArray[np.float32], variants: int) -> str:
    return f"{variants} variants each of {len(images)} images" if variants else f"{len(images)} images"


def _encoded(
    prior: Prior, images: NDArray[np.float32], said: Said, explained: float, what: str, **kind: Any
) -> bytes:
    donors = len(prior.donors)
    lent = f"; {donors} of them are kept as donors of texture" if donors else ""
    card = Card(
        **kind,
        source=said.source,
        licence=said.licence,
        made_of=f"{what}{lent}",
        images_sha256=hashlib.sha256(np.ascontiguousarray(images, "<f4").tobytes()).hexdigest(),
        images=len(images),
        sites=said.sites,
        channels=images.shape[1],
        size=images.shape[2:],
        components=prior.d,
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

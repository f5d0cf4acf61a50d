"""The arms of the segmentation comparison: what each network is trained on, images with masks, and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData

#: A predictor that looks at no image: the class that most training masks of its site have at each place.
SITE_ALONE = "site-alone"
#: arm -> title, in the order of the report
TITLES = {
    "TRTR": "Train on real, test on real",
    "TSTR": "Train on synthetic, test on real",
    "TRTR+S": "Train on real and synthetic, as many of each (the fewer are repeated), test on real. Every arm takes "
    "the same number of steps, so that real images repeated as often are TRTR itself",
    "TRTR-shuffled": "Control: train on real images with masks of other patients; what is left is where the mask "
    "mostly lies",
    "TSTR-shuffled": "Control: train on synthetic images with masks of other synthetic images",
    SITE_ALONE: "Control: no image, only its site: at each place what most of the site's training masks have there",
}
#: Masks of other patients that each image has in the controls, at most.
SHUFFLES = 8
#: Arms with a network for each seed; the others have one.
OF_ALL_SEEDS = ("TRTR", "TSTR")
#: Arms without a real image: their networks are the same whoever tests them.
OF_THE_RELEASE = ("TSTR", "TSTR-shuffled")
#: (arm, against): paired differences with intervals
COMPARISONS = (
    ("TSTR", "TRTR"),
    ("TRTR+S", "TRTR"),
    ("TRTR", "TRTR-shuffled"),
    ("TRTR", SITE_ALONE),
    ("TSTR", "TSTR-shuffled"),
    ("TSTR", SITE_ALONE),
)


@dataclass(frozen=True)
class Masked:
    """n images with true masks, of patients of several sites.

    Attributes:
        images: (n, C, *size) float32 in [-1, 1].
        masks: (n, 1, *size) uint8 class index, 0 outside of all.
        patients: (n,) int64; no two sites share a number.
        sites: (n,) int64 index of the site.
    """

    images: Tensor
    masks: Tensor
    patients: Tensor
    sites: Tensor

    @property
    def n_images(self) -> int:
        """n."""
        return int(self.images.shape[0])

    @property
    def n_patients(self) -> int:
        """Number of different patients."""
        return int(self.patients.unique().numel())


def masked_images(sites: Sequence[SiteData], part: Part) -> Masked:
    """The images of one part of all sites that have a mask."""
    images, masks, patients, owners = [], [], [], []
    first = 0
    for number, site in enumerate(sites):
        if site.masks is None:
            continue
        keep = site.parts == int(part)
        if site.masked is not None:
            keep = keep & site.masked
        _, own = torch.unique(site.patients[keep], return_inverse=True)
        images.append(site.images[keep].float())
        masks.append(site.masks[keep])
        patients.append(own + first)
        owners.append(torch.full_like(own, number))
        first += int(own.max()) + 1 if own.numel() else 0
    if not images:
        like = sites[0].images[:0]
        empty = torch.empty(0, dtype=torch.int64)
        return Masked(like.float(), torch.zeros_like(like[:, :1], dtype=torch.uint8), empty, empty)
    return Masked(torch.cat(images), torch.cat(masks), torch.cat(patients), torch.cat(owners))


def made_masked(made: LabelledImages, sites: int) -> Masked:
    """Synthetic images, each a patient of its own, of no site.

    Raises:
        ValueError: they have no masks.
    """
    if made.masks is None:
        raise ValueError("the synthetic images have no masks")
    rows = torch.arange(len(made.images))
    return Masked(made.images.float(), made.masks, rows, torch.full_like(rows, sites))


def taught(arm: str, real: Masked, made: Masked, *, seed: int) -> Masked:
    """What a network of an arm is trained on; `seed` draws which masks the controls have.

    Raises:
        KeyError: no such arm, or the one without a network.
    """
    return {
        "TRTR": lambda: real,
        "TSTR": lambda: made,
        "TRTR+S": lambda: _together(real, made),
        "TRTR-shuffled": lambda: of_others(real, seed=seed),
        "TSTR-shuffled": lambda: of_others(made, seed=seed),
    }[arm]()


def _together(real: Masked, made: Masked) -> Masked:
    """As many of each: the fewer are repeated."""
    most = max(real.n_images, made.n_images)
    rows = [torch.arange(most) % max(1, each.n_images) for each in (real, made)]
    pairs = list(zip((real, made), rows, strict=True))
    return Masked(
        torch.cat([each.images[own] for each, own in pairs]),
        torch.cat([each.masks[own] for each, own in pairs]),
        torch.cat([each.patients[own] for each, own in pairs]),
        torch.cat([each.sites[own] for each, own in pairs]),
    )


def of_others(data: Masked, *, seed: int) -> Masked:
    """The images, each several times, with masks of other patients.

    With one mask of another, a disc may lie on it by luck and be learnt; with several, nothing of the image is left.
    Each round gives every mask once, and none to its own patient, as far as no patient has more images than others.
    """
    if data.n_images == 0:
        return data
    rng = torch.Generator().manual_seed(seed)
    _, owner, count = data.patients.unique(return_inverse=True, return_counts=True)
    # Patients in random order, their images side by side: as many places on as the largest has, all are another's.
    order = torch.randperm(len(count), generator=rng)[owner].argsort(stable=True)
    step = int(count.max())
    rounds = range(1, max(2, min(SHUFFLES + 1, data.n_images // step)))
    taken = order.repeat(len(rounds))
    giving = torch.cat([order.roll(step * each) for each in rounds])
    return Masked(data.images[taken], data.masks[giving], data.patients[taken], data.sites[taken])


def site_alone(train: Masked, asked: Tensor, classes: int) -> Tensor:
    """(n, K + 1, *size) shares of the classes at each place in the training masks of each image's site.

    At a site without training masks they are those of all sites.

    Args:
        train: one image at least.
        asked: (n,) int64 sites of the images asked about.
        classes: K.
    """
    levels = torch.arange(classes + 1).reshape(1, -1, *[1] * (train.masks.ndim - 2))
    truth = torch.where(train.masks > classes, 0, train.masks)
    shares = {}
    for site in asked.unique().tolist():
        own = truth[train.sites == site]
        shares[site] = ((own if len(own) else truth) == levels).float().mean(dim=0)
    return torch.stack([shares[site] for site in asked.tolist()])

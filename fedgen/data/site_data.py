"""A site's decoded images: what every later stage reads, and the only thing it reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor

from fedgen.task.image_spec import ImageSpec, Spacing

#: Fields of `SiteData` with an entry for each image; some may be None.
OF_IMAGES = (
    "images",
    "labels",
    "patients",
    "parts",
    "masks",
    "masked",
    "present",
    "covariates",
    "embeddings",
)


class Part(IntEnum):
    """Where a patient belongs; no patient is ever in two parts."""

    TRAIN = 0
    AUDIT = 1
    TEST = 2


@dataclass(frozen=True)
class SiteData:
    """Tensors of one site; N images of P patients.

    Attributes:
        site: the site's name.
        classes: class names; a label is an index into them.
        images: (N, C, *size) float16 in [-1, 1]; size is (H, W) or (D, H, W). Where the study names contrasts,
            C are the channels of each of them in their order, 0 where it is absent.
        labels: (N,) int64 class index.
        patients: (N,) int64 patient number; 0..P-1 within the site, identities stay in the index.
        parts: (N,) int64 of `Part`, equal for all images of a patient.
        masks: (N, 1, *size) uint8 classes, 0 outside of all; None where no image of the site has a mask.
        masked: (N,) bool, which of the images have a mask: the others' are empty; None where masks are.
        contrasts: names of the contrasts; empty where a record holds one image of no name.
        present: (N, contrasts) bool, which of them are there; None where there are no contrasts.
        covariates: (N, numbers) float32 of `data.covariates`; None where the study names none.
        embeddings: (N, numbers) float32 of L2 norm 1; None where the study names none.
        spacing: mm between neighbours along each axis of size; None where the images do not agree on one.
        orientation: sides of the patient that the axes of size grow towards; empty where the images do not agree.
        enrolled: training patients when the study began, where some of them have withdrawn since; else None.
    """

    site: str
    classes: tuple[str, ...]
    images: Tensor
    labels: Tensor
    patients: Tensor
    parts: Tensor
    masks: Tensor | None = None
    masked: Tensor | None = None
    contrasts: tuple[str, ...] = ()
    present: Tensor | None = None
    covariates: Tensor | None = None
    embeddings: Tensor | None = None
    spacing: Spacing | None = None
    orientation: str = ""
    enrolled: int | None = None

    @property
    def enrolled_patients(self) -> int:
        """N of the study: its training patients when it began, a public constant of sampling, noise and weights."""
        return self.part(Part.TRAIN).n_patients if self.enrolled is None else self.enrolled

    @property
    def grid(self) -> ImageSpec:
        """What each of the images is; of contrasts, each of them."""
        channels, *size = self.images.shape[1:]
        channels //= max(len(self.contrasts), 1)
        return ImageSpec(
            channels=channels, size=tuple(size), spacing=self.spacing, orientation=self.orientation
        )

    def part(self, part: Part) -> SiteData:
        """The images of one part; patients are numbered anew from 0."""
        kept = self.only(self.parts == int(part))
        _, patients = torch.unique(kept.patients, return_inverse=True)
        return replace(kept, patients=patients)

    def only(self, keep: Tensor) -> SiteData:
        """The images that are kept (N,) bool; patients keep their numbers."""
        tensors = {name: getattr(self, name) for name in OF_IMAGES}
        return replace(self, **{name: t[keep] for name, t in tensors.items() if t is not None})

    @property
    def n_images(self) -> int:
        """N."""
        return int(self.images.shape[0])

    @property
    def n_patients(self) -> int:
        """P."""
        return int(torch.unique(self.patients).numel())


@dataclass(frozen=True)
class LabelledImages:
    """Images without patients: a synthetic set, or the reals of a test.

    Attributes:
        images: (n, C, *size) float32 in [-1, 1].
        labels: (n,) int64 class index.
        masks: (n, 1, *size) uint8 classes, 0 outside of all, or None where the images have none.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None

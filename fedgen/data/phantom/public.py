"""Images of pretend patients of no site, for a public prior: rendered and prepared as a study's, but never written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedgen.data.decoders.decoder import Pixels
from fedgen.data.phantom.anatomy import SEGMENTS, Slice, cut
from fedgen.data.phantom.patient import draw_patient
from fedgen.data.phantom.scanner import CONTRASTS, Scanner, scan
from fedgen.data.phantom.series import MODALITY, RESCALE_SLOPE, STORED_MAX
from fedgen.data.phantom.write import CLASSES, FIRST_PUBLIC
from fedgen.data.pixels import centre, fitted_size, resize_mask
from fedgen.data.public_images import prepared_images
from fedgen.errors import StudyError
from fedgen.study.data import Intensity
from fedgen.study.model import PhantomPrior

#: Masks that phantoms have, by the name that data.columns.mask has for them, with their greatest class.
MASKS = {"mask": 1, "tissue_mask": len(SEGMENTS)}


@dataclass(frozen=True)
class PhantomMask:
    """A mask of phantoms.

    Attributes:
        name: one of MASKS.
        classes: of the study's masks: those beyond are left out.
    """

    name: str
    classes: int

    def channels(self, anatomy: Slice, size: tuple[int, int]) -> Pixels:
        """(classes, H, W) float32: -1 outside and 1 inside each class, resampled as the image is."""
        found = anatomy.lesion.astype(np.uint8) if self.name == "mask" else anatomy.segments
        fitted = resize_mask(found, fitted_size(found.shape, None, size))
        placed = centre(fitted[..., np.newaxis], size, 0)[..., 0]
        each = np.arange(1, self.classes + 1)[:, np.newaxis, np.newaxis]
        return np.where(placed == each, 1.0, -1.0).astype(np.float32)


#: As of the phantoms that sites have.
SIZE = (96, 96)
#: Patients of one scanner: public collections are of many.
A_SCANNER = 40


def public_phantoms(
    asked: PhantomPrior,
    modality: str | None,
    size: tuple[int, int],
    intensity: Intensity,
    mask: PhantomMask | None = None,
) -> Pixels:
    """One image a patient, half of them with a lesion; the same arguments give the same images.

    Their random numbers are those of hospitals that no phantom has, so that none of them is any site's patient,
    whatever the seeds.

    Args:
        asked: how many patients, and their seed.
        modality: as `data.modality`; None takes all contrasts in turn.
        size: (H, W) that the images are resampled to.
        intensity: window of stored values (0 to 255) that becomes [-1, 1].
        mask: that comes with each image as further channels, -1 outside and 1 inside; None for images alone.

    Returns:
        (patients, 1 + classes of the mask, H, W) float32 in [-1, 1].

    Raises:
        StudyError: phantoms have no such modality.
    """
    contrasts = CONTRASTS if modality in (None, MODALITY) else (modality,)
    if not set(contrasts) <= set(CONTRASTS):
        raise StudyError(
            f"model.prior.phantom makes heads of {' and '.join(CONTRASTS)}, and data.modality is {modality}: use a "
            "prior in a file (model.prior.sha256), or leave it away."
        )
    images: list[Pixels] = []
    for first in range(0, asked.patients, A_SCANNER):
        rng = np.random.default_rng([asked.seed, FIRST_PUBLIC + first // A_SCANNER])
        scanner = _scanner(rng)
        for number in range(first, min(first + A_SCANNER, asked.patients)):
            patient = draw_patient("public", number, CLASSES[number % 2], rng)
            anatomy = cut(patient.head, float(rng.choice(patient.levels)), SIZE)
            contrast = contrasts[number // 2 % len(contrasts)]
            stored = np.round(scan(anatomy, contrast, scanner, rng) * STORED_MAX).astype(np.uint16)
            # As a decoder gives them: the rescale slope is applied to float64.
            values = (stored * RESCALE_SLOPE).astype(np.float32)
            image = prepared_images(values[np.newaxis, ..., np.newaxis], None, size, intensity)[0]
            images.append(image if mask is None else np.concatenate([image, mask.channels(anatomy, size)]))
    return np.stack(images)


def _scanner(rng: np.random.Generator) -> Scanner:
    """Any scanner between the looks that sites have, and beyond none of them."""
    return Scanner(
        gain=float(rng.uniform(0.90, 1.0)),
        gamma=float(rng.uniform(0.8, 1.25)),
        blur=float(rng.uniform(0.004, 0.010)),
        noise=float(rng.uniform(0.012, 0.040)),
        shading=float(rng.uniform(0.06, 0.26)),
        direction=float(rng.uniform(0, 2 * np.pi)),
    )

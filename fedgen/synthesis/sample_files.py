"""One synthetic image, and its mask, as the files of a format."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fedgen.synthesis.dicom import dicom_bytes, dicom_image
from fedgen.synthesis.dicom_tags import Provenance, SyntheticPatient
from fedgen.synthesis.formats import mask_nifti_bytes, mask_png_bytes, nifti_bytes, png_bytes
from fedgen.synthesis.segmentation import dicom_segmentation
from fedgen.task.image_spec import ImageSpec

#: How the files of a format end.
ENDINGS = {"png": ".png", "nifti": ".nii.gz", "dicom": ".dcm"}


def sample_files(
    form: str,
    image: Tensor,
    mask: Tensor | None,
    grid: ImageSpec,
    window: tuple[float, float],
    subject: SyntheticPatient,
    about: Provenance,
    mask_classes: Sequence[str] = ("mask",),
) -> tuple[bytes, bytes | None]:
    """The image's file and that of its mask, if it has one.

    Args:
        form: a key of ENDINGS.
        image: (C, *size) in [-1, 1].
        mask: (1, *size) of classes, 0 outside of all, or None.
        grid: what is known of the image.
        window: stored values of -1 and +1 in a gray image.
        subject: whom it shows.
        about: where it comes from.
        mask_classes: names of the mask's values 1, 2, ...
    """
    if form == "dicom":
        dataset = dicom_image(image, grid, window, subject, about)
        marked = None if mask is None else dicom_bytes(dicom_segmentation(mask, dataset, grid, mask_classes))
        return dicom_bytes(dataset), marked
    if form == "nifti":
        marked = None if mask is None else mask_nifti_bytes(mask, grid)
        return nifti_bytes(image, grid, window), marked
    return png_bytes(image, grid.spacing), None if mask is None else mask_png_bytes(mask, len(mask_classes))

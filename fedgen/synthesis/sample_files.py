"""One synthetic image, and its mask, as the files of a format."""

from __future__ import annotations

from torch import Tensor

from fedgen.synthesis.dicom import dicom_bytes, dicom_image
from fedgen.synthesis.dicom_tags import Provenance, SyntheticPatient
from fedgen.synthesis.formats import mask_png_bytes, nifti_bytes, png_bytes
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
) -> tuple[bytes, bytes | None]:
    """The image's file and that of its mask, if it has one.

    Args:
        form: a key of ENDINGS.
        image: (C, *size) in [-1, 1].
        mask: (1, *size) in {0, 1}, or None.
        grid: what is known of the image.
        window: stored values of -1 and +1 in a gray image.
        subject: whom it shows.
        about: where it comes from.
    """
    if form == "dicom":
        dataset = dicom_image(image, grid, window, subject, about)
        marked = None if mask is None else dicom_bytes(dicom_segmentation(mask, dataset, grid))
        return dicom_bytes(dataset), marked
    if form == "nifti":
        # A mask's own values are 0 and 1.
        gray = grid.model_copy(update={"channels": 1})
        marked = None if mask is None else nifti_bytes(mask * 2.0 - 1, gray, (0.0, 1.0))
        return nifti_bytes(image, grid, window), marked
    return png_bytes(image, grid.spacing), None if mask is None else mask_png_bytes(mask)

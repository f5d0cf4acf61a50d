"""One synthetic image as the bytes of a file, marked as synthetic inside the file itself."""

from __future__ import annotations

import gzip
import io
import re
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from fedgen import __version__

#: Kept in the `Software` text chunk of every PNG.
PNG_SOFTWARE = f"fedgen {__version__}; synthetic"
#: Kept in the `descrip` field of every NIfTI header (80 bytes).
NIFTI_DESCRIPTION = "synthetic, fedgen"

_RGB24 = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """(C, H, W) in [-1, 1] to (H, W) or (H, W, 3) uint8: -1 is 0, +1 is 255, values outside are clamped."""
    pixels = ((image.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def png_bytes(image: Tensor) -> bytes:
    """An 8-bit gray or RGB PNG of a (C, H, W) image in [-1, 1]."""
    text = PngInfo()
    text.add_text("Software", PNG_SOFTWARE)
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


#: Which side of the patient an image's first column shows: `L` in slices this project cuts from NIfTI volumes, `R` in
#: radiographs and DICOM slices, which are stored as a radiologist looks at them.
Leftmost = Literal["L", "R"]


def nifti_bytes(
    image: Tensor, spacing: tuple[float, float] | None, window: tuple[float, float], leftmost: Leftmost = "L"
) -> bytes:
    """A gzipped NIfTI-1 file of a (C, H, W) image in [-1, 1].

    The volume has shape (W, H, 1) and axes RAS: x grows to the patient's right, y to the top of the picture. So
    voxel (i, j, 0) is the pixel in row H - 1 - j and column i, or column W - 1 - i where the picture's first
    column shows the patient's right. With `L` fedgen's own reader gives the same picture back.

    Args:
        image: gray becomes float32, RGB becomes NIfTI's RGB24.
        spacing: distance between rows and between columns in mm; None, where it is not known, writes 1 mm.
        window: stored values of -1 and +1 in a gray image (the study's `data.intensity`).
        leftmost: the side of the patient at column 0; the wrong one would mirror the patient.
    """
    between_rows, between_columns = spacing or (1.0, 1.0)
    flipped = image.float().clamp(-1, 1).flip(1).permute(2, 1, 0)
    if leftmost == "R":
        flipped = flipped.flip(0)
    if image.shape[0] == 1:
        lower, upper = window
        volume: NDArray[np.generic] = (lower + (flipped + 1) / 2 * (upper - lower)).numpy()
    else:
        colours = np.ascontiguousarray(((flipped + 1) * 127.5).round().byte().numpy())
        volume = colours.view(_RGB24)
    affine = np.diag([between_columns, between_rows, 1.0, 1.0])
    file = nib.Nifti1Image(volume, affine)
    file.header["descrip"] = NIFTI_DESCRIPTION.encode()
    file.header.set_xyzt_units("mm")
    # No time in the gzip header: the same image is the same file.
    return gzip.compress(file.to_bytes(), mtime=0)


def file_stems(classes: tuple[str, ...]) -> list[str]:
    """A name for each class that is safe in any file system, and different from all the others.

    >>> file_stems(("COVID-19", "other pneumonia", "no/finding"))
    ['COVID-19', 'other-pneumonia', 'no-finding']
    """
    stems: list[str] = []
    for index, name in enumerate(classes):
        stem = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:48] or f"class-{index}"
        # macOS and Windows do not tell upper case from lower case.
        taken = {other.lower() for other in stems}
        stems.append(stem if stem.lower() not in taken else f"{stem}-class{index}")
    return stems

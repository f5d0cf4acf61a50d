"""One synthetic image as the bytes of a file, marked as synthetic inside the file itself."""

from __future__ import annotations

import gzip
import io

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from fedgen import __version__
from fedgen.task.image_spec import OPPOSITES, ImageSpec, Spacing

#: Kept in the `Software` text chunk of every PNG.
PNG_SOFTWARE = f"fedgen {__version__}; synthetic"
#: Kept in the `descrip` field of every NIfTI header (80 bytes).
NIFTI_DESCRIPTION = "synthetic, fedgen"

_RGB24 = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def picture_of(image: Tensor) -> Tensor:
    """(C, H, W) of an image as a person looks at it: of a volume (C, D, H, W) the middle slice."""
    return image if image.ndim == 3 else image[:, image.shape[1] // 2]


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """(C, H, W) in [-1, 1] to (H, W) or (H, W, 3) uint8: -1 is 0, +1 is 255, values outside are clamped."""
    pixels = ((image.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def png_bytes(image: Tensor, spacing: Spacing | None = None) -> bytes:
    """An 8-bit gray or RGB PNG of a (C, H, W) image in [-1, 1]; a known spacing in mm becomes its chunk `pHYs`."""
    text = PngInfo()
    text.add_text("Software", PNG_SOFTWARE)
    per_metre = [] if spacing is None else [round(1000 / side) for side in reversed(spacing)]
    # Whole pixels a metre: of fewer, rounding would leave less than two digits.
    known = bool(per_metre) and all(50 <= count < 2**31 for count in per_metre)
    options = {"dpi": tuple(count * 0.0254 for count in per_metre)} if known else {}
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(buffer, format="PNG", pnginfo=text, **options)
    return buffer.getvalue()


def nifti_bytes(image: Tensor, grid: ImageSpec, window: tuple[float, float]) -> bytes:
    """A gzipped NIfTI-1 file of a (C, H, W) or (C, D, H, W) image in [-1, 1].

    Where the orientation is known, the voxels are put in the order RAS, so that x grows to the patient's right, and
    both forms of the header say so; a 2D image is one slice of 1 mm, because its thickness is not known. Sliced along
    that axis, fedgen's own reader gives the picture back where it is oriented as that reader's slices are.
    Where it is not known, both codes are 0 (arbitrary axes, method 1 of the NIfTI-1 standard), x grows along the rows
    of the picture and y to its top, and the description says it. An unknown spacing is 1 of an unknown unit.

    Args:
        image: gray becomes float32, RGB becomes NIfTI's RGB24.
        grid: what is known of the image.
        window: stored values of -1 and +1 in a gray image (the study's `data.intensity`).
    """
    voxels, description = _voxels(image, window), [NIFTI_DESCRIPTION]
    zooms = grid.spacing or (1.0,) * grid.dimensions
    if grid.orientation:
        ends, zooms = grid.orientation, tuple(zooms)
        if grid.dimensions == 2:
            voxels, ends, zooms = voxels[np.newaxis], _third(ends) + ends, (1.0, *zooms)
        order = nib.orientations.axcodes2ornt(tuple(ends))
        voxels = np.ascontiguousarray(nib.orientations.apply_orientation(voxels, order))
        affine = np.diag([*(zooms[list(order[:, 0]).index(axis)] for axis in range(3)), 1.0])
        file = nib.Nifti1Image(voxels, affine)
        file.set_qform(affine, code="aligned")
        file.set_sform(affine, code="aligned")
    else:
        voxels = np.ascontiguousarray(np.flip(voxels, axis=-2).transpose())
        file = nib.Nifti1Image(voxels if voxels.ndim == 3 else voxels[:, :, np.newaxis], None)
        file.header.set_zooms((*reversed(zooms), 1.0)[:3])
        description.append("orientation unknown")
    if grid.spacing is None:
        description.append("spacing unknown")
    file.header["descrip"] = "; ".join(description).encode()
    file.header.set_xyzt_units("unknown" if grid.spacing is None else "mm")
    # No time in the gzip header: the same image is the same file.
    return gzip.compress(file.to_bytes(), mtime=0)


def mask_png_bytes(mask: Tensor, classes: int = 1) -> bytes:
    """An 8-bit PNG of a (1, H, W) mask of classes: 255 inside where there is one, else the number of the class."""
    return png_bytes(mask * 2.0 - 1) if classes == 1 else png_bytes(mask / 127.5 - 1)


def mask_nifti_bytes(mask: Tensor, grid: ImageSpec) -> bytes:
    """A NIfTI of a (1, *size) mask: its values are the classes' own, 0 outside of all."""
    highest = max(1, int(mask.max()))
    gray = grid.model_copy(update={"channels": 1})
    return nifti_bytes(mask * (2.0 / highest) - 1, gray, (0.0, float(highest)))


def _voxels(image: Tensor, window: tuple[float, float]) -> NDArray[np.generic]:
    """(C, *size) in [-1, 1] to (*size) of stored values or of RGB24."""
    values = image.float().clamp(-1, 1)
    if image.shape[0] == 1:
        lower, upper = window
        return (lower + (values[0] + 1) / 2 * (upper - lower)).numpy()
    colours = np.ascontiguousarray(((values + 1) * 127.5).round().byte().movedim(0, -1).numpy())
    return colours.view(_RGB24)[..., 0]


def _third(ends: str) -> str:
    """The positive end of the axis that a slice is cut along."""
    return next(end for end in "RAS" if end not in ends and OPPOSITES[end] not in ends)

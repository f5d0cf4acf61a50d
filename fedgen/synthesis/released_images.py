"""The images of a release as a torch data set: read from their files, whatever the format."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fedgen.data.decoders.decoder import Header, Pixels, UnreadableError
from fedgen.data.decoders.registry import decoder_for
from fedgen.data.index import SliceRange
from fedgen.data.masks.labels import class_labels
from fedgen.data.masks.segments import segments
from fedgen.data.read import data_error
from fedgen.errors import DataError
from fedgen.synthesis.sample_files import ENDINGS
from fedgen.synthesis.samples import INDEX

#: Which files are read where a release has several: those that say most of their images.
_RICHEST = ("dicom", "nifti", "png")


class Geometry(NamedTuple):
    """Where an image lies in the patient; a batch of images has a batch of these.

    Attributes:
        spacing: (2,) or (3,) mm between neighbours along each axis of the image, NaN where unknown.
        orientation: for each axis the side of the patient that it grows towards, such as `PR`; empty where unknown.
    """

    spacing: Tensor
    orientation: str


class ReleasedImage(NamedTuple):
    """One image.

    Attributes:
        image: (C, H, W) or (C, D, H, W) float32; values of the study's `data.intensity` window of NIfTI and DICOM, 0 to
            255 of PNG and of colours.
        label: index into the data set's `classes`.
        geometry: where it lies.
    """

    image: Tensor
    label: int
    geometry: Geometry


class ReleasedPair(NamedTuple):
    """One image with its mask.

    Attributes:
        image, label, geometry: as of a `ReleasedImage`.
        mask: (1, H, W) or (1, D, H, W) uint8, the number of the class, 0 outside of all.
    """

    image: Tensor
    mask: Tensor
    label: int
    geometry: Geometry


class ReleasedImages(Dataset[ReleasedImage]):
    """See `load_release`.

    Attributes:
        folder: the samples.
        form: `dicom`, `nifti` or `png`.
        classes: class names in the order of their index: alphabetical.
        files: names of the image files, in the order of the data set.
        labels: class index of each.
        masks: names of their masks; empty where there are none.
        kept: what must live as long as the data set, such as a folder that an archive was unpacked into.
    """

    def __init__(
        self, folder: Path, form: str | None, transform: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.folder = folder
        rows = _rows(folder)
        self.form = form or next((each for each in _RICHEST if _of(rows, each)), "")
        listed = _of(rows, self.form)
        if not listed:
            raise DataError(
                f"{folder / INDEX} lists no file of the format {self.form or 'of any release'!r}: it has "
                f"{', '.join(each for each in _RICHEST if _of(rows, each)) or 'none'}."
            )
        self.classes = tuple(sorted({label for _, label, _ in listed}))
        self.files = tuple(file for file, _, _ in listed)
        self.labels = tuple(self.classes.index(label) for _, label, _ in listed)
        self.masks = tuple(mask for _, _, mask in listed)
        self._transform = transform
        self.kept: object = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    def __getitem__(self, number: int) -> ReleasedImage:
        """Read one image.

        Raises:
            DataError: its file is missing or damaged.
        """
        image, geometry = self.read(number)
        if self._transform is not None:
            image = self._transform(image)
        return ReleasedImage(image, self.labels[number], geometry)

    def read(self, number: int) -> tuple[Tensor, Geometry]:
        """One image as its file has it.

        Raises:
            DataError: its file is missing or damaged.
        """
        path = self.folder / self.files[number]
        try:
            header, pixels = _read(path)
        except UnreadableError as error:
            raise data_error(str(path), error) from error
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0))), _geometry(header)

    def pairs(
        self, transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    ) -> ReleasedPairs:
        """The images with their masks, as a data set of its own.

        Args:
            transform: applied to each image and its mask, instead of the one that images alone have.

        Raises:
            DataError: the release has no masks.
        """
        return ReleasedPairs(self, transform)


class ReleasedPairs(Dataset[ReleasedPair]):
    """See `ReleasedImages.pairs`."""

    def __init__(
        self, images: ReleasedImages, transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None
    ) -> None:
        if not all(images.masks):
            raise DataError(f"{images.folder} has no masks: its study makes images alone.")
        self._images = images
        self._transform = transform

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._images)

    def __getitem__(self, number: int) -> ReleasedPair:
        """Read one pair.

        Raises:
            DataError: a file is missing or damaged, or a mask does not fit its image.
        """
        image, geometry = self._images.read(number)
        path = self._images.folder / self._images.masks[number]
        try:
            labels = _mask(path, self._images.form)
        except UnreadableError as error:
            raise data_error(str(path), error) from error
        mask = torch.from_numpy(labels).reshape(1, *image.shape[1:])
        if self._transform is not None:
            image, mask = self._transform(image, mask)
        return ReleasedPair(image, mask, self._images.labels[number], geometry)


def load_release(
    path: str | Path, form: str | None = None, transform: Callable[[Tensor], Tensor] | None = None
) -> ReleasedImages:
    """The synthetic images of a run or of a release, as a torch data set.

    Args:
        path: the run's folder, or its `samples`.
        form: `png`, `nifti` or `dicom`; where None, the one of those written that says most of its images.
        transform: applied to each image.

    Raises:
        DataError: there is no release, or none in this format.
    """
    folder = Path(path)
    if not (folder / INDEX).exists() and (folder / "samples" / INDEX).exists():
        folder = folder / "samples"
    if form is not None and form not in ENDINGS:
        raise DataError(f"No release has the format {form!r}: name one of {', '.join(ENDINGS)}.")
    return ReleasedImages(folder, form, transform)


def _rows(folder: Path) -> list[tuple[str, str, str]]:
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
        return [
            (row["image"], row["label"], row.get("mask") or "") for row in csv.DictReader(io.StringIO(text))
        ]
    except (OSError, UnicodeDecodeError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{folder} is no release ({INDEX}: {reason}): name the folder of a run, or its samples."
        ) from None


def _of(rows: list[tuple[str, str, str]], form: str) -> list[tuple[str, str, str]]:
    return [row for row in rows if row[0].endswith(ENDINGS.get(form, "/"))]


def _read(path: Path) -> tuple[Header, Pixels]:
    decoder = decoder_for(path)
    header = decoder.header(path, 2)
    if header.depth is None:
        return header, decoder.pixels(path, None)[0]
    return header, decoder.pixels(path, SliceRange(header.axis, 0, header.depth, 1))


def _mask(path: Path, form: str) -> NDArray[np.uint8]:
    """(D, H, W) of classes; one slice of a picture."""
    stored = segments(path, "") if form == "dicom" else decoder_for(path).mask(path, 2)
    return np.ascontiguousarray(class_labels(stored)[0])


def _geometry(header: Header) -> Geometry:
    spacing, orientation = header.spacing or (float("nan"),) * 2, header.orientation
    if header.depth is not None:
        spacing = (header.depth_spacing or float("nan"), *spacing)
        orientation = header.depth_orientation + orientation if header.depth_orientation else ""
    return Geometry(torch.tensor(spacing, dtype=torch.float64), orientation)

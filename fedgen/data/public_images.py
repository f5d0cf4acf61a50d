"""A folder of public images, without patients, sites or labels, prepared as a study's images are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedgen.data.decoders.decoder import Pixels, UnreadableError
from fedgen.data.decoders.registry import by_ending, decoder_for
from fedgen.data.pixels import centre, check_window, fitted_size, resize, to_channels, window
from fedgen.data.read import data_error, parallel
from fedgen.errors import DataError
from fedgen.study.data import Intensity
from fedgen.task.image_spec import Spacing


def public_images(folder: Path, size: tuple[int, int], channels: int, intensity: Intensity) -> Pixels:
    """Every image below a folder, each slice of a volume for itself, in the order of the files' names.

    Args:
        folder: of the images; files of other kinds are left out.
        size: (H, W) that the images are resampled and padded to, aspect kept.
        channels: 1 for gray, 3 for RGB.
        intensity: window of stored values that becomes [-1, 1].

    Returns:
        (n, C, H, W) float32 in [-1, 1], n >= 1.

    Raises:
        DataError: the folder holds no image, or one that cannot be used.
    """
    endings = tuple(by_ending())
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(endings)
    )
    if not files:
        raise DataError(f"{folder} holds no image ({', '.join(endings)}): name a folder of public images.")

    def prepared(path: Path) -> list[Pixels]:
        name = str(path.relative_to(folder))
        try:
            decoder = decoder_for(path)
            spacing = decoder.header(path, 0).pixel_sides
            stored = to_channels(decoder.pixels(path, None), channels)
            return prepared_images(stored, spacing, size, intensity)
        except UnreadableError as error:
            raise data_error(name, error) from error

    return np.stack([image for images in parallel(prepared, files) for image in images])


def prepared_images(
    stored: Pixels, spacing: Spacing | None, size: tuple[int, int], intensity: Intensity
) -> list[Pixels]:
    """Images as a study's are prepared: windowed, resampled with their aspect kept, black around.

    Args:
        stored: (n, H, W, C) values.
        spacing: mm between rows and between columns, where known.
        size, intensity: as in `public_images`.

    Returns:
        n of (C, H, W) float32 in [-1, 1].

    Raises:
        UnreadableError: one plainly does not fit the window.
    """
    fitted = fitted_size(stored.shape[1:3], spacing, size)
    images = []
    for image in stored:
        check_window(image, intensity)
        scaled = centre(resize(window(image, intensity), fitted), size, -1)
        images.append(np.moveaxis(scaled, -1, 0).astype(np.float32))
    return images

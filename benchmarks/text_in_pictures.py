"""How many pictures with letters `fedgen data inspect --phi` finds, and how many without it takes for such.

    python benchmarks/text_in_pictures.py [IMAGES]

IMAGES are the chest films of the ccx collection (PNG of at most 256 pixels). Its first 108 by name were looked at by a
person, who wrote down below which show words or numbers and which a single letter, burned in or of lead. Beside them
the phantom's slices are searched, as they are and with a made-up name written on, in two sizes. The figures
stand in docs/how-to/check-de-identification.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fedgen.data.decoders.registry import decoder_for
from fedgen.data.inspect.burned_text import TextDetector
from fedgen.data.phantom.write import write_phantom
from fedgen.study.data import Phantom

LOOKED_AT = 108
#: By number in the order of names.
WORDS = (
    *(
        13,
        14,
        19,
        20,
        21,
        26,
        27,
        33,
        34,
        37,
        53,
        54,
        59,
        60,
        63,
        65,
        66,
        68,
        69,
        70,
        72,
        73,
        74,
        75,
        79,
        86,
        87,
        90,
    ),
    *(91, 92, 93, 107),
)
LETTERS = (
    *(4, 9, 22, 23, 24, 25, 30, 32, 36, 41, 43, 51, 56, 57, 61, 62, 67, 71, 76, 81, 83, 88, 94, 95, 96, 99),
)


def main() -> None:
    """Search and print a row a kind of picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=Path, nargs="?")
    images = parser.parse_args().images
    detector = TextDetector()
    print("| pictures | letters | number | suspected | seconds each |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(Path(folder), Phantom(sites=1, patients=20), 0, (128, 128))
        files = sorted(Path(folder).rglob("*.dcm"))[::4]
        slices = [decoder_for(path).pixels(path, None)[0] for path in files]
    _row(detector, "phantom, 128 pixels", "none", slices)
    for size in (7, 11):
        written = [_written(picture, size) for picture in slices]
        _row(detector, "phantom, 128 pixels", f"a name, {size} pixels high", written)
    if images is None:
        return
    films = sorted(images.rglob("*.png"))[:LOOKED_AT]
    pictures = [decoder_for(path).pixels(path, None)[0] for path in films]
    none = sorted(set(range(len(films))) - {*WORDS, *LETTERS})
    for name, numbers in (("words", WORDS), ("a single letter", LETTERS), ("none", none)):
        _row(detector, "ccx, 256 pixels", name, [pictures[number] for number in numbers])


def _row(detector: TextDetector, what: str, letters: str, pictures: Sequence[NDArray[np.float32]]) -> None:
    start = time.perf_counter()
    found = sum(detector.suspects(picture) for picture in pictures)
    seconds = (time.perf_counter() - start) / len(pictures)
    print(f"| {what} | {letters} | {len(pictures)} | {found} | {seconds:.2f} |", flush=True)


def _written(picture: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A picture of one channel with a name in its upper corner, as bright as its brightest pixel."""
    height, width = picture.shape[:2]
    stencil = Image.new("L", (width, height))
    ImageDraw.Draw(stencil).text((3, 3), "DOE JANE 1970", fill=255, font=ImageFont.load_default(size))
    share = np.asarray(stencil, np.float32)[..., None] / 255
    return np.asarray(picture * (1 - share) + picture.max() * share)


if __name__ == "__main__":
    main()

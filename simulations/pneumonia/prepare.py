"""Turn PneumoniaMNIST into images: a half that is public, and a half at four sites, one patient an image.

    python simulations/pneumonia/prepare.py pneumoniamnist.npz OUT

OUT/public/ holds every other training image without its label, OUT/sites/ the others with a table, and OUT/test/ the
official test images. The file names no patients: an image is one.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

SITES = ("north", "east", "south", "west")
CLASSES = ("Normal", "Pneumonia")


def distinct(images: np.ndarray) -> np.ndarray:
    """Positions of the first of equal images: the file has some twice."""
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    return np.sort(first)


def write(images: np.ndarray, labels: np.ndarray, out: Path) -> None:
    """PNG files and metadata.csv."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    with (out / "metadata.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["image", "patient", "site", "label"])
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            name = f"images/{number:05d}.png"
            Image.fromarray(image).save(out / name)
            table.writerow([name, f"record-{number:05d}", SITES[number % len(SITES)], CLASSES[int(label)]])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with np.load(arguments.source) as file:
        images, labels = file["train_images"], file["train_labels"].ravel()
        test, truth = file["test_images"], file["test_labels"].ravel()
    keep = np.random.default_rng(0).permutation(distinct(images))
    public, private = keep[::2], keep[1::2]
    folder = arguments.out / "public"
    folder.mkdir(parents=True, exist_ok=True)
    for number in public:
        Image.fromarray(images[number]).save(folder / f"{number:05d}.png")
    write(images[private], labels[private], arguments.out / "sites")
    write(test, truth, arguments.out / "test")
    print(f"{len(public)} public images, {len(private)} at {len(SITES)} sites, {len(test)} to test")


if __name__ == "__main__":
    main()

"""Turn the four MNIST files into images and a table: 60 000 training digits at four sites, one a record.

    python simulations/mnist/prepare.py FOLDER_OF_IDX_FILES OUT

The 10 000 test digits become OUT/test/, for evaluation outside the federation.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path

import numpy as np
from PIL import Image

SITES = ("north", "east", "south", "west")


def read_idx(path: Path) -> np.ndarray:
    """An idx file (LeCun's format: two zero bytes, type, rank, big-endian sizes, data) as uint8."""
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\x00\x00\x08":
        raise SystemExit(f"{path} is no idx file of bytes: take MNIST's original files.")
    rank = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)


def write(images: np.ndarray, labels: np.ndarray, sites: np.ndarray, out: Path) -> None:
    """PNG files and metadata.csv."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    with (out / "metadata.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["image", "patient", "site", "label"])
        for number, (image, label, site) in enumerate(zip(images, labels, sites, strict=True)):
            name = f"images/{number:05d}.png"
            Image.fromarray(image).save(out / name)
            table.writerow([name, f"record-{number:05d}", SITES[site], int(label)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the assignment of records to sites")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    for part, folder in (("train", arguments.out), ("t10k", arguments.out / "test")):
        images = read_idx(arguments.source / f"{part}-images-idx3-ubyte.gz")
        labels = read_idx(arguments.source / f"{part}-labels-idx1-ubyte.gz")
        write(images, labels, rng.permutation(len(labels)) % len(SITES), folder)
        print(f"{folder}: {len(labels)} images")


if __name__ == "__main__":
    main()

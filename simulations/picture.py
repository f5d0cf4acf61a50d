"""The picture of README.md, from the run of a demonstration: real images above, synthetic ones below, of each class.

python simulations/picture.py runs/demo-<UTC time> docs/images/demo.png
"""

from __future__ import annotations

import argparse
import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from PIL import Image

COLUMNS, INCH = 8, 1.15


def taken_in_turn(rows: list[dict[str, Any]]) -> list[str]:
    """Files of several hospitals, one of each before a second of any."""
    return [file for turn in zip_longest(*(row["files"] for row in rows)) for file in turn if file][:COLUMNS]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    figures = arguments.run / "figures"
    rows = json.loads((figures / "real_vs_synthetic.json").read_text(encoding="utf-8"))["rows"]
    shown = [
        (f"{kind}\n{label}", taken_in_turn([r for r in rows if (r["kind"], r["label"]) == (kind, label)]))
        for label in dict.fromkeys(row["label"] for row in rows)
        for kind in ("real", "synthetic")
    ]
    figure, axes = plt.subplots(len(shown), COLUMNS, figsize=(COLUMNS * INCH, len(shown) * INCH))
    for line, (title, files) in zip(axes, shown, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, file in zip(line, files, strict=False):
            axis.imshow(Image.open(figures / file), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        line[0].text(-0.15, 0.5, title, transform=line[0].transAxes, ha="right", va="center", fontsize=9)
    figure.subplots_adjust(left=0.09, right=0.995, top=0.995, bottom=0.005, wspace=0.04, hspace=0.04)
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()

"""Cost against the number of sites and against the size of the update, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from secagg.report import TARGET_SITES

NAMES = {"ours": "fedgen", "peer": "Flower SecAgg+", "floor": "floor (AES-256-CTR + additions)"}
COLOURS = {"ours": "tab:blue", "peer": "tab:orange", "floor": "tab:gray"}
#: Sizes drawn against n, and how.
LENGTHS = {1_000_000: "--", 10_000_000: "-"}


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the figure: client above, server without dropouts below; against n left, against size right."""
    measured = [result for result in results if "client" in result]
    figure, grid = plt.subplots(2, 2, figsize=(10, 8), sharey="row")
    for axes, side in zip(grid, ("client", "server"), strict=True):
        for name in NAMES:
            for length, style in LENGTHS.items():
                rows = [r for r in measured if r["length"] == length]
                _line(
                    axes[0],
                    [(r["sites"], _median(r, side, name)) for r in rows],
                    name,
                    style,
                    f"{length:.0e}",
                )
            rows = [r for r in measured if r["sites"] == TARGET_SITES]
            _line(axes[1], [(r["length"], _median(r, side, name)) for r in rows], name, "-", "")
        axes[0].set(xlabel="sites n", ylabel=f"{side}, ms (median)", title=f"{side} against n")
        axes[0].set_xscale("log", base=2)
        axes[0].set_xticks(sites := sorted({r["sites"] for r in measured}), [str(n) for n in sites])
        axes[1].set(xlabel="parameters P", title=f"{side} against size, n = {TARGET_SITES}", xscale="log")
        for panel in axes:
            panel.set_yscale("log")
            panel.grid(alpha=0.3, which="both")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="lower center", ncols=3, fontsize="small")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _median(result: dict[str, Any], side: str, name: str) -> float | None:
    timing = result["client"] if side == "client" else result["server"]["0"]
    return timing[name]["median_ms"] if name in timing else None


def _line(axes: Any, points: list[tuple[int, float | None]], name: str, style: str, size: str) -> None:
    known = sorted((x, y) for x, y in points if y is not None)
    if known:
        label = f"{NAMES[name]}, {size}" if size else NAMES[name]
        axes.plot(*zip(*known, strict=True), style, marker="o", color=COLOURS[name], label=label)

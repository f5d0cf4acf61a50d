"""What is made and judged, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from judging import JUDGES, site_alone_scores
from PIL import Image
from readme import table as lines_of
from rows import Row
from table_of import Table, spread

from fedgen.data.site_data import Part
from fedgen.evidence.pooled import pool

WITHIN = "within sites, pixel"
MEASURES = ["FID", "KID", "MS-SSIM", "audit, AUC with model / release", "core seconds"]
NONE = "–"
#: Samples of a class in a picture, and the grays that it is drawn in.
SHOWN, GRAYS = 8, 16
NOT_RUN = "not run"


def judged(table: Table, row: Row, judge: str, seeds: int, score: str = "auroc") -> list[float]:
    """A score of each draw of a row that was judged."""
    found = (table.judged(row, seed, judge, shuffled=False, missing=False) for seed in range(seeds))
    return [cell[score] for cell in found if cell is not None and cell[score] is not None]


def real(table: Table, row: Row, judge: str, score: str = "auroc", *, shuffled: bool = False) -> float | None:
    """The same judge after the real training images of the sites that take part in the row."""
    found = table.judged(row, None, judge, shuffled=shuffled, missing=False)
    return None if found is None else found[score]


def main_table(
    table: Table, rows: Sequence[Row], seeds: int, score: str = "auroc", *, within: bool = True
) -> str:
    """Controls first, then a line a row; `within` is whether sites mean something in these data."""
    first, sites, test = rows[0], table.sites(rows[0].label), table.test(rows[0])
    lines = []
    for title, shuffled in (("real images (TRTR)", False), ("real images, labels shuffled", True)):
        taught = [spread([real(table, first, judge, score, shuffled=shuffled)]) for judge in JUDGES]
        inside = spread([real(table, first, "pixel", "within", shuffled=shuffled)])
        lines.append([title, NONE, NONE, *taught, inside])
    if within:
        alone = site_alone_scores(sites)["auroc"]
        lines.append(["site alone", NONE, NONE, *[spread([alone])] * len(JUDGES), "0.50"])
    lines += [_line(table, row, seeds, score) for row in rows]
    taught = [spread(_shuffled(table, rows, judge, score)) for judge in JUDGES]
    lines.append(["synthetic, labels shuffled, all rows", NONE, NONE, *taught])
    header = ["family", "where", "epsilon", *(f"TSTR {judge}" for judge in JUDGES), WITHIN, *MEASURES]
    whole = [[*line, *[NONE] * (len(header) - len(line))] for line in lines]
    if not within:
        at = header.index(WITHIN)
        header, whole = [*header[:at], *header[at + 1 :]], [[*line[:at], *line[at + 1 :]] for line in whole]
    train = pool(sites, (Part.TRAIN,)).n_patients
    said = (
        f"{train} training patients at {len(sites)} sites; judged on {test.n_images} images of {test.n_patients} "
        f"others by {'AUROC' if score == 'auroc' else score}; mean ± standard deviation over draws of noise: "
        f"{_draws(table, rows, seeds)}."
    )
    return f"{said}\n\n{lines_of(header, whole)}\n\n{_floors(table, rows)}"


def _draws(table: Table, rows: Sequence[Row], seeds: int) -> str:
    """How many draws of a private row each judge saw, where it saw any."""
    seen = {
        judge: {len(found) for row in rows if row.epsilon and (found := judged(table, row, judge, seeds))}
        for judge in JUDGES
    }
    return ", ".join(
        f"{' or '.join(str(n) for n in sorted(counts))} for {judge}"
        for judge, counts in seen.items()
        if counts
    )


def _line(table: Table, row: Row, seeds: int, score: str) -> list[str]:
    cell = table.made(row, 0, missing=False)
    start = [row.title, row.where if row.epsilon is not None else NONE, row.privacy]
    if cell is None:
        return [*start, *[NOT_RUN] * len(JUDGES)]
    taught = [spread(judged(table, row, judge, seeds, score)) for judge in JUDGES]
    found = table.measured(row, 0, missing=False) or {}
    audit = [found.get(name) for name in ("model-membership", "release-membership")]
    return [
        *start,
        *taught,
        spread(judged(table, row, "pixel", seeds, "within")),
        *(_number(found.get(f"{name}-random_conv")) for name in ("FID", "KID")),
        spread([found.get("MS-SSIM synthetic")]),
        " / ".join(spread([value]) for value in audit),
        spread([cell["core_seconds"]], 1),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _shuffled(table: Table, rows: Iterable[Row], judge: str, score: str) -> list[float]:
    found = (table.judged(row, 0, judge, shuffled=True, missing=False) for row in rows)
    return [cell[score] for cell in found if cell is not None]


def _floors(table: Table, rows: Iterable[Row]) -> str:
    for row in rows:
        found = table.measured(row, 0, missing=False)
        if found is not None:
            return (
                f"Real images against real ones: FID {_number(found.get('FID-random_conv floor'))}, "
                f"KID {_number(found.get('KID-random_conv floor'))}, MS-SSIM {spread([found.get('MS-SSIM real')])}."
            )
    return ""


def marks(table: Table, rows: Iterable[Row], seeds: int) -> str:
    """What a release at epsilon 3 and 1 was meant to reach, and whether it does."""
    wanted = {
        3.0: {"pixel": 0.95, "texture": 0.88, "network": 0.88},
        1.0: {"pixel": 0.9, "texture": 0.8, "network": 0.8},
    }
    lines = []
    for row in rows:
        if row.where == "distributed" and row.epsilon in wanted:
            for judge, mark in wanted[row.epsilon].items():
                own, top = judged(table, row, judge, seeds), real(table, row, judge)
                if own and top:
                    share = float(np.mean(own)) / top
                    reached = "reached" if share >= mark else "NOT reached"
                    lines.append([row.title, row.privacy, judge, f"{share:.2f}", f"{mark:.2f}", reached])
    header = ["family, mode distributed", "epsilon", "judge", "TSTR / TRTR", "mark", ""]
    return lines_of(header, lines)


def left_out_table(table: Table, rows: Sequence[Row], seeds: int) -> str:
    """Sites that trained neither the generator nor the judge, and over all of them the pairs within a site."""
    pairs = {row.without: _pairs(table, row) for row in rows}
    sites = [site for site, count in pairs.items() if count]
    weights = [pairs[site] for site in sites]
    header = ["taught by, mode distributed at epsilon 3", "judge", *sites, "all, pairs within a site", ""]
    lines = []
    for judge in JUDGES:
        for title in dict.fromkeys(row.title for row in rows):
            own = {row.without: row for row in rows if row.title == title}
            found = [judged(table, own[site], judge, seeds) for site in sites]
            top = [real(table, own[site], judge) for site in sites]
            if not all(found) or None in top:
                continue
            draws = [_weighed(draw, weights) for draw in zip(*found, strict=False)]
            best = _weighed([value for value in top if value is not None], weights)
            line = ["real images", judge, *(spread([value]) for value in top), spread([best]), ""]
            lines += [] if line in lines else [line]
            reached = "as good or better" if np.mean(draws) >= best else "worse than real"
            lines.append([title, judge, *(spread(each) for each in found), spread(draws), reached])
    return lines_of(header, lines) if lines else ""


def _pairs(table: Table, row: Row) -> int:
    counts = torch.bincount(table.test(row).labels, minlength=2)
    return int(counts[0] * counts[1])


def _weighed(values: Sequence[float], weights: Sequence[int]) -> float:
    return float(np.average(values, weights=weights))


def picture(table: Table, rows: Iterable[Row], path: Path, *, shown: int = SHOWN, scale: int = 1) -> None:
    """A line of samples a row, `shown` of each class, from the first draw of noise."""
    lines = []
    for row in rows:
        made = table.first(row)
        if made is not None:
            each = [made.images[made.labels == k][:shown, 0] for k in made.labels.unique()]
            lines.append(torch.cat([image for own in each for image in own], dim=1))
    if lines:
        pixels = ((torch.cat(lines) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
        drawn = Image.fromarray(pixels)
        size = (drawn.width * scale, drawn.height * scale)
        # Of so many grays as an eye tells apart: a picture of many samples is then half as large a file.
        fewer = drawn.resize(size, Image.Resampling.NEAREST).quantize(GRAYS)
        fewer.save(path, optimize=True)

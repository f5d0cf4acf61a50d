"""The copies of a release by number, for the site alone: which images to quarantine, and whose they are.

Nothing takes them out of the release. Who does so has looked at the patients: what is then left is no longer covered
by the training's epsilon, and the holes say where patients are.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fedgen.data.site_data import Part
from fedgen.evidence.audit.audited import AuditedGroup, usable
from fedgen.evidence.audit.comparison import Cell
from fedgen.evidence.audit.features import pixels
from fedgen.evidence.audit.nearest import isolation
from fedgen.evidence.audit.suspects import NEAR_COPY, suspects
from fedgen.evidence.measure import Real
from fedgen.run.site_only import MOST, SiteOnly

NAME = "copies"
ABOUT = (
    "Synthetic images that are copies of a training patient of this site, by their number in the release, with the "
    "patient's number and the number of the nearest image in the site's data. Kinds: `equal`, pixel for pixel; `near`, "
    "far nearer to this patient than patients are to each other; `suspected`, nearer than all but 2 % of its "
    "held-out patients are to anybody, as some images of every release are. Quarantine them. Taking them out of it "
    "after looking at patients is NOT covered by differential privacy, and the holes can be seen: train with less "
    "leakage instead."
)


def copies_of(real: Real, cells: Sequence[Cell], synthetic: AuditedGroup, seed: int) -> SiteOnly:
    """The list of all sites: each image under the site whose patient it is of, by that site's own threshold.

    Args:
        real: the patients.
        cells: from `comparison.compare`: the pooled one, then one a site unless there is a single site.
        synthetic: the release.
        seed: as of the audit.
    """
    sites = {site.site: site for site in usable(real)}
    entries: list[dict[str, str | int | float | None]] = []
    known = pixels(synthetic.images)
    for cell in cells if len(cells) == 1 else cells[1:]:
        site = sites[cell.name]
        rows, numbers = _numbers(real, cell.name)
        scores = isolation(cell.synthetic)
        flagged = suspects(cell, seed).flagged | (scores < NEAR_COPY)
        pictures = pixels(site.train.images)
        for image in flagged.nonzero().flatten().tolist():
            nearest = int(cell.synthetic.image[image])
            equal = known[image] == pictures[nearest] != b""
            kind = "equal" if equal else "near" if float(scores[image]) < NEAR_COPY else "suspected"
            entries.append(
                {
                    "synthetic": image,
                    "kind": kind,
                    "site": cell.name,
                    "patient": int(numbers[nearest]),
                    "image": int(rows[nearest]),
                    "isolation": round(float(scores[image]), 4),
                    "distance": round(float(cell.synthetic.distance[image, 0]), 4),
                }
            )
    entries.sort(key=lambda entry: (entry["isolation"], entry["synthetic"]))
    return SiteOnly(name=NAME, about=ABOUT, entries=tuple(entries[:MOST]))


def _numbers(real: Real, name: str) -> tuple[Tensor, Tensor]:
    """Of each training image of a site: its number, and its patient's, in the site's data."""
    data = next(site for site in real.sites if site.site == name)
    rows = (data.parts == int(Part.TRAIN)).nonzero().flatten()
    return rows, data.patients[rows]

"""How many copies in a release the audit of copies finds, and how often it raises its voice where there is none.

    python simulations/audit_power/copies.py [--readme simulations/audit_power/README.md]

A release of strangers, among whom are training images: pixel for pixel, or with noise of a tenth of the gray scale's
half. All of its audits are asked and corrected together, as they are in a run.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import torch
from readme_of import publish, table
from worlds import site_of, study_of, textures

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.assess import assess_audit
from fedgen.evidence.measure import AuditedModel
from fedgen.run.row import Verdict

TRAIN, HELD_OUT, RELEASED = 200, 100, 1000
#: Copies in the release: none, 0.1, 1 and 10 %.
COPIES = (0, 1, 10, 100)


def verdict(copies: int, near: bool, world: int) -> Verdict:
    """Of the audit of copies, on a world of its own."""
    site = site_of(TRAIN, HELD_OUT, 10 * world)
    strangers = textures(RELEASED - copies, 10 * world + 1)
    taken = site.images[:copies].float()
    if near:
        rng = torch.Generator().manual_seed(world)
        taken = (taken + 0.1 * torch.randn(taken.shape, generator=rng)).clamp(-1, 1)
    images = torch.cat([strangers, taken])
    made = LabelledImages(images, torch.zeros(len(images), dtype=torch.int64))
    study = study_of("latent", {}, synthesis={"images": RELEASED})
    found = assess_audit(study, [site], made, AuditedModel({}, None, 1e-5))
    (row,) = [row for row in found.rows if row.id == "copy-detection"]
    assert row.verdict is not None
    return row.verdict


def line(copies: int, near: bool, worlds: int) -> list[str]:
    """A row of the table."""
    found = Counter(verdict(copies, near, world) for world in range(worlds))
    kind = "none" if not copies else "near" if near else "pixel for pixel"
    share = f"{copies / RELEASED:.1%}" if copies else "0"
    return [kind, share, *(f"{found[each]} of {worlds}" for each in (Verdict.FAIL, Verdict.REVIEW))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readme", type=Path, help="README whose tables are written anew")
    parser.add_argument("--worlds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    asked = [(copies, near) for near in (False, True) for copies in COPIES if copies or not near]
    rows = [line(copies, near, arguments.worlds) for copies, near in asked]
    publish("copies", table(["copies", "share of the release", "FAIL", "REVIEW"], rows), arguments.readme)


if __name__ == "__main__":
    main()

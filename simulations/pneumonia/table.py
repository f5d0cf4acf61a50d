"""The table of PneumoniaMNIST: one private sum at four sites, on no image and on a public half as prior.

    python simulations/pneumonia/prepare.py pneumoniamnist.npz OUT
    python simulations/pneumonia/table.py make OUT --prior FILE
    python simulations/pneumonia/table.py judge OUT --prior FILE
    python simulations/pneumonia/table.py print OUT --prior FILE

FILE is made of OUT/public (README.md says how). Each step goes on where it was stopped, and does nothing twice.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import torch  # noqa: E402
from command import parser, run  # noqa: E402
from printed import main_table, picture  # noqa: E402
from readme import write_between  # noqa: E402
from rows import Row, levels  # noqa: E402
from table_of import Table  # noqa: E402

from fedgen.data.prepare import prepare_sites  # noqa: E402
from fedgen.data.public_images import public_images  # noqa: E402
from fedgen.data.site_data import SiteData  # noqa: E402
from fedgen.evidence.pooled import PooledImages  # noqa: E402
from fedgen.study.load import load_study  # noqa: E402

LABEL, STUDY = "pneumonia", str(HERE / "study.yaml")
EPSILONS = (10.0, 1.0, 0.2)


def rows() -> Iterator[Row]:
    """Both priors, at every level."""
    for title, on_prior in (("latent, no public image", False), ("latent, prior public half", True)):
        for where, epsilon in levels(EPSILONS):
            # So many records can afford the covariance, which is a few numbers more.
            changes = ("model.latent.moment_weight=0.65",)
            yield Row(LABEL, title, "latent", where, epsilon, changes, on_prior=on_prior)


def official_test(folder: Path) -> PooledImages:
    """The test images, which no site has."""
    data = load_study(STUDY, []).data
    images = public_images(folder, data.image_size, 1, data.intensity)
    with (folder / "metadata.csv").open(encoding="utf-8") as handle:
        labels = [data.labels.index(row["label"]) for row in csv.DictReader(handle)]
    n = len(labels)
    return PooledImages(
        torch.from_numpy(images), torch.tensor(labels), torch.arange(n), torch.zeros(n, dtype=torch.int64)
    )


def main() -> None:
    """Command line."""
    arguments = parser(
        __doc__, rows=["statistics"], out="runs/pneumonia_table", readme=HERE / "README.md"
    ).parse_args()
    out: Path = arguments.out

    @cache
    def sites(label: str) -> list[SiteData]:
        study = load_study(STUDY, [])
        return list(prepare_sites(study, arguments.folder / "sites", out / "data", out / "cache").sites)

    @cache
    def tests(label: str) -> PooledImages:
        return official_test(arguments.folder / "test")

    table = Table(STUDY, sites, tests, arguments.prior, out, images=1000)

    def write() -> None:
        content = main_table(table, list(table.possible(rows())), arguments.seeds, within=False)
        write_between(arguments.readme, LABEL, content)
        print(content)
        shown = [row for row in table.possible(rows()) if row.where == "distributed"]
        picture(table, shown, arguments.readme.parent / f"{LABEL}.png", scale=2)

    run(arguments, table, {"statistics": rows}, write)


if __name__ == "__main__":
    main()

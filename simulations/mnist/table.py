"""The table of MNIST by one private sum: 60 000 records at four sites, four latents on no image.

    python simulations/mnist/table.py make FOLDER_OF_IDX_FILES --seeds 3
    python simulations/mnist/table.py judge FOLDER_OF_IDX_FILES --seeds 3
    python simulations/mnist/table.py print FOLDER_OF_IDX_FILES --seeds 3

Each step goes on where it was stopped, and does nothing twice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from command import parser, run  # noqa: E402
from prepare import SITES, read_idx  # noqa: E402
from printed import main_table, picture  # noqa: E402
from private import hospitals  # noqa: E402
from readme import write_between  # noqa: E402
from rows import Row, levels  # noqa: E402
from table_of import Table  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn.functional import interpolate  # noqa: E402

from fedgen.data.site_data import SiteData  # noqa: E402
from fedgen.evidence.pooled import PooledImages  # noqa: E402
from fedgen.study.load import load_study  # noqa: E402

LABEL, STUDY = "statistic", "mnist"
#: Size of the latent space, Gaussians a digit, and whether each digit has a covariance of its own.
SPACES = ((64, 1, True), (64, 32, False), (64, 1, False), (32, 1, False))
EPSILONS = (10.0, 1.0, 0.2)
#: That judges learn from, synthetic or real.
IMAGES = 3000
#: Of the network that judges, as in private.py.
STEPS = 1500


def rows() -> Iterator[Row]:
    """Each space, at every level."""
    for d, components, own in SPACES:
        for where, epsilon in levels(EPSILONS):
            # So many records can afford the covariance, which is a few numbers more.
            changes = (
                f"model.latent.latent_size={d}",
                "model.latent.moment_weight=0.65",
                f"model.latent.components={components}",
                f"model.latent.class_covariances={str(own).lower()}",
            )
            kind = "a covariance a digit" if own else f"{components} Gaussian{'s' * (components > 1)} a digit"
            title = f"latent of {d}, {kind}"
            yield Row(LABEL, title, "latent", where, epsilon, changes, batch=256)


def digits(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """(n, 1, H, W) in [-1, 1] at the study's size, and digits (n,)."""
    images = torch.from_numpy(read_idx(folder / f"{part}-images-idx3-ubyte.gz").copy())
    labels = torch.from_numpy(read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64))
    size = load_study(STUDY, []).data.image_size
    scaled = interpolate(images[:, None].float() / 127.5 - 1, size=size, mode="bilinear", antialias=True)
    return scaled.clamp(-1, 1), labels


def main() -> None:
    """Command line."""
    arguments = parser(
        __doc__, rows=["statistics"], out="runs/mnist_table", readme=HERE / "README.md"
    ).parse_args()

    @cache
    def sites(label: str) -> list[SiteData]:
        images, labels = digits(arguments.folder, "train")
        # As prepare.py shares them out.
        where = np.random.default_rng(0).permutation(len(labels)) % len(SITES)
        return hospitals(images, labels, [SITES[site] for site in where])

    @cache
    def tests(label: str) -> PooledImages:
        images, labels = digits(arguments.folder, "t10k")
        n = len(labels)
        return PooledImages(images, labels, torch.arange(n), torch.zeros(n, dtype=torch.int64))

    table = Table(
        STUDY, sites, tests, None, arguments.out, images=IMAGES, steps=STEPS, audited=False, real=IMAGES
    )

    def write() -> None:
        content = main_table(table, list(rows()), arguments.seeds, "accuracy", within=False)
        write_between(arguments.readme, LABEL, content)
        print(content)
        shown = [row for row in rows() if row.where == "distributed" and "64, a" in row.title]
        picture(table, shown, arguments.readme.parent / f"{LABEL}.png", shown=3)

    run(arguments, table, {"statistics": rows}, write)


if __name__ == "__main__":
    main()

"""The table of chest X-rays: family x privacy x where the noise is made, judged by classifiers that see.

    python simulations/chest_xray/table.py make FOLDER --prior FILE [--label view] [--seeds 5]
    python simulations/chest_xray/table.py make FOLDER --rows gradients --seeds 1 [--minutes 60]
    python simulations/chest_xray/table.py judge FOLDER --prior FILE [--judges pixel texture]
    python simulations/chest_xray/table.py print FOLDER --prior FILE

FOLDER is the one that the study `chest_xray` takes, FILE the public prior (README.md says how it is made). `make`
trains and keeps images in --out, `judge` judges what is kept, and `print` writes what is judged into README.md. Each
goes on where it was stopped, and does nothing twice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from command import parser, run  # noqa: E402
from printed import left_out_table, main_table, marks, picture  # noqa: E402
from readme import write_between  # noqa: E402
from rows import Row, Where, levels  # noqa: E402
from table_of import Table  # noqa: E402

from fedgen.data.prepare import prepare_sites  # noqa: E402
from fedgen.data.site_data import Part, SiteData  # noqa: E402
from fedgen.evidence.pooled import PooledImages, pool  # noqa: E402
from fedgen.families.registry import specs  # noqa: E402
from fedgen.study.load import load_study  # noqa: E402

#: label of the table -> changes of the preset
LABELS = {
    "view": (
        "data.columns.label=view",
        "data.labels=[PA, AP]",
        "data.one_class_sites=allow",
        "data.other_labels=exclude",
    ),
    "finding": (),
}
#: Family in the table -> its name in a study, and whether it stands on the prior of public images.
STATISTICS = {
    "latent, no public image": ("latent", False),
    "latent, prior PneumoniaMNIST": ("latent", True),
    "candidates, prior PneumoniaMNIST": ("candidates", True),
}
GRADIENTS = ("vae", "gan", "diffusion")
EPSILONS = (10.0, 3.0, 1.0)
#: Rows that the picture shows.
PICTURED = (("distributed", 10.0), ("distributed", 3.0), ("distributed", 1.0), ("local", 3.0))
#: 120 steps on 8 patients of each of the four sites; where a step is a round, the same number of them together.
STEPS, LOCAL_STEPS, BATCH, AVERAGE = 120, 8, 8, 0.8


def statistics(label: str, epsilons: Sequence[float] = EPSILONS) -> Iterator[Row]:
    """The rows of one sum each, of the families that are there."""
    for title, (kind, on_prior) in STATISTICS.items():
        if kind in specs():
            for where, epsilon in levels(epsilons):
                yield Row(label, title, kind, where, epsilon, LABELS[label], on_prior=on_prior)


def gradients(label: str, epsilons: Sequence[float] = EPSILONS) -> Iterator[Row]:
    """The rows of DP-SGD; what is wanted most comes first, since each takes minutes."""
    for kind, (where, epsilon) in sorted(product(GRADIENTS, levels(epsilons)), key=_wanted):
        together = where == "distributed"
        recipe = (
            f"training.rounds={STEPS if together else STEPS // LOCAL_STEPS}",
            f"training.local_steps={1 if together else LOCAL_STEPS}",
            f"training.batch_patients={BATCH}",
            f"training.ema={AVERAGE ** (1 / LOCAL_STEPS) if together else AVERAGE:.4f}",
            "privacy.multiplicity=2",
        )
        yield Row(label, kind, kind, where, epsilon, (*LABELS[label], *recipe), BATCH * 4)


def _wanted(row: tuple[str, tuple[Where, float | None]]) -> tuple[bool, bool, bool]:
    kind, (where, epsilon) = row
    return epsilon not in (3.0, None), kind == "diffusion", where == "local"


def left_out(label: str, sites: list[SiteData]) -> Iterator[Row]:
    """Each site left out of the training of the generator, at epsilon 3."""
    for row in statistics(label):
        if (row.where, row.epsilon) == ("distributed", 3.0):
            for site in sites:
                yield replace(row, without=site.site)


def table_of(data: Path, prior: Path | None, out: Path, preset: str = "chest_xray_gradients") -> Table:
    """The table, with its sites prepared when they are asked for."""

    @cache
    def sites(label: str) -> list[SiteData]:
        study = load_study(preset, [*LABELS[label], "model.family=vae"])
        return list(prepare_sites(study, data, out / "data" / label, out / "cache").sites)

    @cache
    def tests(label: str) -> PooledImages:
        return pool(sites(label), (Part.TEST,))

    return Table(preset, sites, tests, prior, out)


def write(table: Table, labels: list[str], readme: Path, seeds: int, epsilons: Sequence[float]) -> None:
    """Print the tables, and put them and the pictures where README.md shows them."""
    for label in labels:
        rows = list(table.possible([*statistics(label, epsilons), *gradients(label, epsilons)]))
        text = main_table(table, rows, seeds)
        left = left_out_table(table, list(table.possible(left_out(label, table.sites(label)))), seeds)
        said = marks(table, rows, seeds) if label == "view" else ""
        content = "\n\n".join(part for part in (text, said, left) if part)
        write_between(readme, label, content)
        print(content)
        shown = [row for row in rows if (row.where, row.epsilon) in PICTURED]
        picture(table, shown, readme.parent / f"{label}.png", shown=4)


def main() -> None:
    """Command line."""
    kinds = ("statistics", "left-out", "gradients")
    asked = parser(__doc__, rows=kinds, out="runs/chest_xray_table", readme=HERE / "README.md")
    asked.add_argument("--label", choices=LABELS, nargs="+", default=list(LABELS))
    asked.add_argument("--epsilons", type=float, nargs="+", default=EPSILONS)
    asked.add_argument("--preset", default="chest_xray_gradients", help="study that the rows change")
    arguments = asked.parse_args()
    table = table_of(arguments.folder, arguments.prior, arguments.out, arguments.preset)
    labels, epsilons = arguments.label, arguments.epsilons
    rows = {
        "statistics": lambda: [row for label in labels for row in statistics(label, epsilons)],
        "left-out": lambda: [row for label in labels for row in left_out(label, table.sites(label))],
        "gradients": lambda: [row for label in labels for row in gradients(label, epsilons)],
    }

    def write_all() -> None:
        write(table, labels, arguments.readme, arguments.seeds, epsilons)

    run(arguments, table, rows, write_all, unmeasured=["left-out"])


if __name__ == "__main__":
    main()

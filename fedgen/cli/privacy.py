"""`fedgen privacy`: what a study's protection costs, and whether the installed code keeps its promises.

The planning room is imported inside the command: with it come torch, MONAI and Opacus, which take seconds to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from fedgen.cli import selftest
from fedgen.cli.as_json import AsJson, print_told, tells, told
from fedgen.cli.patients import Patients
from fedgen.cli.plan_told import PlannedStudy
from fedgen.cli.study_options import File, Overrides

if TYPE_CHECKING:
    from fedgen.planning.compared import Comparison
    from fedgen.planning.forecast import Forecast
    from fedgen.planning.signal import Signal

app = typer.Typer(
    help="Plan what a study's protection costs, and test the code that gives it.", no_args_is_help=True
)
app.command("selftest")(selftest.selftest)


@app.callback()
def privacy() -> None:
    """Plan what a study's protection costs, and test the code that gives it."""


@app.command()
@tells(PlannedStudy)
def plan(
    file: File,
    overrides: Overrides = None,
    patients: Patients = None,
    as_json: AsJson = False,
) -> None:
    """Print noise, steps, epsilon by round and signal to noise, other means beside it, and what would help."""
    from fedgen.api.study_plan import plan as plan_study

    planned = plan_study(file, overrides or (), patients=patients or ())
    if as_json:
        print_told(told(PlannedStudy, planned.to_json()))
        return
    console = Console()
    console.print(_cost(planned.forecast))
    console.print(_signal(planned.forecast))
    console.print(_compared(planned.comparison))
    for sentence in planned.sentences:
        console.print(f"- {sentence}", markup=False, highlight=False, soft_wrap=True)


def _cost(result: Forecast) -> Table:
    from fedgen.mechanisms.statement import rounded_up

    rounds = result.study.total_rounds
    shown = sorted({1, max(rounds // 2, 1), rounds})
    epsilon = ", ".join(str(r) for r in shown)
    table = Table(
        "sites",
        "patients",
        "batch B",
        "rate q",
        "noise sigma",
        "steps",
        f"epsilon after round {epsilon}",
        title=f"Cost of {result.study.study.name} (delta {result.study.privacy.delta:g})",
    )
    for size in result.sizes:
        spend = size.plan.spend
        assert spend is not None
        table.add_row(
            str(size.sites),
            str(size.plan.patients),
            str(size.plan.local.batch),
            f"{spend.sampling_rate:.3g}",
            f"{spend.noise_multiplier:.3g}",
            str(spend.steps * result.study.training_rounds),
            ", ".join(f"{rounded_up(size.epsilon_by_round[r - 1]):.2f}" for r in shown),
        )
    return table


def _signal(result: Forecast) -> Table:
    table = Table(
        "patients",
        "objective",
        "parameters P",
        "one step",
        "all steps",
        "all sites",
        title="Signal to noise, at most",
    )

    def row(patients: str, name: str, signal: Signal) -> None:
        ratios = (signal.one_step, signal.all_steps, signal.all_sites)
        table.add_row(patients, name, str(signal.parameters), *(f"{ratio:.2g}" for ratio in ratios))

    for size in result.sizes:
        for signal in size.signals:
            row(str(size.plan.patients), f"{result.study.model.family}: {signal.objective}", signal)
    if result.study.steps:
        compared = result.reference
        row(str(compared.plan.patients), "DPDM on MNIST", compared.signal)
    return table


def _compared(comparison: Comparison) -> Table:
    short = {"sum": "one sum", "sum then steps": "sum, then DP-SGD", "steps": "DP-SGD"}
    table = Table(
        "families",
        "means",
        "epsilon",
        "noise sigma",
        "signal to noise",
        "rounds",
        "MB a site",
        title="Means for the same patients, epsilon, delta and mode",
    )
    take = comparison.recommendation.take
    for each in comparison.found:
        if each.why_not is not None:
            continue
        noise = [leg.noise for leg in each.legs]
        table.add_row(
            f"> {each.name}" if each is take else each.name,
            short[each.kind],
            " + ".join(f"{leg.epsilon:.3g}" for leg in each.legs),
            ", ".join(f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}" for low, high in noise),
            ", ".join(f"{leg.signal:.2g}" for leg in each.legs),
            " + ".join(str(leg.rounds) for leg in each.legs),
            " + ".join("?" if leg.bytes is None else f"{leg.bytes / 1e6:.2g}" for leg in each.legs),
            style="bold" if each is take else None,
        )
    return table

"""`fedgen privacy`: what a study's protection costs, and whether the installed code keeps its promises.

The planning room is imported inside the command: with it come torch, MONAI and Opacus, which take seconds to load.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedgen.cli import selftest
from fedgen.cli.study import File, Overrides
from fedgen.study.load import load_study

if TYPE_CHECKING:
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
def plan(
    file: File,
    overrides: Overrides = None,
    patients: Annotated[
        list[int] | None,
        typer.Option(
            "--patients",
            min=1,
            metavar="N",
            help="Training patients of a site; once a site. A phantom study knows its own.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Print noise, steps, epsilon by round and signal to noise, and what would help; no data is read."""
    study = load_study(file, overrides or ())

    from fedgen.planning.forecast import forecast, require_privacy
    from fedgen.planning.patients import training_patients
    from fedgen.planning.words import sentences, to_json

    require_privacy(study)
    result = forecast(study, training_patients(study, patients or ()))
    if as_json:
        typer.echo(json.dumps(to_json(result), indent=1, ensure_ascii=False, allow_nan=False))
        return
    console = Console()
    console.print(_cost(result))
    console.print(_signal(result))
    for sentence in sentences(result):
        console.print(f"- {sentence}", markup=False, highlight=False, soft_wrap=True)


def _cost(result: Forecast) -> Table:
    from fedgen.pipeline.privacy import rounded_up

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

"""`fedgen privacy selftest`: the truth gate, on the machine and the installation that will train."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from fedgen.cli.as_json import AsJson, finite, print_told, tells
from fedgen.errors import StudyError
from fedgen.schema.section import Section

if TYPE_CHECKING:
    from fedgen.selftest.finding import CheckResult
    from fedgen.selftest.run import Result


class SelftestFinding(Section):
    """One check of one family.

    Attributes:
        check: its name.
        family: that was checked, or `all` for what every family shares.
        passed: whether it is right in this respect.
        measured: what the check looked at; null where it is not finite.
        limit: what that was compared with.
        rule: how.
        sentence: what was measured.
        backend: how the patients' gradients were computed; null where it does not matter.
    """

    check: str
    family: str
    passed: bool
    measured: float | None
    limit: float
    rule: Literal["<=", ">="]
    sentence: str
    backend: str | None


class SelftestFault(Section):
    """What became of a planted fault.

    Attributes:
        fault: its name.
        family: where it was planted.
        by: checks that failed on it; none where it went unnoticed.
    """

    fault: str
    family: str
    by: tuple[str, ...]


class SelftestResult(Section):
    """Whether the installed code keeps its promises.

    Attributes:
        passed: whether every check passed and every fault was caught; the exit code is 6 otherwise.
        sentence: the outcome.
        device: of torch, that was checked.
        findings: one a check and family.
        faults: that were planted with --faults.
    """

    passed: bool
    sentence: str
    device: str
    findings: tuple[SelftestFinding, ...]
    faults: tuple[SelftestFault, ...]


@tells(SelftestResult)
def selftest(
    family: Annotated[
        list[str] | None, typer.Option("--family", help="Check this family; repeat for several; default all.")
    ] = None,
    faults: Annotated[
        bool, typer.Option("--faults", help="Also plant known faults, and fail unless each is caught.")
    ] = False,
    wide: Annotated[
        bool,
        typer.Option("--wide", help="Also check every task and every choice between a family's options."),
    ] = False,
    device: Annotated[str, typer.Option(help="Torch device to check, such as cpu or cuda.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Check that what is installed does what its epsilon claims; needs no patient data."""
    # Here, since it loads torch and MONAI, which takes seconds, and `--help` should not wait for them.
    import torch

    from fedgen.selftest.run import selftest as run
    from fedgen.training.devices import unusable

    if unusable(device, torch.float64) is not None:
        raise StudyError(f"This machine has no torch device {device} with float64: choose another --device.")
    # The networks are so small that threads would only wait for each other.
    torch.set_num_threads(1)
    console = Console(stderr=True)
    with console.status("Self-test") as status:
        result = run(
            family,
            faults=faults,
            wide=wide,
            device=device,
            on_progress=lambda what: status.update(f"Self-test: {what}"),
        )
    if as_json:
        print_told(document(result, device))
    else:
        show(result, Console())
    result.require()
    if not as_json:
        typer.echo(result.sentence)


def document(result: Result, device: str) -> SelftestResult:
    """The result for a program."""
    return SelftestResult(
        passed=not (result.failed or result.missed),
        sentence=result.sentence,
        device=device,
        findings=tuple(
            SelftestFinding(**{**asdict(found), "measured": finite(found.measured)})
            for found in result.findings
        ),
        faults=tuple(SelftestFault(**asdict(caught)) for caught in result.faults),
    )


def show(result: Result, console: Console) -> None:
    """Print the findings and the faults as tables."""
    table = Table("check", "family", "result", "measured", "limit", "what was measured")
    for finding in result.findings:
        table.add_row(finding.check, finding.where, _verdict(finding), *_numbers(finding), finding.sentence)
    console.print(table)
    if result.faults:
        planted = Table("planted fault", "family", "caught by")
        for caught in result.faults:
            planted.add_row(caught.fault, caught.family, ", ".join(caught.by) or "[red]nothing[/red]")
        console.print(planted)


def _verdict(finding: CheckResult) -> str:
    return "pass" if finding.passed else "[red]FAIL[/red]"


def _numbers(finding: CheckResult) -> tuple[str, str]:
    return f"{finding.measured:.3g}", f"{finding.rule} {finding.limit:.3g}"

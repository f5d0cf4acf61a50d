"""`fedgen audit`: of a run with its model, or of a folder of synthetic images that any tool made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fedgen.cli.counted import counted
from fedgen.cli.data import COLUMNS, advice
from fedgen.cli.runs import again
from fedgen.errors import GateError, StudyError

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|FOLDER",
        help="A run folder; with --train and --held-out a folder of synthetic images, made by whatever tool.",
    ),
]
#: What says that images are audited and no run: never a guess by what lies in the folder.
BOTH = "--train and --held-out"


def audit(
    folder: Folder,
    train: Annotated[
        Path | None,
        typer.Option("--train", metavar="DIR", help="Images that the synthetic ones were learnt from."),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", metavar="DIR", help="Images of other people, from the same places."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: FOLDER-audit, beside FOLDER.")
    ] = None,
    patient_column: Annotated[str, typer.Option(help="Column of patients in tables.")] = COLUMNS.patient,
    image_column: Annotated[str, typer.Option(help="Column of image paths in tables.")] = COLUMNS.image,
    patient_rule: Annotated[
        str | None,
        typer.Option(
            help="Who the patient is where nothing says so: image, or a regular expression on the path."
        ),
    ] = None,
    train_table: Annotated[
        Path | None, typer.Option(help="The table of --train, if it holds several.")
    ] = None,
    held_out_table: Annotated[
        Path | None, typer.Option(help="The table of --held-out, if it holds several.")
    ] = None,
    size: Annotated[str, typer.Option(help="Height and width, or depth, height and width.")] = "64,64",
    channels: Annotated[int, typer.Option(min=1, max=3, help="1 for gray, 3 for RGB.")] = 1,
    window: Annotated[str, typer.Option(help="Stored values that become black and white.")] = "0,255",
    synthetic_window: Annotated[
        str | None, typer.Option(help="The same of the synthetic images, where theirs differ.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(min=0, help="Epsilon that was promised, if one was.")
    ] = None,
    delta: Annotated[float, typer.Option(help="And its delta.")] = 1e-5,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
) -> None:
    """Audit a run's model and synthetic set anew, as `evaluate` does; or, with --train and --held-out, any images."""
    if train is None and held_out is None:
        again(folder, "assess")
        return
    if train is None or held_out is None:
        raise StudyError(
            f"{BOTH} belong together: the first are whom it was learnt from, the second are not."
        )
    _samples(
        (folder, train, held_out, train_table, held_out_table),
        out or folder.resolve().parent / f"{folder.resolve().name}-audit",
        {
            "columns": {"patient": patient_column, "image": image_column},
            "patient_rule": patient_rule,
            "image_size": _numbers("--size", size, int),
            "channels": channels,
            "intensity": _window("--window", window),
        },
        None if synthetic_window is None else _window("--synthetic-window", synthetic_window),
        (epsilon, delta),
        seed,
    )


def _samples(
    given: tuple[Path, Path, Path, Path | None, Path | None],
    out: Path,
    options: dict[str, Any],
    of_synthetic: dict[str, float] | None,
    claim: tuple[float | None, float],
    seed: int,
) -> None:
    from fedgen.data.cache.store import cache_folder
    from fedgen.evidence.measure import AuditedModel
    from fedgen.pipeline.samples_audit import Folders, audit_samples, section
    from fedgen.run.row import Verdict

    console = Console()
    real = section(options)
    synthetic = section({**options, "intensity": of_synthetic or options["intensity"]})
    with advice(), counted("Reading images") as read, console.status("Auditing") as status:
        done = audit_samples(
            Folders(*given),
            out,
            real,
            synthetic,
            AuditedModel({}, *claim),
            {},
            cache_folder(),
            seed=seed,
            read=read,
            progress=lambda title: status.update(f"Measured: {title}"),
        )

    def say(sentence: str, style: str | None = None) -> None:
        console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)

    for sentence in done.loud:
        say(f"NOTE: {sentence}", "bold yellow")
    say(f"audit: {done.audit.verdict}")
    for reason in done.audit.reasons:
        say(f"- {reason}")
    say(f"page: {done.page}")
    say(f"copies by file, for your eyes alone: {out / 'site-only' / 'copies.json'}")
    if done.audit.verdict is Verdict.FAIL:
        raise GateError(f"The audit of {given[0]} found what must not be published: read {done.page}.")


def _numbers(option: str, text: str, kind: type) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise StudyError(f"{option} is not numbers between commas: {text}.") from None


def _window(option: str, text: str) -> dict[str, float]:
    numbers = _numbers(option, text, float)
    if len(numbers) != 2:
        raise StudyError(f"{option} is two numbers between commas, the lower first: {text}.")
    return {"lower": numbers[0], "upper": numbers[1]}

"""`fedgen import`: published weights, for a study to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedgen.cli.hints import EXPORT
from fedgen.cli.study_options import Overrides
from fedgen.run.hints import speak_as

if TYPE_CHECKING:
    from fedgen.pipeline.imported import Imported

#: Names of a kind that are printed.
SHOWN = 8


def bring(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE",
            help="A MONAI bundle's folder or zip, or a file of weights: safetensors or a state dict.",
        ),
    ],
    study: Annotated[
        str,
        typer.Option(
            "--study", metavar="STUDY", help="The study file, or preset, whose networks they are for."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file, ending in .safetensors.")],
    overrides: Overrides = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            metavar="NAME",
            help="A file in the bundle, where it has several; once for each network.",
        ),
    ] = None,
    into: Annotated[
        list[str] | None,
        typer.Option(
            "--into",
            metavar="PLACE",
            help="The network it is for, or a path in one such as unet/unet; once for each file, in their order.",
        ),
    ] = None,
    allow_missing: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-missing",
            metavar="PATTERN",
            help="Parameters of the study's networks that may be without weights, such as 'unet/affine.*'.",
        ),
    ] = None,
    widen: Annotated[
        list[str] | None,
        typer.Option(
            "--widen",
            metavar="PATTERN",
            help="Parameters that may have more input channels than the bundle's, the further ones of weight 0.",
        ),
    ] = None,
    trained_on: Annotated[
        str | None, typer.Option("--source", help="What it was trained on, where the bundle does not say.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="By which it is to be had, where the bundle does not say.")
    ] = None,
    sites: Annotated[
        list[str] | None,
        typer.Option("--site", metavar="SITE", help="A site whose patients it was trained on; once a site."),
    ] = None,
) -> None:
    """Read a MONAI bundle's weights, running nothing of it, and print the lines with which a study starts there."""
    from fedgen.api.study_given import study as study_of

    asked = study_of(study, overrides or ())
    from fedgen.bundles.fill import Wishes
    from fedgen.pipeline.imported import Attribution, import_weights

    speak_as(EXPORT)
    made = import_weights(
        source,
        asked,
        out,
        Attribution(trained_on, licence, sites or ()),
        Wishes(into or (), allow_missing or (), widen or ()),
        weights or (),
    )
    for line in report(made):
        typer.echo(f"# {line}")
    typer.echo("# Start from it with --pretrained, in that study with these lines:")
    typer.echo(made.yaml, nl=False)


def report(made: Imported) -> list[str]:
    """What is from where and what is not, in lines."""
    filled = made.filled
    matched = len(filled.weights) - len(filled.missing)
    lines = [f"{made.path}: {matched} of {len(filled.weights)} parameters are from {made.about.title}"]
    lines += [f"its configuration names {network}" for network in made.about.networks]
    for file, found in filled.placements.items():
        below = f", from below {found.below}" if found.below else ""
        lines.append(f"{file} fills {found.place or 'all networks'}{below}")
        lines += _kind("tensors of it that have no place there", found.unplaced)
    lines += _kind("parameters with zeros for further input channels (--widen)", filled.widened)
    lines += _kind("parameters that start as the study's seed draws them (--allow-missing)", filled.missing)
    return lines


def _kind(what: str, names: tuple[str, ...]) -> list[str]:
    from fedgen.bundles.about import plain

    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{len(names)} {what}: {', '.join(plain(name, 80) for name in names[:SHOWN])}{more}"]

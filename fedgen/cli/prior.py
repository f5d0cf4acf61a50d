"""`fedgen prior`: public priors, made and shown.

What makes and reads them is imported inside the commands: with it come torch and scikit-learn, which take seconds.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import Field, ValidationError

from fedgen.cli.as_json import AsJson, print_told, tells, told
from fedgen.cli.hints import EXPORT
from fedgen.errors import StudyError
from fedgen.priors.card import Card
from fedgen.study.data import Intensity
from fedgen.study.model import PhantomPrior

if TYPE_CHECKING:
    from fedgen.priors.prior import Prior

app = typer.Typer(
    help="Make and show public priors: what is known of a kind of image without a study's patients.",
    no_args_is_help=True,
)


class ShownPrior(Card):
    """A prior's card, and what its file is."""

    sha256: str = Field(description="of the file, by which a study names it")


@app.callback()
def prior() -> None:
    """Make and show public priors: what is known of a kind of image without a study's patients."""


@app.command()
def build(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file, ending in .safetensors.")],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Public images; left out, the prior is waves of no image."),
    ] = None,
    size: Annotated[str, typer.Option("--size", metavar="HxW", help="Of a study's images.")] = "64x64",
    channels: Annotated[int, typer.Option("--channels", min=1, help="1 for gray, 3 for RGB.")] = 1,
    components: Annotated[int, typer.Option("--components", min=1, help="Of the basis.")] = 32,
    donors: Annotated[
        int, typer.Option("--donors", min=0, help="Images whose texture may be lent to synthetic ones.")
    ] = 0,
    lower: Annotated[float, typer.Option("--lower", help="Stored value that becomes black.")] = 0.0,
    upper: Annotated[float, typer.Option("--upper", help="Stored value that becomes white.")] = 255.0,
    source: Annotated[
        str | None, typer.Option("--source", help="Where the images come from, in one sentence.")
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="That the images are under.")] = None,
    sites: Annotated[
        list[str] | None,
        typer.Option(
            "--site", metavar="SITE", help="A site whose patients are among the images; once a site."
        ),
    ] = None,
    autoencoder: Annotated[
        int | None,
        typer.Option(
            "--autoencoder",
            metavar="STEPS",
            min=10,
            help="Train an autoencoder for so many steps (some thousands; minutes), instead of plain components.",
        ),
    ] = None,
    variants: Annotated[
        int,
        typer.Option(
            "--variants",
            min=0,
            help="Make it of so many variants of each image, in other frames, proportions and contrasts, where the "
            "images are of one place and a study's are of others.",
        ),
    ] = 0,
    phantom: Annotated[
        int | None,
        typer.Option("--phantom", metavar="PATIENTS", help="Make it of so many procedural phantoms instead."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the phantoms.")] = 1000,
    modality: Annotated[
        str | None, typer.Option("--modality", help="Of the phantoms: T1w, T2w, or all where left out.")
    ] = None,
) -> None:
    """Make a prior from public images, from phantoms, or from none."""
    from fedgen.data.public_images import public_images
    from fedgen.priors.build import Said, of_autoencoder, of_images, of_no_image
    from fedgen.priors.file import read_prior
    from fedgen.run.atomic import write_atomic
    from fedgen.run.hints import speak_as

    speak_as(EXPORT)
    shape = (channels, *_size(size))
    if out.suffix != ".safetensors" or out.exists():
        raise StudyError(f"{out} must be a new file that ends in .safetensors: choose another name.")
    if phantom is not None:
        if folder is not None or channels != 1 or source or licence or sites or autoencoder or variants:
            raise StudyError(
                "--phantom makes gray images of no patient: leave the folder, --channels, --source, --licence, --site, "
                "--autoencoder and --variants away."
            )
        content = _of_phantoms(
            phantom, seed, components, donors, modality, (shape[1], shape[2]), lower, upper
        )
    elif folder is None:
        if donors or source or licence or sites or autoencoder or variants:
            raise StudyError(
                "--donors, --source, --licence, --site, --autoencoder and --variants speak of images, and no folder "
                "of them is given: name it, or leave these away."
            )
        content = of_no_image(shape, components)
    else:
        if not source or not licence:
            raise StudyError(
                "A prior of images needs --source and --licence, which every site reads before it approves: give both."
            )
        images = public_images(folder, (shape[1], shape[2]), channels, _window(lower, upper))
        said = Said(source, licence, tuple(sites or ()))
        if autoencoder is None:
            content = of_images(images, components, donors, said, variants)
        else:
            content = of_autoencoder(
                images, components, donors, said, autoencoder, _told_now_and_then, variants
            )
    write_atomic(out, content)
    made = read_prior(out)
    card = made.card
    typer.echo(f"# {out}: {card.made_of}. A study stands on it with --prior and these lines:")
    named = {"sha256": made.sha256, "source": f"{card.made_of}; {card.source} ({card.licence})"}
    typer.echo(
        yaml.safe_dump({"model": {"prior": named}}, sort_keys=False, allow_unicode=True, width=10**6),
        nl=False,
    )


@app.command()
@tells(ShownPrior)
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A prior.")],
    as_json: AsJson = False,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FILE", help="Write a picture of its components and donors here."),
    ] = None,
) -> None:
    """Check a prior's file and show its card."""
    from fedgen.priors.file import read_prior

    made = read_prior(file)
    if png is not None:
        _draw(made.prior, png)
    card = {"sha256": made.sha256, **made.card.model_dump(mode="json")}
    if as_json:
        print_told(told(ShownPrior, card))
        return
    for key, value in card.items():
        typer.echo(f"{key:<14} {_shown(key, value)}")


def _shown(key: str, value: Any) -> str:
    match key:
        case "size":
            return " x ".join(map(str, value))
        case "sites":
            return ", ".join(value) or "none"
        case "network" if value is not None:
            levels = ", ".join(map(str, value["channels"]))
            return (
                f"levels of {levels} channels in {value['groups']} groups, code of {value['code_channels']} channels, "
                f"{value['steps']} steps"
            )
        case "explained":
            return f"{value:.1%}"
    return "none" if value in ("", None) else str(value)


def _draw(prior: Prior, path: Path) -> None:
    from PIL import Image

    from fedgen.priors.picture import picture
    from fedgen.run.atomic import write_atomic

    if path.suffix != ".png" or path.exists():
        raise StudyError(f"{path} must be a new file that ends in .png: choose another name.")
    drawn = io.BytesIO()
    Image.fromarray(picture(prior)).save(drawn, "PNG")
    write_atomic(path, drawn.getvalue())


def _told_now_and_then(step: int, loss: float) -> None:
    if step % 100 == 0:
        typer.echo(f"# step {step}: loss {loss:.4f}", err=True)


def _of_phantoms(
    patients: int,
    seed: int,
    components: int,
    donors: int,
    modality: str | None,
    size: tuple[int, int],
    lower: float,
    upper: float,
) -> bytes:
    from fedgen.training.prior_start import phantom_file

    try:
        asked = PhantomPrior(patients=patients, seed=seed, components=components, donors=donors)
    except ValidationError as error:
        first = error.errors()[0]
        about = "".join(f"{key}: " for key in first["loc"])
        raise StudyError(f"No prior is made of such phantoms ({about}{first['msg']}).") from None
    return phantom_file(asked, modality, size, _window(lower, upper))


def _window(lower: float, upper: float) -> Intensity:
    if not lower < upper:
        raise StudyError(f"--lower {lower:g} must be below --upper {upper:g}.")
    return Intensity(lower=lower, upper=upper)


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) >= 1 for side in sides):
        raise StudyError(f"--size {text} must be height x width, such as 64x64.")
    return int(sides[0]), int(sides[1])

"""`fedgen study check`, `fedgen study show`, `fedgen study presets` and `fedgen study dpia`."""

from __future__ import annotations

import typer
from pydantic import Field
from rich.console import Console
from rich.table import Table

from fedgen.api.study_given import study as study_of
from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.cli.dpia import dpia
from fedgen.cli.patients import Patients
from fedgen.cli.study_options import File, Overrides
from fedgen.schema.section import Section
from fedgen.study import presets
from fedgen.study.show import dump_study, study_hash
from fedgen.study.study import Study

app = typer.Typer(help="Validate and print study files.", no_args_is_help=True)
app.command("dpia")(dpia)


@app.command()
def check(file: File, overrides: Overrides = None, patients: Patients = None) -> None:
    """Validate a study and say in one line what it asks for."""
    study = study_of(file, overrides or (), patients=patients or ())
    typer.echo(f"ok: {essentials(study)}")
    if study.model.chosen is not None:
        typer.echo(study.model.chosen)
    prior = study.model.prior
    if prior is not None:
        which = (
            f"the prior {prior.sha256[:12]} ({prior.words})" if prior.sha256 else f"a prior of {prior.words}"
        )
        typer.echo(f"stands on {which}")
    if study.model.pretrained is not None:
        typer.echo(start(study))


class PresetTold(Section):
    """A study that comes with fedgen."""

    name: str = Field(description="by which every command takes it")
    makes: tuple[str, ...] = Field(description="fields that it makes, such as image and mask")
    given: tuple[str, ...] = Field(description="fields that it makes them of")
    translates: bool = Field(description="whether it makes images from others")
    family: str = Field(description="of the model")
    mode: str = Field(description="of its privacy: local, distributed or none")
    epsilon: float | None = Field(description="null without privacy")
    image_size: tuple[int, ...] = Field(description="height and width, or depth, height and width")
    phantom: bool = Field(description="whether it makes its own patients; otherwise it needs --data")


class PresetsTold(Section):
    """The studies that come with fedgen."""

    presets: tuple[PresetTold, ...] = Field(description="by name")


@app.command("presets")
@tells(PresetsTold)
def presets_command(as_json: AsJson = False) -> None:
    """List the studies that come with fedgen, by name."""
    if as_json:
        told = (_preset(name, study_of(name)) for name in presets.names())
        print_told(PresetsTold(presets=tuple(told)))
        return
    table = Table("preset", "makes", "family", "privacy", "images")
    for name in presets.names():
        study = study_of(name)
        table.add_row(name, made_from(study), study.model.family, protection(study), images_of(study))
    Console().print(table)


def _preset(name: str, study: Study) -> PresetTold:
    task, privacy = study.made, study.privacy
    return PresetTold(
        name=name,
        makes=tuple(field.name for field in task.makes),
        given=tuple(field.name for field in task.given),
        translates=task.translates,
        family=study.model.family,
        mode=privacy.mode,
        epsilon=privacy.epsilon if privacy.private else None,
        image_size=study.data.image_size,
        phantom=study.data.phantom is not None,
    )


def made_from(study: Study) -> str:
    """What a study makes, and of what."""
    task = study.made
    made = " + ".join(field.name for field in task.makes)
    given = " and ".join(field.name for field in task.given)
    return f"{made} {'from' if task.translates else 'given'} {given or 'nothing'}"


def protection(study: Study) -> str:
    """Epsilon and mode, or none."""
    return f"epsilon {study.privacy.epsilon:g} ({study.privacy.mode})" if study.privacy.private else "none"


def images_of(study: Study) -> str:
    """Size of an image, and whether the study makes its own patients."""
    size = " x ".join(str(side) for side in study.data.image_size)
    return f"{size}, phantom" if study.data.phantom is not None else f"{size}, --data FOLDER"


@app.command()
def show(file: File, overrides: Overrides = None, patients: Patients = None) -> None:
    """Print the resolved study, all defaults written out and `auto` settled, as YAML."""
    study = study_of(file, overrides or (), patients=patients or ())
    typer.echo(f"# sha256 {study_hash(study)}\n{dump_study(study)}", nl=False)


def start(study: Study) -> str:
    """What a study with pretrained weights starts from and how much of it is trained, in one line.

    Raises:
        StudyError: an adapter's targets name no layer.
    """
    # Here, since only the networks know their size, and with them come torch and MONAI.
    from fedgen.recipe import Recipe

    pretrained, adapters = study.model.pretrained, study.model.adapters
    if pretrained is None:
        return "starts from random weights"
    recipe = Recipe.of(study)
    every, trained = recipe.plain_layout.size, recipe.layout.size
    what = (
        f"all {every} parameters"
        if adapters is None
        else f"{trained} parameters in adapters of rank {adapters.rank}, the network's {every} being frozen"
    )
    return f"starts from {pretrained.sha256[:12]} ({pretrained.source}) and trains {what}"


def essentials(study: Study) -> str:
    """What a study asks for, in one line."""
    privacy = study.privacy
    protection = (
        "NO differential privacy"
        if not privacy.private
        else f"epsilon {privacy.epsilon:g} and delta {privacy.delta:g} a {privacy.unit} ({privacy.mode})"
    )
    training = study.training
    how = f"{training.rounds} rounds x {training.local_steps} local steps"
    if not study.steps:
        how = "one sum" if study.training_rounds == 1 else f"{study.training_rounds} sums"
    return (
        f"{study.study.name}: {study.model.family}, {how}, {protection}, secure aggregation "
        f"{'on' if study.aggregation.secure else 'OFF'}, at least {study.aggregation.minimum_sites} sites "
        "(which ones is known when the data is given)"
    )

"""`fedgen data`: index, inspect and invent images; nothing here trains or leaves the machine.

What reads and writes images is imported inside the commands: it loads pydicom, MONAI and torch, which take seconds,
and `fedgen --help` should not wait for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from fedgen.cli.as_json import AsJson, print_told, tells, told
from fedgen.cli.counted import counted
from fedgen.cli.data_told import IndexedFolder, InspectedFolder, InspectedPhi, WrittenPhantom
from fedgen.cli.decoded import cache
from fedgen.data.findings import plural
from fedgen.errors import DataError, StudyError
from fedgen.study.data import Columns, DataSection, Phantom

if TYPE_CHECKING:
    from fedgen.data.index import PatientIndex

app = typer.Typer(
    name="data", help="Index and inspect images, or generate phantom data.", no_args_is_help=True
)

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of images: CSV/TSV table, DICOM or BIDS.")
]
TableFile = Annotated[Path | None, typer.Option("--table", help="The table, if the folder holds several.")]
ImageColumn = Annotated[str, typer.Option(help="Column of image paths.")]
PatientColumn = Annotated[str, typer.Option(help="Column of patient identities.")]
SiteColumn = Annotated[str, typer.Option(help="Column of site names.")]
LabelColumn = Annotated[str, typer.Option(help="Column of class names.")]
MaskColumn = Annotated[str | None, typer.Option(help="Column of mask paths (BIDS: such as dseg).")]
Modality = Annotated[str | None, typer.Option(help="Keep one modality or series, such as T1w.")]
Site = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The one site that all images are of, whatever the files say."),
]
#: The study file's own defaults: the two commands that read a folder look for the columns a study would.
COLUMNS = Columns()
#: The keys of a study that these commands have an option for.
_KEY = re.compile(
    r"\bdata\.(columns\.(?P<column>image|patient|site|label|mask)|"
    r"(?P<key>modality|labels|volume|patient_rule|other_labels|one_class_sites|unused_share))\b"
)
_KEEP_ONE = "keep one, or name the one that lists the images metadata"


app.command("cache")(cache)


@contextmanager
def advice() -> Iterator[None]:
    """Errors speak of a study's keys; here the same is said by options."""
    try:
        yield
    except DataError as error:
        said = str(error).replace(_KEEP_ONE, "choose one with --table")
        raise DataError(_KEY.sub(_option, said)) from error


def _option(key: re.Match[str]) -> str:
    column, other = key["column"], key["key"]
    return f"--{column}-column" if column else f"--{other.replace('_', '-')}"


def _section(columns: dict[str, str | None], **options: object) -> DataSection:
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return DataSection.model_validate({"columns": columns, **given})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "data"
        raise StudyError(f"The option for data.{where} is not valid ({first['msg']}): see --help.") from None


@app.command("index")
@tells(IndexedFolder)
def index_command(
    folder: Folder,
    table: TableFile = None,
    image_column: ImageColumn = COLUMNS.image,
    patient_column: PatientColumn = COLUMNS.patient,
    site_column: SiteColumn = COLUMNS.site,
    label_column: LabelColumn = COLUMNS.label,
    mask_column: MaskColumn = COLUMNS.mask,
    modality: Modality = None,
    site: Site = None,
    labels: Annotated[
        str | None, typer.Option(help="Class names in order, separated by commas; default none,lesion.")
    ] = None,
    other_labels: Annotated[
        str, typer.Option(help="Images with another label: refuse or exclude.")
    ] = "refuse",
    one_class_sites: Annotated[str, typer.Option(help="Sites of one class: refuse or allow.")] = "refuse",
    patient_rule: Annotated[
        str | None,
        typer.Option(
            help="Who the patient is where nothing says so: image, or a regular expression on the path."
        ),
    ] = None,
    volume: Annotated[
        int | None, typer.Option(min=0, help="Which volume of files that hold several, counted from 0.")
    ] = None,
    unused_share: Annotated[
        float | None, typer.Option(help="Share of images that may be left out unasked; default 0.1.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Index file; default index.json here, outside DIR.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the patient index of a folder: which image belongs to which patient of which site, by pseudonyms."""
    data = _section(
        _columns(image_column, patient_column, site_column, label_column, mask_column),
        modality=modality,
        labels=None if labels is None else tuple(label.strip() for label in labels.split(",")),
        other_labels=other_labels,
        one_class_sites=one_class_sites,
        patient_rule=patient_rule,
        volume=volume,
        unused_share=unused_share,
    )
    from fedgen.data.build import build_index
    from fedgen.data.index import write_index

    with advice(), counted("Reading headers") as progress:
        index = build_index(folder, data, table=table, site=site, progress=progress)
    path = out or _outside(folder)
    from fedgen.data.pseudonyms import own_pseudonyms

    write_index(path, own_pseudonyms().index(index))
    from fedgen.data.sampled import sampled_findings

    sampled = sampled_findings(folder, index, data)
    if as_json:
        summary = {key: value for key, value in index.to_json().items() if key != "entries"}
        findings = [finding.to_json() for finding in sampled]
        print_told(told(IndexedFolder, {"index": str(path), **summary, "sampled": findings}))
        return
    console = Console()
    console.print(_index_table(index))
    for finding in (*index.findings, *sampled):
        console.print(f"- {finding.sentence}", markup=False, soft_wrap=True)
    console.print(f"Index written to {path}", soft_wrap=True)


@app.command("inspect")
@tells(InspectedFolder)
@tells(InspectedPhi, "--phi")
def inspect_command(
    folder: Folder,
    table: TableFile = None,
    image_column: Annotated[
        str | None, typer.Option(help="Column of image paths; found by its cells.")
    ] = None,
    patient_column: Annotated[str | None, typer.Option(help="Column of patients; found by its name.")] = None,
    site_column: Annotated[str | None, typer.Option(help="Column of site names; found by its name.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of class names; found by its name.")
    ] = None,
    modality: Modality = None,
    site: Site = None,
    phi: Annotated[
        bool, typer.Option("--phi", help="Check instead what could tell who a patient is; no value is shown.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every image, say what the folder holds and what is odd, and print a data section that would use it."""
    if phi:
        _inspect_phi(folder, as_json)
        return
    named = {"image": image_column, "patient": patient_column, "site": site_column, "label": label_column}
    columns = {key: column for key, column in named.items() if column is not None}
    from fedgen.api.looks import inspect

    with advice(), counted("Reading files") as progress:
        report = inspect(
            folder, columns=columns, modality=modality, table=table, site=site, progress=progress
        )
    if as_json:
        print_told(told(InspectedFolder, report.to_json()))
        return
    from fedgen.cli.data_page import print_page

    print_page(Console(), report, str(folder))


@app.command("phantom")
@tells(WrittenPhantom)
def phantom_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.")],
    sites: Annotated[int, typer.Option(help="Virtual hospitals.")] = 4,
    patients: Annotated[int, typer.Option(help="Patients of each hospital.")] = 40,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    size: Annotated[int, typer.Option(min=32, help="Height and width in pixels.")] = 96,
    only: Annotated[
        str | None, typer.Option(metavar="SITE", help="Write this hospital alone, such as Ashford.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Generate multi-site DICOM head slices (T1w and T2w, half with a lesion), free of any licence."""
    try:
        phantom = Phantom(sites=sites, patients=patients)
    except ValidationError as error:
        first = error.errors()[0]
        raise StudyError(
            f"--{first['loc'][0]} is not valid ({first['msg']}): choose another number."
        ) from None
    from fedgen.data.phantom.write import phantom_sites, write_phantom, write_phantom_site

    if only is None:
        write_phantom(folder, phantom, seed, (size, size))
        names = phantom_sites(phantom)
    else:
        write_phantom_site(folder, phantom, only, seed, (size, size))
        names = (only,)
    if as_json:
        print_told(
            WrittenPhantom(
                folder=str(folder),
                sites=len(names),
                names=tuple(names),
                patients=len(names) * patients,
                seed=seed,
            )
        )
        return
    Console().print(
        f"Phantom of {plural(len(names), 'site')} with {patients} patients each written to {folder}",
        soft_wrap=True,
    )


def _columns(image: str, patient: str, site: str, label: str, mask: str | None) -> dict[str, str | None]:
    return {"image": image, "patient": patient, "site": site, "label": label, "mask": mask}


def _inspect_phi(folder: Path, as_json: bool) -> None:
    from fedgen.data.inspect.phi import check_phi

    with counted("Looking at pictures") as progress:
        report = check_phi(folder, progress)
    if as_json:
        print_told(told(InspectedPhi, report.to_json()))
        return
    from fedgen.cli.data_page import print_phi

    print_phi(Console(), report, str(folder))


def _outside(folder: Path) -> Path:
    """`index.json` here: a hospital's data folder stays as it is."""
    here = Path.cwd()
    if here.resolve().is_relative_to(folder.resolve()):
        raise StudyError(
            f"{here} lies in the data folder, which stays as it is: name the index file with --out."
        )
    return here / "index.json"


def _index_table(index: PatientIndex) -> Table:
    classes = sorted({str(entry.label) for entry in index.entries})
    table = Table("site", "patients", "images", *classes, title=f"Patient index ({index.layout})")
    for site in index.sites:
        entries = index.at(site)
        counts = [sum(entry.n_images for entry in entries if entry.label == label) for label in classes]
        patients = len({entry.patient for entry in entries})
        table.add_row(site, str(patients), str(sum(counts)), *(str(count) for count in counts))
    return table

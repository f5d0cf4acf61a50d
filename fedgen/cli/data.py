"""`fedgen data`: index, inspect and invent images; nothing here trains or leaves the machine.

What reads and writes images is imported inside the commands: it loads pydicom, MONAI and torch, which take seconds,
and `fedgen --help` should not wait for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.index import PatientIndex, write_index
from fedgen.errors import StudyError
from fedgen.study.data import Columns, DataSection, Phantom

if TYPE_CHECKING:
    from fedgen.data.inspect import Image2D, Inspection

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
#: The study file's own defaults: the two commands that read a folder look for the columns a study would.
COLUMNS = Columns()
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def _section(columns: dict[str, str | None], **options: object) -> DataSection:
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return DataSection.model_validate({"columns": columns, **given})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "data"
        raise StudyError(f"The option for data.{where} is not valid ({first['msg']}): see --help.") from None


@app.command("index")
def index_command(
    folder: Folder,
    table: TableFile = None,
    image_column: ImageColumn = COLUMNS.image,
    patient_column: PatientColumn = COLUMNS.patient,
    site_column: SiteColumn = COLUMNS.site,
    label_column: LabelColumn = COLUMNS.label,
    mask_column: MaskColumn = COLUMNS.mask,
    modality: Modality = None,
    labels: Annotated[
        str | None, typer.Option(help="Class names in order, separated by commas; default none,lesion.")
    ] = None,
    other_labels: Annotated[
        str, typer.Option(help="Images with another label: refuse or exclude.")
    ] = "refuse",
    one_class_sites: Annotated[str, typer.Option(help="Sites of one class: refuse or allow.")] = "refuse",
    out: Annotated[Path | None, typer.Option(help="Index file; default DIR/index.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the patient index of a folder: which image belongs to which patient of which site."""
    data = _section(
        _columns(image_column, patient_column, site_column, label_column, mask_column),
        modality=modality,
        labels=None if labels is None else tuple(label.strip() for label in labels.split(",")),
        other_labels=other_labels,
        one_class_sites=one_class_sites,
    )
    from fedgen.data.build import build_index

    index = build_index(folder, data, table=table)
    path = out or folder / "index.json"
    write_index(path, index)
    if as_json:
        summary = {key: value for key, value in index.to_json().items() if key != "entries"}
        _print_json({"index": str(path), **summary})
        return
    console = Console()
    console.print(_index_table(index))
    _print_findings(console, index.findings)
    console.print(f"Index written to {path}", soft_wrap=True)


@app.command("inspect")
def inspect_command(
    folder: Folder,
    table: TableFile = None,
    image_column: ImageColumn = COLUMNS.image,
    patient_column: PatientColumn = COLUMNS.patient,
    site_column: SiteColumn = COLUMNS.site,
    label_column: LabelColumn = COLUMNS.label,
    mask_column: MaskColumn = COLUMNS.mask,
    modality: Modality = None,
    as_json: AsJson = False,
) -> None:
    """Read every image and report counts, intensities, duplicates and files that cannot be used."""
    columns = _columns(image_column, patient_column, site_column, label_column, mask_column)
    from fedgen.data.inspect import inspect_data

    report = inspect_data(folder, _section(columns, modality=modality), table=table)
    if as_json:
        _print_json(report.to_json())
        return
    console = Console()
    console.print(_site_table(report))
    console.print(_image_table(report))
    _print_duplicates(console, "Equal images of different patients", report.shared_between_patients)
    _print_duplicates(console, "Nearly equal images of different patients", report.near_duplicates)
    if report.unreadable:
        console.print("[bold]Files that cannot be used[/bold]")
        for problem in report.unreadable[:20]:
            console.print(f"  {problem.sentence}", markup=False, soft_wrap=True)
    _print_findings(console, report.findings)


@app.command("phantom")
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
        _print_json(
            {
                "folder": str(folder),
                "sites": len(names),
                "names": names,
                "patients": len(names) * patients,
                "seed": seed,
            }
        )
        return
    Console().print(
        f"Phantom of {plural(len(names), 'site')} with {patients} patients each written to {folder}",
        soft_wrap=True,
    )


def _columns(image: str, patient: str, site: str, label: str, mask: str | None) -> dict[str, str | None]:
    return {"image": image, "patient": patient, "site": site, "label": label, "mask": mask}


def _index_table(index: PatientIndex) -> Table:
    classes = sorted({str(entry.label) for entry in index.entries})
    table = Table("site", "patients", "images", *classes, title=f"Patient index ({index.layout})")
    for site in index.sites:
        entries = index.at(site)
        counts = [sum(entry.n_images for entry in entries if entry.label == label) for label in classes]
        patients = len({entry.patient for entry in entries})
        table.add_row(site, str(patients), str(sum(counts)), *(str(count) for count in counts))
    return table


def _site_table(report: Inspection) -> Table:
    table = Table("site", "patients", "images", "labels", title=f"Sites ({report.layout})")
    for site in report.sites:
        labels = ", ".join(f"{label or '(none)'} {count}" for label, count in site.labels.items())
        table.add_row(site.site, str(site.patients), str(site.images), labels)
    return table


def _image_table(report: Inspection) -> Table:
    table = Table("", "", title="Images", show_header=False)
    table.add_row("sizes", listing((f"{size} ({count})" for size, count in report.sizes.items()), 8))
    table.add_row("colour", ", ".join(f"{kind} ({count})" for kind, count in report.colours.items()))
    if report.intensity is not None:
        table.add_row(
            "stored values", ", ".join(f"{key} {value:g}" for key, value in report.intensity.items())
        )
    return table


def _print_duplicates(console: Console, title: str, groups: tuple[tuple[Image2D, ...], ...]) -> None:
    if not groups:
        return
    table = Table("patients", "files", title=f"{title} ({len(groups)})")
    for group in groups[:20]:
        table.add_row(
            listing(sorted({image.patient for image in group})), listing(image.path for image in group)
        )
    console.print(table)


def _print_findings(console: Console, findings: tuple[DataFinding, ...]) -> None:
    for finding in findings:
        console.print(f"- {finding.sentence}", markup=False, soft_wrap=True)


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))

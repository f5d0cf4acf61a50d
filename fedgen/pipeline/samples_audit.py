"""`fedgen audit FOLDER --train A --held-out B`: synthetic images of any tool, against the images it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fedgen.data.findings import plural
from fedgen.data.picked_images import SITE, PickedImages, pick_images
from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.errors import DataError, StudyError
from fedgen.evidence.assess import Progress, silent
from fedgen.evidence.assess_samples import assess_samples
from fedgen.evidence.audit.neighbours import nearest_neighbours
from fedgen.evidence.measure import AuditedModel
from fedgen.evidence.verdict import CALM_OF_IMAGES, overall
from fedgen.report.pictures import Triple, draw_neighbours
from fedgen.report.samples_page import AskedSamples, write_samples_page
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditFile
from fedgen.run.site_only import SiteOnly, write_site_only
from fedgen.study.data import UNLABELLED, DataSection
from fedgen.study.study import Study

#: Shown beside their nearest real images.
NEIGHBOURS = 6
#: Files by which a folder is known for a run's.
OF_A_RUN = ("study.yaml", "run.json")
WHERE = "The images of {folder} were audited against those of {train} (training) and {held_out} (held out)."


@dataclass(frozen=True)
class Folders:
    """What is to be audited.

    Attributes:
        synthetic: synthetic images.
        train: the images that whatever made them was trained on.
        held_out: images of other people, from where those are from.
        train_table, held_out_table: of a folder that holds several tables.
    """

    synthetic: Path
    train: Path
    held_out: Path
    train_table: Path | None = None
    held_out_table: Path | None = None


@dataclass(frozen=True)
class SamplesAudited:
    """What came of it.

    Attributes:
        audit: as it was written.
        loud: what must be known before anything is concluded.
        page: the HTML page.
    """

    audit: AuditFile
    loud: tuple[str, ...]
    page: Path


def audit_samples(
    folders: Folders,
    out: Path,
    real: DataSection,
    synthetic: DataSection,
    claim: AuditedModel,
    options: dict[str, Any],
    cache: Path,
    *,
    seed: int = 0,
    read: Callable[[int, int], None] | None = None,
    progress: Progress = silent,
) -> SamplesAudited:
    """Audit a folder of images, and write `audit.json`, `audit.html` and `site-only/` into `out`.

    Args:
        folders: of the images.
        out: a folder of its own.
        real, synthetic: how images become tensors: equal but for the window of stored values.
        claim: epsilon and delta that somebody promised.
        options: keys of the section `audit` that differ from their default.
        cache: folder for decoded images.
        seed: of every draw.
        read: told (files or images done, in all), anew for each folder.
        progress: told each row.

    Raises:
        DataError: a folder cannot be used, is a run's, or is given twice; or a patient is in both.
    """
    refuse_runs(folders)
    train = pick_images(folders.train, real, cache, table=folders.train_table, progress=read)
    held = pick_images(folders.held_out, real, cache, table=folders.held_out_table, progress=read)
    everyone = synthetic.model_copy(update={"patient_rule": "image"})
    made = pick_images(folders.synthetic, everyone, cache, progress=read)
    site = _site(train, held)
    images = LabelledImages(made.images.float(), torch.zeros(len(made.images), dtype=torch.int64))
    study = Study.model_validate(
        {"study": {"name": "samples", "seed": seed}, "task": {"given": []}, "audit": options}
    )
    keep = partial(_keep, out, made.paths, (*train.paths, *held.paths))
    found = assess_samples(study, [site], images, claim, progress, keep)
    verdict, reasons = overall(found.rows, CALM_OF_IMAGES)
    loud = _loud(folders, train, held, made)
    audit = AuditFile(
        **{**dict(found), "limits": (*loud, *found.limits)},
        verdict=verdict,
        reasons=reasons,
        where=WHERE.format(folder=folders.synthetic, train=folders.train, held_out=folders.held_out),
    )
    audit.write(RunDirectory(out))
    _draw(out, images, site)
    size = " x ".join(str(side) for side in made.images.shape[1:])
    asked = AskedSamples(
        folders.synthetic.resolve().name, str(folders.train), str(folders.held_out), size, loud
    )
    return SamplesAudited(audit, loud, write_samples_page(out, audit, asked))


def refuse_runs(folders: Folders) -> None:
    """Refuse the folder of a run where images are expected, and the same folder twice.

    Raises:
        DataError: with what to give instead.
    """
    given = {
        "the synthetic images": folders.synthetic,
        "--train": folders.train,
        "--held-out": folders.held_out,
    }
    for what, path in given.items():
        if any((path / file).exists() for file in OF_A_RUN):
            raise DataError(
                f"{path} is the folder of a run, not of images ({what}): give its {path / 'samples'}, or leave --train "
                "and --held-out away to audit the run with all that it knows."
            )
    real = [path.resolve() for path in given.values()]
    for number, path in enumerate(real):
        for other in real[number + 1 :]:
            if path.is_relative_to(other) or other.is_relative_to(path):
                raise DataError(
                    f"{path} and {other} hold the same images: give three folders that are apart."
                )


def _site(train: PickedImages, held: PickedImages) -> SiteData:
    if train.images.shape[1:] != held.images.shape[1:]:
        raise DataError(
            "The training and the held-out images differ in size or channels, which is a defect: report it."
        )
    known = not train.assumed and not held.assumed
    shared = set(train.patients) & set(held.patients) if known else set()
    if shared:
        raise DataError(
            f"{plural(len(shared), 'patient is', 'patients are')} in the training and in the held-out folder, who must "
            "be other people: take them out of one of the two."
        )
    # Two folders may have files of one name; who is who by the names of files is so within a folder alone.
    names = [("train", each) for each in train.patients] + [("held out", each) for each in held.patients]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    parts = [int(Part.TRAIN)] * len(train.patients) + [int(Part.AUDIT)] * len(held.patients)
    return SiteData(
        site=SITE,
        classes=(UNLABELLED,),
        images=torch.cat([train.images, held.images]),
        labels=torch.zeros(len(names), dtype=torch.int64),
        patients=torch.tensor([numbers[name] for name in names]),
        parts=torch.tensor(parts),
    )


def _loud(folders: Folders, train: PickedImages, held: PickedImages, made: PickedImages) -> tuple[str, ...]:
    said = []
    for path, picked in ((folders.train, train), (folders.held_out, held)):
        if picked.assumed:
            said.append(
                f"Nothing names the patients of {path.resolve().name}, so each of its {len(picked.patients)} images "
                "counts as a person: where a person has several, every number is surer of itself than it should be."
            )
    for path, picked in ((folders.train, train), (folders.held_out, held), (folders.synthetic, made)):
        odd = [
            text
            for text in picked.findings
            if "counts as one" not in text and "counts as one site" not in text
        ]
        said += [f"{path.resolve().name}: {text}" for text in odd]
    return tuple(dict.fromkeys(said))


def _keep(out: Path, made: tuple[str, ...], real: tuple[str, ...], found: SiteOnly) -> None:
    """Lists name files here: whoever audits has them all, and must find them."""
    entries = tuple(_named(entry, made, real) for entry in found.entries)
    write_site_only(out, found.model_copy(update={"entries": entries}))


def _named(
    entry: dict[str, str | int | float | None], made: tuple[str, ...], real: tuple[str, ...]
) -> dict[str, str | int | float | None]:
    named = dict(entry)
    for key, paths in (("synthetic", made), ("image", real)):
        number = named.get(key)
        if isinstance(number, int) and number < len(paths):
            named[f"{key}_file"] = paths[number]
    return named


def _draw(out: Path, made: LabelledImages, site: SiteData) -> None:
    near = nearest_neighbours(made, [site], NEIGHBOURS)
    draw_neighbours(
        out / "figures",
        [
            Triple(
                synthetic=near.synthetic[i],
                train=near.train[i],
                held_out=near.held_out[i],
                distance_train=float(near.train_distance[i]),
                distance_held_out=float(near.held_out_distance[i]),
                site=near.train_site[i],
            )
            for i in range(len(near.index))
        ],
    )


def section(options: dict[str, Any]) -> DataSection:
    """How images become tensors, of a command's options.

    Raises:
        StudyError: an option is not valid.
    """
    try:
        return DataSection.model_validate(options)
    except ValueError as error:
        raise StudyError(f"An option is not valid ({error}): see --help.") from None

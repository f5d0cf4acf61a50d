"""The sources of a translation in a site's folder: patient by patient, all of each volume, with no target asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fedgen.data.contrasts import Time, named_contrasts, time_of
from fedgen.data.decode import decode_site
from fedgen.data.findings import listing
from fedgen.data.folder_scan import scan_folder
from fedgen.data.index import IndexEntry
from fedgen.data.pixels import fitted_size
from fedgen.errors import DataError
from fedgen.study.data import DataSection, Slices


@dataclass(frozen=True)
class SourceFiles:
    """What one patient has at one time.

    Attributes:
        patient: identity, as the folder tells it.
        study: the time; empty where unknown.
        entries: the image of each contrast that is there.
        images: by contrast, (n, C, *size) float32 in [-1, 1] of all slices, or of one volume.
        inside: size of what the image itself takes of the grid, which is padded around it.
    """

    patient: str
    study: str
    entries: Mapping[str, IndexEntry]
    images: Mapping[str, Tensor]
    inside: tuple[int, ...]

    @property
    def first(self) -> IndexEntry:
        """The image whose grid is that of what is made."""
        return next(iter(self.entries.values()))


def sources_in(
    folder: Path, data: DataSection, contrasts: Sequence[str], needed: Sequence[str]
) -> Iterator[SourceFiles]:
    """Every patient and time of a folder that has one of the contrasts.

    Args:
        folder: laid out as the study's own data are.
        data: the study's section.
        contrasts: of the model's sources, in their order.
        needed: those that everybody must have.

    Raises:
        DataError: a needed source is missing, nothing is found, or a file cannot be used.
    """
    whole = (
        Slices()
        if len(data.image_size) == 3
        else data.slices.model_copy(update={"lower": 0.0, "upper": 1.0, "every": 1})
    )
    asked = data.model_copy(
        update={
            "contrasts": tuple(contrasts),
            "required": None,
            "slices": whole,
            "covariates": {},
            "embedding_size": None,
            "unmasked": "keep",
            "columns": data.columns.model_copy(update={"mask": None, "embedding": None}),
        }
    )
    found = scan_folder(folder, asked)
    if found.problems:
        raise DataError(f"{found.problems[0].sentence}: correct or remove it.")
    times: dict[Time, dict[str, IndexEntry]] = {}
    for entry in named_contrasts(found.entries, asked):
        if entry.contrast not in contrasts:
            continue
        of_time = times.setdefault(time_of(entry), {})
        if entry.contrast in of_time:
            raise DataError(
                f"{of_time[entry.contrast].path} and {entry.path} are both {entry.contrast} of one patient and time: "
                "leave one out, or tell the times apart (column study, BIDS session)."
            )
        of_time[entry.contrast] = entry
    if not times:
        raise DataError(
            f"{folder} has no image of {listing(contrasts)}, which the model makes its target from."
        )
    for (_, patient, study, _), entries in times.items():
        missing = [name for name in needed if name not in entries]
        if missing:
            when = f" at {study}" if study else ""
            raise DataError(
                f"{patient}{when} has no {listing(missing)}, which the model cannot do without: add it, or take the "
                "patient out of the folder."
            )
    for (_, patient, study, _), entries in times.items():
        yield _decoded(
            folder, asked, patient, study, {name: entries[name] for name in contrasts if name in entries}
        )


def _decoded(
    folder: Path, data: DataSection, patient: str, study: str, entries: dict[str, IndexEntry]
) -> SourceFiles:
    first, *others = entries.values()
    for other in others:
        if (other.size, other.n_images) != (first.size, first.n_images):
            raise DataError(
                f"{first.path} and {other.path} show one patient at one time on different grids: register and resample "
                "them to one."
            )
    decoded = decode_site(folder, [replace(entry, mask=None) for entry in entries.values()], data)
    images = torch.from_numpy(decoded.images).float()
    n = first.n_images
    return SourceFiles(
        patient=patient,
        study=study,
        entries=entries,
        images={name: images[i * n : (i + 1) * n] for i, name in enumerate(entries)},
        inside=fitted_size(first.size, first.pixel_sides, data.image_size),
    )

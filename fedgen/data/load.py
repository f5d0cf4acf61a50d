"""Decoded sites and a split, joined into the tensors every later stage reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedgen.data.cache.decoded_sites import decode_sites
from fedgen.data.decode import DecodedSite
from fedgen.data.embeddings import read_embeddings
from fedgen.data.findings import DataFinding, plural
from fedgen.data.geometry import site_geometry
from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.data.joined import joined_contrasts
from fedgen.data.mask_findings import mask_findings
from fedgen.data.site_data import Part, SiteData
from fedgen.study.data import DataSection

#: More than this share of pixels above the window is worth a word.
_SATURATED = 0.25
#: More than this share below it is, too; a background is often as much as half.
_EMPTY = 0.6
#: Spanning less than this share of the window is worth a word.
_NARROW = 0.1


def load_sites(
    folder: Path, index: PatientIndex, parts: Mapping[str, Part], data: DataSection, cache: Path
) -> list[SiteData]:
    """Decode every image of `index` once (see `cache.decode_sites`) and number the patients of each site.

    Patient p of a site is the p-th of its identities in alphabetical order (see `patient_numbers`); the
    identities themselves stay in the index.

    Raises:
        DataError: a file cannot be used, or the cache cannot be written.
        KeyError: a patient has no part.
    """
    decoded = decode_sites(folder, index, data, cache)
    return [site_data(site, index.at(site), decoded[site], parts, data, folder) for site in index.sites]


def patient_numbers(entries: Sequence[IndexEntry]) -> dict[str, int]:
    """The number of each patient of a site: its rank in alphabetical order."""
    return {patient: number for number, patient in enumerate(sorted({entry.patient for entry in entries}))}


def site_data(
    site: str,
    entries: Sequence[IndexEntry],
    decoded: DecodedSite,
    parts: Mapping[str, Part],
    data: DataSection,
    folder: Path,
) -> SiteData:
    """One site's tensors; images in the order of `decoded`, contrasts of one time joined.

    Raises:
        DataError: an embedding cannot be read.
    """
    numbers = patient_numbers(entries)
    labels = {label: number for number, label in enumerate(data.classes)}
    rows = torch.from_numpy(decoded.entries)
    by_entry = [
        (labels[str(entry.label)], numbers[entry.patient], int(parts[entry.patient])) for entry in entries
    ]
    columns = torch.tensor(by_entry, dtype=torch.int64)[rows]
    spacing, orientation = site_geometry(entries, data)
    found = SiteData(
        site=site,
        classes=data.classes,
        images=torch.from_numpy(decoded.images),
        labels=columns[:, 0].clone(),
        patients=columns[:, 1].clone(),
        parts=columns[:, 2].clone(),
        masks=None if decoded.masks is None else torch.from_numpy(decoded.masks),
        masked=None if decoded.masks is None else torch.from_numpy(decoded.marks > 0),
        covariates=_covariates(entries, data, rows),
        embeddings=None if data.embedding_size is None else read_embeddings(folder, entries, data)[rows],
        spacing=spacing,
        orientation=orientation,
    )
    return joined_contrasts(found, entries, decoded.entries, data) if data.contrasts else found


def _covariates(entries: Sequence[IndexEntry], data: DataSection, rows: Tensor) -> Tensor | None:
    if not data.covariates:
        return None
    return torch.tensor([entry.covariates for entry in entries], dtype=torch.float32)[rows]


def decoding_findings(
    index: PatientIndex, decoded: Mapping[str, DecodedSite], data: DataSection
) -> list[DataFinding]:
    """What decoding showed: what masks there are, blank images, intensities that do not fit the window."""
    findings = [] if data.columns.mask is None else mask_findings(decoded)
    blank = int(sum(site.fingerprints.blank.sum() for site in decoded.values()))
    if blank:
        what = plural(blank, "image holds", "images hold")
        findings.append(DataFinding("blank_images", f"{what} a single value and so no information.", blank))
    above = int(sum(np.count_nonzero(site.above > _SATURATED) for site in decoded.values()))
    if above:
        what = plural(above, "image has", "images have")
        upper = f"data.intensity.upper ({data.intensity.upper:g})"
        sentence = f"{what} more than {_SATURATED:.0%} of its pixels above {upper}."
        findings.append(DataFinding("saturated", sentence, above))
    below = int(sum(np.count_nonzero(site.below > _EMPTY) for site in decoded.values()))
    if below:
        what = plural(below, "image has", "images have")
        lower = f"data.intensity.lower ({data.intensity.lower:g})"
        sentence = f"{what} more than {_EMPTY:.0%} of its pixels below {lower}: lower it where they are more than air."
        findings.append(DataFinding("below_window", sentence, below))
    narrow = int(
        sum(np.count_nonzero((site.span < _NARROW) & ~site.fingerprints.blank) for site in decoded.values())
    )
    if narrow:
        sentence = (
            f"{plural(narrow, 'image spans', 'images span')} less than {_NARROW:.0%} of the window "
            f"[{data.intensity.lower:g}, {data.intensity.upper:g}]: "
            "set data.intensity to the values of the images."
        )
        findings.append(DataFinding("narrow_intensity", sentence, narrow))
    return findings

"""A folder of images of which nothing is asked but who is who: for an audit that knows no study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fedgen.data.build import index_of
from fedgen.data.cache.decoded_sites import decode_sites
from fedgen.data.folder_scan import scan_folder
from fedgen.data.layouts.patient_rule import IMAGE
from fedgen.data.load import decoding_findings
from fedgen.errors import DataError
from fedgen.study.data import DataSection

#: The one site of all images.
SITE = "images"


@dataclass(frozen=True)
class PickedImages:
    """The images of a folder.

    Attributes:
        images: (n, C, *size) float16 in [-1, 1].
        patients: who each is of.
        paths: the file of each, below the folder.
        assumed: whether each image counts as a person, because nothing says who is who.
        findings: what is odd about the files, in sentences.
    """

    images: Tensor
    patients: tuple[str, ...]
    paths: tuple[str, ...]
    assumed: bool
    findings: tuple[str, ...]


def pick_images(
    folder: Path,
    data: DataSection,
    cache: Path,
    *,
    table: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PickedImages:
    """Read every image of a folder, whatever its label and site.

    Args:
        folder: of any layout: a table, DICOM, BIDS, or images alone.
        data: how images become tensors; its `labels` are not read.
        cache: folder for decoded images.
        table: the table, where the folder holds several.
        progress: told (files or images done, in all).

    Raises:
        DataError: the folder holds no image, or one that cannot be used.
    """
    # Without a rule a folder that names nobody would be refused; here each image is somebody, and that is said.
    rule = data.patient_rule or IMAGE
    asked = data.model_copy(update={"labels": (), "patient_rule": rule})
    scan = scan_folder(folder, asked, table=table, site=SITE, progress=progress)
    said = {finding.kind for finding in scan.findings}
    scan.entries = [replace(entry, label=None, mask=None) for entry in scan.entries]
    index = index_of(folder, scan, asked)
    decoded = decode_sites(folder, index, asked, cache, progress)
    if set(decoded) != {SITE}:
        raise DataError(
            f"{folder} was read as several sites ({', '.join(decoded)}), which is a defect: report it."
        )
    entries, of_images = index.at(SITE), decoded[SITE].entries.tolist()
    return PickedImages(
        images=torch.from_numpy(decoded[SITE].images),
        patients=tuple(entries[number].patient for number in of_images),
        paths=tuple(entries[number].path for number in of_images),
        assumed="image_is_patient" in said,
        findings=tuple(
            each.sentence for each in (*index.findings, *decoding_findings(index, decoded, asked))
        ),
    )

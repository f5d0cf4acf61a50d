"""Every file of a folder accounted for: what no layout looked at is named by its kind and counted."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fedgen.data.decoders.registry import by_ending, nameless
from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.hidden import HIDDEN
from fedgen.data.layouts.layout import Request, Scan
from fedgen.data.mask_offers import offered_masks
from fedgen.data.table import Table
from fedgen.data.two_files import second_files
from fedgen.errors import DataError
from fedgen.study.data import DataSection

#: Files that nobody takes for images.
TEXTS = "tables and texts"
_PACKED = ".zip .gz .tgz .tar .bz2 .xz .zst .7z .rar"
#: Images, or what holds them, of formats that nothing here reads.
_IMAGES = (
    ".mha .mhd .nrrd .nhdr .hdr .img .mgz .mgh .mnc .par .rec .v .ecat .svs .ndpi .mrxs .czi .vms .jp2 .j2k .jls .webp "
    ".gif .heic .heif .avif .npy .npz .mat .h5 .hdf5 .raw .dc3 .acr .mr .ct .dcm30 .pgm .ppm .pnm .mp4 .avi .mov .mpg "
    ".mpeg .idx .lmdb .tfrecord .parquet"
)
_TEXTS = (
    ".csv .tsv .xlsx .xls .ods .txt .md .rst .json .xml .yaml .yml .html .htm .pdf .docx .doc .bval .bvec .log .py .m "
    ".r .sh .inf .ini .cfg .cff"
)
#: Texts whose names have no ending.
_NAMED_TEXTS = "readme license licence changes changelog autorun version notice"
_KINDS = {
    ending: kind
    for kind, endings in (("packed", _PACKED), ("image", _IMAGES), ("text", _TEXTS))
    for ending in endings.split()
}


def account(request: Request, scan: Scan, unused: str) -> None:
    """Give every file of the folder that `scan` does not speak of its line.

    Args:
        request: what the layout was asked to read.
        scan: what it found; completed here.
        unused: what the layout calls an image that it did not look at.
    """
    used = {file for entry in scan.entries for file in entry.files}
    used |= {entry.mask for entry in scan.entries if entry.mask is not None}
    used |= {entry.embedding for entry in scan.entries if entry.embedding is not None}
    used |= {problem.path for problem in scan.problems} | scan.seen
    left = [path for path in request.files if path not in used]
    if not left:
        return
    halves = set(second_files(request.folder, request.files, used)) - used
    scan.seen |= halves
    left = [path for path in left if path not in halves]
    named = dict(_named(request.folder, request.table, set(left))) if request.table is not None else {}
    offers = offered_masks(request.folder, scan, [path for path in left if path not in named])
    for path in left:
        name = PurePosixPath(path)
        ending = name.suffix.lower()
        kind = _KINDS.get(ending)
        if path in named:
            scan.leave_out(path, f"named by the table's column {named[path]}, which the study does not use")
        elif path in offers:
            scan.offer_mask(path, offers[path])
        elif name.name.lower().endswith(tuple(by_ending())):
            scan.leave_out(path, unused, asked=False)
        elif kind == "text" or name.name.lower() in _NAMED_TEXTS.split():
            scan.seen.add(path)
            scan.beside[TEXTS] += 1
        elif kind == "packed":
            scan.leave_out(path, f"packed file ({ending}), which nothing looks into: unpack it", asked=False)
        elif kind == "image":
            scan.leave_out(path, f"image whose ending {ending} nothing reads here", asked=False)
        elif nameless(name):
            scan.seen.add(path)
            scan.beside["files without an ending"] += 1
        else:
            scan.seen.add(path)
            scan.beside[f"files with the ending {ending}"] += 1


def unknown_findings(scan: Scan) -> list[DataFinding]:
    """Files of which nothing says whether they are images."""
    return [
        DataFinding("unknown_files", f"No reader knows {count} {kind}: they are not looked at.", count)
        for kind, count in sorted(scan.beside.items())
        if kind not in (TEXTS, HIDDEN)
    ]


def refuse_losses(scan: Scan, data: DataSection) -> None:
    """Refuse a folder too much of which would be left out for reasons that nobody asked for.

    Raises:
        DataError: more than `data.unused_share` of what looks like images.
    """
    lost = scan.unasked.total()
    images = len({file for entry in scan.entries for file in entry.files}) + scan.excluded.total() + lost
    if lost <= data.unused_share * images:
        return
    why = listing(f"{count} x {reason}" for reason, count in scan.unasked.most_common())
    needed = math.ceil(100 * lost / images) / 100
    raise DataError(
        f"{lost} of {plural(images, 'image')} would be left out though nothing in the study asks for it ({why}): put "
        f"it right, or allow it by data.unused_share, which is {data.unused_share:g} and would be {needed:g}."
    )


def _named(folder: Path, table: Table, files: set[str]) -> Iterator[tuple[str, str]]:
    """Those of `files` that any cell of the table names, each with its column."""
    base = os.path.relpath(table.path.parent, folder).replace(os.sep, "/")
    for column in table.columns:
        cells = [row.cells[column] for row in table.rows]
        # A column of paths has a separator or an ending in nearly every cell; others are not worth the looking.
        if sum("." in cell for cell in cells[:200]):
            found = files.intersection(
                os.path.normpath(PurePosixPath(base, cell.replace("\\", "/")))
                for cell in cells
                if "." in cell
            )
            yield from ((path, column) for path in found)

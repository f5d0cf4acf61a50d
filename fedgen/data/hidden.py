"""Files that a dot hides, or that a program keeps for itself: never read, always counted, named as what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from fedgen.data.decoders.registry import by_ending
from fedgen.data.findings import DataFinding, listing, plural
from fedgen.data.layouts.layout import Scan

#: The kind in `Scan.beside`.
HIDDEN = "hidden files"
#: By the beginning of a name, the longest that fits: what writes it.
_KNOWN = {
    "._": "attributes that macOS keeps beside a file",
    ".ds_store": "how macOS shows a folder",
    ".localized": "how macOS shows a folder",
    ".appledouble": "attributes that macOS keeps beside a file",
    ".spotlight-v100": "search index of macOS",
    ".fseventsd": "journal of macOS",
    ".trash": "deleted files",
    ".directory": "how KDE shows a folder",
    ".nfs": "deleted from a network drive while open",
    ".fuse_hidden": "deleted from a network drive while open",
    ".~lock.": "lock of an open office document",
    ".git": "version control (git)",
    ".datalad": "version control (DataLad)",
    ".bids": "settings of BIDS tools",
    ".ipynb_checkpoints": "copies of notebooks",
    "@eadir": "thumbnails of a network drive",
    "#recycle": "deleted files",
    "$recycle.bin": "deleted files",
    "__macosx": "attributes that macOS keeps beside a file",
}
#: Folders of programs, though no dot begins their names.
_AWAY = ("@eadir", "#recycle", "$recycle.bin", "__macosx")
_OTHER = "of unknown purpose"


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none that a person put there to be read."""
    return name.startswith(".") or name.lower() in _AWAY


def account_hidden(scan: Scan, hidden: Sequence[str]) -> None:
    """Give each hidden file its line: images are left out unasked, others are no images.

    Args:
        scan: completed here.
        hidden: paths in which a name is hidden, relative to the folder.
    """
    kinds: Counter[str] = Counter()
    for path in hidden:
        kind = kind_of(path)
        if kind == _OTHER and _image(path):
            scan.leave_out(path, "hidden image (a name that begins with a dot): rename it", asked=False)
        else:
            scan.seen.add(path)
            scan.beside[HIDDEN] += 1
            kinds[kind] += 1
    if kinds:
        what = listing(f"{count} {kind}" for kind, count in kinds.most_common())
        sentence = (
            f"{plural(kinds.total(), 'hidden file')} (names that begin with a dot, folders of programs) not looked at: "
            f"{what}."
        )
        scan.findings.append(DataFinding("hidden_files", sentence, kinds.total()))


def kind_of(path: str) -> str:
    """What a hidden file is, by the first of its folders' and its own names that begins with a dot."""
    name = next(part for part in PurePosixPath(path).parts if is_hidden(part)).lower()
    fits = [beginning for beginning in _KNOWN if name.startswith(beginning)]
    return _KNOWN[max(fits, key=len)] if fits else _OTHER


def _image(path: str) -> bool:
    *folders, name = PurePosixPath(path).parts
    # What lies in a hidden folder was put away by a program, whatever it is.
    away = any(map(is_hidden, folders))
    return not away and name.lower().endswith(tuple(by_ending()))

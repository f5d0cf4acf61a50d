"""The page of an audit of samples alone: a verdict, its reasons, and every row; one HTML file that opens offline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedgen import __version__
from fedgen.report.page import environment
from fedgen.report.picture_rows import NEIGHBOURS, read_rows
from fedgen.report.sheet import means
from fedgen.run.atomic import write_atomic
from fedgen.run.evidence_files import AuditFile

PAGE = "audit.html"


@dataclass(frozen=True)
class AskedSamples:
    """What was audited.

    Attributes:
        folder, train, held_out: names of the folders.
        size: of an image, in words.
        loud: what must be known before anything is concluded.
    """

    folder: str
    train: str
    held_out: str
    size: str
    loud: tuple[str, ...]


def write_samples_page(
    out: Path, audit: AuditFile, asked: AskedSamples, *, now: datetime | None = None
) -> Path:
    """Write `audit.html` beside the `audit.json` in `out`; the pictures that were drawn are in its `figures`.

    Raises:
        DataError: the disk is full or the folder is not writable.
    """
    values = {
        "audit": audit,
        "asked": asked,
        "means": means(audit),
        "neighbours": read_rows(out / "figures", NEIGHBOURS),
        "version": __version__,
        "now": (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
    }
    path = out / PAGE
    write_atomic(path, environment().get_template("samples.html").render(values).encode())
    return path

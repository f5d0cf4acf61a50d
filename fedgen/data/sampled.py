"""A few images of an index, decoded: what it says of their values before anybody waits for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fedgen.data.decode import decode_site
from fedgen.data.findings import DataFinding, plural
from fedgen.data.index import PatientIndex
from fedgen.data.load import decoding_findings
from fedgen.errors import DataError
from fedgen.study.data import DataSection

#: Files that are looked into, spread evenly over the index.
SAMPLE = 32


def sampled_findings(folder: Path, index: PatientIndex, data: DataSection) -> list[DataFinding]:
    """Blank images, values outside the window and files that cannot be decoded, among a few.

    A sentence about a file that cannot be decoded names it, so it is for the person at the screen.
    """
    step = max(1, len(index.entries) // SAMPLE)
    some = replace(index, entries=index.entries[::step][:SAMPLE], excluded=(), findings=())
    looked = "" if step == 1 else f"Of {plural(len(some.entries), 'file')} looked into: "
    try:
        decoded = {site: decode_site(folder, some.at(site), data) for site in some.sites}
    except DataError as error:
        return [DataFinding("unreadable", f"{looked}{error}", 1)]
    return [
        replace(finding, sentence=f"{looked}{finding.sentence}")
        for finding in decoding_findings(some, decoded, data)
        # Of masks the index knows all.
        if finding.kind != "missing_masks"
    ]

"""The studies that a federation offers to its sites: signed manifests, and where each one's run is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from fedgen.errors import StudyError
from fedgen.protocol.manifest import Manifest, SignedManifest
from fedgen.schema.section import Section
from fedgen_server.storage import read_model, write_model

State = Literal["open", "closed"]


class StudyEntry(Section):
    """One study.

    Attributes:
        signed: its manifest.
        run: its run folder.
        state: `open` while sites are offered it.
    """

    signed: SignedManifest
    run: str
    state: State = "open"

    @property
    def manifest(self) -> Manifest:
        """The manifest's content; this coordinator wrote it, so its signature is not checked again."""
        return Manifest.model_validate_json(self.signed.text)

    @property
    def sites(self) -> frozenset[str]:
        """Names on its roster."""
        return frozenset(self.manifest.roster)


class OfferedStudies:
    """The folder `studies/`: one file a study, named by the study's hash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, signed: SignedManifest, run: Path) -> StudyEntry:
        """Offer a study to the sites of its roster, in the place of an earlier manifest of the same study."""
        entry = StudyEntry(signed=signed, run=str(run.absolute()))
        write_model(self._file(entry.manifest.study_sha256), entry)
        return entry

    def close(self, study_sha256: str) -> None:
        """Offer it no longer; it stays on record.

        Raises:
            StudyError: there is none of that hash.
        """
        entry = self.find(study_sha256)
        if entry is None:
            raise StudyError(f"This federation has no study {study_sha256[:12]}: look at its folder studies.")
        write_model(self._file(study_sha256), entry.model_copy(update={"state": "closed"}))

    def find(self, study_sha256: str) -> StudyEntry | None:
        """The study of that hash, open or closed."""
        return read_model(self._file(study_sha256), StudyEntry, None)

    def all(self) -> dict[str, StudyEntry]:
        """Every study by its hash."""
        found = {path.stem: self.find(path.stem) for path in sorted(self._folder.glob("*.json"))}
        return {sha256: entry for sha256, entry in found.items() if entry is not None}

    def open(self) -> dict[str, StudyEntry]:
        """Those on offer, by hash."""
        return {sha256: entry for sha256, entry in self.all().items() if entry.state == "open"}

    def _file(self, study_sha256: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", study_sha256):
            raise StudyError(f"{study_sha256[:80]!r} is no SHA-256 of a study: give its 64 hex digits.")
        return self._folder / f"{study_sha256}.json"

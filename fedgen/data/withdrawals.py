"""Patients who have withdrawn: a list of pseudonyms that stays where the images are, and who is left without them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from fedgen.data.identity import form
from fedgen.data.pseudonyms import Pseudonyms
from fedgen.errors import PrivacyRefusedError
from fedgen.run.atomic import write_json
from fedgen.run.lock import held
from fedgen.schema.section import Section

if TYPE_CHECKING:
    from fedgen.data.index import PatientIndex

#: In a hospital's folder, and in the `data` of a simulation.
WITHDRAWN = "withdrawn.json"


class _File(Section):
    version: int = Field(1, ge=1, le=1)
    key: str
    patients: tuple[str, ...] = Field(strict=False)


class Withdrawals:
    """The list of one site; nobody is ever taken off it.

    Args:
        path: of the file; absent where nobody has withdrawn.
        pseudonyms: the site's own.
    """

    def __init__(self, path: Path, pseudonyms: Pseudonyms) -> None:
        self._path = path
        self._pseudonyms = pseudonyms

    def names(self) -> frozenset[str]:
        """Pseudonyms of those on it.

        Raises:
            PrivacyRefusedError: the file cannot be read, or was written with another key of pseudonyms: who has
                withdrawn is not known then, and nobody may be read.
        """
        if not self._path.exists():
            return frozenset()
        try:
            found = _File.model_validate(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise PrivacyRefusedError(
                f"{self._path} is damaged ({type(error).__name__}), so that who has withdrawn is not known: restore it "
                "from its backup."
            ) from None
        if found.key != self._pseudonyms.name:
            raise PrivacyRefusedError(
                f"{self._path} was written with another key of pseudonyms than is here now, so that who has withdrawn "
                "is not known: restore the site's pseudonym.key."
            )
        return frozenset(found.patients)

    def add(self, identities: Iterable[str]) -> int:
        """Put patients on the list, on disk when this returns.

        Args:
            identities: as they stand in the data; another spelling of one form is the same patient.

        Returns:
            how many were not on it.

        Raises:
            PrivacyRefusedError: as `names`.
            DataError: it cannot be written.
        """
        with held(self._path.with_suffix(".lock")):
            before = self.names()
            asked = list(identities)
            new = sum(not self._on(before, identity) for identity in dict.fromkeys(asked))
            self._write(before | {name for identity in asked for name in self._names_of(identity)})
        return new

    def without(self, index: PatientIndex) -> PatientIndex:
        """The index of those who are left; a spelling of somebody on the list that is met here is put on it too.

        Raises:
            PrivacyRefusedError, DataError: as `add`.
        """
        listed = self.names()
        if not listed:
            return index
        gone = {patient for patient in index.patients if self._on(listed, patient)}
        if any(self._pseudonyms.patient(patient) not in listed for patient in gone):
            # Known by this spelling too from now on, also once the files are gone.
            self.add(gone)
        return replace(index, entries=tuple(each for each in index.entries if each.patient not in gone))

    def _on(self, listed: frozenset[str], identity: str) -> bool:
        return not listed.isdisjoint(self._names_of(identity))

    def _names_of(self, identity: str) -> set[str]:
        return {self._pseudonyms.patient(identity), self._pseudonyms.patient(form(identity))}

    def _write(self, names: frozenset[str]) -> None:
        value = _File(key=self._pseudonyms.name, patients=tuple(sorted(names)))
        write_json(self._path, value.model_dump(mode="json"), indent=1)


def found_in(index: PatientIndex, identities: Iterable[str]) -> int:
    """How many of these identities are of somebody in the index, in whatever spelling of their form."""
    there = {form(patient) for patient in index.patients}
    return sum(form(identity) in there for identity in identities)

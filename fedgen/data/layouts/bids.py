"""Layout `bids`: NIfTI files named as the Brain Imaging Data Structure asks, with participants.tsv."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from fedgen.data.covariates import covariates_of
from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.nifti import DECODER
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import (
    FolderLayout,
    Problem,
    Request,
    Scan,
    cut_axis,
    files_of,
    label_of,
    one_site,
    taken,
)
from fedgen.data.layouts.participants import PARTICIPANTS, Participants, Person

#: Folders at the top of a data set whose images are made from, or are the source of, those of the subjects.
_NOT_INPUT = ("derivatives", "sourcedata", "code", "rawdata", "stimuli", "phenotype")
_LABEL_SUFFIXES = ("dseg", "mask", "probseg", "defacemask")
_ENDING = re.compile(
    "(" + "|".join(map(re.escape, sorted(DECODER.supported_file_endings, key=len, reverse=True))) + ")$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class BidsName:
    """The parts of a BIDS file name: entities in order, and the suffix."""

    entities: tuple[tuple[str, str], ...]
    suffix: str

    @classmethod
    def parse(cls, file_name: str) -> BidsName | None:
        """The parts of `sub-01_ses-1_ce-gad_T1w.nii.gz`, or None for another name."""
        *pairs, suffix = _ENDING.sub("", file_name).split("_")
        entities = tuple((key, value) for key, _, value in (pair.partition("-") for pair in pairs))
        if (
            not entities
            or entities[0][0] != "sub"
            or not all(value for _, value in entities)
            or "-" in suffix
        ):
            return None
        return cls(entities, suffix)

    def get(self, key: str) -> str:
        """An entity's value, or empty."""
        return dict(self.entities).get(key, "")

    @property
    def modality(self) -> str:
        """The suffix, after what makes it another kind of picture: `ce-gad_T1w` and `part-phase_T1w` are no `T1w`."""
        part = self.get("part")
        other = {"ce": self.get("ce"), "part": "" if part == "mag" else part}
        return "_".join([*(f"{key}-{value}" for key, value in other.items() if value), self.suffix])

    @property
    def series(self) -> str:
        """All of the name but subject and session."""
        rest = [f"{key}-{value}" for key, value in self.entities if key not in ("sub", "ses")]
        return "_".join([*rest, self.suffix])

    @property
    def session(self) -> tuple[str, str]:
        """(`sub-...`, `ses-...` or empty)."""
        session = self.get("ses")
        return f"sub-{self.get('sub')}", f"ses-{session}" if session else ""


class BidsLayout(FolderLayout):
    """One entry a volume; `person_id`, where participants.tsv has it, is the patient, else participant_id.

    Label images (`dseg`, `mask`, `probseg`) and derivatives are never input. Where the study names
    `data.columns.mask`, it is the part of a label image's name after subject and session, such as
    `dseg` or `label-lesion_mask`. Without participants.tsv a subject is a patient, and all are of one site.
    """

    name: ClassVar[str] = "bids"
    precedence: ClassVar[int] = 10
    unused: ClassVar[str] = "image that is no NIfTI file of a subject"

    def matches(self, request: Request) -> bool:
        """A NIfTI file of a subject, and participants.tsv or no table at all."""
        if request.table is not None and request.table.path.name != PARTICIPANTS:
            return False
        return any(_of_subject(path) is not None for path in request.files)

    def scan(self, request: Request) -> Scan:
        """Find the volumes of every session.

        Raises:
            DataError: a column is missing, or a subject is twice in participants.tsv.
        """
        result = Scan(self.name)
        people = Participants(request, one_site(request, result))
        label_images: dict[tuple[tuple[str, str], str], str] = {}
        volumes: list[tuple[str, BidsName]] = []
        for path in request.watched(request.files):
            if not path.lower().endswith(DECODER.supported_file_endings):
                continue
            name = _of_subject(path)
            if PurePosixPath(path).parts[0] in _NOT_INPUT:
                result.leave_out(path, f"{PurePosixPath(path).parts[0]}, which is never input")
            elif name is None:
                result.leave_out(path, "not a BIDS name, or outside a subject's folder", asked=False)
            elif name.suffix in _LABEL_SUFFIXES:
                label_images[name.session, name.series] = path
                result.leave_out(path, "label image")
            elif not request.wants(name.modality, name.series):
                people.used(name.session)
                result.leave_out(path, f"other modality ({name.modality})")
            else:
                volumes.append((path, name))
        for path, name in volumes:
            person = people.person(name.session)
            if person is None:
                result.leave_out(path, f"image of a subject that {PARTICIPANTS} does not list", asked=False)
                continue
            mask = label_images.get((name.session, request.data.columns.mask or ""))
            self._scan_volume(request, person, path, name, mask, result)
        result.findings += people.findings()
        return result

    def _scan_volume(
        self, request: Request, person: Person, path: str, name: BidsName, mask: str | None, result: Scan
    ) -> None:
        try:
            header = DECODER.header(request.folder / path, cut_axis(request.data))
            of_study = taken(header, request.data)
            covariates = covariates_of(person.cells, request.data)
        except UnreadableError as error:
            result.problems.append(Problem(path, str(error)))
            return
        result.entries.append(
            IndexEntry(
                files=files_of(path, header),
                patient=person.patient,
                site=person.site,
                label=label_of(person.cells, request.data),
                mask=mask,
                modality=name.modality,
                series=name.series,
                study=name.session[1],
                covariates=covariates,
                **of_study._asdict(),
            )
        )
        result.note(path, header.notes)


LAYOUT = BidsLayout()


def _of_subject(path: str) -> BidsName | None:
    known = path.startswith("sub-") and path.lower().endswith(DECODER.supported_file_endings)
    return BidsName.parse(PurePosixPath(path).name) if known else None


def label_images(files: Iterable[str]) -> dict[str, int]:
    """Number of label images of each kind, by the name after subject and session, as `data.columns.mask` has it."""
    names = (_of_subject(path) for path in files)
    return dict(
        Counter(name.series for name in names if name and name.suffix in _LABEL_SUFFIXES).most_common()
    )

"""Layout `bids`: NIfTI files named as the Brain Imaging Data Structure asks, with participants.tsv."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from fedgen.data.decoders.decoder import UnreadableError
from fedgen.data.decoders.nifti import DECODER
from fedgen.data.findings import listing
from fedgen.data.index import IndexEntry
from fedgen.data.layouts.layout import (
    FolderLayout,
    Problem,
    Request,
    Scan,
    cut_axis,
    files_of,
    label_of,
    taken,
)
from fedgen.data.layouts.table import required_cell
from fedgen.data.table import Table, TableRow
from fedgen.errors import DataError

PARTICIPANTS = "participants.tsv"
_LABEL_SUFFIXES = ("dseg", "mask", "probseg")


@dataclass(frozen=True)
class BidsName:
    """The parts of a BIDS file name: entities in order, and the suffix."""

    entities: tuple[tuple[str, str], ...]
    suffix: str

    @classmethod
    def parse(cls, file_name: str) -> BidsName | None:
        """The parts of `sub-01_ses-1_ce-gad_T1w.nii.gz`, or None for another name."""
        *pairs, suffix = file_name.partition(".nii")[0].split("_")
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
        """The suffix, with the contrast agent before it: `ce-gad_T1w` is not the contrast `T1w`."""
        agent = self.get("ce")
        return f"ce-{agent}_{self.suffix}" if agent else self.suffix

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
    `dseg` or `label-lesion_mask`.
    """

    name: ClassVar[str] = "bids"
    precedence: ClassVar[int] = 10

    def matches(self, request: Request) -> bool:
        """`participants.tsv` and a NIfTI file of a subject."""
        return (
            request.table is not None
            and request.table.path.name == PARTICIPANTS
            and any(
                path.startswith("sub-") and path.endswith(DECODER.supported_file_endings)
                for path in request.files
            )
        )

    def scan(self, request: Request) -> Scan:
        """Find the volumes of every session.

        Raises:
            DataError: a column is missing, or a subject is not in participants.tsv or twice.
        """
        assert request.table is not None
        sessions = _sessions(request)
        result = Scan(self.name)
        label_images: dict[tuple[tuple[str, str], str], str] = {}
        volumes: list[tuple[str, BidsName]] = []
        for path in request.files:
            if not path.endswith(DECODER.supported_file_endings):
                continue
            name = BidsName.parse(PurePosixPath(path).name)
            if name is None or not path.startswith("sub-"):
                result.excluded["not a BIDS name, or outside a subject's folder"] += 1
            elif name.suffix in _LABEL_SUFFIXES:
                label_images[name.session, name.series] = path
                result.excluded["label image"] += 1
            elif not request.wants(name.modality, name.series):
                result.excluded[f"other modality ({name.modality})"] += 1
            else:
                volumes.append((path, name))
        for path, name in volumes:
            row = sessions.get(name.session) or sessions.get((name.session[0], ""))
            if row is None:
                raise DataError(
                    f"{path} belongs to {' '.join(name.session).strip()}, which {PARTICIPANTS} "
                    "does not list: add a row or remove the folder."
                )
            mask = label_images.get((name.session, request.data.columns.mask or ""))
            self._scan_volume(request, request.table, row, path, name, mask, result)
        return result

    def _scan_volume(
        self,
        request: Request,
        table: Table,
        row: TableRow,
        path: str,
        name: BidsName,
        mask: str | None,
        result: Scan,
    ) -> None:
        try:
            header = DECODER.header(request.folder / path, cut_axis(request.data))
            of_study = taken(header, request.data)
        except UnreadableError as error:
            result.problems.append(Problem(path, str(error)))
            return
        person = "person_id" if "person_id" in table.columns else _patient_column(request, table)
        result.entries.append(
            IndexEntry(
                files=files_of(path, header),
                patient=required_cell(table, row, person),
                site=request.site or required_cell(table, row, request.data.columns.site),
                label=label_of(dict(row.cells), request.data, table),
                mask=mask,
                modality=name.modality,
                series=name.series,
                study=name.session[1],
                **of_study._asdict(),
            )
        )
        result.note(path, header.notes)


LAYOUT = BidsLayout()


def _patient_column(request: Request, table: Table) -> str:
    named = request.data.columns.patient
    return named if named in table.columns else "participant_id"


def _sessions(request: Request) -> dict[tuple[str, str], TableRow]:
    table = request.table
    assert table is not None
    table.require("participant_id", "BIDS, which prescribes it")
    if request.site is None:
        table.require(request.data.columns.site, "data.columns.site")
    column = next((name for name in ("session", "session_id") if name in table.columns), None)
    sessions: dict[tuple[str, str], TableRow] = {}
    for row in table.rows:
        key = (required_cell(table, row, "participant_id"), row.cells[column] if column else "")
        if key in sessions:
            who = listing(part for part in key if part)
            raise DataError(
                f"{table.path.name} lists {who} twice (rows {sessions[key].number} and {row.number}): "
                "remove one of them."
            )
        sessions[key] = row
    return sessions

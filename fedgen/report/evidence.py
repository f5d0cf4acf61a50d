"""Everything a report is made of, read from the run directory; what is missing is named, never invented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fedgen.errors import DataError
from fedgen.run.directory import Json, RunDirectory
from fedgen.run.evidence_files import AUDIT, EVALUATION, AuditFile, EvaluationFile
from fedgen.run.journal import Entry

#: Which command writes each piece.
_STAGES = {
    "run.json": "train",
    "study.yaml": "train",
    "privacy.json": "train",
    "events.jsonl": "train",
    "samples": "synthesize",
    AUDIT: "audit",
    EVALUATION: "evaluate",
}


@dataclass(frozen=True)
class Evidence:
    """What the stages of a run left.

    Attributes:
        name: of the run folder.
        run, privacy: the JSON files; empty where the stage has not run.
        audit, evaluation: None where the stage has not run.
        events: lines of `events.jsonl`.
        study: the resolved study, and `study_text` as it was written.
        missing: pieces that are not there.
    """

    name: str
    run: Json
    privacy: Json
    audit: AuditFile | None
    evaluation: EvaluationFile | None
    events: tuple[Entry, ...]
    study: Mapping[str, Any]
    study_text: str
    missing: frozenset[str]

    @property
    def missing_stages(self) -> list[str]:
        """Commands of the stages that have not run, in the order they would."""
        return list(dict.fromkeys(stage for piece, stage in _STAGES.items() if piece in self.missing))


def read_evidence(run: RunDirectory) -> Evidence:
    """Read a run directory.

    Raises:
        DataError: it is no run directory, or a file in it is damaged.
    """
    missing = frozenset(piece for piece in _STAGES if not (run.path / piece).exists())
    if {"run.json", "study.yaml"} <= missing:
        raise DataError(
            f"{run.path} is not a run directory (no run.json, no study.yaml): give the folder of a run."
        )

    def read(name: str) -> Json:
        return {} if name in missing else run.read_json(name)

    study_text = "" if "study.yaml" in missing else _text(run.study)
    return Evidence(
        name=run.path.resolve().name,
        run=read("run.json"),
        privacy=read("privacy.json"),
        audit=None if AUDIT in missing else AuditFile.read(run),
        evaluation=None if EVALUATION in missing else EvaluationFile.read(run),
        events=() if "events.jsonl" in missing else tuple(run.journal.whole()),
        study=_study(run.study, study_text),
        study_text=study_text,
        missing=missing,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {path} ({error}): mend it, or restore it from a backup.") from None


def _study(path: Path, text: str) -> Mapping[str, Any]:
    try:
        study = yaml.safe_load(text)
    except yaml.YAMLError:
        raise DataError(f"{path} is not valid YAML any more: restore it from a backup.") from None
    return study if isinstance(study, dict) else {}

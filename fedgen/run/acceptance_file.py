"""acceptance.json: who accepted a REVIEW of the gate, why, and of which evidence."""

from __future__ import annotations

from typing import ClassVar

from fedgen.run.run_file import RunFile


class AcceptanceFile(RunFile):
    """`acceptance.json`.

    Attributes:
        by: name of the person.
        why: their reason.
        time: when (ISO 8601, UTC).
        evidence_sha256: of audit.json, evaluation.json and privacy.json as they were then; of others it says nothing.
        reasons: what the gate said then.
    """

    name: ClassVar[str] = "acceptance.json"

    by: str
    why: str
    time: str
    evidence_sha256: str
    reasons: tuple[str, ...]

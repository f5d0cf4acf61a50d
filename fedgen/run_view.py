"""What a run is, read from its directory: for everyone who shows, follows or signs it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fedgen.errors import DataError
from fedgen.protocol.receipt import ReceiptFile
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Event, RoundDone
from fedgen.run.evidence_files import AUDIT, EVALUATION, AuditFile, EvaluationFile, SiteAnswer
from fedgen.run.model_card import ModelCard
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import Row
from fedgen.run.summary import RunSummary
from fedgen.study.load import load_study
from fedgen.study.study import Study

#: What a run's stages leave, and which stage it is.
PIECES = {
    RunSummary.name: "train",
    "study.yaml": "train",
    PrivacyFile.name: "train",
    "events.jsonl": "train",
    "samples": "synthesize",
    AUDIT: "assess",
    EVALUATION: "assess",
    ModelCard.name: "release",
}
#: Of them, those that a study that translates has not, and those that it alone has.
OF_IMAGES, OF_MODELS = ("samples",), (ModelCard.name,)


@dataclass(frozen=True)
class RunView:
    """One run as it stands; each file is read once, when it is first asked for, and what is not there is None or empty.

    A file that is damaged or of another version of fedgen is a `DataError`, whatever is asked for.

    Attributes:
        run: its directory.
    """

    run: RunDirectory

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.run.path.resolve().name

    @cached_property
    def study_text(self) -> str:
        """The resolved study as it was written."""
        path = self.run.study
        try:
            return path.read_text(encoding="utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"Cannot read {path} ({error}): mend it, or restore it from a backup.") from None

    @cached_property
    def study(self) -> Study | None:
        """The resolved study.

        Raises:
            StudyError: it does not fit this version.
        """
        return load_study(str(self.run.study)) if self.run.study.exists() else None

    @cached_property
    def summary(self) -> RunSummary:
        """run.json."""
        return RunSummary.find(self.run) or RunSummary()

    @cached_property
    def privacy(self) -> PrivacyFile | None:
        """privacy.json."""
        return PrivacyFile.find(self.run)

    @cached_property
    def audit(self) -> AuditFile | None:
        """audit.json."""
        return AuditFile.find(self.run)

    @cached_property
    def evaluation(self) -> EvaluationFile | None:
        """evaluation.json."""
        return EvaluationFile.find(self.run)

    @cached_property
    def answers(self) -> dict[str, SiteAnswer]:
        """What each site sent, by its name."""
        found = (SiteAnswer.read(self.run, name) for name in self._files("assessments"))
        return {answer.site: answer for answer in found}

    @cached_property
    def receipts(self) -> dict[str, ReceiptFile]:
        """What each site signed, by its name; not every site does."""
        found = (ReceiptFile.read(self.run, name) for name in self._files("receipts"))
        return {receipt.site: receipt for receipt in found}

    def _files(self, folder: str) -> list[str]:
        return sorted(f"{folder}/{path.name}" for path in (self.run.path / folder).glob("*.json"))

    @property
    def rows(self) -> tuple[Row, ...]:
        """Audits and metrics over the sites, as each site sent its own."""
        return tuple(row for file in (self.audit, self.evaluation) if file for row in file.rows)

    @property
    def pooled(self) -> tuple[Row, ...]:
        """The same over all patients in one place, which a simulation alone has."""
        return tuple(row for file in (self.audit, self.evaluation) if file for row in file.pooled)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """Every event, for who computes from them."""
        return tuple(self.run.whole_events())

    @cached_property
    def events_so_far(self) -> tuple[Event, ...]:
        """Every event, for who only shows them: one that cannot be read is `Damaged`."""
        return tuple(self.run.events_so_far())

    @property
    def rounds(self) -> tuple[RoundDone, ...]:
        """Finished rounds, as far as they can be read."""
        return tuple(event for event in self.events_so_far if isinstance(event, RoundDone))

    @cached_property
    def missing(self) -> frozenset[str]:
        """Pieces that are not there."""
        never = OF_IMAGES if self.translates else OF_MODELS
        return frozenset(
            piece for piece in PIECES if piece not in never and not (self.run.path / piece).exists()
        )

    @cached_property
    def translates(self) -> bool:
        """Whether its study makes images from others, so that its model is the release."""
        return self.study is not None and self.study.made.translates

    @property
    def missing_stages(self) -> list[str]:
        """Stages that have not run, in the order they would."""
        return list(dict.fromkeys(stage for piece, stage in PIECES.items() if piece in self.missing))

    @property
    def federated(self) -> bool:
        """Whether its patients are at the sites of a real federation."""
        return self.summary.data is not None and self.summary.data.source == "federation"

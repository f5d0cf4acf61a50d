"""The signed release of a run: judged by the gate, put together, listed in a manifest and signed."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedgen import __version__
from fedgen.errors import DataError, StudyError
from fedgen.pipeline.question import question_of
from fedgen.pipeline.released import patients_in
from fedgen.pipeline.workspace import Workspace
from fedgen.priors.file import parse_prior
from fedgen.protocol.messages import Question
from fedgen.release.archive import FolderFiles, write_zip
from fedgen.release.code_hash import source_sha256
from fedgen.release.croissant import croissant
from fedgen.release.datasheet import datasheet
from fedgen.release.lineage import lineage, trained_sites
from fedgen.release.release_gate import Decision, gate, require_open
from fedgen.release.release_manifest import (
    CROISSANT,
    DATASHEET,
    EVIDENCE,
    IMAGES,
    MANIFEST,
    MODEL,
    RECEIPTS,
    REPORT,
    SIGNATURE,
    STUDY,
    AcceptedBy,
    CodeEntry,
    FileEntry,
    GateEntry,
    PriorEntry,
    PrivacyClaim,
    ReleasedStudy,
    ReleaseManifest,
    Signer,
    is_one_line,
    json_of,
    signed,
)
from fedgen.report.handed_on import page_for_others
from fedgen.report.worth import worth
from fedgen.run.acceptance_file import AcceptanceFile
from fedgen.run.atomic import unreadable, unwritable, write_atomic
from fedgen.run.directory import RELEASE, RunDirectory
from fedgen.run.events import Assessed, RoundDone
from fedgen.run.evidence_files import AuditFile, EvaluationFile
from fedgen.run.model_card import ModelCard
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import Verdict
from fedgen.run_view import RunView
from fedgen.synthesis.samples import INDEX, TENSORS
from fedgen_privacy.secagg import Identity

#: In the run directory.
FOLDER = RELEASE


@dataclass(frozen=True)
class Acceptance:
    """What a person says who accepts a REVIEW: their name and their reason, each one line."""

    by: str
    why: str


@dataclass(frozen=True)
class SignedRelease:
    """What was written.

    Attributes:
        folder, archive: the release as a folder and as one zip archive.
        manifest: of both.
    """

    folder: Path
    archive: Path
    manifest: ReleaseManifest


def judged(work: Workspace) -> Decision:
    """What the gate says of a run that was assessed.

    Raises:
        DataError: it was not.
    """
    run, view = work.run, RunView(work.run)
    audit, evaluation, privacy = AuditFile.read(run), EvaluationFile.read(run), PrivacyFile.read(run)
    unsigned = [site for site in trained_sites(view) if site not in view.receipts]
    return gate(work.study.release, audit, evaluation, privacy, unsigned)


def sign_release(
    work: Workspace,
    identity: Identity,
    name: str,
    keys: Mapping[str, bytes],
    acceptance: Acceptance | None = None,
) -> SignedRelease:
    """Write `release/` of a run: a folder and one zip archive, signed.

    The same run, key, code and acceptance give the same bytes.

    Args:
        work: the run, done.
        identity: whose key signs.
        name: of who signs, for people.
        keys: Ed25519 public keys of the run's sites, as far as they are known.
        acceptance: of a REVIEW; None where nobody accepts one, or somebody has before.

    Raises:
        GateError: the gate says FAIL or INSUFFICIENT, or a REVIEW that nobody has accepted.
        StudyError: there is nothing to accept, or name and reason are not one line each.
        DataError: the run is not done, its evidence is of something else than it holds, or the disk is full.
        PrivacyRefusedError: a receipt of it is not signed by its site.
    """
    decision = judged(work)
    accepted = _accepted(work.run, decision, acceptance)
    require_open(decision, accepted is not None)
    view, question = RunView(work.run), question_of(work)
    _require_this_evidence(view, question)
    manifest = _manifest(work, view, question, Signer(name=name, key=identity.public_key.hex()), keys)
    manifest = manifest.model_copy(
        update={"gate": GateEntry(verdict=decision.verdict, reasons=decision.reasons, accepted=accepted)}
    )
    place = work.run.path / FOLDER
    folder, archive = place / manifest.title, place / f"{manifest.title}.zip"
    try:
        # First, so that nothing of an earlier release is taken for this one.
        archive.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise unwritable(archive, error) from error
    entries = {}
    for file, content in _contents(work, view, manifest).items():
        entries[file] = _put(folder / file, content)
    described = json_of(croissant(manifest, entries))
    entries[CROISSANT] = _put(folder / CROISSANT, described)
    manifest = manifest.model_copy(update={"files": dict(sorted(entries.items()))})
    write_atomic(folder / MANIFEST, manifest.text)
    # Last: a folder without it is no release.
    write_atomic(folder / SIGNATURE, signed(manifest, identity).text)
    write_zip(archive, manifest.title, FolderFiles(folder))
    return SignedRelease(folder, archive, manifest)


def _accepted(run: RunDirectory, decision: Decision, acceptance: Acceptance | None) -> AcceptedBy | None:
    """Who accepted this very REVIEW, now or before; noted in the run."""
    if acceptance is not None and decision.verdict is Verdict.PASS:
        raise StudyError(
            "The gate says PASS, so there is nothing to accept: leave --accept-review and --by away."
        )
    if decision.verdict is not Verdict.REVIEW:
        return None
    evidence, known = _evidence_sha256(run), AcceptanceFile.find(run)
    if known is not None and known.evidence_sha256 != evidence:
        known = None
    if acceptance is not None:
        if not is_one_line(acceptance.by) or not is_one_line(acceptance.why):
            raise StudyError("--by and --accept-review must each be one line: who accepts it, and why.")
        if known is None or (known.by, known.why) != (acceptance.by, acceptance.why):
            known = AcceptanceFile(
                by=acceptance.by,
                why=acceptance.why,
                time=datetime.now(UTC).isoformat(timespec="seconds"),
                evidence_sha256=evidence,
                reasons=decision.reasons,
            )
            known.write(run)
    return None if known is None else AcceptedBy(name=known.by, why=known.why, time=known.time)


def _evidence_sha256(run: RunDirectory) -> str:
    digest = hashlib.sha256()
    for form in (AuditFile, EvaluationFile, PrivacyFile):
        digest.update(hashlib.sha256(_bytes(run.path / form.name)).digest())
    return digest.hexdigest()


def _require_this_evidence(view: RunView, question: Question) -> None:
    asked = question.sha256
    if not view.answers or any(answer.question != asked for answer in view.answers.values()):
        raise DataError(
            f"{view.run.path} holds evidence of another model or other images than it holds now: assess it again "
            "before it is released."
        )


def _manifest(
    work: Workspace, view: RunView, question: Question, signer: Signer, keys: Mapping[str, bytes]
) -> ReleaseManifest:
    study, summary = work.study, view.summary
    privacy = PrivacyFile.read(work.run)
    if summary.model is None:
        raise DataError(f"{work.run.path} has not been trained to its end: train it first.")
    return ReleaseManifest(
        kind="model" if work.recipe.task.translates else "images",
        title=study.study.name,
        licence=study.release.licence,
        signer=signer,
        study=ReleasedStudy(
            name=study.study.name, sha256=work.recipe.sha256, description=study.study.description
        ),
        code=CodeEntry(
            fedgen=__version__,
            source_sha256=source_sha256(),
            trained_with=dict(sorted(summary.versions.items())),
        ),
        model=summary.model,
        priors=_priors(work),
        privacy=PrivacyClaim.of(privacy),
        gate=GateEntry(verdict=Verdict.INSUFFICIENT, reasons=(), accepted=None),
        lineage=lineage(view, keys, *patients_in(work, privacy)),
        image=summary.image,
        question_sha256=question.sha256,
        release_sha256=question.release_sha256,
        files={},
    )


def _priors(work: Workspace) -> tuple[PriorEntry, ...]:
    start, file = work.study.model.start, work.recipe.read_start(work.run.pretrained)
    if start is None:
        return ()
    return (
        PriorEntry(
            sha256=hashlib.sha256(file.content).hexdigest() if file is not None else start.sha256 or "",
            source=start.words,
            licence=None
            if file is None or file.prior is None
            else parse_prior(file.content, work.run.pretrained).card.licence,
            statement=None if file is None or file.origin is None else file.origin.statement,
        ),
    )


def _contents(work: Workspace, view: RunView, manifest: ReleaseManifest) -> dict[str, bytes | Path]:
    """Files by their path in the release: bytes, or the file of the run that is copied."""
    run = work.run.path
    evaluation = EvaluationFile.read(work.run)
    said = worth(evaluation.pooled or evaluation.rows)
    page = page_for_others(view, now=_last(view))
    found: dict[str, bytes | Path] = {
        STUDY: run / "study.yaml",
        DATASHEET: datasheet(manifest, view, said).encode(),
        REPORT: page.encode(),
        **{f"{EVIDENCE}/{form.name}": run / form.name for form in (AuditFile, EvaluationFile, PrivacyFile)},
    }
    for site in view.answers:
        name = f"assessments/{work.run.site(site).name}.json"
        found[f"{EVIDENCE}/{name}"] = run / name
    for site in view.receipts:
        name = f"{work.run.site(site).name}.json"
        found[f"{RECEIPTS}/{name}"] = run / "receipts" / name
    if manifest.kind == "model":
        card = ModelCard.read(work.run)
        found |= {f"{MODEL}/{name}": run / MODEL / name for name in ("card.json", *card.files)}
    else:
        found |= {f"{IMAGES}/{name}": work.run.samples / name for name in _image_files(work.run.samples)}
    return found


def _image_files(samples: Path) -> list[str]:
    table = csv.DictReader(io.StringIO(_bytes(samples / INDEX).decode()))
    listed = [row[column] for row in table for column in ("image", "mask") if row.get(column)]
    return [INDEX, "card.json", TENSORS, *dict.fromkeys(listed)]


def _last(view: RunView) -> datetime:
    """When the run's last round or assessment was done: the page of a release has no other time."""
    times = [event.time for event in view.events if isinstance(event, RoundDone | Assessed)]
    return datetime.fromisoformat(max(times))


def _put(path: Path, content: bytes | Path) -> FileEntry:
    data = content if isinstance(content, bytes) else _bytes(content)
    write_atomic(path, data)
    return FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: run the stage that writes it first.") from None
    except OSError as error:
        raise unreadable(path, error) from error

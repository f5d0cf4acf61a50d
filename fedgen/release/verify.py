"""Checks of a signed release, without a network and without its run: each says what it found, or what it could not.

What is checked first is trusted by what comes later: the bytes, then the signature over them, then what they say.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load

from fedgen.errors import DataError, FedgenError, PrivacyRefusedError
from fedgen.evidence.files import joined_audit
from fedgen.protocol.receipt import ReceiptFile, SiteReceipt, numbers_sha256, open_receipt, within
from fedgen.protocol.release import released_sha256
from fedgen.recipe import Recipe
from fedgen.release.archive import ReleaseFiles
from fedgen.release.release_gate import gate
from fedgen.release.release_manifest import (
    EVIDENCE,
    IMAGES,
    MANIFEST,
    MODEL,
    RECEIPTS,
    SIGNATURE,
    STUDY,
    PrivacyClaim,
    ReleaseManifest,
    SiteLineage,
    is_signed,
    read_manifest,
    read_signature,
)
from fedgen.release.shown import unlike
from fedgen.run.evidence_files import AUDIT, EVALUATION, AuditFile, EvaluationFile, SiteAnswer
from fedgen.run.model_card import WEIGHTS
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import Verdict
from fedgen.run.run_file import RunFile
from fedgen.study.load import parse_study
from fedgen.study.show import study_hash
from fedgen.study.study import Study
from fedgen.synthesis.samples import INDEX, TENSORS
from fedgen.training.vector import vector_sha256

F = TypeVar("F", bound=RunFile)


class Outcome(StrEnum):
    """Of one check."""

    OK = "ok"
    WRONG = "WRONG"
    OPEN = "not checked"


@dataclass(frozen=True)
class Checked:
    """One line of what was checked.

    Attributes:
        outcome: whether it holds.
        about: what was looked at.
        sentence: what was found.
    """

    outcome: Outcome
    about: str
    sentence: str


@dataclass(frozen=True)
class Verified:
    """Everything that was checked, and the manifest where it could be read."""

    lines: tuple[Checked, ...]
    manifest: ReleaseManifest | None

    @property
    def wrong(self) -> tuple[Checked, ...]:
        """What does not hold."""
        return tuple(line for line in self.lines if line.outcome is Outcome.WRONG)

    def require_right(self) -> ReleaseManifest:
        """The manifest.

        Raises:
            DataError: something does not hold; nothing of the release is to be used.
        """
        if self.wrong or self.manifest is None:
            why = " ".join(f"{line.about}: {line.sentence}" for line in self.wrong[:5])
            raise DataError(
                f"The release is not what was signed. {why} Get it again from whoever released it."
            )
        return self.manifest


def verify(
    files: ReleaseFiles, key: bytes | None = None, sites: Mapping[str, bytes] | None = None
) -> Verified:
    """Check a release.

    Args:
        files: of it, as `open_files` gives them.
        key: Ed25519 public key of whoever should have signed it, got in another way than with the release.
        sites: likewise keys of sites, by name.
    """
    if MANIFEST not in files.names:
        return Verified((Checked(Outcome.WRONG, "manifest", "There is none."),), None)
    try:
        content = files.read(MANIFEST)
        manifest = read_manifest(content)
    except DataError as error:
        return Verified((Checked(Outcome.WRONG, "manifest", str(error)),), None)
    lines = [*_signature(files, content, manifest, key), *_files(files, manifest)]
    if all(line.outcome is not Outcome.WRONG for line in lines):
        # Whatever was changed says nothing any more; one finding is enough.
        lines += _contents(files, manifest, sites or {})
    return Verified(tuple(lines), manifest)


def _of(error: Exception, absent: str) -> str:
    return str(error) if isinstance(error, FedgenError) else absent


def _signature(
    files: ReleaseFiles, content: bytes, manifest: ReleaseManifest, key: bytes | None
) -> Iterator[Checked]:
    try:
        signature = read_signature(files.read(SIGNATURE))
    except (DataError, OSError, KeyError) as error:
        yield Checked(Outcome.WRONG, "signature", _of(error, "There is none."))
        return
    if signature.key != manifest.signer.key or not is_signed(
        content, signature, bytes.fromhex(signature.key)
    ):
        yield Checked(
            Outcome.WRONG,
            "signature",
            "The manifest is not signed with the key that it names: it was changed.",
        )
        return
    yield Checked(Outcome.OK, "signature", f"The manifest is signed with the key {signature.key}.")
    if key is None:
        yield Checked(
            Outcome.OPEN,
            "whose key",
            f"Nobody said which key it must be: compare it with {manifest.signer.name} on another way, or give it with "
            "--key.",
        )
    elif key.hex() != signature.key:
        yield Checked(
            Outcome.WRONG,
            "whose key",
            "It is signed with another key than the one that was given: somebody else made it.",
        )
    else:
        yield Checked(Outcome.OK, "whose key", f"It is the key that was given, of {manifest.signer.name}.")


def _files(files: ReleaseFiles, manifest: ReleaseManifest) -> Iterator[Checked]:
    listed, there = set(manifest.files), set(files.names) - {MANIFEST, SIGNATURE}
    for name in sorted(there - listed):
        yield Checked(Outcome.WRONG, "files", f"{name} is not in the manifest: it was added or renamed.")
    for name in sorted(listed - there):
        yield Checked(Outcome.WRONG, "files", f"{name} is missing: it was removed or renamed.")
    right = 0
    for name in sorted(listed & there):
        entry = manifest.files[name]
        try:
            found = files.hashed(name)
        except DataError as error:
            yield Checked(Outcome.WRONG, "files", str(error))
            continue
        if found != (entry.sha256, entry.bytes):
            yield Checked(Outcome.WRONG, "files", f"{name} was changed.")
        else:
            right += 1
    if right == len(listed) == len(there):
        size = sum(entry.bytes for entry in manifest.files.values())
        yield Checked(Outcome.OK, "files", f"{right} files, {size} bytes: all there, none changed, no other.")


def _contents(
    files: ReleaseFiles, manifest: ReleaseManifest, sites: Mapping[str, bytes]
) -> Iterator[Checked]:
    try:
        study = parse_study(files.read(STUDY).decode(), STUDY)
        audit = _file(AuditFile, files, f"{EVIDENCE}/{AUDIT}")
        evaluation = _file(EvaluationFile, files, f"{EVIDENCE}/{EVALUATION}")
        privacy = _file(PrivacyFile, files, f"{EVIDENCE}/{PrivacyFile.name}")
    except (FedgenError, UnicodeDecodeError, KeyError, OSError) as error:
        yield Checked(Outcome.WRONG, "contents", _of(error, "A part that every release has is not there."))
        return
    same = study_hash(study) == manifest.study.sha256
    yield _judged(
        same,
        "study",
        f"study.yaml is the study {manifest.study.sha256[:12]}.",
        "study.yaml is another study.",
    )
    same = PrivacyClaim.of(privacy) == manifest.privacy
    yield _judged(same, "privacy", manifest.privacy.statement, "The manifest states another privacy.")
    yield _gate(study, manifest, audit, evaluation, privacy)
    if manifest.kind == "images":
        yield from _images(files, manifest, study)
    else:
        yield _model(files, manifest, study)
    yield from _sites(files, manifest, audit, study, sites)


def _gate(
    study: Study,
    manifest: ReleaseManifest,
    audit: AuditFile,
    evaluation: EvaluationFile,
    privacy: PrivacyFile,
) -> Checked:
    unsigned = [site.site for site in manifest.lineage.sites if not site.receipt]
    again, said = gate(study.release, audit, evaluation, privacy, unsigned), manifest.gate
    if (again.verdict, again.reasons) != (said.verdict, said.reasons):
        return Checked(
            Outcome.WRONG, "gate", f"The evidence in it gives {again.verdict}, not {said.verdict}."
        )
    if again.verdict is Verdict.PASS:
        return Checked(Outcome.OK, "gate", "The evidence in it passes the study's gate.")
    if again.verdict is Verdict.REVIEW and said.accepted is not None:
        by = said.accepted
        return Checked(Outcome.OK, "gate", f"REVIEW, accepted by {by.name} on {by.time[:10]}: {by.why}")
    return Checked(Outcome.WRONG, "gate", f"The evidence in it gives {again.verdict}, which nobody accepted.")


def _model(files: ReleaseFiles, manifest: ReleaseManifest, study: Study) -> Checked:
    about = "model as trained"
    if manifest.model.adapters is not None:
        what = "Its adapters are part of its layers now, which no site was shown in this form."
        return Checked(Outcome.OPEN, about, what)
    try:
        tensors = load(files.read(f"{MODEL}/{WEIGHTS}"))
        vector = torch.cat([tensors[name].flatten() for name, _ in Recipe.of(study).layout.entries])
    except (FedgenError, KeyError, OSError, ValueError, SafetensorError) as error:
        return Checked(Outcome.WRONG, about, _of(error, "The weights are not of the study's networks."))
    return _judged(
        vector_sha256(vector) == manifest.model.sha256,
        about,
        f"{WEIGHTS} holds the model that the sites were shown.",
        f"{WEIGHTS} is another model than the one that was trained.",
    )


def _images(files: ReleaseFiles, manifest: ReleaseManifest, study: Study) -> Iterator[Checked]:
    try:
        table = csv.DictReader(io.StringIO(files.read(f"{IMAGES}/{INDEX}").decode()))
        listed = {row[column] for row in table for column in ("image", "mask") if row.get(column)}
        tensors = load(files.read(f"{IMAGES}/{TENSORS}"))
        found = released_sha256(tensors["images"].float(), tensors["labels"], tensors.get("masks"))
    except (FedgenError, KeyError, OSError, ValueError, SafetensorError) as error:
        yield Checked(Outcome.WRONG, "images", _of(error, "The images cannot be read."))
        return
    there = {name.removeprefix(f"{IMAGES}/") for name in files.names if name.startswith(f"{IMAGES}/")}
    same = there - {INDEX, TENSORS, "card.json"} == listed
    yield _judged(
        same, "images", f"{INDEX} lists all {len(listed)} image files.", f"{INDEX} lists other image files."
    )
    same = found == manifest.release_sha256
    yield _judged(
        same,
        "images as drawn",
        f"{TENSORS} holds what the sites were shown.",
        f"{TENSORS} is not what was released.",
    )
    oriented = manifest.image is not None and bool(manifest.image.orientation)
    other = unlike(files, study, tensors, oriented=oriented)
    yield _judged(
        other is None,
        "image files",
        f"Each of the {len(listed)} files shows what was drawn, as exactly as its format can.",
        f"{other} does not show what was drawn.",
    )


def _sites(
    files: ReleaseFiles,
    manifest: ReleaseManifest,
    audit: AuditFile,
    study: Study,
    known: Mapping[str, bytes],
) -> Iterator[Checked]:
    answers: dict[str, SiteAnswer] = {}
    receipts: dict[str, ReceiptFile] = {}
    try:
        for name in files.names:
            if name.startswith(f"{EVIDENCE}/assessments/"):
                answer = _file(SiteAnswer, files, name)
                answers[answer.site] = answer
            elif name.startswith(f"{RECEIPTS}/"):
                receipt = _file(ReceiptFile, files, name)
                receipts[receipt.site] = receipt
    except FedgenError as error:
        yield Checked(Outcome.WRONG, "sites", str(error))
        return
    for site in manifest.lineage.sites:
        about = f"receipt of {site.site}"
        kept = receipts.pop(site.site, None)
        if kept is None:
            what = "It signed none, so its part is the coordinator's word alone."
            yield Checked(Outcome.WRONG if site.receipt else Outcome.OPEN, about, what)
            continue
        yield from _receipt(about, manifest, site, kept, answers.get(site.site), known.get(site.site))
    for left in receipts:
        yield Checked(Outcome.WRONG, f"receipt of {left}", "It is of a site that is not in the lineage.")
    yield _joined(audit, study, answers)


def _receipt(
    about: str,
    manifest: ReleaseManifest,
    site: SiteLineage,
    kept: ReceiptFile,
    answer: SiteAnswer | None,
    known: bytes | None,
) -> Iterator[Checked]:
    if site.key is None:
        yield Checked(Outcome.WRONG, about, "The lineage names no key for it.")
        return
    if known is not None and known.hex() != site.key:
        yield Checked(Outcome.WRONG, about, "The lineage names another key than the one that was given.")
        return
    try:
        receipt = open_receipt(kept.signed, bytes.fromhex(site.key))
    except PrivacyRefusedError as error:
        yield Checked(Outcome.WRONG, about, str(error))
        return
    wrong = _not_of_this(receipt, manifest, site, answer)
    if wrong is not None:
        yield Checked(Outcome.WRONG, about, wrong)
        return
    rounds = sum(last - first + 1 for first, last in receipt.rounds)
    spent = "without privacy" if receipt.epsilon is None else f"at epsilon {receipt.epsilon:.4g}"
    yield Checked(
        Outcome.OK, about, f"It signed {rounds} rounds {spent}, and what it answered about this release."
    )
    if known is None:
        whose = manifest.lineage.keys
        yield Checked(Outcome.OPEN, f"key of {site.site}", f"Nobody said which it must be: it is {whose}.")


def _not_of_this(
    receipt: SiteReceipt, manifest: ReleaseManifest, site: SiteLineage, answer: SiteAnswer | None
) -> str | None:
    said = (
        receipt.site,
        receipt.study_sha256,
        receipt.model_sha256,
        receipt.release_sha256,
        receipt.question_sha256,
    )
    meant = (
        site.site,
        manifest.study.sha256,
        manifest.model.sha256,
        manifest.release_sha256,
        manifest.question_sha256,
    )
    if said != meant:
        return "It is of another study, model or release."
    if not within(site.rounds, receipt.rounds):
        return "The lineage has the site in a round that it did not sign."
    if receipt.withdrawn != site.withdrawn:
        return "The lineage tells other withdrawals than it signed."
    if (
        receipt.epsilon is not None
        and site.epsilon is not None
        and receipt.epsilon > site.epsilon * (1 + 1e-6)
    ):
        return "The site spent more than the manifest states."
    sent = (None, None) if answer is None else (answer.audit, answer.evaluation)
    if (receipt.audit_sha256, receipt.evaluation_sha256) != tuple(numbers_sha256(part) for part in sent):
        return "The numbers in it are not those that the site sent."
    return None


def _joined(audit: AuditFile, study: Study, answers: Mapping[str, SiteAnswer]) -> Checked:
    """Whether the audit's rows and verdict follow from what the sites sent."""
    about = "audit from the sites"
    sent = {site: answer.audit for site, answer in answers.items() if answer.audit is not None}
    absent = {each.site: each.reason for each in audit.absent}
    again = joined_audit(study, sent, absent)
    if again.rows != audit.rows or again.sites != audit.sites:
        return Checked(Outcome.WRONG, about, "audit.json is not what the sites' numbers give.")
    if audit.pooled:
        return Checked(
            Outcome.OPEN,
            about,
            "Its rows are those of the sites; what a simulation measured over all patients together rests on the word "
            "of who ran it.",
        )
    if (again.verdict, again.reasons) != (audit.verdict, audit.reasons):
        return Checked(Outcome.WRONG, about, "Its verdict is not what the sites' numbers give.")
    return Checked(Outcome.OK, about, "Rows, verdict and reasons are what the sites' numbers give.")


def _judged(right: bool, about: str, fine: str, wrong: str) -> Checked:
    return Checked(Outcome.OK, about, fine) if right else Checked(Outcome.WRONG, about, wrong)


def _file(form: type[F], files: ReleaseFiles, name: str) -> F:
    try:
        return form.model_validate_json(files.read(name))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise DataError(
            f"{name} is of no form that this version of fedgen knows ({problem['msg']}): use the version that wrote it."
        ) from None

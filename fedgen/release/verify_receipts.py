"""What the sites of a release said: their receipts, and the audit that their numbers give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fedgen.errors import FedgenError, PrivacyRefusedError
from fedgen.evidence.files import joined_audit
from fedgen.protocol.receipt import ReceiptFile, SiteReceipt, numbers_sha256, open_receipt, within
from fedgen.release.archive import ReleaseFiles
from fedgen.release.checked import Checked, Outcome, read_form
from fedgen.release.release_manifest import (
    EVIDENCE,
    RECEIPTS,
    ReleaseManifest,
    SiteLineage,
)
from fedgen.run.evidence_files import AuditFile, SiteAnswer
from fedgen.study.study import Study


def said_by_sites(
    files: ReleaseFiles,
    manifest: ReleaseManifest,
    audit: AuditFile,
    study: Study,
    known: Mapping[str, bytes],
) -> Iterator[Checked]:
    """What each site signed, and whether the audit is what they sent.

    Args:
        files: whose bytes are right.
        manifest: whose signature is right.
        audit: of the release.
        study: of the release.
        known: keys of sites got in another way, by name.
    """
    answers: dict[str, SiteAnswer] = {}
    receipts: dict[str, ReceiptFile] = {}
    try:
        for name in files.names:
            if name.startswith(f"{EVIDENCE}/assessments/"):
                answer = read_form(SiteAnswer, files, name)
                answers[answer.site] = answer
            elif name.startswith(f"{RECEIPTS}/"):
                receipt = read_form(ReceiptFile, files, name)
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

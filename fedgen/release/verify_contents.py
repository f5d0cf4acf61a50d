"""Whether what is in a release agrees: study, privacy, gate, and images or model with what the sites were shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from fedgen.errors import FedgenError
from fedgen.protocol.release import released_sha256
from fedgen.recipe import Recipe
from fedgen.release.archive import ReleaseFiles
from fedgen.release.checked import Checked, Outcome, judged, of_error, read_form
from fedgen.release.release_gate import gate
from fedgen.release.release_manifest import (
    EVIDENCE,
    IMAGES,
    MODEL,
    STUDY,
    PrivacyClaim,
    ReleaseManifest,
)
from fedgen.release.shown import unlike
from fedgen.release.verify_receipts import said_by_sites
from fedgen.run.evidence_files import AUDIT, EVALUATION, AuditFile, EvaluationFile
from fedgen.run.model_card import WEIGHTS
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import Verdict
from fedgen.study.load import parse_study
from fedgen.study.show import study_hash
from fedgen.study.study import Study
from fedgen.synthesis.samples import INDEX, TENSORS
from fedgen.training.vector import vector_sha256


def contents(files: ReleaseFiles, manifest: ReleaseManifest, sites: Mapping[str, bytes]) -> Iterator[Checked]:
    """Whether the parts of a release agree with its manifest, with each other and with what the sites signed.

    Args:
        files: whose bytes are right.
        manifest: whose signature is right.
        sites: keys of sites got in another way, by name.
    """
    try:
        study = parse_study(files.read(STUDY).decode(), STUDY)
        audit = read_form(AuditFile, files, f"{EVIDENCE}/{AUDIT}")
        evaluation = read_form(EvaluationFile, files, f"{EVIDENCE}/{EVALUATION}")
        privacy = read_form(PrivacyFile, files, f"{EVIDENCE}/{PrivacyFile.name}")
    except (FedgenError, UnicodeDecodeError, KeyError, OSError) as error:
        yield Checked(
            Outcome.WRONG, "contents", of_error(error, "A part that every release has is not there.")
        )
        return
    same = study_hash(study) == manifest.study.sha256
    yield judged(
        same,
        "study",
        f"study.yaml is the study {manifest.study.sha256[:12]}.",
        "study.yaml is another study.",
    )
    same = PrivacyClaim.of(privacy) == manifest.privacy
    yield judged(same, "privacy", manifest.privacy.statement, "The manifest states another privacy.")
    yield _gate(study, manifest, audit, evaluation, privacy)
    if manifest.kind == "images":
        yield from _images(files, manifest, study)
    else:
        yield _model(files, manifest, study)
    yield from said_by_sites(files, manifest, audit, study, sites)


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
        return Checked(Outcome.WRONG, about, of_error(error, "The weights are not of the study's networks."))
    return judged(
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
        yield Checked(Outcome.WRONG, "images", of_error(error, "The images cannot be read."))
        return
    there = {name.removeprefix(f"{IMAGES}/") for name in files.names if name.startswith(f"{IMAGES}/")}
    same = there - {INDEX, TENSORS, "card.json"} == listed
    yield judged(
        same, "images", f"{INDEX} lists all {len(listed)} image files.", f"{INDEX} lists other image files."
    )
    same = found == manifest.release_sha256
    yield judged(
        same,
        "images as drawn",
        f"{TENSORS} holds what the sites were shown.",
        f"{TENSORS} is not what was released.",
    )
    oriented = manifest.image is not None and bool(manifest.image.orientation)
    other = unlike(files, study, tensors, oriented=oriented)
    yield judged(
        other is None,
        "image files",
        f"Each of the {len(listed)} files shows what was drawn, as exactly as its format can.",
        f"{other} does not show what was drawn.",
    )

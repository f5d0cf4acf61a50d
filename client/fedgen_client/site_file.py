"""The site file: where a hospital's images lie, what they may spend, and the hospital's own policy.

Read as strictly as a study file, by the same code and with the same sentences. It never leaves the site, and
nothing that the coordinator sends can change it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from fedgen.families.registry import FamilyName
from fedgen.protocol.fields import SiteName
from fedgen.protocol.spoken_key import SpokenKey
from fedgen.schema.document import read_document
from fedgen.schema.form import Form
from fedgen.schema.read import read_text, validated
from fedgen.schema.section import Section
from fedgen.study.modes import ALLOWED, Mode

Metric = Literal["loss", "audit", "evaluation", "receipt"]

#: A cohort's name names its ledger's file.
_COHORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class CohortSection(Section):
    """Images of patients who share one privacy budget."""

    folder: Path = Field(
        strict=False,
        description="folder of the images: with a table, DICOM, or BIDS-like NIfTI; relative to the site file",
    )
    maximum_epsilon: float | None = Field(
        gt=0, description="total epsilon of all studies together; null for no limit at all"
    )
    delta: float = Field(1e-5, gt=0, lt=1, description="delta at which the total is counted")
    patient_column: str | None = Field(
        None,
        min_length=1,
        description="column of the table that tells patients apart: a study that takes another one, or a "
        "data.patient_rule, is refused; null for whatever a study says",
    )


class PolicySection(Section):
    """What a study may ask of this site; whatever asks for more is refused before anything is spent or sent."""

    minimum_sites: int = Field(3, ge=1, description="fewest sites in a study, and in any sum of a round")
    minimum_cohort: int = Field(
        20, ge=1, description="fewest training patients with which this site takes part"
    )
    families: tuple[FamilyName, ...] | None = Field(
        None,
        min_length=1,
        strict=False,
        description="model families allowed; null for every one that is installed here",
    )
    modes: tuple[Mode, ...] = Field(
        ALLOWED, min_length=1, strict=False, description="values of privacy.mode allowed"
    )
    require_secure_aggregation: bool = Field(
        True, description="refuse studies whose coordinator sees this site's update in the clear"
    )
    largest_study_epsilon: float = Field(10.0, gt=0, description="largest epsilon of a single study")
    metrics: tuple[Metric, ...] = Field(
        ("loss", "audit", "evaluation", "receipt"),
        strict=False,
        description="what may leave beside the update: loss (within the sum; a study is refused without it), audit, "
        "evaluation and receipt (its signature under the rounds and the epsilon of the study; withheld where not "
        "listed)",
    )
    known_sites: dict[SiteName, SpokenKey] | None = Field(
        None,
        description="fingerprint of each other site's key, compared with its people by telephone: a study with a site "
        "that is not listed, or with another key of one that is, is refused; null to take the coordinator's word",
    )
    approve: Literal["ask", "always"] = Field(
        "ask",
        description="ask: a person approves each study; always: whatever this policy allows is approved",
    )


class RuntimeSection(Section):
    """How the site's own processes run."""

    message_bytes: int = Field(
        268_435_456, ge=1_000_000, description="largest message taken from the coordinator"
    )
    worker_memory: int | None = Field(
        None,
        ge=100_000_000,
        description="bytes at which the worker is restarted between rounds; null for never",
    )
    device: str | None = Field(None, description="torch device instead of the study's, such as cuda:1")
    idle_seconds: float = Field(
        300.0, gt=0, description="seconds without work after which the worker process ends"
    )


class SiteFile(Section):
    """A whole site file, every default filled in."""

    cohorts: dict[str, CohortSection] = Field(min_length=1)
    policy: PolicySection = Field(default_factory=lambda: PolicySection())
    runtime: RuntimeSection = Field(default_factory=lambda: RuntimeSection())

    @field_validator("cohorts")
    @classmethod
    def _named(cls, cohorts: dict[str, CohortSection]) -> dict[str, CohortSection]:
        for name in cohorts:
            if not _COHORT_NAME.fullmatch(name):
                raise ValueError(
                    f"the name {name!r} names a file, so it must have 1 to 63 letters, digits, '_' or '-', and begin "
                    "with a letter or digit"
                )
        return cohorts


SITE_FILE = Form(SiteFile, "a section cohorts with a folder", "cohorts: and policy:")


def load_site_file(path: Path) -> SiteFile:
    """Read and validate a site file; folders in it that are relative are taken from the file's own folder.

    Raises:
        StudyError: everything that is wrong, one sentence a line, each with its line, the key, what was found
            and what is allowed.
    """
    source = f"site file {path}"
    text = read_text(
        path, source, "make one with `fedgen-client join TOKEN`, or name its folder with --folder"
    )
    site = validated(read_document(text, source, SITE_FILE), SITE_FILE)
    base = path.absolute().parent
    placed = {
        name: cohort.model_copy(update={"folder": base / cohort.folder.expanduser()})
        for name, cohort in site.cohorts.items()
    }
    return site.model_copy(update={"cohorts": placed})

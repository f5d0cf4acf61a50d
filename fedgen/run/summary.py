"""run.json: the summary of a run, to which each stage adds its entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fedgen.run.directory import RunDirectory
from fedgen.run.events import SessionAbort, Traffic
from fedgen.run.row import Verdict
from fedgen.run.run_file import RunFile
from fedgen.schema.section import Section
from fedgen.task.image_spec import ImageSpec

Status = Literal["running", "done", "failed", "interrupted"]
#: Where the images of a run come from: generated, a folder on this machine, or sites that keep theirs.
Source = Literal["phantom", "folder", "federation"]
Count = Annotated[int, Field(ge=0)]


class Parts(Section):
    """Patients of a site in each part; None where the site did not say."""

    train: Count
    audit: Count | None = None
    test: Count | None = None


class SiteEntry(Section):
    """A site.

    Attributes:
        site: name.
        patients, images: in all parts; None where the site did not say.
        parts: patients in each part.
        classes: images of each class; None where the site did not say.
    """

    site: str
    patients: Count | None = None
    images: Count | None = None
    parts: Parts
    classes: dict[str, Count] | None = None


class DataEntry(Section):
    """Where the images come from, and how many patients are at more than one site (None where nobody can count)."""

    source: Source
    shared_patients: Count | None = None


class Start(Section):
    """The pretrained weights that training started from."""

    sha256: str
    source: str


class AdaptersEntry(Section):
    """The low-rank adapters that were trained in place of the weights."""

    rank: int
    alpha: float
    targets: tuple[str, ...]
    layers: tuple[str, ...]


class ModelEntry(Section):
    """The averaged model, which the release is drawn from.

    Attributes:
        family: name.
        start: None where it started from random weights.
        adapters: None where all weights were trained.
        parameters: numbers that were trained.
        sha256: of them.
    """

    family: str
    start: Start | None
    adapters: AdaptersEntry | None
    parameters: Count
    sha256: str


class Epsilons(Section):
    """Epsilon of each site and the largest of them; None without privacy."""

    max: float | None
    sites: dict[str, float | None]


class PrivacyEntry(Section):
    """What privacy.json says, in short; by site: noise multiplier, sampling rate and steps."""

    unit: str
    mode: str
    epsilon: Epsilons
    delta: float | None
    accountant: str | None
    noise_multiplier: dict[str, float | None]
    sampling_rate: dict[str, float]
    steps: dict[str, int | None]
    holds_against: str
    statement: str


class RoundAbort(SessionAbort):
    """A session of a secure aggregation that was tried again, with its round."""

    round: int


class AggregationEntry(Section):
    """How updates were joined.

    Attributes:
        enabled: whether the coordinator was kept from seeing a single site's update.
        protocol: None where off.
        dropouts: sites missing from a round, summed over rounds.
        survivors: round to the sites in its sum.
        aborts: of sessions that were tried again.
        exchanges: of each round.
        bytes: vectors included.
        statement: who saw what.
    """

    enabled: bool
    protocol: str | None
    dropouts: Count
    survivors: dict[str, tuple[str, ...]]
    aborts: tuple[RoundAbort, ...]
    exchanges: tuple[int, ...]
    bytes: Traffic
    statement: str


class AuditEntry(Section):
    """Verdict and reasons of audit.json."""

    verdict: Verdict
    reasons: tuple[str, ...]


class RunSummary(RunFile):
    """`run.json`. An entry is absent (here: its default) until the stage that writes it has run.

    Attributes:
        status: `running` is also what a killed process leaves behind.
        study, seed: of the study.
        sites: in the model.
        data: where the images come from.
        image: what a released image is, as far as all sites agree.
        rounds: finished.
        model, privacy, secure_aggregation, audit: see their classes.
        evaluation: each row's values by its id, or by id and site where they stay with their sites.
        timings: seconds of each stage; a stage that was resumed adds up.
        versions: of fedgen and the libraries that decide results.
        findings: what is odd about the data, or not known of the released images, in sentences.
    """

    name: ClassVar[str] = "run.json"

    status: Status | None = None
    study: str | None = None
    seed: int | None = None
    sites: tuple[SiteEntry, ...] = ()
    data: DataEntry | None = None
    image: ImageSpec | None = None
    rounds: Count | None = None
    model: ModelEntry | None = None
    privacy: PrivacyEntry | None = None
    secure_aggregation: AggregationEntry | None = None
    audit: AuditEntry | None = None
    evaluation: dict[str, dict[str, float | None]] | None = None
    timings: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    findings: tuple[str, ...] = ()

    def write(self, run: RunDirectory, name: str | None = None) -> None:
        """Write the entries that were set."""
        run.write_json(
            name or self.name, self.model_dump(mode="json", include={"version", *self.model_fields_set})
        )

    def entries(self) -> Mapping[str, object]:
        """Those that were set."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"version"}}


def update_summary(run: RunDirectory, entries: RunSummary) -> None:
    """Put the entries that were set into run.json; the others stay as they are.

    Raises:
        DataError: run.json is damaged or of another version, or cannot be written.
    """
    known = RunSummary.find(run) or RunSummary()
    known.model_copy(update=dict(entries.entries())).write(run)

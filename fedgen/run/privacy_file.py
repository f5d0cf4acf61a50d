"""privacy.json: what was promised to the patients of each site, and what was spent."""

from __future__ import annotations

from typing import ClassVar

from fedgen.run.run_file import RunFile
from fedgen.run.summary import Epsilons, PrivacyEntry, Start
from fedgen.schema.section import Section


class SitePrivacy(Section):
    """What was spent at one site.

    Attributes:
        site: name.
        patients: N, in training.
        sampling_rate: q.
        noise_multiplier, steps, epsilon, epsilon_rdp: None without privacy.
    """

    site: str
    patients: int
    sampling_rate: float
    noise_multiplier: float | None
    steps: int | None
    epsilon: float | None
    epsilon_rdp: float | None


class EvidencePaid(Section):
    """What of epsilon pays for audit and evaluation, which every patient of a site pays once.

    Attributes:
        epsilon: of them alone, which is all that a patient pays who does not train.
        epsilon_training: of the training alone, the largest of all sites.
        noise_multiplier: sigma of each site's sum, over the bound 1 of a patient's vector.
    """

    epsilon: float
    epsilon_training: float
    noise_multiplier: float


class PrivacyFile(RunFile):
    """`privacy.json`.

    Attributes:
        unit: whose presence is protected.
        mode: privacy.mode of the study.
        statement: the claim in sentences.
        epsilon: the largest of all sites, with the evidence where that is paid for; None without privacy.
        delta: as asked for; None without privacy.
        accountant: whose epsilon this is; None without privacy.
        holds_against: whom the claim holds against.
        clipping_norm, multiplicity, images_per_patient: C, K and m, as asked for.
        shared_patients: patients at more than one site; None where nobody can count them.
        start: pretrained weights, of whose data the claim says nothing; None without such.
        sites: each site's own.
        limits: what the claim does not say.
        evidence: what of epsilon pays for audit and evaluation; None where they are told without noise.
        mode_cost: how large the noise would be in the other mode, in a sentence; None where there is none to compare.
    """

    name: ClassVar[str] = "privacy.json"

    unit: str
    mode: str
    statement: str
    epsilon: float | None
    delta: float | None
    accountant: str | None
    holds_against: str
    clipping_norm: float | None
    multiplicity: int
    images_per_patient: int
    shared_patients: int | None
    start: Start | None
    sites: tuple[SitePrivacy, ...]
    limits: tuple[str, ...]
    evidence: EvidencePaid | None = None
    mode_cost: str | None = None

    def entry(self) -> PrivacyEntry:
        """Its entry in run.json."""
        return PrivacyEntry(
            unit=self.unit,
            mode=self.mode,
            epsilon=Epsilons(max=self.epsilon, sites={row.site: row.epsilon for row in self.sites}),
            delta=self.delta,
            accountant=self.accountant,
            noise_multiplier={row.site: row.noise_multiplier for row in self.sites},
            sampling_rate={row.site: row.sampling_rate for row in self.sites},
            steps={row.site: row.steps for row in self.sites},
            holds_against=self.holds_against,
            statement=self.statement,
        )

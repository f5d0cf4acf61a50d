"""People who look like one at another site: one person with two identities would train here and judge the audit there.

Only a simulation, in which all patients are in one place, can look: a federation's sites never compare theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.audit.audited import AuditedGroup, group, join
from fedgen.evidence.audit.nearest import isolation, nearest_patients
from fedgen.evidence.audit.suspects import NEAR_COPY
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.run.site_only import MOST, SiteOnly
from fedgen.study.audit_section import AuditSection

#: Images of a site, at most, each of which is compared with as many of every other site.
IMAGES = 2000
ABOUT = (
    "Patients of one site who look like a patient of another one, each by the number in its own site's data. Are they "
    "one person? Then give both the same identity, or leave one of them out."
)


@dataclass(frozen=True)
class Alike:
    """An image of one site, and the image of another that it is far nearer to than to anybody else there.

    Attributes:
        site, image, patient, part: of the one; image and patient by their number in the site's data.
        other_site, other_patient, other_part: of the other.
        isolation: as `nearest.isolation`.
    """

    site: str
    image: int
    patient: int
    part: Part
    other_site: str
    other_patient: int
    other_part: Part
    isolation: float

    @property
    def spoils(self) -> bool:
        """Whether one of them trained and the other was held out."""
        return (self.part is Part.TRAIN) != (self.other_part is Part.TRAIN)


def alike_across(sites: list[SiteData], seed: int) -> list[Alike]:
    """Near duplicates among the patients of different sites, each of two that are each other's named once or twice.

    Args:
        sites: at least two.
        seed: of the images that are looked at where a site has more than `IMAGES`.
    """
    rng = torch.Generator().manual_seed(seed)
    rows = [torch.randperm(site.n_images, generator=rng)[:IMAGES].sort().values for site in sites]
    offset, groups = 0, []
    for site, chosen in zip(sites, rows, strict=True):
        groups.append(group(site.images[chosen], site.labels[chosen], site.patients[chosen] + offset))
        offset += int(site.patients.max()) + 1 if site.n_images else 0
    found: list[Alike] = []
    for here in range(len(sites)):
        others = [each for each in range(len(sites)) if each != here and groups[each].n_images]
        if groups[here].n_images and others:
            found += _of_site(here, others, sites, rows, groups)
    return found


def _of_site(
    here: int, others: list[int], sites: list[SiteData], rows: list[Tensor], groups: list[AuditedGroup]
) -> Iterator[Alike]:
    own, elsewhere = groups[here], join([groups[each] for each in others])
    near = nearest_patients(own.features, own.mirrors, elsewhere.features, elsewhere.patients)
    scores = isolation(near)
    places = [(each, int(row)) for each in others for row in rows[each]]
    for index in (scores < NEAR_COPY).nonzero().flatten().tolist():
        row = int(rows[here][index])
        site, (place, other) = sites[here], places[int(near.image[index])]
        yield Alike(
            site=site.site,
            image=row,
            patient=int(site.patients[row]),
            part=Part(int(site.parts[row])),
            other_site=sites[place].site,
            other_patient=int(sites[place].patients[other]),
            other_part=Part(int(sites[place].parts[other])),
            isolation=float(scores[index]),
        )


@dataclass(frozen=True)
class NearDuplicates(Measure):
    """Near duplicates across the sites of a simulation; no row where a single site audits."""

    id = "near-duplicates"
    title = "Near duplicates across sites"
    order = 10
    of_images = False
    options: AuditSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row | SiteOnly]:
        """One row and a list."""
        sites = [site for site in real.sites if site.n_images]
        if len(sites) < 2:
            return
        found = alike_across(sites, seed)
        patients = {(each.site, each.patient) for each in found}
        spoilt = {(each.site, each.patient) for each in found if each.spoils}
        verdict, sentence = Verdict.PASS, "Nobody looks like a patient of another site more than people do."
        if patients:
            verdict = Verdict.REVIEW
            sentence = (
                f"{len(patients)} patients look like one at another site, {len(spoilt)} of them like one on the other "
                "side of training and audit: one person with two identities?"
            )
        yield SiteOnly(
            name=self.id,
            about=ABOUT,
            entries=tuple(
                {
                    "site": each.site,
                    "patient": each.patient,
                    "image": each.image,
                    "part": each.part.name.lower(),
                    "other_site": each.other_site,
                    "other_patient": each.other_patient,
                    "other_part": each.other_part.name.lower(),
                    "isolation": round(each.isolation, 4),
                }
                for each in found[:MOST]
            ),
        )
        n = sum(site.n_patients for site in sites)
        yield Row(
            id=self.id,
            title=self.title,
            group="audit",
            about="Is anybody at two sites? Then who was held out may have trained elsewhere, and copies are missed.",
            values=(
                Value.of("patients who look like one at another site", len(patients)),
                Value.of("of them one trained and the other did not", len(spoilt)),
                Value.of(
                    "smallest detectable share of patients at two sites",
                    1 / n,
                    note=f"one of {n}, if as near as a copy with noise (isolation below {NEAR_COPY:g})",
                ),
            ),
            n={"patients": n},
            findings=(Finding(verdict=verdict, sentence=sentence),),
        )

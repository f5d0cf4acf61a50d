"""The empirical epsilon: what guesses about canaries' coins prove of the training (Steinke et al. 2023).

Of a mechanism that is (epsilon, delta)-private to each record nobody can guess more coins than chance and epsilon
allow, and one run with many canaries shows it. A bound above the claim is therefore no bad luck of a release: the
training does not do what its accounting says. The rule is fixed by the study before any score is seen: of a site's
m canaries the r with the highest loss scores are guessed to be in, the r with the lowest to be out. What leaves a site
is m, 2r and how many guesses were right, computed from the model and from what the site made up: no patient is read
for it, so that it costs no privacy. Sums over sites are the counts of one larger audit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.errors import DataError
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.open_model import Score
from fedgen.run.evidence_files import Claim
from fedgen.run.row import CANARIES, SEVERITY, Finding, Row, SitePart, Value, Verdict
from fedgen.study.audit_section import AuditSection
from fedgen.training.canary_images import Canaries
from fedgen_privacy.statistics.one_run import detectable, epsilon_lower_bound

ABOUT = (
    "Records that the sites made up were trained on by the flip of a coin: how many coins does the model give away, "
    "and what epsilon does that prove?"
)
GUESSES, RIGHT = "guesses", "right guesses"
BOUND, MOST, CLAIMED = "epsilon is at least", "largest epsilon that could be proven", "epsilon claimed"
_CHUNK = 256


class Counts(NamedTuple):
    """Of one site, or summed: canaries, guesses, and how many of them were right."""

    canaries: int
    guesses: int
    right: int


@dataclass(frozen=True)
class CanaryAudit(Measure):
    """Guesses by the loss, and the one-run bound of their number."""

    id = "canaries"
    title = "Empirical epsilon by canaries"
    order = 8
    of_images = False
    of_model = True
    options: AuditSection

    @property
    def wanted(self) -> bool:
        """Where the study asks for canaries."""
        return self.options.canaries > 0

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """One row; INSUFFICIENT where no canaries, or no model to score them, are at hand.

        Raises:
            DataError: a score of the model is not finite.
        """
        if model is None or "loss" not in model.attacks or not model.canaries:
            sentence = "The study asks for canaries, but there are none, or no model to score them."
            yield self._row((), {}, (Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence),))
            return
        score, claim = model.attacks["loss"], Claim(epsilon=model.epsilon, delta=model.delta)
        counts = {
            each.records.site: guessed(score, each, self.options.canary_sides, seed)
            for each in model.canaries
        }
        total = summed_counts(counts.values())
        row = self._row(self._values(total, claim), {CANARIES: total.canaries}, (self._judged(total, claim),))
        parts = [SitePart(site=site, values=_counted(each)) for site, each in counts.items()]
        yield row.model_copy(update={"per_site": tuple(parts)})

    def over_sites(self, row: Row, claim: Claim) -> Row:
        """The row with the bound of the summed counts; a site's own FAIL stays."""
        found = [counts_of(part.values) for part in row.per_site]
        told = [each for each in found if each is not None]
        unsound = [each for each in told if not self._by_the_rule(each)]
        if not told or unsound:
            sentence = "No site sent what its guesses about canaries were."
            if unsound:
                sentence = "A site sent numbers of canaries or guesses that are not the study's."
            judged = Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence)
            return row.model_copy(update={"findings": _worst_first(judged, row.findings)})
        total = summed_counts(told)
        findings = _worst_first(self._judged(total, claim), row.findings)
        return row.model_copy(update={"values": self._values(total, claim), "findings": findings})

    def _by_the_rule(self, counts: Counts) -> bool:
        asked = Counts(self.options.canaries, 2 * self.options.canary_sides, counts.right)
        return counts == asked and 0 <= counts.right <= counts.guesses

    def _row(self, values: Sequence[Value], n: dict[str, int], findings: tuple[Finding, ...]) -> Row:
        return Row(
            id=self.id,
            title=self.title,
            group="audit",
            about=ABOUT,
            values=tuple(values),
            n=n,
            findings=findings,
        )

    def _bounds(self, counts: Counts, delta: float) -> tuple[float, float]:
        """What was proven, and the most that could have been."""
        confidence = 1 - self.options.alpha
        return (
            epsilon_lower_bound(*counts, delta, confidence=confidence),
            detectable(counts.canaries, counts.guesses, delta, confidence=confidence),
        )

    def _values(self, counts: Counts, claim: Claim) -> tuple[Value, ...]:
        bound, most = self._bounds(counts, claim.delta)
        note = f"with {1 - self.options.alpha:.0%} confidence, under adding or removing one record"
        return (
            *_counted(counts),
            Value(name=BOUND, value=bound, note=note),
            Value(name=MOST, value=most, note="with so many canaries and guesses, were all of them right"),
            Value(name=CLAIMED, value=claim.epsilon, note=None if claim.epsilon else "none: no privacy"),
        )

    def _judged(self, counts: Counts, claim: Claim) -> Finding:
        bound, most = self._bounds(counts, claim.delta)
        return judged(counts, bound, most, claim.epsilon)


def judged(counts: Counts, bound: float, most: float, claimed: float | None) -> Finding:
    """What the bound means.

    Args:
        counts: behind it.
        bound: epsilon that the guesses prove; 0 where they prove none.
        most: that they would have proven, were all of them right.
        claimed: epsilon of the training; None without privacy.
    """
    said = f"{counts.right} of {counts.guesses} guesses about {counts.canaries} canaries are right"
    could = f"an epsilon of {most:.2f} at most could have been proven with so many"
    if claimed is None:
        proven = f"an epsilon of at least {bound:.2f}" if bound > 0 else f"nothing, and {could}"
        sentence = f"{said}, which proves {proven}; the training promises no epsilon to compare it with."
        return Finding(verdict=Verdict.REVIEW, sentence=sentence)
    if bound > claimed:
        sentence = (
            f"{said}, which proves an epsilon of at least {bound:.2f}, but {claimed:.2f} is claimed: the training does "
            "not do what its accounting says."
        )
        return Finding(verdict=Verdict.FAIL, sentence=sentence)
    if most <= claimed:
        sentence = (
            f"{said}; {could}, which is not above the {claimed:.2f} that is claimed, so that no fault could have been "
            "found: ask for more canaries, or for none."
        )
        return Finding(verdict=Verdict.INSUFFICIENT, sentence=sentence)
    proven = (
        f"an epsilon of at least {bound:.2f}" if bound > 0 else "nothing, which is no evidence of privacy"
    )
    sentence = f"{said}, which proves {proven}; {claimed:.2f} is claimed, and {could}."
    return Finding(verdict=Verdict.PASS, sentence=sentence)


def guessed(score: Score, canaries: Canaries, sides: int, seed: int) -> Counts:
    """How many guesses by the scores are right.

    Args:
        score: of the model.
        canaries: of a site.
        sides: r, canaries guessed to be in, and as many to be out; fixed before.
        seed: of the order in which the model is asked.

    Raises:
        DataError: a score is not finite.
    """
    m = len(canaries.included)
    found = scores_of(score, canaries.records, seed)
    # Equal scores in the order of the canaries, which no coin has touched.
    order = torch.argsort(found, stable=True)
    lowest, highest = order[:sides], order[m - sides :]
    right = int((~canaries.included[lowest]).sum()) + int(canaries.included[highest].sum())
    return Counts(m, 2 * sides, right)


def scores_of(score: Score, records: SiteData, seed: int) -> Tensor:
    """(m,) float64, the model's score of each record.

    Raises:
        DataError: one is not finite.
    """
    found = torch.empty(records.n_images, dtype=torch.float64)
    shuffled = torch.randperm(records.n_images, generator=torch.Generator().manual_seed(seed))
    for rows in shuffled.split(_CHUNK):
        keep = torch.zeros(records.n_images, dtype=torch.bool)
        keep[rows] = True
        given = score(records.only(keep)).detach().cpu()
        if given.shape != rows.shape or not bool(torch.isfinite(given).all()):
            raise DataError(
                f"The model's score of the canaries of site {records.site} is not one finite number each: the training "
                "has probably diverged, look at its losses."
            )
        found[keep] = given.double()
    return found


def counts_of(values: Iterable[Value]) -> Counts | None:
    """The counts of a site's row; None where it has none of them, or they are no counts."""
    told = {value.name: value.value for value in values}
    found = [told.get(name) for name in (CANARIES, GUESSES, RIGHT)]
    canaries, guesses, right = found
    if isinstance(canaries, int) and isinstance(guesses, int) and isinstance(right, int):
        return Counts(canaries, guesses, right)
    return None


def summed_counts(counts: Iterable[Counts]) -> Counts:
    """Counts of one audit of all sites."""
    return Counts(*(sum(column) for column in zip(*counts, strict=True)))


def _counted(counts: Counts) -> tuple[Value, ...]:
    names = (CANARIES, GUESSES, RIGHT)
    return tuple(Value(name=name, value=n, pool="sum") for name, n in zip(names, counts, strict=True))


def _worst_first(judged: Finding, others: Iterable[Finding]) -> tuple[Finding, ...]:
    failed = [each for each in others if each.verdict is Verdict.FAIL]
    return tuple(sorted([judged, *failed], key=lambda each: SEVERITY.index(each.verdict)))

"""Fidelity: how far synthetic images are from real ones, in the features of each extractor of the study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fedgen.data.site_data import LabelledImages
from fedgen.errors import DataError
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.metrics.beside_floor import Distance, measure_distances
from fedgen.evidence.metrics.feature_space import COMPARISONS
from fedgen.evidence.metrics.fidelity_words import (
    CLASSIFIER,
    COVERAGE,
    FEATURES,
    FLOOR,
    GROUP,
    NEAREST,
    PRECISION,
    RECALL,
    VALUE,
    P,
    identity,
)
from fedgen.evidence.metrics.matched import choose_reference
from fedgen.extractors.contract import Given
from fedgen.extractors.registry import build_extractor
from fedgen.run.row import Finding, Row, Value, Verdict, cut
from fedgen.study.evaluation_section import EvaluationSection

AGREEMENT = "extractors-agree"
CHOSEN = tuple(each.id for each in COMPARISONS)
_ABOUT = {each.id: each.about for each in COMPARISONS}
_SHARES = {NEAREST, CLASSIFIER, PRECISION, RECALL, COVERAGE}
_HALF = {each.id for each in COMPARISONS if each.better == "half"}


@dataclass(frozen=True)
class Fidelity(Measure):
    """Distances, tests and coverage, each beside the same between disjoint real patients."""

    id = "fidelity"
    title = "Fidelity"
    order = 1
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """Of each extractor a row a comparison, then whether they agree, and one that identifies each's features."""
        reference = choose_reference(real.sites, made, real.classes, seed=seed)
        given = Given(made.images.shape[1], real.prior, self.options.network)
        identities, found = [], []
        for name in self.options.extractors:
            try:
                extractor = build_extractor(name, given)
            except DataError as error:
                note = cut(f"Features {name}: not computed. {error}")
                identities.append(
                    Row(id=f"{FEATURES}{name}", title=f"Features {name}", group=GROUP, note=note)
                )
                continue
            distances = measure_distances(extractor, reference, seed=seed, chosen=CHOSEN)
            found.append(distances)
            yield from map(_row, distances)
            identities.append(
                Row(
                    id=f"{FEATURES}{name}",
                    title=f"Features {name}",
                    group=GROUP,
                    note=identity(name, extractor.version, extractor.num_features, extractor.hash),
                )
            )
        if len(found) > 1:
            yield agreement(found)
        yield from identities


def agreement(found: Sequence[Sequence[Distance]]) -> Row:
    """Whether extractors come to one conclusion on each comparison; REVIEW where they do not.

    A conclusion is whether synthetic images are surely further from real ones than real ones of other patients are.
    """
    values, split = [], []
    for same in zip(*found, strict=True):
        said = {each.extractor: each.beyond for each in same if each.beyond is not None}
        values.append(
            Value(name=f"{same[0].metric}: extractors beyond the floor", value=sum(map(bool, said.values())))
        )
        if len(set(said.values())) > 1:
            yes = ", ".join(name for name, beyond in said.items() if beyond)
            no = ", ".join(name for name, beyond in said.items() if not beyond)
            split.append(f"{same[0].metric} ({yes}, not {no})")
    known = [each for distances in found for each in distances if each.beyond is not None]
    if not known:
        verdict, sentence = Verdict.INSUFFICIENT, "No extractor has a number to agree on."
    elif split:
        verdict = Verdict.REVIEW
        sentence = cut(f"Extractors disagree on whether images are beyond the floor: {'; '.join(split)}.")
    else:
        verdict, sentence = Verdict.PASS, "All extractors come to the same conclusions."
    return Row(
        id=AGREEMENT,
        title="Do extractors agree?",
        group=f"{GROUP}-agreement",
        about="A conclusion of one extractor alone hangs on what it looks at.",
        values=tuple(values),
        n={
            "real_images": min((each.n_real for each in known), default=0),
            "synthetic_images": min((each.n_synthetic for each in known), default=0),
        },
        findings=(Finding(verdict=verdict, sentence=sentence),),
    )


def _row(distance: Distance) -> Row:
    chance = 0.5 if distance.metric in _HALF else None
    # An interval by a standard error knows no bounds.
    most = 1.0 if distance.metric in _SHARES else None
    low, high = (
        limit if limit is None or most is None else min(max(limit, 0.0), most)
        for limit in (distance.low, distance.high)
    )
    p = () if distance.p is None else (Value(name=P, value=distance.p),)
    return Row(
        id=f"{distance.metric}-{distance.extractor}",
        title=f"{distance.metric} {distance.extractor}",
        group=GROUP,
        about=_ABOUT[distance.metric],
        values=(
            Value(
                name=VALUE,
                value=distance.value,
                low=low,
                high=high,
                std=distance.std,
            ),
            Value(name=FLOOR, value=distance.floor, std=distance.floor_std),
            Value(name="features that vary", value=distance.dimensions),
            Value(name="features dropped", value=distance.dropped),
            *p,
        ),
        n={"real_images": distance.n_real, "synthetic_images": distance.n_synthetic},
        note=cut(
            distance.note if chance is None else f"0.5 says that nothing tells them apart. {distance.note}"
        ),
    )

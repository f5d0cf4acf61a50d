"""Fidelity: how far synthetic images are from real ones, in the features of each extractor of the study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedgen.data.site_data import LabelledImages
from fedgen.evidence.measure import AuditedModel, Measure, Real
from fedgen.evidence.metrics.beside_floor import Distance, measure_distances
from fedgen.evidence.metrics.matched import choose_reference
from fedgen.extractors.registry import build_extractor
from fedgen.run.row import Row, Value, cut
from fedgen.study.evaluation_section import EvaluationSection

GROUP = "fidelity"
VALUE, FLOOR = "synthetic to real", "real to real (floor)"


@dataclass(frozen=True)
class Fidelity(Measure):
    """FID and KID, each beside the same distance between disjoint real patients."""

    id = "fidelity"
    title = "Fidelity"
    order = 1
    options: EvaluationSection

    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterator[Row]:
        """Of each extractor a row of FID, one of KID and one that identifies the features."""
        reference = choose_reference(real.sites, made, real.classes, seed=seed)
        identities = []
        for name in self.options.extractors:
            extractor = build_extractor(name, made.images.shape[1])
            for distance in measure_distances(extractor, reference, seed=seed):
                yield _row(distance)
            identities.append(
                Row(
                    id=f"features-{name}",
                    title=f"Features {name}",
                    group=GROUP,
                    note=f"Features {name}: {extractor.num_features}, of sha256 {extractor.hash}; only distances with "
                    "equal hashes can be compared.",
                )
            )
        yield from identities


def _row(distance: Distance) -> Row:
    return Row(
        id=f"{distance.metric}-{distance.extractor}",
        title=f"{distance.metric} {distance.extractor}",
        group=GROUP,
        values=(
            Value(name=VALUE, value=distance.value, std=distance.std),
            Value(name=FLOOR, value=distance.floor, std=distance.floor_std),
            Value(name="features that vary", value=distance.dimensions),
            Value(name="features dropped", value=distance.dropped),
        ),
        n={"real_images": distance.n_real, "synthetic_images": distance.n_synthetic},
        note=cut(distance.note),
    )

"""Which images are compared: held-out patients, equal class shares, sites kept apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.metrics.matched import choose_reference, match_class_shares
from fedgen.evidence.pooled import pool

MakeSite = Callable[..., SiteData]
MakeSynthetic = Callable[..., LabelledImages]


@given(
    have=st.lists(st.integers(1, 60), min_size=3, max_size=3),
    want=st.lists(st.integers(0, 40), min_size=3, max_size=3),
)
def test_matched_shares_are_the_targets(have: list[int], want: list[int]) -> None:
    labels, target = (torch.repeat_interleave(torch.arange(3), torch.tensor(n)) for n in (have, want))
    chosen = labels[match_class_shares(labels, target, seed=0)]
    counts = [int((chosen == c).sum()) for c in range(3)]
    asked = [c for c in range(3) if want[c]]
    assert all(counts[c] <= have[c] for c in range(3)) and all(not counts[c] for c in range(3) if not want[c])
    if asked:
        scale = min(have[c] / want[c] for c in asked)
        assert all(abs(counts[c] - scale * want[c]) <= 1 for c in asked)
        assert any(counts[c] == have[c] for c in asked)


def test_held_out_patients_are_the_reference(make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    sites = [make_site("a", patients=48), make_site("b", patients=48, seed=1)]
    reference = choose_reference(sites, make_synthetic(), sites[0].classes, seed=0)
    assert reference.real.n_images == sum(int((site.parts != Part.TRAIN).sum()) for site in sites)
    assert "held-out patients" in reference.note


def test_training_patients_stand_in_with_a_note(make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    site = make_site(patients=12)
    reference = choose_reference([site], make_synthetic(), site.classes, seed=0)
    assert reference.real.n_images == int((site.parts == Part.TRAIN).sum())
    assert "training patients, because only" in reference.note


def test_a_class_without_counterpart_is_left_out_and_named(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    site = make_site(patients=120)
    synthetic = make_synthetic()
    only = LabelledImages(synthetic.images[synthetic.labels == 1], synthetic.labels[synthetic.labels == 1])
    reference = choose_reference([site], only, site.classes, seed=0)
    assert reference.real.labels.unique().tolist() == [1]
    assert "no synthetic image has the class: none" in reference.note


def test_equal_patient_numbers_of_two_sites_stay_apart(make_site: MakeSite) -> None:
    sites = [make_site("a"), make_site("b", seed=1)]
    cohort = pool(sites, tuple(Part))
    assert cohort.n_patients == 48 and cohort.images.dtype == torch.float32
    for patient in cohort.patients.unique():
        assert len(cohort.sites[cohort.patients == patient].unique()) == 1


def test_a_part_nobody_has_is_empty(make_site: MakeSite) -> None:
    assert pool([make_site(patients=2)], (Part.TEST,)).n_images == 0

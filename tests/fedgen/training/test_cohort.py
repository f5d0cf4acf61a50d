"""A record holds one patient: at most m of its images, weighted by the mean, chosen uniformly."""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from fedgen.data.site_data import Part
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.random import SecretRandom


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=7),
    m=st.integers(1, 5),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_records_hold_one_patient_each(toy, counts, m, seed, data) -> None:
    site = toy.site(counts, seed)
    asked = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=5))
    records = TrainingPatients(site, m).records(torch.tensor(asked), SecretRandom(toy.key(seed)))
    assert records.fields["image"].shape == (len(asked), m, 1, 2, 2)
    assert (records.fields["image"].dtype, records.fields["class"].dtype) == (torch.float32, torch.int64)
    for b, patient in enumerate(asked):
        n = min(m, counts[patient])
        assert torch.equal(records.weights["patient"][b, :n], torch.full((n,), 1.0 / n))
        assert not records.weights["patient"][b, n:].any()
        assert not records.fields["image"][b, n:].any()
        assert not records.fields["class"][b, n:].any()
        assert (records.fields["image"][b, :n, 0, 0, 0] == patient).all()
        # Pixel (1, 1) is the image's row at the site: each image once, with its own label and pixels.
        rows = records.fields["image"][b, :n, 0, 1, 1].long()
        assert len(set(rows.tolist())) == n
        assert torch.equal(records.fields["image"][b, :n], site.images[rows])
        assert torch.equal(records.fields["class"][b, :n], site.labels[rows])


def test_a_patient_with_few_images_brings_them_all(toy) -> None:
    site = toy.site([4, 1])
    records = TrainingPatients(site, 4).records(torch.tensor([0, 1]), toy.random())
    own = torch.nonzero(site.patients == 0).flatten()
    assert sorted(records.fields["image"][0, :, 0, 1, 1].long().tolist()) == own.tolist()


def test_the_images_taken_are_uniform(toy) -> None:
    """Chi-squared over the 10 pairs out of 5 images; a fair choice fails once in 10 000 keys, and the key is fixed."""
    cohort, random = toy.cohort([5], m=2), toy.random(9)
    pairs: dict[tuple[int, ...], int] = {}
    for _ in range(3000):
        taken = cohort.records(torch.tensor([0]), random).fields["image"][0, :, 0, 1, 1].long()
        pair = tuple(sorted(taken.tolist()))
        pairs[pair] = pairs.get(pair, 0) + 1
    assert len(pairs) == 10
    assert chisquare(list(pairs.values())).pvalue > 1e-4


def test_only_training_patients_are_counted_and_read(toy) -> None:
    site = toy.site([2, 3, 1, 2])
    parts = torch.tensor([int(Part.AUDIT), int(Part.TRAIN), int(Part.TEST), int(Part.TRAIN)])
    cohort = TrainingPatients(dataclasses.replace(site, parts=parts[site.patients]), 3)
    assert cohort.n_patients == 2
    records = cohort.records(torch.tensor([0, 1]), toy.random())
    assert set(records.fields["image"][0][records.weights["patient"][0] > 0][:, 0, 0, 0].tolist()) == {1.0}
    assert set(records.fields["image"][1][records.weights["patient"][1] > 0][:, 0, 0, 0].tolist()) == {3.0}


def test_a_site_without_training_patients_has_none(toy) -> None:
    site = toy.site([2, 1])
    empty = dataclasses.replace(site, parts=torch.full_like(site.parts, int(Part.TEST)))
    assert TrainingPatients(empty, 2).n_patients == 0

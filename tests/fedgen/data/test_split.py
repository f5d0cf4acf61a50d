"""Laws of the split: whole patients, fixed by the seed, close to the shares, checked on images."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.data.check import check_split
from fedgen.data.fingerprint import Fingerprints
from fedgen.data.index import IndexEntry, PatientIndex
from fedgen.data.site_data import Part
from fedgen.data.split import split_patients
from fedgen.data.ties import Likeness
from fedgen.errors import DataError
from fedgen.study.data import Split

SPLIT = Split(audit=0.15, test=0.2)


def index_of(rows: list[tuple[str, str, str]]) -> PatientIndex:
    entries = tuple(
        IndexEntry((f"{i}.png",), patient, site, label, None, "", "", "", None, "", None, (8, 8))
        for i, (patient, site, label) in enumerate(rows)
    )
    return PatientIndex("table", entries)


@st.composite
def cohorts(draw: st.DrawFn, *, shared: bool) -> PatientIndex:
    """Up to four sites of up to 25 patients, one to three images each; shared patients visit two sites."""
    rows = []
    sites = draw(st.integers(1, 4))
    for site in range(sites):
        for patient in range(draw(st.integers(1, 25))):
            label = draw(st.sampled_from(["none", "lesion"]))
            rows += [(f"{site}-{patient}", f"s{site}", label)] * draw(st.integers(1, 3))
    if shared:
        for n in range(draw(st.integers(0, 5))):
            home = draw(st.integers(0, sites - 1))
            rows += [(f"shared-{n}", f"s{home}", "none"), (f"shared-{n}", f"s{(home + 1) % sites}", "none")]
    return index_of(draw(st.permutations(rows)))


@settings(max_examples=60, deadline=None)
@given(cohorts(shared=False), st.integers(0, 2**31 - 1))
def test_each_part_is_near_its_share_and_no_large_enough_site_lacks_one(
    index: PatientIndex, seed: int
) -> None:
    parts = split_patients(index, SPLIT, seed)
    assert set(parts) == set(index.patients)
    for site in index.sites:
        own = {entry.patient for entry in index.at(site)}
        counts = Counter(parts[patient] for patient in own)
        for part, share in ((Part.TRAIN, 0.65), (Part.AUDIT, 0.15), (Part.TEST, 0.2)):
            assert abs(counts[part] - share * len(own)) <= 2
            if len(own) >= 3:
                assert counts[part] >= 1
        assert counts[Part.TRAIN] >= max(counts[Part.AUDIT], counts[Part.TEST])


@settings(max_examples=40, deadline=None)
@given(cohorts(shared=True), st.integers(0, 2**31 - 1))
def test_the_split_depends_on_seed_and_patients_alone(index: PatientIndex, seed: int) -> None:
    parts = split_patients(index, SPLIT, seed)
    turned = PatientIndex(index.layout, tuple(reversed(index.entries)))
    assert split_patients(turned, SPLIT, seed) == parts
    assert set(parts) == set(index.patients)


@settings(max_examples=40, deadline=None)
@given(cohorts(shared=True), st.integers(0, 2**31 - 1), st.data())
def test_tied_patients_share_a_part(index: PatientIndex, seed: int, data: st.DataObject) -> None:
    patients = list(index.patients)
    group = data.draw(st.lists(st.sampled_from(patients), unique=True, min_size=1, max_size=5))
    parts = split_patients(index, SPLIT, seed, together=[group] if len(group) > 1 else [])
    assert len({parts[patient] for patient in group}) == 1


def test_classes_are_spread_over_parts() -> None:
    rows = [(f"p{i}", "s", "lesion" if i < 20 else "none") for i in range(100)]
    for seed in range(10):
        parts = split_patients(index_of(rows), SPLIT, seed)
        lesions = Counter(parts[f"p{i}"] for i in range(20))
        assert lesions == {Part.TRAIN: 13, Part.AUDIT: 3, Part.TEST: 4}


def test_seeds_give_different_splits() -> None:
    index = index_of([(f"p{i}", "s", "none") for i in range(40)])
    splits = [split_patients(index, SPLIT, seed) for seed in range(5)]
    assert all(a != b for i, a in enumerate(splits) for b in splits[:i])


def test_no_patient_is_favoured() -> None:
    # Over many seeds every patient trains about as often as the share says.
    index = index_of([(f"p{i:02d}", "s", "none") for i in range(20)])
    held = Counter(p for seed in range(400) for p, part in split_patients(index, SPLIT, seed).items() if part)
    assert min(held.values()) > 0.35 * 400 * 0.7
    assert max(held.values()) < 0.35 * 400 * 1.3


def prints(*contents: int) -> Fingerprints:
    """Fingerprints of images named by a number; the near hash of image n has n bits set, all have the same detail."""
    found = Fingerprints.empty(len(contents))
    found.detail[:, ::2] = 100
    for i, content in enumerate(contents):
        found.exact[i] = content
        found.near[i] = np.packbits(np.arange(256) < content)
    return found


def test_check_split_finds_a_patient_in_two_parts() -> None:
    with pytest.raises(DataError, match="1 patient is in two parts of the split"):
        check_split(["a", "a", "b"], np.array([0, 1, 0]), Likeness.of(prints(10, 90, 200)))


def test_check_split_finds_equal_images_in_two_parts() -> None:
    with pytest.raises(DataError, match="1 image of one part equals one of another"):
        check_split(["a", "b"], np.array([0, 2]), Likeness.of(prints(10, 10)))
    assert check_split(["a", "b"], np.array([2, 2]), Likeness.of(prints(10, 10))) == []


def test_check_split_reports_look_alikes_in_two_parts() -> None:
    (finding,) = check_split(["a", "b", "c"], np.array([0, 2, 2]), Likeness.of(prints(100, 105, 200)))
    assert (finding.kind, finding.count) == ("near_duplicates_across_parts", 1)
    # Of one patient, or within one part, look-alikes are no concern.
    assert check_split(["a", "a", "c"], np.array([0, 0, 2]), Likeness.of(prints(100, 105, 200))) == []
    assert check_split(["a", "b", "c"], np.array([0, 0, 2]), Likeness.of(prints(100, 105, 200))) == []


@settings(max_examples=60, deadline=None)
@given(cohorts(shared=False), st.integers(0, 2**31 - 1))
def test_a_site_is_split_as_if_it_were_alone(index: PatientIndex, seed: int) -> None:
    among = split_patients(index, SPLIT, seed)
    for site in index.sites:
        alone = PatientIndex("table", tuple(replace(entry, site="renamed") for entry in index.at(site)))
        for patient, part in split_patients(alone, SPLIT, seed).items():
            assert among[patient] is part


def test_another_seed_is_another_split() -> None:
    index = index_of([(f"p{n}", "s", ("none", "lesion")[n % 2]) for n in range(40)])
    splits = [split_patients(index, SPLIT, seed) for seed in range(20)]
    assert len({tuple(split.items()) for split in splits}) == 20
    # Over seeds each patient is held out about as often as any other: 14 of 40, here within four deviations.
    held_out = Counter(p for split in splits for p, part in split.items() if part is not Part.TRAIN)
    assert max(abs(held_out[f"p{n}"] - 7) for n in range(40)) <= 4 * (20 * 0.35 * 0.65) ** 0.5

"""One patient changes a site's sum by a vector of length 1 at most, whoever else is there; the noise is as it says."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.noised.block import NoisedBlock, NoisedRow, Sums
from fedgen.evidence.noised.noised_rows import attacked, blocks, rows_of, rows_of_all
from fedgen.evidence.noised.noised_sum import noised_sum, opened, patient_vectors
from fedgen.study.study import Study
from fedgen_privacy.random import SecretRandom

STUDY = Study.model_validate(
    {
        "study": {"name": "t"},
        "data": {"image_size": (16, 16), "labels": ("none", "lesion")},
        "privacy": {"epsilon": 3.0},
        "evidence": {"privacy": {"epsilon": 1.0}},
    }
)


def brightness(site: SiteData) -> torch.Tensor:
    """An attack."""
    return site.images.float().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def asked(released) -> tuple[NoisedBlock, ...]:
    made = released()
    return attacked(blocks(STUDY, made, 3.0), brightness, STUDY, made)


def test_every_patient_tells_a_vector_of_length_one_at_most_in_her_own_blocks(asked, tiny_site) -> None:
    site = tiny_site("north", 6, held_out=3)
    vectors = patient_vectors(asked, site)
    assert vectors.shape == (12, 12 + 12 + 10)
    assert vectors.norm(dim=1).max() <= 1 + 1e-6 and vectors.norm(dim=1).min() > 0.1
    audited, tested = vectors[:9], vectors[9:]
    assert not audited[:, 12:].any() and not tested[:, :12].any()
    assert not audited[:6, 6:].any() and not audited[6:, :6].any()


@settings(max_examples=8)
@given(st.integers(0, 5), st.sampled_from([0.0, 1.0, -1.0, float("nan"), float("inf")]))
def test_a_patient_more_or_less_changes_the_sum_by_her_own_vector_alone(asked, tiny_site, who, pixel) -> None:
    """Whatever her images are; the others' vectors stay the same to the bit."""
    site = tiny_site("north", 2, held_out=2)
    hers = site.patients == who
    images = torch.where(hers[:, None, None, None], torch.full_like(site.images, pixel), site.images)
    with_her = replace(site, images=images)
    without = with_her.only(~hers)
    added = patient_vectors(asked, with_her)
    rest = patient_vectors(asked, without)
    assert torch.equal(torch.cat([added[:who], added[who + 1 :]]), rest)
    assert float((added.sum(dim=0) - rest.sum(dim=0)).norm()) <= 1 + 1e-5
    assert bool(torch.isfinite(added).all())


@dataclass(frozen=True)
class Loud(NoisedBlock):
    """A block that keeps no bound."""

    kind = "audit"
    parts = (Part.TRAIN,)

    id: str = "loud"
    share: float = 1.0
    names: tuple[str, ...] = ("a", "b")

    def of_patient(self, patient: SiteData, part: Part) -> np.ndarray:
        return np.array([30.0 * patient.n_images, 40.0])

    def row(self, sums: Sums) -> NoisedRow:
        return NoisedRow(id=self.id, title="Loud", group="audit", values=self.counts(sums))


def test_a_block_that_breaks_its_word_is_bounded_all_the_same(tiny_site) -> None:
    vectors = patient_vectors((Loud(),), tiny_site("north", 4))
    assert vectors[:4].norm(dim=1).tolist() == pytest.approx([1.0] * 4)
    assert not vectors[4:].any()


def test_blocks_that_take_more_than_there_is_are_refused(tiny_site) -> None:
    with pytest.raises(ValueError, match="TRAIN patients take 2"):
        patient_vectors((Loud(), replace(Loud(), id="again")), tiny_site("north", 4))


def test_the_noise_is_as_large_as_it_says(asked, tiny_site) -> None:
    site = tiny_site("north", 6, held_out=3)
    exact = patient_vectors(asked, site).double().sum(dim=0).numpy()
    random = SecretRandom(bytes(32))
    drawn = np.stack([noised_sum((Loud(),), site, 2.5, random) for _ in range(100)])
    assert np.std(drawn - drawn.mean(axis=0)) == pytest.approx(2.5, rel=0.15)
    found = noised_sum(asked, site, 1e-6, random)
    assert found == pytest.approx(exact, abs=2e-3)
    sums = opened(asked, found, 2.5)
    # Undone is what the blocks' shares did, to sums and noise alike.
    assert sums["noised-membership"].values[:6].sum() == pytest.approx(6, abs=0.01)
    assert sums["noised-worth-1"].values.sum() == pytest.approx(3, abs=0.01)
    assert sums["noised-worth-1"].noise == pytest.approx(2.5 / 0.6**0.5)
    with pytest.raises(ValueError, match="numbers"):
        opened(asked, found[:-1], 2.5)


def test_sums_of_sites_are_those_of_all_their_patients(asked, tiny_site) -> None:
    """Joined from what the rows have, with the noise of all of them."""
    sites = [tiny_site("north", 6, held_out=3), tiny_site("south", 5, held_out=4)]
    random, sigma = SecretRandom(bytes(32)), 1e-3
    totals = [noised_sum(asked, site, sigma, random) for site in sites]
    answers = [
        type("Answer", (), {"rows": rows_of(asked, opened(asked, t, sigma), "evaluation")}) for t in totals
    ]
    joined = rows_of_all(asked, answers, sigma, "evaluation")
    whole = rows_of(asked, opened(asked, np.sum(totals, axis=0), sigma * 2**0.5), "evaluation")
    assert [row.id for row in joined] == [
        "noised-worth-1",
        "noised-worth-1-sums",
        "noised-moments",
        "noised-moments-sums",
    ]
    for ours, theirs in zip(joined, whole, strict=True):
        for a, b in zip(ours.values, theirs.values, strict=True):
            assert a.value == pytest.approx(b.value, abs=1e-6), (ours.id, a.name)
    # A site that lacks a count is in no sum of it.
    assert rows_of_all(asked, [], sigma, "evaluation") == ()


def test_three_classes_share_the_vector(tiny_site, released) -> None:
    study = STUDY.model_copy(update={"data": STUDY.data.model_copy(update={"labels": ("a", "b", "c")})})
    made = replace(released(), labels=torch.arange(24) % 3)
    asked = attacked(blocks(study, made, 3.0), brightness, study, made)
    site = replace(tiny_site("north", 3, held_out=2), classes=("a", "b", "c"))
    vectors = patient_vectors(asked, replace(site, labels=site.patients % 3))
    assert vectors.shape[1] == 12 + 3 * 12 + 10
    assert vectors.norm(dim=1).max() <= 1 + 1e-6

"""The two controls that stand beside every audit of samples, and what they do to its row."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fedgen.data.site_data import LabelledImages, Part
from fedgen.evidence.audit.authenticity import Authenticity
from fedgen.evidence.audit.copies import CopyDetection
from fedgen.evidence.audit.data_copying import DataCopying
from fedgen.evidence.audit.density_ratio import DensityRatio
from fedgen.evidence.audit.drawn_samples import drawn
from fedgen.evidence.audit.likelihood_gap import FeatureLikelihoodGap, paper_gap
from fedgen.evidence.audit.monte_carlo import MonteCarlo
from fedgen.evidence.audit.near_duplicates import NearDuplicates, alike_across
from fedgen.evidence.audit.planted_controls import CLEAN, PLANTED, SMALLEST, beside_controls, controls
from fedgen.evidence.audit.release_membership import ReleaseMembership
from fedgen.evidence.measure import AuditedModel, Real
from fedgen.evidence.verdict import Undecided, decide
from fedgen.run.row import Row, Verdict
from fedgen.run.site_only import SiteOnly
from fedgen.study.audit_section import AuditSection

MODEL = AuditedModel({}, None, 1e-5)
OF_SAMPLES = (
    CopyDetection, DataCopying, ReleaseMembership, MonteCarlo, DensityRatio, Authenticity, FeatureLikelihoodGap,
)  # fmt: skip


SECTION = AuditSection(bootstrap=100)


@pytest.fixture(scope="module")
def world(make_world):
    """120 training and 60 held-out patients, and more strangers."""
    return make_world(11, 120, 60, 240)


@pytest.fixture(scope="module")
def honest(world, labelled):
    """A release of other people, and the patients with what is known of both."""
    return Real(world.sites), labelled(world.strangers)


@pytest.fixture(scope="module")
def copied(world, labelled):
    """A release most of which is the training set, a little brighter."""
    copies = (world.part(Part.TRAIN) + 0.02).clamp(-1, 1)
    return Real(world.sites), labelled(torch.cat([world.strangers[:60], copies]))


def found(kind, real, release):
    rows = [each for each in kind(SECTION).measure(real, release, MODEL, 0) if not isinstance(each, SiteOnly)]
    return decide(rows, SECTION.alpha)


@pytest.mark.parametrize("kind", OF_SAMPLES)
def test_an_audit_prints_what_it_would_have_seen_and_passes_other_people(kind, honest):
    for row in found(kind, *honest):
        assert row.get(SMALLEST).value in PLANTED, row.id
        assert row.get(CLEAN).value > 0.001
        assert row.verdict is Verdict.PASS, row.reason


@pytest.mark.parametrize("kind", OF_SAMPLES)
def test_a_release_of_copies_does_not_pass(kind, copied):
    for row in found(kind, *copied):
        assert row.verdict in (Verdict.FAIL, Verdict.REVIEW), row.id


def test_the_planted_share_is_of_copies_and_the_release_keeps_its_size(honest):
    of = drawn(*honest, 0)
    train = {image.numpy().tobytes() for image in of.samples.together.train.images.float()}
    for share, samples in controls(of, 0).planted.items():
        assert samples.synthetic.n_images == of.samples.synthetic.n_images
        verbatim = sum(image.numpy().tobytes() in train for image in samples.synthetic.images)
        assert verbatim == pytest.approx(share * samples.synthetic.n_images / 2, abs=13)
        assert set(samples.synthetic.spaces) == set(of.samples.synthetic.spaces)


def test_the_gap_of_copies_is_negative(copied, honest):
    gaps = [paper_gap(drawn(*each, 0).samples, "thumbnail") for each in (copied, honest)]
    assert gaps[0] < 3 * gaps[1] < 0


def noisy(image):
    rng = torch.Generator().manual_seed(0)
    return (image.float() + 0.05 * torch.randn(image.shape, generator=rng)).clamp(-1, 1)


def row():
    return Undecided(Row(id="a", title="A", group="audit"), "Fine.")


def judged(honest, instrument):
    [found] = decide([beside_controls(row(), instrument, *honest, 0.05, 0)], 0.05)
    return found


def test_a_blind_instrument_is_insufficient(honest):
    found = judged(honest, lambda samples: 1.0)
    assert found.verdict is Verdict.INSUFFICIENT
    assert "blind" in found.reason
    assert found.get(SMALLEST).value is None


def test_one_that_cries_wolf_is_insufficient(honest):
    found = judged(honest, lambda samples: 0.0)
    assert found.verdict is Verdict.INSUFFICIENT
    assert "cries wolf" in found.reason


def test_one_that_sees_half_says_so(honest):
    asked = []

    def instrument(samples):
        asked.append(samples)
        return 0.01 if len(asked) == 3 else 0.4

    found = judged(honest, instrument)
    assert found.verdict is Verdict.PASS
    assert found.get(SMALLEST).value == PLANTED[2]


def test_without_other_people_half_of_the_held_out_play_them(honest):
    of = drawn(*honest, 0)
    assert of.strangers.n_images == 0
    clean = controls(of, 0).clean
    sides = clean.together
    assert not torch.isin(clean.synthetic.patients, sides.held_out.patients).any()
    assert clean.synthetic.n_images + sides.held_out.n_images == of.samples.together.held_out.n_images
    assert torch.isin(clean.synthetic.patients, of.samples.together.held_out.patients).all()


def test_few_patients_have_no_control(make_world, labelled):
    world = make_world(12, 8, 6, 40)
    few = Real(world.sites), labelled(world.strangers)
    for kind in OF_SAMPLES:
        for row in found(kind, *few):
            assert row.verdict is Verdict.INSUFFICIENT
            assert row.get(SMALLEST) is None


def test_many_patients_are_a_sample(make_world, monkeypatch):
    from fedgen.evidence.audit import drawn_samples as samples

    monkeypatch.setattr(samples, "PATIENTS", 20)
    monkeypatch.setattr(samples, "SYNTHETIC", 30)
    world = make_world(13, 60, 40, 50, sites=2)
    made = LabelledImages(world.strangers, torch.zeros(50, dtype=torch.int64))
    of = drawn(Real(world.sites), made, 0).samples
    assert [site.train.n_patients for site in of.sites] == [10, 10]
    assert of.synthetic.n_images == 30
    for site in of.sites:
        _, count = torch.unique(site.train.patients, return_counts=True)
        assert int(count.max()) <= samples.IMAGES_EACH
    assert not math.isnan(float(of.together.train.spaces["radiomics"].sum()))


def test_copies_are_listed_by_the_numbers_of_the_sites_own_data(make_world, labelled):
    world = make_world(14, 40, 20, 60, sites=2)
    site = world.sites[1]
    row = int((site.parts == int(Part.TRAIN)).nonzero()[5])
    equal, near = site.images[row].float(), noisy(site.images[row])
    release = labelled(torch.cat([world.strangers, equal[None], near[None]]))
    listed = [
        each
        for each in CopyDetection(SECTION).measure(Real(world.sites), release, MODEL, 0)
        if isinstance(each, SiteOnly)
    ]
    copies = {entry["synthetic"]: entry for entry in listed[0].entries if entry["kind"] != "suspected"}
    assert {number: entry["kind"] for number, entry in copies.items()} == {60: "equal", 61: "near"}
    for entry in copies.values():
        assert (entry["site"], entry["image"]) == (site.site, row)
        assert entry["patient"] == int(site.patients[row])
    assert "NOT covered by differential privacy" in listed[0].about


def test_one_person_at_two_sites_is_found_and_nobody_else(make_world):
    world = make_world(15, 30, 15, 0, sites=3)
    first, second, third = world.sites
    assert alike_across([first, second, third], 0) == []
    here, there = int((first.parts == int(Part.AUDIT)).nonzero()[0]), int((third.parts == 0).nonzero()[3])
    images = third.images.clone()
    images[there] = noisy(first.images[here]).half()
    twice = replace(third, images=images)
    found = alike_across([first, second, twice], 0)
    assert {(each.site, each.image, each.other_site, each.other_patient) for each in found} == {
        (first.site, here, third.site, int(third.patients[there])),
        (third.site, there, first.site, int(first.patients[here])),
    }
    assert all(each.spoils for each in found)
    kept, row = NearDuplicates(SECTION).measure(Real([first, second, twice]), None, None, 0)
    assert row.verdict is Verdict.REVIEW
    assert len(kept.entries) == 2
    assert list(NearDuplicates(SECTION).measure(Real([first]), None, None, 0)) == []


def test_who_sees_nothing_but_exact_copies_is_not_blind_and_says_so(honest):
    exact = controls(drawn(*honest, 0), 0).exact
    train = {image.float().numpy().tobytes() for image in exact.together.train.images}
    assert exact.synthetic.n_images == drawn(*honest, 0).samples.synthetic.n_images
    assert all(image.float().numpy().tobytes() in train for image in exact.synthetic.images)

    def instrument(samples):
        made = [image.float().numpy().tobytes() in train for image in samples.synthetic.images]
        return 0.001 if all(made) else 0.4

    found = judged(honest, instrument)
    assert found.verdict is Verdict.PASS
    assert found.get(SMALLEST).value is None
    assert "but nothing but exact copies is" in found.get(SMALLEST).note

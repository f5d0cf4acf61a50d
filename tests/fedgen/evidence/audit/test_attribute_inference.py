"""What is learned of training patients beyond what is learned of anybody: a planted leak, and none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import fisher_exact

from fedgen.data.site_data import Part
from fedgen.evidence.audit.attribute_inference import AttributeInference, guessed
from fedgen.evidence.audit.attributes import Attribute, class_of
from fedgen.evidence.measure import AuditedModel, Real
from fedgen.evidence.verdict import Undecided, decide
from fedgen.run.row import Verdict

DELTA = 1e-5
CLASSES = ("a", "b")
SEX, AGE = Attribute("covariate-1", "sex", 2, 0), Attribute("covariate-2", "age", 9, 2, True)


@pytest.fixture
def known_site(make_world):
    """A site whose patients have a class, a sex and an age that their images do not show."""
    [site] = make_world(11, 60, 50, 0).sites
    rng = torch.Generator().manual_seed(0)
    patients = int(site.patients.max()) + 1
    labels, sex = torch.randint(2, (2, patients), generator=rng)[:, site.patients]
    age = (torch.rand(patients, generator=rng) * 2 - 1)[site.patients]
    covariates = torch.stack([1.0 - sex, sex.float(), age], dim=1)
    return replace(site, classes=CLASSES, labels=labels, covariates=covariates)


def remembering(site, attribute: Attribute, *, only_training: bool):
    """A score that is high for an image with its own value, of training patients or of all."""
    truth = {
        image.numpy().tobytes(): float(value)
        for image, value, part in zip(site.images, attribute.truth(site), site.parts, strict=True)
        if part == int(Part.TRAIN) or not only_training
    }
    rng = torch.Generator().manual_seed(1)

    def score(data):
        asked = attribute.truth(data)
        known = [truth.get(image.numpy().tobytes()) for image in data.images]
        away = [0.0 if of is None else -abs(float(to) - of) for of, to in zip(known, asked, strict=True)]
        return 50 * torch.tensor(away) + torch.randn(data.n_images, generator=rng)

    return score


def judged(site, attribute: Attribute, score, section, release=None, end=""):
    audit = AttributeInference(section)
    guess = (
        audit._with_model(attribute, AuditedModel({"loss": score}, None, DELTA))
        if release is None
        else audit._with_release(release)
    )
    found = guessed(Real([site]), attribute, guess, 0)
    return decide([audit._row(attribute, end, "the model", found, None)], 0.05)[0], found[0]


@pytest.mark.parametrize("attribute", [class_of(CLASSES), SEX, AGE], ids=lambda each: each.id)
def test_what_is_remembered_of_training_patients_alone_is_reviewed(known_site, section, attribute) -> None:
    row, found = judged(
        known_site, attribute, remembering(known_site, attribute, only_training=True), section
    )
    assert row.verdict is Verdict.REVIEW and "guessed better" in row.reason
    if not attribute.number:
        right = [int(side.sum()) for side in (found.train, found.held_out)]
        table = [[right[0], found.train.size - right[0]], [right[1], found.held_out.size - right[1]]]
        assert fisher_exact(table, alternative="greater").pvalue < 1e-6
        assert row.get("residual risk").value > 0.9
        # Nothing of it is in the images.
        assert row.get("right, training patients, without the model").low < 0.55


@pytest.mark.parametrize("attribute", [class_of(CLASSES), SEX, AGE], ids=lambda each: each.id)
def test_what_is_known_of_everybody_is_no_leak(known_site, section, attribute) -> None:
    row, found = judged(
        known_site, attribute, remembering(known_site, attribute, only_training=False), section
    )
    assert row.verdict is Verdict.PASS
    assert found.train.mean() > (-0.2 if attribute.number else 0.95)
    assert len({*found.train.tolist()}) >= 1 and found.train.size <= 60


def test_nothing_known_keeps_the_level(known_site, section) -> None:
    """60 draws of one test each at 0.05 of a discrete statistic: more alarms have probability 1e-3 at most."""
    alarms = 0
    for seed in range(60):
        rng = torch.Generator().manual_seed(seed)
        row, _ = judged(
            known_site, SEX, lambda data, rng=rng: torch.randn(data.n_images, generator=rng), section
        )
        alarms += row.verdict is not Verdict.PASS
    assert alarms <= 9


def test_with_the_release_the_class_is_guessed_by_the_nearest_image(labelled, section, known_site) -> None:
    train = known_site.part(Part.TRAIN)
    release = replace(labelled(train.images), labels=train.labels)
    model = AuditedModel({}, None, DELTA)
    found = [
        each
        for each in AttributeInference(section).measure(Real([known_site]), release, model, 0)
        if isinstance(each, Undecided)
    ]
    assert [each.row.id for each in found] == ["attribute-inference-class-release"]
    row = decide(found, 0.05)[0]
    assert row.verdict is Verdict.REVIEW and row.get("right, training patients").value == 1.0
    assert 0.2 < row.get("right, held-out patients").value < 0.8


def test_shifted_groups_make_it_invalid_and_one_class_is_not_asked(
    known_site, labelled, section, make_world
) -> None:
    shift = 0.4 * (known_site.parts == int(Part.AUDIT)).half()[:, None, None, None]
    shifted = replace(known_site, images=known_site.images + shift)
    release = labelled(known_site.images[:20])
    model = AuditedModel({}, None, DELTA)
    rows = decide(AttributeInference(section).measure(Real([shifted]), release, model, 0), 0.05)
    assert [row.verdict for row in rows] == [Verdict.REVIEW] and "invalid" in rows[0].reason
    [alike] = make_world(11, 20, 15, 0).sites
    assert not list(AttributeInference(section).measure(Real([alike]), release, model, 0))


def test_a_supposed_value_changes_nothing_else(known_site) -> None:
    for attribute in (class_of(CLASSES), SEX, AGE):
        for guess in range(attribute.values):
            supposed = attribute.supposed(known_site, guess)
            assert bool((attribute.truth(supposed) == attribute.guesses()[guess]).all())
            for other in (class_of(CLASSES), SEX, AGE):
                if other is not attribute and other.id != attribute.id:
                    assert torch.equal(other.truth(supposed), other.truth(known_site))
    assert np.isclose(AGE.guesses()[0], -1) and np.isclose(AGE.guesses()[-1], 1)

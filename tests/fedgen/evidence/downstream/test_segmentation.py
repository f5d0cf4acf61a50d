"""Networks trained on pairs: what teaches is seen, what does not is found out, and controls are visibly worse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.evidence.downstream.segmentation import Segmentation
from fedgen.evidence.downstream.segmentation_arms import (
    TITLES,
    made_masked,
    masked_images,
    of_others,
    site_alone,
    taught,
)
from fedgen.evidence.join import join
from fedgen.evidence.leave import leave
from fedgen.evidence.measure import Real
from fedgen.run.row import Row, Verdict
from fedgen.study.evaluation_section import EvaluationSection

MakeSite = Callable[..., SiteData]
OPTIONS = EvaluationSection(seeds=1, steps=40, bootstrap=100)


def discs(n: int, *, seed: int, noise: float = 0.15) -> tuple[Tensor, Tensor]:
    """A bright disc anywhere in a dark image, and where it is: the mask can be told by the image alone."""
    rng = torch.Generator().manual_seed(seed)
    centre = torch.rand(n, 2, 1, 1, generator=rng) * 16 + 8
    radius = torch.rand(n, 1, 1, generator=rng) * 3 + 4
    rows, columns = torch.arange(32.0)[:, None], torch.arange(32.0)[None]
    inside = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 <= radius**2
    images = torch.where(inside, 0.6, -0.6) + noise * torch.randn(n, 32, 32, generator=rng)
    return images.clamp(-1, 1)[:, None], inside[:, None].to(torch.uint8)


def site(name: str, *, seed: int, patients: int = 24) -> SiteData:
    images, masks = discs(patients, seed=seed)
    half = patients * 2 // 3
    return SiteData(
        site=name,
        classes=("any",),
        images=images.half(),
        labels=torch.zeros(patients, dtype=torch.int64),
        patients=torch.arange(patients),
        parts=torch.tensor([int(Part.TRAIN)] * half + [int(Part.TEST)] * (patients - half)),
        masks=masks,
        masked=torch.ones(patients, dtype=torch.bool),
        spacing=(1.5, 1.5),
    )


def rows_of(sites: list[SiteData], made: LabelledImages) -> dict[str, Row]:
    found = Segmentation(OPTIONS).measure(Real(sites, ("disc",)), made, None, 0)
    return {row.id: row for row in found}


def synthetic(images: Tensor, masks: Tensor) -> LabelledImages:
    return LabelledImages(images, torch.zeros(len(images), dtype=torch.int64), masks)


@pytest.fixture(scope="module")
def sites() -> list[SiteData]:
    return [site("a", seed=1), site("b", seed=2)]


@pytest.fixture(scope="module")
def rows(sites: list[SiteData]) -> dict[str, Row]:
    return rows_of(sites, synthetic(*discs(32, seed=3)))


def dice(row: Row) -> float:
    value = row.get("Dice")
    assert value is not None and value.value is not None
    return float(value.value)


def test_good_pairs_teach_and_the_controls_do_not(rows: dict[str, Row]) -> None:
    good = [dice(rows[f"segmentation-{arm}"]) for arm in ("TRTR", "TSTR", "TRTR+S")]
    bad = [dice(rows[f"segmentation-{arm}"]) for arm in ("TRTR-shuffled", "TSTR-shuffled", "site-alone")]
    assert min(good) > 0.8
    assert max(bad) < 0.5
    assert rows["segmentation-TRTR"].verdict is Verdict.PASS
    assert rows["segmentation-TSTR"].verdict is Verdict.PASS
    assert rows["segmentation-TRTR"].get("HD95, mm") is not None


@pytest.mark.slow
def test_pairs_whose_masks_are_of_other_images_are_found_out(sites: list[SiteData]) -> None:
    images, masks = discs(32, seed=3)
    row = rows_of(sites, synthetic(images, masks.roll(5, 0)))["segmentation-TSTR"]
    assert row.verdict is Verdict.REVIEW
    assert dice(row) < 0.5


@pytest.mark.slow
def test_where_the_real_arm_does_not_learn_nothing_is_said(sites: list[SiteData]) -> None:
    # Masks that no image tells anything of.
    blind = [replace(each, masks=discs(len(each.images), seed=9)[1]) for each in sites]
    found = rows_of(blind, synthetic(*discs(32, seed=3)))
    assert found["segmentation-TRTR"].verdict is Verdict.INSUFFICIENT
    assert found["segmentation-TSTR"].verdict is Verdict.INSUFFICIENT


def test_without_masks_or_test_patients_it_says_so(sites: list[SiteData]) -> None:
    pairs = synthetic(*discs(4, seed=3))
    none = replace(pairs, masks=None)
    assert not list(Segmentation(OPTIONS).measure(Real(sites, ("disc",)), none, None, 0))
    assert not list(Segmentation(OPTIONS).measure(Real(sites), pairs, None, 0))
    train = [replace(each, parts=torch.full_like(each.parts, int(Part.TRAIN))) for each in sites]
    found = rows_of(train, pairs)
    assert found["segmentation-TRTR"].verdict is Verdict.INSUFFICIENT
    assert "There is no test patient" in (found["segmentation-TRTR"].note or "")


def test_the_rows_leave_and_join(rows: dict[str, Row]) -> None:
    # Two sites with the same patients, as each would send its own.
    joined = {row.id: row for row in join({site: leave(rows.values(), 3) for site in ("a", "b")})}
    assert set(joined) == set(rows)
    row = joined["segmentation-TSTR"]
    assert row.n["test_patients"] == 2 * rows["segmentation-TSTR"].n["test_patients"]
    assert dice(row) == pytest.approx(dice(rows["segmentation-TSTR"]))
    assert row.verdict is Verdict.PASS
    assert all(not row.values for row in leave(rows.values(), 100))


def test_arms_are_what_they_say(sites: list[SiteData]) -> None:
    real, made = masked_images(sites, Part.TRAIN), made_masked(synthetic(*discs(5, seed=3)), 2)
    both = taught("TRTR+S", real, made, seed=0)
    assert both.n_images == 2 * real.n_images
    assert (both.sites == 2).sum() == real.n_images
    for arm in TITLES:
        if arm != "site-alone":
            assert taught(arm, real, made, seed=0).n_images


def test_masks_of_others_are_never_ones_own(sites: list[SiteData]) -> None:
    data = masked_images(sites, Part.TRAIN)
    # Two images a patient, each mask marked by its patient's number.
    numbered = replace(
        data,
        patients=torch.arange(data.n_images) // 2,
        masks=(torch.arange(data.n_images) // 2).to(torch.uint8).reshape(-1, 1, 1, 1).expand_as(data.masks),
    )
    for seed in range(5):
        shuffled = of_others(numbered, seed=seed)
        given = shuffled.masks[:, 0, 0, 0].long()
        assert not bool((given == shuffled.patients).any())
        assert given.bincount().unique().tolist() == shuffled.patients.bincount().unique().tolist()
        assert len(given) > 2 * data.n_images


def test_knowing_the_site_alone_is_its_usual_mask(sites: list[SiteData]) -> None:
    train = masked_images(sites, Part.TRAIN)
    shares = site_alone(train, torch.tensor([1, 0, 5]), 1)
    assert shares.sum(dim=1) == pytest.approx(torch.ones(3, 32, 32))
    own = train.masks[train.sites == 0].float().mean(dim=0)[0]
    assert shares[1, 1] == pytest.approx(own)
    # A site that nobody trained at is as all are.
    assert shares[2, 1] == pytest.approx(train.masks.float().mean(dim=0)[0])

"""What a translation is worth: a model that knows the true map passes, one that does not is found out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.join import join
from fedgen.evidence.leave import leave
from fedgen.evidence.measure import Real
from fedgen.evidence.registry import translation_measures
from fedgen.evidence.translating import Translating
from fedgen.evidence.translation.cases import cases_of
from fedgen.evidence.translation.perceptual import Perceptual
from fedgen.evidence.translation.quality import Quality, choices
from fedgen.evidence.translation.structure import Distribution, Structure, edges_by_case
from fedgen.evidence.translation.use import UseOfTargets
from fedgen.run.row import Row, Verdict
from fedgen.study.evaluation_section import EvaluationSection
from fedgen.study.perceptual_section import PerceptualSection
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import PRESENT, Task, translation

OPTIONS = EvaluationSection(seeds=1, steps=40, bootstrap=100, extractors=("radiomics",))
SIDE = 24
SPEC = ImageSpec(channels=1, size=(SIDE, SIDE))
TASK = translation({"T1": SPEC, "T2": SPEC}, ("FLAIR", SPEC))
UNPAIRED = translation({"T1": SPEC}, ("FLAIR", SPEC), paired=False)


def anatomy(n: int, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """T1, T2 and a FLAIR that is bright in one structure, which only T1 and T2 together tell from another."""
    rng = torch.Generator().manual_seed(seed)
    rows, columns = torch.arange(float(SIDE))[:, None], torch.arange(float(SIDE))[None]

    def disc(radius: float) -> Tensor:
        centre = torch.rand(n, 2, 1, 1, generator=rng) * 10 + 7
        return (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 <= radius**2

    one, two = disc(4), disc(4)
    noise = [0.02 * torch.randn(n, SIDE, SIDE, generator=rng) for _ in range(3)]
    t1 = torch.where(one, 0.5, 0.0) + noise[0]
    t2 = torch.where(one ^ two, 0.5, 0.0) + noise[1]
    flair = torch.where(one & two, 0.9, -0.3) + noise[2]
    return t1[:, None], t2[:, None], flair[:, None]


def true_map(given: Mapping[str, Tensor]) -> Tensor:
    return torch.where((given["T1"] > 0.25) & (given["T2"] < 0.25), 0.9, -0.3)


def site(name: str, *, seed: int, patients: int = 12) -> SiteData:
    n = 2 * patients
    images = torch.cat(anatomy(n, seed=seed), dim=1)
    parts = torch.tensor([int(Part.TRAIN)] * (n // 2) + [int(Part.TEST)] * (n // 2))
    return SiteData(
        site=name,
        classes=("any",),
        images=images.half(),
        labels=torch.zeros(n, dtype=torch.int64),
        patients=torch.arange(n) // 2,
        parts=parts,
        masks=(images[:, 2:] > 0.5).to(torch.uint8),
        masked=torch.ones(n, dtype=torch.bool),
        contrasts=("T1", "T2", "FLAIR"),
        present=torch.ones(n, 3, dtype=torch.bool),
    )


def how(make: Callable[[Mapping[str, Tensor]], Tensor], task: Task = TASK, **more: object) -> Translating:
    given = {"needed": ("T1", "T2"), "mask_classes": ("bright",)} | more
    return Translating(task=task, make=make, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sites() -> list[SiteData]:
    return [site("a", seed=1), site("b", seed=2)]


def quality(sites: list[SiteData], asked: Translating) -> dict[str, Row]:
    return {row.id: row for row in Quality(OPTIONS).measure(Real(sites), asked, 0)}


def mae(row: Row, name: str = "MAE") -> float:
    value = row.get(name)
    assert value is not None and value.value is not None
    return float(value.value)


def test_the_true_map_beats_all_controls(sites: list[SiteData]) -> None:
    rows = quality(sites, how(true_map))
    assert rows["translation-model"].verdict is Verdict.PASS
    errors = {
        arm: mae(rows[f"translation-{arm}"]) for arm in ("model", "linear", "mean", "source-T1", "source-T2")
    }
    assert errors["model"] == min(errors.values())
    assert max(errors["linear"], errors["mean"]) < min(errors["source-T1"], errors["source-T2"])
    assert rows["translation-model"].n["test_patients"] == 12
    assert rows["translation-model"].get("VIF").value is None  # type: ignore[union-attr]
    less = rows["translation-model-against-linear"].get("MAE")
    assert less is not None and less.high is not None and less.high < 0


@pytest.mark.parametrize(
    "make", [lambda given: given["T1"], lambda given: torch.full_like(given["T1"], -0.3)]
)
def test_a_model_that_copies_or_blurs_is_found_out(
    sites: list[SiteData], make: Callable[[Mapping[str, Tensor]], Tensor]
) -> None:
    assert quality(sites, how(make))["translation-model"].verdict is Verdict.REVIEW


def test_too_few_patients_judge_nothing_and_nothing_of_them_leaves(sites: list[SiteData]) -> None:
    one = sites[0]
    few = replace(one, parts=torch.where(one.patients < 11, int(Part.TRAIN), int(Part.TEST)))
    rows = quality([few], how(true_map))
    assert rows["translation-model"].verdict is Verdict.INSUFFICIENT
    assert all(value.value is None for value in rows["translation-model"].values)
    none = replace(one, parts=torch.full_like(one.parts, int(Part.TRAIN)))
    assert quality([none], how(true_map))["translation-model"].verdict is Verdict.INSUFFICIENT


def test_the_rows_of_sites_leave_and_join(sites: list[SiteData]) -> None:
    alone = {each.site: leave(quality([each], how(true_map)).values(), 3) for each in sites}
    joined = {row.id: row for row in join(alone)}
    row = joined["translation-model"]
    assert row.n["test_patients"] == 12 and row.verdict is Verdict.PASS
    assert mae(row) == pytest.approx(np.mean([mae(rows[0]) for rows in alone.values()]))


def test_lpips_is_a_number_by_case_where_its_weights_are_and_a_sentence_where_they_are_not(
    sites: list[SiteData], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = PerceptualSection(network="vgg", sha256="a" * 64, source="of a test")
    measure = Quality(OPTIONS.model_copy(update={"perceptual": asked}))
    silent = {row.id: row for row in measure.measure(Real(sites), how(true_map), 0)}
    assert "not on this machine" in (silent["translation-LPIPS"].note or "")
    assert silent["translation-model"].get("LPIPS") is None
    monkeypatch.setattr(Perceptual, "of", lambda _: Distance())
    rows = {row.id: row for row in measure.measure(Real(sites), how(true_map), 0)}
    assert "a" * 64 in (rows["translation-LPIPS"].note or "")
    assert mae(rows["translation-model"], "LPIPS") < mae(rows["translation-mean"], "LPIPS")
    assert rows["translation-model-against-mean"].get("LPIPS") is not None
    joined = {row.id: row for row in join({"a": list(rows.values()), "b": list(silent.values())})}
    value = joined["translation-model"].get("LPIPS")
    assert value is not None and value.without == ("b",)


class Distance(torch.nn.Module):
    """In place of a network."""

    least_side = 1

    def forward(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """(n,) mean absolute errors."""
        return (ours - theirs).abs().flatten(1).mean(dim=1)


def test_missing_sources_have_rows_with_their_number_of_cases(sites: list[SiteData]) -> None:
    # The first patients of the test part lack T2.
    lacking = []
    for each in sites:
        there = each.present.clone()  # type: ignore[union-attr]
        there[12:16, 1] = False
        images = each.images.clone()
        images[12:16, 1] = 0
        lacking.append(replace(each, images=images, present=there))

    def make(given: Mapping[str, Tensor]) -> Tensor:
        both = given[PRESENT].all(dim=1).reshape(-1, 1, 1, 1)
        # What is not there is not given, whatever the patient has.
        assert not bool((given["T2"][given[PRESENT][:, 1] == 0] != 0).any())
        return torch.where(both, true_map(given), -0.3)

    rows = quality(lacking, how(make, needed=("T1",)))
    assert rows["translation-given-T1"].n["test_patients"] == 12
    assert rows["translation-given-T1+T2"].n["test_patients"] == 8
    assert mae(rows["translation-given-T1+T2"]) < mae(rows["translation-given-T1"])
    assert mae(rows["translation-given-T1"], "MAE, linear map") > 0
    assert "translation-source-T2" not in rows or not rows["translation-source-T2"].values
    assert not [id for id in quality(sites, how(true_map)) if id.startswith("translation-given")]


def test_choices_of_sources_have_those_that_nobody_lacks(sites: list[SiteData]) -> None:
    test = cases_of(Real(sites), Part.TEST, TASK)
    assert choices(how(true_map, needed=()), test) == [("T1",), ("T2",), ("T1", "T2")]
    assert choices(how(true_map, needed=("T2",)), test) == [("T2",), ("T1", "T2")]


@pytest.mark.slow
def test_made_targets_are_segmented_as_real_ones_where_they_are_right(sites: list[SiteData]) -> None:
    rows = {row.id: row for row in UseOfTargets(OPTIONS).measure(Real(sites), how(true_map), 0)}
    real, made, linear = (
        mae(rows[f"translation-use-{n}"], "Dice with the true mask") for n in ("real", "made", "linear")
    )
    assert real > 0.8 and made > 0.7 and made > linear
    assert mae(rows["translation-use-real"], "Dice with the mask of the real target") == 1
    assert rows["translation-use-made"].verdict is Verdict.PASS
    assert not list(UseOfTargets(OPTIONS).measure(Real(sites), how(true_map, mask_classes=()), 0))


def unpaired(sites: list[SiteData]) -> list[SiteData]:
    """Half of each site's patients have T1, the others FLAIR."""
    made = []
    for each in sites:
        first = (each.patients % 2 == 0)[:, None]
        there = torch.cat([first, ~first], dim=1)
        images = each.images[:, [0, 2]] * there[..., None, None]
        made.append(replace(each, images=images, contrasts=("T1", "FLAIR"), present=there))
    return made


def test_without_pairs_structure_is_what_can_be_judged(sites: list[SiteData]) -> None:
    apart = unpaired(sites)

    def rows(make: Callable[[Mapping[str, Tensor]], Tensor], **more: object) -> dict[str, Row]:
        asked = how(make, UNPAIRED, needed=("T1",), mask_classes=(), **more)
        return {row.id: row for row in Structure(OPTIONS).measure(Real(apart), asked, 0)}

    kept = rows(lambda given: -given["T1"], back=lambda made: {"T1": -made})["translation-structure-T1"]
    assert kept.verdict is Verdict.PASS
    assert mae(kept, "edges kept") == pytest.approx(1, abs=1e-3)
    assert mae(kept, "edges of another patient") < 0.7
    assert mae(kept, "cycle error (MAE)") == pytest.approx(0, abs=1e-6)
    lost = rows(lambda given: given["T1"].roll(3, 0))["translation-structure-T1"]
    assert lost.verdict is Verdict.REVIEW
    assert lost.get("cycle error (MAE)") is None
    assert not quality(apart, how(lambda given: given["T1"], UNPAIRED))
    assert not list(Structure(OPTIONS).measure(Real(sites), how(true_map), 0))


def test_without_pairs_made_targets_are_held_against_real_ones(sites: list[SiteData]) -> None:
    many = [site("a", seed=3, patients=40)]
    asked = how(lambda given: torch.where(given["T1"] > 0.25, 0.9, -0.3), UNPAIRED)
    rows = {row.id: row for row in Distribution(OPTIONS).measure(Real(unpaired(many)), asked, 0)}
    assert rows["translation-FID-radiomics"].n["made_images"] > 0
    assert mae(rows["translation-FID-radiomics"], "made to real") > 0


def test_edges_of_an_image_are_those_of_its_negative() -> None:
    image = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    assert edges_by_case(image, -2 * image, torch.tensor([0, 0, 1])) == pytest.approx(np.ones(2))
    volume = torch.rand(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    assert abs(edges_by_case(volume, volume.flip(2), torch.arange(2))).max() < 0.5


def test_measures_are_found_by_walking() -> None:
    found = [measure.id for measure in translation_measures()]
    assert found == ["translation", "translation-use", "translation-structure", "translation-distribution"]

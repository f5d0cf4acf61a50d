"""All rows of a release: what they hold, limits, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.errors import DataError
from fedgen.evidence.assess import assess_audit, assess_evaluation
from fedgen.evidence.audit.blind import BlindBaseline
from fedgen.evidence.limits import evaluation_limits
from fedgen.evidence.measure import AuditedModel
from fedgen.evidence.metrics.feature_space import COMPARISONS
from fedgen.run.evidence_files import Evaluated
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.run.site_only import SiteOnly
from fedgen.study.study import Study

MakeSite = Callable[..., SiteData]
MakeSynthetic = Callable[..., LabelledImages]


def asked(**evaluation: Any) -> Study:
    """A study of two classes that is quickly evaluated."""
    return Study.model_validate(
        {
            "study": {"name": "t", "seed": 7},
            "evaluation": {"seeds": 2, "steps": 3, "bootstrap": 100, **evaluation},
            "audit": {"bootstrap": 100},
        }
    )


def rows(result: Evaluated) -> dict[str, Row]:
    return {row.id: row for row in result.rows}


def numbers(row: Row, name: str) -> float | None:
    found = row.get(name)
    assert found is not None, name
    return found.value


def test_the_rows_of_an_evaluation(make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    sites = [make_site("a", patients=36), make_site("b", patients=12, seed=1, one_class=True)]
    titles: list[str] = []
    result = assess_evaluation(asked(), sites, make_synthetic(), titles.append)
    assert Evaluated.model_validate_json(result.model_dump_json()) == result
    assert result.n == {
        "train_images": 48,
        "train_patients": 24,
        "test_images": 32,
        "test_patients": 16,
        "synthetic_images": 60,
    }
    assert [row.id for row in result.rows] == [
        *(f"{each.id}-{name}" for name in ("radiomics", "random_conv") for each in COMPARISONS),
        "extractors-agree", "features-radiomics", "features-random_conv",
        "histogram-KL", "histogram-JS", "diversity-0", "diversity-1", "ms-ssim",
        "moments-radiomics", "moments-random_conv", "TRTR", "TSTR", "TRTR+S", "TRTR+R",
        "TRTR-shuffled", "TSTR-shuffled", "site-alone", "TSTR-against-TRTR", "TRTR+S-against-TRTR+R",
        "TRTR-against-site-alone", "TSTR-against-site-alone", "downstream-task",
        "site-left-out", "trained-on-0", "trained-on-1",
        *(f"claim-{arm}-against-{against}-{judge}" for judge in ("network", "simple") for arm, against in (
            ("TSTR", "TRTR"), ("TRTR+S", "TRTR+R"), ("TRTR", "site-alone"), ("TSTR", "site-alone"))),
        "inception-score", "mode-score",
        "calibration-TRTR", "calibration-TSTR", "calibration-TRTR+S", "calibration-TRTR+R", "calibration-shares",
        "subgroups-site-TRTR", "subgroups-site-TSTR", "subgroups-site-TRTR+S",
        "opportunity-site-TRTR", "opportunity-site-TSTR", "opportunity-site-TRTR+S",
        "ratio-synthetic", "ratio-duplicated", "ratio-augmented",
        "ratio-synthetic-against-duplicated", "ratio-synthetic-against-augmented",
    ]  # fmt: skip
    assert titles == [row.title for row in result.rows]
    found = rows(result)
    for id in ("FID-radiomics", "KID-random_conv"):
        assert numbers(found[id], "synthetic to real") is not None
        assert numbers(found[id], "real to real (floor)") is not None
        assert found[id].note and found[id].n["real_images"]
    for each in COMPARISONS:
        value = found[f"{each.id}-radiomics"].values[0]
        assert value.low is not None and value.high is not None and value.low <= value.high
        assert value.high <= 1 or each.id not in ("precision", "recall", "coverage", "1-NN-accuracy")
    assert "sha256" in (found["features-radiomics"].note or "")
    assert [found[f"diversity-{c}"].title for c in (0, 1)] == ["none", "lesion"]
    assert "2 scales" in (found["ms-ssim"].note or "")
    for arm in ("TRTR", "TSTR", "TRTR+S", "TRTR+R", "TRTR-shuffled", "TSTR-shuffled"):
        row = found[arm]
        assert [value.name for value in row.values] == [
            "AUROC", "balanced accuracy", "AUROC within sites", "AUROC, simple judge",
            "AUROC within sites, simple judge", "AUROC, texture judge", "AUROC within sites, texture judge",
            "training images",
        ]  # fmt: skip
        assert [value.name for value in row.per_site[0].values] == [
            "AUROC",
            "balanced accuracy",
            "AUROC, simple judge",
            "AUROC, texture judge",
        ]
        assert (row.verdict is not None) == (arm in ("TRTR", "TSTR"))
        assert [(part.site, part.n) for part in row.per_site] == [
            ("a", {"test_patients": 12}),
            ("b", {"test_patients": 4}),
        ]
        assert numbers(row.per_site[1], "AUROC") is None and row.per_site[1].note  # type: ignore[arg-type]
        auroc = row.get("AUROC")
        assert (
            auroc is not None
            and auroc.low is not None
            and (auroc.std is not None) == (arm in ("TRTR", "TSTR"))
        )
        if arm.endswith("shuffled"):
            shuffled = row.get("AUROC, simple judge")
            assert shuffled is not None and shuffled.std is not None
    task = "Tell none from lesion in an image, tested on held-out patients of 2 sites. The network is trained for up"
    assert (found["downstream-task"].note or "").startswith(task)
    assert result.limits and all(sentence.endswith(".") for sentence in result.limits)


def test_between_sites_a_classifier_is_tested_where_it_has_not_been(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    sites = [
        make_site("a", patients=36),
        make_site("b", patients=36, seed=1),
        make_site("c", seed=2, one_class=True),
    ]
    found = rows(assess_evaluation(asked(seeds=1, extractors=("random_conv",)), sites, make_synthetic(20)))
    out = found["site-left-out"]
    assert [part.site for part in out.per_site] == ["a", "b", "c"]
    scores = [numbers(part, "AUROC, simple judge") for part in out.per_site]  # type: ignore[arg-type]
    assert scores[0] is not None and scores[1] is not None and min(scores[:2]) > 0.7 and scores[2] is None
    whole = numbers(out, "AUROC, simple judge")
    assert whole is not None and min(scores[:2]) <= whole <= max(scores[:2])
    assert all(
        "No training image is of lesion" in (part.note or "") for part in found["trained-on-2"].per_site
    )
    off_diagonal = [found["trained-on-0"].per_site[1], found["trained-on-1"].per_site[0]]
    worst = found["worst-cell"]
    assert numbers(worst, "AUROC, simple judge") == min(
        numbers(part, "AUROC, simple judge") or 1.0  # type: ignore[arg-type]
        for part in off_diagonal
    )
    # One site alone has no other.
    alone = rows(
        assess_evaluation(asked(seeds=1, extractors=("random_conv",)), sites[:1], make_synthetic(20))
    )
    assert not {"site-left-out", "trained-on-0", "worst-cell", "site-alone"} & set(alone)


def test_equal_seeds_give_equal_results(make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    site, synthetic = make_site(patients=24), make_synthetic(20)
    study = asked(extractors=("random_conv",), seeds=1)
    first, again = (assess_evaluation(study, [site], synthetic) for _ in range(2))
    assert first == again


def test_the_smallest_study_has_reasons_for_all_it_lacks(
    make_site: MakeSite, make_synthetic: MakeSynthetic
) -> None:
    result = assess_evaluation(asked(), [make_site(patients=2, each=1)], make_synthetic(3))
    for row in result.rows:
        if row.group == "fidelity" and row.values and row.id != "extractors-agree":
            assert numbers(row, "synthetic to real") is None and row.note
        if row.group == "diversity" and row.values:
            assert numbers(row, "real") is None and row.note
        if row.group == "downstream" and row.values:
            assert numbers(row, "AUROC") is None and row.note == "There is no test patient."


def test_a_study_of_one_class_has_no_downstream_task(make_site: MakeSite) -> None:
    site = replace(make_site(patients=24, one_class=True), classes=("none",))
    study = Study.model_validate({**asked().model_dump(), "data": {"labels": ["none"]}})
    synthetic = LabelledImages(torch.rand(20, 1, 32, 32) * 2 - 1, torch.zeros(20, dtype=torch.int64))
    found = rows(assess_evaluation(study, [site], synthetic))
    assert "one class" in (found["TSTR"].note or "")
    assert found["downstream-task"].note == "None: the study has one class, none."
    assert numbers(found["FID-radiomics"], "synthetic to real") is not None


@pytest.mark.parametrize("part", ["audit", "evaluation"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: LabelledImages(s.images[..., :16], s.labels), "1 x 32 x 16"),
        (lambda s: LabelledImages(s.images * torch.nan, s.labels), "diverged"),
        (lambda s: LabelledImages(s.images, s.labels + 1), "0 to 1"),
        (lambda s: LabelledImages(s.images[:0], s.labels[:0]), "empty"),
    ],
)
def test_unusable_synthetic_sets_are_refused(
    change: Callable[[LabelledImages], LabelledImages],
    message: str,
    part: str,
    make_site: MakeSite,
    make_synthetic: MakeSynthetic,
) -> None:
    with pytest.raises(DataError, match=message):
        assess(part, [make_site()], change(make_synthetic(8)))


def assess(part: str, sites: list[SiteData], made: LabelledImages) -> Evaluated:
    if part == "audit":
        return assess_audit(asked(), sites, made, AuditedModel({}, None, 1e-5))
    return assess_evaluation(asked(), sites, made)


@pytest.mark.parametrize("part", ["audit", "evaluation"])
def test_unusable_sites_are_refused(part: str, make_site: MakeSite, make_synthetic: MakeSynthetic) -> None:
    with pytest.raises(DataError, match="no site"):
        assess(part, [], make_synthetic(8))
    with pytest.raises(DataError, match="other classes"):
        assess(part, [make_site("a"), replace(make_site("b"), classes=("x", "y"))], make_synthetic(8))
    site = make_site("a")
    with pytest.raises(DataError, match="NaN or infinite"):
        assess(part, [replace(site, images=site.images * torch.nan)], make_synthetic(8))


@pytest.mark.parametrize(("low", "said"), [(0.45, False), (0.55, True)])
@pytest.mark.parametrize("control", ["TRTR-shuffled", "TSTR-shuffled"])
def test_a_control_away_from_chance_is_said(control: str, low: float, said: bool) -> None:
    auroc = Value(name="AUROC, simple judge", value=0.6, low=low, high=0.8)
    row = Row(id=control, title=control, group="downstream", values=(auroc,))
    limits = evaluation_limits([row], 40, 1)
    assert any("1 intervals are given" in sentence for sentence in limits)
    assert any("not at chance" in sentence for sentence in limits) is said
    assert not any(sentence.startswith("Only") for sentence in limits)
    assert any(sentence.startswith("Only 29 test patients") for sentence in evaluation_limits([row], 29, 1))


def test_what_is_about_single_patients_is_kept_aside_and_in_no_row(
    make_site: MakeSite, make_synthetic: MakeSynthetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = SiteOnly(name="worst", about="The worst.", entries=({"patient": 3},))

    def measure(*_: object) -> Iterator[Row | SiteOnly]:
        yield listed
        yield Row(
            id="a", title="A", group="audit", findings=(Finding(verdict=Verdict.PASS, sentence="Fine."),)
        )

    monkeypatch.setattr(BlindBaseline, "measure", measure)
    kept: list[SiteOnly] = []
    titles: list[str] = []
    found = assess_audit(
        asked(), [make_site()], make_synthetic(20), AuditedModel({}, None, 1e-5), titles.append, kept.append
    )
    assert listed in kept
    assert "A" in titles
    assert "worst" not in found.model_dump_json()


def test_limits_are_made_of_the_numbers() -> None:
    def auroc(value: float, low: float, high: float) -> tuple[Value, ...]:
        return (Value(name="AUROC", value=value, low=low, high=high),)

    wide = Row(
        id="TSTR-against-TRTR", title="d", group="differences", values=auroc(-0.02, -0.14, 0.1),
        n={"test_patients": 33},
    )  # fmt: skip
    alone = Row(id="site-alone", title="s", group="downstream", values=auroc(0.71, 0.6, 0.8))
    ill = Row(
        id="FID-x", title="FID x", group="fidelity", n={"real_images": 12}, note="Ill-conditioned: 12 images."
    )
    said = " ".join(evaluation_limits([wide, alone, ill], 33, 3))
    # The half-width is 0.12, and 80 % of studies find 0.12 * 2.80 / 1.96.
    assert (
        "With 33 test patients a difference in AUROC between real and synthetic training below about 0.17"
        in said
    )
    assert "site alone has an AUROC of 0.71" in said
    assert "FID x have no more images (12) than features" in said
    none = Row(id="site-alone", title="s", group="downstream", values=auroc(0.55, 0.45, 0.65))
    calm = " ".join(evaluation_limits([none], 33, 3))
    assert "go unseen" not in calm and "Classes and sites" not in calm and "features" not in calm

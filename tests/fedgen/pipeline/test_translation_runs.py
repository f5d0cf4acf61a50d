"""A study that translates ends in its model, in a simulation as in a federation, and no picture of a patient leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fedgen.cli.runs import synthesize
from fedgen.data.index import PatientIndex, write_index
from fedgen.data.prepare import Prepared
from fedgen.data.site_data import Part, SiteData
from fedgen.data.to_translate import SourceFiles
from fedgen.errors import DataError, FederationError, StudyError
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.pipeline.assessment import AUDIT, EVALUATION, Assessor, check_question
from fedgen.pipeline.federation import FederationSetting
from fedgen.pipeline.model import translating
from fedgen.pipeline.question import question_of
from fedgen.pipeline.runner import complete, run_again, run_stages
from fedgen.pipeline.setting import Setting
from fedgen.pipeline.sign_release import sign_release
from fedgen.pipeline.simulation import Simulation
from fedgen.pipeline.stages import ASSESS, stages_of
from fedgen.pipeline.translate import ReleasedModel
from fedgen.pipeline.workspace import Workspace
from fedgen.protocol.messages import Assess
from fedgen.recipe import Recipe
from fedgen.release.archive import open_files
from fedgen.release.checked import Outcome
from fedgen.release.open_release import load_release
from fedgen.release.verify import verify
from fedgen.run.evidence_files import AuditFile
from fedgen.run.model_card import ModelCard
from fedgen.run.row import Verdict
from fedgen.run_view import RunView
from fedgen.study.study import Study
from fedgen_privacy.secagg import Identity

NAMES = ("north", "south")
CONTRASTS = ("T1w", "T2w", "FLAIR")


def site(name: str) -> SiteData:
    """Nine patients train, four audit and four test; FLAIR is the mean of the others, turned around."""
    rng = torch.Generator().manual_seed(sum(name.encode()))
    parts = torch.tensor([int(Part.TRAIN)] * 9 + [int(Part.AUDIT)] * 4 + [int(Part.TEST)] * 4)
    images = torch.rand(17, 3, 16, 16, generator=rng) - 0.5
    images[:, 2] = -images[:, :2].mean(dim=1)
    return SiteData(
        site=name,
        classes=("brain",),
        images=images.half(),
        labels=torch.zeros(17, dtype=torch.int64),
        patients=torch.arange(17),
        parts=parts,
        contrasts=CONTRASTS,
        present=torch.ones(17, 3, dtype=torch.bool),
    )


@pytest.fixture
def study(tiny_study: Callable[..., Study]) -> Study:
    return tiny_study(
        "translate_gan",
        data={"image_size": (16, 16), "labels": ("brain",), "contrasts": CONTRASTS, "phantom": None},
        task={"kind": "translate", "target": "FLAIR"},
        training={"rounds": 2},
        privacy={"mode": "none"},
        synthesis={"images": 200, "formats": ("png",)},
        release={"largest_epsilon": None},
    )


@pytest.fixture
def simulated(tmp_path: Path, study: Study, direct: None, monkeypatch: pytest.MonkeyPatch) -> Simulation:
    def prepare(study: Any, source: Any, run_data: Path, cache: Path, progress: Any, more: Any) -> Prepared:
        write_index(run_data / "index.json", PatientIndex("table", ()))
        return Prepared([site(name) for name in NAMES], [], 0)

    monkeypatch.setattr("fedgen.pipeline.simulation.prepare_sites", prepare)
    return Simulation.create(study, None, tmp_path / "simulated")


@pytest.fixture
def federated(tmp_path: Path, study: Study) -> FederationSetting:
    recipe, sites = Recipe.of(study), []
    for name in NAMES:
        data, folder = site(name), tmp_path / "hospitals" / name
        assessor = Assessor(recipe, data, folder, frozenset({AUDIT, EVALUATION}))
        sites.append(Site(recipe, data, folder, assessor=assessor))
    work = Workspace.create(study, tmp_path / "coordinator", None)
    return FederationSetting(work, DirectExchange(sites), PlainAggregator())


@pytest.fixture(params=[pytest.param("simulated", marks=pytest.mark.slow), "federated"])
def here(request: pytest.FixtureRequest) -> Setting:
    found: Setting = request.getfixturevalue(request.param)
    return found


def test_a_run_ends_in_its_model_with_its_evidence(here: Setting) -> None:
    run_stages(here)
    work, run = here.work, here.work.run
    assert [stage.name for stage in stages_of(work)] == ["prepare", "train", "assess", "release", "report"]
    assert complete(work) and not run.samples.exists()
    view = RunView(run)
    assert view.missing == frozenset() and view.summary.status == "done"
    assert view.audit is not None and view.evaluation is not None
    audits = {"blind-baseline", "dataset-inference", "model-membership"}
    assert {row.id for row in view.audit.rows} == audits
    assert any("copies, neighbours and data copying" in limit for limit in view.audit.limits)
    model = next(row for row in view.evaluation.rows if row.id == "translation-model")
    assert model.n == {"test_patients": 8} and model.verdict is not None
    assert {part.site for part in model.per_site} == set(NAMES)
    # Only a simulation has pictures of patients, and never in the release.
    assert (run.figures / "translations.png").exists() == isinstance(here, Simulation)
    card = ModelCard.read(run)
    assert (card.target, card.sources, card.needed) == ("FLAIR", ("T1w", "T2w"), ("T1w", "T2w"))
    assert card.verdict is view.audit.verdict and card.worth is not None and "mean error" in card.worth
    folder = run.path / "model"
    assert {path.name for path in folder.iterdir()} == {*card.files, "card.json"}
    assert set(card.files) == {
        "model.safetensors", "study.yaml", "README.md", "privacy.json", "audit.json", "evaluation.json"
    }  # fmt: skip
    page = (run.path / "report.html").read_text()
    assert "Translation" in page and "fedgen synthesize" not in page
    assert "fedgen translate" in page
    assert "No synthetic images" not in page


def test_its_release_is_the_model_with_its_evidence(federated: FederationSetting, tmp_path: Path) -> None:
    run_stages(federated)
    work, signer = federated.work, Identity.generate("coordinator")
    audit = AuditFile.read(work.run)
    audit.model_copy(update={"verdict": Verdict.PASS, "reasons": ()}).write(work.run)
    made = sign_release(work, signer, "the coordinator", {})
    assert made.manifest.kind == "model" and made.manifest.release_sha256 is None
    names = set(made.manifest.files)
    assert {"model/model.safetensors", "model/card.json", "model/README.md"} <= names
    assert not any(name.startswith("images/") or name.endswith(".png") for name in names)
    assert ReleasedModel.open(made.folder / "model").card.target == "FLAIR"
    assert "makes FLAIR from T1w and T2w. It holds no image." in (made.folder / "datasheet.md").read_text()

    def found(path: Path) -> dict[str, Outcome]:
        return {line.about: line.outcome for line in verify(open_files(path), signer.public_key).lines}

    for path in (made.folder, made.archive):
        said = found(path)
        assert said["model as trained"] is said["files"] is said["signature"] is said["gate"] is Outcome.OK
        # The verdict was planted, and is not what the sites' numbers give.
        assert said["audit from the sites"] is Outcome.WRONG
        with pytest.raises(DataError, match="not what was signed"):
            load_release(path)


@pytest.mark.slow
def test_the_released_model_makes_what_the_run_measured(federated: FederationSetting, tmp_path: Path) -> None:
    run_stages(federated)
    work = federated.work
    how = translating(work.recipe, work.networks(work.trained().ema), "cpu")
    images = {name: torch.rand(3, 1, 16, 16) - 0.5 for name in ("T1w", "T2w")}
    # Handed on without the run.
    handed = (work.run.path / "model").rename(tmp_path / "handed-on")
    released = ReleasedModel.open(handed)
    made = released.maker("cpu")(SourceFiles("p", "", {}, images, (16, 16)))
    assert torch.equal(torch.from_numpy(made), how.make({**images, "present": torch.ones(3, 2)})[:, 0])


@pytest.mark.slow
def test_an_assessment_anew_packs_the_model_anew(simulated: Simulation) -> None:
    run_stages(simulated)
    path = simulated.work.run.path / ModelCard.name
    before = path.stat().st_mtime_ns
    run_again(simulated, ASSESS)
    assert path.stat().st_mtime_ns > before
    with pytest.raises(StudyError, match=r"has no stage synthesize.*translates.*fedgen translate"):
        synthesize(simulated.work.run.path)


@pytest.mark.slow
def test_a_site_answers_about_the_model_and_nothing_else(federated: FederationSetting) -> None:
    run_stages(federated)
    work = federated.work
    question = question_of(work)
    check_question(work.recipe, question)
    images = torch.zeros(4, 1, 16, 16)
    other = Assess(
        study_sha256=question.study_sha256,
        model_sha256=question.model_sha256,
        model=question.model,
        images=images,
        labels=torch.zeros(4, dtype=torch.int64),
    )
    with pytest.raises(FederationError, match="asked to assess images, which is not what the study releases"):
        check_question(work.recipe, other)
    for path in work.run.path.glob("assessments/*.json"):
        told = json.loads(path.read_text())
        assert told["evaluation"]["rows"] and told["audit"]["rows"]
        assert Verdict(told["audit"]["rows"][0]["findings"][0]["verdict"])

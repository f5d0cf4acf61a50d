"""A site answers one question a study, with numbers over its patients and nothing of one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fedgen.errors import DataError, FederationError, PrivacyRefusedError
from fedgen.evidence.verdict import overall
from fedgen.pipeline import assessment
from fedgen.pipeline.assessment import Assessor, assess
from fedgen.protocol.messages import Assess
from fedgen.protocol.wire import encode_answer
from fedgen.recipe import Recipe
from fedgen.run.evidence_files import AuditNumbers, Claim, EvaluationNumbers
from fedgen.run.row import WITHHELD, Finding, Row, Verdict
from fedgen.study.show import study_hash
from fedgen.training.outbox import Outbox, RoundResult
from fedgen.training.vector import vector_sha256

BOTH = frozenset({"loss", "audit", "evaluation"})
ROW = Row(id="a", title="A", group="audit", findings=(Finding(verdict=Verdict.PASS, sentence="Fine."),))
AUDIT = AuditNumbers(
    alpha=0.05,
    claim=Claim(epsilon=None, delta=1e-5),
    n={"train_patients": 12},
    rows=(ROW,),
    limits=(),
    seed=1,
)
EVALUATION = EvaluationNumbers(n={"test_patients": 12}, rows=(ROW,), limits=(), seed=1)


def keep_a_round(folder: Any, round: int = 1) -> None:
    Outbox(folder / "outbox").put(round, {"study": "s", "model": "m"}, RoundResult(torch.zeros(1), {}, {}))


@pytest.fixture
def site(tmp_path, tiny_study, tiny_site) -> SimpleNamespace:
    """A site that trained in round 1 of a study, and a question of that study."""
    study = tiny_study(privacy={"mode": "none"}, audit={"bootstrap": 100, "minimum_patients": 6})
    rng = torch.Generator().manual_seed(1)
    model = Recipe.of(study).initial_checkpoint().model
    images = (torch.rand(8, 1, 16, 16, generator=rng) * 2 - 1).half().float()
    keep_a_round(tmp_path)
    return SimpleNamespace(
        study=study,
        data=tiny_site("north", 12, held_out=12),
        folder=tmp_path,
        question=Assess(
            study_sha256=study_hash(study),
            model_sha256=vector_sha256(model),
            model=model,
            images=images,
            labels=torch.arange(8) // 4,
        ),
        other=Assess(
            study_sha256=study_hash(study),
            model_sha256=vector_sha256(model),
            model=model,
            images=-images,
            labels=torch.arange(8) // 4,
        ),
    )


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """What was computed, in order; quick stand-ins for both parts."""
    computed: list[str] = []
    for part in ("audit", "evaluation"):

        def compute(*args: Any, part: str = part) -> Any:
            computed.append(part)
            return AUDIT if part == "audit" else EVALUATION

        monkeypatch.setattr(assessment, f"{part}_numbers", compute)
    return computed


def test_what_leaves_are_numbers_of_the_site_and_no_patient(site, tiny_site) -> None:
    answer = assess(Recipe.of(site.study), site.data, 3.0, site.question, BOTH)
    text, vector = encode_answer(answer)
    assert vector is None
    assert answer.audit is not None and answer.evaluation is not None
    assert answer.audit.claim == Claim(epsilon=3.0, delta=site.study.privacy.delta)
    assert answer.question_sha256 == site.question.sha256
    assert "all sites" not in text
    assert not re.search(r"\.(png|dcm|nii|safetensors)|/tmp|base64", text)

    def shape(value: Any) -> Any:
        """Names and lengths, without what stands there."""
        if isinstance(value, dict):
            return {name: shape(inner) for name, inner in value.items() if name not in ("n", "note")}
        if isinstance(value, list):
            assert not any(isinstance(item, int | float) for item in value)
            return [shape(inner) for inner in value]
        return None

    # Nothing in it is as long as there are patients or images.
    larger = encode_answer(
        assess(Recipe.of(site.study), tiny_site("north", 19, held_out=15), 3.0, site.question, BOTH)
    )
    told, other = json.loads(text), json.loads(larger[0])
    assert shape(told) == shape(other)
    # Patients are numbers of this run only: other numbers in the same order change nothing.
    renumbered = replace(site.data, patients=site.data.patients * 7 + 1000)
    assert assess(Recipe.of(site.study), renumbered, 3.0, site.question, BOTH) == answer


def test_statistics_of_a_handful_of_patients_stay(site, tiny_site) -> None:
    few = tiny_site("north", 12, held_out=3)
    answer = assess(Recipe.of(site.study), few, None, site.question, BOTH)
    assert answer.audit is not None and answer.evaluation is not None
    assert overall(answer.audit.rows)[0] is Verdict.INSUFFICIENT
    assert all(row.values == () for row in answer.audit.rows)
    for row in answer.evaluation.rows:
        if row.group == "downstream" and row.values:
            auroc = row.get("AUROC")
            assert auroc is not None and auroc.value is None
            assert row.note == "Fewer than 3 test patients of a class: none, lesion."
    enough = assess(Recipe.of(site.study), site.data, None, site.question, BOTH)
    assert enough.audit is not None and all(row.values for row in enough.audit.rows)


@pytest.mark.parametrize("patients", [2, 4])
def test_the_likeness_of_two_patients_stays(site, tiny_site, patients) -> None:
    few = tiny_site("north", patients, held_out=12)
    answer = assess(Recipe.of(site.study), few, None, site.question, frozenset({"evaluation"}))
    assert answer.evaluation is not None
    classes = [row for row in answer.evaluation.rows if re.fullmatch(r"diversity-\d+", row.id)]
    assert [row.title for row in classes] == ["none", "lesion"]
    for row in classes:
        assert row.values == () and "real_pairs" not in row.n and row.note == WITHHELD


@pytest.mark.parametrize("metrics", [frozenset(), frozenset({"audit"}), frozenset({"evaluation"}), BOTH])
def test_what_the_policy_withholds_is_not_computed(site, made, metrics) -> None:
    for answer in (
        assess(Recipe.of(site.study), site.data, None, site.question, metrics),
        Assessor(Recipe.of(site.study), site.data, site.folder, metrics)(site.question),
    ):
        assert (answer.audit is not None) == ("audit" in metrics)
        assert (answer.evaluation is not None) == ("evaluation" in metrics)
    assert set(made) == metrics - {"loss"}


def test_the_same_question_has_the_same_answer_for_ever(site, made) -> None:
    first = Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question)
    again = Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question)
    assert sorted(made) == ["audit", "evaluation"]
    assert again == first


def test_another_question_is_refused_and_nothing_is_computed(site, made) -> None:
    ask = Assessor(Recipe.of(site.study), site.data, site.folder, frozenset())
    ask(site.question)
    with pytest.raises(PrivacyRefusedError, match="one question is answered a study"):
        Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.other)
    assert made == []


def test_a_crash_leaves_no_room_for_a_second_question(site, made, monkeypatch) -> None:
    def crash(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(assessment, "evaluation_numbers", crash)
        with pytest.raises(KeyboardInterrupt):
            Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question)
    with pytest.raises(PrivacyRefusedError):
        Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.other)
    answer = Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question)
    assert answer.audit == AUDIT
    assert sorted(made) == ["audit", "evaluation"]


def test_a_policy_that_changed_holds_at_once(site, made) -> None:
    Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question)
    answer = Assessor(Recipe.of(site.study), site.data, site.folder, frozenset({"evaluation"}))(site.question)
    assert answer.audit is None
    assert answer.evaluation == EVALUATION


@pytest.mark.parametrize("name", ["question.json", "audit.json"])
@pytest.mark.parametrize("content", ["", "[1]"])
def test_a_damaged_file_is_not_replaced(site, made, name, content) -> None:
    Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question)
    (site.folder / "assessment" / name).write_text(content)
    with pytest.raises(PrivacyRefusedError, match="restore the file"):
        Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question)
    assert sorted(made) == ["audit", "evaluation"]


def test_a_site_that_did_not_train_does_not_assess(site, made, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("idle")
    with pytest.raises(PrivacyRefusedError, match="did not help to train"):
        Assessor(Recipe.of(site.study), site.data, folder, BOTH)(site.question)
    keep_a_round(folder, round=3)
    Assessor(Recipe.of(site.study), site.data, folder, BOTH)(site.question)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"study_sha256": "0" * 64}, PrivacyRefusedError, "study it does not have"),
        ({"model_sha256": "0" * 64}, FederationError, "does not have the hash"),
        ({"model": torch.zeros(3)}, FederationError, "model of"),
        ({"model": None}, FederationError, "NaN"),
        ({"images": torch.zeros(8, 1, 16, 8)}, FederationError, "of shape"),
        ({"images": torch.zeros(1, 1, 16, 16)}, FederationError, "of shape"),
        ({"images": torch.full((8, 1, 16, 16), 0.1)}, FederationError, "finer than float16"),
        ({"images": torch.full((8, 1, 16, 16), 2.0)}, FederationError, "outside"),
        ({"labels": torch.zeros(8, dtype=torch.int64)}, FederationError, "other numbers of each class"),
        ({"labels": torch.arange(8)}, FederationError, "other numbers of each class"),
    ],
)
def test_a_question_that_the_study_does_not_ask_costs_nothing(site, made, change, error, said) -> None:
    if "model" in change:
        broken = torch.full_like(site.question.model, torch.nan)
        model = broken if change["model"] is None else change["model"]
        change = {"model": model, "model_sha256": vector_sha256(model)}
    with pytest.raises(error, match=said):
        Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question.model_copy(update=change))
    assert made == []
    # The one question is still free.
    Assessor(Recipe.of(site.study), site.data, site.folder, BOTH)(site.question)


def test_a_site_with_other_classes_says_so(site) -> None:
    other = replace(site.data, classes=("a", "b"))
    with pytest.raises(DataError, match="other classes"):
        assess(Recipe.of(site.study), other, None, site.question, BOTH)


def test_the_claim_is_what_the_site_promised_its_patients(site, tiny_study) -> None:
    study = tiny_study(audit={"bootstrap": 100, "minimum_patients": 6})
    question = site.question.model_copy(update={"study_sha256": study_hash(study)})
    answer = Assessor(Recipe.of(study), site.data, site.folder, frozenset({"audit"}))(question)
    assert answer.audit is not None
    assert answer.audit.claim.epsilon is not None
    assert 0 < answer.audit.claim.epsilon <= study.privacy.epsilon

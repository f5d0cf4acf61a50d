"""A study that pays for its evidence: one charge, one noised sum, and nothing else that leaves a site."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from fedgen.errors import PrivacyRefusedError
from fedgen.evidence import assess as assess_module
from fedgen.evidence.leave import UNPAID
from fedgen.evidence.measure import Measure
from fedgen.federation.site.charging import Account
from fedgen.pipeline import noised_assessment
from fedgen.pipeline.assessment import Assessor, assess
from fedgen.pipeline.runner import run_stages
from fedgen.protocol.messages import Assess
from fedgen.protocol.wire import encode_answer
from fedgen.recipe import Recipe
from fedgen.run.evidence_files import AuditFile, EvaluationFile
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.row import Finding, Row, Value, Verdict
from fedgen.study.show import study_hash
from fedgen.training.outbox import Outbox, RoundResult
from fedgen.training.vector import vector_sha256
from fedgen_privacy.accounting import epsilon_prv
from fedgen_privacy.ledger import Budget, BudgetExceededError, Ledger

BOTH = frozenset({"audit", "evaluation"})
PAID = {"privacy": {"epsilon": 4.0}}


@pytest.fixture(scope="module")
def recipe(tiny_study) -> Recipe:
    return Recipe.of(tiny_study(evidence=PAID))


@pytest.fixture
def question(recipe) -> Assess:
    rng = torch.Generator().manual_seed(1)
    model = recipe.initial_checkpoint().model
    return Assess(
        study_sha256=study_hash(recipe.study),
        model_sha256=vector_sha256(model),
        model=model,
        images=(torch.rand(8, 1, 16, 16, generator=rng) * 2 - 1).half().float(),
        labels=torch.arange(8) // 4,
    )


@pytest.fixture
def site(tmp_path, tiny_site, recipe):
    """`site(metrics, account)`: an assessor of a site that trained."""
    Outbox(tmp_path / "outbox").put(1, {"study": "s", "model": "m"}, RoundResult(torch.zeros(1), {}, {}))
    data = tiny_site("north", 12, held_out=6)

    def build(metrics: frozenset[str] = BOTH, account: Account | None = None) -> Assessor:
        return Assessor(recipe, data, tmp_path, metrics, account=account)

    return build


def test_only_noised_sums_leave(site, question) -> None:
    answer = site()(question)
    assert answer.audit is not None and answer.evaluation is not None
    rows = [*answer.audit.rows, *answer.evaluation.rows]
    assert {row.id.split("-")[0] for row in rows} == {"noised"}
    assert answer.audit.n == {"train_patients": 12} and answer.evaluation.n == {}
    assert all(row.n == {} for row in rows)
    # Counts have noise: none of them is the whole or half number that it is of.
    counts = [value.value for row in rows for value in row.values if value.pool == "sum"]
    assert len(counts) == 12 + 12 + 10 and sum(float(count).is_integer() for count in counts) < 3
    assert answer.audit.rows[0].verdict not in (None, Verdict.PASS)


def test_it_is_charged_before_a_patient_is_read(site, question, recipe, tmp_path, monkeypatch) -> None:
    def read(*args: Any) -> None:
        rows = Ledger(tmp_path / "ledger.jsonl").by_study()[recipe.sha256]
        assert rows == [recipe.mechanism.evidence]
        raise KeyboardInterrupt

    monkeypatch.setattr(noised_assessment, "noised_sum", read)
    with pytest.raises(KeyboardInterrupt):
        site()(question)


def test_killed_between_charge_and_answer_it_is_charged_once(site, question, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:

        def kill(*args: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(noised_assessment, "write_atomic", kill)
        with pytest.raises(KeyboardInterrupt):
            site()(question)
    first = site()(question)
    assert len(list(Ledger(tmp_path / "ledger.jsonl"))) == 1
    # Asked again, and by another process, and even where the answers made of the sum are gone: the same bytes.
    drawn: list[int] = []
    monkeypatch.setattr(noised_assessment, "noised_sum", lambda *args: drawn.append(1))
    (tmp_path / "assessment" / "audit.json").unlink()
    assert encode_answer(site()(question))[0] == encode_answer(first)[0]
    assert not drawn and len(list(Ledger(tmp_path / "ledger.jsonl"))) == 1


def test_another_question_draws_no_other_noise(site, question) -> None:
    site(frozenset({"audit"}))(question)
    other = question.model_copy(update={"images": -question.images})
    with pytest.raises(PrivacyRefusedError, match="one question is answered a study"):
        site()(other)


@pytest.mark.parametrize("content", ["", "{}", '{"question": "x", "noise_multiplier": 1.0, "total": [1.0]}'])
def test_a_damaged_sum_is_not_drawn_anew(site, question, tmp_path, content) -> None:
    site(frozenset({"audit"}))(question)
    (tmp_path / "assessment" / "noised.json").write_text(content)
    with pytest.raises(PrivacyRefusedError, match="restore the file"):
        site()(question)


def test_a_question_whose_note_is_gone_is_not_charged_for_another(site, question, tmp_path) -> None:
    site()(question)
    for path in (tmp_path / "assessment").iterdir():
        path.unlink()
    other = question.model_copy(update={"images": -question.images})
    with pytest.raises(PrivacyRefusedError, match="already charged for another model"):
        site()(other)


def test_a_budget_without_room_refuses_before_a_patient_is_read(site, question, tmp_path) -> None:
    account = Account(tmp_path / "cohort.jsonl", Budget(1.0, 1e-3))
    with pytest.raises(BudgetExceededError):
        site(account=account)(question)
    assert list(Ledger(tmp_path / "cohort.jsonl")) == []


def test_what_the_policy_withholds_altogether_costs_nothing(site, question, tmp_path) -> None:
    answer = site(frozenset())(question)
    assert answer.audit is None and answer.evaluation is None
    assert not (tmp_path / "ledger.jsonl").exists()


class Planted(Measure):
    """A measure with raw counts, of patients enough for any other door."""

    id = "planted"
    title = "Planted"

    def __init__(self, options: Any) -> None:
        pass

    def measure(self, real: Any, made: Any, model: Any, seed: int) -> list[Row]:
        finding = Finding(verdict=Verdict.PASS, sentence="Raw 4711471147.")
        counts = (Value(name="raw", value=4711471147.0, pool="sum"),)
        n = {"train_patients": 4711471147, "test_patients": 4711471147}
        return [
            Row(
                id="noised-planted",
                title="P",
                group="g",
                values=counts,
                n=n,
                findings=(finding,),
                note="4711471147",
            )
        ]


def test_a_planted_measure_with_raw_counts_is_withheld(site, question, recipe, monkeypatch) -> None:
    monkeypatch.setattr(assess_module, "measures", lambda *folders: [Planted])
    told = [site()(question)]
    # Even where somebody measures without noise: nothing of it passes the door.
    told.append(assess(recipe, site().data, 3.0, question, BOTH))
    assert all("4711471147" not in encode_answer(answer)[0] for answer in told)
    audit = told[1].audit
    assert audit is not None and [row.note for row in audit.rows] == [UNPAID]
    assert audit.rows[0].verdict is Verdict.INSUFFICIENT and audit.n == {} and audit.rows[0].values == ()


@pytest.mark.slow  # a whole run; the site's answer, the charge and the sums are tested above and in evidence/noised
def test_a_simulation_tells_what_share_went_where(simulation, watcher) -> None:
    here = simulation(evidence=PAID)
    run_stages(here, watcher.watcher)
    run, recipe = here.work.run, here.work.recipe
    told, audit, evaluation = PrivacyFile.read(run), AuditFile.read(run), EvaluationFile.read(run)
    assert told.evidence is not None and told.epsilon is not None
    assert told.evidence.epsilon <= 4 and told.evidence.epsilon_training < told.epsilon <= 20
    assert "audit and evaluation together are" in told.statement
    assert any("cost is part of the epsilon" in limit for limit in told.limits)
    for site in ("north", "south"):
        spends = Ledger(run.site(site) / "ledger.jsonl").spends(recipe.sha256)
        assert spends[-1] == recipe.mechanism.evidence and len(spends) == recipe.rounds + 1
        assert epsilon_prv(spends, 1e-3) == pytest.approx(told.epsilon, rel=0.02)
    # The sums over both sites are what their own sums add up to, and no row of raw numbers stands beside them.
    sums = next(row for row in evaluation.rows if row.id == "noised-worth-1-sums")
    pooled = next(row for row in evaluation.pooled if row.id == sums.id)
    for joined, together in zip(sums.values, pooled.values, strict=True):
        own = [next(v for v in part.values if v.name == joined.name).value for part in sums.per_site]
        assert joined.value == pytest.approx(sum(own)) == pytest.approx(together.value)
    assert {
        row.id.split("-")[0] for row in (*audit.rows, *audit.pooled, *evaluation.rows, *evaluation.pooled)
    } == {"noised"}
    assert audit.verdict is not Verdict.PASS
    assert "patients together" in (audit.where or "") and "not cover" not in (audit.where or "")
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "audit and evaluation alone" in page
    assert json.loads((run.path / "run.json").read_text())["status"] == "done"

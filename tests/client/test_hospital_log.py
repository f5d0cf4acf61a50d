"""What a hospital writes of its work: of which study it was, and an epsilon that is the ledger's or above."""

from __future__ import annotations

import pytest

from fedgen.protocol.messages import Describe, RoundUpdate, SiteDescription, TrainRound
from fedgen.recipe import Recipe
from fedgen.study.show import study_hash
from fedgen.training.vector import vector_sha256
from fedgen_client.books import balance
from fedgen_client.hospital import Hospital


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


def test_epsilon_in_the_log_is_never_above_what_was_promised(
    with_data, stub, others, secure_study, command, edit_site_file
) -> None:
    edit_site_file(with_data, ("require_secure_aggregation: true", "require_secure_aggregation: false"))
    study = secure_study(aggregation={"secure": False})
    stub.offer(study, **others)
    sha256 = study_hash(study)
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    hospital = Hospital(with_data)
    described = hospital.answer(Describe(study_sha256=sha256, round=1))
    assert isinstance(described, SiteDescription)
    model, told = Recipe.of(study).initial_checkpoint().model, []
    for round in range(1, study.total_rounds + 1):
        task = TrainRound(study_sha256=sha256, round=round, model_sha256=vector_sha256(model), model=model)
        assert isinstance(hospital.answer(task), RoundUpdate)
        told.append(hospital.told())
    said = [each.answer.epsilon for each in told]
    assert said == sorted(said)
    spent = balance(with_data.ledger("main"), "main", with_data.load_site_file().cohorts["main"]).spent
    assert spent <= said[-1] + 1e-9
    assert said[-1] <= described.epsilon <= study.privacy.epsilon
    assert [event["study"] for each in told for event in each.events] == [sha256] * len(told)

"""A site's promises: one result a round, charged before it is made; nothing but numbers leaves."""

from __future__ import annotations

import functools
import json

import pytest
import torch

from fedgen.errors import DataError, ExitCode, FederationError, PrivacyRefusedError, StudyError
from fedgen.federation.site.site import Site
from fedgen.protocol.messages import Describe, Refusal, RoundUpdate, SiteDescription, TrainRound
from fedgen.protocol.wire import encode_answer
from fedgen.recipe import Recipe
from fedgen.run.lock import held
from fedgen.study.show import study_hash
from fedgen.training.vector import vector_sha256
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Charge, Ledger

SECRET = "/data/Meier^Anna/1931-02-03.dcm"


@pytest.fixture
def site(tiny_study, tiny_site, tmp_path):
    """`site()`: the site of a study, and again after a restart of its machine."""

    def build(study=None, folder="north") -> Site:
        return Site(Recipe.of(study or tiny_study()), tiny_site("north", 9), tmp_path / folder)

    return build


def ask(study, round=1, model=None) -> TrainRound:
    model = Recipe.of(study).initial_checkpoint().model if model is None else model
    return TrainRound(
        study_sha256=study_hash(study), round=round, model_sha256=vector_sha256(model), model=model
    )


def ledger(folder):
    return list(Ledger(folder / "ledger.jsonl"))


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same(one: RoundUpdate, other: RoundUpdate) -> bool:
    a, b = encode_answer(one), encode_answer(other)
    return a[0] == b[0] and a[1].tobytes() == b[1].tobytes()


def refused(answer, code) -> bool:
    return isinstance(answer, Refusal) and answer.code == code


def test_what_it_says_it_spends_is_what_it_charges(tiny_study, site, tmp_path) -> None:
    study = tiny_study()
    description = site().answer(Describe(study_sha256=study_hash(study), round=1))
    assert isinstance(description, SiteDescription)
    assert not (tmp_path / "north" / "ledger.jsonl").exists()
    site().answer(ask(study))
    (row,) = ledger(tmp_path / "north")
    assert row.spend.noise_multiplier == description.noise_multiplier
    assert row.spend.sampling_rate == description.sampling_rate
    assert row.spend.steps == description.steps_per_round
    assert (row.study, row.round) == (study_hash(study), 1)


def test_asked_twice_it_sends_the_same_bytes_and_charges_once(tiny_study, site, tmp_path) -> None:
    study = tiny_study()
    first = site().answer(ask(study))
    here = site()
    assert same(here.answer(ask(study)), first)
    assert same(here.answer(ask(study)), first)
    assert len(ledger(tmp_path / "north")) == 1
    assert first.update.abs().max() > 0


def test_the_noise_is_fresh_and_without_privacy_the_seed_decides(tiny_study, site) -> None:
    private, plain = tiny_study(), tiny_study(privacy={"mode": "none"})
    one, other = (site(private, folder).answer(ask(private)) for folder in ("a", "b"))
    assert not torch.allclose(one.update, other.update)
    one, other = (site(plain, folder).answer(ask(plain)) for folder in ("c", "d"))
    assert same(one, other)
    reseeded = tiny_study(privacy={"mode": "none"}, study={"seed": 6})
    model = Recipe.of(plain).initial_checkpoint().model
    assert not torch.equal(site(reseeded, "e").answer(ask(reseeded, model=model)).update, one.update)


def test_another_model_for_a_round_is_refused(tiny_study, site, tmp_path) -> None:
    study, here = tiny_study(), site()
    here.answer(ask(study))
    other = ask(study, model=Recipe.of(study).initial_checkpoint().model + 0.5)
    assert refused(here.answer(other), ExitCode.REFUSED)
    assert refused(site().answer(other), ExitCode.REFUSED)
    assert len(ledger(tmp_path / "north")) == 1
    assert "already charged for another model" in log(tmp_path / "north")[-1]["reason"]


def test_an_old_round_cannot_be_drawn_again(tiny_study, site, tmp_path) -> None:
    """The outbox forgets old results; a second one with fresh noise would be a release nobody paid for."""
    study, here = tiny_study(), site()
    models = [Recipe.of(study).initial_checkpoint().model + 0.1 * r for r in range(3)]
    answers = [here.answer(ask(study, r, models[r - 1])) for r in (1, 2, 3)]
    assert all(isinstance(answer, RoundUpdate) for answer in answers)
    assert refused(here.answer(ask(study, 1, models[0])), ExitCode.REFUSED)
    for r in (2, 3):
        assert same(here.answer(ask(study, r, models[r - 1])), answers[r - 1])
    assert [row.round for row in ledger(tmp_path / "north")] == [1, 2, 3]


def test_a_result_damaged_on_the_sites_disk_is_not_made_anew(tiny_study, site, tmp_path) -> None:
    """It may have left before it was damaged."""
    study = tiny_study()
    site().answer(ask(study))
    (result,) = (tmp_path / "north" / "outbox").iterdir()
    result.write_bytes(result.read_bytes()[:-20])
    assert refused(site().answer(ask(study)), ExitCode.REFUSED)


def test_a_crash_after_the_charge_costs_one_row(tiny_study, site, tmp_path, monkeypatch) -> None:
    study = tiny_study()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("fedgen.mechanisms.averaging.LocalTrainer.run", killed)
        site().answer(ask(study))
    assert len(ledger(tmp_path / "north")) == 1
    assert isinstance(site().answer(ask(study)), RoundUpdate)
    assert len(ledger(tmp_path / "north")) == 1


def test_the_charge_is_on_disk_before_the_first_step(tiny_study, site, tmp_path, monkeypatch) -> None:
    seen = []

    def look(*_):
        seen.append(len(ledger(tmp_path / "north")))
        raise FederationError("stop here")

    monkeypatch.setattr("fedgen.mechanisms.averaging.LocalTrainer.run", look)
    site().answer(ask(tiny_study()))
    assert seen == [1]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model_sha256": "0" * 64}, ExitCode.FEDERATION),
        ({"study_sha256": "0" * 64}, ExitCode.REFUSED),
        ({"round": 4}, ExitCode.FEDERATION),
        ({"round": 0}, ExitCode.FEDERATION),
    ],
)
def test_a_task_that_does_not_fit_is_refused_and_costs_nothing(
    tiny_study, site, tmp_path, change, code
) -> None:
    study = tiny_study()
    assert refused(site().answer(ask(study).model_copy(update=change)), code)
    assert not (tmp_path / "north" / "ledger.jsonl").exists()
    assert isinstance(site().answer(ask(study)), RoundUpdate)


def test_a_description_of_another_study_is_refused(site) -> None:
    assert refused(site().answer(Describe(study_sha256="0" * 64, round=1)), ExitCode.REFUSED)


@pytest.mark.parametrize(
    "spoil", [lambda m: m[:-1], lambda m: m * float("nan"), lambda m: torch.full_like(m, float("inf"))]
)
def test_a_model_that_cannot_be_trained_costs_nothing(tiny_study, site, tmp_path, spoil) -> None:
    study = tiny_study()
    task = ask(study, model=spoil(Recipe.of(study).initial_checkpoint().model))
    assert refused(site().answer(task), ExitCode.FEDERATION)
    assert not (tmp_path / "north" / "ledger.jsonl").exists()
    assert isinstance(site().answer(ask(study)), RoundUpdate)


def test_an_update_that_is_not_finite_stays_at_the_site(tiny_study, site, monkeypatch, tmp_path) -> None:
    def diverge(trainer, *_):
        torch.nn.init.constant_(next(trainer.networks["vae"].parameters()), float("inf"))
        return {}

    monkeypatch.setattr("fedgen.mechanisms.averaging.LocalTrainer.run", diverge)
    assert refused(site().answer(ask(tiny_study())), ExitCode.FEDERATION)
    assert "training.learning_rate" in log(tmp_path / "north")[-1]["reason"]
    assert not (tmp_path / "north" / "outbox").exists()


@pytest.mark.parametrize("kind", [FederationError, DataError, PrivacyRefusedError, StudyError])
def test_the_text_of_an_error_stays_at_the_site(tiny_study, site, tmp_path, monkeypatch, kind) -> None:
    def fail(*_):
        raise kind(f"Cannot read {SECRET}.")

    monkeypatch.setattr("fedgen.mechanisms.averaging.LocalTrainer.run", fail)
    answer = site().answer(ask(tiny_study()))
    assert refused(answer, kind.exit_code)
    assert not any(word in encode_answer(answer)[0] for word in ("Meier", "1931", "/data", "Cannot read"))
    assert SECRET in log(tmp_path / "north")[-1]["reason"]


def test_a_defect_leaves_its_text_in_the_sites_log(tiny_study, site, tmp_path, monkeypatch) -> None:
    """It is raised, for whoever carries messages to reduce to a fixed sentence (see tests/client)."""

    def fail(*_):
        raise RuntimeError(f"index out of range in {SECRET}")

    monkeypatch.setattr("fedgen.mechanisms.averaging.LocalTrainer.run", fail)
    with pytest.raises(RuntimeError):
        site().answer(ask(tiny_study()))
    line = log(tmp_path / "north")[-1]
    assert line["event"] == "failed"
    assert line["reason"] == f"RuntimeError: index out of range in {SECRET}"


def test_a_changed_ledger_stops_the_site(tiny_study, site, tmp_path) -> None:
    study = tiny_study()
    site().answer(ask(study))
    path = tmp_path / "north" / "ledger.jsonl"
    path.write_text(path.read_text().replace('"steps": 2', '"steps": 1'))
    task = ask(study, 2, Recipe.of(study).initial_checkpoint().model + 1)
    assert refused(site().answer(task), ExitCode.REFUSED)


def test_a_charge_that_cannot_be_written_is_not_spent(tiny_study, site, monkeypatch, disk_full) -> None:
    taken = []
    monkeypatch.setattr("fedgen.mechanisms.averaging.LocalTrainer.run", lambda *_: taken.append(1))
    here = site()
    with disk_full():
        assert refused(here.answer(ask(tiny_study())), ExitCode.DATA)
    assert taken == []


def test_moments_stay_at_the_site_and_carry_on(tiny_study, site, tmp_path) -> None:
    """The second round starts from the first one's moments: forgetting them gives another update."""
    study = tiny_study(privacy={"mode": "none"})
    first, second = ask(study), ask(study, 2)
    whole = site(study, "a")
    answer = whole.answer(first)
    assert set(vars(answer)) == {"kind", "site", "round", "model_sha256", "update", "weight", "losses"}
    continued = whole.answer(second).update
    assert not torch.equal(site(study, "b").answer(second).update, continued)


def test_only_training_patients_count(site) -> None:
    here = site()
    assert here.answer(Describe(study_sha256=here._recipe.sha256, round=1)).patients == 9


def test_too_small_a_site_does_not_start(tiny_study, tiny_site, tmp_path) -> None:
    with pytest.raises(DataError, match="2 training patients"):
        Site(Recipe.of(tiny_study()), tiny_site("small", 2), tmp_path)


def test_two_processes_never_train_one_round_at_the_same_time(
    site, tiny_study, tmp_path, monkeypatch
) -> None:
    """The second would find the round charged and no result kept, and release it twice."""
    monkeypatch.setattr("fedgen.federation.site.rounds.held", functools.partial(held, wait=0.1))
    task = ask(tiny_study())
    with held(tmp_path / "north" / "ledger.lock"):
        assert refused(site().answer(task), ExitCode.FEDERATION)
        assert not ledger(tmp_path / "north")
    first = site().answer(task)
    assert same(first, site().answer(task))
    assert len(ledger(tmp_path / "north")) == 1


def test_a_site_that_runs_sees_what_happens_to_its_ledger(tiny_study, site, tmp_path) -> None:
    """Kept open from round to round, it is still the file that counts."""
    study, running = tiny_study(), site()
    model = Recipe.of(study).initial_checkpoint().model
    assert isinstance(running.answer(ask(study, 1)), RoundUpdate)
    path = tmp_path / "north" / "ledger.jsonl"
    other = Charge("c" * 64, 1, "d" * 64, Spend(1.0, 0.5, 1))
    assert Ledger(path).charge(other)
    assert isinstance(running.answer(ask(study, 2, model + 0.1)), RoundUpdate)
    assert [row.study for row in ledger(tmp_path / "north")] == [
        study_hash(study),
        "c" * 64,
        study_hash(study),
    ]
    path.write_text(path.read_text().replace("cccc", "dddd"))
    assert refused(running.answer(ask(study, 3, model + 0.2)), ExitCode.REFUSED)
    assert "damaged at line 2" in log(tmp_path / "north")[-1]["reason"]

"""Rounds over sites in this process: the sum, the drop-outs, the resumption."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import Tensor

from fedgen.errors import DataError, ExitCode, FederationError
from fedgen.families.vae.family import VAEFamily
from fedgen.federation.coordinator.rounds import describe
from fedgen.federation.site.site import Site
from fedgen.mechanisms.averaging import Averaging
from fedgen.mechanisms.contract import JoinedVector
from fedgen.protocol.messages import Refusal, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.checkpoint import latest_checkpoint
from fedgen.run.events import Finishing
from fedgen.study.show import study_hash
from fedgen.training.vector import vector_sha256
from fedgen_privacy.accounting import epsilon_prv
from fedgen_privacy.ledger import Ledger

PLAIN = {"mode": "none"}
SIZES = {"east": 6, "north": 9, "south": 9}


def latest(federation):
    return latest_checkpoint(federation.run.checkpoints, study_hash(federation.study))


@pytest.mark.parametrize("family", ["vae", "gan"])
def test_the_model_is_what_numpy_makes_of_the_sites_updates(
    tiny_study, tiny_site, federation, tmp_path, family
) -> None:
    study = tiny_study(family, privacy=PLAIN, training={"ema": 0.3})
    trained = federation(study).train()

    sites = {n: Site(Recipe.of(study), tiny_site(n, p), tmp_path / "other" / n) for n, p in SIZES.items()}
    start = Recipe.of(study).initial_checkpoint()
    model = ema = start.model.numpy()
    for r in range(1, 4):
        vector = torch.from_numpy(model.copy())
        task = TrainRound(
            study_sha256=study_hash(study), round=r, model_sha256=vector_sha256(vector), model=vector
        )
        updates = {name: site.answer(task).update.numpy() for name, site in sites.items()}
        mean = np.average([updates[n] for n in sorted(updates)], axis=0, weights=list(SIZES.values()))
        # bit-equal weights are needed for the next round's hash, hence the same order of float32 sums
        summed = sum((np.float32(w / 24) * updates[n] for n, w in SIZES.items()), np.float32(0))
        assert np.allclose(summed, mean, atol=1e-6)
        model = model + summed
        decay = min(0.3, (1 + r) / (10 + r))
        ema = decay * ema + (1 - decay) * model
    assert np.abs(model - start.model.numpy()).max() > 1e-3
    assert np.allclose(trained.checkpoint.model.numpy(), model, atol=1e-5)
    assert np.allclose(trained.checkpoint.ema.numpy(), ema, atol=1e-5)
    assert trained.checkpoint.round == 3
    assert trained.dropouts == 0


@pytest.mark.parametrize("ema", [0.0, 0.15, 0.9])
def test_the_averages_decay_warms_up(tiny_study, ema) -> None:
    """r = 1: 2/11, r = 2: 3/12, until the study's own decay is lower."""
    study = tiny_study(training={"ema": ema})
    state = dataclasses.replace(
        Recipe.of(study).initial_checkpoint(), model=torch.tensor([1.0]), ema=torch.tensor([8.0])
    )
    for r, warm in ((1, 2 / 11), (2, 3 / 12), (3, 4 / 13)):
        before = state
        state, _ = Recipe.of(study).mechanism.advance(state, JoinedVector(torch.tensor([0.5]), {}, ()), None)
        d = min(ema, warm)
        assert state.model.item() == before.model.item() + 0.5
        assert state.ema.item() == pytest.approx(d * before.ema.item() + (1 - d) * state.model.item())
        assert state.round == r


def test_first_weights_come_from_the_seed_alone(tiny_study) -> None:
    state = torch.random.get_rng_state()
    one, same = Recipe.of(tiny_study()).initial_checkpoint(), Recipe.of(tiny_study()).initial_checkpoint()
    other = Recipe.of(tiny_study(study={"seed": 6})).initial_checkpoint()
    assert torch.equal(one.model, same.model)
    assert torch.equal(one.model, one.ema)
    assert not torch.equal(one.model, other.model)
    assert torch.equal(torch.random.get_rng_state(), state)


def refuse(answer, task):
    return Refusal(site="north", code=ExitCode.DATA, reason="the disk is gone")


FAULTS = {
    "refused": (refuse, "refused with exit code 4 (the disk is gone)"),
    "silent": (lambda answer, task: None, "no answer within aggregation.deadline"),
    "nan": (lambda a, t: a.model_copy(update={"update": a.update * float("nan")}), "NaN"),
    "length": (lambda a, t: a.model_copy(update={"update": a.update[:-1]}), "unusable update"),
    "round": (lambda a, t: a.model_copy(update={"round": t.round + 1}), "answered for round"),
    "model": (lambda a, t: a.model_copy(update={"model_sha256": "0" * 64}), "another model"),
    "weight": (lambda a, t: a.model_copy(update={"weight": float("inf")}), "weight inf"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_round_goes_on_without_a_faulty_site(tiny_study, federation, events, fault) -> None:
    """Only in round 2; the others are averaged, and the site is back in round 3."""
    spoil, reason = FAULTS[fault]
    study = tiny_study(privacy=PLAIN)
    made = federation(study, {"north": lambda a, t: spoil(a, t) if t.round == 2 else a})
    reports = []
    trained = made.train(reports.append)
    assert [report.sites for report in reports] == [
        ("east", "north", "south"), ("east", "south"), ("east", "north", "south"),
    ]  # fmt: skip
    (line,) = events(made.run, "dropout")
    assert (line["site"], line["round"]) == ("north", 2)
    assert reason in line["reason"]
    assert reason in reports[1].missing["north"]
    assert [line["sites"] for line in events(made.run, "round")] == [list(r.sites) for r in reports]
    assert trained.dropouts == 1
    assert trained.checkpoint.model.isfinite().all()


def test_too_few_sites_end_the_run_and_leave_the_model(tiny_study, federation, events) -> None:
    spoil = {name: lambda a, t: refuse(a, t) if t.round == 2 else a for name in ("north", "south")}
    made = federation(tiny_study(privacy=PLAIN), spoil)
    before = []
    with pytest.raises(FederationError, match="Round 2 had 1 of the 2 sites") as failed:
        made.train(lambda report: before.append(latest(made)))
    assert failed.value.exit_code == 5
    assert latest(made).round == 1
    assert torch.equal(latest(made).model, before[0].model)
    (line,) = events(made.run, "abort")
    assert (line["round"], line["code"]) == (2, 5)
    assert "north: refused" in line["reason"]
    # ... from which the run goes on once the sites are mended
    assert federation(made.study).train().checkpoint.round == 3


def test_a_model_that_overflows_ends_the_run_and_is_not_saved(tiny_study, federation) -> None:
    """Each update is finite and only their sum with the model is not."""

    def push(answer, task):
        return answer.model_copy(update={"update": torch.full_like(answer.update, 3e38) * task.model.sign()})

    made = federation(tiny_study(privacy=PLAIN), dict.fromkeys(("east", "north", "south"), push))
    with pytest.MonkeyPatch.context() as patch:
        start = made.recipe.initial_checkpoint()
        pushed = dataclasses.replace(start, model=start.model.sign() * 1e38)
        patch.setattr(Recipe, "initial_checkpoint", lambda recipe: pushed)
        patch.setattr("fedgen.mechanisms.averaging.LocalTrainer.run", lambda *_: {})
        with pytest.raises(FederationError, match=r"not finite after round 1.*learning_rate"):
            made.train()
    assert latest(made).round == 0
    assert latest(made).model.isfinite().all()


class Interrupt(BaseException):
    pass


@pytest.mark.parametrize("stop", ["after a round", "before the checkpoint", "in the middle of a round"])
@pytest.mark.parametrize("family", ["vae", "gan"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    tiny_study, federation, monkeypatch, stop, family
) -> None:
    """With one seed and no privacy noise the final weights are the same to the last bit."""
    study = tiny_study(family, privacy=PLAIN, training={"rounds": 4})
    expected = federation(study, where="whole").train().checkpoint

    def halt(*_):
        raise Interrupt

    made = federation(study, {"south": lambda a, t: halt() if t.round == 2 and "middle" in stop else a})
    with monkeypatch.context() as patch, pytest.raises(Interrupt):
        if "before" in stop:
            original = Averaging.advance
            patch.setattr(
                Averaging,
                "advance",
                lambda of, state, *rest: halt() if state.round == 1 else original(of, state, *rest),
            )
        made.train(lambda report: halt() if report.round == 2 and "after" in stop else None)
    assert latest(made).round == (2 if "after" in stop else 1)
    resumed = federation(study).train().checkpoint
    assert torch.equal(resumed.model, expected.model)
    assert torch.equal(resumed.ema, expected.ema)


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_a_server_optimizer_goes_on_after_a_stop(tiny_study, federation, name) -> None:
    study = tiny_study(
        privacy=PLAIN, training={"rounds": 4, "server": {"name": name, "learning_rate": 0.1, "beta_1": 0.5}}
    )
    expected = federation(study, where="whole").train().checkpoint
    assert expected.server

    def halt(report):
        if report.round == 2:
            raise Interrupt

    with pytest.raises(Interrupt):
        federation(study).train(halt)
    resumed = federation(study).train().checkpoint
    assert torch.equal(resumed.model, expected.model)
    averaged = federation(tiny_study(privacy=PLAIN, training={"rounds": 4}), where="plain").train().checkpoint
    assert not torch.equal(resumed.model, averaged.model)


def rows(federation):
    return {name: list(Ledger(federation.run.site(name) / "ledger.jsonl")) for name in federation.sites}


@pytest.mark.parametrize("stop", ["after a round", "in the middle of a round"])
def test_a_resumed_run_spends_what_an_uninterrupted_one_does(tiny_study, federation, stop) -> None:
    study = tiny_study()
    whole = federation(study, where="whole")
    whole.train()

    def halt():
        raise Interrupt

    made = federation(study, {"south": lambda a, t: halt() if t.round == 2 and "middle" in stop else a})
    with pytest.raises(Interrupt):
        made.train(lambda report: halt() if report.round == 2 else None)
    trained = federation(study).train()
    for name, charges in rows(made).items():
        assert [row.round for row in charges] == [1, 2, 3]
        assert [row.spend for row in charges] == [row.spend for row in rows(whole)[name]]
        (site,) = (site for site in trained.sites if site.site == name)
        assert epsilon_prv([row.spend for row in charges], study.privacy.delta) == pytest.approx(site.epsilon)
        assert site.epsilon <= study.privacy.epsilon


def test_the_epsilon_shown_is_never_below_the_ledgers(tiny_study, federation) -> None:
    made = federation(tiny_study())
    delta, shown = made.study.privacy.delta, []

    def compare(report):
        # east has the fewest patients, and so the highest sampling rate
        spent = epsilon_prv([row.spend for row in rows(made)["east"]], delta)
        # The accountant's own numerical slack is half a percent.
        assert report.epsilon >= spent * 0.99
        shown.append(report.epsilon)

    made.train(compare)
    assert shown == sorted(shown)
    assert shown[0] < shown[-1] <= made.study.privacy.epsilon


def test_drop_outs_are_summed_over_every_start(tiny_study, federation) -> None:
    study = tiny_study(privacy=PLAIN)

    def halt(report):
        raise Interrupt

    with pytest.raises(Interrupt):
        federation(study, {"north": refuse}).train(halt)
    assert (
        federation(study, {"north": lambda a, t: refuse(a, t) if t.round == 3 else a}).train().dropouts == 2
    )


def test_nothing_is_left_to_train(tiny_study, federation) -> None:
    made = federation(tiny_study(privacy=PLAIN))
    first = made.train().checkpoint
    again = federation(made.study)
    assert torch.equal(again.train().checkpoint.model, first.model)
    assert not any(isinstance(task, TrainRound) for _, task in again.exchange.asked)


def test_a_checkpoint_of_another_study_is_refused(tiny_study, federation) -> None:
    federation(tiny_study(privacy=PLAIN)).train()
    with pytest.raises(DataError, match="another study"):
        federation(tiny_study(privacy=PLAIN, training={"local_steps": 3})).train()


def test_a_full_disk_ends_the_run_and_leaves_the_checkpoint(tiny_study, federation, disk_full) -> None:
    made = federation(tiny_study(privacy=PLAIN))

    def stop(report):
        raise Interrupt

    with pytest.raises(Interrupt):
        made.train(stop)
    saved = latest(made)
    again = federation(made.study)
    with disk_full(), pytest.raises((DataError, FederationError)):
        again.train()
    assert torch.equal(latest(made).model, saved.model)
    assert latest(made).round == 1
    assert federation(made.study).train().checkpoint.round == 3


def other_study(site, study):
    """A site that approved another study."""
    site._recipe = Recipe.of(study.model_copy(update={"study": study.study.model_copy(update={"seed": 77})}))


def test_a_site_that_refuses_the_study_is_left_out_and_never_asked_again(
    tiny_study, federation, events
) -> None:
    """Nobody knows what it would spend, so it may not spend anything."""
    made = federation(tiny_study())
    other_study(made.sites["north"], made.study)
    trained = made.train()
    assert [site.site for site in trained.sites] == ["east", "south"]
    assert not [
        site for site, task in made.exchange.asked if site == "north" and isinstance(task, TrainRound)
    ]
    assert not (made.run.site("north") / "ledger.jsonl").exists()
    (line,) = events(made.run, "left_out")
    assert line["site"] == "north"
    assert "PrivacyRefusedError" in line["reason"]


def test_too_few_sites_for_the_study_end_with_their_common_reason(tiny_study, federation) -> None:
    made = federation(tiny_study())
    for name in ("north", "south"):
        other_study(made.sites[name], made.study)
    with pytest.raises(FederationError, match="1 of 3 sites can take part") as failed:
        made.train()
    assert failed.value.exit_code == ExitCode.REFUSED
    assert latest(made) is None


def test_different_reasons_are_a_failed_federation(tiny_study, federation) -> None:
    made = federation(tiny_study())

    class Answers:
        def sites(self):
            return ["a", "b", "c"]

        def stream(self, tasks, deadline):
            yield "a", Refusal(site="a", code=ExitCode.REFUSED, reason="no")
            yield "b", Refusal(site="b", code=ExitCode.DATA, reason="bad")

    with pytest.raises(FederationError, match="1 did not answer") as failed:
        describe(Recipe.of(made.study), Answers(), 1)
    assert failed.value.exit_code == ExitCode.FEDERATION


def test_events_are_json_without_nan(tiny_study, federation) -> None:
    made = federation(tiny_study())
    made.train()
    for line in made.run.events.read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=lambda constant: pytest.fail(constant))


def test_what_a_family_makes_of_the_trained_model_is_in_the_last_checkpoint_alone(
    tiny_study, federation, monkeypatch
) -> None:
    study = tiny_study("vae", privacy=PLAIN)
    plain: list[Tensor] = []
    whole = federation(study, where="plain")
    expected = whole.train(lambda report: plain.append(latest(whole).ema)).checkpoint

    def doubled(self, networks, rng, told):
        for done in range(41):
            told(done, 40)
        with torch.no_grad():
            for parameter in networks["vae"].parameters():
                parameter.mul_(2)
        return networks

    monkeypatch.setattr(VAEFamily, "finished", doubled)
    made, seen = federation(study), []
    trained = made.train(lambda report: seen.append(latest(made).ema)).checkpoint
    assert all(torch.equal(a, b) for a, b in zip(seen[:2], plain[:2], strict=True))
    assert torch.equal(trained.ema, 2 * expected.ema)
    assert torch.equal(trained.model, expected.model)
    # and who waits can see how far it is, a line a tenth
    told = made.run.read_events(Finishing)
    assert [(event.round, event.done, event.total) for event in told] == [(3, 4 * n, 40) for n in range(11)]
    # and not once more where the run is taken up again
    assert torch.equal(federation(study).train().checkpoint.ema, trained.ema)

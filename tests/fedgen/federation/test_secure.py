"""Rounds under secure aggregation, over sites in this process: the sum, drop-outs in every phase, and no way round."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from fedgen.errors import ExitCode
from fedgen.federation.coordinator.aggregation import PlainAggregator
from fedgen.federation.coordinator.rounds import train
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.direct import DirectExchange
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import keyholder, roster
from fedgen.protocol.messages import (
    Describe,
    MaskedUpdate,
    Refusal,
    SecureReply,
    SecureStep,
    TrainMasked,
    TrainRound,
)
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.study.show import study_hash
from fedgen.training.vector import vector_sha256
from fedgen_privacy.ledger import Ledger
from fedgen_privacy.secagg import Phase, SecAggAborted

PLAIN = {"mode": "none"}
SIZES = {"east": 6, "north": 9, "south": 9, "west": 12}
SECURE = {"secure": True, "minimum_sites": 3, "weight_cap": 16}
HOUR = 3600.0


class Lossy:
    """Loses or changes chosen answers: `faults[(site, phase)]` is a function of the answer, None is silence."""

    def __init__(self, exchange, faults) -> None:
        self._exchange, self.faults = exchange, faults
        self.seen = []

    def sites(self):
        return self._exchange.sites()

    def stream(self, tasks, deadline):
        for site, answer in self._exchange.stream(tasks, deadline):
            task = tasks[site]
            phase = {SecureStep: getattr(task, "phase", None), TrainMasked: Phase.MASK}.get(type(task))
            self.seen.append((site, phase, answer))
            fault = self.faults.get((site, phase))
            answer = fault(answer) if fault is not None else answer
            if answer is not None:
                yield site, answer


def lost(answer):
    return None


@pytest.fixture
def hospitals(tmp_path, tiny_site):
    """`hospitals(study)`: the sites of a secure study, its exchange and aggregator; called again, after a restart."""

    def build(study, where="run", faults=None):
        run = RunDirectory(tmp_path / where)
        run.path.mkdir(exist_ok=True)
        names = roster({site: run.site(site) for site in SIZES})
        sites = {
            site: Site(
                Recipe.of(study),
                tiny_site(site, n),
                run.site(site),
                keyholder(Recipe.of(study), names, site, run.site(site)),
            )
            for site, n in SIZES.items()
        }
        exchange = Lossy(DirectExchange(list(sites.values())), faults or {})
        return exchange, SecureAggregator(Recipe.of(study), names), run, sites

    return build


def events(run, kind):
    return [line for line in map(json.loads, run.events.read_text().splitlines()) if line["event"] == kind]


@pytest.mark.parametrize("family", ["vae", "gan"])
def test_the_model_is_the_one_of_a_plain_federation(
    tiny_study, tiny_site, hospitals, tmp_path, family
) -> None:
    once = {"privacy": PLAIN, "training": {"rounds": 1}}
    secure = tiny_study(family, aggregation=SECURE, **once)
    exchange, aggregator, run, _ = hospitals(secure)
    trained = train(Recipe.of(secure), exchange, aggregator, run)

    plain = tiny_study(family, **once)
    other = RunDirectory(tmp_path / "plain")
    other.path.mkdir()
    sites = [Site(Recipe.of(plain), tiny_site(site, n), other.site(site)) for site, n in SIZES.items()]
    expected = train(Recipe.of(plain), DirectExchange(sites), PlainAggregator(), other)

    assert np.abs(expected.checkpoint.model.numpy()).max() > 1e-2
    assert torch.allclose(trained.checkpoint.model, expected.checkpoint.model, atol=1e-7)
    for with_it, without in zip(events(run, "round"), events(other, "round"), strict=True):
        assert with_it["losses"].keys() == without["losses"].keys()
        for name, loss in without["losses"].items():
            assert with_it["losses"][name]["value"] == pytest.approx(loss["value"], abs=1e-6)
        assert with_it["sites"] == sorted(SIZES)


def test_noise_of_losses_is_pooled_as_without(
    tiny_study, tiny_site, hospitals, quick_plans, tmp_path
) -> None:
    study = tiny_study(aggregation=SECURE)
    exchange, aggregator, run, sites = hospitals(study)
    train(Recipe.of(study), exchange, aggregator, run)
    stds = [event["losses"]["vae"]["std"] for event in events(run, "round")]
    weights = np.array(list(SIZES.values())) / sum(SIZES.values())
    single = [site._rounds._outbox.get(3, {}).losses["vae"][1] for site in sites.values()]
    assert stds[2] == pytest.approx(np.sqrt(np.sum((weights * single) ** 2)), rel=1e-3)


def test_four_exchanges_a_round_and_nothing_but_masked_vectors(tiny_study, hospitals) -> None:
    study = tiny_study(privacy=PLAIN, aggregation=SECURE)
    exchange, aggregator, run, sites = hospitals(study)
    train(Recipe.of(study), exchange, aggregator, run)
    records = [event["secure"] for event in events(run, "round")]
    assert [record["exchanges"] for record in records] == [4, 4, 4]
    assert all(record["aborts"] == [] and record["weight"] == 36 for record in records)
    words = Recipe.of(study).parameters(4).length
    for record in records:
        # the model down, the masked vector up: within a few KB of plain float32 each
        for way in ("to_sites", "from_sites"):
            assert 4 * 4 * words <= record["bytes"][way] <= 4 * (4 * words + 4096)
    updates = {site: here._rounds._outbox.get(3, {}).update.numpy() for site, here in sites.items()}
    for site, _, answer in exchange.seen:
        assert not isinstance(answer, Refusal)
        if isinstance(answer, MaskedUpdate) and answer.round == 3:
            body = answer.words[: len(updates[site])].astype(np.int64)
            # uniform over the ring: nothing like the update, and half of it beyond the middle
            assert abs(np.mean(body > 2**31) - 0.5) < 0.1
            assert abs(np.corrcoef(body.astype(np.int32), updates[site])[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("phase", "in_the_sum"),
    [(Phase.SHARE, 3), (Phase.MASK, 3), (Phase.CONFIRM, 4), (Phase.UNMASK, 4)],
)
def test_one_site_may_fail_in_any_phase(tiny_study, hospitals, phase, in_the_sum) -> None:
    study = tiny_study(privacy=PLAIN, aggregation=SECURE, training={"rounds": 1})
    exchange, aggregator, run, _ = hospitals(study, faults={("south", phase): lost})
    trained = train(Recipe.of(study), exchange, aggregator, run)
    [event] = events(run, "round")
    assert len(event["sites"]) == in_the_sum
    assert trained.dropouts == 4 - in_the_sum
    told = (
        event["secure"]["failed_later"]
        if in_the_sum == 4
        else {d["site"]: d["reason"] for d in events(run, "dropout")}
    )
    assert f"no answer in phase {phase.value}" in told["south"]


def test_the_sum_without_a_site_is_the_mean_of_the_others(tiny_study, hospitals) -> None:
    study = tiny_study(privacy=PLAIN, aggregation=SECURE, training={"rounds": 1})
    exchange, aggregator, run, sites = hospitals(study, faults={("south", Phase.MASK): lost})
    after = train(Recipe.of(study), exchange, aggregator, run).checkpoint
    others = [site for site in SIZES if site != "south"]
    updates = [sites[site]._rounds._outbox.get(1, {}).update.numpy() for site in others]
    mean = np.average(updates, axis=0, weights=[SIZES[site] for site in others])
    assert np.allclose((after.model - Recipe.of(study).initial_checkpoint().model).numpy(), mean, atol=1e-6)


@pytest.mark.parametrize("phase", [Phase.SHARE, Phase.MASK, Phase.CONFIRM, Phase.UNMASK])
def test_two_failures_abort_twice_and_leave_the_model(tiny_study, hospitals, phase) -> None:
    study = tiny_study(privacy=PLAIN, aggregation=SECURE)
    exchange, aggregator, run, _ = hospitals(study, faults={("south", phase): lost, ("east", phase): lost})
    with pytest.raises(SecAggAborted) as aborted:
        train(Recipe.of(study), exchange, aggregator, run)
    assert aborted.value.exit_code == ExitCode.FEDERATION == 5
    assert aborted.value.phase is phase
    for words in ("tried twice", "the model is unchanged", "start it again", "south: no answer"):
        assert words in str(aborted.value)
    [event] = events(run, "abort")
    assert event["code"] == 5
    assert sorted(path.stem for path in run.checkpoints.glob("*.json")) == ["round-00000"]


def test_an_abort_is_tried_once_more_with_fresh_keys(tiny_study, hospitals, quick_plans) -> None:
    study = tiny_study(aggregation=SECURE)
    fails = iter([True, True])

    def once(answer):
        return None if next(fails, False) else answer

    faults = {("south", Phase.MASK): once, ("east", Phase.MASK): once}
    exchange, aggregator, run, sites = hospitals(study, faults=faults)
    train(Recipe.of(study), exchange, aggregator, run)
    first, second, third = (event["secure"] for event in events(run, "round"))
    assert [abort["phase"] for abort in first["aborts"]] == ["mask"]
    assert (first["attempt"], second["attempt"], third["attempt"]) == (2, 1, 1)
    assert (first["exchanges"], second["exchanges"]) == (5, 4)
    adverts = [a.keys.advert for _, _, a in exchange.seen if isinstance(a, SecureReply) and a.keys]
    assert len(set(adverts)) == len(adverts)
    for site in sites:
        # the round was trained once and charged once, though its update was masked twice
        assert [row.round for row in Ledger(run.site(site) / "ledger.jsonl")] == [1, 2, 3]


def test_a_restart_after_the_sum_was_opened_repeats_the_same_sum(tiny_study, hospitals, quick_plans) -> None:
    """kill -9 of everything between UNMASK and the checkpoint: the round is done again over the same sites."""
    study = tiny_study(aggregation=SECURE)
    exchange, aggregator, run, _ = hospitals(study, faults={("south", Phase.MASK): lost})

    class Killed(BaseException):
        pass

    def kill(answer):
        raise Killed

    answered = []

    def last(answer):
        answered.append(answer)
        return kill(answer) if len(answered) == 3 else answer

    for site in ("east", "north", "west"):
        exchange.faults[site, Phase.UNMASK] = last
    with pytest.raises(Killed):
        train(Recipe.of(study), exchange, aggregator, run)

    exchange, aggregator, run, sites = hospitals(study)
    train(Recipe.of(study), exchange, aggregator, run)
    first, second, _ = events(run, "round")
    # south is back, but round 1 was summed without it and stays so; round 2 has all
    assert first["sites"] == ["east", "north", "west"]
    assert second["sites"] == sorted(SIZES)
    for site in sites:
        assert len(Ledger(run.site(site) / "ledger.jsonl").spends()) == 3


def test_a_site_never_helps_to_open_a_second_sum_of_a_round(tiny_study, hospitals) -> None:
    """The difference of sums over A, B, C, D and over A, B, C would be D's update."""
    study = tiny_study(privacy=PLAIN, aggregation=SECURE)
    exchange, aggregator, run, _ = hospitals(study)
    model = torch.zeros(Recipe.of(study).parameters(4).length)
    task = TrainRound(study_sha256=study_hash(study), round=1, model_sha256=vector_sha256(model), model=model)
    assert aggregator.collect(exchange, task, 3, HOUR).sites == tuple(sorted(SIZES))

    exchange.faults["south", Phase.MASK] = lost
    with pytest.raises(SecAggAborted) as aborted:
        aggregator.collect(exchange, task, 3, HOUR)
    assert aborted.value.phase is Phase.CONFIRM
    assert "already summed over" in (run.site("east") / "log.jsonl").read_text()

    changed = model + 1
    exchange.faults.clear()
    other = TrainRound(
        study_sha256=study_hash(study), round=1, model_sha256=vector_sha256(changed), model=changed
    )
    with pytest.raises(SecAggAborted) as aborted:
        aggregator.collect(exchange, other, 3, HOUR)
    assert aborted.value.phase is Phase.MASK


def test_there_is_no_way_to_a_plain_update(tiny_study, hospitals) -> None:
    study = tiny_study(privacy=PLAIN, aggregation=SECURE)
    _, _, run, sites = hospitals(study)
    model = torch.zeros(Recipe.of(study).parameters(4).length)
    task = TrainRound(study_sha256=study_hash(study), round=1, model_sha256=vector_sha256(model), model=model)
    answer = sites["east"].answer(task)
    assert isinstance(answer, Refusal) and answer.code == ExitCode.REFUSED
    assert "in the clear" in (run.site("east") / "log.jsonl").read_text()
    # a mask without a session, or a phase without a model, is refused too, and nothing was trained
    masked = sites["east"].answer(TrainMasked(train=task, attempt=1, request=b""))
    step = sites["east"].answer(
        SecureStep(study_sha256=study_hash(study), round=1, attempt=1, phase=Phase.MASK, request=b"")
    )
    assert isinstance(masked, Refusal) and isinstance(step, Refusal)
    assert not sites["east"]._rounds._outbox.holds(1)


def test_a_plain_study_has_no_sessions(tiny_study, tiny_site, tmp_path) -> None:
    study = tiny_study(privacy=PLAIN)
    site = Site(Recipe.of(study), tiny_site("east", 6), tmp_path)
    answer = site.answer(
        SecureStep(study_sha256=study_hash(study), round=1, attempt=1, phase=Phase.ADVERTISE, request=b"")
    )
    assert isinstance(answer, Refusal) and answer.code == ExitCode.REFUSED
    assert site.answer(Describe(study_sha256=study_hash(study), round=1)).keys is None


def test_a_secure_site_without_its_keys_refuses_everything(tiny_study, tiny_site, tmp_path) -> None:
    study = tiny_study(privacy=PLAIN, aggregation=SECURE)
    site = Site(Recipe.of(study), tiny_site("east", 6), tmp_path)
    assert isinstance(site.answer(Describe(study_sha256=study_hash(study), round=1)), Refusal)


def test_another_model_than_the_sessions_costs_nothing(tiny_study, hospitals, quick_plans) -> None:
    """The coordinator shows one site another model: the site stops before it trains or spends."""
    study = tiny_study(aggregation=SECURE, training={"rounds": 1})
    exchange, aggregator, run, _ = hospitals(study)
    other = torch.ones(Recipe.of(study).parameters(4).length)

    def twisted(train):
        return train.model_copy(update={"model": other, "model_sha256": vector_sha256(other)})

    class Twisted(Lossy):
        def stream(self, tasks, deadline):
            tasks = {
                site: task.model_copy(update={"train": twisted(task.train)})
                if site == "east" and isinstance(task, TrainMasked)
                else task
                for site, task in tasks.items()
            }
            yield from super().stream(tasks, deadline)

    train(Recipe.of(study), Twisted(exchange, {}), aggregator, run)
    assert events(run, "round")[0]["sites"] == ["north", "south", "west"]
    [dropout] = events(run, "dropout")
    assert "aborted in phase mask" in dropout["reason"]
    assert not list(Ledger(run.site("east") / "ledger.jsonl"))


def test_a_vector_of_another_length_is_left_out(tiny_study, hospitals) -> None:
    study = tiny_study(privacy=PLAIN, aggregation=SECURE, training={"rounds": 1})

    def short(answer):
        return answer.model_copy(update={"words": answer.words[:-1]})

    exchange, aggregator, run, _ = hospitals(study, faults={("east", Phase.MASK): short})
    train(Recipe.of(study), exchange, aggregator, run)
    [dropout] = events(run, "dropout")
    assert dropout["site"] == "east" and "instead of" in dropout["reason"]


def test_garbage_is_an_abort_and_not_a_model(tiny_study, hospitals) -> None:
    study = tiny_study(privacy=PLAIN, aggregation=SECURE, training={"rounds": 1})
    rng = np.random.default_rng(0)

    def garbage(answer):
        return answer.model_copy(update={"words": rng.integers(0, 2**32, len(answer.words), dtype=np.uint32)})

    exchange, aggregator, run, _ = hospitals(study, faults={("east", Phase.MASK): garbage})
    with pytest.raises(SecAggAborted, match="another vector than the protocol's"):
        train(Recipe.of(study), exchange, aggregator, run)


def test_a_refusal_tells_the_phase_and_no_number(tiny_study, hospitals) -> None:
    study = tiny_study(privacy=PLAIN, aggregation={**SECURE, "weighting": "patients"}, training={"rounds": 1})
    exchange, aggregator, run, sites = hospitals(study)
    sites["east"].plan = dataclasses.replace(sites["east"].plan, weight=123_456.0)
    train(Recipe.of(study), exchange, aggregator, run)
    [dropout] = events(run, "dropout")
    assert "secure aggregation aborted in phase mask (concerning east)" in dropout["reason"]
    assert "123456" not in run.events.read_text()
    assert "123456" in (run.site("east") / "log.jsonl").read_text()


def test_who_spoils_the_shares_of_several_sites_is_left_out_of_the_second_attempt(
    tiny_study, hospitals
) -> None:
    """East seals junk for the others under its own valid signature; alone it must not stop the federation."""
    study = tiny_study(privacy=PLAIN, aggregation=SECURE, training={"rounds": 1})
    exchange, aggregator, run, sites = hospitals(study)
    session = sites["east"]._sessions()._holder

    def junk(round, attempt, request):
        client = session._sessions[round, attempt]
        client._channel = lambda peer: bytes(32)
        return client.share(request)

    session.share = junk
    train(Recipe.of(study), exchange, aggregator, run)
    [event] = events(run, "round")
    assert event["sites"] == ["north", "south", "west"]
    assert [abort["phase"] for abort in event["secure"]["aborts"]] == ["mask"]
    [dropout] = events(run, "dropout")
    assert dropout["site"] == "east" and "other sites could not accept its part" in dropout["reason"]


def test_one_sites_complaint_excludes_nobody(tiny_study, hospitals) -> None:
    study = tiny_study(privacy=PLAIN, aggregation={**SECURE, "colluders": 1, "minimum_sites": 3})
    exchange, aggregator, run, _ = hospitals(study)

    def complain(answer):
        return Refusal(site="east", code=ExitCode.FEDERATION, reason="no", about=("north",))

    exchange.faults["east", Phase.MASK] = complain
    with pytest.raises(SecAggAborted):
        train(Recipe.of(study), exchange, aggregator, run)
    second = [site for site, phase, _ in exchange.seen if phase is Phase.ADVERTISE]
    assert "north" in second

"""The weighted mean against numpy, and what is not averaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgen.errors import ExitCode, FederationError
from fedgen.federation.coordinator.aggregation import PlainAggregator, check_update, weighted_mean
from fedgen.protocol.messages import Refusal, RoundUpdate, SiteDescription, TrainRound

TASK = TrainRound(study_sha256="a" * 64, round=2, model_sha256="b" * 64, model=torch.zeros(3))


def update(site="n", values=(1.0, 2.0, 3.0), weight=1.0, **losses) -> RoundUpdate:
    made = RoundUpdate(
        site=site,
        round=2,
        model_sha256="b" * 64,
        update=torch.tensor(values, dtype=torch.float32),
        weight=1.0,
        losses=losses,
    )
    # A copy is not checked: no transport would bring some of these weights, and the coordinator does not rely on that.
    return made.model_copy(update={"weight": weight})


class Fixed:
    """An exchange with its answers ready."""

    def __init__(self, answers, names=None) -> None:
        self.answers, self.names, self.sent = answers, names or sorted(answers), []

    def sites(self):
        return self.names

    def stream(self, tasks, deadline):
        self.sent.append((dict(tasks), deadline))
        yield from self.answers.items()


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    weights=st.lists(st.floats(0.01, 1e6), min_size=1, max_size=6),
    P=st.integers(1, 30),
)
def test_the_mean_is_numpys(seed, weights, P) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(weights), P)).astype(np.float32)
    losses = rng.normal(size=(len(weights), 2))
    losses[:, 1] = np.abs(losses[:, 1])
    updates = {
        f"site{i}": update(f"site{i}", vectors[i], weights[i], x=tuple(losses[i].tolist()))
        for i in range(len(weights))
    }
    aggregate = weighted_mean(updates, {"gone": "why"})
    expected = np.average(vectors.astype(np.float64), axis=0, weights=weights)
    assert np.allclose(aggregate.vector.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert aggregate.vector.dtype == torch.float32
    value, std = aggregate.losses["x"]
    assert value == pytest.approx(np.average(losses[:, 0], weights=weights))
    # independent noises: variances add with the squared shares
    shares = np.array(weights) / np.sum(weights)
    assert std == pytest.approx(np.sqrt(np.sum(shares**2 * losses[:, 1] ** 2)))
    assert aggregate.sites == tuple(sorted(updates))
    assert aggregate.missing == {"gone": "why"}


def test_a_site_without_a_loss_does_not_pull_it_to_zero() -> None:
    aggregate = weighted_mean(
        {
            "a": update("a", weight=1.0, x=(4.0, 0.2)),
            "b": update("b", weight=3.0),
            "c": update("c", x=(2.0, 0.2)),
        },
        {},
    )
    assert aggregate.losses["x"] == (pytest.approx(3.0), pytest.approx((0.01 + 0.01) ** 0.5))


def test_the_means_of_the_sites_are_left_as_they_were() -> None:
    first = update("a")
    weighted_mean({"a": first, "b": update("b", values=(0, 0, 0))}, {})
    assert torch.equal(first.update, torch.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "no answer within aggregation.deadline"),
        (Refusal(site="n", code=ExitCode.DATA, reason="why"), "refused with exit code 4 (why)"),
        (
            SiteDescription(
                site="n",
                patients=1,
                sampling_rate=1.0,
                noise_multiplier=0.0,
                steps_per_round=0,
                epsilon=None,
                epsilon_rdp=None,
            ),
            "something else than an update",
        ),
        (update().model_copy(update={"round": 1}), "round 1 or another model"),
        (update().model_copy(update={"model_sha256": "c" * 64}), "or another model"),
        (update(values=(1, 2)), "unusable update"),
        (update(values=(1, 2, 3, 4)), "unusable update"),
        (update(values=(1, 2, float("nan"))), "NaN"),
        (update(values=(1, 2, float("inf"))), "infinite"),
        (update().model_copy(update={"update": torch.zeros(3, dtype=torch.float64)}), "unusable update"),
        (update(weight=0.0), "weight 0"),
        (update(weight=-1.0), "weight -1"),
        (update(weight=float("nan")), "weight nan"),
        (update(weight=float("inf")), "weight inf"),
    ],
)
def test_what_is_not_averaged_and_why(answer, reason) -> None:
    checked = check_update(answer, TASK)
    assert isinstance(checked, str)
    assert reason in checked


def test_a_good_update_is_taken_as_it_is() -> None:
    good = update()
    assert check_update(good, TASK) is good


def test_a_round_asks_every_site_once_with_its_deadline() -> None:
    exchange = Fixed({"b": update("b"), "a": update("a")})
    aggregate = PlainAggregator().collect(exchange, TASK, 2, 12.5)
    assert exchange.sent == [({"a": TASK, "b": TASK}, 12.5)]
    assert aggregate.sites == ("a", "b")


def test_too_few_sites_end_the_round_with_every_reason() -> None:
    exchange = Fixed(
        {"a": update("a"), "b": Refusal(site="b", code=ExitCode.REFUSED, reason="no")}, ["a", "b", "c"]
    )
    with pytest.raises(FederationError) as failed:
        PlainAggregator().collect(exchange, TASK, 2, 1.0)
    sentence = str(failed.value)
    assert failed.value.exit_code == 5
    assert "Round 2 had 1 of the 2 sites it needs" in sentence
    assert "b: refused with exit code 3 (no)" in sentence
    assert "c: no answer within aggregation.deadline" in sentence
    assert "mend the sites and start it again" in sentence


def test_nobody_connected_says_so() -> None:
    with pytest.raises(FederationError, match="no site is connected"):
        PlainAggregator().collect(Fixed({}, []), TASK, 1, 1.0)


def test_an_answer_nobody_asked_for_is_not_averaged() -> None:
    exchange = Fixed({"a": update("a"), "stranger": update("stranger", values=(9, 9, 9))}, ["a"])
    assert PlainAggregator().collect(exchange, TASK, 1, 1.0).sites == ("a",)


def test_the_plain_aggregator_claims_nothing() -> None:
    assert PlainAggregator.protocol is None
    assert PlainAggregator.hides_updates is False
    assert "saw the update of each single site" in PlainAggregator.statement

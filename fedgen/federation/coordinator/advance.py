"""From one model to the next: what the coordinator makes of an aggregate."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.errors import DataError, FederationError
from fedgen.families.contract import objectives_of
from fedgen.federation.coordinator.aggregation import Aggregate
from fedgen.federation.terms.losses import Losses
from fedgen.federation.terms.noise import round_share
from fedgen.run.checkpoint import Checkpoint
from fedgen.study.show import study_hash
from fedgen.study.study import Study
from fedgen.training import central_images, distributed
from fedgen.training.asked_family import build_family
from fedgen.training.pretrained import Pretrained, plain_layout
from fedgen.training.server_optimizer import server_update
from fedgen.training.spending import training_round
from fedgen.training.vector import ParameterLayout
from fedgen_privacy.secagg import Parameters

#: Parameters of the secure aggregation, and the number of sites in the roster.
Secure = tuple[Parameters, int]
#: Pretrained weights by `network/parameter` that the study does not change.
Frozen = Mapping[str, Tensor]


def initial_checkpoint(study: Study, start: Pretrained | None = None) -> Checkpoint:
    """Round 0, the same for every site: weights drawn from the study's seed, or those it starts from.

    Adapters on pretrained weights are drawn from the seed too, and change nothing yet.

    Raises:
        DataError: the study names pretrained weights and `start` is None.
    """
    if study.model.pretrained is not None and start is None:
        raise DataError("The study starts from pretrained weights, which were not given: use --pretrained.")
    if start is not None and study.model.adapters is None:
        model = torch.cat([start.weights[name].flatten() for name, _ in plain_layout(study).entries])
        return Checkpoint(0, model, model.clone(), study_hash(study))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(study.study.seed)
        networks = build_family(study, None if start is None else start.weights).networks()
    model = ParameterLayout.of(networks).flatten(networks)
    return Checkpoint(0, model, model.clone(), study_hash(study))


def next_checkpoint(
    study: Study,
    state: Checkpoint,
    aggregate: Aggregate,
    secure: Secure | None,
    frozen: Frozen | None = None,
) -> tuple[Checkpoint, Losses]:
    """The state after one more aggregation, and its losses.

    The average's decay warms up as min(ema, (1 + r) / (10 + r)) in round r of the training, so that the untrained
    weights are forgotten; a warm start begins the average anew.

    Args:
        study: the resolved study.
        state: before.
        aggregate: of round `state.round + 1`.
        secure: of the study; None without secure aggregation.
        frozen: what adapters are trained on; None without adapters.

    Raises:
        FederationError: the model is not finite.
    """
    round = state.round + 1
    server, losses = state.server, aggregate.losses
    if study.is_warm_start(round):
        model = _warm_start(study, state.model, aggregate, secure, frozen)
    elif study.privacy.mode == "distributed":
        model, server, losses = _distributed(study, state, aggregate, _required(secure), frozen)
    else:
        # Behind the model's numbers there may be zeros, where mean images are the longer vector.
        mean = aggregate.update[: len(state.model)]
        update, server = server_update(study.training.server, mean, state.server)
        model = state.model + update
    if not bool(torch.isfinite(model).all()):
        raise FederationError(f"The model is not finite after round {round}: lower training.learning_rate.")
    r = training_round(study, round)
    decay = min(study.training.ema, (1 + r) / (10 + r)) if r else 0.0
    ema: Tensor = decay * state.ema + (1 - decay) * model
    return Checkpoint(round, model, ema, state.study_sha256, server), losses


def _networks(study: Study, model: Tensor, frozen: Frozen | None) -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        networks = build_family(study, frozen).networks()
    ParameterLayout.of(networks).load(networks, model)
    return {name: network.to(study.training.device) for name, network in networks.items()}


def _warm_start(
    study: Study, model: Tensor, aggregate: Aggregate, secure: Secure | None, frozen: Frozen | None
) -> Tensor:
    sums = aggregate.update
    if study.privacy.mode == "distributed":
        parameters, sites = _required(secure)
        share = central_images.share_of(study, parameters, sites)
        sums = sums / (share.scale * central_images.expected_patients(study))
    networks = _networks(study, model, frozen)
    images, labels = central_images.images_of(study, sums)
    central_images.train(study, objectives_of(build_family(study)), networks, images, labels)
    return ParameterLayout.of(networks).flatten(networks)


def _distributed(
    study: Study, state: Checkpoint, aggregate: Aggregate, secure: Secure, frozen: Frozen | None
) -> tuple[Tensor, dict[str, Tensor], Losses]:
    networks = _networks(study, state.model, frozen)
    objectives = objectives_of(build_family(study))
    round = state.round + 1
    d = distributed.dimension(distributed.private_objective(objectives), networks)
    server, reports = distributed.server_step(
        study,
        objectives,
        networks,
        state.server,
        aggregate.update[:d],
        round=round,
        share=round_share(study, *secure, round),
        sites=len(aggregate.sites),
    )
    losses = {name: (report.value, report.std) for name, report in reports.items()}
    return ParameterLayout.of(networks).flatten(networks), server, losses


def _required(secure: Secure | None) -> Secure:
    if secure is None:
        raise FederationError(
            "privacy.mode distributed needs secure aggregation, and this run has none: start it anew with it."
        )
    return secure

"""From one model to the next: what the coordinator makes of an aggregate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedgen.errors import FederationError
from fedgen.families.contract import objectives_of
from fedgen.federation.coordinator.aggregation import Aggregate
from fedgen.federation.terms.noise import round_share
from fedgen.recipe import Recipe
from fedgen.run.checkpoint import Checkpoint
from fedgen.training import central_images, distributed
from fedgen.training.losses import Losses
from fedgen.training.server_optimizer import server_update
from fedgen.training.spending import training_round
from fedgen_privacy.secagg import Parameters

#: Parameters of the secure aggregation, and the number of sites in the roster.
Secure = tuple[Parameters, int]


def initial_checkpoint(recipe: Recipe) -> Checkpoint:
    """Round 0, the same for every site.

    Raises:
        DataError: the study names pretrained weights, and they are not at hand.
    """
    return Checkpoint(0, recipe.initial, recipe.initial.clone(), recipe.sha256)


def next_checkpoint(
    recipe: Recipe,
    state: Checkpoint,
    aggregate: Aggregate,
    secure: Secure | None,
) -> tuple[Checkpoint, Losses]:
    """The state after one more aggregation, and its losses.

    The average's decay warms up as min(ema, (1 + r) / (10 + r)) in round r of the training, so that the untrained
    weights are forgotten; a warm start begins the average anew.

    Args:
        recipe: of the study.
        state: before.
        aggregate: of round `state.round + 1`.
        secure: of the study; None without secure aggregation.

    Raises:
        FederationError: the model is not finite.
    """
    study, round = recipe.study, state.round + 1
    server, losses = state.server, aggregate.losses
    if study.is_warm_start(round):
        model = _warm_start(recipe, state.model, aggregate, secure)
    elif study.privacy.mode == "distributed":
        model, server, losses = _distributed(recipe, state, aggregate, _required(secure))
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


def _networks(recipe: Recipe, model: Tensor) -> dict[str, nn.Module]:
    device = recipe.study.training.device
    return {name: network.to(device) for name, network in recipe.networks(model).items()}


def _warm_start(recipe: Recipe, model: Tensor, aggregate: Aggregate, secure: Secure | None) -> Tensor:
    study, sums = recipe.study, aggregate.update
    if study.privacy.mode == "distributed":
        parameters, sites = _required(secure)
        share = central_images.share_of(study, parameters, sites)
        sums = sums / (share.scale * central_images.expected_patients(study))
    networks = _networks(recipe, model)
    images, labels = central_images.images_of(study, sums)
    central_images.train(study, objectives_of(recipe.family), networks, images, labels)
    return recipe.layout.flatten(networks)


def _distributed(
    recipe: Recipe, state: Checkpoint, aggregate: Aggregate, secure: Secure
) -> tuple[Tensor, dict[str, Tensor], Losses]:
    study = recipe.study
    networks = _networks(recipe, state.model)
    objectives = objectives_of(recipe.family)
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
    return recipe.layout.flatten(networks), server, losses


def _required(secure: Secure | None) -> Secure:
    if secure is None:
        raise FederationError(
            "privacy.mode distributed needs secure aggregation, and this run has none: start it anew with it."
        )
    return secure

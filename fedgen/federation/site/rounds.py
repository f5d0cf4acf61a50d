"""A site's rounds: each has one result, charged before a patient is read and kept before it leaves."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fedgen.errors import FederationError
from fedgen.federation.site.charging import Charging
from fedgen.mechanisms.contract import AtSite
from fedgen.protocol.messages import TrainRound
from fedgen.recipe import Recipe
from fedgen.run.lock import held
from fedgen.training.outbox import Outbox, RoundResult
from fedgen.training.vector import vector_sha256
from fedgen_privacy.random import SecretRandom


class Rounds:
    """One study's rounds at one site.

    Args:
        recipe: of the study.
        name: of the site.
        here: its patients, its plan, and how many sites there are.
        outbox: folder of what is kept.
        charging: what pays.
    """

    def __init__(self, recipe: Recipe, name: str, here: AtSite, outbox: Path, charging: Charging) -> None:
        self._recipe, self._name, self._here = recipe, name, here
        self._outbox = Outbox(outbox)
        self._charging = charging

    def check(self, round: int) -> None:
        """Refuse what is no round of the study.

        Raises:
            FederationError: it is not.
        """
        if not 1 <= round <= self._recipe.rounds:
            raise FederationError(f"Round {round} is not one of the study's {self._recipe.rounds}.")

    def result(self, task: TrainRound) -> RoundResult:
        """The round's result, made and charged once, however often it is asked for, by however many processes.

        Raises:
            FederationError: no round of the study, not the model it says, or a result that is not finite.
            StudyError, PrivacyRefusedError, DataError: as `Mechanism.check` and `Charging.charge`.
        """
        # Two processes at once would find the round charged and not yet kept, and make two results for one charge.
        with held(self._charging.lock):
            return self._made_once(task)

    def _made_once(self, task: TrainRound) -> RoundResult:
        self.check(task.round)
        if vector_sha256(task.model) != task.model_sha256:
            raise FederationError("The model that came does not have the hash that came with it.")
        key = {"study": self._recipe.sha256, "model": task.model_sha256}
        kept = self._outbox.get(task.round, key)
        if kept is not None:
            return kept
        mechanism, here, round = self._recipe.mechanism, self._here, task.round
        # Before the charge: what cannot be trained must not cost the patients a round.
        networks = self._recipe.networks(task.model)
        mechanism.check(round, here.sites)
        self._recipe.require_sound()
        # Work without privacy is entered as well: it cannot be undone, and a receipt says that it was done.
        spend = mechanism.spend(round, here.plan.spend)
        self._charging.charge(round, task.model_sha256, spend, kept=self._outbox.holds(round))
        before = self._outbox.optimizer_before(round, self._recipe.sha256)
        made = mechanism.contribute(round, networks, before, self._random(round), here)
        self._outbox.put(round, key, made)
        return made

    def _random(self, round: int) -> SecretRandom:
        if self._here.plan.spend is not None:
            return SecretRandom()
        # Without privacy nothing needs to be secret, and the same seed gives the same run.
        text = f"{self._recipe.study.study.seed}/{self._name}/{round}"
        return SecretRandom(hashlib.sha256(text.encode()).digest())

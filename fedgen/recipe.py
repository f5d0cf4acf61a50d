"""The compiled study: what follows from a study file alone, made once a process and shared by whoever needs it.

Every room above takes from here what a study means: the family with its networks, the vector that crosses the wire,
the parameters of its secure aggregation. Rooms below are given those, never the study to derive them again.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from fedgen.errors import DataError, PrivacyRefusedError, StudyError
from fedgen.families.contract import Family, Told, objectives_of, unheard
from fedgen.families.parts.adapted import AdaptedFamily
from fedgen.families.parts.first_weights import first_weights
from fedgen.families.registry import family_class, specs
from fedgen.mechanisms.contract import Ingredients, Mechanism
from fedgen.mechanisms.registry import mechanism_class
from fedgen.run.checkpoint import Checkpoint
from fedgen.run.given_file import require_weights
from fedgen.study.show import study_hash
from fedgen.study.study import Study
from fedgen.task.task import Task
from fedgen.training.backends import backend_for
from fedgen.training.pretrained import Pretrained, read_pretrained
from fedgen.training.prior_start import phantom_prior, read_named_prior, read_phantom_prior
from fedgen.training.soundness import unsound
from fedgen.training.vector import ParameterLayout, check_vector
from fedgen_privacy.secagg import Parameters

#: Recipes that a process keeps: a hospital answers for several studies.
KEPT = 8
#: What this process has found sound: family, its part of the study, task, and the way to gradients.
_SOUND: set[tuple[type[Family], str, str, str]] = set()


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a study means; get one from `Recipe.of`.

    Attributes:
        study: as it was asked for.
        sha256: its hash.
        start: the pretrained weights or the public prior it starts from; None where the study names none, or where the
            file is not at hand. Only what the networks hold frozen cannot be done without.
    """

    study: Study
    sha256: str
    start: Pretrained | None

    @staticmethod
    def of(study: Study, start: Pretrained | None = None) -> Recipe:
        """The recipe of a study, the same one each time.

        Raises:
            StudyError: the family does not suit the study's task, or an objective would never have a turn.
        """
        return _made(_Asked(study_hash(study), start is not None, study, start))

    def read_start(self, path: Path) -> Pretrained | None:
        """The file of weights that the study starts from, or of its prior; None where it names none.

        Raises:
            StudyError, DataError: see `read_pretrained`, `read_named_prior` and `read_phantom_prior`.
        """
        model = self.study.model
        if model.prior is not None and model.prior.phantom is not None:
            return self._fitting(read_phantom_prior(model.prior.phantom, self.study.data, self.task, path))
        if model.prior is not None:
            return self._fitting(read_named_prior(str(model.prior.sha256), self.task.stack, path))
        asked = model.pretrained
        return None if asked is None else read_pretrained(asked.sha256, self.plain_layout, path)

    def make_start(self) -> Pretrained | None:
        """The prior of phantoms, where the study asks for one: made in seconds, once a process.

        Raises:
            StudyError, DataError: see `phantom_prior`.
        """
        prior = self.study.model.prior
        if prior is None or prior.phantom is None:
            return None
        return self._fitting(phantom_prior(prior.phantom, self.study.data, self.task))

    def _fitting(self, found: Pretrained) -> Pretrained:
        if found.prior is not None:
            # Whether the family can stand on it, with its options.
            self._plain.on(found.prior)
        return found

    def started(self, path: Path) -> Recipe:
        """This recipe with the weights in that file.

        Raises:
            StudyError, DataError: see `read_pretrained`.
        """
        start = self.read_start(path)
        return self if start is None else _made(_Asked(self.sha256, True, self.study, start))

    def on_frozen(self, path: Path) -> Recipe:
        """This recipe with what it never changes: the weights beneath adapters, or the prior, in that file.

        Raises:
            StudyError, DataError: see `read_pretrained`.
        """
        return self.started(path) if self.study.model.frozen else self

    @cached_property
    def task(self) -> Task:
        """What is made from what."""
        return self.study.made

    @cached_property
    def family(self) -> Family:
        """The family with its options; where the study has adapters, on the weights it starts from."""
        adapters = self.study.model.adapters
        if adapters is None:
            return self._plain
        return AdaptedFamily(self._plain, adapters, None if self.start is None else self.start.weights)

    @property
    def plain_family(self) -> Family:
        """The family without adapters."""
        return self._plain

    def plain_networks(self, weights: Mapping[str, Tensor]) -> dict[str, nn.Module]:
        """Networks of the family without adapters, in eval mode on the CPU, with weights by `network/parameter`."""
        networks = first_weights(self._plain.networks, self.study.study.seed)
        flat = torch.cat([weights[name].flatten() for name, _ in self.plain_layout.entries])
        self.plain_layout.load(networks, flat)
        return {name: network.eval() for name, network in networks.items()}

    @cached_property
    def _plain(self) -> Family:
        study, name = self.study, self.study.model.family
        why_not = specs()[name].supports(self.task)
        if why_not is not None:
            raise StudyError(f"model.family {name} does not suit the study: {why_not}.")
        plain = family_class(name)(self.task, study.model.options)
        prior = None if self.start is None else self.start.prior
        return plain if prior is None else plain.on(prior)

    @cached_property
    def _template(self) -> dict[str, nn.Module]:
        """The process's one build of the networks, with the weights that the study's seed gives; never trained."""
        adapters = self.study.model.adapters
        family = self.family
        if adapters is not None and self.start is None:
            family = AdaptedFamily(self._plain, adapters, None, blank=True)
        return first_weights(family.networks, self.study.study.seed)

    @cached_property
    def layout(self) -> ParameterLayout:
        """The parameters that are trained: what crosses the wire."""
        return ParameterLayout.of(self._template)

    @cached_property
    def plain_layout(self) -> ParameterLayout:
        """All parameters of the family: what a file of pretrained weights has."""
        if self.study.model.adapters is None:
            return self.layout
        return ParameterLayout.of(first_weights(self._plain.networks, self.study.study.seed))

    def drawn(self) -> dict[str, Tensor]:
        """All parameters of the family as the study's seed draws them, by `network/parameter`; copies."""
        networks = first_weights(self._plain.networks, self.study.study.seed)
        layout = ParameterLayout.of(networks)
        return layout.tensors(layout.flatten(networks))

    @cached_property
    def initial(self) -> Tensor:
        """(P,) the weights of round 0, the same for every site: drawn from the study's seed, or those it starts from.

        Adapters on pretrained weights are drawn from the seed too, and change nothing yet.

        Raises:
            DataError: the study names pretrained weights, and they are not at hand.
        """
        if self.study.model.pretrained is not None and self.start is None:
            raise DataError(
                "The study starts from pretrained weights, which were not given: use --pretrained."
            )
        if self.start is not None and not self.study.model.frozen:
            return torch.cat([self.start.weights[name].flatten() for name, _ in self.layout.entries])
        return self.layout.flatten(self._template)

    def initial_checkpoint(self) -> Checkpoint:
        """The coordinator's state before the first round.

        Raises:
            DataError: as `initial`.
        """
        return Checkpoint(0, self.initial, self.initial.clone(), self.sha256)

    def networks(self, model: Tensor) -> dict[str, nn.Module]:
        """Networks of one's own with the weights `model` (P,), in eval mode on the CPU.

        Raises:
            FederationError: the model has another length, or a value that is not finite.
            DataError: the weights under the study's adapters, or its prior, are not at hand.
        """
        if self.study.model.adapters is not None and self.start is None:
            self.family.networks()  # raises
        if self.study.model.prior is not None and self.start is None:
            raise DataError(
                "The study stands on a public prior that is not here: put its file, of model.prior.sha256 where the "
                "study has that, in its place, named pretrained.safetensors."
            )
        networks = self.blank_networks()
        self.layout.load(networks, model)
        return networks

    def finished(self, state: Checkpoint, told: Told = unheard) -> Checkpoint:
        """The state after the last round with what the family makes of the model that is released.

        Args:
            state: after the last round.
            told: (parts done, parts in all) of a family that takes long over it.

        Raises:
            FederationError: it is not finite.
        """
        device = self.study.training.device
        networks = {name: network.to(device) for name, network in self.networks(state.ema).items()}
        rng = torch.Generator(device=device).manual_seed(self.study.study.seed)
        made = self.layout.flatten(self.family.finished(networks, rng, told))
        check_vector(made, self.layout.size)
        return replace(state, ema=made)

    def blank_networks(self) -> dict[str, nn.Module]:
        """Networks to be counted or timed; what is frozen in them may have any weights."""
        return copy.deepcopy(self._template)

    @cached_property
    def mechanism(self) -> Mechanism:
        """How contributions become private."""
        study = self.study
        made_of = Ingredients(
            training=study.training,
            privacy=study.privacy,
            aggregation=study.aggregation,
            evidence=study.evidence,
            seed=study.study.seed,
            images_per_patient=study.data.images_per_patient,
            task=self.task,
            family=study.model.family,
            contributions=self.family.contributions(),
            # A method, since most who ask a mechanism for words or costs never need a network.
            template=lambda: self._template,
            networks=self.networks,
        )
        return mechanism_class(study.privacy.mode)(made_of)

    def require_sound(self) -> None:
        """Refuse a study whose losses read a file that is not here, and a private one whose losses mix patients or
        remember them; cheap from the second time on.

        Raises:
            DataError: a file of public weights is not on this machine, or does not fit.
            PrivacyRefusedError: with the layer, why, and what to use instead.
        """
        study = self.study
        for file in study.model.given_weights:
            require_weights(file.sha256)
        if not self.mechanism.private:
            return
        backend = backend_for(study.training.gradients, study.model.family, study.training.device)
        kind = (type(self._plain), study.model.model_dump_json(), repr(self.task), backend)
        if kind in _SOUND:
            return
        found = unsound(objectives_of(self.family), self._template, self.task, backend)
        if found is not None:
            raise PrivacyRefusedError(
                f"model.family {study.model.family} cannot be trained under privacy.mode {self.mechanism.name}: "
                f"{found.sentence}, or set privacy.mode to none."
            )
        _SOUND.add(kind)

    @property
    def rounds(self) -> int:
        """Aggregations in all."""
        return self.mechanism.turns.rounds

    def parameters(self, sites: int) -> Parameters:
        """Parameters of every secure aggregation of the study with so many sites.

        Raises:
            StudyError: they would not protect the sites.
        """
        return self.mechanism.parameters(sites)


@dataclass(frozen=True)
class _Asked:
    """What tells one recipe from another; a start is the file that the study names by its hash, or none."""

    sha256: str
    started: bool
    study: Study = field(compare=False)
    start: Pretrained | None = field(compare=False)


@lru_cache(maxsize=KEPT)
def _made(asked: _Asked) -> Recipe:
    recipe = Recipe(asked.study, asked.sha256, asked.start)
    # Whatever is impossible is said here, before anything is made of it.
    rounds, study = recipe.rounds, asked.study
    if rounds != study.total_rounds:
        raise StudyError(
            f"The family {study.model.family} asks for {rounds} aggregations, but by its SPEC they are "
            f"{study.total_rounds}: set sums there to the number of its statistics, where it has nothing else."
        )
    return recipe

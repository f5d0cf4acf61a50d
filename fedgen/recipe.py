"""The compiled study: what follows from a study file alone, made once a process and shared by whoever needs it.

Every room above takes from here what a study means: the family with its networks, the vector that crosses the wire,
the parameters of its secure aggregation. Rooms below are given those, never the study to derive them again.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from fedgen.errors import DataError, StudyError
from fedgen.families.contract import Family, objectives_of
from fedgen.families.parts.adapted import AdaptedFamily
from fedgen.families.registry import family_class, specs
from fedgen.study.show import study_hash
from fedgen.study.study import Study
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Task, image_of_class
from fedgen.training import central_images
from fedgen.training.distributed import dimension, private_objective
from fedgen.training.losses import PER_OBJECTIVE
from fedgen.training.pretrained import Pretrained, read_pretrained
from fedgen.training.vector import ParameterLayout
from fedgen_privacy.secagg import Parameters, default_threshold
from fedgen_privacy.secagg.parameters import SPARE_BITS

#: Levels of a ring of 32 bits for the sum of all sites.
INTEGER_LEVELS = 2 ** (31 - SPARE_BITS)
#: Recipes that a process keeps: a hospital answers for several studies.
KEPT = 8


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a study means; get one from `Recipe.of`.

    Attributes:
        study: as it was asked for.
        sha256: its hash.
        start: the pretrained weights it starts from; None where it starts from random ones, or where they are not at
            hand. Only adapters cannot be trained without.
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
        """The file of weights that the study starts from; None where it starts from random ones.

        Raises:
            StudyError, DataError: see `read_pretrained`.
        """
        asked = self.study.model.pretrained
        return None if asked is None else read_pretrained(asked.sha256, self.plain_layout, path)

    def started(self, path: Path) -> Recipe:
        """This recipe with the weights in that file.

        Raises:
            StudyError, DataError: see `read_pretrained`.
        """
        start = self.read_start(path)
        return self if start is None else _made(_Asked(self.sha256, True, self.study, start))

    def on_frozen(self, path: Path) -> Recipe:
        """This recipe with what it never changes: the weights in that file where it trains adapters on them.

        Raises:
            StudyError, DataError: see `read_pretrained`.
        """
        return self if self.study.model.adapters is None else self.started(path)

    @cached_property
    def task(self) -> Task:
        """What is made from what."""
        data = self.study.data
        return image_of_class(ImageSpec(channels=data.channels, size=data.image_size), data.labels)

    @cached_property
    def family(self) -> Family:
        """The family with its options; where the study has adapters, on the weights it starts from."""
        adapters = self.study.model.adapters
        if adapters is None:
            return self._plain
        return AdaptedFamily(self._plain, adapters, None if self.start is None else self.start.weights)

    @cached_property
    def _plain(self) -> Family:
        study, name = self.study, self.study.model.family
        why_not = specs()[name].supports(self.task)
        if why_not is not None:
            raise StudyError(f"model.family {name} does not suit the study: {why_not}.")
        family = family_class(name)(self.task, study.model.options)
        # A step of mode distributed is a round, and the coordinator counts those.
        distributed = study.privacy.mode == "distributed"
        steps = study.training.rounds if distributed else study.training.local_steps
        never = [why for objective in objectives_of(family) if (why := objective.why_never(steps))]
        if never:
            raise StudyError(f"{never[0]}.")
        return family

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        """Names of the family's objectives, in the order in which their losses are summed."""
        return tuple(objective.name for objective in objectives_of(self.family))

    @cached_property
    def _template(self) -> dict[str, nn.Module]:
        """The process's one build of the networks, with the weights that the study's seed gives; never trained."""
        adapters = self.study.model.adapters
        family = self.family
        if adapters is not None and self.start is None:
            family = AdaptedFamily(self._plain, adapters, None, blank=True)
        return _seeded(family, self.study.study.seed)

    @cached_property
    def layout(self) -> ParameterLayout:
        """The parameters that are trained: what crosses the wire."""
        return ParameterLayout.of(self._template)

    @cached_property
    def plain_layout(self) -> ParameterLayout:
        """All parameters of the family: what a file of pretrained weights has."""
        if self.study.model.adapters is None:
            return self.layout
        return ParameterLayout.of(_seeded(self._plain, self.study.study.seed))

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
        if self.start is not None and self.study.model.adapters is None:
            return torch.cat([self.start.weights[name].flatten() for name, _ in self.layout.entries])
        return self.layout.flatten(self._template)

    def networks(self, model: Tensor) -> dict[str, nn.Module]:
        """Networks of one's own with the weights `model` (P,), in eval mode on the CPU.

        Raises:
            FederationError: the model has another length, or a value that is not finite.
            DataError: the weights under the study's adapters are not at hand.
        """
        if self.study.model.adapters is not None and self.start is None:
            self.family.networks()  # raises
        networks = self.blank_networks()
        self.layout.load(networks, model)
        return networks

    def blank_networks(self) -> dict[str, nn.Module]:
        """Networks to be counted or timed; what is frozen in them may have any weights."""
        return copy.deepcopy(self._template)

    @property
    def rounds(self) -> int:
        """Aggregations in all."""
        return self.study.total_rounds

    @cached_property
    def vector_length(self) -> int:
        """Numbers in what a site sends: of the model's update or of a step's sum, or of the warm start if longer."""
        length = self.layout.size
        if self.study.privacy.mode == "distributed":
            length = dimension(private_objective(objectives_of(self.family)), self._template)
        return max(length, central_images.length(self.study))

    def parameters(self, sites: int) -> Parameters:
        """Parameters of every secure aggregation of the study with so many sites.

        Raises:
            StudyError: they would not protect the sites.
        """
        asked = self.study.aggregation
        distributed = self.study.privacy.mode == "distributed"
        parameters = Parameters(
            minimum_sites=asked.minimum_sites,
            threshold=(
                default_threshold(sites, asked.colluders)
                if asked.tolerated_dropouts is None
                else sites - asked.tolerated_dropouts
            ),
            colluders=asked.colluders,
            # Integers are summed as they are: with the bound at as many levels as there are, a level is 1.
            bound=float(INTEGER_LEVELS // sites) if distributed else asked.update_bound,
            weight_cap=1 if distributed else asked.weight_cap,
            ring_bits=asked.ring_bits,
            length=self.vector_length,
            metrics=0 if distributed else PER_OBJECTIVE * len(self.objectives),
        )
        parameters.check(sites)
        return parameters


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
    # Whatever is impossible about the family is said here, before anything is made of it.
    _ = recipe.family
    return recipe


def _seeded(family: Family, seed: int) -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return family.networks()

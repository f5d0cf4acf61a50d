"""Whether a loss keeps patients apart and remembers nothing: seen by running it on noise, before anybody is read.

A clip bounds one patient only where nothing of hers is in another's loss, and noise covers only what goes through the
gradient. Batch statistics, comparisons within a batch, and averages that a forward pass keeps break the one or the
other, under whatever name. So the objectives' losses are run on two batches that differ in one record alone:

* no loss of another record may change;
* no parameter or buffer may change, nor anything kept beside them that the next loss reads;
* the study's way to the gradients must be able to take them, and give the other records the same ones.

Which layer is to blame is found by comparing what each gave for the other records. Names of layers only make the
sentence better. Networks are checked in the mode, train or eval, in which the family makes them, since that is how they
are trained.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedgen.errors import PrivacyRefusedError
from fedgen.families.contract import Objective
from fedgen.families.parts.noise_records import noise_records
from fedgen.task.task import Task
from fedgen.training.backends import Backend
from fedgen.training.blame import Blame, holder_of_change, layer_that_mixes
from fedgen.training.held import beside, registered
from fedgen.training.joint import Joint, JointBatch
from fedgen_privacy.gradients.protocol import records_of
from fedgen_privacy.gradients.tree import tree_map

#: Images of each record; all alike, since the records are compared.
COUNTS = (1, 1, 1, 1)
#: The record that is another one in the second batch: it has a neighbour on either side, and another one as its mirror.
CHANGED = 1
#: Share of the study at which an objective that asks is checked: on the way, where most layers have a part.
ON_THE_WAY = 0.4
#: Relative change of a loss or a gradient that rounding may make.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Unsound:
    """What was found.

    Attributes:
        objective: whose loss.
        blame: the layer, and why.
    """

    objective: str
    blame: Blame

    @property
    def sentence(self) -> str:
        """Where, why, and what to use instead; without an end."""
        return f"{self.blame.where or f'the loss of its objective {self.objective}'} {self.blame.why}"


def unsound(
    objectives: Sequence[Objective], networks: Mapping[str, nn.Module], task: Task, backend: Backend
) -> Unsound | None:
    """The first thing found; None where each objective on data is sound.

    Args:
        objectives: of a family; those that read no data have nothing to mix.
        networks: as they are trained, on the CPU; not changed.
        task: whose records there are.
        backend: of per-record gradients.
    """
    reading = [objective for objective in objectives if objective.touches_data]
    for objective in reading:
        found = _of_objective(objective, networks, task, backend)
        if found is not None:
            return Unsound(objective.name, found)
    return None


def _of_objective(
    objective: Objective, networks: Mapping[str, nn.Module], task: Task, backend: Backend
) -> Blame | None:
    # Of the objective too: what is shared with the family's own must not be trained on noise.
    objective, networks = copy.deepcopy(objective), perturbed(networks)
    one, other = _batches(objective, task)

    def losses(batch: JointBatch) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            # Random numbers of a loss's own would differ for another reason.
            torch.manual_seed(0)
            return objective.loss(networks, batch.records, batch.draws[objective.name]).detach()

    # Whatever is made at the first call, such as a grid of places, is there afterwards.
    first = losses(one)
    kept, aside = registered(networks), beside(networks, objective)
    second = losses(other)
    written = holder_of_change(networks, kept, registered(networks))
    if written is not None:
        return written
    noted = holder_of_change(networks, aside, beside(networks, objective))
    # A number that is only noted down, such as how many codes were in use, is no memory.
    if noted is not None and not torch.equal(losses(one), first):
        return noted
    if not (torch.isfinite(first).all() and torch.isfinite(second).all()):
        return Blame("", "is not finite on noise, so that nothing can be said of it: bound what it computes")
    if first.shape != (len(COUNTS),):
        return Blame(
            "", f"has shape {tuple(first.shape)} for {len(COUNTS)} records: give one number for each"
        )
    if _differ(first[:, None], second[:, None]):
        return layer_that_mixes(networks, losses, one, other, CHANGED, len(COUNTS))
    return _of_gradients(objective, networks, backend, one, other, losses)


def _of_gradients(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    backend: Backend,
    one: JointBatch,
    other: JointBatch,
    losses: Callable[[JointBatch], Tensor],
) -> Blame | None:
    """By vmap a record is alone, so that one is enough to see that it can be differentiated."""
    joint = Joint((objective,))
    batches = (one, other) if backend == "hooks" else (records_of(one, 0, 1),)
    rows = []
    try:
        for batch in batches:
            pieces = joint.gradients(networks, backend)(
                joint.values(networks), joint.batch(batch), chunk=len(COUNTS)
            )
            rows += [torch.cat([g.flatten(1) for g in gradients.values()], dim=1) for gradients, _ in pieces]
    except PrivacyRefusedError as error:
        return Blame("", f"cannot be differentiated patient by patient: {str(error).rstrip('.')}")
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        return Blame(
            "", f"cannot be differentiated patient by patient by training.gradients {backend} ({reason})"
        )
    if len(rows) == 2 and _differ(*rows):
        return layer_that_mixes(networks, losses, one, other, CHANGED, len(COUNTS))
    return None


def perturbed(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Copies away from their start, where a layer that begins at zero hides all that is before it."""
    copies = {name: copy.deepcopy(network) for name, network in networks.items()}
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for network in copies.values():
            for parameter in network.parameters():
                # By the width of the layer, or what passes a deep network would overflow.
                fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else 25
                parameter.add_(0.5 * fan_in**-0.5 * torch.randn(parameter.shape, generator=rng))
    return copies


def _batches(objective: Objective, task: Task) -> tuple[JointBatch, JointBatch]:
    """Four records of noise; and the same with one of them a copy of its neighbour, near enough to be compared."""
    rng = torch.Generator().manual_seed(1)
    joint = Joint((objective,))
    drawn = joint.on_the_way(joint.draw(len(COUNTS), max(COUNTS), 1, rng), ON_THE_WAY)
    one = JointBatch(noise_records(task, COUNTS, rng), drawn)
    order = list(range(len(COUNTS)))
    order[CHANGED] = CHANGED - 1
    return one, tree_map(lambda tensor: tensor[order], one)


def _differ(first: Tensor, second: Tensor) -> bool:
    """Whether rows of the records that stay are others, (B, n) each."""
    stay = [b for b in range(len(COUNTS)) if b != CHANGED]
    a, b = first[stay], second[stay]
    return bool(((a - b).norm(dim=1) > ROUNDING * a.norm(dim=1).clamp_min(1e-12)).any())

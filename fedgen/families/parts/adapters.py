"""Low-rank adapters (LoRA: Hu et al., ICLR 2022) put on a family's networks, and taken into their weights again.

B starts at zero, so an adapted network begins exactly as the frozen one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from fedgen.errors import StudyError
from fedgen.families.parts.adapted_layers import ADAPTED, AdaptedLayer
from fedgen.families.parts.adapter_options import Adapters, Target


@dataclass(frozen=True)
class _Place:
    """Where a layer stands: attribute `child` of `parent`, by the name `name` in its network."""

    parent: nn.Module
    child: str
    name: str
    layer: nn.Module


def attach(networks: Mapping[str, nn.Module], options: Adapters) -> None:
    """Freeze the networks and put adapters on the layers that `options` names, in place.

    A layer in several places has one adapter. Left as they are: layers whose weight is that of another layer too, and
    those of a type that `ADAPTED` does not know. A starts from torch's global generator.

    Raises:
        StudyError: a network that is trained has no such layer.
    """
    for name, network in networks.items():
        if not any(parameter.requires_grad for parameter in network.parameters()):
            continue
        network.requires_grad_(False)
        chosen = [
            place
            for place in _layers(network)
            if _kind(place) in options.targets and _named(f"{name}/{place.name}", options.layers)
        ]
        if not chosen:
            also = "" if options.layers == ("*",) else f" with layers {list(options.layers)}"
            raise StudyError(
                f"model.adapters.targets {list(options.targets)}{also} names no layer of the network {name}, which "
                "then could not learn: add convolution or linear, or a pattern of its layers."
            )
        adapted: dict[int, nn.Module] = {}
        for place in chosen:
            layer = place.layer
            if id(layer) not in adapted:
                adapted[id(layer)] = ADAPTED[type(layer)](layer, options).train(layer.training)
            setattr(place.parent, place.child, adapted[id(layer)])


def merge(networks: Mapping[str, nn.Module]) -> None:
    """Replace every adapted layer by the plain one with W + (alpha / rank) B A, in place."""
    merged: dict[int, nn.Module] = {}
    for network in networks.values():
        for place in list(_places(network)):
            layer = place.layer
            if isinstance(layer, AdaptedLayer):
                if id(layer) not in merged:
                    merged[id(layer)] = layer.merged().train(layer.training)
                setattr(place.parent, place.child, merged[id(layer)])


def _places(network: nn.Module) -> Iterator[_Place]:
    for path, parent in network.named_modules():
        # As it is kept, since named_children gives a layer in two places of one parent once.
        for child, layer in parent._modules.items():
            if layer is not None:
                yield _Place(parent, child, f"{path}.{child}" if path else child, layer)


def _layers(network: nn.Module) -> list[_Place]:
    owners = Counter(id(p) for module in network.modules() for p in module.parameters(recurse=False))
    return [
        place
        for place in _places(network)
        if type(place.layer) in ADAPTED and owners[id(place.layer.weight)] == 1
    ]


def _kind(place: _Place) -> Target:
    # By name, since MONAI takes seconds to import, and a family may have nothing of it.
    if any(kind.__name__ == "SABlock" or "Attention" in kind.__name__ for kind in type(place.parent).__mro__):
        return "attention"
    return "linear" if isinstance(place.layer, nn.Linear) else "convolution"


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)

"""A network of MONAI's with weights that somebody else trained, such as on public radiographs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any, Self

import monai.networks.nets
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedgen.errors import DataError
from fedgen.extractors.contract import Extractor, Given
from fedgen.extractors.network_weights import NetworkWeights
from fedgen.run.given_file import given_tensors
from fedgen.run.tensors import NamedFile

FILE = NamedFile(
    "the weights of an extractor", "evaluation.network", "FEDGEN_WEIGHTS", "safetensors.torch.save_file"
)
#: By kind of architecture: the option that says its input's channels, the module whose maps are the features, and
#: what it is always made with.
_INPUT = {"resnet": "n_input_channels"}
_MAPS = {"resnet": "layer4", "DenseNet": "features", "SwinUNETR": "encoder10"}
_ALWAYS: dict[str, dict[str, Any]] = {
    "resnet": {"feed_forward": False, "progress": False},
    "DenseNet": {"out_channels": 1},
    "SwinUNETR": {"out_channels": 1},
}


class GivenNetworkExtractor(Extractor):
    """Means over the image of the last maps of a network."""

    name = "given_network"

    def __init__(self, asked: NetworkWeights, weights: dict[str, Tensor]) -> None:
        super().__init__(asked.channels)
        self.asked = asked
        kind = next(kind for kind in _MAPS if asked.architecture.startswith(kind))
        options = {
            "spatial_dims": 2,
            _INPUT.get(kind, "in_channels"): asked.channels,
            **_ALWAYS[kind],
            **{key: value for key, value in asked.options.items() if key != "pretrained"},
        }
        self.network = _built(getattr(monai.networks.nets, asked.architecture), options, asked)
        _fill(self.network, weights, asked)
        self.network.eval().requires_grad_(False)
        #: Of each thread, for threads may ask at the same time.
        self._maps = threading.local()
        self.network.get_submodule(_MAPS[kind]).register_forward_hook(self._keep)
        self.num_features = int(self(torch.zeros(1, asked.channels, 64, 64)).shape[1])
        digest = hashlib.sha256(f"{self.name} {self.version} {asked.model_dump_json()}".encode())
        self.hash = digest.hexdigest()

    @classmethod
    def of(cls, given: Given) -> Self:
        """With the weights in the folder of `fedgen.run.given_file`.

        Raises:
            DataError: the study names no network, or its file is not there or does not fit.
        """
        if given.network is None:
            raise DataError(
                "The extractor given_network needs a network: name it in evaluation.network, or take the extractor out "
                "of evaluation.extractors."
            )
        return cls(given.network, given_tensors(FILE, given.network.sha256))

    def _keep(self, module: nn.Module, given: Any, maps: Tensor) -> None:
        self._maps.last = maps

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """See `Extractor.forward`."""
        x = images.detach().cpu().float().clamp(-1, 1)
        if x.shape[1] != self.asked.channels:
            x = x.mean(dim=1, keepdim=True).expand(-1, self.asked.channels, -1, -1)
        if self.asked.side is not None:
            x = functional.interpolate(x, size=[self.asked.side] * 2, mode="bilinear", antialias=True)
        self.network((x - self.asked.mean) / self.asked.std)
        maps: Tensor = vars(self._maps).pop("last")
        return maps.mean(dim=(2, 3))


def _built(kind: Callable[..., nn.Module], options: dict[str, Any], asked: NetworkWeights) -> nn.Module:
    try:
        return kind(**options)
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"MONAI makes no {asked.architecture} of evaluation.network.options ({error}): correct them."
        ) from None


def _fill(network: nn.Module, weights: dict[str, Tensor], asked: NetworkWeights) -> None:
    """Refuse what the network has and the file has not; what the file has beyond it, such as a head, is not used."""
    wanted = network.state_dict()
    missing = [
        name
        for name, own in wanted.items()
        if not name.endswith("num_batches_tracked")
        and (name not in weights or weights[name].shape != own.shape)
        and not _after_maps(name, asked)
    ]
    if missing:
        raise DataError(
            f"The weights of sha256 {asked.sha256} do not fit {asked.architecture}: {missing[0]} is missing or has "
            "another shape."
        )
    fitting = {
        name: weights[name]
        for name in wanted
        if name in weights and weights[name].shape == wanted[name].shape
    }
    if not all(bool(torch.isfinite(each.float()).all()) for each in fitting.values()):
        raise DataError(f"The weights of sha256 {asked.sha256} are not finite: give another file.")
    network.load_state_dict(fitting, strict=False)


def _after_maps(name: str, asked: NetworkWeights) -> bool:
    """Whether a weight is of a head, which features do not pass through."""
    heads = ("fc.", "class_layers.", "decoder", "out.")
    return name.startswith(heads)

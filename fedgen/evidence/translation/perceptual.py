"""LPIPS: how far apart two images are in the features of a network, weighted as people judged (Zhang et al. 2018).

Networks and names of weights are those of the authors' package, so that a file made of its state gives its numbers. The
weights are named by a study and given by whoever evaluates: none comes with fedgen, and none is ever unpickled.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from fedgen.errors import DataError
from fedgen.run.given_file import given_tensors
from fedgen.run.tensors import NamedFile
from fedgen.study.perceptual_section import PerceptualSection

FILE = NamedFile(
    "the weights of LPIPS", "evaluation.perceptual", "FEDGEN_WEIGHTS", "safetensors.torch.save_file"
)
#: Of colours in [-1, 1], from those of ImageNet.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
#: Sides in pixels below which a network has no map left; nothing is resized.
LEAST_SIDE = {"alex": 31, "vgg": 16}
_EPSILON = 1e-8

#: Each slice of a network ends where a map is read; the names of its layers count through all of them.
_Slices = list[list[tuple[str, nn.Module]]]


def _alex() -> _Slices:
    """AlexNet of one column (Krizhevsky 2014), to its fifth convolution."""
    convolutions = [
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.Conv2d(256, 256, 3, padding=1),
    ]
    return _counted([[c] for c in convolutions], pooled=(1, 2), pool=nn.MaxPool2d(3, stride=2))


def _vgg() -> _Slices:
    """VGG-16 (Simonyan and Zisserman 2015), to its thirteenth convolution."""
    widths = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
    blocks: list[list[nn.Conv2d]] = [
        [nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(block)] for block in widths
    ]
    return _counted(blocks, pooled=(1, 2, 3, 4), pool=nn.MaxPool2d(2))


def _counted(blocks: list[list[nn.Conv2d]], pooled: tuple[int, ...], pool: nn.Module) -> _Slices:
    """Blocks of convolutions, a ReLU after each, and a pooling before those at `pooled`."""
    made: _Slices = []
    number = 0
    for index, block in enumerate(blocks):
        layers: list[nn.Module] = [pool] if index in pooled else []
        layers += [layer for convolution in block for layer in (convolution, nn.ReLU())]
        made.append([(str(number + place), layer) for place, layer in enumerate(layers)])
        number += len(layers)
    return made


_NETWORKS = {"alex": _alex, "vgg": _vgg}


class Perceptual(nn.Module):
    """The distance of pairs of images.

    Args:
        asked: of the study.
        weights: tensors of its file.

    Raises:
        DataError: the weights do not fit the network, or are not finite.
    """

    def __init__(self, asked: PerceptualSection, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.least_side = LEAST_SIDE[asked.network]
        self.net, widths = nn.ModuleDict(), []
        for number, layers in enumerate(_NETWORKS[asked.network](), 1):
            part = nn.Sequential()
            for name, layer in layers:
                part.add_module(name, layer)
            self.net[f"slice{number}"] = part
            widths.append([layer for _, layer in layers if isinstance(layer, nn.Conv2d)][-1].out_channels)
        for level, width in enumerate(widths):
            self.register_buffer(f"lin{level}", torch.zeros(1, width, 1, 1))
        self._fill(asked, weights)
        self.eval().requires_grad_(False)

    @classmethod
    def of(cls, asked: PerceptualSection) -> Perceptual:
        """With the weights in the folder of `fedgen.run.given_file`.

        Raises:
            DataError: the file is not there or does not fit.
            StudyError: it is another.
        """
        return cls(asked, given_tensors(FILE, asked.sha256))

    @torch.no_grad()
    def forward(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """(n,) distances, 0 of equal images; NaN of images with a side below `least_side`.

        Args:
            ours, theirs: (n, C, H, W) in [-1, 1]; what is not of three colours is averaged and repeated.
        """
        if min(ours.shape[-2:]) < self.least_side:
            return torch.full((len(ours),), float("nan"))
        found = torch.zeros(len(ours))
        for level, (x, y) in enumerate(zip(self._maps(ours), self._maps(theirs), strict=True)):
            found += ((x - y).square() * self.get_buffer(f"lin{level}")).sum(dim=1).mean(dim=(1, 2))
        return found

    def _maps(self, images: Tensor) -> list[Tensor]:
        """The maps of each slice, of length 1 along their channels."""
        x = images.detach().cpu().float().clamp(-1, 1)
        if x.shape[1] != 3:
            x = x.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        x = (x - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[:, None, None]
        found = []
        for part in self.net.values():
            x = part(x)
            found.append(x / (x.square().sum(dim=1, keepdim=True) + _EPSILON).sqrt())
        return found

    def _fill(self, asked: PerceptualSection, weights: dict[str, Tensor]) -> None:
        """Refuse what is missing, of another shape, not finite, or a linear layer that would make a distance fall."""
        wanted = {f"{name}.model.1.weight": own for name, own in self.named_buffers()}
        wanted |= {f"net.{name}": own for name, own in self.net.named_parameters()}
        for name, own in wanted.items():
            given = weights.get(name)
            if given is None or given.shape != own.shape:
                raise DataError(
                    f"The weights of sha256 {asked.sha256} do not fit LPIPS with {asked.network}: {name} is missing or "
                    "has another shape."
                )
            if not bool(torch.isfinite(given.float()).all()) or (
                name[:3] == "lin" and bool((given < 0).any())
            ):
                raise DataError(
                    f"The weights of sha256 {asked.sha256} are no weights of LPIPS: {name} is not finite, or below 0."
                )
            with torch.no_grad():
                own.copy_(given.float())

"""What a translation must keep: the structures that a public, frozen segmenter finds.

A distance of pixels hardly feels a structure of a few of them, and a game without pairs may take away what one group
has and the other has not (Cohen et al. 2018). A segmenter that looks at both images says so (Zhang et al. 2018, with
one that is trained along; here it is public, so that it costs no privacy).
"""

from __future__ import annotations

from typing import Any

import monai.networks.nets
import torch
from torch import Tensor, nn
from torch.func import functional_call

from fedgen.errors import DataError
from fedgen.families.parts.first_weights import first_weights
from fedgen.families.parts.task_loss_options import TaskLoss
from fedgen.run.given_file import given_tensors
from fedgen.run.tensors import NamedFile
from fedgen.task.image_spec import ImageSpec

FILE = NamedFile("a public segmenter", "task_loss", "FEDGEN_WEIGHTS", "safetensors.torch.save_file")
#: Larger losses of a row are reported as this; nothing is cut off them.
BOUND = 10.0


class Segmenter:
    """A frozen network, read from its file when it is first asked for.

    It is no module of the family: nothing of it is trained, counted or sent.

    Args:
        asked: of the study.
        image: what it marks.
    """

    def __init__(self, asked: TaskLoss, image: ImageSpec) -> None:
        self.asked, self.image = asked, image
        self._network: nn.Module | None = None
        self._weights: dict[str, Tensor] = {}

    def read(self, device: torch.device) -> None:
        """Have it at hand. Outside of a loss, for what is made within a transform of torch.func ends with it.

        Raises:
            DataError: the file is not here, or does not fit.
            StudyError: it is another.
        """
        if self._network is None:
            self._network = _read(self.asked, self.image)
            self._weights = self._network.state_dict()
        self._weights = {name: own.to(device) for name, own in self._weights.items()}

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (R, classes, *size) of images (R, C, *size) in [-1, 1]; differentiable by the images alone.

        Raises:
            ValueError: it was not read before.
        """
        if self._network is None:
            raise ValueError("a segmenter is read before a loss asks it")
        middle = images.shape[1] // 2
        x = (images[:, middle : middle + 1] - self.asked.mean) / self.asked.std
        # Of the dtype and device of what it is given, without writing to it.
        weights = {
            name: own.to(x.device, x.dtype if own.is_floating_point() else own.dtype)
            for name, own in self._weights.items()
        }
        logits: Tensor = functional_call(self._network, weights, (x,))
        return logits


def task_distance(made: Tensor, real: Tensor) -> Tensor:
    """How far what is marked in one image is from what is marked in another, (R,).

    The divergence KL(real || made) of the classes of each pixel, as a mean over the pixels of each class and then over
    classes, so that a structure counts like the background however small it is; one of less than a pixel counts less.
    0 where both are marked alike.

    Args:
        made: logits (R, classes, *size).
        real: of the same shape, taken as they are.
    """
    log_q = real.detach().log_softmax(dim=1)
    q = log_q.exp()
    divergence = (q * (log_q - made.log_softmax(dim=1))).sum(dim=1, keepdim=True).flatten(2)
    of_class = q.flatten(2)
    return ((of_class * divergence).sum(dim=2) / (of_class.sum(dim=2) + 1)).mean(dim=1)


class Kept:
    """The task's loss as a study asks for it; without one, nothing.

    Args:
        asked: of the study.
        image: what is made.
    """

    def __init__(self, asked: TaskLoss | None, image: ImageSpec) -> None:
        self.weight = 0.0 if asked is None else asked.weight
        #: of a row's loss, in what is reported
        self.bound = self.weight * BOUND
        self._segmenter = None if asked is None else Segmenter(asked, image)

    def read(self, device: torch.device) -> None:
        """See `Segmenter.read`; each objective does so where it draws."""
        if self._segmenter is not None:
            self._segmenter.read(device)

    def loss(self, made: Tensor, real: Tensor) -> Tensor:
        """Loss of each row with its weight, (R,), of images (R, C, *size) and (R, C', *size)."""
        if self._segmenter is None:
            return made.new_zeros(len(made))
        return self.weight * task_distance(self._segmenter(made), self._segmenter(real.detach()))


def _read(asked: TaskLoss, image: ImageSpec) -> nn.Module:
    weights = given_tensors(FILE, asked.sha256)
    network = first_weights(lambda: _built(asked, image.dimensions), 0)
    _fill(network, weights, asked)
    network.eval().requires_grad_(False)
    with torch.no_grad():
        wrong = _not_each_pixel(network, asked, image)
    if wrong is not None:
        raise DataError(
            f"The segmenter of task_loss does not mark each pixel of images of {image.size} ({wrong}): take sides that "
            "it can halve, or another segmenter."
        )
    return network


def _not_each_pixel(network: nn.Module, asked: TaskLoss, image: ImageSpec) -> str | None:
    try:
        found = tuple(network(torch.zeros(1, 1, *image.size)).shape)
    except (RuntimeError, ValueError) as error:
        return str(error).partition("\n")[0].rstrip(".")
    return None if found == (1, asked.classes, *image.size) else f"it makes {found[1:]}"


def _built(asked: TaskLoss, dimensions: int) -> nn.Module:
    options: dict[str, Any] = {
        **asked.options,
        "spatial_dims": dimensions,
        "in_channels": 1,
        "out_channels": asked.classes,
    }
    try:
        network: nn.Module = getattr(monai.networks.nets, asked.architecture)(**options)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"MONAI makes no {asked.architecture} of task_loss.options ({error}): correct them."
        ) from None
    return network


def _fill(network: nn.Module, weights: dict[str, Tensor], asked: TaskLoss) -> None:
    """Refuse what is missing, too much, of another shape or not finite."""
    wanted = {
        name: own for name, own in network.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    given = {name: own for name, own in weights.items() if not name.endswith("num_batches_tracked")}
    wrong = next(
        (
            name
            for name in sorted(wanted.keys() | given.keys())
            if name not in wanted or name not in given or wanted[name].shape != given[name].shape
        ),
        None,
    )
    if wrong is not None:
        raise DataError(
            f"The weights of sha256 {asked.sha256} do not fit {asked.architecture} of task_loss: {wrong} is missing, "
            "of another shape, or not of this network; correct task_loss.options or classes."
        )
    if not all(bool(torch.isfinite(own.float()).all()) for own in given.values()):
        raise DataError(f"The weights of sha256 {asked.sha256} are not finite: give another file.")
    network.load_state_dict(given, strict=False)

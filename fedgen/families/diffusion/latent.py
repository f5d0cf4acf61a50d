"""The code that a latent diffusion denoises (Rombach et al. 2022): of an autoencoder beside it, or of a public one."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from monai.networks.nets import AutoencoderKL
from torch import Tensor, nn

from fedgen.errors import StudyError
from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.diffusion.options import DiffusionOptions
from fedgen.families.parts.denoising.objective import DenoisingObjective
from fedgen.families.parts.folding import copies, patient_mean, rows
from fedgen.priors.autoencoder import AutoencoderSpace
from fedgen.priors.card import CodeNetwork
from fedgen.priors.public_code import PublicCode, blank_space
from fedgen.priors.space import Space
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task

NORM_GROUPS = 8


def code_of(image: ImageSpec, options: DiffusionOptions) -> ImageSpec:
    """The code of an image, as if it were one.

    Raises:
        StudyError: the image cannot be halved so often.
    """
    factor = 2 ** (len(options.autoencoder_channels) - 1)
    if any(side % factor for side in image.size):
        raise StudyError(
            f"data.image_size {list(image.size)} does not suit the {len(options.autoencoder_channels)} levels of "
            f"model.diffusion.autoencoder_channels: use sides that are multiples of {factor}, or fewer levels."
        )
    size = tuple(side // factor for side in image.size)
    return ImageSpec(channels=options.code_channels, size=size)


class Autoencoder(nn.Module):
    """MONAI's AutoencoderKL without attention: group norms and convolutions see one image at a time."""

    def __init__(self, image: ImageSpec, options: DiffusionOptions) -> None:
        super().__init__()
        levels = len(options.autoencoder_channels)
        self.network = AutoencoderKL(
            spatial_dims=image.dimensions,
            in_channels=image.channels,
            out_channels=image.channels,
            channels=options.autoencoder_channels,
            latent_channels=options.code_channels,
            num_res_blocks=(1,) * levels,
            attention_levels=(False,) * levels,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
            norm_num_groups=NORM_GROUPS,
        )

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Mean of the code, (n, ...); with standard normal noise images again, and mean and deviation of their code."""
        mean, std = self.network.encode(images)
        code_mean: Tensor = mean
        if noise is None:
            return code_mean
        again: Tensor = self.network.decode(mean + std * noise)
        return again, mean, std

    def decode(self, codes: Tensor) -> Tensor:
        """Images (n, C, *size), not clamped, of codes (n, *code)."""
        images: Tensor = self.network.decode(codes)
        return images


def public_code(image: ImageSpec, options: DiffusionOptions, space: Space | None) -> PublicCode:
    """The code of a prior; of random weights where there is none yet.

    Raises:
        StudyError: the prior is of no autoencoder, or of another than the options say.
    """
    code = code_of(image, options).shape
    if space is None:
        card = CodeNetwork(channels=options.autoencoder_channels, code_channels=code[0], steps=1)
        return PublicCode(blank_space(card, image.shape, code), options.sigma_data)
    if not isinstance(space, AutoencoderSpace):
        raise StudyError(
            "model.diffusion.latent is prior, but the prior has no autoencoder: make one with `fedgen prior build "
            "--autoencoder STEPS`, or set latent to trained."
        )
    channels = tuple(space.network.encoder.channels)
    if channels != options.autoencoder_channels or space.code.shape != code:
        raise StudyError(
            f"The autoencoder of the prior is another than the study says: set model.diffusion.autoencoder_channels "
            f"to {list(channels)} and code_channels to {space.code.shape[0]}."
        )
    return PublicCode(copy.deepcopy(space), options.sigma_data)


class CodingObjective(Objective):
    """|x again - x|^2 a pixel, and a small weight on the code's distance from a standard normal, a number of it."""

    name = "coding"
    updates = ("autoencoder",)
    touches_data = True
    #: an autoencoder that has learned nothing of images in [-1, 1] loses less
    loss_bound = 2.0

    def __init__(self, task: Task, options: DiffusionOptions) -> None:
        self.task, self.code = task, code_of(task.stack, options)
        self.kl_weight = options.kl_weight
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`code`: (B, M, K, *code) standard normal."""
        return {"code": torch.randn(B, M, K, *self.code.shape, generator=rng, device=rng.device)}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the coding objective needs records")
        x = copies(stacked(self.task, records.fields), draws["code"].shape[2])
        again, mean, std = networks["autoencoder"](x, rows(draws["code"]))
        distance = (mean.square() + std.square() - 1 - 2 * std.log()) / 2
        losses = (again - x).square().flatten(1).mean(dim=1) + self.kl_weight * distance.flatten(1).mean(
            dim=1
        )
        return patient_mean(losses, records.weights["patient"])


class CodeDenoisingObjective(DenoisingObjective):
    """Denoising of codes; what the autoencoder makes of an image is taken as it is, and not changed by it."""

    def __init__(self, task: Task, options: DiffusionOptions, label_dropout: float) -> None:
        super().__init__(task, options, label_dropout)
        self.image = code_of(task.stack, options)

    def pictures(self, networks: Mapping[str, Apply], records: Records) -> Tensor:
        """Means of the codes, (B, M, *code)."""
        images = stacked(self.task, records.fields)
        codes: Tensor = networks["autoencoder"](images.flatten(0, 1))
        # Who asks how a loss moves with an image gets to know it.
        codes = codes if images.requires_grad else codes.detach()
        return codes.unflatten(0, images.shape[:2])

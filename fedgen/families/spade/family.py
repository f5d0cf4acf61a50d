"""Pairs in two stages (Park et al. 2019, SPADE): a mask from a private generator, then an image for it.

No patient's mask is an argument of `sample`: what it is given are the task's conditions, and masks are drawn inside.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedgen.families.contract import Attack, Family, Objective
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean
from fedgen.families.parts.minus_loss import minus_loss
from fedgen.families.parts.sampling import CHUNK, device_of
from fedgen.families.spade.adversarial_pair import MaskedGeneratorObjective, PairDiscriminatorObjective
from fedgen.families.spade.mask_flow import FlowObjective, follow
from fedgen.families.spade.mask_generator import MaskDecoder, MaskEncoder, MaskObjective, hard_masks, mask_of
from fedgen.families.spade.networks import (
    MaskedGenerator,
    MaskedUNet,
    PairDiscriminator,
    require_halving,
)
from fedgen.families.spade.options import SpadeOptions
from fedgen.task.records import Records
from fedgen.task.task import Task

#: Noise draws an image in a membership score.
MEMBERSHIP_DRAWS = 8


class SpadeFamily(Family):
    """A masks' autoencoder with its objective, and the networks and objectives of the kind for the image."""

    def __init__(self, task: Task, options: SpadeOptions) -> None:
        self.task, self.options = task, options
        self.mask_name, classes, self.mask = mask_of(task)
        require_halving(task.image.size, options)
        self.classes = len(classes)
        self.masks, self.flow = MaskObjective(task, options), FlowObjective(task, options)

    def networks(self) -> dict[str, nn.Module]:
        """`mask_encoder` and `mask_decoder`; `generator` and `discriminator`, or `unet`."""
        o, width = self.options, self.task.condition_width
        sizes = (self.task.image, self.classes, width, o)
        of_image: dict[str, nn.Module] = (
            {"unet": MaskedUNet(*sizes)}
            if o.kind == "diffusion"
            else {"generator": MaskedGenerator(*sizes), "discriminator": PairDiscriminator(*sizes)}
        )
        of_mask = {
            "mask_encoder": MaskEncoder(self.mask, width, o),
            "mask_decoder": MaskDecoder(self.mask, width, o),
        }
        return {name: network.eval() for name, network in {**of_mask, **of_image}.items()}

    def contributions(self) -> tuple[Objective, ...]:
        """The masks', then the image's."""
        if self.options.kind == "diffusion":
            return (self.masks, self.flow)
        return (
            self.masks,
            PairDiscriminatorObjective(self.task, self.options),
            MaskedGeneratorObjective(self.task, self.options),
        )

    @torch.no_grad()
    def sample(
        self, networks: Mapping[str, nn.Module], given: Mapping[str, Tensor], n: int, rng: torch.Generator
    ) -> Tensor:
        """Pairs (n, C + K, *size) float32: images in [-1, 1], and the masks that they were drawn for, of -1 and 1."""
        o = self.options
        z_mask = torch.randn(n, o.mask_latent_size, generator=rng, device=rng.device)
        # All noise at once, so that the images do not depend on how many are made at a time.
        shape = self.task.image.shape if o.kind == "diffusion" else (o.latent_size,)
        noise = torch.randn(n, *shape, generator=rng, device=rng.device)
        condition = condition_of(self.task, given, z_mask[:, 0])
        device = device_of(networks["mask_decoder"])
        pairs = []
        for part in zip(z_mask.split(CHUNK), noise.split(CHUNK), condition.split(CHUNK), strict=True):
            own_mask, own_noise, y = (tensor.to(device) for tensor in part)
            masks = hard_masks(networks["mask_decoder"](own_mask, y))
            pairs.append(torch.cat([self._images(networks, masks, own_noise, y), masks], dim=1).float())
        return torch.cat(pairs).to(noise.device)

    def _images(self, networks: Mapping[str, nn.Module], masks: Tensor, noise: Tensor, y: Tensor) -> Tensor:
        if self.options.kind == "gan":
            images: Tensor = networks["generator"](masks, noise, y)
            return images
        unet = networks["unet"]
        return follow(lambda x, t: unet(x, t, masks, y), noise, self.options.sampler_steps).clamp(-1, 1)

    def score(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """What is known of the mask plus what is known of the image for it, (B,), in nats.

        Of the mask the bound on ln p(m) a pixel; of the image as in `attacks`.
        """
        of_mask = minus_loss(self.masks, networks, records, K=MEMBERSHIP_DRAWS, chunk=16, rng=rng)
        return of_mask + self._of_image(networks, records, rng)

    def attacks(self) -> Mapping[str, Attack]:
        """Both together, and of the image for its mask alone: the discriminator's logit, or minus the flow's loss."""
        return {"loss": self.score, "image": self._of_image}

    def _of_image(self, networks: Mapping[str, nn.Module], records: Records, rng: torch.Generator) -> Tensor:
        """(B,); the logit as in LOGAN (Hayes et al. 2019)."""
        if self.options.kind == "diffusion":
            return minus_loss(self.flow, networks, records, K=MEMBERSHIP_DRAWS, chunk=4, rng=rng)
        weights = records.weights["patient"]
        given = condition_of(self.task, records.fields, weights)
        images, y = fold(records.fields["image"], given, 1)
        masks = fold(records.fields[self.mask_name], given, 1)[0]
        parts = zip(images.split(CHUNK), masks.split(CHUNK), y.split(CHUNK), strict=True)
        logits = torch.cat([networks["discriminator"](*part).mean(dim=1) for part in parts])
        return patient_mean(logits, weights).float()

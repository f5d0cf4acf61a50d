"""The encoder of the public prior that a study stands on: features of nobody's patients."""

from __future__ import annotations

import hashlib
from typing import Self

import torch
from torch import Tensor

from fedgen.errors import DataError
from fedgen.extractors.contract import Extractor, Given
from fedgen.priors.prior import Prior


class PublicPriorExtractor(Extractor):
    """Latents of the prior's space, whose entries have variance 1 over public images."""

    name = "public_prior"
    one_unit = True

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior.shape[0])
        self.space = prior.space
        self.num_features = prior.d
        digest = hashlib.sha256(f"{self.name} {self.version} [-1, 1]".encode())
        for name, tensor in sorted(prior.space.tensors().items()):
            digest.update(name.encode() + tensor.contiguous().cpu().numpy().tobytes())
        self.hash = digest.hexdigest()

    @classmethod
    def of(cls, given: Given) -> Self:
        """Of the prior that is given.

        Raises:
            DataError: there is none.
        """
        if given.prior is None:
            raise DataError(
                "The extractor public_prior is the prior's own, and the study stands on none: name one in model.prior, "
                "or take the extractor out of evaluation.extractors."
            )
        return cls(given.prior)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """See `Extractor.forward`; images have the prior's size."""
        return self.space.encode(images.detach().cpu().float().clamp(-1, 1)).float()

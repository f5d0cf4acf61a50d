"""The two objectives of the family `vq`, both of which read patients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.families.vq.code_prior import nats
from fedgen.families.vq.networks import Grids
from fedgen.families.vq.options import VQOptions
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task


class Reconstruction(Objective):
    """mean over pixels of (x - x_hat)^2 / (2 s^2), in nats a pixel, and the codes' own loss; nothing is random."""

    name = "autoencoder"
    updates = ("vq",)
    touches_data = True

    def __init__(self, task: Task, options: VQOptions) -> None:
        self.task = task
        self.reconstruction_std = options.reconstruction_std
        # The loss of a reconstruction wrong by a quarter of the intensity range at every pixel.
        self.loss_bound = 0.125 / options.reconstruction_std**2
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """Nothing."""
        return {}

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the autoencoder's objective needs records")
        x = stacked(self.task, records.fields).flatten(0, 1)
        made = networks["vq"](x)
        squared_error = (x - made.reconstruction).square().flatten(1).mean(dim=1)
        losses = squared_error / (2 * self.reconstruction_std**2) + made.loss
        return patient_mean(losses, records.weights["patient"])


class CodeLikelihood(Objective):
    """-ln p(codes | condition) / L, in nats a code, of codes by the autoencoder as it stands; it is not moved.

    The transformer's is exact. That of diffusion is the mean over the codes that a random share t of all hides, times
    t: its bound with the weights of Bond-Taylor et al. 2022, which do not blow up where little is hidden.
    """

    name = "prior"
    updates = ("prior",)
    touches_data = True

    def __init__(self, task: Task, options: VQOptions) -> None:
        self.task = task
        self.places = sum(Grids.of(task.stack, options).places)
        self.unknown = options.codes * (2 if options.hierarchical else 1)
        self.diffusion = options.prior == "diffusion"
        # A prior that knows nothing.
        self.loss_bound = 1.5 * math.log(options.codes)
        self.optimizer = Adam(options.prior_learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """For diffusion `share` (B, M, K) uniform, and `place` (B, M, K, L) uniform: hidden where it is lower."""
        if not self.diffusion:
            return {}
        return {
            "share": torch.rand(B, M, K, generator=rng, device=rng.device),
            "place": torch.rand(B, M, K, self.places, generator=rng, device=rng.device),
        }

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,), in nats a code."""
        if records is None:
            raise ValueError("the prior's objective needs records")
        weights = records.weights["patient"]
        x, given = stacked(self.task, records.fields), condition_of(self.task, records.fields, weights)
        with torch.no_grad():
            codes = networks["vq"](x.flatten(0, 1), reconstruct=False).codes.unflatten(0, weights.shape)
        K = draws["share"].shape[2] if self.diffusion else 1
        codes, condition = fold(codes, given, K)
        unknown = torch.full_like(codes, self.unknown)
        if not self.diffusion:
            tokens = torch.cat([unknown[:, :1], codes[:, :-1]], dim=1)
            return patient_mean(nats(networks["prior"](tokens, condition), codes).mean(dim=1), weights)
        share = rows(draws["share"])[:, None]
        hidden = rows(draws["place"]) < share
        of_each = nats(networks["prior"](torch.where(hidden, unknown, codes), condition), codes)
        return patient_mean((hidden * of_each).mean(dim=1), weights)

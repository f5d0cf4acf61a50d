"""What a patient contributes to a denoiser: how well her images are told from noise, at every level of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgen.families.contract import Adam, Apply, Draws, Objective
from fedgen.families.parts.conditioning import condition_of
from fedgen.families.parts.denoising.edm import denoise, per_row
from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.denoising.parametrization import parametrization_of
from fedgen.families.parts.folding import fold, patient_mean, rows
from fedgen.task.records import Records
from fedgen.task.stack import stacked
from fedgen.task.task import Task


def without(condition: Tensor, dropped: Tensor) -> Tensor:
    """(n, width) conditions as (n, width + 1): where dropped (n,) nothing but a last number, 1, that says so."""
    flag = dropped[:, None].to(condition.dtype)
    return torch.cat([condition * (1 - flag), flag], dim=1)


class DenoisingObjective(Objective):
    """lambda(sigma) |D(y + n; sigma) - y|^2, mean over pixels and K draws of sigma and n (equation 2).

    Where `label_dropout` is positive, that share of the images is denoised without its condition, as classifier-free
    guidance needs (Ho and Salimans 2022). All K copies of an image are, or none (DPDM): what an image teaches
    about its class is then not averaged away in its own gradient.
    """

    name = "denoising"
    updates = ("unet",)
    touches_data = True
    #: the preconditioned loss of an untrained network is about 1
    loss_bound = 2.0

    def __init__(self, task: Task, options: DenoisingOptions, label_dropout: float) -> None:
        self.parametrization = parametrization_of(options)
        self.task = task
        self.image = task.stack
        self.label_dropout = label_dropout
        self.optimizer = Adam(options.learning_rate)

    def draw(self, B: int, M: int, K: int, rng: torch.Generator) -> Draws:
        """`level`: (B, M, K), from which the noise levels are made; `noise`: (B, M, K, C, *size) standard normal.

        Where labels are dropped also `dropped`: (B, M, K) bool, the same for all K copies of an image.
        """
        draws = {
            "level": self.parametrization.draw((B, M, K), rng),
            "noise": torch.randn(B, M, K, *self.image.shape, generator=rng, device=rng.device),
        }
        if self.label_dropout > 0:
            decision = torch.rand(B, M, 1, generator=rng, device=rng.device) < self.label_dropout
            draws["dropped"] = decision.expand(B, M, K)
        return draws

    def pictures(self, networks: Mapping[str, Apply], records: Records) -> Tensor:
        """What is denoised of each image, (B, M, C, *size)."""
        return stacked(self.task, records.fields)

    def seen(self, records: Records, draws: Draws) -> Tensor | None:
        """Pictures that the network sees beside each row, (B*M*K, S, *size); None where there are none."""
        return None

    def loss(self, networks: Mapping[str, Apply], records: Records | None, draws: Draws) -> Tensor:
        """Loss of each patient, (B,)."""
        if records is None:
            raise ValueError("the denoising objective needs records")
        p = self.parametrization
        weights = records.weights["patient"]
        images, given = self.pictures(networks, records), condition_of(self.task, records.fields, weights)
        y, condition = fold(images, given, draws["level"].shape[2])
        dropped = rows(draws["dropped"]) if "dropped" in draws else y.new_zeros(len(y), dtype=torch.bool)
        condition = without(condition, dropped)
        sigma = p.training_sigma(rows(draws["level"]))
        x = y + per_row(sigma, y) * rows(draws["noise"])
        seen = self.seen(records, draws)
        D = denoise(lambda x, c: networks["unet"](x, c, condition, seen), x, p.precondition(sigma))
        losses = p.loss_weight(sigma) * (D - y).square().flatten(1).mean(dim=1)
        return patient_mean(losses, weights)

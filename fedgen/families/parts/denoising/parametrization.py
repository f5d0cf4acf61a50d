"""What the denoising network predicts, and at which noise levels it learns to: EDM, v, noise or velocity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgen.families.parts.denoising.ddpm import ddpm_loss_weight, ddpm_precondition, ddpm_training_sigma
from fedgen.families.parts.denoising.edm import Preconditioning, loss_weight, precondition, training_sigma
from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.denoising.rectified_flow import (
    flow_loss_weight,
    flow_precondition,
    flow_training_sigma,
)
from fedgen.families.parts.denoising.v_prediction import v_loss_weight, v_precondition, v_training_sigma


class Parametrization(ABC):
    """Scalings, loss weight and training distribution of a denoiser."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Random numbers from which `training_sigma` makes noise levels."""

    @abstractmethod
    def quantile(self, share: Tensor) -> Tensor:
        """The quantiles of what `draw` draws at shares in (0, 1), of their shape."""

    @abstractmethod
    def training_sigma(self, drawn: Tensor) -> Tensor:
        """Noise levels of training from what `draw` returned, of its shape."""

    @abstractmethod
    def precondition(self, sigma: Tensor) -> Preconditioning:
        """c_skip, c_out, c_in and c_noise at sigma > 0, of its shape."""

    @abstractmethod
    def loss_weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma), of its shape."""


@dataclass(frozen=True)
class EDM(Parametrization):
    """Karras et al. 2022, table 1."""

    sigma_data: float
    P_mean: float
    P_std: float

    def draw(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=rng, device=rng.device)

    def quantile(self, share: Tensor) -> Tensor:
        """Of the standard normal distribution."""
        return torch.special.ndtri(share)

    def training_sigma(self, drawn: Tensor) -> Tensor:
        """Log-normal."""
        return training_sigma(drawn, self.P_mean, self.P_std)

    def precondition(self, sigma: Tensor) -> Preconditioning:
        """Unit variances for data of sigma_data."""
        return precondition(sigma, self.sigma_data)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """1 / c_out^2."""
        return loss_weight(sigma, self.sigma_data)


class _OfUniform(Parametrization):
    """One whose noise levels of training are made from uniform numbers."""

    def draw(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Uniform in [0, 1)."""
        return torch.rand(shape, generator=rng, device=rng.device)

    def quantile(self, share: Tensor) -> Tensor:
        """The shares themselves."""
        return share


@dataclass(frozen=True)
class VPrediction(_OfUniform):
    """Salimans and Ho 2022 with the range of DPDM (Dockhorn et al. 2023)."""

    log_snr_min: float = -9.0
    log_snr_max: float = 13.0

    def training_sigma(self, drawn: Tensor) -> Tensor:
        """Uniform in the angle."""
        return v_training_sigma(drawn, self.log_snr_min, self.log_snr_max)

    def precondition(self, sigma: Tensor) -> Preconditioning:
        """As EDM's for data of standard deviation 1, but for c_noise."""
        return v_precondition(sigma)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """1 / c_out^2."""
        return v_loss_weight(sigma)


class DDPM(_OfUniform):
    """Ho et al. 2020, in continuous time."""

    def training_sigma(self, drawn: Tensor) -> Tensor:
        """Uniform in the time of the linear schedule."""
        return ddpm_training_sigma(drawn)

    def precondition(self, sigma: Tensor) -> Preconditioning:
        """Of the noise itself."""
        return ddpm_precondition(sigma)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """1 / c_out^2."""
        return ddpm_loss_weight(sigma)


@dataclass(frozen=True)
class RectifiedFlow(_OfUniform):
    """Liu et al. 2023, between the noise levels of the sampler."""

    sigma_min: float
    sigma_max: float

    def training_sigma(self, drawn: Tensor) -> Tensor:
        """Uniform in the flow's time."""
        return flow_training_sigma(drawn, self.sigma_min, self.sigma_max)

    def precondition(self, sigma: Tensor) -> Preconditioning:
        """Of the velocity."""
        return flow_precondition(sigma)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """1 / c_out^2."""
        return flow_loss_weight(sigma)


def parametrization_of(options: DenoisingOptions) -> Parametrization:
    """The one a study asks for."""
    match options.parametrization:
        case "v":
            return VPrediction()
        case "ddpm":
            return DDPM()
        case "flow":
            return RectifiedFlow(options.sigma_min, options.sigma_max)
        case "edm":
            return EDM(options.sigma_data, options.P_mean, options.P_std)

"""The sampler that a study asks for, from noise to images."""

from __future__ import annotations

from torch import Tensor

from fedgen.families.parts.denoising.edm import Denoiser
from fedgen.families.parts.denoising.multistep import dpm_sampler, pndm_sampler
from fedgen.families.parts.denoising.options import DenoisingOptions
from fedgen.families.parts.denoising.samplers import (
    Churn,
    FreshNoise,
    churn_sampler,
    ddim_sampler,
    heun_sampler,
    sigma_steps,
)


def solved(D: Denoiser, noise: Tensor, fresh: FreshNoise, o: DenoisingOptions) -> Tensor:
    """What the denoiser makes of standard normal noise (n, ...), of its own range.

    Args:
        D: the denoiser.
        noise: where every image starts.
        fresh: gives the noise of a sampler that adds some.
        o: sampler, steps and noise levels.
    """
    t = sigma_steps(o.sampler_steps, o.sigma_min, o.sigma_max, o.rho)
    match o.sampler:
        case "heun":
            return heun_sampler(D, noise, t)
        case "churn":
            return churn_sampler(D, noise, t, Churn(o.S_churn, o.S_min, o.S_max, o.S_noise), fresh)
        case "ddim":
            return ddim_sampler(D, noise, t, o.eta, fresh)
        case "dpm":
            return dpm_sampler(D, noise, t)
        case "pndm":
            return pndm_sampler(D, noise, t)

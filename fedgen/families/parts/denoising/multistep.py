"""Samplers that remember: DPM-Solver++ (Lu et al. 2022) and PNDM (Liu et al. 2022), one call of the network a step.

Names are the papers'; their variables are brought into the scaling of EDM, x = y + t n: alpha is 1 and sigma is t.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from fedgen.families.parts.denoising.edm import Denoiser

#: Adams-Bashforth weights of the newest derivative, the one before, and so on, for as many as are known.
ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def dpm_sampler(D: Denoiser, noise: Tensor, t: Tensor) -> Tensor:
    """DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2): second order in the log of the noise level.

    The step to t = 0, which is infinitely long on that scale, gives the denoised images themselves.

    Args:
        D: the denoiser; called once a step.
        noise: (n, ...) standard normal.
        t: decreasing noise levels ending in 0, from `sigma_steps`.

    Returns:
        (n, ...) images, of the type and range the denoiser gives.
    """
    t = t.to(noise)
    x = noise * t[0]
    before, h_before = None, None
    for t_i, t_next in pairwise(t):
        denoised = D(x, t_i.expand(len(x)))
        if t_next == 0:
            x = denoised
            continue
        h = (t_i / t_next).log()
        direction = denoised
        if before is not None and h_before is not None:
            direction = denoised + (denoised - before) * h / (2 * h_before)
        x = t_next / t_i * x + (1 - t_next / t_i) * direction
        before, h_before = denoised, h
    return x


def pndm_sampler(D: Denoiser, noise: Tensor, t: Tensor) -> Tensor:
    """The pseudo linear multistep method (arXiv 2202.09778, equations 9 and 12), after one step by Heun's method.

    Heun's in place of the Runge-Kutta steps of the paper, which cost twelve calls; Rombach et al. 2022 begin so, too.

    Args:
        D: the denoiser; called once a step and once more.
        noise: (n, ...) standard normal.
        t: decreasing noise levels ending in 0, from `sigma_steps`.

    Returns:
        (n, ...) images, of the type and range the denoiser gives.
    """
    t = t.to(noise)
    x = noise * t[0]

    def predicted_noise(x: Tensor, t: Tensor) -> Tensor:
        return (x - D(x, t.expand(len(x)))) / t

    known: list[Tensor] = []
    for t_i, t_next in pairwise(t):
        known = [predicted_noise(x, t_i), *known[:3]]
        weights = ADAMS_BASHFORTH[len(known) - 1]
        e = sum((w * one for w, one in zip(weights, known, strict=True)), x.new_zeros(()))
        if len(known) == 1 and t_next != 0:
            e = (e + predicted_noise(x + (t_next - t_i) * e, t_next)) / 2
        x = x + (t_next - t_i) * e
    return x

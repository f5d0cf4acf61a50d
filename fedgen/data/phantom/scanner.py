"""How a hospital's scanner renders tissue: contrast, sharpness, shading and noise of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fedgen.data.phantom.anatomy import TISSUES, Field, Slice

#: Signal of each tissue in each contrast, as a fraction of full scale.
SIGNAL = {
    "T1w": {
        "air": 0.0,
        "scalp": 0.84,
        "skull": 0.08,
        "csf": 0.14,
        "gray": 0.46,
        "white": 0.68,
        "deep": 0.54,
        "lesion": 0.98,
    },
    "T2w": {
        "air": 0.0,
        "scalp": 0.52,
        "skull": 0.05,
        "csf": 0.95,
        "gray": 0.54,
        "white": 0.36,
        "deep": 0.43,
        "lesion": 0.80,
    },
}
CONTRASTS = tuple(SIGNAL)


@dataclass(frozen=True)
class Scanner:
    """The look of one site's images.

    Attributes:
        gain: brightness.
        gamma: exponent of the signal; above 1 darkens mid-tones.
        blur: standard deviation of the point spread, as a fraction of the image's side.
        noise: standard deviation of each quadrature channel, as a fraction of full scale.
        shading: strength of the coil's bias field.
        direction: angle of the coil's bias field.
    """

    gain: float
    gamma: float
    blur: float
    noise: float
    shading: float
    direction: float

    @staticmethod
    def of_site(number: int, rng: np.random.Generator) -> Scanner:
        """Neighbouring sites differ on purpose: sharp and noisy, soft and shaded, and between."""
        look = number % 4
        return Scanner(
            gain=(0.94, 0.90, 1.0, 0.92)[look] * float(rng.uniform(0.97, 1.03)),
            gamma=(1.0, 1.25, 0.8, 1.1)[look] * float(rng.uniform(0.96, 1.04)),
            blur=(0.004, 0.0075, 0.005, 0.010)[look] * float(rng.uniform(0.9, 1.1)),
            noise=(0.018, 0.030, 0.040, 0.012)[look] * float(rng.uniform(0.9, 1.1)),
            shading=(0.06, 0.18, 0.10, 0.26)[look],
            direction=float(rng.uniform(0, 2 * np.pi)),
        )


def scan(anatomy: Slice, contrast: str, scanner: Scanner, rng: np.random.Generator) -> NDArray[np.float64]:
    """One magnitude image, (H, W) in [0, 1], with Rician noise (Gudbjartsson and Patz 1995)."""
    signal: Field = np.tensordot([SIGNAL[contrast][tissue] for tissue in TISSUES], anatomy.tissues, axes=1)
    size = signal.shape
    # Brain is not uniform: a faint texture that moves with the tissue, not with the noise.
    texture = gaussian_filter(rng.standard_normal(size), 0.012 * min(size))
    signal = signal * (1 + 0.035 * texture / texture.std())
    # A power is dear, and half of the image is air.
    signal = np.power(signal, scanner.gamma, out=np.zeros(size), where=signal > 0)
    signal = scanner.gain * signal * _bias_field(size, scanner)
    signal = gaussian_filter(signal, scanner.blur * min(size))
    real, imaginary = scanner.noise * rng.standard_normal((2, *size))
    return np.clip(np.hypot(signal + real, imaginary), 0, 1)


@lru_cache(maxsize=1)  # one scanner's images come one after the other
def _bias_field(size: tuple[int, ...], scanner: Scanner) -> Field:
    y, x = np.linspace(-1, 1, size[0])[:, np.newaxis], np.linspace(-1, 1, size[1])[np.newaxis]
    along = x * np.cos(scanner.direction) + y * np.sin(scanner.direction)
    field: Field = 1 + scanner.shading * (along - 0.4 * (x**2 + y**2 - 0.6))
    return field

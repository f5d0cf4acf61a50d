"""Secret randomness: Poisson sampling and Gaussian noise from a cryptographic generator.

torch's CPU generator keeps 32 bits of its seed, so noise drawn from it could be enumerated and subtracted.
Everything a privacy guarantee rests on is drawn here, from AES-256 in counter mode under a key of the
operating system's entropy. What is not covered: floating-point effects of the Gaussian sampler itself
(Mironov, CCS 2012).
"""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from torch import Tensor


class SecretRandom:
    """A stream of random numbers nobody else can reproduce.

    Args:
        key: 32 bytes. Fresh entropy of the operating system when not given; give a key in tests only.
    """

    def __init__(self, key: bytes | None = None) -> None:
        key = os.urandom(32) if key is None else key
        if len(key) != 32:
            raise ValueError(f"the key must have 32 bytes, not {len(key)}")
        self._keystream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def words(self, n: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """(n,) uint64, uniform."""
        return np.frombuffer(self._keystream.update(bytes(8 * n)), dtype="<u8")

    def uniform(self, n: int) -> Tensor:
        """(n,) float64, uniform on the 2**53 midpoints of (0, 1)."""
        words = self.words(n)
        return torch.from_numpy(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)

    def poisson_sample(self, n: int, q: float) -> Tensor:
        """Indices of a Poisson sample: each of n records independently with probability q; shape (<= n,)."""
        return torch.nonzero(self.uniform(n) < q).flatten()

    def gaussian(self, shape: torch.Size | tuple[int, ...], std: float) -> Tensor:
        """float32 Gaussian noise of the given shape and standard deviation (Box and Muller 1958)."""
        n = math.prod(shape)
        half = (n + 1) // 2
        u = self.uniform(2 * half)
        radius = torch.sqrt(-2.0 * torch.log(u[:half]))
        angle = 2.0 * math.pi * u[half:]
        values = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)])[:n]
        return (std * values).to(torch.float32).reshape(shape)

    def permutation(self, n: int) -> Tensor:
        """A uniformly random order of 0..n-1, shape (n,)."""
        return torch.argsort(self.uniform(n))

    def generator(self) -> torch.Generator:
        """A torch generator seeded from here, for draws that need not be secret (latents, diffusion noise)."""
        seed = int.from_bytes(self._keystream.update(bytes(8)), "little") >> 1
        return torch.Generator().manual_seed(seed)

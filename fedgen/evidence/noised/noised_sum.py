"""A site's one noised sum: every patient's vector bounded once, all of them added, noise on the total."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.noised.block import GRID, FloatArray, NoisedBlock, Sums, check_shares
from fedgen.mechanisms.statistics import bounded
from fedgen_privacy.random import SecretRandom


def patient_vectors(blocks: tuple[NoisedBlock, ...], site: SiteData) -> Tensor:
    """(patients, d) float32 vectors of L2 norm 1 at most, one a patient of any part, in the order of the blocks.

    A patient is measured alone, without any other at hand: what is computed of her images cannot depend on who else
    is there, as it could within one batch.
    """
    check_shares(blocks)
    rows = []
    for part in Part:
        own = site.part(part)
        for number in range(own.n_patients):
            patient = _finite(own.only(own.patients == number))
            rows.append(
                np.concatenate(
                    [
                        math.sqrt(block.share) * block.of_patient(patient, part)
                        if part in block.parts
                        else np.zeros(len(block.names))
                        for block in blocks
                    ]
                )
            )
    length = sum(len(block.names) for block in blocks)
    vectors = torch.from_numpy(np.array(rows).reshape(len(rows), length))
    # The bound is held here and rests on no block's word.
    return bounded(vectors)


def _finite(patient: SiteData) -> SiteData:
    # An error about one patient would tell of her.
    return replace(patient, images=torch.nan_to_num(patient.images, nan=0.0, posinf=1.0, neginf=-1.0))


def noised_sum(
    blocks: tuple[NoisedBlock, ...], site: SiteData, noise_multiplier: float, random: SecretRandom
) -> FloatArray:
    """(d,) the sum of all patients' vectors with Gaussian noise; one release, charged before it is called.

    Args:
        blocks: what is told.
        site: all parts.
        noise_multiplier: sigma, over the bound 1 of a vector.
        random: secret.
    """
    total = patient_vectors(blocks, site).double().sum(dim=0)
    noised = total + random.gaussian(total.shape, noise_multiplier).double()
    return np.round(noised.numpy() / GRID) * GRID


def opened(
    blocks: tuple[NoisedBlock, ...], total: Sequence[float], noise_multiplier: float
) -> dict[str, Sums]:
    """The sums of each block by its id, from one site's noised sum.

    Raises:
        ValueError: it has another length than the blocks.
    """
    lengths = [len(block.names) for block in blocks]
    values = np.asarray(total, dtype=np.float64)
    if values.shape != (sum(lengths),):
        raise ValueError(f"a noised sum has {sum(lengths)} numbers, not {values.shape}")
    parts = np.split(values, np.cumsum(lengths)[:-1])
    return {
        block.id: Sums(part / math.sqrt(block.share), noise_multiplier / math.sqrt(block.share), 1)
        for block, part in zip(blocks, parts, strict=True)
    }

"""Checks of mode distributed: a patient's integers are bounded, and any sum that can be opened has enough noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.stats import pearsonr

from fedgen.selftest.finding import SHARED, CheckResult, at_least, at_most
from fedgen.selftest.gradients import refusable
from fedgen.selftest.noise import FALSE_ALARM, squares
from fedgen.selftest.patients import COUNTS, batch
from fedgen.selftest.subject import Subject, perturbed
from fedgen_privacy.distributed import NoiseShare
from fedgen_privacy.gradients.protocol import records_of
from fedgen_privacy.gradients.tree import tree_map
from fedgen_privacy.statistics.multiplicity import worse_of

INTEGERS, NOISE = "integers of one patient", "noise of the honest sites"
#: sites, fewest in a sum, sites that tell what they know, coordinates, sigma
SITES, NEEDED, COLLUDERS, DIMENSION, SIGMA = 5, 4, 1, 4096, 1.7


@refusable(INTEGERS)
def integers(subject: Subject) -> CheckResult:
    """One patient, images and draws together, adds integers of norm Delta at most, in float32 as in training."""
    networks = perturbed(subject, torch.float32)
    joint = subject.joint
    params = joint.values(networks)
    patients = joint.batch(tree_map(lambda t: t.float() if t.is_floating_point() else t, batch(subject)))
    gradients = subject.per_record(networks)
    C, share = 1e-2, _share(subject, joint.dimension(networks), 1e-2)
    norms = []
    for b in range(len(COUNTS)):
        alone = records_of(patients, b, b + 1)
        total = subject.integers(
            gradients,
            params,
            alone,
            clipping_norm=C,
            loss_bounds=joint.loss_bounds,
            share=share,
            chunk=2,
        )
        norms.append(math.sqrt(int(total.square().sum())) / share.sensitivity)
    if min(norms) < 0.5:
        sentence = "a patient's integers are far below the bound although C clips everybody: this would prove nothing"
        return CheckResult(INTEGERS, subject.family, False, min(norms), 0.5, ">=", sentence)
    sentence = (
        "largest norm of one patient's integers, in units of the sensitivity that the noise is a multiple of"
    )
    return at_most(INTEGERS, subject.family, max(norms), 1.0, sentence)


def honest_noise(subject: Subject) -> CheckResult:
    """Shares of as few sites as a sum may have, without those that tell: independent, sigma Delta a coordinate."""
    share = _share(subject, DIMENSION, 1.0)
    nothing = torch.zeros(DIMENSION, dtype=torch.int64)
    parts = [subject.noised(nothing, share, subject.random()).astype(np.float64) for _ in range(SITES)]
    honest = np.sum(parts[: NEEDED - max(1, COLLUDERS)], axis=0) / (SIGMA * share.sensitivity)
    p = worse_of(
        squares(honest),
        squares(np.array([honest.sum() / math.sqrt(DIMENSION)])),
        float(pearsonr(parts[0], parts[1]).pvalue),
        float(pearsonr(honest[0::2], honest[1::2]).pvalue),
    )
    honest_sites = f"{NEEDED - COLLUDERS} honest of {NEEDED} sites"
    sentence = f"p-value of the noise of the {honest_sites} under sigma times the sensitivity"
    return at_least(NOISE, SHARED, p, FALSE_ALARM, sentence)


def _share(subject: Subject, dimension: int, C: float) -> NoiseShare:
    return subject.share(
        clipping_norm=C,
        noise_multiplier=SIGMA,
        dimension=dimension,
        expected_batch=16.0,
        needed=NEEDED,
        colluders=COLLUDERS,
        sites=SITES,
    )

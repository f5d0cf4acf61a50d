"""The warm start: a few noised mean images of each class, and a plain training on them (DP-FETA, Gong et al. 2025).

One query takes a Poisson sample of the patients and sums one vector a patient: for each class the mean of the patient's
images of that class, times their share among the patient's images, and beside it the share itself, by which the sum is
divided afterwards. The vector's L2 norm is clipped to 1, in units of a fixed norm of an image. Training on what comes
out is post-processing, so that it may take as many steps as it likes.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedgen.data.site_data import Part, SiteData
from fedgen.families.contract import Objective
from fedgen.study.study import Study
from fedgen.study.training import CentralImages
from fedgen.training.local import LocalTrainer, plan_without_privacy
from fedgen.training.training_patients import TrainingPatients
from fedgen_privacy.distributed import NoiseShare, noise_share
from fedgen_privacy.integer_step import rounded_sum, with_noise
from fedgen_privacy.random import SecretRandom
from fedgen_privacy.secagg import Parameters

#: A patient's share of a class, in the units of the clipped vector.
COUNT = 0.2
#: Least share of a class that sums are divided by: below, noise would be blown up into white images.
LEAST_SHARE = 0.02


def asked(study: Study) -> CentralImages:
    """The study's section.

    Raises:
        ValueError: it has none.
    """
    if study.privacy.central_images is None:
        raise ValueError("the study asks for no central images")
    return study.privacy.central_images


def length(study: Study) -> int:
    """Numbers of all queries together; 0 where the study asks for none."""
    if study.privacy.central_images is None:
        return 0
    return asked(study).images * len(study.data.labels) * (_pixels(study) + 1)


def _pixels(study: Study) -> int:
    height, width = study.data.image_size
    return study.data.channels * height * width


def clipping_norm(study: Study) -> float:
    """L2 norm, of an image in [0, 1], that a patient's vector is measured in."""
    return float(asked(study).clipping_share * _pixels(study) ** 0.5)


def patient_vectors(study: Study, cohort: TrainingPatients, patients: Tensor, random: SecretRandom) -> Tensor:
    """(B, classes * (pixels + 1)) vectors of patients, each of L2 norm at most 1."""
    records = cohort.records(patients, random)
    classes = torch.nn.functional.one_hot(records.fields["class"], len(study.data.labels)).float()
    shares = records.weights["patient"][:, :, None] * classes
    pixels = ((records.fields["image"] + 1) / 2).flatten(2) / clipping_norm(study)
    sums = torch.einsum("bmk,bmp->bkp", shares, pixels)
    vectors = torch.cat([sums, COUNT * shares.sum(dim=1)[:, :, None]], dim=2).flatten(1)
    return vectors * (1.0 / vectors.norm(dim=1).clamp_min(1e-12)).clamp(max=1.0)[:, None]


def local_part(study: Study, cohort: TrainingPatients, random: SecretRandom) -> Tensor:
    """A site's queries with noise of its own, (length,) float32, over its expected number of patients in a query."""
    query = asked(study)
    expected = query.sampling_rate * cohort.n_patients
    parts = []
    for _ in range(query.images):
        vectors = patient_vectors(study, cohort, _sample(query, cohort, random), random)
        noise = random.gaussian(torch.Size((vectors.shape[1],)), query.noise_multiplier)
        parts.append((vectors.sum(dim=0) + noise) / expected)
    return torch.cat(parts)


def distributed_part(
    study: Study, cohort: TrainingPatients, share: NoiseShare, random: SecretRandom
) -> Tensor:
    """A site's queries in levels with its share of the noise, (length,) int32."""
    query = asked(study)
    parts = []
    for _ in range(query.images):
        vectors = patient_vectors(study, cohort, _sample(query, cohort, random), random)
        parts.append(torch.from_numpy(with_noise(rounded_sum(vectors, share), share, random)))
    return torch.cat(parts)


def _sample(query: CentralImages, cohort: TrainingPatients, random: SecretRandom) -> Tensor:
    return random.poisson_sample(cohort.n_patients, query.sampling_rate)


def share_of(study: Study, secure: Parameters, sites: int) -> NoiseShare:
    """Every site's share of the noise of a query in mode distributed; arguments as of `distributed.share_of`."""
    return noise_share(
        clipping_norm=1.0,
        noise_multiplier=asked(study).noise_multiplier,
        dimension=secure.length,
        expected_batch=expected_patients(study),
        needed=secure.needed,
        colluders=secure.colluders,
        sites=sites,
    )


def expected_patients(study: Study) -> float:
    """Patients of all sites expected in one query, by the study's public numbers alone; for mode distributed."""
    assert study.privacy.sampling_rate is not None
    return asked(study).sampling_rate * study.training.batch_patients / study.privacy.sampling_rate


def images_of(study: Study, sums: Tensor) -> tuple[Tensor, Tensor]:
    """The mean images.

    Args:
        study: what was asked.
        sums: (length,) sums over the expected number of patients.

    Returns:
        (n, C, H, W) float32 in [-1, 1] and their (n,) class index, n = images * classes.
    """
    query, classes = asked(study), len(study.data.labels)
    blocks = sums[: length(study)].reshape(query.images, classes, _pixels(study) + 1)
    shares = (blocks[:, :, -1:] / COUNT).clamp_min(LEAST_SHARE / classes)
    pixels = (blocks[:, :, :-1] * clipping_norm(study) / shares).clamp(0.0, 1.0)
    images = pixels.reshape(-1, study.data.channels, *study.data.image_size) * 2 - 1
    return images.float(), torch.arange(classes).repeat(query.images)


def train(
    study: Study,
    objectives: tuple[Objective, ...],
    networks: dict[str, nn.Module],
    images: Tensor,
    labels: Tensor,
) -> None:
    """Train `networks` in place on central images, without further privacy; the same seed gives the same result."""
    query, n = asked(study), len(labels)
    data = SiteData(
        site="central",
        classes=study.data.labels,
        images=images,
        labels=labels,
        patients=torch.arange(n),
        parts=torch.full((n,), int(Part.TRAIN)),
    )
    plan = replace(
        plan_without_privacy(study),
        steps=query.steps,
        batch=query.batch,
        sampling_rate=min(1.0, query.batch / n),
        images=1,
    )
    key = hashlib.sha256(f"central/{study.study.seed}".encode()).digest()
    LocalTrainer(objectives, networks, study.training.learning_rate).run(
        TrainingPatients(data, 1), plan, SecretRandom(key)
    )

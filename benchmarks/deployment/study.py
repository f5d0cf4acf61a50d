"""The studies that are timed: as little training as there can be, with a model of about a million parameters."""

from __future__ import annotations

from dataclasses import dataclass

from fedgen.study.load import parse_study
from fedgen.study.study import Study

#: The VAE below has 997 345 parameters: the float32 vector of an exchange is 4 MB.
PARAMETERS = 997_345
#: The phantom's patients of each site.
PATIENTS = 12

TEXT = """\
study: {{name: {name}, seed: 1}}
data:
  modality: T1w
  image_size: [16, 16]
  images_per_patient: 1
  phantom: {{sites: {sites}, patients: {patients}}}
model:
  family: vae
  vae: {{channels: {channels}, latent_size: {latent}}}
training: {{rounds: {rounds}, local_steps: 1, batch_patients: 2}}
privacy: {{epsilon: 10, delta: 1.0e-3}}
aggregation: {{secure: {secure}, minimum_sites: 3, weight_cap: 16, ring_bits: {ring_bits}}}
"""

SITE_FILE = """\
cohorts:
  main: {{folder: {folder}, maximum_epsilon: null, delta: 1.0e-3}}
policy:
  minimum_sites: 3
  minimum_cohort: 1
  require_secure_aggregation: false
  approve: always
"""


@dataclass(frozen=True)
class Size:
    """A VAE of the studies.

    Attributes:
        parameters: how many it has.
        channels, latent: of which shape.
    """

    parameters: int
    channels: tuple[int, ...]
    latent: int


MILLION = Size(PARAMETERS, (80, 128, 144), 64)
#: 104 MB of float32.
HUNDRED_MEGABYTES = Size(25_903_601, (400, 640, 768), 320)


def study_text(
    name: str, sites: int, rounds: int, *, secure: bool, size: Size = MILLION, ring_bits: int = 32
) -> str:
    """A study file: one private local step a round, on a batch of two patients with an image of 16 x 16 each."""
    return TEXT.format(
        name=name,
        sites=sites,
        rounds=rounds,
        patients=PATIENTS,
        secure="true" if secure else "false",
        channels=list(size.channels),
        latent=size.latent,
        ring_bits=ring_bits,
    )


def study_of(name: str, sites: int, rounds: int, *, secure: bool, size: Size = MILLION) -> Study:
    """The same, resolved."""
    return parse_study(study_text(name, sites, rounds, secure=secure, size=size), name)

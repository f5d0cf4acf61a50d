"""Sections from `training` to `synthesis`: how sites learn, at what cost, and what is made of it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.schema.section import Section
from fedgen.study.modes import Mode, is_private


class ServerOptimizer(Section):
    """What the coordinator does with the sites' mean update (Reddi et al. 2021); mode distributed has the family's."""

    name: Literal["average", "momentum", "adam"] = Field(
        "average", description="average adds the mean update"
    )
    learning_rate: float = Field(1.0, gt=0, description="eta, factor on what is added; about 0.01 for adam")
    beta_1: float = Field(0.9, ge=0, lt=1, description="decay of the mean update's moving average")
    beta_2: float = Field(0.99, ge=0, lt=1, description="decay of its square's, for adam")


class TrainingSection(Section):
    """Rounds and local steps."""

    rounds: int = Field(20, ge=1, description="aggregation rounds")
    local_steps: int = Field(10, ge=1, description="steps each site takes in a round")
    batch_patients: int = Field(
        16,
        ge=1,
        description="B: expected patients in a Poisson batch, and the public divisor of the gradient",
    )
    learning_rate: float | None = Field(None, gt=0, description="overrides the family's own learning rate")
    ema: float = Field(
        0.9, ge=0, lt=1, description="decay a round of the server's moving average of the model"
    )
    server: ServerOptimizer = Field(default_factory=lambda: ServerOptimizer())
    microbatch: int = Field(
        16,
        ge=1,
        description="records whose gradients are computed at once; fewer need less memory and more time",
    )
    gradients: Literal["auto", "vmap", "hooks"] = Field(
        "auto", description="how each patient's gradient is computed; changes time and memory only"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of forward and backward passes; gradients are clipped, summed and noised in float32",
    )
    device: str = Field("cpu", description="torch device of the sites: cpu, cuda, cuda:0")


class Schedule(Section):
    """Changes of noise and clipping on the way; the whole is calibrated to the same epsilon."""

    from_round: tuple[int, ...] = Field(
        (), strict=False, description="training rounds from which something changes, rising"
    )
    noise_factor: tuple[float, ...] = Field(
        (), strict=False, description="factor on the first round's noise multiplier, one for each from_round"
    )
    clipping_factor: tuple[float, ...] = Field(
        (), strict=False, description="factor on clipping_norm, one for each from_round"
    )

    @model_validator(mode="after")
    def _points(self) -> Self:
        if list(self.from_round) != sorted(set(self.from_round)) or min(self.from_round, default=2) < 2:
            raise ValueError("schedule.from_round must be rising, different rounds from 2 on")
        if min((*self.noise_factor, *self.clipping_factor), default=1.0) <= 0:
            raise ValueError("factors of a schedule must be above 0")
        for name in ("noise_factor", "clipping_factor"):
            factors = getattr(self, name)
            if factors and len(factors) != len(self.from_round):
                raise ValueError(
                    f"schedule.{name} has {len(factors)} entries but schedule.from_round has {len(self.from_round)}: "
                    "give one for each, or leave it out"
                )
        return self


class CentralImages(Section):
    """Mean images of random patients, by class and with noise: what the model is first trained on (DP-FETA, 2025).

    Their cost is part of the study's epsilon.
    """

    images: int = Field(5, ge=1, description="mean images of each class")
    sampling_rate: float = Field(
        0.1, gt=0, le=1, description="probability of each patient to be in one of them"
    )
    noise_multiplier: float = Field(5.0, gt=0, description="sigma of the sums")
    clipping_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="L2 bound of a patient's image in [0, 1], as a share of an all-white one's",
    )
    steps: int = Field(300, ge=1, description="training steps on them at the coordinator")
    batch: int = Field(32, ge=1, description="mean images a step, each with noise of its own")


class PrivacySection(Section):
    """What is protected, how strongly, against whom."""

    unit: Literal["patient"] = Field(
        "patient", description="whose presence is hidden: all images of one patient"
    )
    mode: Mode = Field(
        "local",
        description="local: each site runs DP-SGD; distributed: sites sum single steps under secure aggregation and "
        "share the noise; none: no protection",
    )
    epsilon: float = Field(10.0, gt=0, description="target epsilon of each patient over the whole study")
    delta: float = Field(1e-5, gt=0, lt=1, description="must be below 1 / training patients of every site")
    allow_large_delta: bool = Field(
        False, description="accept a delta of 1 / patients or more, which permits publishing a whole patient"
    )
    accept_useless: bool = Field(
        False,
        description="spend epsilon although the plan expects nothing useful, because the noise is longer than the sum "
        "can be",
    )
    sampling_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="q: public probability of each patient to be in a batch; required in mode distributed, and "
        "batch_patients / training patients of the site where not given",
    )
    clipping_norm: float = Field(1.0, gt=0, description="C: L2 bound of one patient's gradient")
    multiplicity: int = Field(
        1, ge=1, description="K: noise or latent draws a record, averaged before the one clip"
    )

    schedule: Schedule = Field(default_factory=lambda: Schedule())
    central_images: CentralImages | None = Field(
        None,
        description="a warm start from noised mean images, asked for in a round before the first (DP-FETA)",
    )

    @property
    def private(self) -> bool:
        """Whether the mode promises anything to a patient."""
        return is_private(self.mode)


class AggregationSection(Section):
    """How updates of the sites become one model."""

    secure: bool = Field(
        True, description="hide each site's update from the coordinator, which learns their sum alone"
    )
    minimum_sites: int = Field(
        3, ge=1, description="a round with fewer honest updates fails; at least 3 where secure is on"
    )
    tolerated_dropouts: int | None = Field(
        None,
        ge=0,
        description="sites that may fail in a secure round; by default a third, rounded down to be safe",
    )
    colluders: int = Field(
        0, ge=0, description="sites that may tell the coordinator all they know without exposing another"
    )
    update_bound: float = Field(
        1.0, gt=0, description="coordinates of a site's update are clipped to this before they are masked"
    )
    weight_cap: int = Field(
        1000,
        ge=1,
        le=2**24,
        description="largest weight (training patients) of a site in a secure round; rounding grows with it",
    )
    ring_bits: Literal[16, 32] = Field(
        32, description="bits of a masked number: 16 halves the bytes and rounds more coarsely"
    )
    weighting: Literal["patients", "uniform"] = Field(
        "patients", description="weight of a site's update: its number of training patients, or one"
    )
    deadline: float = Field(600.0, gt=0, description="seconds a round may take")


class SynthesisSection(Section):
    """The synthetic data set."""

    images: int = Field(200, ge=1, description="number of synthetic images")
    balance: dict[str, float] | None = Field(
        None, description="share of each class, by name, summing to 1; equal shares where not given"
    )
    formats: tuple[Literal["png", "nifti", "dicom"], ...] = Field(
        ("png",),
        min_length=1,
        strict=False,
        description="file formats written: any of png, nifti (with its affine) and dicom (which a PACS accepts)",
    )

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.balance is not None:
            if any(share < 0 for share in self.balance.values()):
                raise ValueError("shares in balance must not be negative")
            if abs(sum(self.balance.values()) - 1) > 1e-6:
                raise ValueError(f"shares in balance sum to {sum(self.balance.values()):g}, not 1")
        return self

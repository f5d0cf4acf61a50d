"""The family `gan`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section

#: Weight of the gradient penalty of a critic (Gulrajani et al. 2017).
CRITICS_PENALTY = 10.0


class GANOptions(Section):
    """Conditional GAN; only the discriminator sees data (private GANs revisited, Bie et al. 2023).

    The adaptive schedule, and the augmentation that adapts, read fakes alone, so they cost no privacy.
    """

    generator_channels: tuple[int, ...] = Field(
        (64, 64, 32, 16), min_length=1, strict=False, description="channels of each generator level"
    )
    discriminator_channels: tuple[int, ...] = Field(
        (16, 32, 64, 64), min_length=1, strict=False, description="channels of each discriminator level"
    )
    latent_size: int = Field(64, ge=2, description="dimensions of the latent vector")
    loss: Literal["non_saturating", "least_squares", "hinge", "wasserstein"] = Field(
        "non_saturating",
        description="the game between the two; wasserstein has a gradient penalty, and its critic's loss falls below "
        "0, which a private run reports as 0",
    )
    gradient_penalty: float | None = Field(
        None,
        ge=0,
        description="weight of (|slope of the discriminator| - 1)^2 between real images and fakes, which needs "
        f"second derivatives and so gradients by vmap; null is {CRITICS_PENALTY:g} for wasserstein, else 0",
    )
    conditioning: Literal["concatenation", "acgan", "projection"] = Field(
        "concatenation",
        description="how the discriminator judges what an image was given: as further channels, by guessing it "
        "(classes by cross-entropy, numbers by squared error), or by an inner product with its features",
    )
    auxiliary_weight: float = Field(1.0, gt=0, description="of the guess in acgan")
    self_attention: bool = Field(
        False,
        description="self-attention in both networks, at the finest grid of at most 256 positions",
    )
    style: bool = Field(
        False,
        description="the latent scales the channels of each convolution of the generator, through a mapping network "
        "(StyleGAN), instead of being its first features",
    )
    level_noise: bool = Field(
        False,
        description="each level of the generator adds noise of each pixel, by a learned strength that starts at 0; "
        "with style",
    )
    progressive: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the study's steps over which the resolution doubles from the coarsest to the full one, "
        "each doubling faded in; null is the full one from the start",
    )
    augmentation: float = Field(
        0.0,
        ge=0,
        le=0.8,
        description="probability that an image, real or fake, is moved, and turned, scaled, brightened and given "
        "another contrast, before it is judged; with augmentation_target the one that it starts from",
    )
    augmentation_target: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="mean sign of the discriminator's verdict on fakes, 1 where it recognises all of them, above which "
        "the probability of augmentation rises and below which it falls, by the learning rate a step; null keeps it",
    )
    discriminator_steps: int = Field(1, ge=1, description="discriminator steps for each generator step")
    adaptive_threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="where the discriminator recognises no more than this share of the fakes it gets more steps for "
        "each generator step, from discriminator_steps up to 5000 (published: 0.6 at epsilon 10, 0.7 at epsilon 1); "
        "null keeps discriminator_steps",
    )
    learning_rate: float = Field(5e-4, gt=0, description="of Adam, for both networks")

    @model_validator(mode="after")
    def _noise_is_of_a_style(self) -> Self:
        if self.level_noise and not self.style:
            raise ValueError("level_noise is of a styled generator: set style to true")
        return self

    @model_validator(mode="after")
    def _grows_on_both_sides(self) -> Self:
        if self.progressive and len(self.generator_channels) != len(self.discriminator_channels):
            raise ValueError("progressive needs as many generator_channels as discriminator_channels")
        return self

    @model_validator(mode="after")
    def _critic(self) -> Self:
        if self.loss != "wasserstein":
            return self
        if self.gradient_penalty == 0:
            raise ValueError(
                "wasserstein needs a bounded slope: set gradient_penalty above 0, or leave it out"
            )
        for rule in ("adaptive_threshold", "augmentation_target"):
            if getattr(self, rule) is not None:
                raise ValueError(
                    f"{rule} reads the sign of a verdict, and a wasserstein critic's has no meaning"
                )
        return self

    @property
    def penalty(self) -> float:
        """Weight of the gradient penalty."""
        if self.gradient_penalty is not None:
            return self.gradient_penalty
        return CRITICS_PENALTY if self.loss == "wasserstein" else 0.0

    @property
    def augments(self) -> bool:
        """Whether images are augmented before they are judged."""
        return self.augmentation > 0 or self.augmentation_target is not None


SMALL = GANOptions(generator_channels=(8, 4), discriminator_channels=(4, 8), latent_size=4)

SPEC = FamilySpec(
    name="gan",
    summary="conditional GAN; only the discriminator sees data",
    options=GANOptions,
    small=SMALL,
    supports=creation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
    variants={
        "penalty": SMALL.model_copy(update={"gradient_penalty": 1.0}),
        "augmentation": SMALL.model_copy(update={"augmentation": 0.4, "augmentation_target": 0.6}),
        "growing": SMALL.model_copy(update={"progressive": 0.5}),
        "styled critic": SMALL.model_copy(
            update={"loss": "wasserstein", "style": True, "level_noise": True, "self_attention": True}
        ),
    },
)

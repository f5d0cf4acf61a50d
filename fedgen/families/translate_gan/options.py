"""The family `translate_gan`: what it says of itself, and its options."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fedgen.families.parts.supported import translation_in
from fedgen.families.parts.task_loss_options import TaskLoss
from fedgen.families.spec import FamilySpec, GivenWeights
from fedgen.schema.section import Section


class TranslateGANOptions(Section):
    """An image from other images of the patient: pix2pix (Isola et al. 2017) where they come in pairs, for one source
    or several of which some may be missing (MM-GAN, Sharma and Hamarneh 2020), and CycleGAN (Zhu et al. 2017) where
    they do not.

    Weights are over that of the distance in L1: of the translation to its target, or of an image to what comes back.
    """

    channels: tuple[int, ...] = Field(
        (16, 32, 64, 64), min_length=3, strict=False, description="channels of each level of the U-Net"
    )
    norm: Literal["group", "instance"] = Field(
        "group", description="of the U-Net's levels; instance takes the brightness of an image away"
    )
    critic_channels: int = Field(16, ge=1, description="channels of the discriminator's first layer")
    critic_layers: int = Field(3, ge=1, description="layers of the discriminator, fewer on a small grid")
    loss: Literal["non_saturating", "least_squares", "hinge"] = Field(
        "least_squares", description="the game between translator and discriminator, patch by patch"
    )
    adversarial_weight: float | None = Field(
        None,
        ge=0,
        description="of the game in the translator's loss; null is 0.01 for pairs and 0.1 without them, as published; "
        "0, for pairs, trains no discriminator",
    )
    feature_weight: float = Field(
        0.0,
        ge=0,
        description="of the distance between the discriminator's features of translation and target (Wang et al. "
        "2018), a perceptual term without downloaded weights; for pairs",
    )
    edge_weight: float = Field(
        0.0, ge=0, description="of the distance between the differences of neighbouring pixels; for pairs"
    )
    source_dropout: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="probability that the training leaves a source out though it is there, never all of them",
    )
    identity_weight: float = Field(
        0.5, ge=0, description="of the change of an image that already is what is to be made; without pairs"
    )
    shape_weight: float = Field(
        0.5,
        ge=0,
        description="of edges that are not where the source has them (normalised gradient fields, Haber and "
        "Modersitzki 2006); without pairs",
    )
    content_style: bool = Field(
        False,
        description="a content that both contrasts share and a style of each, drawn anew for each translation (MUNIT, "
        "Huang et al. 2018), in place of two U-Nets; without pairs",
    )
    style_size: int = Field(4, ge=1, description="numbers of a style, with content_style")
    task_loss: TaskLoss | None = Field(
        None, description="nothing then asks that a translation keeps what a segmenter marks"
    )
    learning_rate: float = Field(1e-3, gt=0, description="of Adam, for all networks")

    @model_validator(mode="after")
    def _features_need_a_discriminator(self) -> Self:
        if self.adversarial_weight == 0 and self.feature_weight > 0:
            raise ValueError(
                "feature_weight is of the discriminator's features: give adversarial_weight above 0"
            )
        return self


def _weights(options: TranslateGANOptions) -> tuple[GivenWeights, ...]:
    return () if options.task_loss is None else (options.task_loss.given,)


SMALL = TranslateGANOptions(channels=(4, 4, 8), critic_channels=4, critic_layers=2)

SPEC = FamilySpec(
    name="translate_gan",
    summary="one contrast from others of the patient, from pairs or without; sources may be missing",
    options=TranslateGANOptions,
    small=SMALL,
    supports=translation_in(2, 3),
    private=True,
    fastest={"cpu": "hooks"},
    weights=_weights,
    variants={
        "edges and features": SMALL.model_copy(update={"edge_weight": 0.5, "feature_weight": 0.5}),
    },
)

"""The family `candidates`: what it says of itself, and its options."""

from __future__ import annotations

from pydantic import Field

from fedgen.families.parts.moment_options import MomentOptions
from fedgen.families.parts.supported import image_of_class_in
from fedgen.families.spec import FamilySpec


class CandidatesOptions(MomentOptions):
    """Public images of a prior, chosen and labelled by one private sum of the classes' mean public features.

    The features are filter responses pooled over the image, which say whether something small is anywhere in it, and
    the image's coordinates in the prior's first components, which say what is large. The weights and the radius are
    to be chosen on public images, never on a study's patients.
    """

    latent_size: int = Field(8, ge=1, description="components of the prior among the features")
    confident: float = Field(
        0.6,
        gt=0,
        le=1,
        description="images of a class are drawn from this share of the candidates expected to be of it, the surest",
    )


SPEC = FamilySpec(
    name="candidates",
    summary="public images, chosen and labelled by one private sum: sees what is small and anywhere",
    options=CandidatesOptions,
    small=CandidatesOptions(latent_size=3),
    supports=image_of_class_in(2, 3),
    private=True,
    prior=True,
    needs_prior="it makes no image of its own, and chooses among the public images that a prior holds",
    sums=1,
)

"""The family `latent`: what it says of itself, and its options."""

from __future__ import annotations

from pydantic import Field

from fedgen.families.parts.supported import image_of_class_in
from fedgen.families.spec import FamilySpec
from fedgen.schema.section import Section


class LatentOptions(Section):
    """A Gaussian for each class in the latent space of a public prior, from one private sum.

    The three weights share out the norm of a patient's vector and are scaled to a norm of 1: what has more weight gets
    less noise. They and the radius are to be chosen on public images, never on a study's patients.
    """

    latent_size: int = Field(16, ge=1, description="d, dimensions of the latent space")
    radius: float = Field(
        1.0,
        gt=0,
        description="R: latents are clipped to the norm R sqrt(d), in standard deviations of the prior",
    )
    mean_weight: float = Field(0.7, gt=0, description="a1, of the classes' mean latents")
    share_weight: float = Field(0.3, gt=0, description="a2, of the classes' shares")
    moment_weight: float = Field(0.65, gt=0, description="a3, of the second moments")


SPEC = FamilySpec(
    name="latent",
    summary="class means and covariance in a public latent space: one private sum, for 50 to 200 patients",
    options=LatentOptions,
    small=LatentOptions(latent_size=4),
    supports=image_of_class_in(2, 3),
    private=True,
    prior=True,
    sums=1,
)

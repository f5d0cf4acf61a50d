"""The family `latent`: what it says of itself, and its options."""

from __future__ import annotations

from pydantic import Field

from fedgen.families.parts.moment_options import MomentOptions
from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec


class LatentOptions(MomentOptions):
    """A Gaussian for each class in the latent space of a public prior, from one private sum.

    The three weights share out the norm of a patient's vector and are scaled to a norm of 1: what has more weight gets
    less noise. They and the radius are to be chosen on public images, never on a study's patients.
    """

    latent_size: int = Field(16, ge=1, description="d, dimensions of the latent space")
    components: int = Field(
        1,
        ge=1,
        le=64,
        description="Gaussians a class, each about a public centre of its own: for large cohorts",
    )


SPEC = FamilySpec(
    name="latent",
    summary="class means in a public latent space: one private sum, for 50 to 200 patients",
    options=LatentOptions,
    # With all that can be asked for, so that the self-test looks at each of its bounds.
    small=LatentOptions(latent_size=4, moment_weight=0.65, components=2),
    supports=creation_in(2, 3),
    private=True,
    prior=True,
    sums=1,
)

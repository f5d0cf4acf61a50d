"""The family `candidates`: what it says of itself, and its options."""

from __future__ import annotations

from pydantic import Field

from fedgen.families.parts.moment_options import MomentOptions
from fedgen.families.parts.supported import creation_in
from fedgen.families.spec import FamilySpec
from fedgen.task.task import Task


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


def _chooses(task: Task) -> str | None:
    """Why the task gives nothing by which public images could be chosen; None where it does."""
    made = creation_in(2, 3)(task)
    if made is not None:
        return made
    if any(field.kind == "embedding" or 1 in field.parts for field in task.conditions):
        return "it chooses among public images by classes and values, and a number is neither"
    if not task.conditions:
        return "with nothing given there is nothing by which to choose among public images"
    return None


SPEC = FamilySpec(
    name="candidates",
    summary="public images, chosen and labelled by one private sum: sees what is small and anywhere",
    options=CandidatesOptions,
    small=CandidatesOptions(latent_size=3),
    supports=_chooses,
    private=True,
    prior=True,
    needs_prior="it makes no image of its own, and chooses among the public images that a prior holds",
    sums=1,
)

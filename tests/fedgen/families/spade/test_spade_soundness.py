"""Which norms of the family spade keep patients apart, by what they do."""

from __future__ import annotations

import pytest

from fedgen.families.spade.family import SpadeFamily
from fedgen.families.spade.options import SPEC, SpadeOptions
from fedgen.task.image_spec import ImageSpec
from fedgen.task.task import Field, pairs_of
from fedgen.training.backends import BACKENDS
from fedgen.training.soundness import unsound


def family_of(kind: str, norm: str) -> SpadeFamily:
    task = pairs_of(
        ImageSpec(channels=1, size=(16, 16)), ("lung", "heart"), Field("class", "class", classes=("a", "b"))
    )
    return SpadeFamily(
        task, SpadeOptions.model_validate({**SPEC.small.model_dump(), "kind": kind, "norm": norm})
    )


@pytest.mark.parametrize(("kind", "norm"), [("gan", "instance"), ("gan", "group"), ("diffusion", "instance")])
def test_norms_that_keep_patients_apart_are_sound(kind, norm) -> None:
    family = family_of(kind, norm)
    for backend in BACKENDS:
        assert unsound(family.contributions(), family.networks(), family.task, backend) is None


def test_batch_statistics_are_found_though_the_generator_is_not_what_is_trained() -> None:
    """The discriminator's loss reads fakes for the masks of all patients of a batch, normalised together."""
    family = family_of("gan", "batch")
    found = unsound(family.contributions(), family.networks(), family.task, "hooks")
    assert found is not None and found.objective == "discriminator"
    assert "BatchNorm" in found.sentence or "batch" in found.sentence

"""Tasks: what is made and given, as one stack of pictures and one vector of conditions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedgen.families.parts.conditioning import condition_of, drawn_fields, one_hot
from fedgen.families.registry import family_class, specs
from fedgen.task.image_spec import ImageSpec
from fedgen.task.records import one_image_each
from fedgen.task.stack import classes_of_mask, mask_channels, stacked, unstacked
from fedgen.task.task import Field, Task, image_of, image_of_class, pairs_of, translation

SPEC = ImageSpec(channels=1, size=(16, 16))
AGE_AND_SEX = Field("covariates", "covariates", parts=(1, 2))
EMBEDDING = Field("embedding", "embedding", parts=(4,))
CLASS = Field("class", "class", classes=("a", "b"))


def test_a_stack_is_all_that_is_made_and_comes_apart_again() -> None:
    task = pairs_of(SPEC, ("lung", "heart"), CLASS)
    assert task.stack.shape == (3, 16, 16)
    fields = {"image": torch.randn(2, 5, 1, 16, 16), "mask": torch.randn(2, 5, 2, 16, 16)}
    stack = stacked(task, fields)
    assert stack.shape == (2, 5, 3, 16, 16)
    for name, part in unstacked(task, stack).items():
        assert torch.equal(part, fields[name])


def test_pictures_of_different_grids_make_no_stack() -> None:
    other = Field("mask", "mask", ImageSpec(channels=1, size=(8, 8)), ("m",))
    with pytest.raises(ValueError, match="one grid"):
        _ = Task((Field("image", "image", SPEC), other)).stack


@given(st.integers(1, 4), st.sampled_from([(6, 5), (3, 4, 5)]))
def test_masks_survive_their_channels(classes: int, size: tuple[int, ...]) -> None:
    masks = torch.randint(classes + 1, (2, 1, *size), dtype=torch.uint8)
    assert torch.equal(classes_of_mask(mask_channels(masks, classes)), masks)


def test_a_condition_is_class_covariates_and_embedding_side_by_side() -> None:
    task = image_of(SPEC, CLASS, AGE_AND_SEX, EMBEDDING)
    assert task.condition_width == 2 + 3 + 4
    fields = {
        "class": torch.tensor([1, 0]),
        "covariates": torch.tensor([[0.5, 1, 0], [-1, 0, 1]]),
        "embedding": torch.eye(4)[:2],
    }
    condition = condition_of(task, fields, torch.zeros(2))
    assert condition[0].tolist() == [0, 1, 0.5, 1, 0, 1, 0, 0, 0]
    assert torch.equal(one_hot(torch.tensor([[1], [0]]), 2, torch.float32)[:, 0], condition[:, :2])


def test_nothing_given_is_a_condition_of_no_numbers() -> None:
    assert condition_of(image_of(SPEC), {}, torch.zeros(3, 2)).shape == (3, 2, 0)


def test_drawn_conditions_are_of_the_public_ranges() -> None:
    task = image_of(SPEC, CLASS, AGE_AND_SEX, EMBEDDING)
    drawn = drawn_fields(task, (400,), torch.Generator().manual_seed(0))
    assert set(drawn) == {"class", "covariates", "embedding"}
    age, sex = drawn["covariates"][:, 0], drawn["covariates"][:, 1:]
    assert -1 <= float(age.min()) < -0.9 < 0.9 < float(age.max()) <= 1
    assert torch.equal(sex.sum(dim=1), torch.ones(400))
    assert 150 < float(sex[:, 0].sum()) < 250
    assert torch.allclose(drawn["embedding"].norm(dim=1), torch.ones(400))


def test_a_translation_has_sources_and_groups() -> None:
    sources = {"T1w": SPEC, "T2w": SPEC}
    paired, apart = (translation(sources, ("FLAIR", SPEC), paired=both) for both in (True, False))
    assert [field.name for field in paired.sources] == ["T1w", "T2w"]
    assert (paired.translates, paired.paired, apart.paired) == (True, True, False)
    assert [field.group for field in (*apart.given, *apart.makes)] == ["T1w", "T2w", "FLAIR"]
    assert not image_of_class(SPEC, ("a",)).translates


TASKS = {
    "nothing": image_of(SPEC),
    "covariates": image_of(SPEC, AGE_AND_SEX),
    "embedding": image_of(SPEC, EMBEDDING),
    "pairs": pairs_of(SPEC, ("lung", "heart"), CLASS),
}


SUPPORTED = [
    (name, what)
    for name, spec in specs().items()
    for what, task in TASKS.items()
    if spec.supports(task) is None and not spec.needs_prior
]


def test_each_of_these_tasks_is_done_by_several_families() -> None:
    assert all([what for _, what in SUPPORTED].count(what) > 1 for what in TASKS)


@pytest.mark.parametrize(("name", "what"), SUPPORTED)
def test_families_draw_and_score_every_task_that_they_support(name: str, what: str) -> None:
    task, spec = TASKS[what], specs()[name]
    torch.manual_seed(0)
    family = family_class(name)(task, spec.small)
    networks = family.networks()
    rng = torch.Generator().manual_seed(1)
    given_fields = drawn_fields(task, (3,), rng)
    made = family.sample(networks, given_fields, 3, rng)
    assert made.shape == (3, *task.stack.shape)
    assert made.dtype == torch.float32
    assert float(made.abs().max()) <= 1
    records = one_image_each({**unstacked(task, made), **given_fields})
    assert family.score(networks, records, torch.Generator().manual_seed(2)).shape == (3,)

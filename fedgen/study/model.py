"""Section `model`: which family is trained, and the options of that family alone.

A file may hold a section for every family, so that `--set model.family=vae` turns a whole preset to another one. All
are checked; the study keeps the chosen family's, which nothing done to another can change: not its equality, its
text or its hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from fedgen.errors import StudyError
from fedgen.families.parts.adapter_options import Adapters
from fedgen.families.registry import FamilyName, specs
from fedgen.families.spec import GivenWeights
from fedgen.schema.section import Section


class PretrainedSection(Section):
    """Weights that training starts from, made from other data.

    `fedgen export` writes the file and these lines, and `fedgen import` of weights that others published.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the safetensors file, in hexadecimal")
    source: str = Field(
        pattern=r"^\S[^\n]*\S$",
        max_length=2000,
        description="what the weights were trained on, by which licence; every site reads it before it approves",
    )

    @property
    def words(self) -> str:
        """What they were trained on, for people."""
        return self.source


class PhantomPrior(Section):
    """A prior that this program makes itself, of pretend patients of no site, without their labels: no file is needed.

    They have a seed, and scanners, that no site of `data.phantom` has.
    """

    patients: int = Field(400, ge=20, le=100_000, description="pretend patients, with one image each")
    seed: int = Field(1000, ge=0, lt=2**31, description="of them; another one than `study.seed`")
    components: int = Field(32, ge=1, description="of the basis; fewer than patients")
    donors: int = Field(
        128,
        ge=0,
        description="images that lend their texture, or that may be drawn as they are; at most patients",
    )

    @model_validator(mode="after")
    def _enough_patients(self) -> Self:
        if self.components >= self.patients or self.donors > self.patients:
            raise ValueError(
                f"{self.patients} patients do not give {self.components} components and {self.donors} donors: there "
                "must be more patients than components, and as many as donors"
            )
        return self

    @property
    def source(self) -> str:
        """Of the images, for people."""
        made = f"{self.patients} procedural phantoms of the seed {self.seed}"
        return f"{made}, made by fedgen itself: no patient, no label"


class PriorSection(Section):
    """A public prior: in a file, of which `fedgen prior build` writes these lines, or made of phantoms.

    It needs either `sha256` and `source`, or `phantom`.
    """

    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="of the safetensors file, in hexadecimal"
    )
    source: str | None = Field(
        None,
        pattern=r"^\S[^\n]*\S$",
        max_length=2000,
        description="what the prior was made of, by which licence; every site reads it before it approves",
    )
    phantom: PhantomPrior | None = Field(None, description="the prior is in a file")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        named = (self.sha256 is not None, self.source is not None)
        if named != ((self.phantom is None),) * 2:
            raise ValueError(
                "prior needs either sha256 and source, of a file, or phantom, of which it is made: give one of the two"
            )
        return self

    @property
    def words(self) -> str:
        """What it was made of, for people."""
        return self.phantom.source if self.phantom is not None else str(self.source)


class ModelBase(Section):
    """The generative model."""

    pretrained: PretrainedSection | None = Field(
        None, description="training then starts from weights drawn from the study's seed"
    )
    prior: PriorSection | None = Field(
        None, description="a family that stands on a public prior then has one of no image"
    )
    adapters: Adapters | None = Field(None, description="all weights are then trained")
    family: FamilyName = Field(
        "diffusion",
        description="which family is trained; `fedgen models` lists them; `auto` takes what the plan recommends for so "
        "many patients, and a signed study names what that was",
    )
    chosen: str | None = Field(
        None,
        pattern=r"^\S[^\n]*\S$",
        max_length=2000,
        description="why this family: written where a file says `family: auto`",
    )

    @property
    def options(self) -> Section:
        """The chosen family's, of the type that its `FamilySpec` names."""
        return getattr(self, self.family)

    @property
    def start(self) -> PretrainedSection | PriorSection | None:
        """What there is before any patient is asked: weights or a prior; None where the study names neither."""
        return self.pretrained or self.prior

    @property
    def given_weights(self) -> tuple[GivenWeights, ...]:
        """Files of public weights that the losses read and never change, of which each machine is given its own."""
        return specs()[self.family].given_weights(self.options)

    @property
    def frozen(self) -> bool:
        """Whether the networks hold something of it which is never trained, and so never sent."""
        return self.adapters is not None or self.prior is not None

    @model_validator(mode="after")
    def _chosen_is_of_this_family(self) -> Self:
        if self.chosen is not None and not self.chosen.startswith(f"{self.family}, because "):
            raise ValueError(
                f'chosen must begin with "{self.family}, because ", or it is another family\'s reason: leave it out'
            )
        return self

    @model_validator(mode="after")
    def _a_prior_has_its_family(self) -> Self:
        family = specs()[self.family]
        if self.prior is not None and not family.stands(self.options):
            on_priors = ", ".join(spec.name for spec in specs().values() if spec.prior)
            how = " with these options" if family.prior_with else ""
            raise ValueError(
                f"prior is for a family that stands on one ({on_priors}), and {family.name} does not{how}: leave it out"
            )
        why = family.why_prior(self.options)
        if why and self.prior is None:
            raise ValueError(
                f"prior is missing, and {family.name} cannot do without one: {why}; name one that "
                "`fedgen prior build` makes, or one of phantoms"
            )
        if family.stands(self.options) and self.pretrained is not None:
            raise ValueError(
                f"pretrained is for a family that is trained on, and {family.name} keeps nothing of what was before: "
                "leave it out, or name a prior"
            )
        return self

    @model_validator(mode="after")
    def _frozen_weights(self) -> Self:
        if self.adapters is not None and self.pretrained is None:
            raise ValueError(
                "adapters need pretrained: they leave every other weight as it is, and a network frozen at random "
                "weights learns nothing"
            )
        return self

    @model_serializer(mode="wrap")
    def _chosen_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {
            key: value for key, value in handler(self).items() if key == self.family or key not in specs()
        }


def _keep_the_chosen(cls: type[ModelBase], value: Section | None, info: ValidationInfo) -> Section | None:
    """A family's options where it is the chosen one; of any other, nothing."""
    if info.field_name is None or info.field_name != info.data.get("family"):
        return None
    return specs()[info.field_name].options() if value is None else value


def _section_of(name: str) -> tuple[Any, Any]:
    if name in ModelBase.model_fields or hasattr(ModelBase, name):
        raise StudyError(f"A family cannot be named {name}, which model has already: rename its folder.")
    options = specs()[name].options
    what = f"Read where `model.family` is `{name}`; otherwise checked and left out."
    return options | None, Field(default_factory=options, validate_default=True, description=what)


if TYPE_CHECKING:
    ModelSection = ModelBase
else:
    ModelSection = create_model(
        "ModelSection",
        __base__=ModelBase,
        __doc__=ModelBase.__doc__,
        __validators__={"keep_the_chosen": field_validator(*specs(), mode="after")(_keep_the_chosen)},
        **{name: _section_of(name) for name in specs()},
    )

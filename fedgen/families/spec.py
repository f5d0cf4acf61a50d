"""What a family says of itself, readable without torch: the study file, a site's policy and the manual need no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fedgen.schema.section import Section
from fedgen.task.task import Task


@dataclass(frozen=True)
class GivenWeights:
    """A file of public weights that a loss reads and never changes; each machine that trains is given it once.

    Attributes:
        what: it is, in a sentence.
        sha256: of the file, which lies where `fedgen.run.given_file` says.
        source: what the weights were trained on, by which licence.
    """

    what: str
    sha256: str
    source: str


@dataclass(frozen=True)
class FamilySpec:
    """`SPEC` in a family folder's `options.py`.

    Attributes:
        name: the folder's name, and that of its section under `model`.
        summary: what it is and is good for, in a line.
        options: its section under `model`; every option has a default.
        small: options of networks small enough for a check, of the same layers as the real ones.
        supports: None for a task that the family can do, else why not, as the end of "does not suit the study: ...".
        private: whether it may be trained under differential privacy.
        why_not: where it may not, why.
        fastest: by type of torch device, the backend of per-record gradients that benchmarks/dp_step.py found faster,
            or of two that the machine's noise does not tell apart the one with less memory.
        prior: whether it stands on a public prior, of no image where the study names none.
        needs_prior: why it cannot do without one that the study names; empty where it can.
        prior_with: of a family that stands on a prior by some of its options alone, why these cannot do without one;
            empty for options that have none.
        weights: the files of public weights that its losses read with such options; None where none ever does.
        sums: of a family of statistics alone how many it has, each asked for once and of every patient, so that
            `training` has no say in how many rounds there are; 0 for a family that takes steps.
        variants: further options as small, by what differs, whose loss or networks a check should see; those that
            differ from `small` in one choice between words, or one switch, are seen without being named.
        systems: options as small with which the family is another system of the field, by the option that makes it so,
            such as "latent: prior"; each is a row of its own in the tables of the families.

    Raises:
        ValueError: `small`, a variant or a system is of another family, privacy is refused without a reason, or a prior
            is needed on which it does not stand.
    """

    name: str
    summary: str
    options: type[Section]
    small: Section
    supports: Callable[[Task], str | None]
    private: bool
    why_not: str = ""
    fastest: Mapping[str, Literal["vmap", "hooks"]] = field(default_factory=dict)
    prior: bool = False
    needs_prior: str = ""
    prior_with: Callable[[Any], str] | None = None
    weights: Callable[[Any], tuple[GivenWeights, ...]] | None = None
    sums: int = 0
    variants: Mapping[str, Section] = field(default_factory=dict)
    systems: Mapping[str, Section] = field(default_factory=dict)

    def __post_init__(self) -> None:
        every = (self.small, *self.variants.values(), *self.systems.values())
        if any(type(each) is not self.options for each in every):
            raise ValueError(
                f"small, variants and systems of the family {self.name} must be of {self.options.__name__}"
            )
        if self.private == bool(self.why_not):
            raise ValueError(
                f"why_not of the family {self.name} must say why it is not private, and only then"
            )
        if self.needs_prior and not self.prior:
            raise ValueError(f"the family {self.name} needs a prior, so that prior must be true")

    @property
    def rows(self) -> Mapping[str, Section]:
        """The family and its systems, as tables name them, with their options as small."""
        return {self.name: self.small, **{f"{self.name}, {how}": each for how, each in self.systems.items()}}

    def why_prior(self, options: Section) -> str:
        """Why a study with these options must name a public prior; empty where it need not."""
        return self.needs_prior or (self.prior_with(options) if self.prior_with else "")

    def stands(self, options: Section) -> bool:
        """Whether with these options it stands on a public prior."""
        return self.prior or bool(self.why_prior(options))

    def given_weights(self, options: Section) -> tuple[GivenWeights, ...]:
        """The files of public weights that losses with these options read."""
        return () if self.weights is None else self.weights(options)

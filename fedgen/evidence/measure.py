"""What a measure is: an audit, a metric or a downstream comparison of a release, in one file that nothing lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.open_model import OpenModel, Score
from fedgen.evidence.verdict import Undecided
from fedgen.priors.prior import Prior
from fedgen.run.evidence_files import Claim
from fedgen.run.row import Row
from fedgen.run.site_only import SiteOnly
from fedgen.study.data import Covariate
from fedgen.training.canary_images import Canaries

T = TypeVar("T")


class Real:
    """The patients of some sites, and what several measures compute of them, once.

    Attributes:
        sites: all parts of every site; at least one.
        classes: class names.
        mask_classes: names of the values 1, 2, ... of the masks that the study makes; empty where it makes none.
        covariates: what the study's columns of the patients are, by name, in the order of their numbers.
        prior: the public prior that the study stands on; None where it has none, or where it is not at hand.
    """

    def __init__(
        self,
        sites: Sequence[SiteData],
        mask_classes: Sequence[str] = (),
        *,
        covariates: Mapping[str, Covariate] | None = None,
        prior: Prior | None = None,
    ) -> None:
        self.sites = tuple(sites)
        self.classes = self.sites[0].classes
        self.mask_classes = tuple(mask_classes)
        self.covariates = dict(covariates or {})
        self.prior = prior
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gave the first time that something was asked for under this key."""
        if key not in self._known:
            self._known[key] = compute()
        found: T = self._known[key]
        return found


class AuditedModel(NamedTuple):
    """The model behind a release, as an attacker who has it knows it, and what its training promised.

    Attributes:
        attacks: by name, `loss` among them; empty where no model is at hand, which makes the verdict REVIEW at best.
        epsilon: claim under add/remove of one patient, the largest of all sites; None without DP.
        delta: the claim.
        inside: all of the model; None where no more than its attacks is at hand.
        canaries: of each site whose patients are looked at, where the study asks for them.
    """

    attacks: Mapping[str, Score]
    epsilon: float | None
    delta: float
    inside: OpenModel | None = None
    canaries: tuple[Canaries, ...] = ()


class Measure(ABC):
    """A measure, found by walking `audit/`, `metrics/` and `downstream/`.

    A subclass is a frozen dataclass with the one field `options`: the study's section `audit` for a file in `audit/`,
    its section `evaluation` for the others.

    Attributes:
        id: stable name.
        title: for people.
        order: place in the report, smaller first.
        of_images: whether it looks at released images, of which there are none where the release is a model.
        of_model: whether it attacks the model, of which there is none where nothing but images is audited.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int] = 100
    of_images: ClassVar[bool] = True
    of_model: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, options: Any) -> None:
        """With its section of the study."""

    @property
    def wanted(self) -> bool:
        """Whether the study asks for it at all."""
        return True

    def over_sites(self, row: Row, claim: Claim) -> Row | None:
        """What is judged anew of all sites' numbers together, from their joined row.

        The verdict of the row that comes back stands beside those of the sites, of which one that was INSUFFICIENT
        alone does not count any more. None where the sites' verdicts are all there is, as with most measures.

        Args:
            row: joined from the sites', with what each sent in `per_site`.
            claim: the largest of the sites.
        """
        return None

    @abstractmethod
    def measure(
        self, real: Real, made: LabelledImages, model: AuditedModel | None, seed: int
    ) -> Iterable[Row | Undecided | SiteOnly]:
        """The rows of this measure; the same arguments give the same rows on the same machine.

        A row's counts `n` say how many patients, images or pairs are behind its numbers: where too few are, or where
        it does not say, the numbers do not leave a site (`leave`). One whose verdict hangs on p-values is `Undecided`.
        What it finds of single patients or images, by number, is `SiteOnly`, which no row and no message holds.

        Args:
            real: the patients: of all sites in a simulation, of one site in a federation.
            made: the release, images (n, C, *size) float32 in [-1, 1].
            model: for audits; None elsewhere.
            seed: fixes every draw.
        """

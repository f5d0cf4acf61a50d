"""A simulation: the sites are virtual, and the data of all of them is on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from fedgen.data.cache.store import cache_folder
from fedgen.data.held_out import check_held_out
from fedgen.data.join_folders import common_folder, index_folders
from fedgen.data.prepare import Prepared, prepare_sites
from fedgen.data.site_data import LabelledImages, Part, SiteData
from fedgen.data.withdrawals import found_in
from fedgen.errors import DataError, StudyError
from fedgen.evidence.assess import assess_audit, assess_evaluation
from fedgen.evidence.assess_translation import assess_translation
from fedgen.evidence.audit.neighbours import nearest_neighbours
from fedgen.evidence.side_by_side import side_by_side
from fedgen.evidence.telling import Telling
from fedgen.federation.coordinator.aggregation import Aggregator
from fedgen.federation.exchange.contract import Exchange
from fedgen.federation.simulation.virtual_sites import reach_virtual_sites, virtual_aggregator
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import identity
from fedgen.pipeline.assessment import AUDIT, EVALUATION, RECEIPT, Assessor, asked_before
from fedgen.pipeline.model import audited_model, translating
from fedgen.pipeline.pretrained_start import given_start, origin_of, refuse_same_patients
from fedgen.pipeline.released import read_card
from fedgen.pipeline.setting import Pooled, Setting
from fedgen.pipeline.site_numbers import released
from fedgen.pipeline.sites_at_once import SitesAtOnce
from fedgen.pipeline.watch import Measured, unseen
from fedgen.pipeline.workspace import Workspace
from fedgen.planning.useless import refuse_useless
from fedgen.protocol.messages import Question
from fedgen.recipe import Recipe
from fedgen.report.pictures import Triple, draw_neighbours, draw_real_vs_synthetic
from fedgen.report.translations import draw_translations
from fedgen.run.events import AskedSite
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.site_only import write_site_only
from fedgen.run.source_file import SourceFile
from fedgen.run.summary import Parts, RunSummary, SiteEntry, Source
from fedgen.run_view import RunView
from fedgen.study.study import Study
from fedgen.training.canary_coins import check_share, kept_canaries
from fedgen.training.canary_images import Canaries
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Ledger

T = TypeVar("T")

NEIGHBOURS = 6


@dataclass(frozen=True)
class Simulation(Setting):
    """A run whose sites are all on this machine."""

    work: Workspace
    #: Whether somebody wants the run although nothing useful is to be expected of it.
    accepted: bool = False

    caveat = (
        "All sites of this simulation ran on one machine: the protocol ran in full, but nothing was hidden from "
        "whoever owns the machine."
    )

    @classmethod
    def create(
        cls,
        study: Study,
        source: Path | None,
        out: Path,
        pretrained: Path | None = None,
        *,
        accepted: bool = False,
        more: Sequence[Path] = (),
    ) -> Simulation:
        """A new run under `out`.

        Args:
            study: resolved.
            source: folder of images; None where the study generates them.
            out: folder of runs.
            pretrained: file of the weights that it starts from, where the study names some.
            accepted: whether it is wanted although nothing useful is to be expected of it.
            more: further folders of images, beside `source`.

        Raises:
            DataError, StudyError: a release beside other images; or as `Workspace.create` and `given_start`.
        """
        folders = () if source is None else (source, *more)
        if folders:
            common_folder(folders)
        cards = [card for card in map(read_card, folders) if card is not None]
        if cards and more:
            raise StudyError(
                "One of the folders of images is a release of synthetic images, which stands on the privacy of its own "
                "run: train on it alone."
            )
        work = Workspace.create(study, out, given_start(study, pretrained))
        SourceFile(
            source=None if source is None else str(source.absolute()),
            more=tuple(str(folder.absolute()) for folder in more),
            release=cards[0] if cards else None,
        ).write(work.run)
        return cls(work, accepted)

    @classmethod
    def open(cls, path: Path, *, accepted: bool = False) -> Simulation:
        """The simulation in a run folder.

        Raises:
            DataError: there is no run in that folder, or its patients are at the sites of a federation.
            StudyError: its study does not fit this version.
        """
        work = Workspace.open(path)
        summary = RunSummary.find(work.run)
        if summary is not None and summary.data is not None and summary.data.source == "federation":
            raise DataError(
                f"{path} is the run of a federation, whose patients are at its sites: only its coordinator goes on "
                "with it."
            )
        return cls(work, accepted)

    @property
    def folder(self) -> Path | None:
        """The folder of images the run was started with, None where the study generates them."""
        source = SourceFile.read(self.work.run).source
        return None if source is None else Path(source)

    @property
    def more(self) -> tuple[Path, ...]:
        """Further folders of images."""
        return tuple(Path(folder) for folder in SourceFile.read(self.work.run).more)

    @property
    def source(self) -> Source:
        """`phantom` where the study generates its data, `folder` where they were given."""
        return "phantom" if self.folder is None else "folder"

    @cached_property
    def data(self) -> Prepared:
        """The study's data: indexed, split, checked and decoded, or read back from the cache."""
        return self._prepared(None)

    @property
    def sites(self) -> Sequence[SiteData]:
        """All parts of every site."""
        return self.data.sites

    @property
    def shared_patients(self) -> int | None:
        """Patients seen at more than one site."""
        return self.data.shared_patients

    @property
    def findings(self) -> tuple[str, ...]:
        """What is odd about the data."""
        return tuple(finding.sentence for finding in self.data.findings)

    def prepare(self, progress: Callable[[int, int], None]) -> None:
        """Index, split, check and decode the data of all sites."""
        # A stage that asks for the data later finds them as if it had been the first to ask.
        vars(self)["data"] = self._prepared(progress)

    def _prepared(self, progress: Callable[[int, int], None] | None) -> Prepared:
        run = self.work.run
        return prepare_sites(self.work.study, self.folder, run.data, cache_folder(), progress, self.more)

    def count_patients(self, identities: Sequence[str]) -> int:
        """How many of these are of somebody in the data; no image is decoded for it.

        Raises:
            DataError: the data cannot be indexed.
        """
        first = self.folder or self.work.run.data / "phantom"
        return found_in(index_folders((first, *self.more), self.work.study.data), identities)

    def admit(self) -> None:
        """Refuse what a site would refuse, what is of no use, and a start that its patients are unprotected in."""
        study, run = self.work.study, self.work.run
        for site in self.sites:
            self.work.recipe.mechanism.admit(site.enrolled_patients, site.site)
            check_held_out(study, site.site, site.n_patients, site.part(Part.AUDIT).n_patients)
            check_share(study, site.site, site.enrolled_patients)
        refuse_same_patients(study, origin_of(run, study), self._names)
        refuse_useless(study, [site.enrolled_patients for site in self.sites], self.accepted)

    @property
    def _names(self) -> list[str]:
        return [site.site for site in self.sites]

    def aggregator(self) -> Aggregator:
        """The aggregator that the study asks for, over identities in the virtual sites' folders."""
        return virtual_aggregator(self.work.recipe, self._names, self.work.run)

    def reach(self, main: Callable[[Exchange], T]) -> T:
        """Through Flower's simulation, in which each site works from its own folder."""
        return reach_virtual_sites(self.work.recipe, self.sites, self.work.run, main)

    def assessors(self, task: Question, measured: Measured = unseen) -> Exchange:
        """In this process, as many sites at once as there are cores; each answers from its own data alone."""
        recipe, run = self.work.recipe, self.work.run
        virtual, telling = [], Telling()
        for data in self.sites:
            folder = run.site(data.site)
            if recipe.mechanism.evidence is None and asked_before(folder) not in (None, task.sha256):
                # A hospital answers one question a study. Nothing has left these sites, so a release that was drawn
                # anew may be assessed anew.
                shutil.rmtree(folder / "assessment")
            told = telling.through(partial(measured, data.site))
            leaves, own = frozenset({AUDIT, EVALUATION, RECEIPT}), identity(folder, data.site)
            assessor = Assessor(recipe, data, folder, leaves, progress=told, identity=own)
            virtual.append(Site(recipe, data, folder, assessor=assessor))
        return SitesAtOnce(virtual, telling)

    @property
    def keys(self) -> Mapping[str, bytes]:
        """Of identities that were made for this run, in the virtual sites' folders."""
        return {site: identity(self.work.run.site(site), site).public_key for site in self._names}

    @property
    def kept_keys(self) -> Mapping[str, bytes]:
        """Those of the sites that signed a receipt, as the run has them; no image is opened for it."""
        return {
            site: identity(self.work.run.site(site), site).public_key
            for site in RunView(self.work.run).receipts
        }

    def entries(self, sites: Sequence[AskedSite]) -> tuple[SiteEntry, ...]:
        """Every count of every site."""
        return tuple(_entry(site) for site in self.sites)

    def spends(self, bound: Mapping[str, Sequence[Spend]]) -> Mapping[str, Sequence[Spend]]:
        """As the sites' ledgers say of the training."""
        return {site: self._spent(site) for site in bound}

    def _spent(self, site: str) -> list[Spend]:
        recipe = self.work.recipe
        rows = [
            row for row in Ledger(self.work.run.site(site) / "ledger.jsonl") if row.study == recipe.sha256
        ]
        # What comes after the last round is the evidence.
        return [row.spend for row in rows if row.spend is not None and row.round <= recipe.rounds]

    def draw(self, made: LabelledImages) -> None:
        """Real images beside synthetic ones."""
        draw_real_vs_synthetic(self.work.run.figures, self.sites, made, self.work.study.data.classes)

    def _canaries(self) -> tuple[Canaries, ...]:
        """Of every site, from its own folder."""
        study, run, sha256 = self.work.study, self.work.run, self.work.recipe.sha256
        kept = (kept_canaries(study, sha256, site, run.site(site.site), begun=True) for site in self.sites)
        return tuple(each for each in kept if each is not None)

    def pooled(self, task: Question, measured: Measured = unseen) -> Pooled:
        """The measures on the patients of all sites together, and pictures: nearest neighbours, or made targets."""
        work, study, made = self.work, self.work.study, released(task)
        networks = work.networks(task.model)
        epsilon = PrivacyFile.read(work.run).epsilon
        model = audited_model(work.recipe, networks, study.training.device, epsilon)
        model = model._replace(canaries=self._canaries())
        told, keep = partial(measured, "all patients"), partial(write_site_only, work.run.path)
        if made is None:
            audit = assess_audit(study, self.sites, None, model, told, keep)
            how = translating(work.recipe, networks, study.training.device)
            draw_translations(work.run.figures, self.sites, how)
            return Pooled(audit, assess_translation(study, self.sites, how, told))
        prior = None if work.recipe.start is None else work.recipe.start.prior
        audit, evaluation = side_by_side(
            lambda told: assess_audit(study, self.sites, made, model, told, keep),
            lambda told: assess_evaluation(study, self.sites, made, told, keep, prior),
            told,
        )
        near = nearest_neighbours(made, self.sites, NEIGHBOURS)
        draw_neighbours(
            work.run.figures,
            [
                Triple(
                    synthetic=near.synthetic[i],
                    train=near.train[i],
                    held_out=near.held_out[i],
                    distance_train=float(near.train_distance[i]),
                    distance_held_out=float(near.held_out_distance[i]),
                    site=near.train_site[i],
                )
                for i in range(len(near.index))
            ],
        )
        return Pooled(audit, evaluation)


def _entry(site: SiteData) -> SiteEntry:
    train, audit, test = (site.part(part).n_patients for part in (Part.TRAIN, Part.AUDIT, Part.TEST))
    return SiteEntry(
        site=site.site,
        patients=site.n_patients,
        images=site.n_images,
        parts=Parts(train=train, audit=audit, test=test),
        classes={name: int((site.labels == label).sum()) for label, name in enumerate(site.classes)},
    )


def unfinished(study: Study, out: Path, *, accepted: bool = False) -> Simulation:
    """The newest run of this very study under `out` that is not done; `accepted` as for `Simulation.create`.

    Raises:
        DataError: there is none, or one that may be it is damaged or of another version of fedgen.
    """
    sha256, others = Recipe.of(study).sha256, 0
    for path in sorted(out.glob(f"{study.study.name}-*"), reverse=True):
        if not (path / "study.yaml").is_file() or not (path / RunSummary.name).is_file():
            continue
        found = Simulation.open(path, accepted=accepted)
        if found.work.recipe.sha256 != sha256:
            others += 1
        elif RunSummary.read(found.work.run).status != "done":
            return found
    hint = f" ({others} of another version of the study)" if others else ""
    raise DataError(f"There is no unfinished run of {study.study.name} under {out}{hint}: start a new one.")

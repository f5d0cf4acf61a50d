"""The stages, the same of a simulation and of a federation: each reads what earlier ones left in the run directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fedgen.federation.coordinator.aggregation import Aggregator
from fedgen.federation.coordinator.rounds import Trained
from fedgen.federation.coordinator.rounds import train as train_rounds
from fedgen.federation.exchange.contract import Exchange
from fedgen.pipeline.asked import Asking, spent
from fedgen.pipeline.entries import describe_aggregation, describe_model, versions
from fedgen.pipeline.gather import assess
from fedgen.pipeline.grid_record import joined_image
from fedgen.pipeline.model_release import release_model
from fedgen.pipeline.noting import Noting
from fedgen.pipeline.pretrained_start import origin_of, require_start, start_limits
from fedgen.pipeline.previews import Previews
from fedgen.pipeline.privacy import privacy_report
from fedgen.pipeline.release import GRID, draw_release
from fedgen.pipeline.setting import Setting
from fedgen.pipeline.watch import Watcher
from fedgen.pipeline.workspace import Workspace
from fedgen.planning.useless import useless
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AUDIT, EVALUATION
from fedgen.run.model_card import ModelCard
from fedgen.run.preview_file import preview_percent
from fedgen.run.privacy_file import PrivacyFile
from fedgen.run.summary import DataEntry, RunSummary, update_summary
from fedgen.task.task import Task
from fedgen.training.devices import require_study_device

Action = Callable[[Setting, Watcher], None]


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: as people and run.json know it.
        action: does it; may be called again.
        products: what it leaves once it is done, the last thing written among them; none for one that is never done.
        suits: whether a study with this task has it.
        packs: name of the stage whose products it packs, so that it is done again after it.
    """

    name: str
    action: Action
    products: tuple[str, ...] = ()
    suits: Callable[[Task], bool] = lambda task: True
    packs: str | None = None

    def done(self, run: RunDirectory) -> bool:
        """Whether the run has its products."""
        return bool(self.products) and all((run.path / product).exists() for product in self.products)


def _prepare(here: Setting, watcher: Watcher) -> None:
    here.prepare(watcher.images)


def _train(here: Setting, watcher: Watcher) -> None:
    work, asked = here.work, here.work.study.study
    update_summary(
        work.run,
        RunSummary(
            study=asked.name,
            seed=asked.seed,
            sites=here.entries(()),
            data=DataEntry(source=here.source, shared_patients=here.shared_patients),
            findings=here.findings,
            versions=versions(),
        ),
    )
    # A run is resumed on whatever machine, and the ledgers are charged from here on.
    work.recipe.require_sound()
    require_study_device(work.study.training.device)
    require_start(work.run, work.study)
    here.admit()
    aggregator = here.aggregator()

    previews = Previews(work, preview_percent(work.run))

    def rounds(exchange: Exchange) -> Trained:
        asking = Asking(Noting(exchange, work.run), work.run)
        return train_rounds(
            work.recipe,
            asking,
            aggregator,
            work.run,
            on_round=watcher.round,
            on_finishing=watcher.finishing,
            on_model=previews.after,
        )

    _record(here, here.reach(rounds), aggregator)


def _record(here: Setting, trained: Trained, aggregator: Aggregator) -> None:
    work, run, study = here.work, here.work.run, here.work.study
    sites, bound = spent(work.recipe, run, trained.sites, trained.checkpoint.round)
    limits = [*here.limits, *start_limits(origin_of(run, study), [site.site for site in sites])]
    told = privacy_report(work.recipe, sites, here.spends(bound), here.shared_patients, limits)
    image, unknown = joined_image(study, sites)
    expected = useless(study, [site.patients for site in sites])
    remarks = work.recipe.family.remarks(work.recipe.networks(trained.checkpoint.ema))
    update_summary(
        run,
        RunSummary(
            sites=here.entries(sites),
            findings=(*here.findings, *(() if expected is None else (f"{expected}.",)), *unknown, *remarks),
            image=image,
            rounds=trained.checkpoint.round,
            model=describe_model(work.recipe, trained.checkpoint),
            privacy=told.entry(),
            secure_aggregation=describe_aggregation(run, aggregator, trained.dropouts, here.caveat),
        ),
    )
    # Last, because its presence says that all of this is written.
    told.write(run)


def _synthesize(here: Setting, watcher: Watcher) -> None:
    draw_release(here.work, here.draw, watcher.images)


def _assess(here: Setting, watcher: Watcher) -> None:
    assess(here, watcher.measured)


def _release(here: Setting, watcher: Watcher) -> None:
    release_model(here.work)


def _report(here: Setting, watcher: Watcher) -> None:
    write_report(here.work.run)


PREPARE = Stage("prepare", _prepare)
TRAIN = Stage("train", _train, (PrivacyFile.name,))
SYNTHESIZE = Stage(
    "synthesize",
    _synthesize,
    ("samples/synthetic.safetensors", f"figures/{GRID}"),
    suits=lambda task: not task.translates,
)
ASSESS = Stage("assess", _assess, (AUDIT, EVALUATION))
#: Of a translation the release is the model, with its evidence.
RELEASE = Stage("release", _release, (ModelCard.name,), suits=lambda task: task.translates, packs=ASSESS.name)
REPORT = Stage("report", _report)

STAGES = (PREPARE, TRAIN, SYNTHESIZE, ASSESS, RELEASE, REPORT)


def stages_of(work: Workspace) -> tuple[Stage, ...]:
    """Those that the run's study has."""
    return tuple(stage for stage in STAGES if stage.suits(work.study.made))

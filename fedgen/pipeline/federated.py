"""The stages of a real federation after its rounds: the coordinator has no patient, so the sites audit and evaluate.

As in a simulation each stage is named by its product in the run directory, and a run stopped anywhere goes on at the
stage it was in. `fedgen.pipeline.assessment` is the sites' side.
"""

from __future__ import annotations

from collections.abc import Callable

from fedgen.errors import DataError
from fedgen.federation.coordinator.aggregation import Aggregator
from fedgen.federation.coordinator.rounds import Trained, train
from fedgen.federation.exchange.contract import Exchange
from fedgen.pipeline import privacy
from fedgen.pipeline.asked import Asking, spent
from fedgen.pipeline.gather import ASSESS_DEADLINE, assess
from fedgen.pipeline.grid_record import record_grid
from fedgen.pipeline.pretrained_start import origin_of, start_limits
from fedgen.pipeline.release import draw_release
from fedgen.pipeline.summary import describe_aggregation, describe_model, versions
from fedgen.pipeline.watch import Watcher, guarded, timed
from fedgen.pipeline.workspace import Workspace
from fedgen.report.page import write_report
from fedgen.report.pictures import SYNTHETIC, draw_synthetic
from fedgen.run.directory import RunDirectory
from fedgen.study.study import Study
from fedgen.synthesis.samples import read_samples
from fedgen.training.devices import require_study_device

SOURCE = "federation"
PRIVACY_LIMITS = (
    "The coordinator sees no ledger: it counts every round a site was asked for, at the noise and sampling rate the "
    "site stated, so a site's own ledger may hold less of this study.",
)
SILENT = Watcher(stage=lambda name: None, round=lambda report: None, sample=lambda done, total: None)


def run_federation(
    run: RunDirectory,
    study: Study,
    exchange: Exchange,
    aggregator: Aggregator,
    watcher: Watcher = SILENT,
    deadline: float = ASSESS_DEADLINE,
) -> None:
    """Train and finish; every stage that is done already is left alone.

    Raises:
        FedgenError: a stage failed; run.json says which, and a later call goes on from there.
        KeyboardInterrupt: likewise.
    """
    work = Workspace(run, study)
    trained = None
    if not recorded(run):
        with guarded(work):
            run.update_summary(study=study.study.name, seed=study.study.seed, data={"source": SOURCE})
            # The coordinator, too, works with the model on it, and the sites are charged from here on.
            require_study_device(study.training.device)
            watcher.stage("train")
            with timed(work, "train"):
                trained = train(work.recipe, Asking(exchange, run), aggregator, run, watcher.round)
    finish(run, study, exchange, trained, aggregator, watcher, deadline)


def recorded(run: RunDirectory) -> bool:
    """Whether training is over and written down, so that `finish` needs no `Trained`."""
    return (run.path / "privacy.json").exists()


def finish(
    run: RunDirectory,
    study: Study,
    exchange: Exchange,
    trained: Trained | None,
    aggregator: Aggregator,
    watcher: Watcher = SILENT,
    deadline: float = ASSESS_DEADLINE,
) -> None:
    """Record the training, synthesize, let the sites assess, report; the report is always written anew.

    Args:
        run: with `study.yaml`, checkpoints and events.
        study: the resolved study.
        exchange: reaches the sites by their names.
        trained: result of the training; None where it is `recorded` already.
        aggregator: as in training.
        watcher: told what goes on.
        deadline: seconds the sites have to assess.

    Raises:
        DataError: training is not recorded, and `trained` is None.
        FedgenError: a stage failed; run.json says which, and a later call goes on from there.
        KeyboardInterrupt: likewise.
    """
    work = Workspace(run, study)
    with guarded(work):
        if not recorded(run):
            if trained is None:
                raise DataError(f"{run.path} has not finished training: train it to its end first.")
            record_training(work, trained, aggregator)
        actions: list[tuple[str, tuple[str, ...], Callable[[], None]]] = [
            ("synthesize", ("samples/synthetic.safetensors",), lambda: synthesize(work, watcher)),
            ("assess", ("audit.json", "evaluation.json"), lambda: assess(work, exchange, deadline)),
        ]
        for name, products, action in actions:
            if not all((run.path / product).exists() for product in products):
                watcher.stage(name)
                with timed(work, name):
                    action()
        watcher.stage("report")
        with timed(work, "report"):
            report(work)
        run.update_summary(status="done")
        # Once more, so that the report shows the final status and its own time.
        report(work)
    run.event("done")


def record_training(work: Workspace, trained: Trained, aggregator: Aggregator) -> None:
    """Write privacy.json and the entries of run.json that training has a word in."""
    study, run, rounds = work.study, work.run, trained.checkpoint.round
    sites, ledgers = spent(work.recipe, run, trained.sites, rounds)
    limits = [*PRIVACY_LIMITS, *start_limits(origin_of(run, study), [site.site for site in sites])]
    told = privacy.privacy_report(work.recipe, sites, ledgers, None, limits)
    run.update_summary(
        study=study.study.name,
        seed=study.study.seed,
        sites=[{"site": site.site, "parts": {"train": site.patients}} for site in sites],
        versions=versions(),
        findings=record_grid(run, study, sites),
        data={"source": SOURCE},
        rounds=rounds,
        model=describe_model(study, trained.checkpoint),
        privacy=privacy.summary(told),
        secure_aggregation=describe_aggregation(run, aggregator, trained.dropouts),
    )
    # Last, because its presence says that all of this is written.
    run.write_json("privacy.json", told)


def synthesize(work: Workspace, watcher: Watcher = SILENT) -> None:
    """Draw the release from the averaged model; writes samples/ and its pictures."""
    synthetic = draw_release(work, work.networks(work.trained().ema), watcher.sample)
    draw_synthetic(work.run.figures, synthetic, work.study.data.labels)


def report(work: Workspace) -> None:
    """Write report.html from everything the other stages left; no picture in it shows a patient."""
    if not (work.run.figures / f"{SYNTHETIC}.json").is_file():
        draw_synthetic(work.run.figures, read_samples(work.run.samples), work.study.data.labels)
    write_report(work.run)

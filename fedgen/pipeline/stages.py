"""The stages: each reads what earlier ones left in the run directory, writes its own part, and can run again."""

from __future__ import annotations

from collections.abc import Callable

from fedgen.data.held_out import check_held_out
from fedgen.data.site_data import Part, SiteData
from fedgen.evidence.assess import assess_audit, assess_evaluation
from fedgen.evidence.audit.neighbours import nearest_neighbours
from fedgen.evidence.files import audit_file, evaluation_file
from fedgen.evidence.measure import AuditedModel
from fedgen.federation.coordinator.rounds import RoundReport
from fedgen.federation.simulation.simulate_training import simulate_training, virtual_aggregator
from fedgen.pipeline import privacy
from fedgen.pipeline.grid_record import record_grid
from fedgen.pipeline.model import membership_score
from fedgen.pipeline.pretrained_start import origin_of, refuse_same_patients, require_start, start_limits
from fedgen.pipeline.release import draw_release
from fedgen.pipeline.summary import (
    describe_aggregation,
    describe_audit,
    describe_evaluation,
    describe_model,
    versions,
)
from fedgen.pipeline.workspace import Workspace
from fedgen.report.page import write_report
from fedgen.report.pictures import Triple, draw_neighbours, draw_real_vs_synthetic
from fedgen.synthesis.samples import read_samples
from fedgen.training.devices import require_study_device
from fedgen_privacy.ledger import Ledger

NEIGHBOURS = 6
ONE_MACHINE = (
    "All sites of this simulation ran on one machine: the protocol ran in full, but nothing was hidden from whoever "
    "owns the machine."
)


def train(work: Workspace, on_round: Callable[[RoundReport], None] | None = None) -> None:
    """Federated training over virtual sites, from the newest checkpoint; writes privacy.json."""
    # A run is resumed on whatever machine, and the ledgers are charged from here on.
    require_study_device(work.study.training.device)
    study, run, sites = work.study, work.run, work.data.sites
    run.update_summary(
        sites=[describe_site(site) for site in sites],
        versions=versions(),
        findings=[finding.sentence for finding in work.data.findings],
        data={"source": work.source, "shared_patients": work.data.shared_patients},
    )
    require_start(run, study)
    mechanism = work.recipe.mechanism
    for site in sites:
        mechanism.admit(site.part(Part.TRAIN).n_patients, site.site)
        check_held_out(study, site.site, site.n_patients, site.part(Part.AUDIT).n_patients)
    names = [site.site for site in sites]
    origin = origin_of(run, study)
    refuse_same_patients(study, origin, names)
    aggregator = virtual_aggregator(work.recipe, names, run)
    trained = simulate_training(work.recipe, sites, run, aggregator, on_round)
    ledgers = {
        site.site: Ledger(run.site(site.site) / "ledger.jsonl").spends(work.recipe.sha256)
        for site in trained.sites
    }
    report = privacy.privacy_report(
        work.recipe, trained.sites, ledgers, work.data.shared_patients, start_limits(origin, names)
    )
    unknown = record_grid(run, study, trained.sites)
    run.update_summary(
        findings=[*(finding.sentence for finding in work.data.findings), *unknown],
        rounds=trained.checkpoint.round,
        model=describe_model(study, trained.checkpoint),
        privacy=privacy.summary(report),
        secure_aggregation=describe_aggregation(run, aggregator, trained.dropouts, caveat=ONE_MACHINE),
    )
    # Last, because its presence says that all of this is written.
    run.write_json("privacy.json", report)


def describe_site(site: SiteData) -> dict[str, object]:
    """A site's entry in run.json."""
    return {
        "site": site.site,
        "patients": site.n_patients,
        "images": site.n_images,
        "parts": {part.name.lower(): site.part(part).n_patients for part in Part},
        "classes": {name: int((site.labels == label).sum()) for label, name in enumerate(site.classes)},
    }


def synthesize(work: Workspace, progress: Callable[[int, int], None] | None = None) -> None:
    """Draw the synthetic set from the averaged model; writes samples/ and two figures."""
    networks = work.networks(work.trained().ema)
    synthetic = draw_release(work, networks, progress)
    draw_real_vs_synthetic(work.run.figures, work.data.sites, synthetic, work.study.data.labels)


def audit(work: Workspace) -> None:
    """Attack the model and the synthetic set; writes audit.json and the neighbours' figure."""
    study, run, sites = work.study, work.run, work.data.sites
    networks = work.networks(work.trained().ema)
    synthetic = read_samples(run.samples)
    score = membership_score(work.recipe.family, networks, study.training.device, study.study.seed)
    model = AuditedModel(score, run.read_json("privacy.json")["epsilon"], study.privacy.delta)
    file = audit_file(assess_audit(study, sites, synthetic, model))
    file.write(run)
    near = nearest_neighbours(synthetic, sites, NEIGHBOURS)
    draw_neighbours(
        run.figures,
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
    run.update_summary(audit=describe_audit(file))


def evaluate(work: Workspace) -> None:
    """Fidelity, diversity and downstream use; writes evaluation.json."""
    study, run = work.study, work.run
    synthetic = read_samples(run.samples)
    file = evaluation_file(assess_evaluation(study, work.data.sites, synthetic))
    file.write(run)
    run.update_summary(evaluation=describe_evaluation(file))


def report(work: Workspace) -> None:
    """Write report.html from everything the other stages left."""
    write_report(work.run)

"""The stages: each reads what earlier ones left in the run directory, writes its own part, and can run again."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import torch
from torch import Tensor

from fedgen.audit.neighbours import nearest_neighbours
from fedgen.audit.run import run_audit
from fedgen.data.index import read_index
from fedgen.data.site_data import Part, SiteData
from fedgen.evaluation import run_evaluation
from fedgen.federation.aggregation import Aggregator
from fedgen.federation.coordinator import RoundReport
from fedgen.federation.simulation import simulate_training, virtual_aggregator
from fedgen.pipeline import privacy
from fedgen.pipeline.workspace import Workspace
from fedgen.report.page import write_report
from fedgen.report.pictures import Triple, draw_neighbours, draw_real_vs_synthetic
from fedgen.run.directory import RunDirectory, write_atomic
from fedgen.study.show import study_hash
from fedgen.synthesis.grid import sample_grid
from fedgen.synthesis.samples import read_samples, write_samples
from fedgen.synthesis.synthesize import synthesize as draw_samples
from fedgen.training.plan import check_cohort
from fedgen.training.vector import vector_sha256
from fedgen_privacy.ledger import Ledger

PACKAGES = ("fedgen", "torch", "flwr", "opacus", "monai", "torchmetrics", "scikit-learn", "scipy", "numpy")
NEIGHBOURS = 6


def train(work: Workspace, on_round: Callable[[RoundReport], None] | None = None) -> None:
    """Federated training over virtual sites, from the newest checkpoint; writes privacy.json."""
    study, run, sites = work.study, work.run, work.data.sites
    run.update_summary(
        sites=[describe_site(site) for site in sites],
        versions={package: version(package) for package in PACKAGES},
        findings=[finding.sentence for finding in work.data.findings],
        data={"source": work.source, "shared_patients": work.data.shared_patients},
    )
    for site in sites:
        check_cohort(study, site.site, site.part(Part.TRAIN).n_patients)
    aggregator = virtual_aggregator(study, [site.site for site in sites], run)
    trained = simulate_training(study, sites, run, aggregator, on_round)
    ledgers = {
        site.site: Ledger(run.site(site.site) / "ledger.jsonl").spends(study_hash(study))
        for site in trained.sites
    }
    report = privacy.privacy_report(study, trained.sites, ledgers, work.data.shared_patients)
    run.write_json("privacy.json", report)
    run.update_summary(
        rounds=trained.checkpoint.round,
        model={
            "family": study.model.family,
            "parameters": trained.checkpoint.ema.shape[0],
            "sha256": vector_sha256(trained.checkpoint.ema),
        },
        privacy=privacy.summary(report),
        secure_aggregation=describe_aggregation(run, aggregator, trained.dropouts),
    )


def describe_aggregation(run: RunDirectory, aggregator: Aggregator, dropouts: int) -> dict[str, object]:
    """The `secure_aggregation` entry of run.json, from the events of all starts of the run."""
    rounds = run.read_events("round")
    secure = [event["secure"] for event in rounds if "secure" in event]
    simulated = (
        " All sites of this simulation ran on one machine: the protocol ran in full, but nothing was hidden from "
        "whoever owns the machine."
    )
    return {
        "enabled": aggregator.hides_updates,
        "protocol": aggregator.protocol,
        "dropouts": dropouts,
        "survivors": {str(event["round"]): event["sites"] for event in rounds},
        "aborts": [
            {"round": e["round"], **abort} for e in rounds for abort in e.get("secure", {}).get("aborts", [])
        ],
        "exchanges": [record["exchanges"] for record in secure],
        "bytes": {way: sum(record["bytes"][way] for record in secure) for way in ("to_sites", "from_sites")},
        "statement": aggregator.statement + (simulated if aggregator.hides_updates else ""),
    }


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
    study, run = work.study, work.run
    networks = work.networks(work.trained().ema)
    synthetic = draw_samples(
        work.family, networks, study.synthesis, study.data.labels, seed=study.study.seed, progress=progress
    )
    intensity = study.data.intensity
    write_samples(
        run.samples,
        synthetic,
        study.data.labels,
        study.synthesis.formats,
        window=(intensity.lower, intensity.upper),
        # Radiographs and DICOM slices show the patient's right side on the left; slices cut from RAS volumes do not.
        leftmost="L" if read_index(run.data / "index.json").layout == "bids" else "R",
    )
    grid = sample_grid(synthetic.images, synthetic.labels, study.data.labels)
    write_atomic(run.figures / "samples.png", grid)
    draw_real_vs_synthetic(run.figures, work.data.sites, synthetic, study.data.labels)


def audit(work: Workspace) -> None:
    """Attack the model and the synthetic set; writes audit.json and the neighbours' figure."""
    study, run, sites = work.study, work.run, work.data.sites
    networks = work.networks(work.trained().ema)
    synthetic = read_samples(run.samples)
    device = study.training.device

    def score(images: Tensor, labels: Tensor) -> Tensor:
        # The same noise for every image, so that differences between scores are differences between images.
        rng = torch.Generator().manual_seed(study.study.seed)
        with torch.no_grad():
            return work.family.membership_score(networks, images.to(device), labels.to(device), rng).cpu()

    epsilon = run.read_json("privacy.json")["epsilon"]
    result = run_audit(
        study.audit,
        sites,
        synthetic,
        score,
        epsilon=epsilon,
        delta=study.privacy.delta,
        seed=study.study.seed,
    ).to_json()
    run.write_json("audit.json", result)
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
    run.update_summary(audit={"verdict": result["verdict"], "reasons": result["reasons"]})


def evaluate(work: Workspace) -> None:
    """Fidelity, diversity and downstream use; writes evaluation.json."""
    study, run = work.study, work.run
    synthetic = read_samples(run.samples)
    result = run_evaluation(study.evaluation, work.data.sites, synthetic, seed=study.study.seed).to_json()
    run.write_json("evaluation.json", result)
    arms = {arm["arm"]: (arm["pooled"]["auroc"] or {}).get("value") for arm in result["downstream"]["arms"]}
    fidelity = {
        f"{row['metric']} {row['extractor']['name']}": {"value": row["value"], "floor": row["floor"]}
        for row in result["fidelity"]
    }
    run.update_summary(evaluation={"fidelity": fidelity, "auroc": arms})


def report(work: Workspace) -> None:
    """Write report.html from everything the other stages left."""
    write_report(work.run)

"""Entries of run.json that every kind of run has."""

from __future__ import annotations

from importlib.metadata import version

from fedgen.federation.coordinator.aggregation import Aggregator
from fedgen.run.checkpoint import Checkpoint
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditFile, EvaluationFile
from fedgen.study.study import Study
from fedgen.training.vector import vector_sha256

PACKAGES = ("fedgen", "torch", "flwr", "opacus", "monai", "torchmetrics", "scikit-learn", "scipy", "numpy")


def versions() -> dict[str, str]:
    """Of the packages that decide results."""
    return {package: version(package) for package in PACKAGES}


def describe_model(study: Study, checkpoint: Checkpoint) -> dict[str, object]:
    """The `model` entry: of the averaged weights, which are sampled from."""
    return {
        "family": study.model.family,
        "start": start_of(study),
        "adapters": None if study.model.adapters is None else study.model.adapters.model_dump(mode="json"),
        "parameters": checkpoint.ema.shape[0],
        "sha256": vector_sha256(checkpoint.ema),
    }


def start_of(study: Study) -> dict[str, str] | None:
    """The pretrained weights as the study names them; None where it starts from random ones."""
    start = study.model.pretrained
    return None if start is None else start.model_dump(mode="json")


def describe_aggregation(
    run: RunDirectory, aggregator: Aggregator, dropouts: int, *, caveat: str = ""
) -> dict[str, object]:
    """The `secure_aggregation` entry, from the events of all starts of the run.

    Args:
        run: the run.
        aggregator: how updates were joined.
        dropouts: sites missing from a round, summed over rounds.
        caveat: a sentence that limits what the aggregator states, where it hid updates.
    """
    rounds = run.read_events("round")
    secure = [event["secure"] for event in rounds if "secure" in event]
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
        "statement": f"{aggregator.statement} {caveat if aggregator.hides_updates else ''}".strip(),
    }


def describe_audit(file: AuditFile) -> dict[str, object]:
    """The `audit` entry."""
    return {"verdict": file.verdict.value, "reasons": list(file.reasons)}


def describe_evaluation(file: EvaluationFile) -> dict[str, dict[str, float | None]]:
    """The `evaluation` entry: each row's values by its id, or by id and site where they stay with their sites."""
    told: dict[str, dict[str, float | None]] = {}
    for row in file.rows:
        parts = (
            {row.id: row.values} if row.values else {f"{row.id}, {p.site}": p.values for p in row.per_site}
        )
        told |= {
            key: {value.name: value.value for value in values} for key, values in parts.items() if values
        }
    return told

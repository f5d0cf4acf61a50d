"""Entries of run.json that every kind of run has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version

from fedgen.federation.coordinator.aggregation import Aggregator
from fedgen.recipe import Recipe
from fedgen.run.checkpoint import Checkpoint
from fedgen.run.directory import RunDirectory
from fedgen.run.events import RoundDone, Traffic
from fedgen.run.evidence_files import AuditFile, EvaluationFile
from fedgen.run.row import Value
from fedgen.run.summary import AdaptersEntry, AggregationEntry, AuditEntry, ModelEntry, RoundAbort, Start
from fedgen.training.vector import vector_sha256

#: Stands for a site's name where the patients of all sites are meant.
ALL = "all sites"
PACKAGES = ("fedgen", "torch", "flwr", "opacus", "monai", "torchmetrics", "scikit-learn", "scipy", "numpy")


def versions() -> dict[str, str]:
    """Of the packages that decide results."""
    return {package: version(package) for package in PACKAGES}


def describe_model(recipe: Recipe, checkpoint: Checkpoint) -> ModelEntry:
    """The `model` entry: of the averaged weights, which are sampled from."""
    model = recipe.study.model
    adapters = model.adapters
    return ModelEntry(
        family=model.family,
        start=start_of(recipe),
        adapters=None if adapters is None else AdaptersEntry(**dict(adapters)),
        parameters=checkpoint.ema.shape[0],
        sha256=vector_sha256(checkpoint.ema),
    )


def start_of(recipe: Recipe) -> Start | None:
    """The pretrained weights or the prior that the study names or has made; None where it has none of them."""
    start, found = recipe.study.model.start, recipe.start
    if start is None:
        return None
    sha256 = start.sha256
    if sha256 is None and found is not None:
        sha256 = hashlib.sha256(found.content).hexdigest()
    return Start(sha256=sha256 or "", source=start.words)


def describe_aggregation(
    run: RunDirectory, aggregator: Aggregator, dropouts: int, caveat: str
) -> AggregationEntry:
    """The `secure_aggregation` entry, from the events of all starts of the run.

    Args:
        run: the run.
        aggregator: how updates were joined.
        dropouts: sites missing from a round, summed over rounds.
        caveat: a sentence that limits what the aggregator states, where it hid updates.
    """
    rounds = run.read_events(RoundDone)
    secure = [(done.round, done.secure) for done in rounds if done.secure is not None]
    return AggregationEntry(
        enabled=aggregator.hides_updates,
        protocol=aggregator.protocol,
        dropouts=dropouts,
        survivors={str(done.round): done.sites for done in rounds},
        aborts=tuple(RoundAbort(round=n, **dict(abort)) for n, record in secure for abort in record.aborts),
        exchanges=tuple(record.exchanges for _, record in secure),
        bytes=Traffic(
            to_sites=sum(record.bytes.to_sites for _, record in secure),
            from_sites=sum(record.bytes.from_sites for _, record in secure),
        ),
        statement=f"{aggregator.statement} {caveat if aggregator.hides_updates else ''}".strip(),
    )


def describe_audit(file: AuditFile) -> AuditEntry:
    """The `audit` entry."""
    return AuditEntry(verdict=file.verdict, reasons=file.reasons)


def describe_evaluation(file: EvaluationFile) -> dict[str, dict[str, float | None]]:
    """The `evaluation` entry: each row's values by its id, or by id and site where they stay with their sites."""
    told = {f"{row.id}, {ALL}": _named(row.values) for row in file.pooled if row.values}
    for row in file.rows:
        parts = (
            {row.id: row.values} if row.values else {f"{row.id}, {p.site}": p.values for p in row.per_site}
        )
        told |= {key: _named(values) for key, values in parts.items() if values}
    return told


def _named(values: Sequence[Value]) -> dict[str, float | None]:
    return {value.name: value.value for value in values}

"""Which command a reader runs to get a part of the report that is missing."""

from __future__ import annotations

from fedgen.report.evidence import Evidence

#: `data.source` of run.json where the sites keep their images.
FEDERATION = "federation"


def commands(evidence: Evidence) -> dict[str, str]:
    """Stage to the command that runs it: a federation is resumed as a whole, a simulation stage by stage."""
    stages = ("train", "synthesize", "audit", "evaluate")
    if federated(evidence):
        again = dict.fromkeys(stages, f"fedgen-server resume {evidence.name}")
    else:
        again = {stage: f"fedgen {stage} {evidence.name}" for stage in stages}
    return {**again, "report": f"fedgen report {evidence.name}"}


def federated(evidence: Evidence) -> bool:
    """Whether the run is one of a real federation."""
    return (evidence.run.get("data") or {}).get("source") == FEDERATION

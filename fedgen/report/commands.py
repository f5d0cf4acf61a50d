"""Which command a reader runs to get a part of the report that is missing."""

from __future__ import annotations

from fedgen.run_view import RunView


def commands(view: RunView) -> dict[str, str]:
    """Stage to the command that runs it: a federation is resumed as a whole, a simulation stage by stage."""
    stages = ("train", "synthesize", "audit", "evaluate")
    if view.federated:
        again = dict.fromkeys(stages, f"fedgen-server resume {view.name}")
    else:
        again = {stage: f"fedgen {stage} {view.name}" for stage in stages}
    return {**again, "report": f"fedgen report {view.name}"}

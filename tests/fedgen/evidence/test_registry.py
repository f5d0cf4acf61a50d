"""Which measures there are, and in which order the report has them; that one is one file: tests/extension."""

from __future__ import annotations

from fedgen.evidence.registry import AUDITS, METRICS, measures


def test_the_measures_are_those_in_the_folders_in_the_order_of_the_report() -> None:
    audits = [kind.id for kind in measures(*AUDITS)]
    assert audits[:3] == ["copy-detection", "data-copying", "blind-baseline"]
    assert {"model-membership", "release-membership"} <= set(audits)
    metrics = [kind.id for kind in measures(*METRICS)]
    assert [name for name in metrics if name in ("fidelity", "diversity", "downstream")] == [
        "fidelity",
        "diversity",
        "downstream",
    ]
    assert not set(audits) & set(metrics)

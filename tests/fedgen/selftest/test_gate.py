"""The gate of gradients walks every family, task, choice, backend and number of axes; and refusals pass it alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedgen.families.registry import specs
from fedgen.selftest import gate as gates
from fedgen.selftest.choices import variants
from fedgen.selftest.gate import choices_of, gate, tasks_of
from fedgen.selftest.subject import stepping_families
from fedgen.selftest.tasks import cells
from fedgen.training.backends import BACKENDS


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", stepping_families())
def test_every_task_and_every_choice_of_a_family_passes(family, backend) -> None:
    """Each patient's own gradient, clipped once."""
    found = [*gate(family, backends=(backend,))]
    assert [finding for finding in found if not finding.passed] == []
    asked = {finding.family for finding in found}
    assert {f"{family}, {cell.what} {cell.axes}D" for cell in cells(specs()[family])} <= asked


def test_it_walks_each_task_each_number_of_axes_and_each_choice() -> None:
    asked = {each.family for each in tasks_of("gan")}
    for what in ("class", "nothing", "covariates", "embedding", "pairs"):
        assert {f"gan, {what} 2D", f"gan, {what} 3D"} <= asked
    chosen = {each.family: each for each in choices_of("gan")}
    assert "gan, self_attention=True, class 2D" in chosen
    assert chosen["gan, loss=wasserstein, class 3D"].objectives[0].second_order, "a gradient penalty"


def test_options_that_a_family_names_are_walked_too() -> None:
    spec = specs()["vae"]
    named = replace(spec, variants={"flow": spec.small.model_copy(update={"iaf_steps": 2})})
    assert variants(named)["flow"].iaf_steps == 2
    assert {"prior=mixture", "prior=vamp"} <= set(variants(named))
    with pytest.raises(
        ValueError, match="small, variants and systems of the family vae must be of VAEOptions"
    ):
        replace(spec, variants={"other": specs()["gan"].small})


def test_a_choice_that_is_refused_is_found_refused_and_a_task_never(monkeypatch) -> None:
    """A codebook of moving averages is an option, and no private study may have it."""
    of_codebook = [each for each in choices_of("vq") if "codebook=ema" in each.family]
    monkeypatch.setattr(gates, "tasks_of", lambda family, device: iter(()))
    monkeypatch.setattr(gates, "choices_of", lambda family, device: iter(of_codebook))
    found = [*gate("vq")]
    assert len(found) == len(BACKENDS) * len(of_codebook) > 0
    for finding in found:
        assert finding.passed
        assert finding.sentence.startswith("refused under privacy: layer codebook")
    monkeypatch.setattr(gates, "tasks_of", lambda family, device: iter(of_codebook))
    assert not next(gate("vq")).passed

"""A measure is one file: put into a folder it is measured, leaves, is joined, written and shown."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.assess import assess_audit, assess_evaluation
from fedgen.evidence.files import audit_file, evaluation_file, joined_audit, joined_evaluation
from fedgen.evidence.leave import leaving_audit, leaving_evaluation
from fedgen.evidence.measure import AuditedModel
from fedgen.evidence.registry import AUDITS, METRICS, measures
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.row import Verdict
from fedgen.study.study import Study

METRIC = """
from dataclasses import dataclass
from fedgen.data.site_data import Part
from fedgen.evidence.measure import Measure
from fedgen.evidence.pooled import pooled
from fedgen.run.row import Row, Value
from fedgen.study.training import EvaluationSection

@dataclass(frozen=True)
class Brightness(Measure):
    id = "brightness"
    title = "Brightness"
    options: EvaluationSection

    def measure(self, real, made, model, seed):
        test = pooled(real, Part.TEST)
        far = float((test.images.mean() - made.images.mean()).abs())
        value = Value(name="distance of means", value=far, pool="mean", weight="test_patients")
        yield Row(id="brightness", title="Mean intensity", group="brightness", values=(value,),
                  n={"test_patients": test.n_patients}, about="How much brighter is one than the other?")
"""
AUDIT = """
from dataclasses import dataclass
from fedgen.evidence.audit.audited import usable
from fedgen.evidence.measure import Measure
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Row, Value, Verdict
from fedgen.study.training import AuditSection

@dataclass(frozen=True)
class Suspicion(Measure):
    id = "suspicion"
    title = "Suspicion"
    options: AuditSection

    def measure(self, real, made, model, seed):
        n = {"train_patients": sum(site.train.n_patients for site in usable(real))}
        row = Row(id=self.id, title=self.title, group="audit", values=(Value(name="p", value=0.0),), n=n)
        yield Undecided(row, "Calm.", (Hypothesis(0.0, Verdict.FAIL, "It smells of patients"),))
"""


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """`add(folder, name, source)`: a file more in a folder of measures."""
    made: list[str] = []

    def put(folder: str, name: str, source: str) -> None:
        package = importlib.import_module(f"fedgen.evidence.{folder}")
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.py").write_text("from __future__ import annotations\n" + source)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / folder)])
        made.append(f"fedgen.evidence.{folder}.{name}")

    yield put
    for name in made:
        sys.modules.pop(name, None)
        package, _, module = name.rpartition(".")
        if hasattr(sys.modules[package], module):
            delattr(sys.modules[package], module)


@pytest.fixture
def study() -> Study:
    return Study.model_validate(
        {
            "study": {"name": "t"},
            "evaluation": {"seeds": 1, "steps": 1, "bootstrap": 100, "extractors": ["random_conv"]},
            "audit": {"bootstrap": 100, "minimum_patients": 4},
        }
    )


MakeSite = Callable[..., SiteData]


def test_the_measures_are_those_in_the_folders_in_the_order_of_the_report() -> None:
    audits = [kind.id for kind in measures(*AUDITS)]
    assert audits[:3] == ["copy-detection", "data-copying", "blind-baseline"]
    assert {"model-membership", "release-membership"} <= set(audits)
    metrics = [kind.id for kind in measures(*METRICS)]
    assert metrics[:3] == ["fidelity", "diversity", "downstream"]
    assert not set(audits) & set(metrics)


def test_a_metric_is_one_file(
    add: Callable[[str, str, str], None],
    study: Study,
    make_site: MakeSite,
    make_synthetic: Callable[..., LabelledImages],
    tmp_path: Path,
) -> None:
    add("metrics", "brightness", METRIC)
    sites, made = [make_site("north"), make_site("south", patients=36, seed=1)], make_synthetic(20)
    # Of all patients together ...
    whole = evaluation_file(assess_evaluation(study, sites, made))
    assert [row.id for row in whole.rows][-1] == "brightness"
    # ... and of each site alone, joined.
    told = {site.site: leaving_evaluation(assess_evaluation(study, [site], made)) for site in sites}
    joined = joined_evaluation(study, told, {})
    (row,) = (row for row in joined.rows if row.id == "brightness")
    north, south = (part.values[0].value for part in row.per_site)
    assert north is not None and south is not None
    assert [part.n for part in row.per_site] == [{"test_patients": 8}, {"test_patients": 12}]
    assert row.values[0].value == pytest.approx((8 * north + 12 * south) / 20)
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.study.write_text("study: {name: t}\n")
    for file in (whole, joined):
        file.write(run)
        page = write_report(run).read_text()
        assert "<h2>Brightness</h2>" in page and "Mean intensity" in page and "distance of means" in page
        assert "How much brighter" in page


def test_an_audit_is_one_file_and_is_judged_with_the_others(
    add: Callable[[str, str, str], None],
    study: Study,
    make_site: MakeSite,
    make_synthetic: Callable[..., LabelledImages],
    tmp_path: Path,
) -> None:
    add("audit", "suspicion", AUDIT)
    site, made = make_site("north"), make_synthetic(20)
    found = assess_audit(study, [site], made, AuditedModel(None, None, 1e-5))
    whole = audit_file(found)
    assert whole.verdict is Verdict.FAIL
    assert whole.reasons[0] == "Suspicion: It smells of patients (corrected p = 0)."
    joined = joined_audit(study, {"north": leaving_audit(found, 4)}, {})
    assert joined.verdict is Verdict.FAIL
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.study.write_text("study: {name: t}\n")
    joined.write(run)
    assert "It smells of patients" in write_report(run).read_text()


def test_one_id_is_one_measure(add: Callable[[str, str, str], None]) -> None:
    add("metrics", "brightness", METRIC)
    add("downstream", "again", METRIC)
    with pytest.raises(ValueError, match="two measures have one id"):
        measures(*METRICS)

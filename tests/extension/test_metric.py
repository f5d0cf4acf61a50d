"""A metric is one file: put into its folder it is measured, leaves, is joined, written and shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.assess import assess_evaluation
from fedgen.evidence.files import joined_evaluation
from fedgen.evidence.leave import leaving_evaluation
from fedgen.evidence.registry import METRICS, measures
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import EvaluationFile
from fedgen.study.study import Study

KINDS = ("a metric",)
METRIC = """
from dataclasses import dataclass
from fedgen.data.site_data import Part
from fedgen.evidence.measure import Measure
from fedgen.evidence.pooled import pooled
from fedgen.run.row import Row, Value
from fedgen.study.evaluation_section import EvaluationSection

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

Add = Callable[[str, str, str], None]


@pytest.mark.slow
def test_a_metric_is_one_file(
    add: Add,
    tiny_study: Callable[..., Study],
    tiny_site: Callable[..., SiteData],
    made: LabelledImages,
    tmp_path: Path,
) -> None:
    add("fedgen.evidence.metrics", "brightness", METRIC)
    study = tiny_study(evaluation={"seeds": 1, "steps": 1, "bootstrap": 100, "extractors": ["random_conv"]})
    sites = [tiny_site("north", held_out=8), tiny_site("south", held_out=12)]
    # Of all patients together ...
    whole = EvaluationFile(**dict(assess_evaluation(study, sites, made)))
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


def test_one_id_is_one_measure(add: Add) -> None:
    add("fedgen.evidence.metrics", "brightness", METRIC)
    add("fedgen.evidence.downstream", "again", METRIC)
    with pytest.raises(ValueError, match="two measures have one id"):
        measures(*METRICS)

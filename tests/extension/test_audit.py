"""An audit is one file: put into its folder it is judged with the others, at a site and in a federation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fedgen.data.site_data import LabelledImages, SiteData
from fedgen.evidence.assess import assess_audit
from fedgen.evidence.files import joined_audit
from fedgen.evidence.leave import leaving_audit
from fedgen.evidence.measure import AuditedModel
from fedgen.evidence.verdict import overall
from fedgen.report.page import write_report
from fedgen.run.directory import RunDirectory
from fedgen.run.evidence_files import AuditFile
from fedgen.run.row import Verdict
from fedgen.study.study import Study

KINDS = ("an audit",)
AUDIT = """
from dataclasses import dataclass
from fedgen.evidence.audit.audited import usable
from fedgen.evidence.measure import Measure
from fedgen.evidence.verdict import Hypothesis, Undecided
from fedgen.run.row import Row, Value, Verdict
from fedgen.study.audit_section import AuditSection

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


def test_an_audit_is_one_file_and_is_judged_with_the_others(
    add: Callable[[str, str, str], None],
    tiny_study: Callable[..., Study],
    tiny_site: Callable[..., SiteData],
    made: LabelledImages,
    tmp_path: Path,
) -> None:
    add("fedgen.evidence.audit", "suspicion", AUDIT)
    study = tiny_study(audit={"bootstrap": 100, "minimum_patients": 4})
    site = tiny_site("north", held_out=8)
    found = assess_audit(study, [site], made, AuditedModel({}, None, 1e-5))
    verdict, reasons = overall(found.rows)
    whole = AuditFile(**dict(found), verdict=verdict, reasons=reasons)
    assert whole.verdict is Verdict.FAIL
    assert "Suspicion: It smells of patients (corrected p = 0)." in whole.reasons
    joined = joined_audit(study, {"north": leaving_audit(found, 4)}, {})
    assert joined.verdict is Verdict.FAIL
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.study.write_text("study: {name: t}\n")
    joined.write(run)
    assert "It smells of patients" in write_report(run).read_text()

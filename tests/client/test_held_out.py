"""A hospital without a patient for the audit says so before anything is charged."""

from __future__ import annotations

import pytest

from fedgen.errors import ExitCode
from fedgen.protocol.messages import Describe, Refusal
from fedgen.study.show import study_hash
from fedgen_client.checks.run import check
from fedgen_client.hospital import Hospital


@pytest.fixture(autouse=True)
def _quick(quick_plans: None) -> None:
    """Noise is calibrated once."""


def test_two_patients_are_refused_in_one_sentence(
    with_data, images, stub, secure_study, others, command, edit_site_file
) -> None:
    table = images / "metadata.csv"
    head, *rows = table.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    lines = [",".join([image, f"p{n % 2}", *rest]) for n, (image, _, *rest) in enumerate(cells)]
    table.write_text("\n".join([head, *lines]) + "\n")
    edit_site_file(with_data, ("minimum_cohort: 20", "minimum_cohort: 1"))
    study = secure_study()
    stub.offer(study, **others)
    codes = {
        line.code for line in check(with_data) if "has 2 patients and none of them is held out" in line.text
    }
    assert codes == {ExitCode.DATA}

    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    answer = Hospital(with_data).answer(Describe(study_sha256=study_hash(study), round=1))
    assert isinstance(answer, Refusal)
    assert answer.code is ExitCode.DATA
    assert not with_data.ledger("main").exists()

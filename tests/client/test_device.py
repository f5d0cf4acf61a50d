"""A hospital without the device it is to train on says so before it takes part, and tells others the kind alone."""

from __future__ import annotations

import pytest

from fedgen.errors import ExitCode
from fedgen.protocol.messages import Describe, Refusal, SiteDescription
from fedgen.study.show import study_hash
from fedgen_client.hospital import Hospital


@pytest.fixture(autouse=True)
def _every_test(quick_plans: None) -> None:
    """A site is planned once."""


def test_the_device_is_checked_before_the_site_describes_itself(
    with_data, stub, others, command, edit_site_file, secure_study
) -> None:
    study = secure_study(training={"device": "cuda:77"})
    stub.offer(study, **others)
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    hospital = Hospital(with_data)
    refused = hospital.answer(Describe(study_sha256=study_hash(study), round=1))
    assert isinstance(refused, Refusal)
    assert refused.code is ExitCode.INVALID
    assert refused.reason == "StudyError; the site's log has the reason"
    (event,) = hospital.told().events
    assert event["reason"].startswith(
        "The study's training.device asks for cuda:77, but this machine has cpu"
    )
    assert event["reason"].endswith("set runtime.device in the site file, such as to cpu.")
    assert not list(with_data.path.rglob("ledger*.jsonl"))

    edit_site_file(with_data, ("device: null", "device: cpu"))
    assert isinstance(hospital.answer(Describe(study_sha256=study_hash(study), round=1)), SiteDescription)

"""`fedgen-client check` finds each thing that would stop a study, and ends with the code of the worst."""

from __future__ import annotations

import shutil
from collections import namedtuple
from datetime import timedelta

import pytest

from fedgen.errors import ExitCode
from fedgen.families.registry import specs
from fedgen_client.checks.connection import connection_lines
from fedgen_client.checks.cost import seconds_per_step
from fedgen_client.checks.line import CheckLine, worst
from fedgen_client.checks.run import check
from fedgen_client.consent import approve, deny
from fedgen_client.studies import Studies
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Charge, Ledger


@pytest.fixture(autouse=True)
def _every_test(quick_plans: None) -> None:
    """A site is planned once."""


def found(folder) -> dict[str, list[CheckLine]]:
    lines: dict[str, list[CheckLine]] = {}
    for line in check(folder):
        lines.setdefault(line.about, []).append(line)
    return lines


def wrong(lines: dict[str, list[CheckLine]]) -> list[str]:
    return [line.about for group in lines.values() for line in group if not line.ok]


def texts(lines: list[CheckLine]) -> str:
    return " | ".join(line.text for line in lines)


def test_all_is_well(with_data, stub, secure_study, others) -> None:
    stub.offer(secure_study(), **others)
    before = {path for path in with_data.path.rglob("*") if path.is_file()}
    lines = found(with_data)
    assert wrong(lines) == []
    assert "36 patients, 36 images, no unreadable file" in texts(lines["cohort main"])
    assert "epsilon 0 of 10 spent" in texts(lines["ledger main"])
    assert "1 offered" in texts(lines["studies"])
    assert "active" in texts(lines["membership"])
    told = texts(lines["study tiny"])
    assert "not decided: read what it does with `fedgen-client approve" in told
    assert "36 patients with 36 images; 2" in told
    assert "brings epsilon of cohort main to" in told
    assert "a step on cpu" in told
    # It kept the offer and logged it, and spent nothing.
    made = {path for path in with_data.path.rglob("*") if path.is_file()} - before
    assert {path.name for path in made} == {"manifest.json"}


def test_a_wrong_site_file_ends_it(with_data, edit_site_file) -> None:
    edit_site_file(with_data, ("minimum_sites: 3 ", "minimum_sites: many "))
    (line,) = check(with_data)
    assert (line.about, line.code) == ("site file", ExitCode.INVALID)


def test_the_coordinator_is_away(with_data, stub) -> None:
    text = with_data.membership_file.read_text()
    with_data.membership_file.write_text(text.replace(stub.address, "127.0.0.1:1"))
    lines = found(with_data)
    assert wrong(lines) == ["coordinator"]
    assert "clock" not in lines
    assert lines["cohort main"][0].ok


def test_a_site_that_has_not_joined(with_data) -> None:
    with_data.membership_file.unlink()
    lines = found(with_data)
    assert wrong(lines) == ["membership"]
    assert "fedgen-client join TOKEN" in texts(lines["membership"])
    assert lines["cohort main"][0].ok


@pytest.mark.parametrize(
    ("ahead", "ok"),
    [(0, True), (3.0, True), (5.5, False), (-280, True), (-305, False), (86400, False)],
)
def test_the_clock(member, stub, ahead, ok) -> None:
    """Flower takes requests from at most 5 s in the future, and of the last 305 s."""
    stub.clock = timedelta(seconds=-ahead)
    lines = {line.about: line for line in connection_lines(member)}
    assert lines["clock"].ok == ok
    if not ok:
        assert ("ahead of" if ahead > 0 else "behind") in lines["clock"].text
        assert lines["clock"].code == ExitCode.FEDERATION


@pytest.mark.parametrize(
    ("version", "ok"), [("0.1.0", True), ("0.1.9", True), ("0.2.0", False), ("1", False)]
)
def test_the_version(member, stub, version, ok) -> None:
    stub.version = version
    lines = {line.about: line for line in connection_lines(member)}
    assert lines["version"].ok == ok


def test_a_removed_site(member, stub) -> None:
    stub.removed.add("north")
    lines = {line.about: line for line in connection_lines(member)}
    assert lines["membership"].code == ExitCode.FEDERATION
    assert "removed by the coordinator" in lines["membership"].text


def test_an_offer_that_is_not_signed_for_us(member, stub, secure_study, others) -> None:
    stub.offer(secure_study(), **others)
    stub.offered[0] = stub.offered[0].model_copy(update={"signature": "0" * 128})
    stub.offer(secure_study(study={"name": "good"}), **others)
    lines = {line.about: line for line in connection_lines(member)}
    assert lines["studies"].code == ExitCode.REFUSED
    # It hides no other.
    assert [study.name for study in Studies(member).all()] == ["good"]


def test_data_that_are_gone(with_data, images) -> None:
    shutil.rmtree(images)
    lines = found(with_data)
    assert wrong(lines) == ["cohort main"]
    assert lines["cohort main"][0].code == ExitCode.DATA


def test_files_that_cannot_be_read(with_data, images) -> None:
    (images / "3.png").write_bytes(b"not an image")
    (line,) = found(with_data)["cohort main"]
    assert line.code == ExitCode.DATA
    assert "1 unreadable file (3.png" in line.text


def test_a_cohort_that_is_too_small(with_data, edit_site_file, stub, secure_study, others) -> None:
    edit_site_file(with_data, ("minimum_cohort: 20", "minimum_cohort: 30"))
    stub.offer(secure_study(), **others)
    lines = found(with_data)
    # 36 patients are there, but not 30 of them train.
    assert wrong(lines) == ["study tiny"]
    assert "but policy.minimum_cohort asks for 30" in texts(lines["study tiny"])
    edit_site_file(with_data, ("minimum_cohort: 30", "minimum_cohort: 37"))
    assert wrong(found(with_data)) == ["cohort main", "study tiny"]


def test_labels_that_the_study_does_not_have(with_data, stub, secure_study, others) -> None:
    stub.offer(secure_study(data={"labels": ("none", "tumour")}), **others)
    lines = found(with_data)
    assert wrong(lines) == ["study tiny"]
    assert "data.labels" in texts(lines["study tiny"])


def test_a_full_disk(with_data, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("fedgen_client.checks.machine.shutil.disk_usage", lambda _: usage(10**12, 0, 10**9))
    lines = found(with_data)
    assert wrong(lines) == ["disk"]
    assert "1.0 GB free" in lines["disk"][0].text


def test_a_device_that_is_not_there(with_data, edit_site_file, stub, secure_study, others) -> None:
    edit_site_file(with_data, ("device: null", "device: cuda:77"))
    stub.offer(secure_study(), **others)
    lines = found(with_data)
    assert wrong(lines) == ["device", "study tiny"]
    assert lines["device"][0].code == ExitCode.INVALID
    assert lines["device"][0].text.startswith("runtime.device asks for cuda:77, but this machine has cpu")
    assert "a step cannot be taken on cuda:77" in texts(lines["study tiny"])


def test_a_key_that_others_can_read(with_data) -> None:
    with_data.node_key.chmod(0o644)
    lines = found(with_data)
    assert wrong(lines) == ["keys"]
    assert lines["keys"][0].code == ExitCode.REFUSED
    with_data.node_key.chmod(0o600)
    with_data.identity_key.chmod(0o644)
    assert "keys" in wrong(found(with_data))


def charge(folder, steps: int, study: str = "a" * 64) -> None:
    Ledger(folder.ledger("main")).charge(Charge(study, 1, "b" * 64, Spend(1.0, 0.1, steps)))


def test_a_study_that_does_not_fit_the_budget(with_data, stub, secure_study, others) -> None:
    stub.offer(secure_study(), **others)
    charge(with_data, 120)
    lines = found(with_data)
    assert lines["ledger main"][0].ok
    assert wrong(lines) == ["study tiny"]
    assert "above the 10 allowed" in texts(lines["study tiny"])


def test_a_budget_that_is_spent(with_data) -> None:
    charge(with_data, 5000)
    lines = found(with_data)
    assert wrong(lines) == ["ledger main"]
    assert "nothing is left" in lines["ledger main"][0].text


def test_a_damaged_ledger(with_data) -> None:
    charge(with_data, 10)
    path = with_data.ledger("main")
    path.write_text(path.read_text().replace("0.1", "0.2"))
    lines = found(with_data)
    assert wrong(lines) == ["ledger main"]
    assert lines["ledger main"][0].code == ExitCode.REFUSED


def test_what_the_policy_forbids_is_nothing_to_mend(with_data, stub, secure_study, others) -> None:
    stub.offer(secure_study(privacy={"epsilon": 30.0}), **others)
    lines = found(with_data)
    assert wrong(lines) == []
    assert "your policy forbids it: privacy.epsilon is 30" in texts(lines["study tiny"])


def test_an_approval_that_is_now_forbidden(with_data, stub, secure_study, others, edit_site_file) -> None:
    offered = Studies(with_data).keep(stub.offer(secure_study(), **others))
    approve(with_data, with_data.load_site_file(), offered, "main")
    lines = found(with_data)
    assert wrong(lines) == []
    assert "approved by" in texts(lines["study tiny"])
    edit_site_file(with_data, ("largest_study_epsilon: 10.0", "largest_study_epsilon: 1.0"))
    lines = found(with_data)
    assert wrong(lines) == ["study tiny"]
    assert lines["study tiny"][0].code == ExitCode.REFUSED


def test_a_denied_study_is_of_no_interest(with_data, stub, secure_study, others) -> None:
    deny(with_data, Studies(with_data).keep(stub.offer(secure_study(), **others)))
    assert "study tiny" not in found(with_data)


def test_the_worst_code_wins() -> None:
    codes = [ExitCode.DONE, ExitCode.FEDERATION, ExitCode.DATA, ExitCode.REFUSED, ExitCode.INVALID]
    lines = [CheckLine("x", "y", code) for code in codes]
    expected = [ExitCode.DONE, ExitCode.FEDERATION, ExitCode.DATA, ExitCode.REFUSED, ExitCode.INVALID]
    assert [worst(lines[: n + 1]) for n in range(len(lines))] == expected
    assert worst([]) == ExitCode.DONE


@pytest.mark.parametrize("family", specs())
@pytest.mark.parametrize("mode", ["local", "none"])
def test_a_step_is_timed_on_noise_for_every_family(secure_study, family, mode, tmp_path) -> None:
    assert seconds_per_step(secure_study(family, privacy={"mode": mode})) > 0

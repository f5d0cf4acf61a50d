"""The site's commands as a person types them, and what a process of them loads."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from fedgen.errors import DataError, FederationError, PrivacyRefusedError, StudyError
from fedgen.run.hints import speak_as
from fedgen.run.journal import Journal
from fedgen_client.approval import read_approval
from fedgen_client.cli.told_studies import ChecksTold, LedgersTold, StudiesTold
from fedgen_client.hints import COMMAND
from fedgen_privacy.accounting import Spend
from fedgen_privacy.ledger import Budget, Charge, Ledger

CLIENT = (sys.executable, "-c", "from fedgen_client.cli.main import run; run()")
HEAVY = ("torch", "opacus", "monai", "sklearn", "scipy", "flwr")
#: What `page` and `read` need, and nothing else does.
SERVING = ("uvicorn", "starlette", "fastapi", "jinja2")


def test_the_command_line_is_light() -> None:
    """The supervisor is this process, and must leave the memory to the worker."""
    code = f"import sys, fedgen_client.cli.main; print([m for m in {HEAVY + SERVING} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_links_of_the_page_do_not_wait_for_torch() -> None:
    code = f"import sys, fedgen_client.site_page.serve_site; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [("join",), ("studies",), ("deny", "tiny"), ("log",)])
def test_light_commands_stay_light(command, with_data, offered, stub, arguments) -> None:
    token = [stub.token()] if arguments == ("join",) else []
    code = (
        f"import sys\nfrom fedgen_client.cli.main import app\n"
        f"app({[*arguments, *token, '--folder', str(with_data.path)]}, standalone_mode=False)\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert command("studies", folder=with_data).exit_code == 0
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_every_command_has_help(command) -> None:
    from typer.testing import CliRunner

    from fedgen_client.cli.main import app

    result = CliRunner().invoke(app, [])
    for name in ("join", "check", "studies", "approve", "deny", "page", "read", "ledger", "log"):
        assert f" {name} " in result.output


def test_join_says_what_comes_next(command, folder, stub, images) -> None:
    result = command("join", stub.token(), folder=folder)
    assert result.exit_code == 0, result.output
    assert "Now north of the federation lungs." in result.output
    assert "write the folder of the images and your policy into" in result.output
    again = command("join", stub.token(), "--data", str(images), folder=folder)
    assert "Still north of the federation lungs." in again.output
    assert "is left alone: write the folder" in again.output
    assert str(images) not in folder.site_file.read_text()


def test_the_folder_can_come_from_the_environment(stub, folder, monkeypatch) -> None:
    from typer.testing import CliRunner

    from fedgen_client.cli.main import app

    monkeypatch.setenv("FEDGEN_SITE", str(folder.path))
    assert CliRunner().invoke(app, ["join", stub.token()]).exit_code == 0
    assert folder.membership_file.exists()


def test_studies_are_listed_with_what_was_decided(command, with_data, stub, others, secure_study) -> None:
    stub.offer(secure_study(), **others)
    stub.offer(secure_study(study={"name": "greedy"}, privacy={"epsilon": 40.0}), **others)
    shown = command("studies", folder=with_data)
    assert shown.exit_code == 0, shown.output
    assert "offered: read it with `fedgen-client approve" in shown.output
    assert "forbidden by policy: privacy.epsilon is 40" in shown.output
    assert command("approve", "tiny", "--yes", folder=with_data).exit_code == 0
    assert command("deny", "greedy", "--reason", "too much", folder=with_data).exit_code == 0
    shown = command("studies", folder=with_data).output
    assert "approved for cohort main by " in shown
    assert "(too much)" in shown


def test_studies_that_are_known_are_listed_while_the_coordinator_is_away(
    command, with_data, offered, stub
) -> None:
    assert command("studies", folder=with_data).exit_code == 0
    stub.answers["/fedgen/v1/studies"] = (503, b"")
    result = command("studies", folder=with_data)
    assert "tiny" in result.output
    assert isinstance(result.exception, FederationError)


def test_approve_shows_words_and_records(command, with_data, offered) -> None:
    result = command("approve", "tiny", "--yes", folder=with_data)
    assert result.exit_code == 0, result.output
    for word in (
        "who",
        "trains",
        "your data",
        "privacy",
        "each round",
        "hidden by",
        "your policy",
        "your ledger",
    ):
        assert f"\n{word} " in result.output
    assert "Approved for cohort main by " in result.output
    (study,) = with_data.studies.iterdir()
    assert read_approval(study).decision == "approved"
    events = [entry["event"] for entry in Journal(with_data.log).entries()]
    assert events == ["sent", "joined", "received", "approved"]


def test_nobody_to_ask_approves_nothing(command, with_data, offered) -> None:
    result = command("approve", "tiny", folder=with_data)
    assert isinstance(result.exception, StudyError)
    assert "add --yes" in str(result.exception)
    (study,) = with_data.studies.iterdir()
    assert read_approval(study) is None


def test_yes_does_not_overrule_the_policy(command, with_data, stub, others, secure_study) -> None:
    stub.offer(secure_study(privacy={"epsilon": 40.0}), **others)
    result = command("approve", "tiny", "--yes", folder=with_data)
    assert isinstance(result.exception, PrivacyRefusedError)
    assert "your policy  privacy.epsilon is 40" in result.output
    (study,) = with_data.studies.iterdir()
    assert read_approval(study) is None


@pytest.mark.parametrize(("typed", "decision"), [("y", "approved"), ("n", None), ("", None)])
def test_a_person_is_asked(command, with_data, offered, monkeypatch, typed, decision) -> None:
    monkeypatch.setattr("fedgen_client.cli.studies.somebody_is_there", lambda: True)
    result = command("approve", "tiny", folder=with_data, input=f"{typed}\n")
    assert "Approve tiny? [y/N]" in result.output
    (study,) = with_data.studies.iterdir()
    found = read_approval(study)
    assert (found and found.decision) == decision
    assert isinstance(result.exception, PrivacyRefusedError) == (decision is None)


@pytest.mark.slow
def test_a_person_is_asked_on_a_terminal(with_data, offered) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"y\n")
    done = subprocess.run(
        [*CLIENT, "approve", "tiny", "--folder", with_data.path],
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert "Approve tiny? [y/N]" in done.stdout
    assert done.returncode == 0, done.stderr
    (study,) = with_data.studies.iterdir()
    assert read_approval(study).decision == "approved"


def test_check_ends_with_the_worst_code(command, with_data, images, offered, quick_plans) -> None:
    result = command("check", folder=with_data)
    assert result.exit_code == 0, result.output
    assert result.output.count("\nok ") > 8
    assert "All is well" in result.output
    (images / "1.png").write_bytes(b"")
    result = command("check", folder=with_data)
    assert result.exit_code == 4
    assert "\nmend  cohort main: " in result.output
    with_data.identity_key.chmod(0o644)
    assert command("check", folder=with_data).exit_code == 3
    with_data.site_file.write_text("cohorts: {}")
    assert command("check", folder=with_data).exit_code == 2


def test_the_ledger(command, with_data, offered, edit_site_file) -> None:
    command("studies", folder=with_data)
    (study,) = (path.name for path in with_data.studies.iterdir())
    assert "main: epsilon 0 spent at delta 0.001 of 10, 10 left" in command("ledger", folder=with_data).output
    ledger = Ledger(with_data.ledger("main"))
    for number in (1, 2):
        ledger.charge(Charge(study, number, f"{number}" * 64, Spend(1.0, 0.1, 10)))
    ledger.charge(Charge("c" * 64, 1, "d" * 64, Spend(2.0, 0.1, 10)))
    result = command("ledger", folder=with_data)
    assert result.exit_code == 0, result.output
    assert f"tiny  {study[:12]}  2 rounds, epsilon " in result.output
    assert "a study no longer kept  cccccccccccc  1 round, epsilon " in result.output
    assert "left (ledger verified)" in result.output
    edit_site_file(with_data, ("maximum_epsilon: 10.0", "maximum_epsilon: null"), ("  main:", "  new:"))
    shown = command("ledger", folder=with_data).output
    assert "new: epsilon 0 spent at delta 0.001, NO LIMIT" in shown
    assert "main: epsilon " in shown
    assert "the site file has no such cohort any more" in shown


def test_a_damaged_ledger_ends_with_3_and_hides_no_other(command, with_data, edit_site_file) -> None:
    edit_site_file(with_data, ("\npolicy:", "  ct: {folder: /ct, maximum_epsilon: 1}\n\npolicy:"))
    Ledger(with_data.ledger("main")).charge(Charge("a" * 64, 1, "b" * 64, Spend(1.0, 0.1, 10)))
    text = with_data.ledger("main").read_text()
    with_data.ledger("main").write_text(text.replace('"steps": 10', '"steps": 1'))
    result = command("ledger", folder=with_data)
    assert isinstance(result.exception, PrivacyRefusedError)
    assert int(result.exception.exit_code) == 3
    assert "main: DAMAGED" in result.output
    assert "ct: epsilon 0 spent" in result.output


def test_the_ledger_can_be_read_without_a_federation(command, with_data) -> None:
    with_data.membership_file.unlink()
    assert command("ledger", folder=with_data).exit_code == 0


def test_the_log(command, with_data) -> None:
    shown = command("log", folder=with_data).output.splitlines()
    assert [line.split()[2] for line in shown] == ["sent", "joined"]
    values = [json.loads(line) for line in command("log", "--json", folder=with_data).output.splitlines()]
    assert values == list(Journal(with_data.log).entries())


def test_the_log_is_followed(with_data) -> None:
    process = subprocess.Popen(
        [*CLIENT, "log", "--follow", "--folder", with_data.path],
        stdout=subprocess.PIPE,
        text=True,
        # A shell makes what it runs in the background deaf to Ctrl-C, and so would it be here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for expected in ("sent", "joined"):
            assert expected in process.stdout.readline()
        Journal(with_data.log).write("received", kind="describe")
        read = []
        thread = threading.Thread(target=lambda: read.append(process.stdout.readline()), daemon=True)
        thread.start()
        thread.join(30)
        assert "kind describe" in read[0]
    finally:
        process.send_signal(2)
        assert process.wait(30) == 130
        process.stdout.close()


def test_errors_are_one_sentence_and_a_code(with_data, stub) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*CLIENT, *arguments], capture_output=True, text=True, check=False)

    done = run("approve", "absent", "--folder", str(with_data.path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fedgen-client: No study 'absent' is offered")
    done = run("studies", "--folder", str(with_data.path / "nowhere"))
    assert done.returncode == 2
    assert "does not exist: make one with `fedgen-client join TOKEN`" in done.stderr
    done = run("join", stub.token(secret="x" * 40), "--folder", str(with_data.path))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1


def test_no_folder_may_be_written(command, stub, folder, tmp_path) -> None:
    speak_as(COMMAND)
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = command("join", stub.token(), folder=type(folder)(blocked / "site"))
    assert isinstance(result.exception, DataError)
    assert "--folder" in str(result.exception)


def test_studies_as_json(command, with_data, stub, others, secure_study) -> None:
    stub.offer(secure_study(), **others)
    stub.offer(secure_study(study={"name": "greedy"}, privacy={"epsilon": 40.0}), **others)
    command("approve", "tiny", "--yes", folder=with_data)
    told = StudiesTold.model_validate_json(command("studies", "--json", folder=with_data).stdout)
    found = {study.name: study for study in told.studies}
    assert (found["tiny"].state, found["tiny"].cohort, found["tiny"].epsilon) == ("approved", "main", 8.0)
    assert found["greedy"].state == "forbidden" and "privacy.epsilon is 40" in found["greedy"].why
    assert told.out_of_date is None
    stub.answers["/fedgen/v1/studies"] = (503, b"")
    result = command("studies", "--json", folder=with_data)
    assert StudiesTold.model_validate_json(result.stdout).out_of_date
    assert isinstance(result.exception, FederationError)


def test_ledgers_as_json(command, with_data, edit_site_file) -> None:
    edit_site_file(with_data, ("\npolicy:", "  ct: {folder: /ct, maximum_epsilon: null}\n\npolicy:"))
    Ledger(with_data.ledger("ct")).charge(Charge("a" * 64, 1, "b" * 64, None))
    ledger = Ledger(with_data.ledger("main"))
    ledger.charge(Charge("a" * 64, 1, "b" * 64, Spend(1.0, 0.1, 10)))
    ledger.reserve("c" * 64, [Spend(2.0, 0.1, 5)], Budget(10.0, 1e-3))
    told = LedgersTold.model_validate_json(command("ledger", "--json", folder=with_data).stdout)
    main, ct = told.cohorts
    assert main.limit == 10.0 and main.bounded and 0 < main.spent < main.promised < 10
    assert main.left == 10.0 - main.promised
    assert [(study.rounds, study.kept_free is None) for study in main.studies] == [(1, True), (0, False)]
    # Work without privacy has no epsilon, and JSON no infinity.
    assert (ct.bounded, ct.spent, ct.limit) == (False, None, None)
    with_data.ledger("main").write_text("garbage\n")
    result = command("ledger", "--json", folder=with_data)
    assert int(result.exception.exit_code) == 3
    main, ct = LedgersTold.model_validate_json(result.stdout).cohorts
    assert main.damaged and main.spent is None and ct.damaged is None


def test_check_as_json(command, with_data, images, offered, quick_plans) -> None:
    (images / "1.png").write_bytes(b"")
    result = command("check", "--json", folder=with_data)
    told = ChecksTold.model_validate_json(result.stdout)
    assert (result.exit_code, told.code, told.ok) == (4, 4, False)
    wrong = {finding.about: finding.code for finding in told.findings if not finding.ok}
    assert wrong["cohort main"] == 4

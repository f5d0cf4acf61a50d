"""`fedgen-server` from the command line: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedgen.errors import StudyError
from fedgen.flower.state import open_state
from fedgen.flower.superlink import register_node
from fedgen.protocol.invitation import decode_invitation
from fedgen.protocol.spoken_key import spoken_key
from fedgen_server.cli.main import app
from fedgen_server.folder import Federation
from fedgen_server.sites import Member

REPO = Path(__file__).parents[2]
HEAVY = ["torch", "monai", "opacus", "flwr", "ray", "scipy", "fastapi"]
PROGRAM = f"""
import contextlib, io, json, sys
from fedgen_server.cli.main import run
found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["fedgen-server", *arguments]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            run()
        except SystemExit as left:
            loaded = [name for name in {HEAVY} if name in sys.modules]
            found.append([left.code or 0, loaded, said.getvalue()])
print(json.dumps(found), file=sys.stderr)
"""
#: Arguments of commands, their exit codes, and words of what they say on standard error.
LIGHT = [
    (("--help",), 0, ""),
    (("version",), 0, ""),
    (("sites",), 0, ""),
    (("invite", "south"), 0, "password"),
    (("invite", "a/b"), 2, "fedgen-server: A site cannot be called 'a/b'"),
    (("remove", "nobody"), 2, "fedgen-server: No site of the name 'nobody'"),
    (("init", "--name", "x", "--address", "a:1"), 2, "holds a federation already"),
    (("sites", "--folder", "nowhere"), 2, "nowhere/federation.yaml does not exist"),
    (("invite",), 2, "Missing argument"),
]


def call(*arguments: str):
    """Result of a command; an error that the shell would turn into a sentence is raised."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "federation"
    monkeypatch.setenv("FEDGEN_FEDERATION", str(path))
    call("init", "--name", "Lung net", "--address", "localhost:8443")
    return path


def test_init_says_what_was_made(tmp_path) -> None:
    shown = call(
        "init", str(tmp_path / "f"), "--name", "x", "--address", "a.example:443", "--port", "8443"
    ).stdout
    federation = Federation.open(tmp_path / "f")
    assert federation.config.port == 8443
    for part in (federation.ca_sha256, "a.example:443", "port 8443", "fedgen-server invite"):
        assert part in shown


def test_init_needs_all_of_a_given_certificate(tmp_path) -> None:
    with pytest.raises(StudyError, match="--certificate, --key and --ca"):
        call("init", str(tmp_path / "f"), "--name", "x", "--address", "a:1", "--ca", "ca.crt")


def test_invite_prints_the_token_alone(folder) -> None:
    result = call("invite", "St. Mary", "--hours", "2")
    invitation = decode_invitation(result.stdout)
    assert result.stdout == result.stdout.strip() + "\n"
    assert invitation.site == "St. Mary"
    assert invitation.ca_sha256 == Federation.open(folder).ca_sha256
    assert "St. Mary" in result.stderr and "fedgen-client join" in result.stderr
    assert invitation.secret not in result.stderr


def test_sites_and_remove(folder) -> None:
    assert "fedgen-server invite" in call("sites").stdout
    federation = Federation.open(folder)
    state = open_state(federation.paths.database)
    node = register_node(state, b"the node's key", "north")
    federation.sites.add(
        Member.model_validate_json(
            json.dumps(
                {
                    "name": "north",
                    "identity_key": "ab" * 32,
                    "node_key": "the node's key",
                    "node_id": node,
                    "joined": "2026-03-01T12:00:00Z",
                }
            )
        )
    )
    call("invite", "south")
    shown = call("sites").stdout
    assert (
        "north  member" in shown
        and spoken_key(bytes.fromhex("ab" * 32))[:17] in shown
        and "south  invited" in shown
    )
    told = json.loads(call("sites", "--json").stdout)
    assert [(one["site"], one["state"]) for one in told["sites"]] == [
        ("north", "member"),
        ("south", "invited"),
    ]
    own = spoken_key(federation.identity.public_key)
    assert f"coordinator: {own}" in call("fingerprint").stdout
    told = json.loads(call("fingerprint", "north", "--json").stdout)
    assert told == {
        "federation": "Lung net",
        "fingerprint": own,
        "sites": {"north": spoken_key(bytes.fromhex("ab" * 32))},
    }
    with pytest.raises(StudyError, match="no member"):
        call("fingerprint", "south")
    assert "Removed north" in call("remove", "north").stdout
    assert "north  removed" in call("sites").stdout
    assert open_state(federation.paths.database).get_node_id_by_public_key(b"the node's key") is None


def test_an_invitation_is_cancelled(folder) -> None:
    call("invite", "south")
    assert "void" in call("cancel", "south").stdout
    assert "south" not in call("sites").stdout
    with pytest.raises(StudyError, match=r"south has no invitation .*\(invited: nobody\)"):
        call("cancel", "south")
    assert '"event": "cancelled"' in (folder / "log.jsonl").read_text()


def test_the_federation_moves(folder) -> None:
    call("invite", "south")
    said = call("move", "new.example.org:9000").stdout
    assert "fedgen-client move new.example.org:9000" in said
    assert "invite south again" in said
    assert "new.example.org:9000" in call("status").stdout


def test_renew(folder) -> None:
    before = (folder / "server.crt").read_bytes()
    assert "start it again" in call("renew").stdout
    assert (folder / "server.crt").read_bytes() != before


def test_a_sentence_a_code_and_nothing_heavy(folder) -> None:
    """... of one real process that runs them all."""
    path = os.pathsep.join(str(REPO / part) for part in (".", "privacy", "server"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([arguments for arguments, _, _ in LIGHT])],
        env={**os.environ, "PYTHONPATH": path, "FEDGEN_FEDERATION": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    outcomes = json.loads(done.stderr.splitlines()[-1])
    for (arguments, code, words), (found, loaded, text) in zip(LIGHT, outcomes, strict=True):
        assert (arguments, found, loaded) == (arguments, code, [])
        assert words in text, arguments
        assert "Traceback" not in text, arguments


def test_what_the_server_loads_has_no_torch() -> None:
    program = (
        "import sys, fedgen_server.routes, fedgen_server.guard, fedgen_server.study_status\n"
        "assert not {'torch', 'opacus', 'monai'} & set(sys.modules)"
    )
    path = os.pathsep.join(str(REPO / part) for part in (".", "privacy", "server"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr

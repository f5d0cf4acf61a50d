"""federation.yaml is read as strictly as a study file."""

from __future__ import annotations

import pytest

from fedgen.errors import StudyError
from fedgen_server.config import FederationConfig, dump_config, load_config

CONFIG = FederationConfig(name="Lung net", address="fed.example.org:443", port=8443)


def problems(tmp_path, text: str) -> str:
    path = tmp_path / "federation.yaml"
    path.write_text(text)
    with pytest.raises(StudyError) as error:
        load_config(path)
    return str(error.value)


@pytest.mark.parametrize("changes", [{}, {"health_port": 9090, "certificate": "given", "name": "on"}])
def test_what_is_written_is_read(tmp_path, changes) -> None:
    config = CONFIG.model_copy(update=changes)
    (tmp_path / "federation.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "federation.yaml") == config


def test_every_key_is_explained() -> None:
    assert dump_config(CONFIG).count("# ") == len(FederationConfig.model_fields)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("port: 8443", "port: 0", "line 8: port must be at least 1, but is 0"),
        ("port: 8443", "port: '8443'", "line 8: port must be a whole number, but is '8443'"),
        ("port: 8443", "prot: 8443", "line 8: unknown key prot, did you mean port"),
        ("address: fed.example.org:443", "address: fed.example.org", "line 4: address: must be host:port"),
        ("certificate: own", "certificate: none", "line 14: certificate must be 'own' or 'given'"),
        ("message_bytes: 67108864", "message_bytes: 10", "line 10: message_bytes must be at least"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, old: str, new: str, words: str) -> None:
    text = dump_config(CONFIG)
    assert old in text
    assert f"federation.yaml, {words}" in problems(tmp_path, text.replace(old, new))


def test_an_empty_file_says_what_it_needs(tmp_path) -> None:
    assert "needs at least name, address and port" in problems(tmp_path, "# nothing\n")


def test_no_file_says_what_to_do(tmp_path) -> None:
    with pytest.raises(StudyError, match="fedgen-server init"):
        load_config(tmp_path / "federation.yaml")

"""`federation.yaml`: how a federation is called and where it is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, field_validator

from fedgen.protocol.fields import NAME_PATTERN, split_address
from fedgen.schema.document import Dumper, read_document
from fedgen.schema.form import Form
from fedgen.schema.read import read_text, validated
from fedgen.schema.section import Section

MEBIBYTE = 1024 * 1024


class FederationConfig(Section):
    """The federation file, every default filled in."""

    name: str = Field(pattern=NAME_PATTERN, description="what the federation is called")
    address: str = Field(description="host:port at which the sites reach this coordinator")
    host: str = Field("0.0.0.0", min_length=1, description="local address to listen on")
    port: int = Field(ge=1, le=65535, description="local port to listen on")
    message_bytes: int = Field(
        64 * MEBIBYTE, ge=MEBIBYTE, le=2**31 - 1, description="the longest body of one HTTP request"
    )
    health_port: int | None = Field(
        None, ge=1, le=65535, description="port of the gRPC health service on this machine, empty for none"
    )
    certificate: Literal["own", "given"] = Field(
        "own", description="own: of this folder's authority; given: of yours, renewed by you"
    )

    @field_validator("address")
    @classmethod
    def _reachable(cls, value: str) -> str:
        split_address(value)
        return value

    @property
    def public_host(self) -> str:
        """The host of `address`, for which the server's certificate is."""
        return split_address(self.address)[0]


FEDERATION_FILE = Form(FederationConfig, "name, address and port", "name: and address:")


def load_config(path: Path) -> FederationConfig:
    """Read a federation file.

    Raises:
        StudyError: everything that is wrong, one sentence a line, as for a study file.
    """
    text = read_text(path, str(path), "make a federation with `fedgen-server init`, or give its --folder")
    return validated(read_document(text, str(path), FEDERATION_FILE), FEDERATION_FILE)


def dump_config(config: FederationConfig) -> str:
    """The file's text, with a comment above each key; loading it gives an equal config."""
    lines = []
    for name, value in config.model_dump(mode="json").items():
        description = FederationConfig.model_fields[name].description
        lines += [f"# {description}", _entry(name, value)]
    return "".join(f"{line}\n" for line in lines)


def _entry(name: str, value: object) -> str:
    return yaml.dump({name: value}, Dumper=Dumper, allow_unicode=True, width=1000).rstrip("\n")

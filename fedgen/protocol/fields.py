"""What the documents that coordinator and sites exchange are made of: names, addresses, keys, hashes and times.

Everything here is light: a site's supervisor and a coordinator's server read these without loading torch.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

#: A letter or digit, then letters, digits, space, dot, underscore or hyphen: safe in files, headers and tables.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$"
_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\Z"
)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; an IPv6 host stands in brackets, and is returned without them.

    Raises:
        ValueError: it is not of that form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError("must be host:port, such as federation.example.org:8443")
    if host.startswith("[") and host.endswith("]"):
        ipaddress.IPv6Address(host[1:-1])
        return host[1:-1], int(port)
    if not _HOST.match(host):
        raise ValueError("must be host:port, with a host name or an IP address")
    if host.rpartition(".")[2].isdigit():
        ipaddress.IPv4Address(host)
    return host, int(port)


def _address(value: str) -> str:
    split_address(value)
    return value


def _utc(value: datetime) -> datetime:
    if value.utcoffset() != timedelta(0):
        raise ValueError("must be a time in UTC")
    return value


SiteName = Annotated[str, Field(pattern=NAME_PATTERN)]
Address = Annotated[str, AfterValidator(_address)]
#: 32 bytes as 64 lower-case hex digits: a SHA-256, or an Ed25519 public key.
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
#: 64 bytes: an Ed25519 signature.
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
UtcTime = Annotated[datetime, AfterValidator(_utc)]

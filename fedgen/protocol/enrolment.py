"""Requests and replies of the coordinator's routes beneath `/fedgen/v1/`, as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedgen.protocol.fields import Hex32, SiteName, UtcTime
from fedgen.protocol.manifest import SignedManifest
from fedgen.schema.section import Section

PREFIX = "/fedgen/v1"
#: No request beneath the prefix is longer.
MAX_REQUEST_BYTES = 64 * 1024


class JoinRequest(Section):
    """A site redeems its invitation.

    Attributes:
        site: the name it was invited under.
        secret: of the invitation.
        identity_key: its Ed25519 public key, which signs requests and rounds.
        node_key: its public key on Flower's Fleet API, a NIST curve, as PEM.
        fedgen: its version.
    """

    site: SiteName
    secret: str = Field(max_length=256, repr=False)
    identity_key: Hex32
    node_key: str = Field(max_length=4096)
    fedgen: str = Field(max_length=64)


class JoinReply(Section):
    """What a site keeps of its joining: the coordinator's Ed25519 key, and its own number on the Fleet API."""

    federation: str
    coordinator_key: Hex32
    site: SiteName
    node_id: int


class TimeReply(Section):
    """The coordinator's clock and version, for `fedgen-client check`."""

    time: UtcTime
    fedgen: str


class StudiesReply(Section):
    """The manifests that are offered to the asking site."""

    studies: list[SignedManifest]


class SiteReply(Section):
    """Whether the asking site is still a member."""

    site: SiteName
    active: bool


class StudyStatus(Section):
    """How far a study is.

    Attributes:
        name: of the study.
        study_sha256: its hash.
        state: `offered` before the first round, then as `status` of `run.json`.
        round: rounds finished.
        rounds: rounds asked for.
        sites: how many are on its roster.
    """

    name: str
    study_sha256: Hex32
    state: Literal["offered", "running", "done", "failed", "interrupted"]
    round: int
    rounds: int
    sites: int


class StatusReply(Section):
    """What a site may see of the federation: numbers, no names of other sites."""

    federation: str
    sites: int
    studies: list[StudyStatus]


class ErrorReply(Section):
    """Why a request was not answered: one sentence, and the exit code it stands for."""

    error: str
    code: int

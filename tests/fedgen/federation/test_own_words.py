"""What a person at a simulation reads when sites failed: the sentence and exit code of the first that did."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import torch

from fedgen.errors import DataError, ExitCode, FederationError
from fedgen.federation.coordinator.aggregation import TooFewSitesError
from fedgen.federation.simulation.own_words import SiteFailedError, in_its_own_words
from fedgen.federation.simulation.virtual_sites import VirtualSites
from fedgen_privacy.secagg import Phase, SecAggAborted

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ABORTS = [TooFewSitesError("2 of 3 sites."), SecAggAborted(Phase.MASK, "no masked vector came in time", ())]


@pytest.fixture
def sites(tmp_path):
    """Folders of three sites; `sites.log(name, seconds, event, ...)` appends to a site's log."""
    folders = {name: tmp_path / name for name in ("east", "north", "south")}
    for folder in folders.values():
        folder.mkdir()

    def log(name: str, seconds: float, event: str, **fields: object) -> None:
        line = {"time": (BEGUN + timedelta(seconds=seconds)).isoformat(), "event": event, **fields}
        with (folders[name] / "log.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")

    return folders, log


@pytest.mark.parametrize("abort", ABORTS, ids=["plain", "secure"])
def test_the_first_failure_is_told_with_its_own_code(sites, abort) -> None:
    folders, log = sites
    log("east", 3, "refused", reason="Another had failed.", code=5)
    log("south", 1, "update", round=1)
    log("south", 2, "refused", reason="The disk is full: free some space.", code=4)
    told = in_its_own_words(abort, folders, BEGUN)
    assert isinstance(told, SiteFailedError)
    assert str(told) == "Site south failed: The disk is full: free some space."
    assert told.exit_code is ExitCode.DATA
    assert told.__cause__ is abort


def test_a_defect_is_told_with_the_runs_code(sites) -> None:
    folders, log = sites
    log("north", 1, "failed", reason="RuntimeError: out of memory")
    told = in_its_own_words(ABORTS[0], folders, BEGUN)
    assert str(told) == "Site north failed: RuntimeError: out of memory"
    assert told.exit_code is ExitCode.FEDERATION


def test_what_was_overcome_is_not_told(sites) -> None:
    folders, log = sites
    log("east", -1, "refused", reason="The disk is full.", code=4)
    assert in_its_own_words(ABORTS[0], folders, BEGUN) is ABORTS[0]
    log("north", 1, "refused", reason="The ledger is damaged.", code=3)
    assert str(in_its_own_words(ABORTS[0], folders, BEGUN)) == "Site north failed: The ledger is damaged."


@pytest.mark.parametrize(
    "error", [FederationError("The model is not finite."), DataError("The disk is full.")]
)
def test_what_no_site_caused_stays(sites, error) -> None:
    folders, log = sites
    log("east", 1, "refused", reason="A dropout that the round bore.", code=4)
    assert in_its_own_words(error, folders, BEGUN) is error


def test_a_line_cut_off_by_a_crash_is_none(sites) -> None:
    folders, log = sites
    (folders["east"] / "log.jsonl").write_text('{"time": "2026-01-01T00:00:0')
    log("north", 1, "refused", reason="The ledger is damaged.", code=3)
    assert str(in_its_own_words(ABORTS[0], folders, BEGUN)) == "Site north failed: The ledger is damaged."


def test_a_site_that_cannot_even_be_made_is_told(sites, tiny_study) -> None:
    folders, _ = sites
    virtual = VirtualSites(
        tiny_study(), tuple(folders.values()), torch.get_num_threads(), folders["east"] / "none"
    )
    with pytest.raises(DataError, match=r"site\.safetensors"):
        virtual(SimpleNamespace(node_config={"partition-id": 1}))
    told = in_its_own_words(ABORTS[0], folders, BEGUN)
    assert str(told).startswith("Site north failed: ")
    assert "site.safetensors" in str(told)
    assert told.exit_code is ExitCode.DATA

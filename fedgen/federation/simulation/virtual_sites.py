"""The whole federation on one machine: Flower's Ray simulation around the real ClientApp and ServerApp."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import torch

from fedgen.data.site_data import Part, SiteData
from fedgen.data.site_tensors import read_site, write_site
from fedgen.errors import FederationError, FedgenError
from fedgen.federation.coordinator.aggregation import Aggregator, PlainAggregator
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.contract import Exchange
from fedgen.federation.exchange.flower import FlowerExchange, client_app, server_app
from fedgen.federation.simulation.engine import Context, ray_engine, run_simulation
from fedgen.federation.simulation.engine_ahead import workers_for
from fedgen.federation.simulation.keyholders import RemoteKeyholder, start_keyholders
from fedgen.federation.simulation.own_words import in_its_own_words, noting_failure
from fedgen.federation.site.site import Site
from fedgen.federation.terms.provision import identity, roster
from fedgen.recipe import Recipe
from fedgen.run.directory import RunDirectory
from fedgen.run.events import RoundDone
from fedgen.run.hints import Hints, hints, speak_as
from fedgen.run.signals import stopping
from fedgen.study.study import Study

T = TypeVar("T")

CONNECT_DEADLINE = 120.0

# Sites this worker process has already loaded: Ray keeps its workers warm, so each loads a site once.
_loaded: dict[Path, Site] = {}


@dataclass(frozen=True)
class VirtualSites:
    """Finds the site behind a virtual node; what Ray ships to its workers, so it holds paths, not tensors."""

    study: Study
    folders: tuple[Path, ...]
    threads: int
    pretrained: Path
    words: Hints = field(default_factory=hints)

    def __call__(self, context: Context) -> Site:
        """The site of this node's partition."""
        speak_as(self.words)
        folder = self.folders[int(context.node_config["partition-id"])]
        if folder not in _loaded:
            torch.set_num_threads(self.threads)
            with noting_failure(folder):
                data = read_site(folder / "site.safetensors")
                recipe = Recipe.of(self.study).on_frozen(self.pretrained)
                _loaded[folder] = Site(
                    recipe, data, folder, RemoteKeyholder(data.site), roster_size=len(self.folders)
                )
        return _loaded[folder]


def virtual_aggregator(recipe: Recipe, sites: Sequence[str], run: RunDirectory) -> Aggregator:
    """The aggregator that the study asks for, over identities kept in the virtual sites' folders."""
    if not recipe.study.aggregation.secure:
        return PlainAggregator(recipe.mechanism.vector.length)
    return SecureAggregator(recipe, roster({site: run.site(site) for site in sites}))


def _hold_keys(recipe: Recipe, folders: Mapping[str, Path]) -> object:
    """The virtual sites' keyholders, where the study needs them; they live as long as what is returned."""
    if not recipe.study.aggregation.secure:
        return None
    identities = {site: identity(folder, site) for site, folder in folders.items()}
    return start_keyholders(
        {site: found.private_bytes() for site, found in identities.items()},
        {site: found.public_key for site, found in identities.items()},
        recipe.parameters(len(folders)),
        bytes.fromhex(recipe.sha256),
        folders,
    )


def reach_virtual_sites(
    recipe: Recipe, sites: Sequence[SiteData], run: RunDirectory, main: Callable[[Exchange], T]
) -> T:
    """What `main` makes of an exchange that reaches virtual sites; each works only from its folder under `run.sites`.

    Raises:
        FedgenError: as `main`; where too few sites took part, what the first that failed said itself.
        KeyboardInterrupt: after a clean stop; the run can be resumed.
    """
    study = recipe.study
    for site in sites:
        folder = run.site(site.site)
        # Anew where somebody has withdrawn: their images must not lie there for a worker to read.
        if site.enrolled is not None or not (folder / "site.safetensors").exists():
            write_site(folder / "site.safetensors", site.part(Part.TRAIN))
    cores = os.cpu_count() or 1
    parallel = workers_for(len(sites))
    virtual = VirtualSites(
        study,
        tuple(run.site(s.site).absolute() for s in sites),
        max(1, cores // parallel),
        run.pretrained.absolute(),
    )
    gpu = torch.cuda.is_available() and study.training.device.startswith("cuda")
    made: list[T] = []
    failed: list[BaseException] = []
    stop = threading.Event()
    begun = datetime.now(UTC)

    def inside(exchange: FlowerExchange) -> None:
        try:
            made.append(main(exchange))
        except BaseException as error:
            failed.append(error)

    folders = {site.site: run.site(site.site).absolute() for site in sites}
    with _quiet_flower(stop), ray_engine(parallel), stopping(stop):
        keyholders = _hold_keys(recipe, folders)
        run_simulation(
            server_app=server_app(inside, len(sites), CONNECT_DEADLINE, stop),
            client_app=client_app(virtual),
            num_supernodes=len(sites),
            backend_config={
                "client_resources": {"num_cpus": 1, "num_gpus": 1 / parallel if gpu else 0.0},
            },
        )
        del keyholders
    for error in failed:
        if isinstance(error, FedgenError):
            raise in_its_own_words(error, folders, _last_round(run, begun))
        raise error
    if not made:
        raise FederationError(
            f"Flower's simulation ended before training began: see what it wrote, then {hints().again}."
        )
    return made[0]


def _last_round(run: RunDirectory, begun: datetime) -> datetime:
    """When the last round ended, or `begun` where none has since: what failed before has been overcome."""
    ended = [datetime.fromisoformat(done.time) for done in run.read_events(RoundDone)]
    return max([begun, *ended])


@contextlib.contextmanager
def _quiet_flower(stop: threading.Event) -> Iterator[None]:
    # Flower's own log lines would tear the progress bar; its errors stay, but for those of a run that is being
    # stopped: killed workers are no news then.
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)

    def wanted(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR and not stop.is_set()

    logger.addFilter(wanted)
    try:
        yield
    finally:
        # The filter stays: Flower's threads may have a last word after its call has returned.
        logger.setLevel(before)

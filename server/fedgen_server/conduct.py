"""A study of a real federation, from the signed manifest to the report: the process behind `run` and `resume`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from fedgen.errors import FederationError, StudyError
from fedgen.federation.coordinator.aggregation import Aggregator, PlainAggregator
from fedgen.federation.coordinator.secure import SecureAggregator
from fedgen.federation.exchange.contract import Exchange, ask
from fedgen.flower.link import Link, LinkLostError
from fedgen.pipeline.federation import FederationSetting
from fedgen.pipeline.pretrained_start import given_start, refuse_same_patients
from fedgen.pipeline.runner import run_stages
from fedgen.pipeline.stages import TRAIN
from fedgen.pipeline.watch import Watcher, guarded
from fedgen.pipeline.workspace import Workspace
from fedgen.planning.useless import refuse_useless
from fedgen.protocol.manifest import manifest_of, sign_manifest
from fedgen.protocol.messages import Describe, Refusal, SiteDescription
from fedgen.recipe import Recipe
from fedgen.run.checkpoint import latest_checkpoint
from fedgen.run.directory import RunDirectory
from fedgen.run.events import LinkLost, Waiting
from fedgen.run.hints import hints
from fedgen.run.memory import return_large_buffers
from fedgen.run.signals import stopping
from fedgen.study.study import Study
from fedgen.training.devices import require_study_device
from fedgen_privacy.secagg import Roster
from fedgen_server.conduct_lock import conducting
from fedgen_server.exchange import FleetExchange
from fedgen_server.folder import Federation
from fedgen_server.studies import StudyEntry

#: Seconds between two questions whether a site has approved.
ASK_SECONDS = 2.0
#: Seconds a site has to say that it takes part, the first time it decodes its images meanwhile.
DESCRIBE_SECONDS = 600.0
#: Runs of Flower's that may be lost, to a database that was away, before the study is given up.
LINKS = 20

#: Told in words who is being waited for.
Tell = Callable[[str], None]


def publish(
    federation: Federation, study: Study, names: Sequence[str] | None, pretrained: Path | None = None
) -> StudyEntry:
    """Sign a study's manifest, make its run folder, and offer it to the sites.

    Args:
        names: the sites of its roster; None for all members.
        pretrained: file of the weights that the study starts from, where it names some; the run keeps a copy.

    Raises:
        StudyError: a name is no member's, too few sites, this very study was published before, or it asks for other
            pretrained weights or for a device that this machine does not have.
        DataError: the pretrained weights cannot be used.
        PrivacyRefusedError: they were trained without privacy at one of these sites.
    """
    members = federation.sites.active()
    chosen = sorted(members) if names is None else sorted(set(names))
    strangers = [name for name in chosen if name not in members]
    if strangers:
        raise StudyError(
            f"--sites names {', '.join(strangers)}, but the federation's sites are "
            f"{', '.join(sorted(members)) or 'none'}."
        )
    if len(chosen) < study.aggregation.minimum_sites:
        raise StudyError(
            f"The study needs aggregation.minimum_sites {study.aggregation.minimum_sites} sites but its roster has "
            f"{len(chosen)}: invite more, or lower it."
        )
    recipe = Recipe.of(study)
    known = federation.studies.find(recipe.sha256)
    if known is not None:
        raise StudyError(
            f"This very study was published before, with its run in {known.run}: continue that with `fedgen-server "
            "resume`, or give the study another name or seed. A site trains a round once, so it cannot begin again."
        )
    require_study_device(study.training.device)
    start = given_start(study, pretrained)
    refuse_same_patients(study, None if start is None else start.origin, chosen)
    keys = {name: bytes.fromhex(members[name].identity_key) for name in chosen}
    _aggregator(study, keys)  # its parameters are refused here, before anybody is asked to approve them
    signed = sign_manifest(
        manifest_of(federation.config.name, study, keys, datetime.now(UTC)), federation.identity
    )
    run = Workspace.create(study, federation.paths.runs, start).run
    entry = federation.studies.publish(signed, run.path)
    federation.log.write("published", study=recipe.sha256, name=study.study.name, run=str(run.path))
    return entry


def conduct(
    federation: Federation,
    entry: StudyEntry,
    watcher: Watcher,
    waiting: Tell,
    wait: float,
    accepted: bool = False,
) -> Workspace:
    """Drive a published study to its report, from wherever it is.

    Args:
        wait: seconds for enough sites to be connected and to approve.
        accepted: whether it is wanted although nothing useful is to be expected of it.

    Raises:
        PrivacyRefusedError: nothing useful is to be expected with the patients of the sites that take part.
        FedgenError: as `run_stages`; also where too few sites came in time, or another process conducts it.
        KeyboardInterrupt: after a clean stop.
    """
    return_large_buffers()
    work = Workspace.open(Path(entry.run))
    study, run = work.study, work.run
    roster = {site: bytes.fromhex(key) for site, key in entry.manifest.roster.items()}
    stop = threading.Event()
    with conducting(run), stopping(stop):
        for _ in range(LINKS):
            link = Link(federation.paths.database, stop)
            done = False
            try:
                exchange = FleetExchange(link, _nodes(federation, roster), stop, federation.is_served)
                if not TRAIN.done(run):
                    with guarded(work):
                        sites = gather(study, exchange, run, roster, waiting, wait, stop)
                        refuse_useless(study, [sites[name].patients for name in sorted(sites)], accepted)
                here = FederationSetting(work, exchange, _aggregator(study, roster), roster=roster)
                run_stages(here, watcher)
                done = True
                federation.studies.close(work.recipe.sha256)
                federation.log.write("done", study=work.recipe.sha256, run=str(run.path))
                return work
            except LinkLostError as error:
                # The process was asleep, or the machine was; nothing of the study is lost by another run of Flower's.
                run.event(LinkLost(reason=str(error)))
            finally:
                link.close(done)
    raise FederationError(
        f"Flower's database has given up {LINKS} runs of this study: see that nothing else writes to it, then "
        f"{hints().again}."
    )


def gather(
    study: Study,
    exchange: Exchange,
    run: RunDirectory,
    roster: dict[str, bytes],
    waiting: Tell,
    wait: float,
    stop: threading.Event,
) -> dict[str, SiteDescription]:
    """Wait until all sites of the roster are connected and take part, or until `wait` is over and enough do.

    Returns:
        those that do, as they described themselves, by name.

    Raises:
        FederationError: fewer than aggregation.minimum_sites did in time.
        PrivacyRefusedError: so many refused for good that the others do not suffice.
    """
    sha256 = Recipe.of(study).sha256
    state = latest_checkpoint(run.checkpoints, sha256)
    round = min(study.total_rounds, 1 + (0 if state is None else state.round))
    ready: dict[str, SiteDescription] = {}
    why = dict.fromkeys(roster, "not connected")
    end = time.monotonic() + wait
    told = ""
    while True:
        here = set(exchange.sites())
        why |= dict.fromkeys(set(roster) - here, "not connected")
        ready = {site: said for site, said in ready.items() if site in here}
        asked = dict.fromkeys(sorted(here - ready.keys()), Describe(study_sha256=sha256, round=round))
        left = end - time.monotonic()
        answers = ask(exchange, asked, min(DESCRIBE_SECONDS, max(left, ASK_SECONDS))) if asked else {}
        for site, answer in answers.items():
            if isinstance(answer, SiteDescription):
                ready[site] = answer
                why.pop(site, None)
            else:
                why[site] = answer.reason if isinstance(answer, Refusal) else "answered something else"
        if len(ready) == len(roster):
            return ready
        now = f"waiting for {_listed({s: why[s] for s in sorted(set(roster) - ready.keys())})}"
        if now != told:
            waiting(now)
            run.event(Waiting(reason=now))
            told = now
        if time.monotonic() > end:
            break
        stop.wait(ASK_SECONDS)
        if stop.is_set():
            raise KeyboardInterrupt
    if len(ready) < study.aggregation.minimum_sites:
        raise FederationError(
            f"{len(ready)} of {len(roster)} sites take part after {wait:.0f} s but aggregation.minimum_sites is "
            f"{study.aggregation.minimum_sites}: {_listed({s: why[s] for s in sorted(set(roster) - ready.keys())})}. "
            f"When they are ready, {hints().again}."
        )
    return ready


def _listed(why: dict[str, str]) -> str:
    return "; ".join(f"{site} ({reason})" for site, reason in why.items())


def _aggregator(study: Study, keys: dict[str, bytes]) -> Aggregator:
    return (
        SecureAggregator(Recipe.of(study), Roster(keys))
        if study.aggregation.secure
        else PlainAggregator(Recipe.of(study).mechanism.vector.length)
    )


def _nodes(federation: Federation, roster: dict[str, bytes]) -> dict[str, int]:
    """Node ids of the roster's sites that are still members under the key that the manifest names."""
    members = federation.sites.active()
    return {
        site: members[site].node_id
        for site, key in roster.items()
        if site in members and bytes.fromhex(members[site].identity_key) == key
    }

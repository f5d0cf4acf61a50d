"""Keyholders of virtual sites, in one process beside the simulation's workers.

A worker of the simulation answers for whichever site comes next, so it cannot keep a site's sessions, and their
secrets must not be written down to be carried from worker to worker. One process holds them all in memory; every site
still answers for itself alone. A real site is one process and needs none of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from fedgen.errors import FederationError
from fedgen.federation.simulation.ray_processes import COLD
from fedgen.run.hints import hints
from fedgen_privacy.secagg import Advertisement, Identity, Keyholder, MaskedVector, Parameters, Roster

NAME, NAMESPACE = "keyholders", "fedgen"
DEADLINE = 300.0


class Keyholders:
    """The actor: a keyholder by site."""

    def __init__(
        self,
        identities: Mapping[str, bytes],
        keys: Mapping[str, bytes],
        parameters: Parameters,
        study: bytes,
        folders: Mapping[str, Path],
    ) -> None:
        roster = Roster(keys)
        self._holders = {
            site: Keyholder(
                Identity.from_private_bytes(site, private), roster, parameters, study, folders[site]
            )
            for site, private in identities.items()
        }

    def call(self, site: str, method: str, arguments: tuple[Any, ...]) -> Any:
        """Call a method of a site's keyholder."""
        return getattr(self._holders[site], method)(*arguments)


def start_keyholders(*arguments: Any) -> Any:
    """Start the process; arguments as of `Keyholders`. It ends with Ray or when the handle is dropped."""
    # It needs a tenth of what a worker does, and must not take the place of one that has imported that.
    actor = ray.remote(num_cpus=0)(Keyholders).options(name=NAME, namespace=NAMESPACE, runtime_env=COLD)
    return actor.remote(*arguments)


class RemoteKeyholder:
    """One site's keyholder in that process; the methods are those of `Keyholder`."""

    def __init__(self, site: str) -> None:
        self._site = site

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            actor = ray.get_actor(NAME, namespace=NAMESPACE)
            return ray.get(actor.call.remote(self._site, method, arguments), timeout=DEADLINE)
        except RayTaskError as error:
            raise error.cause from None
        except (RayActorError, GetTimeoutError, ValueError) as error:
            raise FederationError(
                f"The simulation's keyholder process is gone or silent ({type(error).__name__}): "
                f"{hints().again}."
            ) from None

    def advertise(self, round: int, attempt: int) -> Advertisement:
        """See `Keyholder.advertise`."""
        return self._call("advertise", round, attempt)

    def share(self, round: int, attempt: int, request: bytes) -> bytes:
        """See `Keyholder.share`."""
        return self._call("share", round, attempt, request)

    def open(self, round: int, attempt: int, request: bytes, model: bytes) -> None:
        """See `Keyholder.open`."""
        self._call("open", round, attempt, request, model)

    def mask(
        self,
        round: int,
        attempt: int,
        vector: np.ndarray[tuple[int], np.dtype[Any]],
        weight: int,
        metrics: Sequence[float],
    ) -> MaskedVector:
        """See `Keyholder.mask`."""
        return self._call("mask", round, attempt, vector, weight, list(metrics))

    def confirm(self, round: int, attempt: int, request: bytes) -> bytes:
        """See `Keyholder.confirm`."""
        return self._call("confirm", round, attempt, request)

    def unmask(self, round: int, attempt: int, request: bytes) -> bytes:
        """See `Keyholder.unmask`."""
        return self._call("unmask", round, attempt, request)

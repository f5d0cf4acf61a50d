"""What a worker of the simulation does before it is asked anything: import what every site needs."""

from __future__ import annotations

import contextlib


def load() -> None:
    """Import it; Ray calls this in each process that it starts. An error is told by whoever needs what is not there."""
    from fedgen.run.garbage import look_less_often

    look_less_often()
    # Ray would end a worker whose hook fails, and start the next, without an end.
    with contextlib.suppress(Exception):
        import fedgen.federation.simulation.virtual_sites  # noqa: F401

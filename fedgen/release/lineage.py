"""Whose patients are in a release, through which rounds, and what their sites signed of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fedgen.errors import DataError
from fedgen.protocol.receipt import open_receipt, spans
from fedgen.release.release_manifest import Lineage, SiteLineage
from fedgen.run_view import RunView


def trained_sites(view: RunView) -> dict[str, set[int]]:
    """Sites in the model, with the rounds in whose sum or average they are."""
    found: dict[str, set[int]] = {}
    for done in view.rounds:
        for site in done.sites:
            found.setdefault(site, set()).add(done.round)
    return dict(sorted(found.items()))


def lineage(
    view: RunView,
    keys: Mapping[str, bytes],
    unprotected: Collection[str],
    protected: Collection[str],
) -> Lineage:
    """The lineage of a run.

    Args:
        view: the run.
        keys: Ed25519 public keys of its sites, as far as they are known.
        unprotected, protected: sites whose patients are in it without and with privacy.

    Raises:
        DataError: the run has not been trained.
        PrivacyRefusedError: a receipt in the run is not signed by its site.
    """
    data, rounds = view.summary.data, view.summary.rounds
    if data is None or rounds is None:
        raise DataError(f"{view.run.path} has not been trained to its end: train it first.")
    epsilons = {row.site: row.epsilon for row in view.privacy.sites} if view.privacy else {}
    found = []
    for site, trained in trained_sites(view).items():
        kept, key = view.receipts.get(site), keys.get(site)
        receipt = None if kept is None or key is None else open_receipt(kept.signed, key)
        found.append(
            SiteLineage(
                site=site,
                key=None if key is None else key.hex(),
                rounds=spans(trained),
                epsilon=epsilons.get(site),
                receipt=receipt is not None,
                withdrawn=None if receipt is None else receipt.withdrawn,
            )
        )
    return Lineage(
        source=data.source,
        rounds=rounds,
        keys="of the federation's roster"
        if data.source == "federation"
        else "made for this run by the machine that simulated the sites",
        unprotected=tuple(sorted(unprotected)),
        protected=tuple(sorted(protected)),
        sites=tuple(found),
    )

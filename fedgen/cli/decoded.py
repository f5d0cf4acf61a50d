"""`fedgen data cache`: where decoded images are kept, how much of it there is, and their removal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedgen.cli.as_json import AsJson, print_told, tells
from fedgen.cli.data_told import DecodedCache


@tells(DecodedCache)
def cache(
    folder: Annotated[
        Path | None,
        typer.Option(help="The cache; default FEDGEN_CACHE, else fedgen in XDG_CACHE_HOME or ~/.cache."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything in it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell where decoded images are kept from run to run and how much space they take, or remove them."""
    # Here, since the store loads NumPy and the safetensors, and `fedgen data --help` should not wait for them.
    from fedgen.data.cache.store import MOST_BYTES, CacheStore, cache_folder
    from fedgen.data.findings import plural

    place = folder or cache_folder()
    store = CacheStore(place) if place.exists() else None
    sets = 0 if store is None else sum(1 for _ in store.sets())
    size = 0 if store is None else store.size()
    if clear and store is not None:
        store.clear()
    if as_json:
        print_told(DecodedCache(folder=str(place), sets=sets, bytes=size, cleared=clear))
        return
    amount = f"{plural(sets, 'set')} of decoded images, {size / 2**20:.1f} MiB"
    if clear:
        typer.echo(f"Removed {amount}, from {place}")
        return
    typer.echo(f"{place} holds {amount}; beyond {MOST_BYTES // 2**30} GiB the oldest are removed.")

"""The overview as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fedgen.mechanisms.statement import rounded_up


def tables(overview: dict[str, Any]) -> Group:
    """Sites and runs, beneath one line about the server."""
    serving = "serving" if overview["serving"] else "not serving: start it with `fedgen-server start`"
    return Group(
        Text(f"{overview['federation']} at {overview['address']}, {serving}"),
        Text(),
        _sites(overview["sites"]),
        Text(),
        _runs(overview["runs"]),
    )


def _sites(rows: list[dict[str, Any]]) -> Table | Text:
    if not rows:
        return Text("No site has joined: `fedgen-server invite SITE`.")
    table = Table("site", "state", "last seen (UTC)", box=None, pad_edge=False)
    for row in rows:
        state = "connected" if row["online"] else row["state"] if row["state"] == "removed" else "away"
        seen = "now" if row["online"] else "never" if row["last_seen"] is None else _moment(row["last_seen"])
        table.add_row(row["site"], state, seen)
    return table


def _runs(rows: list[dict[str, Any]]) -> Table | Text:
    if not rows:
        return Text("No study yet: `fedgen-server run STUDY`.")
    table = Table("study", "state", "round", "epsilon up to", "sites", "to go", box=None, pad_edge=False)
    for row in rows:
        state = row["state"]
        if state == "running" and not row["conducted"]:
            state = "killed: resume it"
        epsilon = "" if row["epsilon"] is None else f"{rounded_up(row['epsilon']):.2f}"
        table.add_row(
            row["study"],
            state,
            f"{row['round']}/{row['rounds']}",
            epsilon,
            f"{len(row['sites'])} of {len(row['roster'])}"
            if row["sites"]
            else f"{len(row['roster'])} on the roster",
            "" if row["eta_seconds"] is None else _duration(row["eta_seconds"]),
        )
    return table


def _moment(text: str) -> str:
    return text.replace("T", " ")[:19]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

"""The tables of `benchmarks/scale.py`, and its list of targets with what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from deployment.report import Result
from secagg.report import Verdict, aligned

#: Growth over growth in proportion to the sites, and of memory over none.
LINEAR, FLAT = 1.3, 1.3
#: A part of a message, which is what a cut may cost: Flower cuts arrays into 5 MiB.
PART_MEGABYTES = 5 * 1024**2 / 1e6
#: What TLS, HTTP and signatures add to a model's bytes, generously.
FRAMES = 1.05


def sums_table(cells: Sequence[Result]) -> str:
    """Seconds of a secure sum by parameters and sites."""
    header = ["parameters", "ring", "sites", "a site s", "coordinator s", "keys s", "sent", "memory", "error"]
    rows = []
    for cell in cells:
        row = [f"{cell['length']:.0e}".replace("e+0", "e"), str(cell["ring_bits"]), str(cell["sites"])]
        if "skipped" in cell:
            rows.append([*row, *["-"] * 6])
            continue
        memory = "-" if cell["memory"] is None else f"{cell['memory']:.2f}"
        seconds = [f"{cell[key]:.3f}" for key in ("site_s", "coordinator_s", "keys_s")]
        rows.append([*row, *seconds, f"{cell['sent']:.3f}", memory, f"{cell['error']:.0e}"])
    return aligned(header, rows)


def simulated_table(found: Sequence[Result]) -> str:
    """Seconds of a secure round of a simulation by sites."""
    header = ["sites", "ring", "round s", "s a site", "coordinator MB"]
    return aligned(
        header,
        [
            [
                str(one["sites"]),
                str(one["ring_bits"]),
                f"{one['round_s']:.2f}",
                f"{one['round_s'] / one['sites']:.3f}",
                f"{one['memory_mb']:.0f}",
            ]
            for one in found
        ],
    )


def lines_table(found: Result) -> str:
    """Seconds over a bad line, and what a cut costs."""
    rows = [
        ["a secure round, 4 MB, loopback", f"{median(found['near']['seconds'][1:]):.1f} s"],
        ["the same over the bad line", f"{median(found['far']['seconds'][1:]):.1f} s"],
    ]
    sent = found["broadcast"]
    size = f"{sent['megabytes_of_model']:.0f} MB"
    rows += [
        [f"{size} to each site and back", f"{sent['seconds']:.0f} s, {sent['megabytes']:.1f} MB down"],
        ["the same, one site cut off", f"{sent['cut_seconds']:.0f} s, {sent['cut_megabytes']:.1f} MB down"],
    ]
    return aligned(["over lines", "measured"], rows)


def idle_table(found: Result) -> str:
    """What waits."""
    start, end = found["memory_mb"]
    return aligned(
        ["sites", "seconds", "coordinator CPU %", "MB at first", "MB at last", "fewest connected", "lost"],
        [
            [
                str(found["sites"]),
                f"{found['seconds']:.0f}",
                f"{found['cpu_percent']:.1f}",
                f"{start:.0f}",
                f"{end:.0f}",
                str(found["fewest"]),
                str(found["lost"]),
            ]
        ],
    )


def verdicts(result: Result) -> list[Verdict]:
    """Each target beside what this run measured; what was not run is said to be so."""
    found: list[Verdict] = []
    if cells := [cell for cell in result.get("sums", []) if "skipped" not in cell]:
        found += _sums(cells)
    if simulated := result.get("simulated"):
        found.append(_growth("round of a simulation", simulated, "round_s"))
        found.append(_spread("coordinator of a simulation", simulated, "memory_mb", ("ring_bits",)))
    if (lines := result.get("lines")) is not None:
        sent = lines["broadcast"]
        most = FRAMES * sent["megabytes"] + PART_MEGABYTES
        found.append(
            Verdict(
                f"a broadcast that is cut off sends no more than one part ({PART_MEGABYTES:.0f} MB) twice",
                f"{sent['cut_megabytes']:.1f} MB instead of {sent['megabytes']:.1f}",
                sent["cut_megabytes"] <= most,
            )
        )
    if (idle := result.get("idle")) is not None:
        found.append(
            Verdict(
                f"{idle['sites']} sites wait for {idle['seconds']:.0f} s without a lost sign of life",
                f"at least {idle['fewest']} connected at each of {idle['looks']} looks, {idle['lost']} lost",
                idle["fewest"] == idle["sites"] and idle["lost"] == 0,
            )
        )
    return found


def _sums(cells: Sequence[Result]) -> list[Verdict]:
    return [
        _growth("a site's part of a sum", cells, "site_s"),
        _growth("the coordinator's part of a sum", cells, "coordinator_s"),
        *(
            _spread(
                f"the coordinator of a sum of {length:.0e} parameters",
                [cell for cell in cells if cell["memory"] and cell["length"] == length],
                "memory",
                ("ring_bits",),
            )
            for length in sorted({cell["length"] for cell in cells if cell["memory"]})
        ),
    ]


def _groups(found: Sequence[Result], keys: Sequence[str]) -> list[list[Result]]:
    groups: dict[tuple[Any, ...], list[Result]] = defaultdict(list)
    for one in found:
        groups[tuple(one.get(key) for key in keys)].append(one)
    return [sorted(group, key=lambda one: int(one["sites"])) for group in groups.values()]


def _growth(what: str, found: Sequence[Result], key: str) -> Verdict:
    """The worst growth from one number of sites to the next, over growth in proportion."""
    worst = max(
        (after[key] / before[key]) / (after["sites"] / before["sites"])
        for group in _groups(found, ("length", "ring_bits"))
        for before, after in pairwise(group)
    )
    return Verdict(
        f"{what} takes no longer than {LINEAR} times in proportion to the sites",
        f"{worst:.2f}",
        worst <= LINEAR,
    )


def _spread(what: str, found: Sequence[Result], key: str, groups: Sequence[str]) -> Verdict:
    worst = max(
        max(one[key] for one in group) / min(one[key] for one in group) for group in _groups(found, groups)
    )
    return Verdict(
        f"{what} holds no more than {FLAT} times as much with the most sites as with the fewest",
        f"{worst:.2f}",
        worst <= FLAT,
    )

"""The tables a reader sees, and the list of targets with what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from secagg.report import Verdict, aligned

EXCHANGE_SECONDS, ROUND_SECONDS = 0.3, 2.0
IDLE_PERCENT, IDLE_MB = 1.0, 150.0
#: Between these rounds memory may grow by this share.
FLAT_FROM, FLAT_TO, FLAT = 5, 20, 0.05
FLAT_SITES = 10
QUICK_SECONDS = 180

Result = dict[str, Any]

NAMES = {"empty": "no vector", "vector": "float32 vector each way"}


def exchange_table(result: Result) -> str:
    """Seconds of an exchange with all sites, ours and stock."""
    header = ["exchange", "ours p50", "p90", "n", "stock p50", "p90", "n", "x stock"]
    rows = []
    for name, words in NAMES.items():
        ours, stock = result["exchange"][name]["ours"], result["exchange"][name]["stock"]
        row = [words]
        for side, digits in ((ours, 3), (stock, 1)):
            row += [f"{side['p50']:.{digits}f}", f"{side['p90']:.{digits}f}", str(side["samples"])]
        rows.append([*row, f"{stock['p50'] / ours['p50']:.0f}"])
    return aligned(header, rows)


def idle_table(result: Result) -> str:
    """CPU and memory of processes that wait."""
    header = ["waiting", "CPU %", "RSS MB", "Pss MB", "processes"]
    rows = []
    for side in ("ours", "stock"):
        for name, group in result["idle"][side].items():
            numbers = [f"{group['cpu_percent']:.2f}", f"{group['rss_mb']:.0f}", f"{group['pss_mb']:.0f}"]
            rows.append([name, *numbers, str(group["processes"])])
    return aligned(header, rows)


def rounds_table(rounds: Result) -> str:
    """Seconds and memory of secure rounds, one by one."""
    kinds = ("supervisor", "worker", "server", "conductor")
    header = ["round", "s", "training", "beyond", *(f"{kind} MB" for kind in kinds)]
    rows = []
    for number in range(rounds["rounds"]):
        times = [f"{rounds[key][number]:.2f}" for key in ("seconds", "training", "beyond")]
        memory = rounds["memory_mb"][number]
        held = [max(mb for name, mb in memory.items() if name.split()[0] == kind) for kind in kinds]
        rows.append([str(number + 1), *times, *(f"{mb:.0f}" for mb in held)])
    return aligned(header, rows)


def verdicts(result: Result, seconds: float, quick: bool) -> list[Verdict]:
    """Every target of the benchmark with its measured value, in their order."""
    found = [_exchange(result["exchange"]["empty"]), _round(result["rounds"])]
    sites = list(result["idle"]["ours"].values())[1:]
    cpu, held = max(site["cpu_percent"] for site in sites), max(site["rss_mb"] for site in sites)
    target = f"CPU of an idle site below {IDLE_PERCENT:g} %"
    found.append(Verdict(target, f"{cpu:.2f} % at most over {len(sites)} sites", cpu < IDLE_PERCENT))
    target = f"memory of a site without a study below {IDLE_MB:g} MB"
    found.append(Verdict(target, f"{held:.0f} MB at most over {len(sites)} sites", held < IDLE_MB))
    found.append(_flat(result.get("long")))
    if quick:
        found.append(
            Verdict(f"--quick in under {QUICK_SECONDS} s", f"{seconds:.0f} s", seconds < QUICK_SECONDS)
        )
    return found


def _exchange(measured: Result) -> Verdict:
    ours, stock = measured["ours"]["p50"], measured["stock"]["p50"]
    target = f"exchange with 3 sites, p50 at most {EXCHANGE_SECONDS:g} s"
    return Verdict(target, f"{ours:.3f} s (stock {stock:.1f} s)", ours <= EXCHANGE_SECONDS)


def _round(rounds: Result) -> Verdict:
    # The first round is the one in which everything is done for the first time; it is in the table.
    beyond = rounds["beyond"][1:]
    target = f"secure round of 1e6 parameters, at most {ROUND_SECONDS:g} s beyond its training"
    told = f"{median(beyond):.2f} s (median of {len(beyond)}), {max(beyond):.2f} s (slowest)"
    return Verdict(target, told, max(beyond) <= ROUND_SECONDS)


def _flat(rounds: Result | None) -> Verdict:
    target = (
        f"{FLAT_SITES} sites: memory after round {FLAT_TO} within {FLAT:.0%} of that after round {FLAT_FROM}"
    )
    if rounds is None:
        return Verdict(target, "only with --full", None)
    before, after = rounds["memory_mb"][FLAT_FROM - 1], rounds["memory_mb"][FLAT_TO - 1]
    name, growth = max(
        ((name, after[name] / before[name] - 1) for name in before), key=lambda found: found[1]
    )
    told = f"{growth:+.1%} at most ({name}, {before[name]:.0f} to {after[name]:.0f} MB at the least)"
    return Verdict(target, told, growth <= FLAT)


def lines(found: Sequence[Verdict]) -> str:
    """The list of targets."""
    return "\n".join(verdict.line() for verdict in found)

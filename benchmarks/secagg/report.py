"""The tables a reader sees, and the list of targets with what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

#: Where the speed targets are set.
TARGET_LENGTH, TARGET_SITES = 10_000_000, 8
FASTER, ABOVE_FLOOR = 10.0, 1.3
UPLOAD, UPLOAD_PACKED = 1.01, 0.51
CLIENT_MEMORY = 1.5
#: How much the coordinator's peak may move with n, in vectors, and still be called independent of it.
MEMORY_SPREAD = 0.1
QUICK_SECONDS = 60

Result = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One target and what was measured; `met` is None where nothing was."""

    target: str
    measured: str
    met: bool | None

    def line(self) -> str:
        """One line of the list."""
        word = {True: "met", False: "NOT met", None: "not measured"}[self.met]
        return f"  {word:<13}{self.target}: {self.measured}"


def ratio(timing: Result, over: str, under: str, statistic: str = "median_ms") -> float | None:
    """How many times longer `over` takes than `under`; None where one was not run."""
    if over not in timing or under not in timing:
        return None
    return float(timing[over][statistic] / timing[under][statistic])


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of text, aligned right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _milliseconds(timing: Result, name: str) -> str:
    if name not in timing:
        return "-"
    return f"{timing[name]['median_ms']:.1f} ({timing[name]['min_ms']:.1f})"


def times_table(results: Sequence[Result]) -> str:
    """Milliseconds, median (minimum), and both ratios of the medians."""
    header = ["params", "n", "drop"]
    for side in ("client", "server"):
        header += [f"{side} ours", "Flower", "floor", "x Flower", "/ floor"]
    header += ["keys: site", "server", "Flower site"]
    rows = []
    for result in _run(results):
        keys = result["keys"]
        for drops, server in result["server"].items():
            row = [f"{result['length']:.0e}".replace("e+0", "e"), str(result["sites"]), drops]
            for timing in (result["client"], server):
                row += [_milliseconds(timing, name) for name in ("ours", "peer", "floor")]
                row += [_number(ratio(timing, "peer", "ours")), _number(ratio(timing, "ours", "floor"), 2)]
            row += [_number(keys[key]) for key in ("ours_client_ms", "ours_server_ms", "peer_client_ms")]
            rows.append(row)
    return aligned(header, rows)


def sizes_table(results: Sequence[Result]) -> str:
    """Bytes of one site's messages, error of the mean, and peak memory beyond the update in vectors."""
    header = ["params", "n", "upload MB", "x float32", "other B", "Flower MB", "x float32", "other B"]
    header += ["rms error", "Flower", "client peak", "Flower", "server peak", "Flower"]
    rows = []
    for result in _run(results):
        name = f"{result['length']:.0e}".replace("e+0", "e")
        sent, peak, error = result["bytes"], result["memory_bytes"], result["rms_error"]["0"]
        row = [name, str(result["sites"])]
        for whose in ("ours", "peer"):
            vector, other = sent[f"{whose}_vector"], sent[f"{whose}_other"]
            row += ["-"] * 3 if vector is None else [*_sent(vector, other, sent["plain"]), str(other)]
        row += [f"{error[whose]:.1e}" if whose in error else "-" for whose in ("ours", "peer")]
        for side in ("client", "server"):
            row += [_vectors(peak, f"{whose}_{side}", sent["plain"]) for whose in ("ours", "peer")]
        rows.append(row)
        if "packed" in result:
            packed = result["packed"]
            vector, other = packed["bytes"]["vector"], packed["bytes"]["other"]
            row = [f"{name} packed", str(result["sites"]), *_sent(vector, other, sent["plain"]), str(other)]
            row += ["-"] * 3 + [f"{packed['rms_error']:.1e}", "-"]
            row += [_vectors(packed["memory_bytes"], "client", sent["plain"]), "-"]
            row += [_vectors(packed["memory_bytes"], "server", sent["plain"]), "-"]
            rows.append(row)
    return aligned(header, rows)


def _sent(vector: int, other: int, plain: int) -> list[str]:
    return [_number((vector + other) / 1e6, 2), _number((vector + other) / plain, 4)]


def _vectors(peak: Result, name: str, plain: int) -> str:
    return _number(peak[name] / plain, 2) if name in peak else "-"


def skipped(results: Sequence[Result]) -> list[str]:
    """What was not run, in words."""
    return [
        f"{result['length']:.0e} parameters, n = {result['sites']}: {reason}"
        for result in results
        for reason in result["skipped"]
    ]


def verdicts(results: Sequence[Result], seconds: float, quick: bool) -> list[Verdict]:
    """Every target of the benchmark with its measured value, in their order."""
    measured = list(_run(results))
    at = next((r for r in measured if (r["length"], r["sites"]) == (TARGET_LENGTH, TARGET_SITES)), None)
    sides = [] if at is None else [("client", at["client"])]
    sides += [] if at is None else [(f"server, {d} dropped", timing) for d, timing in at["server"].items()]
    found = [_faster(name, timing) for name, timing in sides] + [
        _floor(name, timing) for name, timing in sides
    ]
    if at is None:
        found.append(Verdict("speed at 1e7 parameters, n = 8", "not among the cases that were run", None))
    found.append(
        _largest("upload, x plain float32", (_upload(r, r["bytes"], "ours_") for r in measured), UPLOAD)
    )
    packed = [r for r in measured if "packed" in r]
    uploads = (_upload(r, r["packed"]["bytes"], "") for r in packed)
    found.append(_largest("upload packed, x plain float32", uploads, UPLOAD_PACKED))
    peaks = (r["memory_bytes"]["ours_client"] / r["bytes"]["plain"] for r in measured)
    found.append(_largest("client peak beyond the update, x vector", peaks, CLIENT_MEMORY))
    peaks = (r["packed"]["memory_bytes"]["client"] / r["bytes"]["plain"] for r in packed)
    found.append(_largest("client peak beyond the update packed, x vector", peaks, CLIENT_MEMORY))
    found += _coordinator_memory(measured)
    if quick:
        met = seconds < QUICK_SECONDS
        found.append(Verdict(f"--quick in under {QUICK_SECONDS} s", f"{seconds:.0f} s", met))
    return found


def _run(results: Sequence[Result]) -> Iterable[Result]:
    """Cases of which at least ours was run."""
    return (result for result in results if "client" in result)


def _faster(name: str, timing: Result) -> Verdict:
    median, least = ratio(timing, "peer", "ours"), ratio(timing, "peer", "ours", "min_ms")
    target = f"{name} at 1e7, n = 8, at least {FASTER:g}x faster than Flower"
    if median is None:
        return Verdict(target, "Flower was not run", None)
    return Verdict(target, f"{median:.1f}x by medians ({_number(least)}x by minima)", median >= FASTER)


def _floor(name: str, timing: Result) -> Verdict:
    median, least = ratio(timing, "ours", "floor"), ratio(timing, "ours", "floor", "min_ms")
    target = f"{name} at 1e7, n = 8, within {ABOVE_FLOOR:g}x of the floor"
    met = median is not None and median <= ABOVE_FLOOR
    return Verdict(target, f"{_number(median, 2)}x by medians ({_number(least, 2)}x by minima)", met)


def _upload(result: Result, sent: Result, prefix: str) -> float:
    return float((sent[f"{prefix}vector"] + sent[f"{prefix}other"]) / result["bytes"]["plain"])


def _largest(what: str, values: Iterable[float], limit: float) -> Verdict:
    found = list(values)
    target = f"{what}, at most {limit:g}"
    if not found:
        return Verdict(target, "no case was run", None)
    return Verdict(target, f"{max(found):.4f} at most over {len(found)} cases", max(found) <= limit)


def _coordinator_memory(measured: Sequence[Result]) -> list[Verdict]:
    found = []
    for length in sorted({r["length"] for r in measured}):
        peaks = {
            r["sites"]: r["memory_bytes"]["ours_server"] / (4 * length)
            for r in measured
            if r["length"] == length
        }
        if len(peaks) > 1:
            spread = max(peaks.values()) - min(peaks.values())
            words = ", ".join(f"n = {sites}: {peak:.2f}" for sites, peak in sorted(peaks.items()))
            target = f"coordinator memory at {length:.0e} independent of n (vectors)"
            found.append(Verdict(target, words, spread <= MEMORY_SPREAD))
    return found

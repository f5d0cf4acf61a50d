"""The tables a reader sees, and the targets."""

from __future__ import annotations

from typing import Any

#: Of a private step over a plain one, for the default UNet.
TIME, MEMORY = 1.5, 1.3


def contenders_table(rows: list[dict[str, Any]]) -> str:
    """One row a contender, grouped by case."""
    lines = [
        "| model | step | ms | x plain | peak MiB | x plain |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (row["model"], row["step"], _ms(row["seconds"]), _x(row["time_ratio"]))
        lines.append("| " + " | ".join((*cells, _number(row["mebibytes"]), _x(row["memory_ratio"]))) + " |")
    return "\n".join(lines)


def growth_table(rows: list[dict[str, Any]]) -> str:
    """How time and memory grow with the batch, the draws and the images."""
    lines = [
        "| model | B | m | K | plain ms | step | x plain | x plain memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (row["model"], str(row["B"]), str(row["m"]), str(row["K"]), _ms(row["plain"]))
        ratios = (row["step"], _x(row["time_ratio"]), _x(row["memory_ratio"]))
        lines.append("| " + " | ".join((*cells, *ratios)) + " |")
    return "\n".join(lines)


def targets(rows: list[dict[str, Any]]) -> str:
    """What was aimed at and what was measured, for hooks on the default UNet."""
    lines = []
    for row in rows:
        if row["model"].startswith("diffusion") and row["step"].startswith("hooks") and row["time_ratio"]:
            time, memory = row["time_ratio"], row["memory_ratio"]
            lines.append(f"  {row['model']}, {row['step']}: time {time:.2f} ({_met(time, TIME)}), ")
            lines[-1] += f"memory {_x(memory)} ({_met(memory, MEMORY)})"
    return "\n".join(lines)


def ratio(value: float | None, of: float | None) -> float | None:
    """`value / of` where both were measured."""
    return value / of if value is not None and of else None


def _met(value: float | None, limit: float) -> str:
    word = "not measured" if value is None else "met" if value <= limit else "NOT met"
    return f"at most {limit:g}: {word}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.0f}"


def _x(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"

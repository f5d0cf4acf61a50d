"""A federation of real processes on this machine: ours against stock Flower, in the same run.

    python benchmarks/federation.py [--quick] [--full] [--sites 3] [--out FILE.json]

Ours is `fedgen-server start`, one `fedgen-client start` a site with its worker, and `fedgen-server run` for the
rounds: TLS, node authentication, signed manifests, policy and ledger on. Stock is `flower-superlink`,
`flower-supernode` and a bundle whose ClientApp answers at once, as Flower ships them, but without TLS and without
authentication, which favours it. Both wait at the same time and exchange messages one after the other.

An exchange asks all sites at once and ends with the last answer. What the sites do for it is said in
`deployment/transport.py` (ours: no training, but policy, approval, and keys or hash) and `deployment/app/echo.py`
(stock: nothing). The secure rounds train for one step; their training is timed by itself (`deployment/rounds.py`).
`--full` adds ten sites for twenty rounds, for leaks.

CPU and memory are /proc's. The benchmark ends with the targets, measured value and verdict, and exits 0 whatever they
are. Everything it starts ends with it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deployment import report, transport
from deployment.meter import Idle, summary
from deployment.ours import Ours
from deployment.processes import Processes
from deployment.rounds import rounds
from deployment.stock import Stock
from deployment.study import PARAMETERS
from secagg.meter import machine

RESULTS = Path(__file__).parent / "results"
#: A site that has just connected polls ever more rarely for some 15 s.
SETTLE_SECONDS = 20.0
IDLE_SECONDS = 20.0


def three_sites(folder: Path, sites: int, quick: bool) -> dict[str, Any]:
    """Waiting, exchanges and secure rounds."""
    result: dict[str, Any] = {"sites": sites, "parameters": PARAMETERS}
    with _processes(folder) as processes:
        ours = Ours(processes, folder / "ours", sites)
        connected = time.monotonic()
        stock = Stock(processes, folder / "stock", sites)
        _say(f"{sites} sites and {sites} SuperNodes are connected")
        time.sleep(max(0.0, connected + SETTLE_SECONDS - time.monotonic()))
        result["idle"] = _idle(processes, ours, stock)
        _say("waited")
        counts = (3, 1) if quick else (10, 5)
        theirs = stock.exchange(*counts, PARAMETERS)
        stock.stop()
        _say("stock Flower has exchanged")
        own = {
            "empty": transport.empty(ours, 20 if quick else 100),
            "vector": transport.vectors(ours, 10 if quick else 50),
        }
        result["exchange"] = {
            name: {"ours": summary(own[name]), "stock": summary(theirs[name])} for name in own
        }
        _say("ours has exchanged")
        result["rounds"] = rounds(processes, ours, "rounds", 5 if quick else 20)
        _say("the secure rounds are over")
    return result


def many_sites(folder: Path) -> dict[str, Any]:
    """Ten sites for twenty rounds."""
    with _processes(folder) as processes:
        ours = Ours(processes, folder / "ours", report.FLAT_SITES)
        _say(f"{report.FLAT_SITES} sites are connected")
        return rounds(processes, ours, "long", report.FLAT_TO)


def _idle(processes: Processes, ours: Ours, stock: Stock) -> dict[str, Any]:
    names = {
        "ours": {"coordinator": ours.link, **{f"site {site}": site for site in ours.sites}},
        "stock": {"SuperLink": stock.link, **{f"SuperNode {i + 1}": n for i, n in enumerate(stock.nodes)}},
    }
    meters = {
        side: Idle({shown: list(processes.family(name)) for shown, name in groups.items()})
        for side, groups in names.items()
    }
    time.sleep(IDLE_SECONDS)
    processes.check()
    return {side: meter.read() for side, meter in meters.items()}


def _processes(folder: Path) -> Processes:
    logs = folder / "logs"
    logs.mkdir(parents=True)
    return Processes(logs)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


def main() -> None:
    """Command line."""
    started = time.perf_counter()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, in under three minutes")
    parser.add_argument("--full", action="store_true", help="also ten sites for twenty rounds")
    parser.add_argument("--sites", type=int, default=3, help="default: 3, for which the targets are set")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/federation[_quick].json")
    arguments = parser.parse_args()
    out: Path = arguments.out or RESULTS / f"federation{'_quick' if arguments.quick else ''}.json"
    # Killed politely, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    with tempfile.TemporaryDirectory(prefix="fedgen-benchmark-") as temporary:
        result = three_sites(Path(temporary) / "few", arguments.sites, arguments.quick)
        if arguments.full:
            result["long"] = many_sites(Path(temporary) / "many")
    seconds = time.perf_counter() - started
    found = report.verdicts(result, seconds, arguments.quick)

    print("\nSeconds of an exchange with all sites\n" + report.exchange_table(result))
    print(f"\nWaiting for {IDLE_SECONDS:.0f} s, without a study\n" + report.idle_table(result))
    print("\nSecure rounds, largest process of each kind\n" + report.rounds_table(result["rounds"]))
    if "long" in result:
        print(f"\nThe same with {result['long']['sites']} sites\n" + report.rounds_table(result["long"]))
    print("\nTargets\n" + report.lines(found))
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": about, "seconds": seconds, **result, "targets": [vars(v) for v in found]}
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\nwrote {out}")


if __name__ == "__main__":
    main()

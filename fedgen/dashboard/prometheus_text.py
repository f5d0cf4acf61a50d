"""`/metrics`: the same state as numbers in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fedgen import __version__
from fedgen.dashboard.page_state import PageState, Sighting, Standing

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics(states: Iterable[PageState], seen: Mapping[str, Sighting]) -> bytes:
    """Every number of every run, and of every site.

    Args:
        states: of the runs.
        seen: what is known of sites.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(list(states), seen))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, states: list[PageState], seen: Mapping[str, Sighting]) -> None:
        self._states, self._seen = states, seen

    def collect(self) -> Iterator[Metric]:
        built = GaugeMetricFamily("fedgen_build_info", "Version of fedgen.", labels=["version"])
        built.add_metric([__version__], 1)
        yield built
        yield from self._sites()
        yield from self._runs()

    def _sites(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily(
            "fedgen_site_connected", "Whether a site is connected.", labels=["site"]
        )
        clock = GaugeMetricFamily(
            "fedgen_site_clock_offset_seconds", "How far a site's clock is ahead.", labels=["site"]
        )
        for site, sighting in sorted(self._seen.items()):
            connected.add_metric([site], sighting.connected)
            if sighting.clock is not None:
                clock.add_metric([site], sighting.clock)
        yield connected
        yield clock

    def _runs(self) -> Iterator[Metric]:
        run, of_site = ["study", "run"], ["study", "run", "site"]
        standing = GaugeMetricFamily(
            "fedgen_run_standing", "1 for how the run stands.", labels=[*run, "standing"]
        )
        done = GaugeMetricFamily("fedgen_run_rounds_done", "Finished rounds.", labels=run)
        rounds = GaugeMetricFamily("fedgen_run_rounds", "Rounds of the study.", labels=run)
        seconds = GaugeMetricFamily("fedgen_run_round_seconds", "Median seconds of a round.", labels=run)
        left = GaugeMetricFamily("fedgen_run_eta_seconds", "Seconds until the last round.", labels=run)
        epsilon = GaugeMetricFamily(
            "fedgen_run_epsilon", "Upper bound of the epsilon any site has spent.", labels=run
        )
        target = GaugeMetricFamily("fedgen_run_epsilon_target", "Epsilon of the study.", labels=run)
        loss = GaugeMetricFamily("fedgen_run_loss", "Loss of the last round.", labels=[*run, "objective"])
        noise = GaugeMetricFamily(
            "fedgen_run_loss_noise",
            "Standard deviation of the privacy noise in it.",
            labels=[*run, "objective"],
        )
        dropouts = CounterMetricFamily(
            "fedgen_run_dropouts", "Sites asked and not in a round's sum.", labels=run
        )
        takes = GaugeMetricFamily(
            "fedgen_site_update_seconds", "Median seconds until a site's update.", labels=of_site
        )
        joined = CounterMetricFamily("fedgen_site_rounds", "Rounds in whose sum a site is.", labels=of_site)
        moved = CounterMetricFamily(
            "fedgen_site_bytes", "Bytes of models and updates.", labels=[*of_site, "direction"]
        )
        for state in self._states:
            of = [state.study, state.run]
            for name in get_args(Standing):
                standing.add_metric([*of, name], state.standing == name)
            done.add_metric(of, state.round)
            rounds.add_metric(of, state.rounds)
            dropouts.add_metric(of, state.dropouts)
            for family, value in (
                (seconds, state.seconds_a_round),
                (left, state.eta_seconds),
                (epsilon, state.epsilon),
                (target, state.target),
            ):
                if value is not None:
                    family.add_metric(of, value)
            for each in state.losses:
                loss.add_metric([*of, each.objective], each.value)
                noise.add_metric([*of, each.objective], each.std)
            for site in state.sites:
                if site.seconds is not None:
                    takes.add_metric([*of, site.site], site.seconds)
                joined.add_metric([*of, site.site], site.rounds)
                moved.add_metric([*of, site.site, "to_site"], site.to_site)
                moved.add_metric([*of, site.site, "from_site"], site.from_site)
        yield from (standing, done, rounds, seconds, left, epsilon, target, loss, noise)
        yield from (dropouts, takes, joined, moved)

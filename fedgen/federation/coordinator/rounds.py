"""The coordinator's rounds: describe the sites, then train round by round from the last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedgen.errors import ExitCode, FedgenError
from fedgen.families.contract import Told, unheard
from fedgen.federation.coordinator.aggregation import Aggregator, TooFewSitesError
from fedgen.federation.exchange.contract import Exchange, ask
from fedgen.protocol.messages import Answer, Describe, Refusal, SiteDescription, Task, TrainRound
from fedgen.recipe import Recipe
from fedgen.run.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from fedgen.run.directory import RunDirectory
from fedgen.run.events import Aborted, Dropout, Finishing, Joined, LeftOut, RoundDone, RoundLoss, SecureRecord
from fedgen.training.vector import vector_sha256

DESCRIBE_DEADLINE = 300.0
#: Seconds in which a site that comes late has to say what it brings, while the others wait for the next round.
LATE_DEADLINE = 15.0


@dataclass(frozen=True)
class RoundReport:
    """What a person watching sees of a round."""

    round: int
    rounds: int
    losses: dict[str, tuple[float, float]]
    epsilon: float | None
    sites: tuple[str, ...]
    missing: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class Trained:
    """Result of a whole training."""

    checkpoint: Checkpoint
    sites: tuple[SiteDescription, ...]
    dropouts: int


def train(
    recipe: Recipe,
    exchange: Exchange,
    aggregator: Aggregator,
    run: RunDirectory,
    on_round: Callable[[RoundReport], None] | None = None,
    on_finishing: Told = unheard,
    on_model: Callable[[Checkpoint, float], None] = lambda state, seconds: None,
) -> Trained:
    """Train until the study's last round; continues from the newest checkpoint of `run`.

    Args:
        recipe: of the study.
        exchange: with the sites.
        aggregator: how their contributions are joined.
        run: where checkpoints and events are written.
        on_round: told each finished round.
        on_finishing: told (parts done, parts in all) of what is made of the model after the last round.
        on_model: given the state after each finished round, which it must not change, and the seconds that it took.

    Raises:
        FederationError: too few sites answered, a deadline passed, or the model is not finite.
        DataError: a checkpoint could not be written or read, or the pretrained weights not be used.
        StudyError: the pretrained weights are others than the study names.
    """
    recipe = recipe.on_frozen(run.pretrained)
    study, mechanism = recipe.study, recipe.mechanism
    state = latest_checkpoint(run.checkpoints, recipe.sha256) or (
        recipe.started(run.pretrained).initial_checkpoint()
    )
    first = state.round + 1
    sites, left_out = describe(recipe, exchange, min(first, recipe.rounds))
    for site, reason in left_out.items():
        run.event(LeftOut(site=site, reason=reason))
    # Not more than all canaries are trained on; how many are is known at the sites alone.
    canaries = study.audit.canaries
    mechanism.require_room(sum(site.sampling_rate * (site.patients + canaries) for site in sites))
    described = _Described(exchange, sites)
    aggregator.begin(sites, first)
    if state.round == 0:
        save_checkpoint(run.checkpoints, state)
    for round_number in range(first, recipe.rounds + 1):
        started = time.monotonic()
        if round_number > first:
            joined = described.admit(recipe.sha256, round_number)
            aggregator.join(joined, round_number)
            for late in joined:
                run.event(Joined(site=late.site, round=round_number))
        task = TrainRound(
            study_sha256=recipe.sha256,
            round=round_number,
            model_sha256=vector_sha256(state.model),
            model=state.model,
        )
        try:
            aggregate = aggregator.collect(
                described, task, study.aggregation.minimum_sites, study.aggregation.deadline
            )
        except FedgenError as error:
            run.event(Aborted(round=round_number, reason=str(error), code=int(error.exit_code)))
            raise
        state, losses = mechanism.advance(state, aggregate, aggregator.roster_size)
        if round_number == recipe.rounds:
            # Before it is saved: a run that is killed meanwhile gets the sites' answers again, and they pay nothing.
            state = recipe.finished(state, _finishing(run, round_number, on_finishing))
        save_checkpoint(run.checkpoints, state)
        report = RoundReport(
            round=round_number,
            rounds=recipe.rounds,
            losses=losses,
            epsilon=described.epsilon_bound(recipe, round_number),
            sites=aggregate.sites,
            missing=aggregate.missing,
            seconds=time.monotonic() - started,
        )
        _write(run, report, aggregate.secure)
        if on_round is not None:
            on_round(report)
        on_model(state, report.seconds)
    return Trained(state, described.all, len(run.read_events(Dropout)))


def _finishing(run: RunDirectory, round: int, told: Told) -> Told:
    """`told`, and an event at every tenth."""
    written = -1

    def tell(done: int, total: int) -> None:
        nonlocal written
        told(done, total)
        if 10 * done // total > written:
            written = 10 * done // total
            run.event(Finishing(round=round, done=done, total=total))

    return tell


class _Described:
    """The exchange without the sites that did not describe themselves: nobody may spend an unknown epsilon."""

    def __init__(self, exchange: Exchange, sites: Sequence[SiteDescription]) -> None:
        self._exchange = exchange
        self._sites = {site.site: site for site in sites}
        # Round before which a site that kept silent is not asked again, and how often it did.
        self._silent: dict[str, tuple[int, int]] = {}

    @property
    def all(self) -> tuple[SiteDescription, ...]:
        """What every site brings, by name."""
        return tuple(self._sites[name] for name in sorted(self._sites))

    def sites(self) -> Sequence[str]:
        """Those that can be reached now."""
        return [site for site in self._exchange.sites() if site in self._sites]

    def stream(self, tasks: Mapping[str, Task], deadline: float) -> Iterator[tuple[str, Answer]]:
        """As the exchange."""
        return self._exchange.stream(tasks, deadline)

    def admit(self, sha256: str, round: int) -> list[SiteDescription]:
        """Ask sites that came late what they bring; those that answer at once take part from this round on."""
        strangers = [
            site
            for site in self._exchange.sites()
            if site not in self._sites and round >= self._silent.get(site, (0, 0))[0]
        ]
        if not strangers:
            return []
        task = Describe(study_sha256=sha256, round=round)
        answers = ask(self._exchange, dict.fromkeys(strangers, task), LATE_DEADLINE)
        for site in set(strangers) - set(answers):
            # Each silence costs the others the deadline, so it is asked ever more rarely.
            times = self._silent.get(site, (0, 0))[1] + 1
            self._silent[site] = (round + 2**times, times)
        joined = [answer for answer in answers.values() if isinstance(answer, SiteDescription)]
        self._sites.update({site.site: site for site in joined})
        return joined

    def epsilon_bound(self, recipe: Recipe, rounds: int) -> float | None:
        """Largest epsilon of any site after so many rounds, None without privacy; neither bound is below the truth."""
        mechanism, delta = recipe.mechanism, recipe.study.privacy.delta
        bounds = []
        for site in self._sites.values():
            base = mechanism.stated(site.noise_multiplier, site.sampling_rate, site.steps_per_round)
            if site.epsilon is not None and base is not None:
                bounds.append(min(mechanism.turns.epsilon_after(base, delta, rounds), site.epsilon))
        return max(bounds, default=None)


def describe(
    recipe: Recipe, exchange: Exchange, round: int
) -> tuple[tuple[SiteDescription, ...], dict[str, str]]:
    """What each site brings, and why the others are left out: refusals are borne while enough sites remain.

    Args:
        recipe: of the study.
        exchange: reaches the sites.
        round: the round that training goes on with.

    Raises:
        TooFewSitesError: fewer sites than aggregation.minimum_sites; where all of the others refused for one and the
            same kind of reason, its exit code is that reason's.
    """
    task, fewest = Describe(study_sha256=recipe.sha256, round=round), recipe.study.aggregation.minimum_sites
    names = exchange.sites()
    asked = len(names)
    answers = ask(exchange, dict.fromkeys(names, task), DESCRIBE_DEADLINE)
    described = sorted((a for a in answers.values() if isinstance(a, SiteDescription)), key=lambda a: a.site)
    if len(described) < fewest:
        refusals = [a for a in answers.values() if isinstance(a, Refusal)]
        reasons = [f"{a.site} refused ({a.reason})" for a in refusals]
        if asked > len(answers):
            reasons.append(f"{asked - len(answers)} did not answer")
        sentence = (
            f"{len(described)} of {asked} sites can take part but aggregation.minimum_sites is "
            f"{fewest}: {'; '.join(reasons) or 'invite more sites'}."
        )
        codes = {a.code for a in refusals}
        raise TooFewSitesError(sentence, codes.pop() if len(codes) == 1 else ExitCode.FEDERATION)
    # Names anew: a transport may learn who is who from the first answers.
    left_out = dict.fromkeys(set(exchange.sites()) - set(answers), "did not describe what it brings")
    for name, answer in answers.items():
        if not isinstance(answer, SiteDescription):
            reason = (
                answer.reason if isinstance(answer, Refusal) else "answered something else than a description"
            )
            left_out[name] = reason
    return tuple(described), dict(sorted(left_out.items()))


def _write(run: RunDirectory, report: RoundReport, secure: SecureRecord | None) -> None:
    for site, reason in report.missing.items():
        run.event(Dropout(site=site, round=report.round, reason=reason))
    run.event(
        RoundDone(
            round=report.round,
            losses={name: RoundLoss(value=value, std=std) for name, (value, std) in report.losses.items()},
            epsilon=report.epsilon,
            sites=report.sites,
            seconds=round(report.seconds, 3),
            secure=secure,
        )
    )

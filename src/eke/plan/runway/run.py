"""The runway of a scenario: generations one after the other, over months, in many futures. It joins the parts.

    scenario → futures of the stock (`stock`) → what each month trains (`month`, `prices`) → dates (`timeline`)

Service keeps its promises first, training gets what is left; generations follow one another, and each is trained by
the pools that train it fastest in that month of that future.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from eke.cost import Basis, CostModel, FloatArray, IntArray, goodput
from eke.cost.goodput import Restarts
from eke.errors import InputError
from eke.models.variant import Variant
from eke.plan import gangs, planner
from eke.plan.gangs import MOVE_S
from eke.plan.interval import weakest
from eke.plan.program import Problem
from eke.plan.recipes import sites, units, units_per_chip
from eke.plan.runway import tell
from eke.plan.runway.generation import Generation, Known, Team, generation
from eke.plan.runway.month import Month, Solved, answers
from eke.plan.runway.prices import Envelope
from eke.plan.runway.result import Outlook, Runway, Sensitivity, Today
from eke.plan.runway.stock import MONTH_S, futures, quantiles
from eke.plan.runway.timeline import DAY_S, done_by, ends, until
from eke.plan.scenario import Batch, Generations, Scenario, Serve, Train

SAMPLES = 1000
MOST_GENERATIONS = 12
MOST_MONTHS = 240
TOLERANCE = 5e-3
"""Prices are looked for until, in months drawn at random, no bound is more than this above the program's own value."""
ROUNDS, DRAWN, FEW = 8, 16, 48
"""Rounds of looking, months drawn a round, and samples that are enough to choose them from."""
RARE = 0.05
"""A generation that fewer futures finish than this is the last one told of."""
NEAR = 0.03
"""Pools (and ways) whose training comes this near the best in any month stay in the choice."""

Progress = Callable[[str], None]


def make(
    scenario: Scenario, *, samples: int = SAMPLES, seed: int = 0, horizon_s: float | None = None,
    progress: Progress | None = None,
) -> Runway:  # fmt: skip
    """How many generations the stock will train while service keeps its promises, and how sure that is.

    Args:
        scenario: with `generations`; without, stated growth is assumed and said.
        samples: futures.
        seed: the same one gives the same result.
        horizon_s: instead of the scenario's.
        progress: told in a few words what is being done.

    Raises:
        InputError: nothing to train, no chips, or a number out of range.
    """
    return Outlooks(scenario, samples=samples, seed=seed, horizon_s=horizon_s, progress=progress).runway()


FAILURES = (0.25, 1.0, 4.0)
"""Times as many failures as are told beside what is taken."""
FUTURES = 100
"""Futures that are drawn again for these."""
Dates = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Way:
    """A team, and the share of a slot it keeps when it changes size at every slot; 0: it stays all day."""

    team: Team
    moves: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A generation over all futures.

    Attributes:
        rate: [samples, months] tokens/s. way: [samples, months] which of `ways` reaches it.
        start, end: [samples] seconds; inf beyond the months.
    """

    of: Generation
    ways: tuple[Way, ...]
    rate: FloatArray
    way: IntArray
    start: FloatArray
    end: FloatArray


class Outlooks:
    """A scenario, its futures, and what is known of its months."""

    def __init__(
        self, scenario: Scenario, *, samples: int = SAMPLES, seed: int = 0, horizon_s: float | None = None,
        progress: Progress | None = None, problem: Problem | None = None, known: Known | None = None,
        rounds: int = ROUNDS, slots: int | None = None, alone: bool = False, steady: bool = False,
        like: Outlooks | None = None,
    ) -> None:  # fmt: skip
        """Draw the futures.

        Args:
            scenario: as for `make`.
            samples: as for `make`.
            seed: as for `make`.
            horizon_s: as for `make`.
            progress: as for `make`.
            problem: recipes of everything but the generations, where they are known.
            known: what gangs train, where it is known; more is added.
            rounds: of looking for prices.
            slots: the most kinds of slot a day is taken to have.
            alone: each generation is trained in one pool.
            steady: each generation is trained by one gang all day.
            like: prices found there hold here too, where the recipes are the same.
        """
        self._began = time.perf_counter()
        self._say = progress or (lambda _: None)
        self.moves, self.assumed = growth_of(scenario)
        if horizon_s is not None:
            self.moves = replace(self.moves, horizon_s=horizon_s)
        _check(scenario, self.moves, samples, seed)
        if scenario.detected:
            scenario = replace(scenario, fleet=planner.measured(scenario.fleet))
        self.scenario, self.samples, self.seed = scenario, samples, seed
        self.first = next(w for w in scenario.workloads if isinstance(w, Train) and w.name == self.moves.first)
        self.per_chip = {p.name: units_per_chip(p.chip) for p in scenario.fleet.pools}
        self.most = _most_units(scenario, self.moves)
        self.restarts = restarts_of(scenario, self.moves)
        self._say("asking the cost model for recipes")
        self.known = {} if known is None else known
        self.rounds, self.alone, self.steady = rounds, alone, steady
        self.problem = problem or self._pose()
        if slots is not None:
            self.problem = fewer_slots(self.problem, slots)
        self.month = Month(self.problem, [p.name for p in scenario.fleet.pools])
        given = self.moves.mean_time_between_failures_s is not None
        per_node = {p.name: p.chips_per_node * self.per_chip[p.name] for p in scenario.fleet.pools}
        self.futures = futures(
            scenario.fleet, per_node, self.moves, intervals(scenario, self.first), samples=samples, seed=seed,
            failing=0.0 if given else goodput.SPREAD,
        )  # fmt: skip
        self.totals = self._totals()
        self.envelope = Envelope(self.month.weights, len(self.month.totals))
        if like is not None and like.problem is self.problem:
            self.envelope = like.envelope.copy()
        self.gaps: list[float] = []
        f = self.futures
        self.chips = f.units * f.serves[:, None, :]  # in units of planned serving speed
        self._rng = np.random.default_rng(seed)
        self._lean_on_service()
        flat = self.chips.reshape(-1, self.chips.shape[2])
        nothing = np.zeros((len(flat), len(self.month.totals)))
        most, self.worth = self.envelope.most(flat, nothing)
        self.most_growth = most.reshape(f.serving.shape)
        every = np.tile(self.totals, (samples, 1))
        self.kept_growth = np.minimum(f.serving, self.envelope.most(flat, every)[0].reshape(f.serving.shape))

    def _pose(self) -> Problem:
        """Recipes of everything but the generations, on pools as large as they may ever get."""
        s = self.scenario
        pools = tuple(replace(p, nodes=max(p.nodes, self._nodes(p.name))) for p in s.fleet.pools)
        others = tuple(w.name for w in s.workloads if w is not self.first)
        problem = posed(replace(s, fleet=replace(s.fleet, pools=pools)), others)
        served = {a.workload for a in answers(problem) if a.rate}
        lost = [w.name for w in problem.workloads if isinstance(w, Serve | Batch) and w.name not in served]
        if lost:
            raise InputError(
                f"{', '.join(lost)}: no pool here can run it at all",
                why="its model fits no pool, or no pool computes in a precision it may use",
                remedy="`eke plan` says more; take the workload out, or add chips that fit it",
            )
        return problem

    def _nodes(self, pool: str) -> int:
        return self.scenario.fleet.pool(pool).nodes + sum(a.nodes for a in self.moves.arrivals if a.pool == pool)

    def _totals(self) -> FloatArray:
        """Promised totals by month [months, totals]: batch work always, other training until its deadline."""
        at = np.arange(self.futures.months) * MONTH_S
        columns = []
        for name in self.month.totals:
            w = next(w for w in self.scenario.workloads if w.name == name)
            last = w.deadline_s if isinstance(w, Train) and w.deadline_s else np.inf
            columns.append((at < last).astype(float))
        return np.stack(columns, axis=1) if columns else np.zeros((self.futures.months, 0))

    def _lean_on_service(self) -> None:
        """Prices of months in which service takes everything: they say up to where promises can be kept."""
        for totals in (np.zeros(len(self.month.totals)), self.totals[0]):
            for _ in range(self.rounds):
                worst = 0.0
                for s, m in self._draw(DRAWN):
                    bound = self.envelope.most(self.chips[s, m][None], totals[None])[0][0]
                    found = self.month.most(self.chips[s, m], totals)
                    if found is None or found.value >= 1e6 * (1 - 1e-9):
                        break
                    worst = max(worst, (bound - found.value) / max(found.value, 1e-9) if isfinite(bound) else 1.0)
                    self.envelope.add(found.prices)
                if worst <= TOLERANCE:
                    break

    def _draw(self, n: int) -> list[tuple[int, int]]:
        f = self.futures
        pairs = zip(self._rng.integers(0, self.samples, n), self._rng.integers(0, f.months, n), strict=True)
        return [(int(s), int(m)) for s, m in pairs]

    # Generations

    def train(self, number: int, start: FloatArray) -> Trained:
        """Generation `number`, begun at `start` [samples]."""
        self._say(f"generation {number}: {self.samples} futures")
        of = generation(
            number, self.first, self.scenario.fleet, self.most, self.moves.compute_growth, self.moves.model_growth,
            self.restarts, self.known,
        )  # fmt: skip
        ways = self._ways(of)
        shape = self.futures.serving.shape
        if not ways:
            nothing = np.full(self.samples, np.inf)
            return Trained(of, (), np.zeros(shape), np.zeros(shape, dtype=np.int64), start, nothing)
        self._tighten(ways, start)
        few = np.arange(min(FEW, self.samples))
        rates = np.stack([self.rate(w, few) for w in ways])
        best = rates.max(axis=0)
        ways = tuple(w for w, r in zip(ways, rates, strict=True) if ((r >= best * (1 - NEAR)) & (best > 0)).any())
        ways = ways or (Way(of.teams[0], 0.0),)
        everyone = np.arange(self.samples)
        rates = np.stack([self.rate(w, everyone) for w in ways])
        way = rates.argmax(axis=0)
        rate = rates.max(axis=0)
        return Trained(of, ways, rate, way, start, ends(rate, start, of.workload.tokens))

    def _ways(self, of: Generation) -> tuple[Way, ...]:
        teams = [t for t in of.teams if len(t.pools) == 1 or not self.alone]
        ways = [Way(t, 0.0) for t in teams]
        if len(self.month.weights) > 1 and not self.steady:
            kept = max(0.0, 1 - MOVE_S / self.problem.slot_s)
            ways += [Way(t, kept) for t in teams if kept > 0]
        return tuple(ways)

    def speed(self, way: Way, of: IntArray) -> FloatArray:
        """What a unit of each pool trains [samples, pools], for units of planned serving speed."""
        return way.team.speed * self.futures.trains[of] / self.futures.serves[of]

    def strength(self, way: Way, of: IntArray) -> FloatArray:
        """Strength of the gang that service leaves [samples, months]."""
        return self.envelope.value(
            self.chips[of], self.kept_growth[of], self.totals, self.speed(way, of), way.moves
        )  # fmt: skip

    def rate(self, way: Way, of: IntArray, restarts: Restarts | None = None, failing: float = 1.0) -> FloatArray:
        """Tokens/s [samples, months]."""
        lead = way.team.pools[0]
        f = self.futures
        return way.team.trains(
            self.strength(way, of), f.trains[of, lead], restarts or self.any_restarts, f.failing[of] * failing,
            f.restless[of],
        )  # fmt: skip

    @property
    def any_restarts(self) -> Restarts:
        """Recovery and checkpoints, which are the same for all pools."""
        return next(iter(self.restarts.values()))

    def _tighten(self, ways: tuple[Way, ...], start: FloatArray) -> None:
        """Look for prices until months drawn at random (from `start` on) are bounded to within `TOLERANCE` by those
        known.
        """
        begun = start[np.isfinite(start)]
        earliest = min(int(begun.min(initial=np.inf) / MONTH_S), self.futures.months - 1) if len(begun) else 0
        for i, (s, m) in enumerate(self._draw(2 * len(ways))):
            self.solve(ways[i % len(ways)], s, max(m, earliest))
        gaps = [0.0]
        for _ in range(self.rounds):
            few = self._rng.choice(self.samples, min(FEW, self.samples), replace=False)
            rates = np.stack([self.rate(w, few) for w in ways])
            best = rates.argmax(axis=0)
            gaps = [0.0]
            for _ in range(DRAWN):
                i, m = int(self._rng.integers(len(few))), int(self._rng.integers(earliest, self.futures.months))
                way, s = ways[int(best[i, m])], int(few[i])
                bound = float(self.strength(way, np.array([s]))[0, m])
                found = self.solve(way, s, m)
                if found is not None and bound > 0:
                    gaps.append((bound - found.value) / bound)
            if max(gaps) <= TOLERANCE:
                break
        self.gaps.append(float(np.mean(gaps)))

    def solve(self, way: Way, s: int, m: int) -> Solved | None:
        """The program of one month of one future, its prices added."""
        growth, speed = self.kept_growth[s, m], self.speed(way, np.array([s]))[0]
        found = self.month.train(self.chips[s, m], growth * (1 - 1e-6), self.totals[m], speed, way.moves)
        if found is not None:
            self.envelope.add(found.prices)
        return found

    def trained(self) -> list[Trained]:
        """Generations one after the other, until one that hardly any future finishes."""
        start, found = np.zeros(self.samples), []
        horizon = self.moves.horizon_s
        for number in range(1, MOST_GENERATIONS + 1):
            now = self.train(number, start)
            found.append(now)
            start = np.where(now.end <= horizon, now.end, np.inf)
            if np.isfinite(start).mean() < RARE:
                break
        return found

    # What they say

    def today(self, first: Trained) -> Today:
        """The first month beside the plan: at the plan's speeds and failures, with all chips it can be made with."""
        chips = np.array([float(units(p)) for p in self.scenario.fleet.pools])
        found = [
            float(np.interp(solved.value, w.team.strength, w.team.rate) * gangs.kept(chips[list(w.team.pools)].sum()))
            for w in self._ways(first.of)
            for solved in [self.month.train(chips, 1.0, self.totals[0], w.team.speed, w.moves)]
            if solved is not None
        ]
        self._say("beside the plan")
        done = next(w for w in planner.make(self.scenario).workloads if w.name == self.first.name)
        return Today(max(found, default=None), done.tokens_per_s or None)

    def runway(self) -> Runway:
        """All of it."""
        found = self.trained()
        horizon = self.moves.horizon_s
        done = np.stack([share_done(t, horizon) for t in found], axis=1)
        serving = self.serving_until()
        training = self.training_until(found[0])
        out, shares = self._runs_out(serving, training)
        whole = np.sort(np.stack([t.end <= horizon for t in found], axis=1).sum(axis=1))[::-1]
        places = {"p10": 0.9, "p50": 0.5, "p90": 0.1}
        finished = {k: float(whole[min(int(self.samples * q), self.samples - 1)]) for k, q in places.items()}
        today = self.today(found[0])
        seconds = {"total": time.perf_counter() - self._began}
        return Runway(
            self.scenario.name, horizon / DAY_S, self.samples, self.seed,
            tuple(self._outlook(t, d) for t, d in zip(found, done.T, strict=True)),
            round(float(done.sum(axis=1).mean()), 3), finished,
            quantiles(serving / DAY_S, horizon / DAY_S), float((serving > horizon).mean()),
            quantiles(training / DAY_S, horizon / DAY_S), float((training > horizon).mean()),
            out, shares, {"serving": self.serving_basis, "training": basis_of(found[0])},
            tell.months(self), self._sensitivity(found), tell.assumptions(self), today,
            max(self.gaps, default=0.0), seconds,
        )  # fmt: skip

    @property
    def serving_basis(self) -> Basis | None:
        """Of the least known speed that serving rests on."""
        return weakest(*(r.basis for r in self.problem.recipes if r.kind == "serve"))

    def serving_until(self) -> FloatArray:
        """When the promises of serving can no longer be kept with all chips [samples], in seconds."""
        if not any(isinstance(w, Serve) for w in self.problem.workloads):
            return np.full(self.samples, np.inf)
        slack = self.most_growth / self.futures.serving - 1.0
        late = [w for w in self.problem.workloads if isinstance(w, Serve) and tell.breaks(self.problem, w.name)]
        return np.zeros(self.samples) if late else until(slack)

    def training_until(self, first: Trained) -> FloatArray:
        """When what service leaves no longer trains a model like the first by its deadline (without one: at all)."""
        pace = self.first.tokens_per_s or 1e-9
        return until(first.rate / pace - 1.0)

    def _runs_out(self, serving: FloatArray, training: FloatArray) -> tuple[str, dict[str, float]]:
        """The kind of chip that is short when the first of both stops sufficing."""
        when, horizon = np.minimum(serving, training), self.moves.horizon_s
        short = when <= horizon
        names = [p.name for p in self.scenario.fleet.pools]
        nothing = f"nothing within {horizon / MONTH_S:.3g} months"
        if not short.any():
            return nothing, dict.fromkeys(names, 0.0)
        f = self.futures
        month = np.clip((np.where(short, when, 0.0) / MONTH_S).astype(np.int64), 0, f.months - 1)
        worth = self.worth.reshape(self.samples, f.months, -1)[np.arange(self.samples), month]
        worst = worth.argmax(axis=1)[short]
        shares = {n: round(float((worst == i).sum() / self.samples), 3) for i, n in enumerate(names)}
        name = max(shares, key=lambda n: shares[n])
        use = "serving" if (serving <= training)[short].mean() >= 0.5 else "training"
        said = f"{name} ({self.scenario.fleet.pool(name).chip.name}), for {use}"
        often = short.mean()
        return (said if often >= 0.5 else f"{nothing} in {1 - often:.1%} of futures; else {said}"), shares

    def _outlook(self, t: Trained, done: FloatArray) -> Outlook:
        horizon, a = self.moves.horizon_s / DAY_S, t.of.workload.architecture
        finishes = t.end <= self.moves.horizon_s
        pools, binds, kept, rate = tell.halfway(self, t)
        return Outlook(
            t.of.name, t.of.workload.model, a.parameters, a.active_parameters, t.of.workload.tokens, t.of.flop,
            quantiles(t.start / DAY_S, horizon), quantiles(t.end / DAY_S, horizon), round(float(finishes.mean()), 4),
            round(float(done.mean()), 4), pools, binds, kept, rate,
            basis_of(t) or "", self._rests_on(t, pools),
        )  # fmt: skip

    def _rests_on(self, t: Trained, pools: Mapping[str, float]) -> dict[str, float]:
        """Share of a gang's speed, chips in `pools`, by how well the speeds of its kinds are known."""
        if not t.ways:
            return {}
        team, parts, owned = taken(t).team, dict[str, float](), self.scenario.fleet.pools
        for i, r in zip(team.pools, team.recipes, strict=True):
            part = pools.get(owned[i].name, 0.0) * self.per_chip[owned[i].name] * float(team.speed[i])
            parts[r.basis] = parts.get(r.basis, 0.0) + part
        total = sum(parts.values())
        return {basis: part / total for basis, part in parts.items() if part}

    def _sensitivity(self, found: list[Trained]) -> tuple[Sensitivity, ...]:
        """Dates if chips failed more or less often: those of all futures, moved as the first `FUTURES` of them move."""
        few, horizon = np.arange(min(self.samples, FUTURES)), self.moves.horizon_s
        ended: dict[float, list[Dates]] = {}
        done: dict[float, float] = {}
        for times in FAILURES:
            start, ended[times], total = np.zeros(len(few)), [], np.zeros(len(few))
            for t in found:
                rate = np.max([self.rate(w, few, failing=times) for w in t.ways], axis=0) if t.ways else None
                end = np.full(len(few), np.inf) if rate is None else ends(rate, start, t.of.workload.tokens)
                ended[times].append(quantiles(end / DAY_S, horizon / DAY_S))
                if rate is not None:
                    total += share_done(replace(t, rate=rate, start=start), horizon)
                start = np.where(end <= horizon, end, np.inf)
            done[times] = float(total.mean())
        all_done = sum(float(share_done(t, horizon).mean()) for t in found)
        told = []
        for times in FAILURES:
            days: dict[str, Dates] = {}
            for t, one, then in zip(found, ended[1.0], ended[times], strict=True):
                dates = quantiles(t.end / DAY_S, horizon / DAY_S)
                days[t.of.name] = {k: _moved(dates[k], one[k], then[k], horizon / DAY_S) for k in dates}
            middle = {name: d["p50"] for name, d in days.items()}
            spans = {name: (d["p10"], d["p90"]) for name, d in days.items()}
            total_done = round(all_done + done[times] - done[1.0], 3)
            told.append(Sensitivity("all chips", times, middle, total_done, spans))
        return tuple(told)


def _moved(day: float | None, one: float | None, then: float | None, horizon: float) -> float | None:
    """A day of all futures, moved by as much as that of some of them moves from `one` to `then`; None: beyond."""
    if day is None or one is None or then is None:
        return then if one is None else None
    moved = day * then / one
    return round(moved, 1) if moved <= horizon else None


def basis_of(t: Trained) -> Basis | None:
    """Of the least known speed that a generation's training rests on, in the way that most futures take."""
    return weakest(*(r.basis for r in taken(t).team.recipes)) if t.ways else None


def taken(t: Trained) -> Way:
    """The way that most futures train a generation in."""
    return t.ways[int(np.bincount(t.way[t.rate > 0], minlength=len(t.ways)).argmax())]


def posed(scenario: Scenario, names: tuple[str, ...]) -> Problem:
    """The planner's recipes of some workloads; prompts and answers by the same replicas, so that each stands alone."""
    whole = replace(scenario, without=scenario.without | {"prefill-decode-split"})
    return planner.pose(whole, only=names)


def fewer_slots(problem: Problem, most: int) -> Problem:
    """The problem with at most so many kinds of slot: those that ask for about as much are one, at their mean."""
    asked = np.array([d / max(d.max(), 1e-12) for d in problem.demand.values()])
    if len(problem.weights) <= most or not len(asked):
        return problem
    parts = np.array_split(np.argsort(asked.sum(axis=0), kind="stable"), most)
    weights = np.array([problem.weights[p].sum() for p in parts])
    demand = {
        n: np.array([float(problem.weights[p] @ d[p]) / w for p, w in zip(parts, weights, strict=True)])
        for n, d in problem.demand.items()
    }
    slots = tuple(tuple(s for i in p for s in problem.slots[i]) for p in parts)
    return replace(problem, weights=weights, slots=slots, demand=demand)


def share_done(t: Trained, horizon_s: float) -> FloatArray:
    """Share of a generation done by the horizon [samples]."""
    begun = np.isfinite(t.start)
    tokens = done_by(t.rate, np.full(len(t.rate), horizon_s)) - done_by(t.rate, np.where(begun, t.start, 0.0))
    done: FloatArray = np.where(begun, np.minimum(tokens / t.of.workload.tokens, 1.0), 0.0)
    return done


def growth_of(scenario: Scenario) -> tuple[Generations, bool]:
    """How demand and stock move; assumed where the scenario does not say (and whether it was).

    A generation after the first: 3 times the FLOP and 1.7 times the weights, as from DeepSeek-V2 (236B, 21B active,
    8.1T tokens; arXiv 2405.04434) to V3 (671B, 37B active, 14.8T; arXiv 2412.19437): 3.2 times the FLOP, 1.76 times
    the active weights.
    """
    if scenario.generations is not None:
        return scenario.generations, False
    jobs = sorted((w for w in scenario.workloads if isinstance(w, Train)), key=lambda w: w.priority)
    if not jobs:
        raise InputError(
            f"{scenario.name}: there is no training, so there are no generations",
            why="a runway counts how many generations of a model the stock will train",
            remedy="add a train workload, and generations:\n" + example("next"),
        )
    return Generations(jobs[0].name, 3.0, 1.7, 0.0, 36 * MONTH_S), True


def example(first: str) -> str:
    """A `generations` section that works."""
    return (
        "generations:\n"
        f"  first: {first}\n"
        "  compute_growth: 3.0\n"
        "  model_growth: 1.7\n"
        "  serving_growth: 4%/mo\n"
        "  horizon: 36 mo\n"
        "  attrition: {default: 6%/y}\n"
        "  restarts: {mean_time_between_failures: 50 kh, recovery: 12 min}"
    )


def _check(scenario: Scenario, moves: Generations, samples: int, seed: int) -> None:
    if not 1 <= samples <= 100_000:
        raise InputError(f"samples: {samples} must be between 1 and 100,000", remedy="--samples 1000")
    if seed < 0:
        raise InputError(f"seed: {seed} must not be negative", remedy="--seed 0")
    if not 0 < moves.horizon_s <= MOST_MONTHS * MONTH_S:
        raise InputError(
            f"horizon: {moves.horizon_s / MONTH_S:.4g} months must be more than 0 and at most {MOST_MONTHS}",
            remedy="--horizon '36 mo'",
        )
    if not sum(p.nodes for p in scenario.fleet.pools) and not any(a.nodes and a.chance for a in moves.arrivals):
        raise InputError(
            f"{scenario.name}: the fleet has no nodes, and none will arrive",
            remedy="fleet: {pools: [{name: h20, chip: H20-96, nodes: 16}]}",
        )
    if moves.serving_growth_per_s * MONTH_S > 10:
        raise InputError(
            f"generations.serving_growth: {moves.serving_growth_per_s * MONTH_S:.4g} a month must be at most 10",
            remedy="serving_growth: 4%/mo",
        )


def _most_units(scenario: Scenario, moves: Generations) -> dict[str, int]:
    """Units of each pool with everything that may arrive."""
    found = {}
    for p in scenario.fleet.pools:
        more = sum(a.nodes for a in moves.arrivals if a.pool == p.name)
        found[p.name] = units(replace(p, nodes=p.nodes + more))
    return found


def restarts_of(scenario: Scenario, moves: Generations) -> dict[str, Restarts]:
    """What failures cost in each pool: as the scenario says, else as three fleets published."""
    found = {}
    for pool in scenario.fleet.pools:
        r = Restarts(basis="published" if pool.chip.vendor == "NVIDIA" else "unknown")
        if moves.mean_time_between_failures_s is not None:
            r = replace(r, chip_s=moves.mean_time_between_failures_s, basis="scenario")
        found[pool.name] = replace(
            r, recovery_s=moves.recovery_s or r.recovery_s, stall_s=moves.checkpoint_stall_s or r.stall_s,
            interval_s=moves.checkpoint_s,
        )  # fmt: skip
    return found


def intervals(scenario: Scenario, first: Train) -> dict[tuple[str, bool], tuple[float, float]]:
    """80% interval of predicted seconds by (chip, training)."""
    found: dict[tuple[str, bool], tuple[float, float]] = {}
    variant = Variant("bf16", 16.0, "bf16", 16.0, None)
    for site, names in sites(scenario.fleet.pools):
        for training in (False, True):
            cost: CostModel = site.cost(first.architecture, variant, training=training)
            for name in names:
                found[scenario.fleet.pool(name).chip.name, training] = cost.interval
    return found

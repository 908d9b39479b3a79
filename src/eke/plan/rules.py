"""Rules of thumb: what people do without a program, on the same recipes, under the same cost model.

A rule says which recipes answer which workload where, slot by slot: serving first, by priority; batch work in what
serving leaves idle off its peak, then beside it. Training is then laid out on the rest as well as the program itself
can, so that what a plan gains over a rule is gained by who serves where, and by nothing else. Latency, memory, gangs
and whole nodes are as in the plan: the rule chooses among the same recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan import assemble, branches, planner, program, solve, starts
from eke.plan.interval import Speeds
from eke.plan.marginal import Marginal, as_in, stands
from eke.plan.plan import Plan
from eke.plan.program import Problem, Program
from eke.plan.recipes import Recipe
from eke.plan.scenario import Batch, Scenario, Serve, Train

SECONDS = 2.0
"""CPU seconds to lay out training beside what a rule serves."""
GAP = 2e-3
MELANGE_S = 0.5
"""CPU seconds for the least-cost program of one workload in one slot."""


@dataclass
class Desk:
    """What is placed so far.

    Attributes:
        replicas: of each recipe in each class of slots, [recipes, classes].
        free: units left of each pool in each class of slots.
    """

    problem: Problem
    replicas: IntArray
    free: dict[str, IntArray] = field(default_factory=dict)

    def put(self, recipe: int, count: IntArray) -> None:
        """Add `count` replicas, one number a class of slots."""
        r = self.problem.recipes[recipe]
        self.replicas[recipe] += count
        self.free[r.pool] = self.free[r.pool] - count * r.units

    def room(self, recipe: int) -> IntArray:
        """Replicas that still fit, by class of slots."""
        r = self.problem.recipes[recipe]
        return np.maximum(self.free[r.pool], 0) // r.units

    def recipes(self, name: str, pool: str, model: str) -> list[int]:
        """Recipes of a workload that answer by `model` in a pool."""
        return [
            i
            for i, r in enumerate(self.problem.recipes)
            if r.workload == name and r.pool == pool and r.model == model and r.role in ("mixed", "batch")
        ]


Moving = tuple[Plan, Marginal]
"""A plan, and how it moves with speeds."""
Order = Callable[[Serve | Batch], Sequence[str]]
"""Pools in the order a rule fills them for a workload."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of thumb: its name, what it says, and how it places what is served."""

    name: str
    says: str
    place: Callable[[Desk], None]


def follow(rule: Rule, scenario: Scenario, problem: Problem | None = None, *, across: bool = True) -> Plan:
    """The plan that a rule of thumb gives; `feasible` when it keeps all promises. It states no bound and no prices.

    Args:
        rule: one of `RULES`.
        scenario: what is owned and owed; `planner.ready`, when `problem` is given.
        problem: the scenario's, where it is posed already.
        across: a job may train over several pools in step, which few systems do; else it stands in one.
    """
    if problem is None:
        scenario = planner.ready(scenario)
        problem = planner.pose(scenario)
    return _followed(rule, scenario, problem, across=across)[0]


def moving(rule: Rule, scenario: Scenario, problem: Problem, speeds: Speeds, *, across: bool = True) -> Moving:
    """The same, and how it moves with speeds: the rule takes fewer replicas where they are faster."""
    made, built, goal, x = _followed(rule, scenario, problem, across=across)
    served = built.runs.at[~built.runs.gang]
    lower, upper = (bound.copy() for bound in as_in(built, goal.promises, stands(built, x)))
    lower[served] = upper[served] = x[served]
    return made, Marginal(built, goal, speeds, (lower, upper), served)


def _followed(
    rule: Rule, scenario: Scenario, problem: Problem, *, across: bool
) -> tuple[Plan, Program, planner.Aim, FloatArray]:
    recipes = tuple(r for r in problem.recipes if r.holds and (across or not r.joint))
    problem = replace(problem, recipes=recipes)
    desk = Desk(problem, np.zeros((len(problem.recipes), len(problem.weights)), dtype=np.int64))
    desk.free = {p: np.full(len(problem.weights), n, dtype=np.int64) for p, n in problem.units.items()}
    rule.place(desk)
    kept = [i for i, r in enumerate(recipes) if r.kind == "train" or desk.replicas[i].any()]
    desk = Desk(replace(problem, recipes=tuple(recipes[i] for i in kept)), desk.replicas[kept])
    built = program.build(desk.problem)
    goal = planner.aim(built)
    x = starts.paid(built, goal.combined, goal.tie, assemble.trim(built, _trained(built, goal, desk)))
    outcome = solve.Outcome(x, 0.0, np.inf, solve.NOTHING)
    made = assemble.plan(scenario, built, goal, outcome, (), {"recipes": 0.0, "solve": 0.0, "total": 0.0})
    objective = replace(made.objective, bound=None, gap=None)
    made = replace(made, feasible=all(w.met for w in made.workloads), objective=objective, notes=())
    return made, built, goal, x


def _trained(built: Program, goal: planner.Aim, desk: Desk) -> FloatArray:
    """Columns with what is placed, and training on the rest: promises first, then the objective."""
    runs = built.runs
    lower, upper = built.promised(())
    lower = lower.copy()
    served = ~runs.gang
    lower[runs.at[served]] = upper[runs.at[served]] = desk.replicas[runs.recipe[served], runs.slot[served]]
    upper[runs.at[served]] = lower[runs.at[served]]
    objective, promised = goal.combined, built.promised(goal.promises)[1]
    promised[runs.at[served]] = lower[runs.at[served]]
    best = branches.optimise(built, objective, (lower, promised), seconds=SECONDS, gap=GAP)
    if best.x is not None:
        return best.x
    missing = sum((built.kept(w.name) for w in desk.problem.workloads), np.zeros(len(objective)))
    kept = branches.optimise(built, missing, (lower, upper), seconds=SECONDS, gap=GAP, moving=0.0)
    assert kept.x is not None, "nothing but what is placed is always a plan"
    for columns in built.missing.values():
        upper[columns] = np.minimum(upper[columns], kept.x[columns] + 1e-9)
    best = branches.optimise(built, objective, (lower, upper), seconds=SECONDS, gap=GAP)
    return kept.x if best.x is None else best.x


def _fill(desk: Desk, order: Order) -> None:
    """Each workload's pools in order, until it is answered."""
    for w in _by_priority(desk.problem):
        pools = order(w)
        if isinstance(w, Serve):
            left = desk.problem.demand[w.name].copy()
            for pool in pools:
                left = _serve(desk, w, pool, left)
        else:
            _pile(desk, w, pools)


def _by_priority(problem: Problem) -> Iterator[Serve | Batch]:
    """Serving before batch work, each by priority, then as written."""
    ranked = sorted(problem.workloads, key=lambda w: (w.kind == "batch", w.priority))
    return (w for w in ranked if not isinstance(w, Train))


def _serve(desk: Desk, w: Serve, pool: str, rate: FloatArray) -> FloatArray:
    """Answer `rate` (by class of slots) in a pool, by the one recipe that answers most of its peak on fewest chips;
    what is left of it.
    """
    peak = int(np.argmax(rate))
    best, worth = None, (0.0, 0.0)
    for i in desk.recipes(w.name, pool, w.model):
        r = desk.problem.recipes[i]
        count = min(int(np.ceil(rate[peak] / r.rate - 1e-9)), int(desk.room(i)[peak]))
        gives = min(count * r.rate, rate[peak])
        if count and (gives * (1 - 1e-6), -count * r.units) > worth:
            best, worth = i, (gives, -float(count * r.units))
    if best is None:
        return rate
    each = desk.problem.recipes[best].rate
    count_of = np.minimum(np.ceil(rate / each - 1e-9).astype(np.int64), desk.room(best))
    desk.put(best, count_of)
    return np.maximum(rate - count_of * each, 0.0)


def _pile(desk: Desk, w: Batch, pools: Sequence[str]) -> None:
    """Batch work: first where serving leaves chips idle off its peak, then all day."""
    left, weights = w.requests_per_s, desk.problem.weights
    for all_day in (False, True):
        for pool in pools:
            found = desk.recipes(w.name, pool, w.model)
            if left <= 1e-12 or not found:
                continue
            best = max(found, key=lambda i: _per_unit(desk.problem.recipes[i]))
            r, room = desk.problem.recipes[best], desk.room(best)
            free = desk.free[pool]
            most = np.full(len(weights), room.min()) if all_day else np.minimum(room, (free - free.min()) // r.units)
            if float(weights @ most) * r.rate > left:
                most = _scaled(most, left / r.rate, weights)
            desk.put(best, most)
            left -= float(weights @ most) * r.rate


def _scaled(most: IntArray, wanted: float, weights: FloatArray) -> IntArray:
    """The lowest level of replicas, not above `most`, whose mean over the day is `wanted`."""
    level = next(n for n in range(int(most.max()) + 1) if float(weights @ np.minimum(most, n)) >= wanted - 1e-9)
    return np.minimum(most, level)


def _per_unit(r: Recipe) -> float:
    return r.rate / r.units


def _best(desk: Desk, w: Serve | Batch, pool: str) -> float:
    """Most requests/s a chip of the pool gives a workload; 0 where it cannot."""
    return max(
        (_per_unit(desk.problem.recipes[i]) * desk.problem.per_chip[pool] for i in desk.recipes(w.name, pool, w.model)),
        default=0.0,
    )


def strength(problem: Problem) -> dict[str, float]:
    """Training FLOP/s a chip of each pool, at its best; of pools that cannot train, their peak far below."""
    found = {p: 1e-3 * problem.worth.get(p, 1.0) for p in problem.units}
    for r in problem.recipes:
        if r.kind == "train" and not r.joint and r.units <= problem.units[r.pool]:
            found[r.pool] = max(found[r.pool], _per_unit(r) * r.flop_per_token * problem.per_chip[r.pool])
    return found


def _weak_first(desk: Desk) -> None:
    strong = strength(desk.problem)
    _fill(desk, lambda _: sorted(desk.problem.units, key=lambda p: strong[p]))


def _by_price(desk: Desk) -> None:
    price = {p: desk.problem.worth.get(p, 1.0) for p in desk.problem.units}
    _fill(desk, lambda w: sorted(price, key=lambda p: price[p] / max(_best(desk, w, p), 1e-12)))


def _by_throughput(desk: Desk) -> None:
    _fill(desk, lambda w: sorted(desk.problem.units, key=lambda p: -_best(desk, w, p)))


def _split(desk: Desk) -> None:
    """Every pool answers its share, by chips and their peak; what one cannot answer goes to the others, weak first."""
    problem = desk.problem
    weight = {p: n / problem.per_chip[p] * problem.worth.get(p, 1.0) for p, n in problem.units.items()}
    strong = strength(problem)
    for w in _by_priority(problem):
        able = [p for p in problem.units if weight[p] > 0 and _best(desk, w, p) > 0]
        pools = sorted(able, key=lambda p: strong[p])
        if isinstance(w, Batch):
            _pile(desk, w, pools)
            continue
        left, total = np.zeros(len(problem.weights)), sum(weight[p] for p in able)
        for pool in pools:
            left += _serve(desk, w, pool, problem.demand[w.name] * weight[pool] / total)
        for pool in pools:
            left = _serve(desk, w, pool, left)


def _one_kind(desk: Desk) -> None:
    """A model to a kind of chip: the largest model first, each to the free pool that serves it on the smallest part of
    itself; when all pools have a model, to the one with most room. What does not fit goes on to the next.
    """
    problem, strong = desk.problem, strength(desk.problem)
    jobs = any(isinstance(w, Train) for w in problem.workloads)
    kept = max(problem.units, key=lambda p: strong[p] * problem.units[p]) if jobs and len(problem.units) > 1 else ""
    home: dict[str, str] = {}
    served = sorted(_by_priority(problem), key=lambda w: (-w.architecture.active_parameters, w.kind == "batch"))
    for w in served:
        able = [p for p in problem.units if _best(desk, w, p) > 0]
        free = [p for p in able if p not in home.values() and p != kept] or [p for p in able if p != kept] or able
        if w.model not in home and free:
            home[w.model] = max(free, key=lambda p: _best(desk, w, p) * problem.units[p] / problem.per_chip[p])

    def order(w: Serve | Batch) -> list[str]:
        others = sorted((p for p in problem.units if p != home.get(w.model)), key=lambda p: strong[p])
        return [home[w.model], *others] if w.model in home else others

    _fill(desk, order)


def _melange(desk: Desk) -> None:
    """Least cost for each workload by itself, in whole replicas (Mélange, arXiv 2404.14527), one after the other on
    what is left; a chip costs its peak.
    """
    problem = desk.problem
    price = {p: problem.worth.get(p, 1.0) / problem.per_chip[p] for p in problem.units}
    cheap = sorted(problem.units, key=lambda p: price[p])
    for w in _by_priority(problem):
        if isinstance(w, Batch):
            _pile(desk, w, sorted(cheap, key=lambda p: price[p] / max(_best(desk, w, p), 1e-12)))
            continue
        mine = [i for p in problem.units for i in desk.recipes(w.name, p, w.model)]
        count = np.zeros((len(mine), len(problem.weights)), dtype=np.int64)
        for t, rate in enumerate(problem.demand[w.name]):
            if rate > 0 and mine:
                count[:, t] = _cheapest(desk, mine, price, float(rate), t)
        for i, n in zip(mine, count, strict=True):
            desk.put(i, n)


def _cheapest(desk: Desk, mine: list[int], price: dict[str, float], rate: float, t: int) -> IntArray:
    """Replicas of the recipes `mine` that answer `rate` in slot class t at least cost; as much as can be where not
    all can.
    """
    recipes = [desk.problem.recipes[i] for i in mine]
    pools = list(desk.problem.units)
    n, column = len(mine), np.arange(len(mine))
    unit = np.array([r.units for r in recipes], dtype=float)
    gives = np.array([min(r.rate, rate) for r in recipes])
    pool = np.array([pools.index(r.pool) for r in recipes], dtype=np.int64)
    cost = np.array([price[r.pool] for r in recipes]) * unit
    posed = solve.Posed(
        np.zeros(n + 1),
        np.append(np.full(len(pools), -np.inf), rate),
        np.append([float(max(0, desk.free[p][t])) for p in pools], np.inf),
        np.concatenate([pool, np.full(n + 1, len(pools))]),
        np.concatenate([column, column, [n]]),
        np.concatenate([unit, gives, [1.0]]),
    )
    unanswered = 1e3 * float(cost.max() / gives.min())  # beside which no chip counts
    objective = -np.append(cost, unanswered)
    upper = np.append([float(desk.room(i)[t]) for i in mine], rate)
    whole = np.append(np.ones(n, dtype=bool), False)
    found = solve.search(posed, objective, (posed.lower, upper), whole, seconds=MELANGE_S, gap=1e-3)
    return np.zeros(n, dtype=np.int64) if found.x is None else found.x[:n].astype(np.int64)


RULES = (
    Rule("strong trains, weak serves", "serve on the weakest chips that can, train on the rest", _weak_first),
    Rule("equal split", "every pool answers its share of every workload, by chips and their peak", _split),
    Rule("greedy by price", "each workload where a request costs least, chips priced by their peak", _by_price),
    Rule("greedy by throughput", "each workload where a chip answers most requests", _by_throughput),
    Rule("one model per kind", "each model has a kind of chip of its own, training the strongest", _one_kind),
    Rule("least cost per model", "Mélange's program for one model after the other, then train on the rest", _melange),
)


def compared(scenario: Scenario, problem: Problem | None = None, *, across: bool = True) -> dict[str, Plan]:
    """What every rule gives, by its name; the arguments are those of `follow`."""
    if problem is None:
        scenario = planner.ready(scenario)
        problem = planner.pose(scenario)
    return {rule.name: follow(rule, scenario, problem, across=across) for rule in RULES}

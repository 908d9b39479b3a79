"""What every optimisation is worth in chips: the same demand, planned with and without it.

The demand is what the stock can do with everything: all promises, and the most the relaxation reaches of the
objective. How many chips that takes is asked of the same program with its stock left open:

    u[p] ≤ n_p (1 + e_p)    the chips of pool p alone may grow or shrink:   e_p least, one pool at a time
    u[p] ≤ n_p m            the whole stock does, in its own mix:           m least

    chips_saved[p]  (e_p without - e_p with) n_p: chips of that kind alone that would replace the optimisation
    stock_saved     (m without - m with) Σ n_p: chips of the stock's own mix
    alone           m with nothing - m with it alone
    fair_share      Shapley's value over groups, every coalition asked; inside a group in proportion to what its members
                    save alone and last

All are relaxations (shares of a replica, gangs of any size up to `GROWN` times a pool), so a saving has no rounding in
it. Less software never frees chips: every set of rows and columns without an optimisation lies inside the one with it,
but for mixed-placement, whose equal shares depend on the recipes there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from math import factorial
from typing import Any

from eke.cost import Basis
from eke.errors import Infeasible, InputError
from eke.plan import planner, program
from eke.plan.interval import Estimate, Span, Speeds, told, weakest
from eke.plan.optimisations import ALL, Optimisation
from eke.plan.program import Problem
from eke.plan.recipes import Recipe
from eke.plan.scenario import Scenario, Serve, Train
from eke.plan.serving import Seen
from eke.plan.stock import GROWN, Open, lean

FORMAT = "eke.savings/1"
BARE = "without them"
"""The first step of the waterfall."""
IDLE = "with everything else, it spares only chips of which enough are left over without it"
"""Why nothing is saved of the mix where chips of some pool are."""
LOST = "with everything else, nothing is lost without it"
SLACK = 1e-6
"""Share of the objective that counting may lose, and of a chip that is none."""


@dataclass(frozen=True, slots=True)
class Saving:
    """What one optimisation is worth. Chips; None where no number of chips would replace it.

    Attributes:
        used: whether the plan uses it. reason: why not, or why there is no number.
        chips_saved: by pool. stock_saved, alone, fair_share: chips of the stock's own mix.
        basis: of the least known speed that the row rests on. rests_on: share of what speeds move in it, by basis.
        interval: of each number, 80% by the cost model.
    """

    name: str
    group: str
    says: str
    used: bool
    chips_saved: Mapping[str, float | None]
    stock_saved: float | None
    alone: float | None
    fair_share: float | None
    reason: str | None
    basis: Basis | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Savings:
    """Every optimisation's worth for one scenario.

    Attributes:
        chips: owned. needed: chips of the stock's own mix that the demand takes with everything; `bare`: with nothing
            of `shared`, the groups whose savings add up to what lies between.
        basis: of the least known speed they rest on. rests_on: share of what speeds move in `bare` and in what is
            saved, by basis. interval: of `bare`, of all that is `saved` and of what is `shared`, 80% by the cost model.
    """

    scenario: str
    chips: float
    needed: float
    bare: float | None
    shared: Mapping[str, float]
    pools: tuple[str, ...]
    basis: Basis | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Any]
    optimisations: tuple[Saving, ...]

    def to_dict(self) -> dict[str, Any]:
        """What `eke savings -o json` prints."""
        return {"format": FORMAT, **asdict(self)}


def savings(scenario: Scenario, *, progress: Callable[[str], None] | None = None) -> Savings:
    """What every optimisation saves in `scenario`.

    Raises:
        Infeasible: not all promises can be kept, so there is no demand to hold.
    """
    say = progress or (lambda _: None)
    say("planning with everything")
    counted = Counted(scenario)
    named = [o for o in ALL if o.planned and o.name not in scenario.without]
    idle = {o.name: why for o in named if (why := counted.idle(o))}
    asked = [o for o in named if o.name not in idle]
    say("planning without each")
    with_all, full = counted.both(frozenset())
    assert with_all is not None
    stock, least = {}, {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for o, both in zip(asked, threads.map(lambda o: counted.both(frozenset({o.name})), asked), strict=True):
            stock[o.name], least[o.name] = both
    fixed = frozenset(o.name for o in asked if stock[o.name] is None)  # nothing holds without them
    free = [o for o in asked if o.name not in fixed]
    bare = frozenset(o.name for o in free)
    say("planning with each alone")
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        nothing, *single = threads.map(counted.stock, [bare, *(bare - {o.name} for o in free)])
    alone = {o.name: _less(nothing, found) for o, found in zip(free, single, strict=True)}
    say("sharing out what they save together")
    shared = _shared(free, counted.stock, say) if nothing is not None else {}
    speeds = Speeds.of(scenario)
    rows = []
    for o in ALL:
        if o.name in scenario.without:
            rows.append(_none(o, "the scenario does without it"))
        elif not o.planned or o.name in idle:
            rows.append(_none(o, o.why_not or idle[o.name]))
        else:
            saved = _less(stock[o.name], with_all)
            by_pool = {p: _less(least[o.name][p], full[p]) for p in full}
            reason = None
            if o.name in fixed:
                reason = "these promises do not hold without it, on any number of chips"
            elif saved is None or not saved.value:
                spared = [p for p, e in by_pool.items() if e is None or e.value > 0]
                reason = (
                    f"{IDLE} ({', '.join(spared)})" if spared else "with everything else, nothing is lost without it"
                )
            rows.append(
                _saving(
                    o, by_pool, saved, alone.get(o.name),
                    _part(o, free, shared, stock, with_all, alone), reason, speeds,
                )
            )  # fmt: skip
    total = _less(nothing, with_all)
    found = {"bare": nothing, "saved": total}
    return Savings(
        scenario.name, counted.chips, with_all.value, _number(nothing), {g: e.value for g, e in shared.items()},
        tuple(full), weakest(with_all.basis, nothing.basis if nothing else None),
        speeds.rests_on(*(e for e in found.values() if e)),
        {name: speeds.interval(e) for name, e in found.items() if e}
        | {"shared": {g: speeds.interval(e) for g, e in shared.items()}},
        tuple(rows),
    )  # fmt: skip


def _saving(
    o: Optimisation, by_pool: Mapping[str, Estimate | None], saved: Estimate | None, alone: Estimate | None,
    fair: Estimate | None, reason: str | None, speeds: Speeds,
) -> Saving:  # fmt: skip
    found = {"stock_saved": saved, "alone": alone, "fair_share": fair}
    spans: dict[str, Any] = {name: speeds.interval(e) for name, e in found.items() if e}
    spans["chips_saved"] = {p: speeds.interval(e) for p, e in by_pool.items() if e}
    rests = [e for e in (*found.values(), *by_pool.values()) if e]
    return Saving(
        o.name, o.group, o.says, True, {p: _number(e) for p, e in by_pool.items()}, _number(saved), _number(alone),
        _number(fair), reason, weakest(*(e.basis for e in rests)), speeds.rests_on(*rests), spans,
    )  # fmt: skip


def _none(o: Optimisation, reason: str) -> Saving:
    return Saving(o.name, o.group, o.says, False, {}, None, None, None, reason, None, {}, {})


def _number(of: Estimate | None) -> float | None:
    return None if of is None else of.value


def _less(without: Estimate | None, having: Estimate | None) -> Estimate | None:
    """What lies between; what is less than a thousandth of a thousandth is nothing."""
    if without is None or having is None:
        return None
    saved = without - having
    return saved if saved.value > SLACK * having.value else replace(saved, value=0.0)


class Counted:
    """Chips that a scenario's demand takes, without some optimisations; each answer is kept."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        trains = tuple(w.name for w in scenario.workloads if isinstance(w, Train))
        self._others = tuple(w.name for w in scenario.workloads if w.name not in trains)
        self._trained = planner.pose(scenario, only=trains, larger=GROWN).recipes if trains else ()
        self._seen: Seen = {}
        self._answers: dict[frozenset[str], tuple[Recipe, ...]] = {}
        self._stock: dict[frozenset[str], Estimate | None] = {}
        built = program.build(lean(self._problem(frozenset())))
        _, sign, primary, promises = planner.sought(built)
        opened = Open(built, primary, promises)
        best = opened.most()
        if best is None:
            raise Infeasible(
                f"{scenario.name}: not all promises can be kept, so there is no demand to count chips for",
                remedy="eke plan says what cannot hold together",
            )
        self.reached = best
        self._poor = opened.poor
        self._floor = best - Estimate(SLACK * abs(best.value)) if sign > 0 else None
        self.chips = sum(n / built.problem.per_chip[p] for p, n in built.problem.units.items())

    def idle(self, o: Optimisation) -> str:
        """Why nothing changes without `o`; empty where something might."""
        workloads = self._scenario.workloads
        traffic = [w.traffic if isinstance(w, Serve) else w for w in workloads if not isinstance(w, Train)]
        recipes = self._problem(frozenset()).recipes
        match o.name:
            case "prefix-caching":
                return (
                    "" if any(t.prefix_hit for t in traffic) else "no workload says that prompts have parts in common"
                )
            case "smaller-models":
                named = any(isinstance(w, Serve) and w.alternatives for w in workloads)
                return "" if named else "no workload names a smaller model that may answer"
            case "day-night":
                varies = self._scenario.slots > 1 and any(
                    len(set(w.traffic.rates)) > 1 for w in workloads if isinstance(w, Serve)
                )
                return "" if varies else "demand is the same all day"
            case "mixed-training":
                return "" if any(r.joint for r in recipes) else "no two pools can train one job in step"
            case "mixed-placement":
                return "" if len(self._scenario.fleet.pools) > 1 else "there is one pool"
            case "prefill-decode-split":
                return "" if any(r.role in ("prefill", "decode") for r in recipes) else "it pays for no workload here"
            case "expert-parallelism":
                return "" if any(r.ep > 1 and r.kind != "train" for r in recipes) else "no recipe worth having uses it"
        if o.group == "precision":
            return "" if any(r.variant == o.name for r in recipes) else "no recipe worth having uses it"
        return "" if self._others else "nothing is served"

    def stock(self, off: frozenset[str]) -> Estimate | None:
        """Chips of the stock's own mix."""
        if off not in self._stock:
            posed = self._posed(off)
            self._stock[off] = None if posed is None else posed.stock()
        return self._stock[off]

    def both(self, off: frozenset[str]) -> tuple[Estimate | None, dict[str, Estimate | None]]:
        """Chips of the stock's own mix, and of each pool when the others are what is owned."""
        posed, names = self._posed(off), [p.name for p in self._scenario.fleet.pools]
        if posed is None:
            return None, dict.fromkeys(names)
        return posed.stock(), {p: posed.pool(p) for p in names}

    def _posed(self, off: frozenset[str]) -> Open | None:
        problem = self._problem(off)
        have = {r.workload for r in problem.recipes}
        if not have.issuperset(self._others):
            return None
        built = program.build(lean(problem))
        _, _, primary, promises = planner.sought(built)
        return Open(built, primary, promises, self._floor, self._poor)

    def _problem(self, off: frozenset[str]) -> Problem:
        priced = frozenset(o.name for o in ALL if o.priced) & off
        if priced not in self._answers:
            scenario = replace(self._scenario, without=self._scenario.without | priced)
            self._answers[priced] = (
                planner.pose(scenario, only=self._others, seen=self._seen).recipes if self._others else ()
            )
        scenario = replace(self._scenario, without=self._scenario.without | off)
        recipes = (*self._answers[priced], *self._trained)
        return planner.problem(scenario, scenario.workloads, recipes, GROWN)


def _shared(
    free: Sequence[Optimisation], stock: Callable[[frozenset[str]], Estimate | None], say: Callable[[str], None]
) -> dict[str, Estimate]:
    """Shapley's value of each group: its mean saving over all orders in which groups may come.

    L. S. Shapley, A value for n-person games (1953).
    """
    groups: dict[str, frozenset[str]] = {}
    for o in free:
        groups[o.group] = groups.get(o.group, frozenset()) | {o.name}
    names, everything, n = list(groups), frozenset(o.name for o in free), len(groups)
    sets = [frozenset(c) for size in range(n + 1) for c in combinations(names, size)]

    def needed(having: frozenset[str]) -> Estimate | None:
        return stock(everything.difference(*(groups[g] for g in having)))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        found = dict(zip(sets, threads.map(needed, sets), strict=True))
    say("done")
    shares = dict.fromkeys(names, Estimate(0.0))
    for having in sets:
        for g in set(names) - having:
            without, beside = found[having], found[having | {g}]
            if without is None or beside is None:
                return {}
            orders = factorial(len(having)) * factorial(n - len(having) - 1) / factorial(n)
            shares[g] += (without - beside) * orders
    return shares


def _part(
    o: Optimisation, free: Sequence[Optimisation], shared: Mapping[str, Estimate],
    stock: Mapping[str, Estimate | None], with_all: Estimate, alone: Mapping[str, Estimate | None],
) -> Estimate | None:  # fmt: skip
    """A member's part of its group's share."""
    if o.group not in shared or o not in free:
        return None

    def says(one: Optimisation) -> float:
        return (_number(_less(stock[one.name], with_all)) or 0.0) + (_number(alone.get(one.name)) or 0.0)

    members = [one for one in free if one.group == o.group]
    total = sum(says(one) for one in members)
    return shared[o.group] * (says(o) / total if total > 0 else 1 / len(members))


def steps(of: Savings) -> list[tuple[str, float, float]]:
    """The waterfall: (what, from, to) in chips, from nothing through each group's share to everything; empty if the
    demand takes some of them.
    """
    if of.bare is None or not of.shared:
        return []
    down, high = [(BARE, 0.0, of.bare)], of.bare
    for group, saved in sorted(of.shared.items(), key=lambda item: -item[1]):
        down.append((group, high - saved, high))
        high -= saved
    return [*down, ("with them", 0.0, of.needed)]


def waterfall(of: Savings, *, width: int = 460, step: int = 30) -> Any:
    """The same as a chart (extra `charts`).

    Raises:
        InputError: there is nothing to draw.
    """
    from eke import charts

    down = steps(of)
    if not down:
        raise InputError("there is no waterfall to draw", why="without the optimisations no number of chips would do")
    alt = charts.altair_module()
    values = [
        {"step": name, "low": low, "high": high, "kind": "chips" if low == 0 else "saved",
         "says": f"{high:,.0f}" if low == 0 else _saved(high - low, of.interval["shared"][name])}
        for name, low, high in down
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("step:N", sort=[name for name, _, _ in down], title=None),
    )
    bars = base.mark_bar(size=0.6 * step, cornerRadius=2).encode(
        x=alt.X("low:Q", title="chips of the stock's own mix"), x2="high:Q",
        color=alt.Color("kind:N", title=None, legend=None,
                        scale=alt.Scale(domain=["chips", "saved"], range=[charts.SERVE, charts.TRAIN])),
    )  # fmt: skip
    words = base.mark_text(align="left", dx=6, color=charts.INK).encode(x="high:Q", text="says:N")
    drawn = alt.layer(bars, words).properties(width=width, height=alt.Step(step))
    said = f"{of.scenario}: chips of the same mix that the same work takes; each group's fair (Shapley) share"
    return charts.styled(drawn, "What software saves", said)


def _saved(chips: float, span: Span) -> str:
    said = told(round(chips), (round(span[0]), round(span[1])))
    return said if said.startswith("0") else f"-{said}"

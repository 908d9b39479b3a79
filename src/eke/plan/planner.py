"""From a scenario to a plan: recipes, program, solution, prices. It joins the parts; each rule lives in one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eke.cost import FloatArray
from eke.fleet.pool import Fleet, Pool
from eke.plan import (
    apart,
    assemble,
    branches,
    effort,
    gangs,
    pins,
    program,
    reasons,
    serving,
    starts,
    steady,
    together,
)  # fmt: skip
from eke.plan.branches import Ways
from eke.plan.interval import Speeds
from eke.plan.marginal import Marginal, as_in, stands
from eke.plan.pins import Pin
from eke.plan.plan import Conflict, Plan
from eke.plan.program import Problem, Program
from eke.plan.recipes import Place, Recipe, Site, link, sites, units, units_per_chip
from eke.plan.scenario import Batch, Scenario, Serve, Train, Workload
from eke.plan.solve import Relaxation

LARGER = 1.25
"""Gangs are asked about up to this many times their pool's size: none of them is planned, but they tell what more
chips are worth."""

Progress = Callable[[str], None]

SECONDS = 6.0
"""CPU time the integer program may take; it stops earlier at `GAP`."""
GAP = 2e-3
TIE = 1e-4
"""Share of the objective that using every chip would cost: enough to prefer fewer chips between equal plans."""


def make(
    scenario: Scenario, *, best_effort: bool = False, progress: Progress | None = None, seconds: float = SECONDS,
    pinned: Sequence[Pin] = (), seen: serving.Seen | None = None,
) -> Plan:  # fmt: skip
    """The plan of a scenario.

    Args:
        scenario: what is owned and owed.
        best_effort: when not all promises can be kept, plan what can be reached, by priority, instead of nothing.
        progress: told in a few words what is being done.
        seconds: of CPU time, for the integer program.
        pinned: what the plan is held to: `eke.plan.pins.of(old_plan, workloads)` holds parts of an earlier one. Where
            that cannot be, the plan is infeasible and names the fewest pins that are in the way.
        seen: what the cost model said for earlier plans is taken from here and put here, so that one which differs in
            demand or in numbers of nodes is made sooner.

    Raises:
        InputError: a pin that no plan of the scenario could have.
    """
    say = progress or (lambda _: None)
    pins.check(pinned, scenario)
    scenario = replace(scenario, pinned=(*scenario.pinned, *pinned))
    if scenario.detected:
        say("measuring this machine")
    scenario = ready(scenario)
    began = time.perf_counter()
    say("asking the cost model for recipes")
    seen = {} if seen is None else seen
    problem = pose(scenario, seen=seen)
    asked = time.perf_counter()
    say(f"solving: {len(problem.recipes)} recipes")
    holding = replace(problem, recipes=tuple(r for r in problem.recipes if r.holds))
    whole = tuple(r for r in holding.recipes if not r.part)
    everything = built = program.build(replace(holding, recipes=whole))
    goal, relaxation = aimed(built)
    ways = Ways(built, goal.combined, built.promised(goal.promises), like=relaxation)
    divided = None
    if len(whole) < len(holding.recipes):
        everything = program.build(holding)
        other = aim(everything, goal.tie if ways.whole.value is not None else None)
        divided = Ways(everything, other.combined, everything.promised(other.promises))
        if apart.pays(ways, divided):
            built, goal, ways, divided = everything, other, divided, None
    outcome = ways.optimise(seconds=seconds, gap=GAP)
    if outcome.x is None and not outcome.proven:
        outcome = branches.optimise(
            built, goal.combined, built.promised(goal.promises), seconds=5 * seconds, gap=10 * GAP
        )
    elif outcome.x is not None and divided is not None:
        outcome = replace(outcome, bound=apart.bound(outcome, divided, seconds, GAP))
    conflicts: tuple[Conflict, ...] = ()
    mends: tuple[tuple[str, ...], ...] = ()
    if outcome.x is None:
        say("looking for what cannot hold together")
        conflicts = reasons.conflicts(scenario, built, lambda s, names: pose(s, only=names, seen=seen))
        mends = together.ways(scenario, conflicts, lambda s, names: pose(s, only=names, seen=seen))
        if best_effort:
            built = program.build(effort.usable(problem), best_effort=True)
            goal = aim(built)
            outcome = effort.optimise(built, goal.combined, seconds)
    if outcome.x is not None:
        x = assemble.trim(built, steady.settle(built, goal.primary, outcome.x))
        outcome = replace(outcome, x=starts.paid(built, goal.combined, goal.tie, x))
    solved = time.perf_counter()
    took = {"recipes": asked - began, "solve": solved - asked, "total": time.perf_counter() - began}
    prices = None
    if outcome.x is not None:
        where = stands(built, outcome.x)
        # What no plan needs may yet be the next best.
        posed, sought_for = (built, goal) if conflicts else (everything, aim(everything, goal.tie))
        prices = Marginal(posed, sought_for, Speeds.of(scenario), as_in(posed, goal.promises, where))
    return replace(assemble.plan(scenario, built, goal, outcome, conflicts, took, prices), together=mends)


@dataclass(frozen=True, slots=True)
class Aim:
    """What is maximised.

    Attributes:
        primary: the scenario's objective, in `unit`; `sign` -1 where less is better.
        combined: the same less a little for each chip used, a strong one counting for more.
        tie: the most that one chip used all day costs in `combined`.
        promises: workloads whose promise must be kept.
    """

    name: str
    unit: str
    sign: float
    primary: FloatArray
    combined: FloatArray
    tie: float
    promises: tuple[str, ...]


def aim(built: Program, tie: float | None = None) -> Aim:
    """The objective of a problem, as columns; `tie`: where it is known."""
    if tie is None:
        return aimed(built)[0]
    unit, sign, primary, promises = sought(built)
    return Aim(built.problem.goal, unit, sign, primary, primary - tie * built.spared, tie, promises)


def aimed(built: Program) -> tuple[Aim, Relaxation]:
    """The objective, and the relaxation that was asked what all chips are worth: the one whose ties go by the most
    that one column brings.
    """
    _, _, primary, promises = sought(built)
    chips = max(sum(n / built.problem.per_chip[p] for p, n in built.problem.units.items()), 1.0)
    bounds = built.promised(promises)
    rough = TIE * (float(np.abs(primary * bounds[1]).max(initial=0.0)) or 1.0) / chips
    relaxation = Relaxation(built, primary - rough * built.spared)
    found = relaxation.under(bounds)
    scale = 0.0 if found.value is None else abs(float(primary @ found.x))
    return aim(built, TIE * (scale or 1.0) / chips), relaxation


def sought(built: Program) -> tuple[str, float, FloatArray, tuple[str, ...]]:
    """Unit, sign, columns and promises of a problem's objective, as in `Aim`; nothing is solved."""
    problem = built.problem
    promises = tuple(w.name for w in problem.workloads)
    match problem.goal:
        case "train-progress":
            return "PFLOP/s of training", 1.0, built.progress / 1e15, promises
        case "value":
            return "value a day", 1.0, built.value, tuple(w.name for w in problem.workloads if w.value is None)
        case "least-energy":
            return "kW", -1.0, -_watts(built) / 1e3, promises
        case "fewest-chips":
            primary = np.zeros(len(built.lower))
            for pool, column in built.aside.items():
                primary[column] = -1.0 / problem.per_chip[pool]
            return "chips set aside", -1.0, primary, promises


def _watts(built: Program) -> FloatArray:
    """What each column draws, in the mean over the day: its chips at their TDP. A chip of unknown TDP counts as the
    fleet's hungriest.
    """
    known = [w for w in built.problem.watts.values() if w]
    draws = {p: w or max(known, default=1.0) for p, w in built.problem.watts.items()}
    each = np.array([draws[r.pool] for r in built.problem.recipes])
    watts = np.zeros(len(built.lower))
    watts[built.runs.at] = built.used[built.runs.at] * each[built.runs.recipe]
    return watts


def ready(scenario: Scenario) -> Scenario:
    """The scenario with all that must be known before it can be posed."""
    return replace(scenario, fleet=measured(scenario.fleet)) if scenario.detected else scenario


def measured(fleet: Fleet) -> Fleet:
    """A detected fleet with the figures that calibration gives its chips."""
    from eke.cost import calibrate

    return replace(fleet, pools=tuple(replace(p, chip=calibrate.ensure(p.chip)) for p in fleet.pools))


def pose(
    scenario: Scenario, only: tuple[str, ...] | None = None, *, larger: float = LARGER,
    seen: serving.Seen | None = None,
) -> Problem:  # fmt: skip
    """The problem of a scenario (of the workloads `only`): its recipes asked for.

    Gangs are asked about up to `larger` times their pool's size. `seen` keeps what the cost model said, for scenarios
    that differ in demand, in numbers of nodes or in what they do without.
    """
    seen = {} if seen is None else seen
    workloads = tuple(w for w in scenario.workloads if only is None or w.name in only)
    places, off = sites(scenario.fleet.pools), scenario.without
    found = _recipes(workloads, places, larger, off, seen=seen)
    if not off & {"prefill-decode-split", "mixed-placement", "continuous-batching"}:
        serves = [w for w in workloads if isinstance(w, Serve) and not w.survives]
        found += apart.recipes(serves, scenario.fleet, places, found, off, seen)
    have = {r.workload for r in found}
    none = [w for w in workloads if not isinstance(w, Train) and w.name not in have]
    found += _recipes(none, places, larger, off, late=True) if none else []
    found += [r for w in workloads if isinstance(w, Train) for r in _joint(w, scenario.fleet, places, found, larger)]
    found += [r for pin in scenario.pinned for r in _formed(pin, workloads, scenario.fleet, found)]
    return problem(scenario, workloads, found, larger)


def problem(scenario: Scenario, workloads: Sequence[Workload], recipes: Iterable[Recipe], larger: float) -> Problem:
    """The problem of `workloads` with those `recipes` that fit and are allowed; equal slots of the day made one."""
    room, off = {p.name: units(p) for p in scenario.fleet.pools}, scenario.without
    models = {w.name: w.model for w in workloads}
    kept = tuple(
        r
        for r in recipes
        if r.units <= room[r.pool] * (larger if r.kind == "train" else 1.0)
        and not ("smaller-models" in off and r.model != models[r.workload])
        and not ("mixed-training" in off and r.joint)
        and not (off & {"prefill-decode-split", "mixed-placement"} and r.part)
    )
    kept = (*(r for r in kept if not r.spread), *_spread(scenario.fleet, workloads, kept))
    rates = {w.name: w.traffic.rates for w in workloads if isinstance(w, Serve)}
    if "day-night" in off:
        rates = {name: (max(r),) * scenario.slots for name, r in rates.items()}
    names = {w.name for w in workloads}
    held = tuple(dict.fromkeys(pin for pin in scenario.pinned if pin.workload in names))
    classes: dict[tuple[object, ...], list[int]] = {}
    for slot in range(scenario.slots):
        own = ((pin.workload, pin.pool, pin.form, pin.least, pin.most) for pin in held if pin.slot == slot)
        classes.setdefault((*(f"{r[slot]:.9g}" for r in rates.values()), *own), []).append(slot)
    slots = tuple(tuple(s) for s in classes.values())
    return Problem(
        tuple(workloads), kept, room,
        {p.name: units_per_chip(p.chip) for p in scenario.fleet.pools},
        np.array([len(s) / scenario.slots for s in slots]), slots,
        {name: np.array([r[s[0]] for s in slots]) for name, r in rates.items()}, scenario.objective,
        worth(scenario.fleet), "mixed-placement" in off, held, {p.name: p.chip.tdp for p in scenario.fleet.pools},
        {p.name: p.chips_per_node * units_per_chip(p.chip) for p in scenario.fleet.pools},
    )  # fmt: skip


def _spread(fleet: Fleet, workloads: Sequence[Workload], recipes: Iterable[Recipe]) -> list[Recipe]:
    """The same recipes with every replica on a node of its own, for workloads that survive nodes and need few."""
    survivors = {w.name: w for w in workloads if isinstance(w, Serve) and w.survives}
    found = []
    for r in recipes:
        pool, w = fleet.pool(r.pool), survivors.get(r.workload)
        if w is None or r.part or r.spread or r.units >= pool.chips_per_node * units_per_chip(pool.chip):
            continue
        if max(w.traffic.rates) / r.rate + w.survives <= pool.plannable_nodes:
            found.append(replace(r, spread=True))
    return found


def joined(scenario: Scenario, known: Problem, pool: Pool, larger: float = LARGER) -> Problem:
    """The problem of the scenario when `pool` joins its fleet. What was possible stays so, with the recipes it had."""
    fleet = replace(scenario.fleet, pools=(*scenario.fleet.pools, pool))
    places = sites(fleet.pools)
    mine = _recipes(known.workloads, sites((pool,)), larger, scenario.without)
    alone = [r for r in (*known.recipes, *mine) if not r.joint]
    parts = [r for w in known.workloads if isinstance(w, Train) for r in _joint(w, fleet, places, alone, larger)]
    new = [r for r in parts if pool.name in r.joint.split("+")]
    return problem(replace(scenario, fleet=fleet), known.workloads, (*known.recipes, *mine, *new), larger)


def _formed(pin: Pin, workloads: Sequence[Workload], fleet: Fleet, known: Sequence[Recipe]) -> list[Recipe]:
    """The recipe a pin names, where no other search came upon it."""
    w = next((w for w in workloads if w.name == pin.workload), None)
    if w is None or pin.form is None or pin.least == 0 or any(pin.matches(r) for r in known):
        return []
    ((site, _),) = sites([fleet.pool(pin.pool)])
    found = gangs.formed(w, site, pin.form) if isinstance(w, Train) else serving.formed(w, site, pin.form)
    return [replace(r, pool=pin.pool) for r in found]


def worth(fleet: Fleet) -> dict[str, float]:
    """What a chip of each pool counts for when chips are spared: its fastest peak beside the fleet's strongest chip.

    Of two plans that are equal otherwise, the one that leaves the strong chips free is better.
    """
    peaks = {p.name: max(p.chip.flops.values(), default=1.0) for p in fleet.pools}
    strongest = max(peaks.values(), default=1.0)
    return {name: peak / strongest for name, peak in peaks.items()}


def _recipes(
    workloads: Sequence[Workload],
    places: Sequence[Place],
    larger: float,
    without: frozenset[str],
    *,
    late: bool = False,
    seen: serving.Seen | None = None,
) -> list[Recipe]:
    """Recipes of all workloads in all pools; with `late`, ones that break the latency promise."""
    seen = {} if seen is None else seen
    asking: list[tuple[Site, list[Serve | Batch]]] = []
    training: list[list[Train]] = []
    may: list[dict[str, list[str]]] = []
    for site, pools in places:
        here = {w.name: [p for p in pools if w.pools is None or p in w.pools] for w in workloads}
        mine = [w for w in workloads if here[w.name] and site.units >= 1]
        asking.append((site, [w for w in mine if not isinstance(w, Train)]))
        training.append([w for w in mine if isinstance(w, Train)])
        may.append(here)
    answering = serving.recipes(asking, late=late, without=without, seen=seen)
    found: list[Recipe] = []
    for (site, _), jobs, here, some in zip(asking, training, may, answering, strict=True):
        grown = replace(site, units=int(site.units * larger))
        for w in jobs:
            key = ("gangs", w, repr(grown))
            if key not in seen:
                seen[key] = gangs.recipes(w, grown)
            some += seen[key]
        found += [replace(r, pool=p) for r in some for p in here[r.workload]]
    return found


def _joint(
    w: Train,
    fleet: Fleet,
    places: Sequence[Place],
    alone: Sequence[Recipe],
    larger: float,
) -> list[Recipe]:
    """Parts of gangs over several pools. Each pool's share of a step is what it would do if every pool of its group
    joined in.
    """
    best: dict[str, float] = {}
    for r in alone:
        if r.workload == w.name and r.units <= units(fleet.pool(r.pool)):
            best[r.pool] = max(best.get(r.pool, 0.0), r.rate)
    found: list[Recipe] = []
    for group in groups(fleet, best):
        total, strongest = sum(best[p] for p in group), max(group, key=lambda p: best[p])
        for site, pools in places:
            for pool in (p for p in pools if p in group):
                slowest = min(link(fleet, pool, other) for other in group if other != pool)
                here = replace(site, units=int(units(fleet.pool(pool)) * larger))
                rest, share, joins = total - best[pool], best[pool] / total, pool != strongest
                mine = gangs.parts(w, here, rest, share, slowest, joins=joins)
                found += [replace(r, pool=pool, joint="+".join(group)) for r in mine]
    return found


def groups(fleet: Fleet, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Pools that may train one job in step: of one vendor's accelerators, or joined by a link the scenario states."""
    pools = [p for p in fleet.pools if p.name in set(names) and p.chip.kind != "cpu"]
    joined = {p.name: {p.name} for p in pools}
    pairs = [(a.name, b.name) for a in pools for b in pools if a.chip.vendor == b.chip.vendor]
    pairs += [link.between for link in fleet.links if set(link.between) <= joined.keys()]
    for a, b in pairs:
        both = joined[a] | joined[b]
        for name in both:
            joined[name] = both
    sets = {tuple(p.name for p in pools if p.name in members) for members in joined.values()}
    return sorted(s for s in sets if len(s) > 1)

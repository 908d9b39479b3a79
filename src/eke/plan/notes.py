"""Why the plan is as it is, in a few lines: who trains, who serves, and where that is not "strong trains, weak serves".

Comparative advantage: what matters is not how fast a chip does a thing, but how much faster than it does the other
things. It reads a finished plan and its recipes; it changes no number.
"""

from __future__ import annotations

from dataclasses import replace

from eke import units
from eke.plan.distribution import too_long
from eke.plan.interval import Estimate, Speeds, across, based, brief
from eke.plan.plan import Plan
from eke.plan.program import Problem
from eke.plan.recipes import Recipe
from eke.plan.scenario import LESS, Scenario, Serve
from eke.plan.show import spread

SHOWN = 5
"""Workloads named in a line."""
NOTABLE = 0.03
"""Share of a pool's chips from which an exception is worth a line."""


def annotated(plan: Plan, scenario: Scenario, problem: Problem) -> Plan:
    """The plan with its notes."""
    exceptions = _exceptions(plan, problem, Speeds.of(scenario)) if plan.placements else []
    first = [*scenario.notes, *_bare(scenario), *_basis(plan), *_too_long(scenario)]
    return replace(
        plan,
        notes=(
            *first,
            *_whole_nodes(plan),
            *exceptions,
            *_survives(plan, scenario),
            *_starts(plan),
            *_spare(plan, scenario, problem),
        ),
    )


def _bare(scenario: Scenario) -> list[str]:
    """Pools without a node to plan on."""
    return [
        f"{p.name} has no node that can be planned on: {p.nodes} owned, {p.reserved} reserved."
        for p in scenario.fleet.pools if not p.plannable_nodes
    ]  # fmt: skip


def _basis(plan: Plan) -> list[str]:
    """A warning when speeds are not measured: of how many chips, and how much of the objective rests on them."""
    chips: dict[str, float] = {}
    for p in plan.placements:
        chips[p.basis] = chips.get(p.basis, 0.0) + p.chips
    guessed = chips.get("guessed", 0.0) / sum(chips.values()) if chips else 0.0
    if guessed < 0.005:
        return []
    where = ", ".join(dict.fromkeys(p.pool for p in plan.placements if p.basis == "guessed"))
    line = f"{guessed:.0%} of the chips in use (on {where}) are planned on guessed speeds, on the slow side of them"
    if not plan.feasible or not plan.objective.rests_on:
        return [f"{line}."]
    part = plan.objective.rests_on.get("guessed", 0.0)
    moves = "next to nothing" if part < 0.005 else f"{part:.0%}"
    return [f"{line}; of what speeds move in the objective, that is {moves}."]


def _whole_nodes(plan: Plan) -> list[str]:
    """Gangs of which some chips have nothing to do."""
    gangs: dict[tuple[str, str], tuple[float, float]] = {}
    for p in plan.placements:
        if p.kind == "train":
            works = p.replicas * float(p.recipe["tp"] * p.recipe["pp"] * p.recipe["dp"])
            if works < p.chips:
                gangs[p.workload, p.pool] = max(gangs.get((p.workload, p.pool), (0.0, 0.0)), (p.chips, works))
    return [
        f"{name} computes on {works:,.0f} of its {chips:,.0f} {pool} chips: nodes are taken whole."
        for (name, pool), (chips, works) in gangs.items()
    ]


def _too_long(scenario: Scenario) -> list[str]:
    """Workloads some of whose requests are longer than their model can read."""
    lines = []
    for w in scenario.workloads:
        if isinstance(w, Serve):
            longest = w.traffic.prompt.quantile(0.99) + w.traffic.output.quantile(0.99)
            share = too_long(w.traffic.prompt, w.traffic.output, w.architecture.max_context)
            if longest > w.architecture.max_context:
                many = f"{share:.1%} of all" if share else "those"
                lines.append(
                    f"{w.name}: its longest requests hold {longest:,.0f} tokens, {w.model} at most "
                    f"{w.architecture.max_context:,}; {many} would be refused or cut."
                )
    return lines


def by_kind(plan: Plan) -> dict[str, dict[str, float]]:
    """Mean chips in use of each pool by kind of work."""
    mean: dict[str, dict[str, float]] = {p.name: {} for p in plan.pools}
    for p in plan.placements:
        mean[p.pool][p.kind] = mean[p.pool].get(p.kind, 0.0) + p.chips / plan.slots
    return mean


def _best(problem: Problem, pool: str, workload: str, models: frozenset[str] | None = None) -> Recipe | None:
    found = [
        r
        for r in problem.recipes
        if r.pool == pool and r.workload == workload and not r.part and (models is None or r.model in models)
    ]
    return max(found, key=lambda r: r.rate / r.units, default=None)


def _exceptions(plan: Plan, problem: Problem, speeds: Speeds) -> list[str]:
    """Lines where a pool that trains best serves, or one that trains worse trains."""
    jobs = [w.name for w in problem.workloads if w.kind == "train"]
    if not jobs:
        return []
    job = jobs[0]
    trains = {p.name: _per_chip(problem, r) for p in plan.pools if (r := _best(problem, p.name, job))}
    ranked = sorted(trains, key=lambda p: -trains[p].value)
    if len(ranked) < 2:
        return []
    used, chips = by_kind(plan), {p.name: p.chips for p in plan.pools}
    strong, weak = ranked[0], ranked[1:]
    lines = []
    if used[strong].get("serve", 0.0) > NOTABLE * chips[strong]:
        lines += _strong_serves(plan, problem, strong, weak, trains, speeds)
    for pool in weak:
        if used[pool].get("train", 0.0) > NOTABLE * chips[pool]:
            lines.append(_weak_trains(plan, problem, pool, strong, trains, used, speeds))
    return lines


def _strong_serves(
    plan: Plan, problem: Problem, strong: str, weak: list[str], trains: dict[str, Estimate], speeds: Speeds
) -> list[str]:
    lines = []
    serving: dict[str, float] = {}
    for p in plan.placements:
        if p.pool == strong and p.kind == "serve":
            serving[p.workload] = max(serving.get(p.workload, 0.0), p.chips)
    for workload, chips in sorted(serving.items(), key=lambda item: -item[1]):
        mine = _best(problem, strong, workload)
        if mine is None:
            continue
        ratios = []
        for other in weak:
            theirs = _best(problem, other, workload, frozenset({mine.model}))
            if theirs is None:
                ratios.append(f"no recipe holds on {other}")
            else:
                ahead = _ahead(_per_chip(problem, mine), _per_chip(problem, theirs), speeds)
                ratios.append(f"{ahead} {other} (training: {_ahead(trains[strong], trains[other], speeds)})")
        where = f"{strong} trains best and still serves {workload} on up to {chips:g} chips"
        lines.append(f"{where}: one there serves it {', '.join(ratios)}.")
    return lines


def _per_chip(problem: Problem, r: Recipe) -> Estimate:
    """What a chip does by a recipe, in proportion to its speed."""
    rate = r.rate / r.units * problem.per_chip[r.pool]
    return Estimate(rate, {(r.pool, r.kind == "train"): rate}, r.basis)


def _ahead(one: Estimate, other: Estimate, speeds: Speeds) -> str:
    """How many times as much one does, where that lies, and how well it is known: `2.4x (1.9–3.1, modelled)`."""
    times = one / other
    span = across(speeds.interval(times), 2)
    known = based(times.basis, {})
    return f"{brief(times.value, 2)}x ({f'{span}, ' if span != brief(times.value, 2) else ''}{known})"


def _weak_trains(
    plan: Plan, problem: Problem, pool: str, strong: str, trains: dict[str, Estimate],
    used: dict[str, dict[str, float]], speeds: Speeds,
) -> str:  # fmt: skip
    jobs = sorted({p.workload for p in plan.placements if p.pool == pool and p.kind == "train"})
    behind = _ahead(trains[strong], trains[pool], speeds)
    serves = []
    for w in problem.workloads:
        a, b = _best(problem, strong, w.name), _best(problem, pool, w.name)
        if w.kind == "serve" and a and b and a.model == b.model:
            serves.append(f"{w.name} {_ahead(_per_chip(problem, a), _per_chip(problem, b), speeds)}")
    said = f"; {strong} is ahead by {behind} in training and in serving by: {', '.join(serves)}" if serves else ""
    on = f"{used[pool]['train']:.0f} chips in the mean"
    return f"{pool} trains {', '.join(jobs)} on {on} although {strong} trains faster{said}."


def _survives(plan: Plan, scenario: Scenario) -> list[str]:
    """What is kept so that promises hold with nodes down."""
    lines = []
    for w, kept in zip(scenario.workloads, plan.workloads, strict=True):
        if not isinstance(w, Serve) or not w.survives or not kept.met:
            continue
        more = [
            sum(p.capacity["requests_per_s"] for p in plan.placements if (p.workload, p.slot) == (w.name, t)) - asked
            for t, asked in enumerate(kept.demand_rps or ())
        ]
        down = "any node" if w.survives == 1 else f"any {w.survives} nodes"
        lines.append(f"{w.name} holds with {down} down: {spread(more)} requests/s more than asked are kept for that.")
    return lines


def _starts(plan: Plan) -> list[str]:
    """Replicas that start as demand comes and goes, what that costs, and whether any is late."""
    starting = {w.name: w for w in plan.workloads if w.starts_per_day}
    if not starting:
        return []
    many = sum(w.starts_per_day or 0 for w in starting.values())
    hours = sum(w.start_chip_hours or 0.0 for w in starting.values())
    most = sorted(starting.items(), key=lambda item: -(item[1].starts_per_day or 0))
    each = ", ".join(f"{name} {w.starts_per_day}" for name, w in most[:SHOWN])
    each += f" and {len(most) - SHOWN} more" if len(most) > SHOWN else ""
    slowest = units.show_seconds(max(w.start_s or 0.0 for w in starting.values()))
    serving = [name for name, w in starting.items() if w.kind == "serve"]
    who = "each" if len(serving) == len(starting) else "what serves"
    ahead = f", {who} ahead of the slot that needs it" if serving else ""
    lines = [
        f"{many} replicas start a day ({each}){ahead}: {hours:,.3g} chip-hours a day, "
        f"the slowest ready after {slowest}."
    ]
    for p in plan.pools:
        slots = [str(t) for t, late in enumerate(p.late_chips) if late > 0]
        if slots:
            at = f"{'slots' if len(slots) > 1 else 'slot'} {', '.join(slots)}"
            lines.append(f"{p.name}: no chips are free for all that starts at the end of {at}; some of it comes late.")
    return lines


def _spare(plan: Plan, scenario: Scenario, problem: Problem) -> list[str]:
    """Pools of which much is left, and what keeps it from being of use."""
    lines = []
    for p in plan.pools:
        left = problem.units[p.name] / problem.per_chip[p.name] - max(p.used_chips, default=0.0)
        if plan.placements and left > 0.05 * p.chips and p.price <= 1e-12 and scenario.objective not in LESS:
            idle = f"{left:,.0f} chips are idle all day, spares for nodes that are down not counted"
            lines.append(f"{p.name}: {idle}; {_way_in(plan, scenario, p.name)}.")
    return lines


def _way_in(plan: Plan, scenario: Scenario, pool: str) -> str:
    """What would give idle chips work."""
    pools = {p.name: p for p in scenario.fleet.pools}
    training = {p.pool for p in plan.placements if p.kind == "train"}
    if training and pool not in training and not any(pools[t].chip.vendor == pools[pool].chip.vendor for t in training):
        return f"if they can train in step with {', '.join(sorted(training))}, state the link under fleet.links"
    return "these workloads do without them"

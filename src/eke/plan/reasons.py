"""Why not: the fewest promises that cannot hold together, the pools they fight over, and the cheapest ways out.

A deletion filter on the relaxation: a promise that can go without making the rest possible is not to blame. It knows
the program; it asks for other recipes through a function, never for them by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

import numpy as np

from eke import units as quantities
from eke.cost import FloatArray
from eke.fleet.pool import Pool
from eke.plan import branches, solve
from eke.plan import program as programs
from eke.plan.plan import Conflict
from eke.plan.program import Problem, Program
from eke.plan.recipes import units_per_chip
from eke.plan.scenario import Batch, Scenario, Serve, Slo, Train, Workload

Pose = Callable[[Scenario, tuple[str, ...]], Problem]

LARGER = 64
"""A pool is tried at up to this many times its size (and at least 16 nodes more) before more of it is no way out."""
LATENCIES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
LATENCY_WORDS = {"ttft_s": "TTFT", "tpot_s": "TPOT"}
CHECK_S = 2.0


def conflicts(scenario: Scenario, program: Program, pose: Pose) -> tuple[Conflict, ...]:
    """Sets of promises, each the fewest that cannot hold together; a promise is in one at most."""
    if program.pinned and (conflict := _pinned(program)) is not None:
        return (conflict,)
    program, scenario = program.freed(list(program.pinned)), replace(scenario, pinned=())
    found: list[Conflict] = []
    left = [w.name for w in program.problem.workloads]
    while left and not possible(program, left):
        fewest = _irreducible(program, left)
        found.append(_conflict(scenario, program, fewest, pose))
        left = [n for n in left if n not in fewest]
    if not found:  # the relaxation is possible, whole replicas are not
        fewest = [w.name for w in program.problem.workloads]
        found.append(_conflict(scenario, program, fewest, pose))
    return tuple(found)


def _pinned(program: Program) -> Conflict | None:
    """The fewest pins and promises that cannot hold together; None where it is not the pins."""
    names = [w.name for w in program.problem.workloads]
    free = program.freed(list(program.pinned))
    if not possible(free, names) or not _whole(free):
        return None
    for pin in list(program.pinned):
        without = program.freed([pin])
        if without.pinned and not possible(without, names):
            program = without
    # Where split replicas would do, or pins alone are too much, no promise is to blame.
    blamed = not possible(program, names) and possible(program, [])
    fewest = _irreducible(program, names) if blamed else []
    told = "; ".join(str(pin) for pin in program.pinned)
    promised = f" beside the promise{'s' if len(fewest) > 1 else ''} of {', '.join(fewest)}" if fewest else ""
    return Conflict(
        tuple(dict.fromkeys([*fewest, *(pin.workload for pin in program.pinned)])),
        tuple(dict.fromkeys(pin.pool for pin in program.pinned)),
        f"what is pinned cannot be{promised}: {told}", tuple(f"without the pin {pin}" for pin in program.pinned),
    )  # fmt: skip


def _whole(program: Program) -> bool:
    nothing = np.zeros(len(program.lower))
    return branches.optimise(program, nothing, program.promised(), seconds=CHECK_S).x is not None


def possible(program: Program, names: Sequence[str], bounds: tuple[FloatArray, FloatArray] | None = None) -> bool:
    """Whether these promises hold together in the relaxation."""
    nothing = np.zeros(len(program.lower))
    return solve.relax(program, nothing, bounds or program.promised(list(names))).value is not None


def holds(problem: Problem) -> bool:
    """Whether all promises of a problem hold together, in whole replicas."""
    built = programs.build(replace(problem, recipes=tuple(r for r in problem.recipes if r.holds)))
    if not built.problem.recipes:
        return False
    return branches.optimise(built, np.zeros(len(built.lower)), built.promised(), seconds=CHECK_S).x is not None


def _irreducible(program: Program, names: Sequence[str]) -> list[str]:
    """Each promise is dropped in turn, the least important first; it stays dropped if the rest still cannot hold."""
    priority = {w.name: w.priority for w in program.problem.workloads}
    kept = list(names)
    for name in sorted(names, key=lambda n: -priority[n]):
        rest = [n for n in kept if n != name]
        if rest and not possible(program, rest):
            kept = rest
    return kept


def _conflict(scenario: Scenario, program: Program, names: list[str], pose: Pose) -> Conflict:
    workloads = [w for w in scenario.workloads if w.name in names]
    usable = [
        p.name
        for p in scenario.fleet.pools
        if any(r.pool == p.name and r.workload in names for r in program.problem.recipes)
    ]
    barred = [w for w in workloads if not any(r.workload == w.name for r in program.problem.recipes)]
    reached = {w.name: _most(program, w.name, names) for w in workloads if w not in barred}
    reason = _reason(workloads, barred, usable, reached)
    small = replace(scenario, workloads=tuple(workloads))
    if barred:
        repairs = _barred(small, names, pose)
    else:
        repairs = [*_more_nodes(small, names, pose), *_less(small, names, pose, reached), *_later(small, names, pose)]
        repairs += _unsafe(small, names, pose)
    return Conflict(tuple(names), tuple(usable) or tuple(p.name for p in scenario.fleet.pools), reason, tuple(repairs))


def _most(program: Program, name: str, names: Sequence[str]) -> float:
    """Largest share of one promise that can be kept while the other `names` are kept in full."""
    others = [n for n in names if n != name]
    relaxed = solve.relax(program, program.kept(name), program.promised(others))
    return 0.0 if relaxed.value is None else max(0.0, 1.0 + relaxed.value)


def _barred(scenario: Scenario, names: list[str], pose: Pose) -> list[str]:
    """Ways out when a promise has no recipe at all: a pool large enough, or a looser latency with whatever else that
    takes.
    """
    found = _more_nodes(scenario, names, pose)
    for w in (w for w in scenario.workloads if isinstance(w, Serve)):
        for field, word in LATENCY_WORDS.items():
            for factor in LATENCIES:
                looser = _looser(scenario, w, field, factor)
                problem = pose(looser, tuple(names))
                if not any(r.workload == w.name and r.holds for r in problem.recipes):
                    continue
                change = _latency(w, field, word, factor)
                built = programs.build(replace(problem, recipes=tuple(r for r in problem.recipes if r.holds)))
                reached = {n: _most(built, n, names) for n in names}
                more = (
                    [] if holds(problem) else [*_more_nodes(looser, names, pose), *_less(looser, names, pose, reached)]
                )
                found += [f"{change} and {m}" for m in more] if more else [change] * holds(problem)
                break
    return found


def _looser(scenario: Scenario, w: Serve, field: str, factor: float) -> Scenario:
    slo: Slo = replace(w.slo, **{field: getattr(w.slo, field) * factor})
    return replace(
        scenario, workloads=tuple(replace(w, slo=slo) if v.name == w.name else v for v in scenario.workloads)
    )


def _latency(w: Serve, field: str, word: str, factor: float) -> str:
    now = getattr(w.slo, field)
    return f"{w.name} with {word} {quantities.show_seconds(now * factor)} instead of {quantities.show_seconds(now)}"


def _reason(workloads: list[Workload], barred: list[Workload], pools: list[str], reached: dict[str, float]) -> str:
    if barred:
        return "; ".join(
            f"no recipe for {_wants(w)} on any pool: it does not fit, or no batch is small enough for its latency"
            for w in barred
        )
    where = ", ".join(pools)
    if len(workloads) == 1:
        return f"all of {where} together keep {_short(reached[workloads[0].name])} of {_wants(workloads[0])}"
    said = "; ".join(f"with the others kept, {_short(reached[w.name])} of {_wants(w)}" for w in workloads)
    return f"each holds alone on {where}, not together: {said}"


def _short(reached: float) -> str:
    """A share of a promise that is not kept: never said to be all of it."""
    said = quantities.show_fraction(reached)
    return "not quite all" if said == "100%" else said


def _wants(w: Workload) -> str:
    """A promise in a user's words."""
    if isinstance(w, Serve):
        ttft, tpot = quantities.show_seconds(w.slo.ttft_s), quantities.show_seconds(w.slo.tpot_s)
        peak = max(w.traffic.rates)
        down = f", with any {_nodes_down(w.survives)} down" if w.survives else ""
        within = f"within {ttft} to the first token and {tpot} a token{down}"
        return f"{w.name} ({peak:.4g} requests/s of {w.model} {within})"
    if isinstance(w, Train):
        by = f" in {quantities.show_seconds(w.deadline_s)}" if w.deadline_s else ""
        return f"{w.name} ({quantities.show_count(w.tokens)} tokens of {w.model}{by})"
    return f"{w.name} ({quantities.show_count(w.tokens_per_day)} tokens a day of {w.model})"


def _nodes_down(n: int) -> str:
    return "node" if n == 1 else f"{n} nodes"


def _unsafe(scenario: Scenario, names: list[str], pose: Pose) -> list[str]:
    """For each promise that survives nodes, whether it would hold if it survived none."""
    found = []
    for w in scenario.workloads:
        if isinstance(w, Serve) and w.survives:
            others = tuple(replace(w, survives=0) if v.name == w.name else v for v in scenario.workloads)
            if holds(pose(replace(scenario, workloads=others), tuple(names))):
                found.append(f"{w.name} surviving no node instead of {w.survives}")
    return found


def _more_nodes(scenario: Scenario, names: list[str], pose: Pose) -> list[str]:
    """For each pool, the least number of further nodes that lets the promises hold; cheapest in chips first."""
    found = []
    for pool in scenario.fleet.pools:
        if not any(w.pools is None or pool.name in w.pools for w in scenario.workloads):
            continue
        nodes = _nodes(scenario, pool, names, pose)
        if nodes:
            chips = nodes * pool.chips_per_node
            said = f"{_count(nodes, f'more {pool.chip.name} node')} in {pool.name} ({_count(chips, 'chip')})"
            found.append((chips, said))
    return [text for _, text in sorted(found)]


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'s' if n > 1 else ''}"


def _nodes(scenario: Scenario, pool: Pool, names: list[str], pose: Pose) -> int | None:
    """Further nodes of one pool: what the relaxation needs, then as many as whole replicas need."""
    most = max(pool.nodes * (LARGER - 1), 16)
    grown = pose(_with(scenario, replace(pool, nodes=pool.nodes + most, available=1.0)), tuple(names))
    per_node = pool.chips_per_node * units_per_chip(pool.chip)
    grown = replace(grown, recipes=tuple(r for r in grown.recipes if r.holds))
    if not grown.recipes:
        return None
    built = programs.build(grown)
    cost = np.zeros(len(built.lower))
    cost[built.aside[pool.name]] = -1.0
    least = solve.relax(built, cost, built.promised(names))
    if least.value is None:
        return None
    nodes = max(1, ceil(-least.value / per_node - pool.plannable_nodes - 1e-6))
    for _ in range(6):
        enough = replace(grown, units={**grown.units, pool.name: (pool.plannable_nodes + nodes) * per_node})
        enough = replace(enough, recipes=tuple(r for r in grown.recipes if r.units <= enough.units[r.pool]))
        if holds(enough):
            return nodes
        nodes += max(1, nodes // 20)
    return None


def _with(scenario: Scenario, pool: Pool) -> Scenario:
    pools = tuple(pool if p.name == pool.name else p for p in scenario.fleet.pools)
    return replace(scenario, fleet=replace(scenario.fleet, pools=pools))


def _less(scenario: Scenario, names: list[str], pose: Pose, reached: dict[str, float]) -> list[str]:
    """For each promise, how much of it would hold with the others in full."""
    found = []
    problem = pose(scenario, tuple(names))
    for w in scenario.workloads:
        share = reached.get(w.name, 0.0) * 0.999
        for _ in range(8):
            if share < 0.01:
                break
            if holds(replace(_scaled(problem, w, share))):
                found.append(_offer(w, share))
                break
            share *= 0.95
    return found


def _scaled(problem: Problem, w: Workload, share: float) -> Problem:
    """The problem with one promise made smaller."""
    less: Workload
    if isinstance(w, Serve):
        less = replace(w, traffic=replace(w.traffic, rate_per_s=w.traffic.rate_per_s * share))
    elif isinstance(w, Train):
        less = replace(w, deadline_s=w.deadline_s / share if w.deadline_s else None)
    else:
        less = replace(w, tokens_per_day=w.tokens_per_day * share)
    demand = {n: d * share if n == w.name else d for n, d in problem.demand.items()}
    return replace(problem, workloads=tuple(less if v.name == w.name else v for v in problem.workloads), demand=demand)


def _offer(w: Workload, share: float) -> str:
    if isinstance(w, Serve):
        return f"{w.name} at {w.traffic.rate_per_s * share:.3g}/s instead of {w.traffic.rate_per_s:.3g}/s"
    if isinstance(w, Train):
        assert w.deadline_s is not None
        later, now = quantities.show_seconds(w.deadline_s / share), quantities.show_seconds(w.deadline_s)
        return f"{w.name} in {later} instead of {now}"
    assert isinstance(w, Batch)
    less, now = quantities.show_count(w.tokens_per_day * share), quantities.show_count(w.tokens_per_day)
    return f"{w.name} at {less} tokens a day instead of {now}"


def _later(scenario: Scenario, names: list[str], pose: Pose) -> list[str]:
    """For each serve promise, the least looser latency that would hold: to the first token, or a token."""
    found = []
    for w in scenario.workloads:
        if not isinstance(w, Serve):
            continue
        for field, word in LATENCY_WORDS.items():
            for factor in LATENCIES:
                if holds(pose(_looser(scenario, w, field, factor), tuple(names))):
                    found.append(_latency(w, field, word, factor))
                    break
    return found

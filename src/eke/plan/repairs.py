"""Ways out of what cannot hold: more nodes, a smaller promise, a later deadline, a looser latency; each looked at again
in whole replicas before it is offered. It asks for recipes through a function, never for them by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import floor, log10

import numpy as np

from eke import units as quantities
from eke.cost import FloatArray
from eke.fleet.pool import Pool
from eke.plan import branches, solve
from eke.plan import program as programs
from eke.plan.program import Problem, Program
from eke.plan.reading import available_by_default
from eke.plan.recipes import units
from eke.plan.scenario import Scenario, Serve, Slo, Train, Workload

Pose = Callable[[Scenario, tuple[str, ...]], Problem]
"""The problem of a scenario, of these workloads."""

LARGER = 64
"""A pool is tried at up to this many times its size (and at least 16 nodes more) before more of it is no way out."""
LATENCIES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
LATENCY_WORDS = {"ttft_s": "TTFT", "tpot_s": "TPOT"}
CHECK_S = 2.0
TRIES, FEW = 6, 2
"""Numbers of nodes that are tried of a pool; and where each try is of the whole scenario, which takes seconds."""
NEXT_TO_NOTHING = 0.01
"""Share of a promise below which it is not worth keeping any."""


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


def most(program: Program, name: str, names: Sequence[str]) -> float:
    """Largest share of one promise that can be kept while the other `names` are kept in full."""
    others = [n for n in names if n != name]
    relaxed = solve.relax(program, program.kept(name), program.promised(others))
    return 0.0 if relaxed.value is None else max(0.0, 1.0 + relaxed.value)


def barred(scenario: Scenario, names: list[str], pose: Pose) -> list[str]:
    """Ways out when a promise has no recipe at all: a pool large enough, or a looser latency with whatever else that
    takes.
    """
    found = more_nodes(scenario, names, pose)
    for w in (w for w in scenario.workloads if isinstance(w, Serve)):
        for field, word in LATENCY_WORDS.items():
            for factor in LATENCIES:
                eased = looser(scenario, w, field, factor)
                problem = pose(eased, tuple(names))
                if not any(r.workload == w.name and r.holds for r in problem.recipes):
                    continue
                change = latency(w, field, word, factor)
                built = programs.build(replace(problem, recipes=tuple(r for r in problem.recipes if r.holds)))
                reached = {n: most(built, n, names) for n in names}
                others = [] if holds(problem) else [*more_nodes(eased, names, pose), *less(eased, names, pose, reached)]
                found += [f"{change} and {more}" for more in others] if others else [change] * holds(problem)
                break
    return found


def looser(scenario: Scenario, w: Serve, field: str, factor: float) -> Scenario:
    """The scenario with one latency of a promise so many times as long."""
    slo: Slo = replace(w.slo, **{field: getattr(w.slo, field) * factor})
    return replace(
        scenario, workloads=tuple(replace(w, slo=slo) if v.name == w.name else v for v in scenario.workloads)
    )


def latency(w: Serve, field: str, word: str, factor: float) -> str:
    """How that is said."""
    now = getattr(w.slo, field)
    return f"{w.name} with {word} {quantities.show_seconds(now * factor)} instead of {quantities.show_seconds(now)}"


def unsafe(scenario: Scenario, names: list[str], pose: Pose) -> list[str]:
    """For each promise that survives nodes, whether it would hold if it survived none."""
    found = []
    for w in scenario.workloads:
        if isinstance(w, Serve) and w.survives:
            others = tuple(replace(w, survives=0) if v.name == w.name else v for v in scenario.workloads)
            if holds(pose(replace(scenario, workloads=others), tuple(names))):
                found.append(f"{w.name} surviving no node instead of {w.survives}")
    return found


def more_nodes(scenario: Scenario, names: list[str], pose: Pose, *, one: bool = False) -> list[str]:
    """For each pool, the least number of further nodes that lets the promises hold; cheapest in chips first. `one`:
    only one pool, of the few that the relaxation thinks cheapest.
    """
    asked = []
    for pool in scenario.fleet.pools:
        if any(w.pools is None or pool.name in w.pools for w in scenario.workloads):
            needed = _needed(scenario, pool, names, pose)
            if needed is not None:
                asked.append((needed[0] * pool.chips_per_node, pool, *needed))
    found: list[tuple[int, str]] = []
    for _, pool, least, grown in sorted(asked, key=lambda each: each[0])[: FEW if one else None]:
        nodes = _nodes(pool, least, grown, FEW if one else TRIES)
        if nodes:
            chips = nodes * pool.chips_per_node
            said = f"{_count(nodes, f'more {pool.chip.name} node')} in {pool.name} ({_count(chips, 'chip')})"
            found.append((chips, said))
            if one:
                break
    return [text for _, text in sorted(found)]


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'s' if n > 1 else ''}"


def _needed(scenario: Scenario, pool: Pool, names: list[str], pose: Pose) -> tuple[int, Problem] | None:
    """Further nodes of one pool that the relaxation needs, and the problem with as many as may be."""
    most = max(pool.nodes * (LARGER - 1), 16)
    grown = pose(_with(scenario, replace(pool, nodes=pool.nodes + most, available=1.0)), tuple(names))
    grown = replace(grown, recipes=tuple(r for r in grown.recipes if r.holds))
    if not grown.recipes:
        return None
    built = programs.build(grown)
    cost = np.zeros(len(built.lower))
    cost[built.aside[pool.name]] = -1.0
    least = solve.relax(built, cost, built.promised(names))
    if least.value is None:
        return None
    nodes = 1
    while units(grown_by(pool, nodes)) < -least.value - 1e-6 and nodes < most:
        nodes += 1
    return nodes, grown


def _nodes(pool: Pool, nodes: int, grown: Problem, tries: int) -> int | None:
    """As many nodes as whole replicas need, from so many on; None: not some more than these either."""
    for _ in range(tries):
        enough = replace(grown, units={**grown.units, pool.name: units(grown_by(pool, nodes))})
        enough = replace(enough, recipes=tuple(r for r in grown.recipes if r.units <= enough.units[r.pool]))
        if holds(enough):
            return nodes
        nodes += max(1, nodes // 20)
    return None


def grown_by(pool: Pool, nodes: int) -> Pool:
    """A pool with so many nodes more; as many of them down as the scenario says, or as are by default."""
    more, usual = pool.nodes + nodes, available_by_default(pool.nodes)
    available = available_by_default(more) if abs(pool.available - usual) < 1e-9 else pool.available
    return replace(pool, nodes=more, available=available)


def _with(scenario: Scenario, pool: Pool) -> Scenario:
    pools = tuple(pool if p.name == pool.name else p for p in scenario.fleet.pools)
    return replace(scenario, fleet=replace(scenario.fleet, pools=pools))


def less(scenario: Scenario, names: list[str], pose: Pose, reached: dict[str, float]) -> list[str]:
    """For each promise, how much of it would hold with the others in full."""
    found = []
    problem = pose(scenario, tuple(names))
    for w in scenario.workloads:
        share = reached.get(w.name, 0.0) * 0.999
        for _ in range(8):
            if share < NEXT_TO_NOTHING:
                break
            fewer, said = smaller(w, share)
            if holds(put(problem, w, fewer)):
                found.append(said)
                break
            share *= 0.95
    return found


def put(problem: Problem, w: Workload, fewer: Workload) -> Problem:
    """The problem with a smaller promise in the place of one."""
    share = 1.0
    if isinstance(w, Serve) and isinstance(fewer, Serve) and w.traffic.rate_per_s > 0:
        share = fewer.traffic.rate_per_s / w.traffic.rate_per_s
    workloads = tuple(fewer if v.name == w.name else v for v in problem.workloads)
    return replace(
        problem, workloads=workloads,
        demand={n: d * share if n == w.name else d for n, d in problem.demand.items()},
    )  # fmt: skip


def smaller(w: Workload, share: float) -> tuple[Workload, str]:
    """At most so much of a promise, and how that is said: numbers as they are printed, none of them more."""
    if isinstance(w, Serve):
        rate, full = _down(w.traffic.rate_per_s * share), w.traffic.rate_per_s
        fewer = replace(w, traffic=replace(w.traffic, rate_per_s=rate))
        return fewer, f"{w.name} at {_rate(rate)} instead of {_rate(full)}"
    if isinstance(w, Train):
        assert w.deadline_s is not None
        late = w.deadline_s / share
        while quantities.read("seconds", said := quantities.show_seconds(late)) < w.deadline_s / share:
            late *= 1.002
        later = replace(w, deadline_s=quantities.read("seconds", said))
        return later, f"{w.name} in {said} instead of {quantities.show_seconds(w.deadline_s)}"
    tokens = _down(w.tokens_per_day * share)
    few, all_of_it = quantities.show_count(tokens), quantities.show_count(w.tokens_per_day)
    return replace(w, tokens_per_day=tokens), f"{w.name} at {few} tokens a day instead of {all_of_it}"


def _rate(value: float) -> str:
    return f"{value:.0f}/s" if value >= 1000 else f"{value:.4g}/s"


def _down(value: float) -> float:
    """A number cut to three digits."""
    step = 10.0 ** (floor(log10(value)) - 2)
    return float(f"{floor(value / step + 1e-9) * step:.6g}")


def later(scenario: Scenario, names: list[str], pose: Pose) -> list[str]:
    """For each serve promise, the least looser latency that would hold: to the first token, or a token."""
    found = []
    for w in scenario.workloads:
        if not isinstance(w, Serve):
            continue
        for field, word in LATENCY_WORDS.items():
            for factor in LATENCIES:
                if holds(pose(looser(scenario, w, field, factor), tuple(names))):
                    found.append(latency(w, field, word, factor))
                    break
    return found

"""What to change so that every promise holds: each answer is a list of changes, looked at again with all of them made.

Repairs mend the conflict they stand under, and nothing beside it; these mend the whole scenario. One way buys (more
nodes of one pool), the other promises less, by priority: what matters more is cut last, what matters as much is cut
alike. A latency that no recipe can keep is loosened in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eke.plan import program as programs
from eke.plan import repairs, solve
from eke.plan.plan import Conflict
from eke.plan.program import Program
from eke.plan.repairs import LATENCIES, LATENCY_WORDS, NEXT_TO_NOTHING, Pose
from eke.plan.scenario import Scenario, Serve, Workload

HALVINGS = 7
"""Of the span in which the share of a promise that can be kept is searched."""
TRIES, STEP = 4, 0.92
"""Times that less and less of the promises is tried in whole replicas, each so much of the one before."""


def ways(scenario: Scenario, conflicts: Sequence[Conflict], pose: Pose) -> tuple[tuple[str, ...], ...]:
    """Lists of changes, each enough for all promises; empty where every repair of the only conflict is.

    Pins are left out of it: without them the rest holds, or conflicts among promises are told.
    """
    names = [w.name for w in scenario.workloads]
    blamed = {n for c in conflicts for n in c.demands}
    if scenario.pinned or (len(conflicts) == 1 and blamed == set(names)):
        return ()
    eased, said = _eased(scenario, names, pose)
    more = [(*said, change) for change in repairs.more_nodes(eased, names, pose, one=True)]
    fewer = _less(eased, names, blamed, pose)
    return (*more, *(() if fewer is None else ((*said, *fewer),)))


def _eased(scenario: Scenario, names: Sequence[str], pose: Pose) -> tuple[Scenario, list[str]]:
    """With latencies loosened, where no recipe keeps one, until some does; and what was loosened."""
    can = {r.workload for r in pose(scenario, tuple(names)).recipes if r.holds}
    said = []
    for w in scenario.workloads:
        if w.name in can or not isinstance(w, Serve):
            continue
        for field, word, factor in ((f, word, x) for f, word in LATENCY_WORDS.items() for x in LATENCIES):
            looser = repairs.looser(scenario, w, field, factor)
            if any(r.holds for r in pose(looser, (w.name,)).recipes):
                scenario = looser
                said.append(repairs.latency(w, field, word, factor))
                break
    return scenario, said


def _less(scenario: Scenario, names: Sequence[str], blamed: set[str], pose: Pose) -> list[str] | None:
    """The most of each promise that can be kept, in words; None where no less of the blamed ones would do."""
    problem = pose(scenario, tuple(names))
    built = programs.build(replace(problem, recipes=tuple(r for r in problem.recipes if r.holds)))
    shares = dict.fromkeys(names, 1.0) | dict.fromkeys(blamed, 0.0)
    relaxed = solve.Relaxation(built, np.zeros(len(built.lower)))
    if not _possible(built, relaxed, shares):
        return None
    owed = {w.name: w for w in scenario.workloads}
    for priority in sorted({owed[n].priority for n in blamed}):
        same = [n for n in names if n in blamed and owed[n].priority == priority]
        shares |= dict.fromkeys(same, _most(built, relaxed, shares, same))
    for _ in range(TRIES):
        kept: dict[str, Workload] = {}
        said = []
        for n in names:
            if shares[n] < NEXT_TO_NOTHING:
                said.append(f"without {n}")
                continue
            kept[n] = owed[n]
            if shares[n] < 1.0:
                kept[n], change = repairs.smaller(owed[n], shares[n])
                said.append(change)
        if not kept:
            return None
        tried = pose(scenario, tuple(kept)) if len(kept) < len(names) else problem
        for n, w in kept.items():
            tried = repairs.put(tried, owed[n], w)
        if repairs.holds(tried):
            return said
        shares = {n: s if s == 1.0 else s * STEP for n, s in shares.items()}
    return None


def _most(built: Program, relaxed: solve.Relaxation, shares: Mapping[str, float], same: Sequence[str]) -> float:
    """The largest share of these promises that the relaxation can keep, alike, beside `shares` of the others."""
    if _possible(built, relaxed, {**shares, **dict.fromkeys(same, 1.0)}):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found = _possible(built, relaxed, {**shares, **dict.fromkeys(same, middle)})
        low, high = (middle, high) if found else (low, middle)
    return low


def _possible(built: Program, relaxed: solve.Relaxation, shares: Mapping[str, float]) -> bool:
    """Whether so much of each promise can be kept at once, in the relaxation."""
    upper = built.upper.copy()
    for name, share in shares.items():
        upper[built.missing[name]] *= 1.0 - share
    return relaxed.under((built.lower, upper)).value is not None

"""Why not: the fewest promises that cannot hold together, the pools they fight over, and ways out (`repairs`).

A deletion filter on the relaxation: a promise that can go without making the rest possible is not to blame. It knows
the program; it asks for other recipes through a function, never for them by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eke import units as quantities
from eke.plan import branches, repairs
from eke.plan.plan import Conflict
from eke.plan.program import Program
from eke.plan.recipes import units
from eke.plan.repairs import CHECK_S, Pose
from eke.plan.scenario import Scenario, Serve, Train, Workload


def conflicts(scenario: Scenario, program: Program, pose: Pose) -> tuple[Conflict, ...]:
    """Sets of promises, each the fewest that cannot hold together; a promise is in one at most."""
    if program.pinned and (conflict := _pinned(program)) is not None:
        return (conflict,)
    program, scenario = program.freed(list(program.pinned)), replace(scenario, pinned=())
    found: list[Conflict] = []
    left = [w.name for w in program.problem.workloads]
    while left and not repairs.possible(program, left):
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
    if not repairs.possible(free, names) or not _whole(free):
        return None
    for pin in list(program.pinned):
        without = program.freed([pin])
        if without.pinned and not repairs.possible(without, names):
            program = without
    # Where split replicas would do, or pins alone are too much, no promise is to blame.
    blamed = not repairs.possible(program, names) and repairs.possible(program, [])
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


def _irreducible(program: Program, names: Sequence[str]) -> list[str]:
    """Each promise is dropped in turn, the least important first; it stays dropped if the rest still cannot hold."""
    priority = {w.name: w.priority for w in program.problem.workloads}
    kept = list(names)
    for name in sorted(names, key=lambda n: -priority[n]):
        rest = [n for n in kept if n != name]
        if rest and not repairs.possible(program, rest):
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
    reached = {w.name: repairs.most(program, w.name, names) for w in workloads if w not in barred}
    reason = _reason(scenario, workloads, barred, usable, reached)
    small = replace(scenario, workloads=tuple(workloads))
    if barred:
        found = repairs.barred(small, names, pose)
    else:
        found = [
            *repairs.more_nodes(small, names, pose), *repairs.less(small, names, pose, reached),
            *repairs.later(small, names, pose), *repairs.unsafe(small, names, pose),
        ]  # fmt: skip
    return Conflict(tuple(names), tuple(usable) or tuple(p.name for p in scenario.fleet.pools), reason, tuple(found))


def _reason(
    scenario: Scenario, workloads: list[Workload], barred: list[Workload], pools: list[str], reached: dict[str, float]
) -> str:  # fmt: skip
    if barred:
        return "; ".join(_barred(scenario, w) for w in barred)
    where = ", ".join(pools)
    if len(workloads) == 1:
        return f"all of {where} together keep {_short(reached[workloads[0].name])} of {_wants(workloads[0])}"
    said = "; ".join(f"with the others kept, {_short(reached[w.name])} of {_wants(w)}" for w in workloads)
    return f"each holds alone on {where}, not together: {said}"


def _barred(scenario: Scenario, w: Workload) -> str:
    """Why a promise has no recipe at all."""
    may = [p for p in scenario.fleet.pools if w.pools is None or p.name in w.pools]
    if not any(units(p) for p in may):
        where = f"{', '.join(p.name for p in may)} {'have' if len(may) > 1 else 'has'}"
        return f"no chip for {_wants(w)}: {where} no node that can be planned on"
    return f"no recipe for {_wants(w)} on any pool: it does not fit, or no batch is small enough for its latency"


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

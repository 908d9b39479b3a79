"""From the columns of a solution to a plan in a user's words: placements, promises kept, prices. It decides nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eke import units
from eke.cost import FloatArray
from eke.plan import energy, notes, starts, sure
from eke.plan.marginal import PRICES, Marginal
from eke.plan.plan import Conflict, Kept, Objective, Placement, Plan, PoolUse
from eke.plan.program import Problem, Program
from eke.plan.recipes import Recipe
from eke.plan.scenario import Batch, Scenario, Serve, Train, Workload
from eke.plan.solve import Outcome
from eke.plan.starts import Starts

if TYPE_CHECKING:
    from eke.plan.planner import Aim

ENOUGH = 1e-6
"""Share of a demand that may be missing to rounding."""
ROUNDED = 1e-3
"""Share of what is said to be answered that may be missing in what replicas answer, before the latter is believed."""
NOTABLE = 0.005
"""Share by which a step's batch may differ from the one asked for before it is worth a line."""


def plan(
    scenario: Scenario, program: Program, aim: Aim, outcome: Outcome, conflicts: Sequence[Conflict],
    seconds: dict[str, float], prices: Marginal | None = None,
) -> Plan:  # fmt: skip
    """The plan of a solution (`trim` it first); without one, the plan that says why."""
    x, problem = outcome.x, program.problem
    objective = _objective(program, aim, outcome, x)
    rows = [] if x is None else _rows(program, x)
    started = starts.of(program, np.zeros(len(program.lower)) if x is None else x)
    placements = tuple(p for row in rows for p in _placements(problem, row))
    kept = tuple(
        _starting(problem, w, started, _kept(program, w, x, [r for r in rows if r.recipe.workload == w.name]))
        for w in problem.workloads
    )
    made = Plan(
        scenario.name, scenario.fleet.digest, not conflicts and x is not None, objective, seconds,
        _pools(scenario, program, rows, started), placements, kept, tuple(conflicts),
        source=scenario.source,
    )  # fmt: skip
    if prices is not None:
        made = sure.told(made, scenario, prices)
    return notes.annotated(energy.metered(made, scenario), scenario, problem)


def trim(program: Program, x: FloatArray) -> FloatArray:
    """The same plan without replicas that nobody needs: the solver stops short of caring about a few chips."""
    x, problem, runs = x.copy(), program.problem, program.runs
    slack = _slack(program, x)
    wanted = np.zeros(len(x), dtype=bool)
    wanted[runs.at[~runs.gang]] = x[runs.at[~runs.gang]] > 0.5
    some = np.flatnonzero(
        wanted[program.columns] & (program.entries > 0) & np.isfinite(program.row_lower[program.rows])
    )
    entries: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for row, column, value in zip(program.rows[some].tolist(), program.columns[some].tolist(),
                                  program.entries[some].tolist(), strict=True):  # fmt: skip
        entries[column].append((row, value))
    used = np.flatnonzero(wanted[runs.at]).tolist()
    for k in sorted(used, key=lambda k: -problem.recipes[runs.recipe[k]].units):
        column = int(runs.at[k])
        spare = min((slack[row] / value for row, value in entries[column]), default=0.0)
        drop = max(0.0, min(x[column], np.floor(spare + 1e-9)))
        x[column] -= drop
        for row, value in entries[column]:
            slack[row] -= drop * value
    return _set_aside(program, x)


def _slack(program: Program, x: FloatArray) -> FloatArray:
    activity = np.bincount(program.rows, program.entries * x[program.columns], minlength=len(program.row_lower))
    return np.asarray(activity - program.row_lower)


def _set_aside(program: Program, x: FloatArray) -> FloatArray:
    """The solution with u at the most units used in any slot."""
    for pool, used in _used(program, x).items():
        x[program.aside[pool]] = used.max()
    return x


def _used(program: Program, x: FloatArray) -> dict[str, FloatArray]:
    """Units of each pool in use, by class of slots."""
    problem, runs = program.problem, program.runs
    used = {pool: np.zeros(len(problem.weights)) for pool in problem.units}
    for k in np.flatnonzero(x[runs.at] > 0.5).tolist():
        recipe, slot = problem.recipes[runs.recipe[k]], int(runs.slot[k])
        used[recipe.pool][slice(None) if slot < 0 else slot] += round(x[runs.at[k]]) * recipe.units
    return used


class Row:
    """One recipe in use: how many replicas, in which classes of slots."""

    __slots__ = ("classes", "rate", "recipe", "replicas", "share")

    def __init__(self, recipe: Recipe, replicas: int, classes: tuple[int, ...], rate: float, share: float) -> None:
        self.recipe, self.replicas, self.classes, self.rate, self.share = recipe, replicas, classes, rate, share


def _rows(program: Program, x: FloatArray) -> list[Row]:
    problem, runs = program.problem, program.runs
    workloads = {w.name: w for w in problem.workloads}
    chosen = [
        (problem.recipes[runs.recipe[k]], int(runs.slot[k]), round(x[runs.at[k]]))
        for k in np.flatnonzero(x[runs.at] > 0.5).tolist()
    ]
    together: dict[tuple[object, int], float] = defaultdict(float)  # of one job, or of answers that count alike
    for recipe, slot, replicas in chosen:
        together[_side(program, recipe, workloads[recipe.workload]), slot] += replicas * recipe.rate
    rows = []
    for recipe, slot, replicas in chosen:
        classes = tuple(range(len(problem.weights))) if slot < 0 else (slot,)
        rate = recipe.rate * program.moving if recipe.kind == "train" and slot >= 0 else recipe.rate
        w = workloads[recipe.workload]
        share = _share(program, x, recipe, w, slot, together[_side(program, recipe, w), slot])
        rows.append(Row(recipe, replicas, classes, rate, share))
    return rows


def _side(program: Program, recipe: Recipe, w: Workload) -> object:
    if not isinstance(w, Serve):
        return w.name
    variant = (recipe.variant, recipe.pool, recipe.to) if recipe.part else ()
    return (program.group(recipe, w), recipe.part, *variant)


def _share(program: Program, x: FloatArray, recipe: Recipe, w: Workload, slot: int, together: float) -> float:
    """Share of the workload's demand that one replica's worth of this recipe does in a slot; `together`: the rate of
    all that count alike.
    """
    if isinstance(w, Train):
        return recipe.rate / together
    if isinstance(w, Batch):
        return recipe.rate / w.requests_per_s if w.requests_per_s else 0.0
    if program.problem.demand[w.name][slot] <= 0 or together <= 0:
        return 0.0
    group = program.group(recipe, w)
    answered = float(x[program.answered[group][slot]])
    flowing = {flow: float(x[f[slot]]) for flow, f in program.flows.items() if flow.group == group}
    spare = min(1.0, answered / max(sum(flowing.values()), 1e-12))  # more may flow than is asked for
    if not recipe.part:  # never more than it can: of a huge demand, the solver's tolerance is many requests
        most = together / float(program.problem.demand[w.name][slot])
        return recipe.rate * min(most, max(0.0, answered - sum(flowing.values()))) / together
    reads, here = recipe.part == "prefill", (recipe.variant, recipe.pool)
    mine = sum(
        v for f, v in flowing.items()
        if ((f.variant, f.read) == here and f.written == recipe.to if reads else (f.variant, f.written) == here)
    )  # fmt: skip
    return recipe.rate * spare * mine / together


def _placements(problem: Problem, row: Row) -> list[Placement]:
    r = row.recipe
    each = _whole(r.units / problem.per_chip[r.pool])
    capacity: dict[str, float]
    if r.kind == "train":
        capacity = {"tokens_per_s": row.rate * row.replicas}
    elif r.kind == "batch":
        capacity = {"requests_per_s": row.rate * row.replicas}
    else:
        capacity = {"requests_per_s": row.rate * row.replicas, "ttft_s": r.ttft_s, "tpot_s": r.tpot_s}
    return [
        Placement(
            r.workload, r.kind, r.role, r.pool, slot, row.replicas, each, row.replicas * each, r.model, r.variant,
            settings(r, problem.per_chip[r.pool] > 1), capacity, min(1.0, row.share * row.replicas), r.basis, r.quality,
        )
        for c in row.classes for slot in problem.slots[c]
    ]  # fmt: skip


def _whole(chips: float) -> float:
    """Whole chips as whole numbers; parts of a CPU stay fractions."""
    return int(chips) if float(chips).is_integer() else chips


def settings(r: Recipe, cpu: bool) -> dict[str, Any]:
    """What an engine or a trainer must be told to run a recipe."""
    told: dict[str, Any] = {"engine": r.engine, "tp": r.tp, "pp": r.pp, "dp": r.dp, "ep": r.ep}
    if r.kind == "train":
        told |= {"micro_batch": r.micro_batch, "accumulate": r.accumulate, "mfu": round(r.mfu, 4)}
    else:
        told |= {"max_batch": r.max_batch, "chunked_prefill": r.chunk, "context": r.context}
        if r.part == "prefill":
            told |= {"feeds": r.to, "handover_bytes": round(r.handover_bytes)}
        if r.spread:
            told |= {"per_node": 1}
    return told | ({"threads": r.units} if cpu else {})


def _objective(program: Program, aim: Aim, outcome: Outcome, x: FloatArray | None) -> Objective:
    if x is None:
        return Objective(aim.name, aim.unit, None, None, None)
    chips = sum(n / program.problem.per_chip[p] for p, n in program.problem.units.items())
    value = float(aim.primary @ x)
    bound = (
        max(value, outcome.bound + aim.tie * chips) if aim.primary.any() else value
    )  # nothing to train: nothing more
    scale = max(abs(value), abs(bound))
    gap = (bound - value) / scale if scale > 1e-12 else 0.0
    return Objective(aim.name, aim.unit, aim.sign * value + 0.0, aim.sign * bound + 0.0, gap)


def _pools(scenario: Scenario, program: Program, rows: list[Row], started: Starts) -> tuple[PoolUse, ...]:
    problem, unit = program.problem, PRICES[program.problem.goal][0]
    slots = sum(len(s) for s in problem.slots)
    used = {p.name: np.zeros(slots) for p in scenario.fleet.pools}
    for row in rows:
        at = [s for c in row.classes for s in problem.slots[c]]
        used[row.recipe.pool][at] += row.replicas * row.recipe.units / problem.per_chip[row.recipe.pool]
    return tuple(
        PoolUse(
            p.name, p.chip.name, p.chips, tuple(_whole(u) for u in used[p.name].tolist()),
            0.0, unit,
            starting_chips=tuple((started.busy[p.name] / problem.per_chip[p.name]).tolist()),
            late_chips=tuple((started.late[p.name] / problem.per_chip[p.name]).tolist()),
        )
        for p in scenario.fleet.pools
    )  # fmt: skip


def _kept(program: Program, w: Workload, x: FloatArray | None, rows: list[Row]) -> Kept:
    problem = program.problem
    unit = PRICES[problem.goal][1]
    if isinstance(w, Serve):
        demand = w.traffic.rates
        by_class = np.zeros(len(problem.weights))
        if x is not None:
            said, answered = 1 - x[program.missing[w.name]], np.zeros(len(problem.weights))
            for r in (r for r in rows if r.recipe.part != "prefill"):
                answered[list(r.classes)] += r.share * r.replicas
            by_class = problem.demand[w.name] * np.where(answered < said * (1 - ROUNDED), answered, said)
        served = [0.0] * len(demand)
        for c, slots in enumerate(problem.slots):
            for s in slots:
                served[s] = min(max(0.0, float(by_class[c])), demand[s])
        late = any(not r.recipe.holds for r in rows)
        met = x is not None and not late and all(a >= d * (1 - ENOUGH) for a, d in zip(served, demand, strict=True))
        return Kept(
            w.name,
            w.kind,
            met,
            0.0,
            unit,
            demand,
            tuple(served),
            note=_late(w, rows) if late else "",
            promise=promise(w),
        )
    done = sum(r.rate * r.replicas * float(problem.weights[list(r.classes)].sum()) for r in rows)
    if isinstance(w, Batch):
        tokens = done * 86400 * (w.prompt.mean + w.output.mean)
        return Kept(
            w.name,
            w.kind,
            tokens >= w.tokens_per_day * (1 - ENOUGH),
            0.0,
            unit,
            tokens_per_day=tokens,
            promise=promise(w),
        )
    mfu = sum(r.recipe.mfu * r.recipe.units * len(r.classes) for r in rows) / max(
        1, sum(r.recipe.units * len(r.classes) for r in rows)
    )
    days = w.tokens / done / 86400 if done > 0 else None
    met = done >= w.tokens_per_s * (1 - ENOUGH) and (
        done > 0 or bool(w.deadline_s is None and problem.goal != "train-progress")
    )
    return Kept(
        w.name,
        w.kind,
        met,
        0.0,
        unit,
        tokens_per_s=done,
        days=days,
        mfu=mfu if rows else None,
        note=_step(w, rows),
        promise=promise(w),
    )


def _starting(problem: Problem, w: Workload, started: Starts, kept: Kept) -> Kept:
    """What is kept, with the replicas that start in a day and what they cost."""
    if isinstance(w, Train):
        return kept
    mine = [(r, int(n.sum())) for r, n in started.recipes if r.workload == w.name and n.any()]
    hours = sum(n * r.units / problem.per_chip[r.pool] * r.start_s for r, n in mine) / 3600
    longest = max((r.start_s for r, _ in mine), default=None)
    if isinstance(w, Batch) and kept.tokens_per_day:
        left = kept.tokens_per_day - started.lost[w.name] * 86400 * (w.prompt.mean + w.output.mean)
        kept = replace(kept, tokens_per_day=left, met=left >= w.tokens_per_day * (1 - ENOUGH))
    return replace(kept, starts_per_day=sum(n for _, n in mine), start_chip_hours=hours, start_s=longest)


def _step(w: Train, rows: list[Row]) -> str:
    """How much larger or smaller a step is than asked for, where all ranks could not share that out evenly.

    Megatron and others refuse a global batch that micro-batch times data ranks does not divide.
    """
    alone = [r.recipe for r in rows if not r.recipe.joint]
    sizes = {r.accumulate * r.micro_batch * r.dp * w.sequence for r in alone}
    off = sorted(
        size for size in sizes if abs(size - w.global_batch) > max(NOTABLE * w.global_batch, 0.51 * w.sequence)
    )
    if not off:
        return ""
    return (
        f"a step takes {' or '.join(f'{size:,}' for size in off)} tokens instead of {w.global_batch:,.0f}, so that all "
        "data ranks have equally many sequences"
    )


def promise(w: Workload) -> str:
    """What is promised, in words: `p95 TTFT 1 s, TPOT 50 ms`."""
    if isinstance(w, Serve):
        ttft, tpot = units.show_seconds(w.slo.ttft_s), units.show_seconds(w.slo.tpot_s)
        down = "" if not w.survives else f", {w.survives} node{'s' if w.survives > 1 else ''} down"
        return f"p{w.slo.percentile:g} TTFT {ttft}, TPOT {tpot}{down}"
    if isinstance(w, Batch):
        return f"{units.show_count(w.tokens_per_day)} tokens a day"
    within = f" in {units.show_seconds(w.deadline_s)}" if w.deadline_s else ""
    return f"{units.show_count(w.tokens)} tokens{within}"


def _late(w: Serve, rows: list[Row]) -> str:
    ttft, tpot = max(r.recipe.ttft_s for r in rows), max(r.recipe.tpot_s for r in rows)
    return (
        f"no recipe here keeps {w.slo.ttft_s:g} s to the first token and {w.slo.tpot_s * 1e3:g} ms a token for "
        f"{w.slo.percentile:g}% of requests; this one reaches {ttft:.3g} s and {tpot * 1e3:.3g} ms"
    )

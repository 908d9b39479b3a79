"""Comparative advantage: what a chip of each kind is worth in each work, and what it gives up by doing it.

As with a surgeon who also types best: what matters is not who does a thing fastest, but who gives up least by doing it.
A chip that serves twice as fast as another but trains five times as fast should train. It reads recipes; it knows no
plan and no solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eke.plan.plan import Plan
from eke.plan.program import Problem
from eke.plan.recipes import Kind, Recipe
from eke.plan.scenario import Train


@dataclass(frozen=True, slots=True)
class Worth:
    """What one chip of a pool is worth in one workload, in its best recipe for it.

    Attributes:
        rate: requests/s (serve, batch) or tokens/s (train) of one chip; 0 where no recipe keeps the promise.
        ahead: `rate` beside the best pool's.
        gives_up: of the base's work, for one unit of this one: what the chip could do there instead; None when nothing
        is there to compare with.
        advantage: least `gives_up` of any pool, beside this one's: 1 for the pool that gives up least.
        chips: mean chips that the plan uses so.
    """

    pool: str
    chip: str
    workload: str
    kind: Kind
    rate: float
    ahead: float
    gives_up: float | None
    advantage: float | None
    chips: float


def base(problem: Problem) -> str:
    """The work that others are compared with: the first training job; without one, the workload first named."""
    jobs = [w.name for w in problem.workloads if isinstance(w, Train)]
    return (jobs or [w.name for w in problem.workloads])[0]


def best(problem: Problem, pool: str, workload: str, models: frozenset[str] | None = None) -> Recipe | None:
    """The recipe that gives most per chip, of those that keep the promise."""
    found = [
        r
        for r in problem.recipes
        if r.pool == pool
        and r.workload == workload
        and r.holds
        and not r.part
        and (models is None or r.model in models)
    ]
    return max(found, key=lambda r: r.rate / r.units, default=None)


def per_chip(problem: Problem, recipe: Recipe | None) -> float:
    """Requests/s or tokens/s of one chip; 0 without a recipe."""
    return recipe.rate / recipe.units * problem.per_chip[recipe.pool] if recipe else 0.0


def worths(plan: Plan, problem: Problem) -> list[Worth]:
    """A row for each workload and pool."""
    used = {(p.workload, p.pool): 0.0 for p in plan.placements}
    for p in plan.placements:
        used[p.workload, p.pool] += p.chips / plan.slots
    chip = {p.name: p.chip for p in plan.pools}
    pools, other = list(problem.units), base(problem)
    # The same model everywhere: the demanded one, where it runs at all.
    instead = np.array([per_chip(problem, best(problem, p, other, _asked(problem, other))) for p in pools])
    rows = []
    for w in problem.workloads:
        rate = np.array([per_chip(problem, best(problem, p, w.name, _asked(problem, w.name))) for p in pools])
        gives_up = np.divide(instead, rate, out=np.full(len(pools), np.inf), where=rate > 0)
        least = gives_up.min() if w.name != other else 1.0
        for i, pool in enumerate(pools):
            compared = w.name != other and bool(rate[i] > 0)
            rows.append(
                Worth(
                    pool, chip[pool], w.name, w.kind, float(rate[i]), float(rate[i] / rate.max()) if rate[i] else 0.0,
                    float(gives_up[i]) if compared else None,
                    float(least / gives_up[i] if gives_up[i] > 0 else 1.0) if compared else None,
                    used.get((w.name, pool), 0.0),
                )
            )  # fmt: skip
    return rows


def _asked(problem: Problem, workload: str) -> frozenset[str] | None:
    model = next(w.model for w in problem.workloads if w.name == workload)
    return frozenset({model}) if any(r.workload == workload and r.model == model for r in problem.recipes) else None


def chart(rows: list[Worth], base: str) -> Any:
    """Bars: how much of the base's work each pool gives up for a unit of each other, beside the pool that gives up
    least.
    """
    from eke import charts

    alt = charts.altair_module()
    shown = [r for r in rows if r.gives_up is not None]
    least = {r.workload: min((s.gives_up for s in shown if s.workload == r.workload and s.gives_up), default=1.0)
             for r in shown}  # fmt: skip
    values = [
        {
            "pool": r.pool,
            "workload": r.workload,
            "chips": round(r.chips, 1),
            "used": "in use" if r.chips else "not used",
            "times": (r.gives_up or 0.0) / (least[r.workload] or 1.0),
        }
        for r in shown
    ]
    bars = (
        alt.Chart(alt.Data(values=values))
        .mark_bar(size=14, cornerRadiusEnd=2)
        .encode(
            x=alt.X("times:Q", title="times the least", axis=alt.Axis(tickCount=4)),
            y=alt.Y("pool:N", title=None, sort=list(dict.fromkeys(r.pool for r in rows))),
            color=alt.Color(
                "used:N", title="in the plan",
                scale=alt.Scale(domain=["in use", "not used"], range=[charts.SERVE, charts.RULE]),
            ),
            tooltip=["workload:N", "pool:N", alt.Tooltip("times:Q", format=".2f"), "chips:Q"],
        )
        .properties(width=250, height=alt.Step(20))
        .facet(
            facet=alt.Facet(
                "workload:N", title=None, sort=list(dict.fromkeys(r.workload for r in rows)),
                header=alt.Header(labelAnchor="start"),
            ),
            columns=2,
        )
        .resolve_scale(x="independent")
    )  # fmt: skip
    said = f"What a chip gives up of {base} to do a unit of other work, times what the pool that gives up least does"
    return charts.styled(bars, "Who should serve: comparative advantage", said)

"""Comparative advantage: what a chip of each kind is worth in each work, and what it gives up by doing it.

As with a surgeon who also types best: what matters is not who does a thing fastest, but who gives up least by doing it.
A chip that serves twice as fast as another but trains five times as fast should train. It reads recipes; it knows no
plan and no solver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eke.cost import Basis
from eke.plan.interval import Estimate, Span, Speeds
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
        basis: of the least known speed these rest on. rests_on: share of what speeds move in `gives_up`, or `rate`, by
            basis. interval: of `rate`, `ahead`, `gives_up` and `advantage`, 80% by the cost model.
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
    basis: Basis | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Span]


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


def worths(plan: Plan, problem: Problem, speeds: Speeds) -> list[Worth]:
    """A row for each workload and pool."""
    used = {(p.workload, p.pool): 0.0 for p in plan.placements}
    for p in plan.placements:
        used[p.workload, p.pool] += p.chips / plan.slots
    chip = {p.name: p.chip for p in plan.pools}
    other = base(problem)
    # The same model everywhere: the demanded one, where it runs at all.
    instead = _rates(problem, other)
    rows = []
    for w in problem.workloads:
        rate = _rates(problem, w.name)
        most = max(rate.values(), key=lambda e: e.value)
        compared = {p: instead[p] / e for p, e in rate.items() if e.value > 0 and w.name != other}
        least = min(compared.values(), key=lambda e: e.value, default=Estimate(0.0))
        for pool, e in rate.items():
            numbers = {"rate": e, "ahead": e / most} if e.value else {}
            if pool in compared:
                given_up = compared[pool]
                numbers |= {"gives_up": given_up}
                numbers |= {"advantage": least / given_up} if given_up.value else {}
            sure = speeds.sure(numbers)
            value = {name: n.value for name, n in numbers.items()}
            rests_on = speeds.rests_on(numbers.get("gives_up", e))
            rows.append(
                Worth(
                    pool, chip[pool], w.name, w.kind, e.value, value.get("ahead", 0.0), value.get("gives_up"),
                    value.get("advantage", 1.0) if pool in compared else None, used.get((w.name, pool), 0.0),
                    sure.basis, rests_on, sure.interval,
                )
            )  # fmt: skip
    return rows


def _rates(problem: Problem, workload: str) -> dict[str, Estimate]:
    """What a chip of each pool gives in its best recipe."""
    found = {}
    for pool in problem.units:
        recipe = best(problem, pool, workload, _asked(problem, workload))
        rate = per_chip(problem, recipe)
        found[pool] = Estimate(rate, {(pool, recipe.kind == "train"): rate}, recipe.basis) if recipe else Estimate(0.0)
    return found


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

"""What else could be done with each workload, and what that would cost: recipes priced with the relaxation's reduced
costs. It knows no sentences.

A reduced cost says what the objective loses at the margin for one replica of a recipe that is not in the plan; all of a
workload's replicas in one pool are priced by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eke import units
from eke.cost import FloatArray
from eke.errors import InputError
from eke.plan import planner, program, serving, solve
from eke.plan.plan import Placement, Plan
from eke.plan.reading import parse
from eke.plan.recipes import Recipe, sites
from eke.plan.scenario import Batch, Serve, Train, Workload


@dataclass(frozen=True, slots=True)
class Option:
    """One way to do all of a workload's work in one pool, priced with the relaxation's reduced costs.

    Attributes:
        chips: at the fullest slot, for all of the demand.
        loses: of the objective, at the margin, when all of the work is done so; None where it has no price.
        loses_chips: the same counted in chips of the pool with the highest price; None where no pool has one.
        planned: chips that the plan gives it at its fullest slot.
        why_not: why there is no recipe at all; else empty.
    """

    workload: str
    pool: str
    chips: float
    loses: float | None
    loses_chips: float | None
    planned: float
    model: str = ""
    variant: str = ""
    recipe: str = ""
    ttft_s: float | None = None
    tpot_s: float | None = None
    tokens_per_s: float | None = None
    why_not: str = ""


class Priced:
    """A plan with its scenario posed and its relaxation solved again, to be asked about as often as one likes.

    Raises:
        InputError: the plan places nothing, or does not say what it was made from.
    """

    def __init__(self, plan: Plan) -> None:
        if not plan.placements:
            why = "; ".join(c.reason for c in plan.infeasible_because) or "it places nothing"
            raise InputError(
                "there is nothing to explain in this plan", why=why, remedy="eke plan SCENARIO --best-effort"
            )
        if not plan.source:
            raise InputError("the plan does not say what it was made from", remedy="make it again with eke plan")
        self.plan = plan
        self.scenario = planner.ready(parse(plan.source))
        self.problem = planner.pose(self.scenario)
        holding = replace(self.problem, recipes=tuple(r for r in self.problem.recipes if r.holds))
        self._built = program.build(holding)
        self.goal = planner.aim(self._built)
        bounds = self._built.promised(self.goal.promises, larger=True)
        self._relaxed = solve.relax(self._built, self.goal.combined, bounds)

    def placed(self, workload: str) -> list[Placement]:
        """Where the plan has a workload."""
        return [p for p in self.plan.placements if p.workload == workload]

    def options(self, w: Workload) -> list[Option]:
        """For each pool the way to do all of a workload's work there that costs least, the cheapest pool first."""
        found = []
        for pool in self.problem.units:
            room = self.problem.units[pool]
            mine = [
                r
                for r in self._built.problem.recipes
                if (r.workload, r.pool, r.part) == (w.name, pool, "") and r.units <= room
            ]
            priced = [self._option(w, r) for r in mine]
            if priced:
                found.append(min(priced, key=lambda o: (o.loses if o.loses is not None else 0.0, _worst(w, o))))
            else:
                found.append(Option(w.name, pool, 0.0, None, None, 0.0, why_not=self._why_not(w, pool)))
        if isinstance(w, Train):
            return sorted(found, key=lambda o: -(o.tokens_per_s or 0.0))
        return sorted(found, key=lambda o: (bool(o.why_not), o.loses if o.loses is not None else 0.0, o.chips))

    def _option(self, w: Workload, r: Recipe) -> Option:
        per_chip = self.problem.per_chip[r.pool]
        planned = [0.0] * self.plan.slots
        for p in self.placed(w.name):
            if p.pool == r.pool:
                planned[p.slot] += p.chips
        if isinstance(w, Train):
            return Option(
                w.name, r.pool, r.units / per_chip, None, None, max(planned), r.model, r.variant, _written(r),
                tokens_per_s=r.rate,
            )  # fmt: skip
        loses, peak = self._loses(w, r)
        chips = np.ceil(peak - 1e-9) * r.units / per_chip
        dearest = max((p.price for p in self.plan.pools), default=0.0)
        in_chips = None if loses is None or dearest <= 0 else loses / dearest
        return Option(
            w.name, r.pool, float(chips), loses, in_chips, max(planned), r.model, r.variant, _written(r),
            r.ttft_s or None, r.tpot_s or None,
        )  # fmt: skip

    def _loses(self, w: Serve | Batch, r: Recipe) -> tuple[float | None, float]:
        """What doing all of the work by recipe `r` costs the objective at the margin, and the replicas it takes."""
        built, runs = self._built, self._built.runs
        i = built.problem.recipes.index(r)
        columns = np.flatnonzero(runs.recipe == i)
        slot = runs.slot[columns]
        priced = self._relaxed.value is not None
        cost: FloatArray = (
            np.maximum(-self._relaxed.reduced[runs.at[columns]], 0.0) if priced else np.zeros(len(columns))
        )
        if isinstance(w, Batch):
            replicas = w.requests_per_s / r.rate
            cheapest = float((cost / built.problem.weights[slot]).min())
            return (cheapest * replicas if priced else None), replicas
        demand = built.problem.demand[w.name][slot]
        replicas_at = np.where(demand > 0, np.maximum(demand / r.rate, 1.0), 0.0)
        lost = float(cost @ replicas_at)
        if priced:
            answers = built.answered[built.group(r, w)]
            lost += float(np.maximum(-self._relaxed.reduced[answers], 0.0).sum())
        return (lost if priced else None), float(replicas_at.max(initial=0.0))

    def _why_not(self, w: Workload, pool: str) -> str:
        if w.pools is not None and pool not in w.pools:
            return "the scenario keeps it out of this pool"
        site, _ = next((s, n) for s, n in sites(self.scenario.fleet.pools) if pool in n)
        if site.units < 1:
            return "no chips that can be planned on"
        if isinstance(w, Train):
            return "no layout fits memory, or its precision does not run there"
        late = serving.recipes([w], site, late=True)
        if not late or isinstance(w, Batch):
            return "no allowed variant fits its memory and runs in its precisions"
        r = min(late, key=lambda r: max(r.ttft_s / w.slo.ttft_s, r.tpot_s / w.slo.tpot_s))
        return f"too slow: {reached(r.ttft_s, r.tpot_s)} of {reached(w.slo.ttft_s, w.slo.tpot_s)} promised"


def _written(r: Recipe) -> str:
    ways = " ".join(f"{k}{v}" for k, v in (("tp", r.tp), ("pp", r.pp), ("ep", r.ep), ("dp", r.dp)) if v > 1) or "tp1"
    return f"{r.engine} {ways}" + (f", batch {r.max_batch}" if r.max_batch else "")


def _worst(w: Workload, o: Option) -> float:
    return -(o.tokens_per_s or 0.0) if isinstance(w, Train) else o.chips


def reached(ttft_s: float, tpot_s: float) -> str:
    """Both latencies in words."""
    return f"TTFT {units.show_seconds(ttft_s)} and TPOT {units.show_seconds(tpot_s)}"

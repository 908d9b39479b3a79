"""What else could be done with each workload, and what that would cost: recipes priced with the relaxation's reduced
costs. It knows no sentences.

A reduced cost says what the objective loses at the margin for one replica of a recipe that is not in the plan; all of a
workload's replicas in one pool are priced by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from eke import units
from eke.cost import Basis, FloatArray, IntArray
from eke.errors import InputError
from eke.plan import planner, program, serving
from eke.plan.interval import Estimate, Span, Speeds
from eke.plan.marginal import Marginal, Stands, as_in
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
        spares: nothing of the objective is lost, but chips worth so many of the strongest.
        why_not: why there is no recipe at all; else empty.
        basis: of the least known speed these rest on. rests_on: share of what speeds move in `loses`, or what it gives,
            by basis. interval: of each number, 80% by the cost model.
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
    spares: float = 0.0
    basis: Basis | None = None
    rests_on: Mapping[str, float] = field(default_factory=dict)
    interval: Mapping[str, Span] = field(default_factory=dict)


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
        self.speeds = Speeds.of(self.scenario)
        self.where = _stands(plan)
        held = as_in(self._built, self.goal.promises, self.where)
        self.marginal = Marginal(self._built, self.goal, self.speeds, held)

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
            if mine:
                found.append(self._option(w, min(mine, key=lambda r: self._rank(w, r))))
            else:
                found.append(Option(w.name, pool, 0.0, None, None, 0.0, why_not=self._why_not(w, pool)))
        if isinstance(w, Train):
            return sorted(found, key=lambda o: -(o.tokens_per_s or 0.0))
        return sorted(found, key=lambda o: (bool(o.why_not), o.loses or 0.0, o.spares, o.chips))

    def _rank(self, w: Workload, r: Recipe) -> tuple[float, float]:
        """What doing all of a workload by `r` costs of what was maximised; then chips, or what it trains."""
        if isinstance(w, Train):
            return 0.0, -r.rate
        columns, replicas, peak = self._needed(w, r)
        return self._costs(columns, replicas) + self._costs(*self._answers(w, r)), peak * r.units

    def _option(self, w: Workload, r: Recipe) -> Option:
        per_chip, speed = self.problem.per_chip[r.pool], (r.pool, r.kind == "train")
        planned = [0.0] * self.plan.slots
        for p in self.placed(w.name):
            if p.pool == r.pool:
                planned[p.slot] += p.chips
        there = self.speeds.middle(speed)
        faster = Estimate(1.0, {speed: there}, r.basis, there)
        if isinstance(w, Train):
            sure = self.speeds.sure({"tokens_per_s": faster * r.rate})
            return Option(
                w.name, r.pool, r.units / per_chip, None, None, max(planned), r.model, r.variant, _written(r),
                tokens_per_s=r.rate, basis=sure.basis, rests_on=sure.rests_on, interval=sure.interval,
            )  # fmt: skip
        columns, replicas, peak = self._needed(w, r)
        answers, shares = self._answers(w, r)
        chips = float(np.ceil(peak - 1e-9) * r.units / per_chip)
        numbers: dict[str, Estimate] = {"chips": Estimate(chips, {}, r.basis, chips) / faster}
        numbers |= {name: Estimate(s) / faster for name, s in (("ttft_s", r.ttft_s), ("tpot_s", r.tpot_s)) if s}
        spares, rests_on = 0.0, self.speeds.rests_on(numbers["chips"])
        if self.marginal.reached is not None:
            marginal = self.marginal
            loses = marginal.lacks(columns, -replicas) / faster + marginal.lacks(answers, -shares)
            numbers["loses"] = loses
            dearest = max((marginal.pool(p.name) for p in self.plan.pools), key=lambda e: e.value)
            if dearest.value > 0:
                numbers["loses_chips"] = loses / dearest
            combined = self._costs(columns, replicas) + self._costs(answers, shares)
            spares = max(0.0, combined - loses.value) / self.goal.tie if self.goal.tie else 0.0
            rests_on = self.speeds.rests_on(loses) if loses.slope else rests_on
        sure = self.speeds.sure(numbers)
        value = {name: e.value for name, e in numbers.items()}
        return Option(
            w.name, r.pool, chips, value.get("loses"), value.get("loses_chips"), max(planned), r.model, r.variant,
            _written(r), r.ttft_s or None, r.tpot_s or None, spares=spares, basis=sure.basis, rests_on=rests_on,
            interval=sure.interval,
        )  # fmt: skip

    def _needed(self, w: Serve | Batch, r: Recipe) -> tuple[IntArray, FloatArray, float]:
        """Columns of recipe `r`, replicas of each that do all of the work, and the most of them at once; a pile is
        worked off where that costs least.
        """
        built, runs = self._built, self._built.runs
        columns = np.flatnonzero(runs.recipe == built.problem.recipes.index(r))
        slot, at = runs.slot[columns], runs.at[columns]
        if isinstance(w, Batch):
            replicas = w.requests_per_s / r.rate
            weights = built.problem.weights[slot]
            cost = -self.marginal.combined[at] / weights if self.marginal.reached else weights
            cheapest = int(np.argmin(cost))
            return at[[cheapest]], np.array([replicas / weights[cheapest]]), replicas
        demand = built.problem.demand[w.name][slot]
        needed = np.where(demand > 0, np.maximum(demand / r.rate, 1.0), 0.0)
        return at, needed, float(needed.max(initial=0.0))

    def _answers(self, w: Serve | Batch, r: Recipe) -> tuple[IntArray, FloatArray]:
        """Columns of what recipe `r` answers, and the whole of each."""
        if isinstance(w, Batch):
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        columns = self._built.answered[self._built.group(r, w)]
        return columns, np.ones(len(columns))

    def _costs(self, columns: IntArray, times: FloatArray) -> float:
        """What so many of these columns cost of what was maximised, what tells equal plans apart included."""
        if self.marginal.reached is None:
            return 0.0
        return float(np.maximum(-self.marginal.combined[columns], 0.0) @ times)

    def _why_not(self, w: Workload, pool: str) -> str:
        if w.pools is not None and pool not in w.pools:
            return "the scenario keeps it out of this pool"
        site, _ = next((s, n) for s, n in sites(self.scenario.fleet.pools) if pool in n)
        if site.units < 1:
            return "no chips that can be planned on"
        if isinstance(w, Train):
            return "no layout fits memory, or its precision does not run there"
        (late,) = serving.recipes([(site, [w])], late=True)
        if not late or isinstance(w, Batch):
            return "no allowed variant fits its memory and runs in its precisions"
        r = min(late, key=lambda r: max(r.ttft_s / w.slo.ttft_s, r.tpot_s / w.slo.tpot_s))
        return f"too slow: {reached(r.ttft_s, r.tpot_s)} of {reached(w.slo.ttft_s, w.slo.tpot_s)} promised"


def _stands(plan: Plan) -> Stands:
    """Where a plan's gangs stand, and whether they change size."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for p in plan.placements:
        if p.kind == "train":
            found.setdefault(p.workload, {}).setdefault(p.slot, {})[p.pool] = p.chips
    return {
        job: (
            frozenset(pool for slot in slots.values() for pool in slot),
            any(s != slots.get(0) for s in slots.values()),
        )
        for job, slots in found.items()
    }


def _written(r: Recipe) -> str:
    ways = " ".join(f"{k}{v}" for k, v in (("tp", r.tp), ("pp", r.pp), ("ep", r.ep), ("dp", r.dp)) if v > 1) or "tp1"
    return f"{r.engine} {ways}" + (f", batch {r.max_batch}" if r.max_batch else "")


def reached(ttft_s: float, tpot_s: float) -> str:
    """Both latencies in words."""
    return f"TTFT {units.show_seconds(ttft_s)} and TPOT {units.show_seconds(tpot_s)}"

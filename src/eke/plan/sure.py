"""How sure a plan's figures are: prices with their intervals, and how much faster what it placed may turn out.

Prices and the objective are told for a plan made anew at other speeds; rates, days and MFU for this very plan, whose
chips work as fast as they do. It changes no placement.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eke.plan.interval import Estimate, Speed, Speeds
from eke.plan.marginal import Marginal
from eke.plan.plan import Kept, Objective, Placement, Plan, PoolUse

if TYPE_CHECKING:
    from eke.plan.scenario import Scenario, Workload

RATES = ("tokens_per_s", "requests_per_s")
"""What placements of training, and of batch work, say they do."""


def told(plan: Plan, scenario: Scenario, prices: Marginal) -> Plan:
    """The plan with prices, intervals and what they rest on."""
    speeds = Speeds.of(scenario)
    owed = {w.name: w for w in scenario.workloads}
    return replace(
        plan,
        objective=_objective(plan.objective, prices, speeds),
        pools=tuple(_pool(p, prices, speeds) for p in plan.pools),
        workloads=tuple(_kept(plan, k, owed[k.name], prices, speeds) for k in plan.workloads),
        placements=tuple(replace(p, faster=speeds.faster(_speed(p))) for p in plan.placements),
    )


def _objective(o: Objective, prices: Marginal, speeds: Speeds) -> Objective:
    reached = prices.reached
    if o.value is None or reached is None or not reached.value:
        return o
    sure = speeds.sure({"value": reached * (o.value / reached.value)})
    return replace(o, basis=sure.basis, rests_on=sure.rests_on, interval=sure.interval)


def _pool(p: PoolUse, prices: Marginal, speeds: Speeds) -> PoolUse:
    price = prices.pool(p.name)
    sure = speeds.sure({"price": price})
    return replace(p, price=price.value, basis=sure.basis, rests_on=sure.rests_on, interval=sure.interval)


def _kept(plan: Plan, k: Kept, w: Workload, prices: Marginal, speeds: Speeds) -> Kept:
    price = prices.workload(w)
    sure = speeds.sure({"price_per_million_tokens": price})
    does = {name: speeds.interval(e) for name, e in _does(plan, k).items()}
    return replace(
        k, price_per_million_tokens=price.value, basis=sure.basis, rests_on=sure.rests_on,
        interval={**sure.interval, **does},
    )  # fmt: skip


def _does(plan: Plan, k: Kept) -> dict[str, Estimate]:
    """What a job or a pile gets done, by the speeds of the pools that do it."""
    parts: dict[Speed, float] = {}
    for p in plan.placements:
        if p.workload == k.name and p.kind != "serve":
            parts[_speed(p)] = parts.get(_speed(p), 0.0) + sum(p.capacity.get(rate, 0.0) for rate in RATES)
    total = sum(parts.values())
    if not total:
        return {}
    rate = Estimate(1.0, {speed: part / total for speed, part in parts.items()})
    numbers = {"tokens_per_s": k.tokens_per_s, "mfu": k.mfu, "tokens_per_day": k.tokens_per_day}
    found = {name: rate * number for name, number in numbers.items() if number}
    return found | ({"days": Estimate(k.days) / rate} if k.days else {})


def _speed(p: Placement) -> Speed:
    return p.pool, p.kind == "train"

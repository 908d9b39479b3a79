"""Power and energy of a plan: what its chips draw while they work, and what a joule buys.

A chip in use counts with its TDP, the most its maker says it draws; it seldom draws it all, so this is the safe side.
Idle chips, hosts, network and cooling are not counted: no catalogue has their draw. Chips without a known TDP make a
pool's power unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from eke.plan.interval import told
from eke.plan.plan import Kept, Plan
from eke.plan.scenario import Scenario, Serve, Train, Workload

DONE = ("tokens_per_s", "tokens_per_day")
"""What a job, or a pile, gets done."""
NAMED = 6
"""Workloads whose tokens a joule are named in a line."""


def metered(plan: Plan, scenario: Scenario) -> Plan:
    """The plan with the power of its pools and the tokens its workloads get from a joule."""
    tdp = {p.name: p.chip.tdp for p in scenario.fleet.pools}
    pools = tuple(
        replace(p, power_kw=None if (w := tdp[p.name]) is None else tuple(n * w / 1e3 for n in p.used_chips))
        for p in plan.pools
    )
    joules: dict[str, float | None] = {w.name: 0.0 for w in plan.workloads}
    slot_s = 86400.0 / plan.slots
    for p in plan.placements:
        watts, so_far = tdp[p.pool], joules[p.workload]
        joules[p.workload] = None if watts is None or so_far is None else so_far + p.chips * watts * slot_s
    owed = {w.name: w for w in scenario.workloads}
    kept = tuple(_told(w, _bought(w.name, owed, plan, joules[w.name])) for w in plan.workloads)
    return replace(plan, pools=pools, workloads=kept)


def _told(w: Kept, per_joule: float | None) -> Kept:
    """With its tokens a joule. What the same chips get done moves with their speed, and so do these; what is asked of a
    service does not.
    """
    done, span = next(((v, w.interval[n]) for n in DONE if (v := getattr(w, n)) and n in w.interval), (0.0, (0.0, 0.0)))
    if per_joule is None or not done:
        return replace(w, tokens_per_joule=per_joule)
    ends = (per_joule * span[0] / done, per_joule * span[1] / done)
    return replace(w, tokens_per_joule=per_joule, interval={**w.interval, "tokens_per_joule": ends})


def _bought(name: str, owed: Mapping[str, Workload], plan: Plan, joules: float | None) -> float | None:
    """Tokens of a day over its joules: written ones of serve, all of batch and training."""
    w, done = owed[name], next(k for k in plan.workloads if k.name == name)
    if not joules:
        return None
    if isinstance(w, Serve):
        return sum(done.served_rps or ()) * 86400.0 / plan.slots * w.traffic.output.mean / joules
    return ((done.tokens_per_s or 0.0) * 86400.0 if isinstance(w, Train) else done.tokens_per_day or 0.0) / joules


def line(plan: Plan) -> str:
    """Power over the day and its energy, in words; empty where nothing runs."""
    used = [p for p in plan.pools if any(p.used_chips)]
    unknown = [p.name for p in used if p.power_kw is None]
    total = [sum(kw) for kw in zip(*(p.power_kw for p in used if p.power_kw is not None), strict=True)]
    if not total:
        return ""
    low, high = f"{min(total):,.4g}", f"{max(total):,.4g}"
    beside = f"; {', '.join(unknown)} not counted: their TDP is not known" if unknown else ""
    spread = low if low == high else f"{low} to {high}"
    day = f"{sum(total) * 24 / plan.slots / 1e3:,.4g} MWh a day"
    bought = [(w.name, w.tokens_per_joule, w.interval.get("tokens_per_joule")) for w in plan.workloads]
    each = [f"{name} {told(n, span)}" for name, n, span in bought if n]
    more = f" and {len(each) - NAMED} more" if len(each) > NAMED else ""
    tokens = f" Tokens a joule: {', '.join(each[:NAMED])}{more}." if each else ""
    return f"Power: {spread} kW of chips in use, {day}, each at its datasheet's TDP, the most it draws{beside}.{tokens}"

"""Chips as something to buy, keep or switch off: what more of a kind would add, and what a pool is worth keeping for.

Everything is the relaxation of the plan's own program under another stock, so no figure hides a rounding; the same
demand, the same objective. Power is the chips' own at full load (TDP), times what the reader says the rest takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eke.cost import Basis
from eke.errors import Infeasible
from eke.fleet import catalogue
from eke.fleet.chip import Chip
from eke.fleet.pool import Pool
from eke.plan import planner, program
from eke.plan.interval import Estimate, Span, Speeds, weakest
from eke.plan.program import Problem
from eke.plan.scenario import Scenario
from eke.plan.stock import GROWN, Open, Way, lean

FORMAT = "eke.worth/1"
NODES = 16
"""Nodes a kind of chip is tried with: one alone can do too little in a large fleet to be told from nothing."""
PER_NODE = 8
TIMES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
"""Sizes of a pool its curve is asked at, beside its own."""
LEFT = "chips of them are left over already"
"""Why more of an owned kind adds nothing."""
STEPS = {"less": 0.9, "more": 1.1}
"""Sizes that are told beside what is owned."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of chip, if it could be bought.

    Attributes:
        adds: of the objective, a node, over the first `NODES` (of an owned pool no more than it has).
        replaces: chips of `beside` that one such chip is worth.
        basis: of the weakest recipe that could run on it; None: it can do nothing here. rests_on: share of what speeds
            move in `adds`, by basis.
        interval: of `adds` and `replaces`, 80% by the cost model.
        reason: why it adds nothing.
    """

    chip: str
    vendor: str
    adds: float
    replaces: float | None
    watts: float | None
    basis: Basis | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Span]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """One pool that is owned.

    Attributes:
        curve: (chips, objective or None where promises break).
        least: chips without which the promises break, all else as it is; 0: they hold without the pool.
        lost: of the objective without the pool; None: promises break. kilowatts: at full load.
        power_price, rent: currency a kWh, and a chip-hour, from which on the pool is better switched off; None: never
            (promises), or the objective has no price.
        basis: of the least known speed these rest on. rests_on: share of what speeds move in what is lost, and in a
            tenth of the pool, by basis. interval: of each, of a tenth of the pool `more` and `less`, and of the curve
            point by point, 80% by the cost model.
    """

    pool: str
    chip: str
    chips: float
    curve: tuple[tuple[float, float | None], ...]
    least: float
    lost: float | None
    kilowatts: float | None
    power_price: float | None
    rent: float | None
    basis: Basis | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Worth:
    """What chips are worth to a scenario.

    Attributes:
        reached: of the objective, in `unit`. beside: the owned chip that others are compared with.
        value: currency a day for one `unit` of the objective; None: nobody said.
        basis: of the least known speed that `reached` rests on. rests_on: share of what speeds move in it, by basis.
            interval: of `reached`, 80% by the cost model.
    """

    scenario: str
    objective: str
    unit: str
    reached: float
    beside: str
    value: float | None
    overhead: float
    basis: Basis | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Span]
    offers: tuple[Offer, ...]
    holdings: tuple[Holding, ...]

    def to_dict(self) -> dict[str, Any]:
        """What `eke worth -o json` prints."""
        return {"format": FORMAT, **asdict(self)}


def worth(
    scenario: Scenario, *, chips: Sequence[str] | None = None, value: float | None = None, overhead: float = 1.0,
    progress: Callable[[str], None] | None = None,
) -> Worth:  # fmt: skip
    """What every kind of chip would add, and what every pool is worth keeping for.

    Args:
        scenario: what is owned and owed.
        chips: kinds to ask about, by catalogue name; default: every accelerator of the catalogue.
        value: currency a day for a unit of the objective; for the objective `value` it is 1.
        overhead: power of the site over that of its chips (hosts, network, cooling).
        progress: told in a few words what is being done.

    Raises:
        Infeasible: not all promises can be kept.
        UnknownName: a chip the catalogue lacks.
    """
    say = progress or (lambda _: None)
    kinds = [catalogue.chip(name) for name in chips] if chips is not None else _accelerators()
    say("asking about the stock as it is")
    scenario = planner.ready(scenario)
    problem = planner.pose(scenario, larger=GROWN)
    built = program.build(lean(problem))
    unit, sign, primary, promises = planner.sought(built)
    value = 1.0 if problem.goal == "value" else value
    stock = Open(built, primary, promises)
    reached = stock.most()
    if reached is None:
        raise Infeasible(
            f"{scenario.name}: not all promises can be kept, so chips have no price yet",
            remedy="eke plan says what cannot hold together, and what would repair it",
        )
    speeds = Speeds.of(scenario)
    holdings = []
    for pool in scenario.fleet.pools:
        say(f"pool {pool.name}")
        holdings.append(_holding(pool, stock, reached, sign, value, overhead, speeds))
    margins = {p.name: _margin(stock, p, reached) for p in scenario.fleet.pools}  # one relaxation: one at a time
    beside = max(scenario.fleet.pools, key=lambda p: margins[p.name].value)
    done = 0

    def ask(kind: Chip) -> Offer:
        nonlocal done
        found = _offer(scenario, problem, margins, reached, kind, margins[beside.name], speeds, stock.poor)
        done += 1
        say(f"{done} of {len(kinds)} kinds of chip")
        return found

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        offers = sorted(threads.map(ask, kinds), key=lambda o: -o.adds)
    all_of_it = reached * sign
    return Worth(
        scenario.name, problem.goal, unit, all_of_it.value, beside.chip.name, value, overhead, reached.basis,
        speeds.rests_on(all_of_it), {"reached": speeds.interval(all_of_it)}, tuple(offers), tuple(holdings),
    )  # fmt: skip


def _accelerators() -> list[Chip]:
    """Kinds that could be bought: in the catalogue, no CPU, with 16-bit products."""
    return [c for c in catalogue.chips().values() if c.kind != "cpu" and {"bf16", "fp16"} & c.flops.keys()]


def _margin(stock: Open, pool: Pool, reached: Estimate) -> Estimate:
    """What one more chip of an owned pool adds, over as many as a tried kind has, or as the pool has itself."""
    chips = min(NODES * PER_NODE, planned(pool) * (GROWN - 1.0))
    if chips <= 0:
        return Estimate(0.0)
    more = stock.most({pool.name: 1.0 + chips / planned(pool)})
    return Estimate(0.0) if more is None else (more - reached) * (1 / chips)


def planned(pool: Pool) -> float:
    """Chips of a pool that can be planned on."""
    return float(pool.plannable_chips)


def _offer(
    scenario: Scenario, problem: Problem, margins: Mapping[str, Estimate], reached: Estimate, kind: Chip,
    each: Estimate, speeds: Speeds, poor: Collection[Way],
) -> Offer:  # fmt: skip
    """What a node of `kind` adds to the objective, over `NODES` of them; beside what `each` of the best kind does."""
    own = next((p for p in scenario.fleet.pools if p.chip.name == kind.name), None)
    if own is not None and planned(own) > 0:
        adds, basis, why = margins[own.name] * PER_NODE, _basis(problem, own.name), LEFT
    else:
        pool = Pool(f"more {kind.name}", kind, NODES, PER_NODE, kind.scale_out)
        larger = planner.joined(scenario, problem, pool, GROWN)
        basis, adds, why = _basis(larger, pool.name), Estimate(0.0), _idle(larger, pool.name)
        if basis is not None:
            built = program.build(lean(larger))
            _, _, primary, promises = planner.sought(built)
            more = Open(built, primary, promises, poor=poor).most() or reached
            adds = (more - reached) * (1 / NODES)
            speeds = speeds.beside(scenario, pool)
    if adds.value <= 0:
        return Offer(kind.name, kind.vendor, 0.0, 0.0 if each.value > 0 else None, kind.tdp, basis, {}, {}, why)
    interval = {"adds": speeds.interval(adds)}
    replaces = None
    if each.value > 0:
        ratio = adds / (each * PER_NODE)
        replaces, interval["replaces"] = ratio.value, speeds.interval(ratio)
    rests_on = speeds.rests_on(adds)
    return Offer(kind.name, kind.vendor, adds.value, replaces, kind.tdp, basis, rests_on, interval)


def _basis(problem: Problem, pool: str) -> Basis | None:
    return weakest(*(r.basis for r in problem.recipes if r.pool == pool))


def _idle(problem: Problem, pool: str) -> str:
    """Why chips of a new pool add nothing, where they do not."""
    mine = [r for r in problem.recipes if r.pool == pool]
    trains = [r for r in mine if r.kind == "train"]
    if not mine:
        return "no workload here runs on them"
    if not any(w.kind == "train" for w in problem.workloads):
        return "what they could do takes as many chips as it frees"
    if not trains:
        return "they can serve here, not train, and what serves has chips enough"
    if not any(r.joint for r in trains):
        slower = f"they cannot train in step with the chips there are, and {NODES} nodes alone train less"
        return f"{slower}; what serves has chips enough"
    return "beside the chips there are, they make no gang faster, and what serves has chips enough"


def _holding(
    pool: Pool, stock: Open, reached: Estimate, sign: float, value: float | None, overhead: float, speeds: Speeds
) -> Holding:
    chips = planned(pool)
    found = {x: stock.most({pool.name: x}) for x in TIMES}
    curve = tuple((chips * x, None if y is None else sign * y.value) for x, y in found.items())
    without = found[0.0]
    lost = None if without is None else reached - without
    least = (stock.pool(pool.name) if lost is None else None) or Estimate(0.0)
    watts = pool.chip.tdp
    kilowatts = None if watts is None else chips * watts * overhead / 1e3
    hour = None if lost is None or value is None else lost * (value / 24)
    told = {
        "least": least if least.value > 0 else Estimate(0.0), "lost": lost,
        "power_price": None if hour is None or not kilowatts else hour * (1 / kilowatts),
        "rent": None if hour is None or not chips else hour * (1 / chips),
        **{name: None if (y := found[x]) is None else (y - reached) * sign for name, x in STEPS.items()},
    }  # fmt: skip
    number = {name: None if e is None else e.value for name, e in told.items()}
    return Holding(
        pool.name, pool.chip.name, chips, curve, number["least"] or 0.0, number["lost"], kilowatts,
        number["power_price"], number["rent"], weakest(*(e.basis for e in (*found.values(), least) if e)),
        speeds.rests_on(*(e for name in ("lost", *STEPS) if (e := told[name]))),
        {name: speeds.interval(e) for name, e in told.items() if e}
        | {"curve": tuple(None if y is None else speeds.interval(y * sign) for y in found.values())},
    )  # fmt: skip


def chart(of: Worth) -> Any:
    """Curves: the objective against chips of each pool, all else as it is (extra `charts`)."""
    from eke import charts

    alt = charts.altair_module()
    names = [f"{h.pool} ({h.chip})" for h in of.holdings]
    values = [
        {"pool": f"{h.pool} ({h.chip})", "share": chips / h.chips, "reached": y, "low": span[0], "high": span[1]}
        for h in of.holdings
        for (chips, y), span in zip(h.curve, h.interval["curve"], strict=True)
        if y is not None and h.chips and np.isfinite(y)
    ]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("share:Q", title="chips of the pool, beside what is owned", axis=alt.Axis(format="%")),
        color=alt.Color("pool:N", title=None, scale=alt.Scale(domain=names, range=list(charts.COLOURS))),
    )
    lines = base.mark_line(point=True, strokeWidth=2).encode(
        y=alt.Y("reached:Q", title=of.unit, scale=alt.Scale(zero=False)),
        tooltip=["pool:N", alt.Tooltip("share:Q", format=".0%"),
                 *(alt.Tooltip(f"{name}:Q", format=".5g") for name in ("reached", "low", "high"))],
    )  # fmt: skip
    ends = base.mark_line(strokeDash=[2, 3], strokeWidth=1, opacity=0.7)
    dotted = [ends.encode(y=f"{end}:Q") for end in ("low", "high")]
    drawn = alt.layer(*dotted, lines).properties(width=520, height=300)
    said = f"{of.scenario}: dotted: ends of 80% intervals; where a line ends, promises break"
    return charts.styled(drawn, "What each pool is worth", said)

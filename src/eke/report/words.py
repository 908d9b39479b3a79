"""What the facts say, in sentences with the numbers in them. Every sentence comes from the data; it knows no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eke import units
from eke.plan.interval import across, based, told
from eke.plan.plan import Kept, Plan
from eke.plan.runway import Runway, tell
from eke.plan.scenario import Serve, Train
from eke.plan.show import amount, amounts, spread
from eke.report.facts import Facts

STEADY = 0.02
"""Share of a pool within which a use of it counts as the same all day."""
MONTH_DAYS = units.SECONDS["mo"] / units.SECONDS["d"]
SURE = 0.9
"""Chance below which a generation is a risk."""
CLOSE = 0.1
"""Share of a deadline that is a thin margin."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number to remember: its name, itself, and what it stands on."""

    name: str
    value: str
    sub: str


def verdict(plan: Plan) -> str:
    """Whether the promises hold."""
    broken = [w.name for w in plan.workloads if not w.met]
    if plan.feasible:
        return "Every promise holds."
    return f"Not every promise can be kept: {', '.join(broken)} cannot." if broken else "Not every promise can be kept."


def headline(facts: Facts) -> str:
    """What the stock does, and how far from the best that is."""
    plan, o = facts.plan, facts.plan.objective
    if o.value is None or o.bound is None or o.gap is None:
        return "No plan on this stock keeps all promises; what would make them hold stands below."
    value, bound, span = amount(o.value, o.unit), amount(o.bound, o.unit), o.interval.get("value")
    known = based(o.basis, o.rests_on)
    sure = f" (80% interval {_bare(amounts(span, o.unit))}; {known})" if span and known else ""
    match o.name:
        case "train-progress":
            does, limit = f"This stock trains at {_bare(value)}{sure}", f"passes {_bare(bound)}"
        case "fewest-chips" | "least-energy":
            does, limit = f"The work takes {value}{sure}", f"takes less than {bound}"
        case _:
            does, limit = f"The work brings {value}{sure}", f"brings more than {bound}"
    beside = " and keeps every promise" if plan.feasible and o.name == "train-progress" else ""
    return f"{does}{beside}; no plan on it, under this cost model, {limit} (gap {o.gap:.2%})."


def day(value: float) -> str:
    """A day: whole ones, and tenths of the first ten."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _bare(amounted: str) -> str:
    return amounted.removesuffix(" of training")


def figures(facts: Facts) -> list[Figure]:
    """The numbers of the first page."""
    plan = facts.plan
    owned = sum(p.chips for p in plan.pools)
    busiest = max((sum(p.used_chips[t] for p in plan.pools) for t in range(plan.slots)), default=0.0)
    found = [
        Figure("Chips owned", f"{owned:,.0f}", f"{len(plan.pools)} pools; {busiest:,.0f} work in the busiest hour"),
        Figure(
            "Promises kept", f"{sum(w.met for w in plan.workloads)} of {len(plan.workloads)}",
            f"{tell.share(guessed(plan))} of working chips on guessed speeds",
        ),
    ]  # fmt: skip
    for w in facts.scenario.workloads:
        kept = next(k for k in plan.workloads if k.name == w.name)
        if isinstance(w, Train) and kept.days:
            promised = f" of {day(w.deadline_s / 86400)}" if w.deadline_s else ""
            low, high = kept.interval["days"]
            sure = f"80% interval: day {day(low)} to {day(high)}; {basis(plan, w.name)}"
            found.append(Figure(f"{w.name} is done", f"day {day(kept.days)}{promised}", sure))
            break
    r = facts.runway
    if r is not None:
        p10, p50, p90 = (f"{r.finished[k] or 0:.0f}" for k in ("p10", "p50", "p90"))
        between = p10 if p10 == p90 else f"{p10} to {p90}"
        found.append(
            Figure("Generations finished", f"{p50} in {r.horizon_days / MONTH_DAYS:.0f} mo",
                   f"{between} in 80% of futures; mean {r.expected_generations:.1f}, parts counted; "
                   f"{_first(r) or 'unknown'}")
        )  # fmt: skip
    s = facts.savings
    if s is not None and s.bare is not None:
        found.append(
            Figure("Software saves", f"{s.bare - s.needed:,.0f} chips",
                   f"of this mix; 80% interval: {across(s.interval['saved'])}; {based(s.basis, s.rests_on)}")
        )  # fmt: skip
    return found


def guessed(plan: Plan) -> float:
    """Share of chips in use that are planned on guessed speeds."""
    total = sum(p.chips for p in plan.placements)
    return sum(p.chips for p in plan.placements if p.basis == "guessed") / total if total else 0.0


def basis(plan: Plan, workload: str) -> str:
    """How well the speeds are known at which a workload is done, by its chips."""
    chips: dict[str, float] = {}
    for p in plan.placements:
        if p.workload == workload:
            chips[p.basis] = chips.get(p.basis, 0.0) + p.chips
    total = sum(chips.values())
    weakest = next((b for b in ("guessed", "modelled", "measured") if chips.get(b)), None)
    return based(weakest, {b: n / total for b, n in chips.items()}) or "unknown basis"


def _first(r: Runway) -> str:
    """What the first generation's training rests on."""
    return next((based(g.basis or None, g.rests_on) for g in r.generations), "")


# Who does what


def pools(facts: Facts) -> list[tuple[str, str, str]]:
    """For each pool: its name, what it is, and what it does through the day."""
    return [(p.name, f"{p.chips:,.0f} {p.chip}", _does(facts.plan, i)) for i, p in enumerate(facts.plan.pools)]


def _does(plan: Plan, i: int) -> str:
    pool = plan.pools[i]
    by: dict[tuple[str, str], list[float]] = {}
    for p in plan.placements:
        if p.pool == pool.name:
            by.setdefault((p.workload, p.kind), [0.0] * plan.slots)[p.slot] += p.chips
    ranked = sorted(by.items(), key=lambda item: -sum(item[1]))
    verbs = {"train": "train", "serve": "serve", "batch": "work through"}
    said = [f"{through(v, pool.chips)} {verbs[kind]} {name}" for (name, kind), v in ranked]
    idle = pool.chips - max(pool.used_chips, default=0.0)
    if not said:
        return "does nothing in this plan."
    rest = f"; {idle:,.0f} idle or kept back at all hours" if idle >= STEADY * pool.chips else ""
    return f"{'; '.join(said)}{rest}."


def through(values: Sequence[float], of: float) -> str:
    """Chips through the day: `960`, or `120 (03–06 h) to 480 (19–22 h)`."""
    low, high = min(values), max(values)
    if low == 0 and high <= STEADY * of and len(values) > 1:
        return f"up to {high:,.4g}"
    if high - low <= STEADY * of or len(values) == 1:
        return f"{low:,.4g}" if f"{low:,.4g}" == f"{high:,.4g}" else f"{low:,.4g} to {high:,.4g}"
    if low == 0:
        return f"up to {high:,.4g} ({when(values, high)})"
    return f"{low:,.4g} ({when(values, low)}) to {high:,.4g} ({when(values, high)})"


def when(values: Sequence[float], level: float) -> str:
    """The longest run of slots, around midnight too, in which a value is at `level`, as hours of the day."""
    n, near = len(values), 0.01 * (max(values) - min(values))
    at = [abs(v - level) <= near for v in values]
    best = (0, 0)
    for start in range(n):
        length = next((k for k in range(n) if not at[(start + k) % n]), n)
        best = max(best, (length, -start))
    length, start = best[0], -best[1]
    return f"{start * 24 // n:02d}–{(start + length) * 24 // n % 24 or 24:02d} h"


# Risks and how good the numbers are


def risks(facts: Facts) -> list[str]:
    """What could go wrong, the gravest first."""
    plan = facts.plan
    found = [f"{w.name} breaks its promise{f': {w.note}' if w.note else ''}." for w in plan.workloads if not w.met]
    for w in facts.scenario.workloads:
        kept = next(k for k in plan.workloads if k.name == w.name)
        if isinstance(w, Train) and w.deadline_s:
            found += _margin(w, kept)
    if facts.worth is not None:
        found += [
            f"Without {h.pool} the promises break: they need at least {told(h.least, h.interval.get('least'))} of its "
            f"{h.chips:,.0f} {h.chip} ({based(h.basis, h.rests_on)})."
            for h in facts.worth.holdings
            if h.lost is None
        ]
    full = [p.name for p in plan.pools if p.used_chips and _room(facts, p.name) - max(p.used_chips) < 1]
    if full:
        found.append(f"No spare chips in the busiest hour: {', '.join(full)}; nodes that are down are counted already.")
    if facts.why is not None:
        serves = [w.name for w in facts.scenario.workloads if isinstance(w, Serve)]
        tight = [b.what for b in facts.why.binds if b.kind == "serve"]
        if tight:
            which = "every service runs" if len(tight) == len(serves) else f"{', '.join(tight)} run"
            found.append(
                f"By plan {which} at the edge of a latency promise, on the slow side of speeds (see What binds)."
            )
    found += _ahead(facts)
    found += _unsure(facts)
    return found + [n for n in plan.notes if "longest requests" in n]


def _margin(w: Train, kept: Kept) -> list[str]:
    if not kept.days or not w.deadline_s:
        return []
    left = w.deadline_s / 86400 - kept.days
    if left < 0:
        return [f"{w.name} is done {day(-left)} days after its deadline of day {day(w.deadline_s / 86400)}."]
    if left > CLOSE * w.deadline_s / 86400:
        return []
    return [f"{w.name} is done {left:,.1f} days before its deadline of day {day(w.deadline_s / 86400)}."]


def _ahead(facts: Facts) -> list[str]:
    """What the years ahead may bring."""
    r = facts.runway
    if r is None:
        return []
    found = [
        f"{g.name} is done within {r.horizon_days / MONTH_DAYS:.0f} months in {tell.share(g.chance)} of futures."
        for g in r.generations
        if 0 < g.chance < SURE
    ]
    if r.serving_chance < SURE:
        found.append(f"Service keeps its promises all through in {tell.share(r.serving_chance)} of futures.")
    found.append(f"First to run out: {r.first_to_run_out}.")
    return found + [f"{said.split('. ')[0]}." for said in r.assumptions if "failure rate unknown" in said]


def ahead(facts: Facts) -> str:
    """Under the fan."""
    r = facts.runway
    if r is None:
        return ""
    told_of = [g for g in r.generations if g.end_days["p10"] is not None]
    known = list(dict.fromkeys(based(g.basis or None, g.rests_on) for g in told_of))
    each = {g.name: f" ({based(g.basis or None, g.rests_on)})" if len(known) > 1 else "" for g in told_of}
    ends = [f"{g.name} day {tell.span(g.end_days)}{each[g.name]}" for g in told_of]
    alike = f" ({known[0]})" if len(known) == 1 else ""
    first = r.generations[0] if r.generations else None
    planned = next((k.days for k in facts.plan.workloads if first and k.name == first.name and k.days), None)
    if ends and planned:
        ends[-1] += f". Dates stand on the middle of speeds; the plan's, day {day(planned)}, on their slow end"
    grows = "" if facts.scenario.generations else " Growth is assumed: the scenario states none."
    return (f"80% of ends{alike}: {'; '.join(ends)}." if ends else "No generation is done within the horizon.") + grows


def _room(facts: Facts, pool: str) -> float:
    p = facts.scenario.fleet.pool(pool)
    return float(p.plannable_nodes * p.chips_per_node)


def _unsure(facts: Facts) -> list[str]:
    """Pools in use whose speed is a guess."""
    lines: dict[str, list[str]] = {}
    for k in facts.known.values():
        kind = "trains" if k.training else "serves"
        used = any(p.pool == k.pool and (p.kind == "train") == k.training for p in facts.plan.placements)
        if used and k.basis == "guessed":
            lines.setdefault(f"{k.pool} ({k.chip})", []).append(kind)
    return [
        f"{name}: how fast it {' and '.join(kinds)} is guessed from data sheets; planned on the slow side."
        for name, kinds in lines.items()
    ]


def certainty(facts: Facts) -> list[dict[str, str]]:
    """A row a pool: how well its speeds are known."""
    rows: list[dict[str, str]] = []
    for p in facts.plan.pools:
        row = {"pool": p.name, "chip": p.chip}
        for training, name in ((False, "serving"), (True, "training")):
            k = facts.known[p.name, training]
            row[name] = f"{k.basis}, {1 / k.interval[1] - 1:+.0%} to {1 / k.interval[0] - 1:+.0%}"
        rows.append(row)
    return rows


def numbers(facts: Facts) -> list[str]:
    """How good the numbers are, in sentences."""
    plan, by = facts.plan, {"measured": 0.0, "modelled": 0.0, "guessed": 0.0}
    for p in plan.placements:
        by[p.basis] = by.get(p.basis, 0.0) + p.chips
    total = sum(by.values())
    if not total:
        return ["The plan places nothing, so there is no speed to judge."]
    said = ", ".join(f"{tell.share(v / total)} {b}" for b, v in by.items() if v)
    lines = [f"Chips in use by how their speed is known: {said}. The plan takes the slow end of every 80% interval."]
    jobs = [w for w in facts.scenario.workloads if isinstance(w, Train)]
    for w in jobs:
        kept = next(k for k in plan.workloads if k.name == w.name)
        if kept.tokens_per_s:
            high = kept.interval["tokens_per_s"][1]
            lines.append(
                f"{w.name} at {units.show_count(kept.tokens_per_s)} tokens/s is what the slow end gives; the fast end "
                f"gives {units.show_count(high)}."
            )
    o = plan.objective
    if o.gap is not None:
        lines.append(f"The gap of {o.gap:.2%} is proven for this cost model; it says nothing of the model's own error.")
    return lines


def assumptions(facts: Facts) -> list[str]:
    """What the figures stand on."""
    s = facts.scenario
    lines = [
        "Latency promises are kept at the percentile stated, with requests arriving at random and lengths as stated.",
        f"The day has {s.slots} equal slots; within one, traffic is steady."
        if s.slots > 1
        else "Traffic is steady all day.",
        "Prices of pools and workloads are duals of the relaxation: right for one chip more, not for hundreds.",
    ]
    for p in s.fleet.pools:
        out = p.nodes - p.plannable_nodes
        if out:
            down = f"{p.name}: {out:,} of {p.nodes:,} nodes are kept out of the plan"
            lines.append(f"{down} ({p.available:.1%} taken as up, {p.reserved:,} reserved).")
    for w in s.workloads:
        if isinstance(w, Serve):
            t = w.traffic
            lines.append(
                f"{w.name}: {spread(t.rates)} requests/s; prompts of {t.prompt.mean:,.0f} and "
                f"answers of {t.output.mean:,.0f} tokens in the mean, {t.prefix_hit:.0%} of prompt tokens cached."
            )
        elif isinstance(w, Train):
            lines.append(
                f"{w.name}: {w.model} in {w.precision} on {units.show_count(w.tokens)} tokens, sequences of "
                f"{w.sequence:,}, batches of {units.show_count(w.global_batch)} tokens."
            )
        else:
            lines.append(f"{w.name}: {units.show_count(w.tokens_per_day)} tokens a day through {w.model}.")
    return lines


# Under the charts


def prices(facts: Facts) -> str:
    """What one more chip is worth."""
    if not facts.plan.feasible:
        return ""
    ranked = sorted((p for p in facts.plan.pools if p.price > 0), key=lambda p: -p.price)
    if not ranked:
        return "No pool is short: one more chip of any kind adds nothing."
    first, unit = ranked[0], ranked[0].price_unit.removesuffix(" per chip").removesuffix(" of training")
    adds, known = amount(first.price, unit, 3, first.interval.get("price")), based(first.basis, first.rests_on)
    more = f"One more {first.chip} in {first.name} adds {adds}{f' ({known})' if known else ''}"
    none = [p.name for p in facts.plan.pools if p.price <= 1e-3 * first.price]
    rest = f"; in {', '.join(none)} next to nothing" if none else ""
    return f"{more}{rest}. At the margin; in brackets 80% of cases, planned anew at other speeds."


def saved(facts: Facts) -> str:
    """What software is worth."""
    s = facts.savings
    if s is None:
        return ""
    if s.bare is None:
        return "Without these optimisations no number of chips of this mix keeps the promises."
    return (
        f"The same work would take {told(s.bare, s.interval['bare'])} chips of this mix without these optimisations "
        f"and takes {s.needed:,.0f} with them ({based(s.basis, s.rests_on)}; in brackets 80% of cases)."
    )


def missing(facts: Facts) -> list[str]:
    """What this report leaves out, and why."""
    names = {"explain": "Why the plan is as it is", "savings": "What software saves", "worth": "What chips are worth",
             "runway": "How long the stock lasts", "levers": "What would lengthen it"}  # fmt: skip
    hint = {"levers": " (--levers)"}
    said = {part: why.removeprefix(f"{facts.plan.scenario}: ") for part, why in facts.left_out.items()}
    return [f"{names[part]} is left out: {why}{hint.get(part, '')}." for part, why in said.items()]

"""A plan as tables for people: rows of plain values that the command line and a notebook print. It computes nothing
new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from eke import units
from eke.plan.interval import across, based, told
from eke.plan.plan import Kept, Placement, Plan, Span
from eke.plan.scenario import LESS

if TYPE_CHECKING:
    from eke.plan.scenario import Scenario


SURE = (
    "In brackets: where a number lies in 80% of cases, the speed of each kind of chip varying by itself in the cost "
    "model's interval, to first order. Prices and the objective are those of a plan made anew at such speeds; what a "
    "workload gets, and times as fast (x) a recipe runs, are of this one. It stands on the slow side of speeds. Basis: "
    "of the speeds that move a number, by their part in it."
)


def html(plan: Plan) -> str:
    """The plan as HTML tables."""
    tables = "".join(table(rows) for rows in (pools(plan), promises(plan), placements(plan)) if rows)
    return f"<h4>{escape(headline(plan))}</h4>{tables}{f'<p><small>{escape(SURE)}</small></p>' if tables else ''}"


def scenario(of: Scenario) -> str:
    """A scenario as HTML tables: what is owned, what is owed."""
    from eke.plan.assemble import promise

    owned = [{"pool": p.name, "chip": p.chip.name, "nodes": p.nodes, "chips": number(p.chips)} for p in of.fleet.pools]
    owed = [
        {"workload": w.name, "kind": w.kind, "model": w.model, "promise": promise(w), "priority": w.priority}
        for w in of.workloads
    ]
    return f"<h4>{escape(of.name)}: {escape(of.objective)}</h4>{table(owned)}{table(owed)}"


def document(plan: Plan) -> str:
    """The plan as a page by itself."""
    style = (
        "body{font:15px system-ui,sans-serif;margin:2rem;color:#1f2421}"
        "td,th{padding:.2rem .8rem .2rem 0;text-align:left}"
    )
    notes = "".join(f"<li>{escape(n)}</li>" for n in plan.notes)
    title = escape(plan.scenario)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        f"{html(plan)}<ul>{notes}</ul></html>"
    )


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as an HTML table."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(k)}</th>" for k in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(str(v))}</td>" for v in r.values()) + "</tr>" for r in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def headline(plan: Plan) -> str:
    """Objective, bound and gap in one line."""
    o = plan.objective
    if o.value is None or o.bound is None or o.gap is None:
        return f"{plan.scenario}: no plan keeps all promises"
    kind = "at least" if o.name in LESS else "at most"
    scaled = o.unit.startswith("PFLOP/s")
    reached, bound = amount(o.value, o.unit, span=o.interval.get("value")), amount(o.bound, o.unit if scaled else "")
    known = based(o.basis, o.rests_on)
    reached += f", {known}" if known else ""
    return f"{plan.scenario}: {reached}; any plan on this stock: {kind} {bound} (gap {o.gap:.2%})"


def amounts(span: Span, unit: str) -> str:
    """From where to where an objective lies, in its unit: `524–708 PFLOP/s`."""
    low, high = amount(span[0], unit, 3), amount(span[1], unit, 3)
    return low if low == high else f"{low.removesuffix(high.lstrip('0123456789.,'))}–{high}"


_PREFIXES = (("P", 1.0), ("T", 1e3), ("G", 1e6))
LEAST = {"P": 1e-3}
"""Least number that a prefix is used from, where that is not 1: prices of a chip stay in the unit of the objective."""


def amount(value: float, unit: str, digits: int = 5, span: Span | None = None) -> str:
    """An objective's value in its unit, and where it lies: `9.6e-05 PFLOP/s` as `96 GFLOP/s`."""
    scaled = unit.startswith("PFLOP/s")
    prefix, factor = (
        next((p for p in _PREFIXES if value * p[1] >= LEAST.get(p[0], 1.0)), _PREFIXES[-1]) if scaled else ("", 1.0)
    )
    said = f"{value * factor:,.{digits}g}"
    ends = said if span is None else across((span[0] * factor, span[1] * factor), digits)
    return f"{said if ends == said else f'{said} ({ends})'} {prefix}{unit[len(prefix) :]}".rstrip()


def number(value: float) -> str:
    """A number for a table: `1.25`, `12,984`, `4M` for four million; never `1e+06`."""
    if abs(value) >= 1e6:
        return units.show_count(value)
    return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"


def spread(values: Iterable[float]) -> str:
    """Least and most of a day: `120–480`, or one number when they agree."""
    values = list(values)
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low}–{high}"


def pools(plan: Plan) -> list[dict[str, Any]]:
    """A row a pool: who uses it, least to most over the day, and its price."""
    rows, dearest = [], max((p.price for p in plan.pools), default=0.0)
    kinds = [kind for kind in ("train", "serve", "batch") if any(w.kind == kind for w in plan.workloads)]
    for pool in plan.pools:
        by_kind = {kind: [0.0] * plan.slots for kind in kinds}
        for p in plan.placements:
            if p.pool == pool.name:
                by_kind[p.kind][p.slot] += p.chips
        row: dict[str, Any] = {"pool": pool.name, "chip": pool.chip, "chips": number(pool.chips)}
        row |= {kind: spread(v) if any(v) else "" for kind, v in by_kind.items()}
        row["idle"] = spread(pool.chips - u for u in pool.used_chips)
        if plan.feasible:
            row["price"] = _price(pool.price, dearest, pool.interval.get("price"))
            row["basis"] = based(pool.basis, pool.rests_on)
        rows.append(row)
    return rows


NOTHING = 1e-4
"""A price this share of the dearest pool's is shown as none."""


def prices(plan: Plan) -> list[dict[str, Any]]:
    """A row a pool and a workload that has a price: for a narrow page, whose other tables leave prices out."""
    if not plan.feasible:
        return []
    found = [("chip", row["pool"], row) for row in pools(plan)]
    found += [("1M tokens", row["workload"], row | {"price": row["price/M"]}) for row in promises(plan)]
    return [
        {"one more of": name, "": what, "price": row["price"], "basis": row["basis"]}
        for what, name, row in found
        if row["price"] not in ("", "0")
    ]


def unpriced(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without their prices."""
    return [{k: v for k, v in row.items() if k not in ("price", "price/M", "basis")} for row in rows]


def _price(value: float, dearest: float, span: Span | None) -> str:
    return told(value, span) if max([value, *(span or ())]) > NOTHING * dearest else "0"


def placements(plan: Plan, *, narrow: bool = False) -> list[dict[str, Any]]:
    """A row a workload, pool and recipe; chips and capacity least to most over the slots it runs in. `narrow` leaves
    out what a narrow page has no room for.
    """
    groups: dict[tuple[Any, ...], list[Placement]] = {}
    for p in plan.placements:
        key = (p.workload, p.pool, p.model, p.variant, p.chips_per_replica, p.recipe["engine"], recipe(p))
        groups.setdefault(key if p.kind != "train" else (p.workload, p.pool, p.model), []).append(p)
    rows = []
    for same in groups.values():
        p, hours = same[0], {q.slot for q in same}
        rows.append(
            {
                "workload": p.workload, "pool": p.pool, "slots": "all" if len(hours) == plan.slots else
                f"{len(hours)}/{plan.slots}",
                "chips": spread(q.chips for q in same), "model": p.model, "variant": p.variant, "recipe":
                recipe(max(same, key=lambda q: q.chips)),
                "capacity": _capacity(same), "basis": p.basis + (f" (x1–{p.faster:.2f})" if p.faster > 1 else ""),
            }
        )  # fmt: skip
    order = {w.name: i for i, w in enumerate(plan.workloads)}
    rows.sort(key=lambda r: (order[r["workload"]], r["pool"]))
    return [_narrow(r) for r in rows] if narrow else rows


def _narrow(row: dict[str, Any]) -> dict[str, Any]:
    short = {k: row[k] for k in ("workload", "pool", "chips")}
    by = f"{row['model']} {row['variant']}, {row['recipe']}"
    return short | {"gives": row["capacity"].split(", ")[0], "by": by, "basis": row["basis"].replace(" (", "(")}


def recipe(p: Placement) -> str:
    """`tp2 x 12, batch 96` and the like."""
    r = p.recipe
    ways = " ".join(f"{k}{r[k]}" for k in ("tp", "pp", "ep", "dp") if int(r[k]) > 1) or "tp1"
    if "threads" in r:
        ways = f"{r['threads']} thread{'s' if int(r['threads']) > 1 else ''}"
    tail = f"micro-batch {r['micro_batch']}" if p.kind == "train" else f"batch {r['max_batch']}"
    does = {"prefill": f"reads for {r.get('feeds')}: ", "decode": "writes: "}.get(p.role, "")
    return f"{does}{r['engine']} {ways}, {tail}{', one a node' if r.get('per_node') == 1 else ''}"


def _capacity(same: Sequence[Placement]) -> str:
    p = same[0]
    if p.kind == "train":
        least, most = (units.show_count(f(q.capacity["tokens_per_s"] for q in same)) for f in (min, max))
        return f"{least if least == most else f'{least}–{most}'} tokens/s"
    rate = f"{spread(q.capacity['requests_per_s'] for q in same)}/s"
    late = [f"{k[:-2].upper()} {units.show_seconds(p.capacity[k])}" for k in ("ttft_s", "tpot_s") if p.capacity.get(k)]
    return ", ".join([rate, *late])


def promises(plan: Plan) -> list[dict[str, Any]]:
    """A row a workload: what was promised, what is done, what it costs."""
    rows = []
    for w in plan.workloads:
        row = {"workload": w.name, "kind": w.kind, "promise": _promise(w), "kept": "yes" if w.met else "NO",
               "result": _result(w)}  # fmt: skip
        if plan.feasible:
            row["price/M"] = _price(w.price_per_million_tokens, 0.0, w.interval.get("price_per_million_tokens"))
            row["basis"] = based(w.basis, w.rests_on)
        rows.append(row)
    return rows


def _promise(w: Kept) -> str:
    rate = f"{spread(w.demand_rps)}/s" if w.demand_rps else ""
    return ", ".join(filter(None, (rate, w.promise)))


def _result(w: Kept) -> str:
    if w.served_rps is not None and w.demand_rps is not None:
        wanted = sum(w.demand_rps)
        done = sum(w.served_rps) / wanted if wanted else 1.0
        return "nothing asked" if not wanted else "all requests" if done > 0.9999 else f"{done:.1%} of requests"
    if w.kind == "batch":
        return f"{between(w, 'tokens_per_day', units.show_count)} tokens a day"
    if not w.tokens_per_s:
        return "does not run"
    mfu = f", MFU {between(w, 'mfu', '{:.0%}'.format)}" if w.mfu else ""
    days = between(w, "days", lambda days: units.show_seconds(days * 86400))
    return f"{between(w, 'tokens_per_s', units.show_count)} tokens/s, done in {days}{mfu}"


def counted(value: float, span: Span | None) -> str:
    """A count and where it lies: `1.65M (1.65M to 2.3M)`."""
    return _ranged(value, span, units.show_count)


def between(w: Kept, name: str, say: Callable[[float], str]) -> str:
    """A number of a workload and where it lies."""
    return _ranged(getattr(w, name) or 0.0, w.interval.get(name), say)


def _ranged(value: float, span: Span | None, say: Callable[[float], str]) -> str:
    ends = dict.fromkeys(say(end) for end in span) if span else {}
    return say(value) if len(ends) < 2 else f"{say(value)} ({' to '.join(ends)})"

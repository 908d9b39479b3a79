"""A plan as tables for people: rows of plain values that the command line and a notebook print. It computes nothing
new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from eke import units
from eke.plan.plan import Kept, Placement, Plan


def html(plan: Plan) -> str:
    """The plan as HTML tables."""
    return f"<h4>{escape(headline(plan))}</h4>" + "".join(
        table(rows) for rows in (pools(plan), promises(plan), placements(plan)) if rows
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
    kind = "at least" if o.name == "fewest-chips" else "at most"
    scaled = o.unit.startswith("PFLOP/s")
    value, bound = amount(o.value, o.unit), amount(o.bound, o.unit if scaled else "")
    return f"{plan.scenario}: {value}; any plan on this stock: {kind} {bound} (gap {o.gap:.2%})"


_PREFIXES = (("P", 1.0), ("T", 1e3), ("G", 1e6))


def amount(value: float, unit: str, digits: int = 5) -> str:
    """An objective's value in its unit: `9.6e-05 PFLOP/s` as `96 GFLOP/s`."""
    if unit.startswith("PFLOP/s"):
        prefix, factor = next((p for p in _PREFIXES if value * p[1] >= 1), _PREFIXES[-1])
        return f"{value * factor:,.{digits}g} {prefix}{unit[1:]}"
    return f"{value:,.{digits}g} {unit}".rstrip()


def number(value: float) -> str:
    """A number for a table: `1.25`, `1,984`, `4M` for four million."""
    return units.show_count(value) if abs(value) >= 1e5 else f"{value:,.4g}" if abs(value) >= 1e-3 else f"{value:.2g}"


def spread(values: Iterable[float]) -> str:
    """Least and most of a day: `120–480`, or one number when they agree."""
    values = list(values)
    low, high = f"{min(values):,.4g}", f"{max(values):,.4g}"
    return low if low == high else f"{low}–{high}"


def pools(plan: Plan) -> list[dict[str, Any]]:
    """A row a pool: who uses it, least to most over the day, and its price."""
    rows = []
    for pool in plan.pools:
        by_kind = {kind: [0.0] * plan.slots for kind in ("train", "serve", "batch")}
        for p in plan.placements:
            if p.pool == pool.name:
                by_kind[p.kind][p.slot] += p.chips
        row: dict[str, Any] = {"pool": pool.name, "chip": pool.chip, "chips": f"{pool.chips:,.4g}"}
        row |= {kind: spread(v) if any(v) else "" for kind, v in by_kind.items()}
        rows.append(row | {"idle": spread(pool.chips - u for u in pool.used_chips), "price": f"{pool.price:.3g}"})
    return rows


def placements(plan: Plan) -> list[dict[str, Any]]:
    """A row a workload, pool and recipe; chips and capacity least to most over the slots it runs in."""
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
                "capacity": _capacity(same), "basis": p.basis,
            }
        )  # fmt: skip
    order = {w.name: i for i, w in enumerate(plan.workloads)}
    return sorted(rows, key=lambda r: (order[r["workload"]], r["pool"]))


def recipe(p: Placement) -> str:
    """`tp2 x 12, batch 96` and the like."""
    r = p.recipe
    ways = " ".join(f"{k}{r[k]}" for k in ("tp", "pp", "ep", "dp") if int(r[k]) > 1) or "tp1"
    if "threads" in r:
        ways = f"{r['threads']} thread{'s' if int(r['threads']) > 1 else ''}"
    tail = f"micro-batch {r['micro_batch']}" if p.kind == "train" else f"batch {r['max_batch']}"
    return f"{r['engine']} {ways}, {tail}"


def _capacity(same: Sequence[Placement]) -> str:
    p = same[0]
    if p.kind == "train":
        least, most = (units.show_count(f(q.capacity["tokens_per_s"] for q in same)) for f in (min, max))
        return f"{least if least == most else f'{least}–{most}'} tokens/s"
    rate = f"{spread(q.capacity['requests_per_s'] for q in same)}/s"
    return (
        rate
        if p.kind == "batch"
        else f"{rate}, TTFT {units.show_seconds(p.capacity['ttft_s'])}, TPOT {units.show_seconds(p.capacity['tpot_s'])}"
    )


def promises(plan: Plan) -> list[dict[str, Any]]:
    """A row a workload: what was promised, what is done, what it costs."""
    return [
        {"workload": w.name, "kind": w.kind, "promise": _promise(w), "kept": "yes" if w.met else "NO", "result":
        _result(w), "price per M tokens": f"{w.price_per_million_tokens:.3g}"} for w in plan.workloads
    ]  # fmt: skip


def _promise(w: Kept) -> str:
    return f"{spread(w.demand_rps)}/s" if w.demand_rps else ""


def _result(w: Kept) -> str:
    if w.served_rps is not None and w.demand_rps is not None:
        wanted = sum(w.demand_rps)
        return f"{sum(w.served_rps) / wanted:.1%} of requests" if wanted else "nothing asked"
    if w.kind == "batch":
        return f"{units.show_count(w.tokens_per_day or 0.0)} tokens a day"
    if not w.tokens_per_s:
        return "does not run"
    mfu = f", MFU {w.mfu:.0%}" if w.mfu else ""
    return f"{units.show_count(w.tokens_per_s)} tokens/s, done in {units.show_seconds((w.days or 0.0) * 86400)}{mfu}"

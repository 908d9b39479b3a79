"""What a page shows, in the page's words: plans, runs and ledgers turned into rows and charts. Knows no HTTP.

The colour of a workload is its place among those of its kind, so that it is the same on every page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from markupsafe import Markup

from eke import units
from eke.console import charts
from eke.errors import UnknownName
from eke.figures import Figure
from eke.fleet import catalogue
from eke.plan.interval import based, told
from eke.plan.plan import Placement, Plan
from eke.plan.show import between
from eke.runtime.ledger import Usage
from eke.training.progress import Progress

SHADES = {"serve": 6, "train": 3, "batch": 2}  # colours of a kind in the style sheet


@dataclass(frozen=True, slots=True)
class Cell:
    """What one workload gets of one pool."""

    chips: str
    share: float
    strip: Markup | None
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    """A pool in the matrix: its cells in the order of the workloads, None where it does nothing for one."""

    name: str
    chip: str
    chips: float
    used: float
    price: str
    price_unit: str
    basis: str
    cells: tuple[Cell | None, ...]
    day: Markup


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way a workload runs in a pool, over all slots in which it does."""

    workload: str
    style: str
    pool: str
    role: str
    model: str
    variant: str
    how: str
    replicas: str
    chips_each: str
    capacity: str
    basis: str


def styles(plan: Plan) -> dict[str, str]:
    """A colour class for each workload."""
    seen: dict[str, int] = {}
    chosen = {}
    for w in plan.workloads:
        chosen[w.name] = f"{w.kind}-{seen.get(w.kind, 0) % SHADES.get(w.kind, 1)}"
        seen[w.kind] = seen.get(w.kind, 0) + 1
    return chosen


def matrix(plan: Plan) -> list[Row]:
    """Pools by workloads: who does what, and how the day goes."""
    colour = styles(plan)
    used = _chips_by_slot(plan)
    rows = []
    for pool in plan.pools:
        mine = {w.name: used.get((pool.name, w.name), [0.0] * plan.slots) for w in plan.workloads}
        cells = tuple(
            _cell(mine[w.name], pool.chips, colour[w.name], f"{w.name} in {pool.name}") for w in plan.workloads
        )
        series = [charts.Series(name, colour[name], values) for name, values in mine.items() if any(values)]
        said = f"{pool.name} through the day: " + ", ".join(f"{s.name} {_span(s.values)} chips" for s in series)
        day = charts.stack(series, hours(plan.slots), pool.chips, said) if plan.slots > 1 else Markup("")
        peak = max(pool.used_chips, default=0.0)
        price, basis = told(pool.price, pool.interval.get("price")), based(pool.basis, pool.rests_on)
        rows.append(Row(pool.name, pool.chip, pool.chips, peak, price, pool.price_unit, basis, cells, day))
    return rows


def hours(slots: int) -> list[str]:
    """The hour each slot begins at."""
    return [f"{24 * s // slots:02d}h" for s in range(slots)]


def _chips_by_slot(plan: Plan) -> dict[tuple[str, str], list[float]]:
    used: dict[tuple[str, str], list[float]] = {}
    for p in plan.placements:
        values = used.setdefault((p.pool, p.workload), [0.0] * plan.slots)
        if 0 <= p.slot < len(values):
            values[p.slot] += p.chips
    return used


def _cell(values: Sequence[float], chips: float, style: str, what: str) -> Cell | None:
    if not any(values):
        return None
    said = f"{what}: {_span(values)} of {number(chips)} chips"
    strip = charts.strip(values, chips, style, said) if len(values) > 1 else None
    return Cell(_span(values), max(values) / chips if chips else 0.0, strip, said)


_CAPACITY: Mapping[str, Callable[[float], str]] = {
    "requests_per_s": lambda v: f"{number(v)} req/s",
    "tokens_per_s": lambda v: f"{units.show_count(v)} tok/s",
    "ttft_s": lambda v: f"first token {units.show_seconds(v)}",
    "tpot_s": lambda v: f"then {units.show_seconds(v)}",
    "mfu": lambda v: f"MFU {units.show_fraction(v)}",
}


def recipes(plan: Plan) -> list[Recipe]:
    """Every recipe used, once, in the order of the workloads."""
    order = {w.name: i for i, w in enumerate(plan.workloads)}
    colour = styles(plan)

    def key(p: Placement) -> tuple[Any, ...]:
        return (order.get(p.workload, 99), p.pool, p.role, p.model, p.variant, str(sorted(p.recipe.items())))

    groups = (list(g) for _, g in groupby(sorted(plan.placements, key=key), key=key))
    return [_recipe(g, plan.slots, colour.get(g[0].workload, "serve-0")) for g in groups]


def _recipe(group: Sequence[Placement], slots: int, style: str) -> Recipe:
    one = group[0]
    by_slot = [0.0] * slots
    for p in group:
        by_slot[p.slot if p.slot < slots else 0] += p.replicas
    best = max(group, key=lambda p: p.chips)
    return Recipe(
        one.workload, style, one.pool, one.role, one.model, one.variant, how(one.recipe), _span(by_slot),
        number(one.chips_per_replica), capacity(best.capacity), one.basis,
    )  # fmt: skip


_SETTINGS = {
    "max_batch": "batch",
    "chunked_prefill": "chunk",
    "global_batch": "global batch",
    "micro_batch": "micro-batch",
}


def how(recipe: Mapping[str, Any]) -> str:
    """A recipe in a line: `vllm · tp 2 · batch 96`; what is 1 or unset is not said."""
    words = [str(recipe["engine"])] if recipe.get("engine") else []
    for key, value in recipe.items():
        if key == "engine" or value in (None, "", False, 1) or isinstance(value, (dict, list)):
            continue
        words.append(
            f"{_SETTINGS.get(key, key.replace('_', ' '))} {value if not isinstance(value, float) else number(value)}"
        )
    return " · ".join(words)


def capacity(figures: Mapping[str, float]) -> str:
    """What the replicas can do, in a line."""
    return " · ".join(show(figures[key]) for key, show in _CAPACITY.items() if figures.get(key) is not None)


def promises(plan: Plan) -> list[dict[str, Any]]:
    """Each workload: what it was promised, what it gets, what it costs."""
    colour = styles(plan)
    return [
        {
            "name": w.name,
            "kind": w.kind,
            "style": colour[w.name],
            "met": w.met,
            "gets": _gets(w.kind, w),
            "price": told(w.price_per_million_tokens, w.interval.get("price_per_million_tokens")),
            "price_unit": w.price_unit,
            "basis": based(w.basis, w.rests_on),
            "note": w.note,
        }
        for w in plan.workloads
    ]


def _gets(kind: str, w: Any) -> str:
    if kind == "serve" and w.demand_rps and w.served_rps:
        worst = min((s / d for s, d in zip(w.served_rps, w.demand_rps, strict=False) if d > 0), default=1.0)
        least = "" if worst >= 0.9995 else f", at worst {units.show_fraction(worst)}"
        return f"{_span(w.served_rps)} of {_span(w.demand_rps)} req/s{least}"
    if kind == "train":
        rate = f"{between(w, 'tokens_per_s', units.show_count)} tok/s" if w.tokens_per_s else "nothing"
        done = f", done in {between(w, 'days', lambda days: units.show_seconds(days * 86400))}" if w.days else ""
        used = f", MFU {between(w, 'mfu', units.show_fraction)}" if w.mfu else ""
        return f"{rate}{done}{used}"
    return f"{between(w, 'tokens_per_day', units.show_count)} tok/day" if w.tokens_per_day else "nothing"


def chip_figures(name: str) -> list[dict[str, str]] | None:
    """What is known of a chip and where from; None for a chip that no catalogue holds (this machine's own)."""
    try:
        chip = catalogue.chip(name)
    except UnknownName:
        return None
    rows = [(f"{p} dense", f"flops.{p}", units.show_flop_per_s(v)) for p, v in chip.flops.items()]
    rows += [
        (words, key, show(value))
        for words, key, show in (
            ("memory", "memory", units.show_bytes),
            ("memory bandwidth", "memory_bandwidth", units.show_bytes_per_s),
            ("link to its neighbours", "scale_up", units.show_bytes_per_s),
            ("network", "scale_out", units.show_bytes_per_s),
            ("power", "tdp", lambda w: f"{w:g} W"),
        )
        if (value := getattr(chip, key)) is not None
    ]
    nothing = Figure(0.0, "", "estimated")
    sources = {key: chip.figures.get(key, nothing) for _, key, _ in rows}
    return [
        {
            "what": words,
            "value": shown,
            "status": sources[key].status if sources[key].source else "",
            "source": sources[key].source,
        }
        for words, key, shown in rows
    ]


def served(rows: Iterable[Usage], bucket: str, count: int, now: float) -> tuple[Markup, list[str]]:
    """Tokens out by model in the last `count` minutes or hours, as piled bars; and the models in order of colour."""
    size = {"minute": 60, "hour": 3600}[bucket]
    first = int(now // size) - count + 1
    values: dict[str, list[float]] = {}
    for usage in rows:
        at = datetime.strptime(usage.key[bucket], "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC).timestamp()
        if 0 <= (i := int(at // size) - first) < count:
            values.setdefault(usage.key["model"], [0.0] * count)[i] += usage.output_tokens
    names = sorted(values)
    if not names:
        return Markup(""), []
    top = max(sum(values[n][i] for n in names) for i in range(count)) or 1.0
    form = "%H:%M" if bucket == "minute" else "%Hh"
    labels = [time.strftime(form, time.localtime((first + i) * size)) for i in range(count)]
    series = [charts.Series(n, f"serve-{i % SHADES['serve']}", values[n]) for i, n in enumerate(names)]
    total = sum(sum(v) for v in values.values())
    said = f"Tokens written in the last {count} {bucket}s: {units.show_count(total)}"
    return charts.stack(series, labels, top, said, height=160, unit="tokens"), names


def loss(progress: Progress) -> Markup:
    """Training and validation loss over the tokens seen."""
    train = [(float(p.tokens), p.loss) for p in progress.history]
    held_out = [(float(p.tokens), p.validation_loss) for p in progress.history if p.validation_loss is not None]
    curves = [charts.Curve("training loss", "train-0", train)]
    if len(held_out) > 1:
        curves.append(charts.Curve("on text it has not seen", "held-out", held_out))
    words = (
        f"Loss, {progress.loss:.2f} after {units.show_count(progress.tokens)} tokens"
        if progress.loss is not None
        else "Loss"
    )
    return charts.line(curves, words, "tokens")


def _span(values: Sequence[float]) -> str:
    """`12`, or `3–12` when it changes."""
    low, high = min(values), max(values)
    return number(high) if number(low) == number(high) else f"{number(low)}–{number(high)}"


def number(value: float | None) -> str:
    """`1,024`, `1.5`, `0.03`; a dash for what is not known."""
    if value is None:
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"

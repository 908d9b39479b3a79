"""The report's charts: as parts of the page, coloured by day and by night, and as files. Knows no sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from eke import charts
from eke.errors import InputError
from eke.plan import advantage, savings, worth
from eke.plan.interval import told
from eke.plan.plan import Plan
from eke.plan.runway import chart as fan
from eke.report.facts import Facts

NIGHT = {
    charts.INK: "#e8e6df", charts.SOFT: "#a2aaa6", charts.RULE: "#2e3538", charts.PAPER: "#1b2023",
    "#2f6f8f": "#5fa3c4", "#58a08c": "#6fbda6", "#86b6cc": "#9ccbe0", "#45578a": "#8493d0", "#a9c79b": "#b4d3a4",
    "#7d93c9": "#a6b6e6", "#c98a2b": "#e0a548", "#ab4f32": "#d3765a", "#e2bd6c": "#efd18f", "#93829f": "#ad9cba",
    "#bfb2c7": "#d2c6da", "#eeebe1": "#252c2f",
}  # fmt: skip
"""By night, for each colour by day: the console's."""
SHADES = {
    "serve": ("#2f6f8f", "#58a08c", "#86b6cc", "#45578a", "#a9c79b", "#7d93c9"),
    "train": ("#c98a2b", "#ab4f32", "#e2bd6c"),
    "batch": ("#93829f", "#bfb2c7"),
}
NOTHING = 1e-3
"""A price this share of the highest is drawn as none."""
GROUND = "#eeebe1"
LARGER, WIDE = 1.15, 640
"""Times a small chart may be drawn larger where there is room, and pixels up to which it may."""
NARROW = 300
"""Pixels of a chart that shares its row with another, axis not counted."""


def colours(plan: Plan) -> dict[str, str]:
    """A colour for each workload: its place among those of its kind, as in the console."""
    seen: dict[str, int] = {}
    found = {}
    for w in plan.workloads:
        shades, at = SHADES[w.kind], seen.get(w.kind, 0)
        found[w.name], seen[w.kind] = shades[at % len(shades)], at + 1
    return found


def day(facts: Facts) -> Any:
    """Who does what through the day: a row a pool, a bar a slot, its height the share of the pool's chips.

    Raises:
        InputError: the plan places nothing.
    """
    alt, plan = charts.altair_module(), facts.plan
    if not plan.placements:
        raise InputError("there is no day to draw", why="the plan places nothing")
    chips = {p.name: p.chips for p in plan.pools}
    used: dict[tuple[str, str, int], float] = {}
    for p in sorted(plan.placements, key=lambda p: ("train", "serve", "batch").index(p.kind)):
        used[p.pool, p.workload, p.slot] = used.get((p.pool, p.workload, p.slot), 0.0) + p.chips
    title = {p.name: f"{p.name}: {p.chips:,.0f} {p.chip}" for p in plan.pools}
    hours = 24 / plan.slots
    values, stands = [], dict.fromkeys(((p.name, t) for p in plan.pools for t in range(plan.slots)), 0.0)
    for (pool, name, slot), n in used.items():
        low = stands[pool, slot]
        stands[pool, slot] += n / chips[pool]
        values.append({"pool": title[pool], "workload": name, "from": slot * hours, "to": (slot + 1) * hours,
                       "low": low, "high": stands[pool, slot]})  # fmt: skip
    shade = colours(plan)
    bars = (
        alt.Chart(alt.Data(values=values))
        .mark_rect(stroke=charts.PAPER, strokeWidth=0.4)
        .encode(
            x=alt.X("from:Q", title=None, scale=alt.Scale(domain=[0, 24], nice=False),
                    axis=alt.Axis(values=[0, 6, 12, 18, 24], grid=False, labelExpr="datum.value + ' h'")),
            x2="to:Q",
            y=alt.Y("low:Q", title=None, scale=alt.Scale(domain=[0, 1]),
                    axis=alt.Axis(values=[0, 1], format="%", grid=False)),
            color=alt.Color("workload:N", title=None, sort=list(shade),
                            scale=alt.Scale(domain=list(shade), range=list(shade.values())),
                            legend=alt.Legend(orient="bottom", columns=2, symbolType="square", offset=4, rowPadding=1)),
            y2="high:Q",
        )
        .properties(width=NARROW, height=max(14, min(40, 130 // len(chips))))
        .facet(row=alt.Row("pool:N", title=None, sort=list(title.values()),
                           header=alt.Header(orient="top", labelAnchor="start", labelOrient="top", labelPadding=2)),
               spacing=4)
    )  # fmt: skip
    said = f"{plan.scenario}: share of each pool's chips by hour; empty is idle or down"
    return charts.styled(bars, "Who does what through the day", said).configure_view(fill=GROUND, stroke=None)


def prices(facts: Facts) -> Any:
    """What one more chip of each pool is worth, with where that lies in 80% of cases.

    Raises:
        InputError: promises break.
    """
    alt, plan = charts.altair_module(), facts.plan
    if not plan.feasible:
        raise InputError("there are no prices to draw", why="promises break, so chips have no price yet")
    unit = plan.pools[0].price_unit.removesuffix(" per chip").removesuffix(" of training")
    most = max((p.price for p in plan.pools), default=0.0)
    values = [
        {"pool": f"{p.name} ({p.chip})", "price": p.price,
         "says": told(p.price, p.interval.get("price"), 2) if p.price > NOTHING * most else "0"}
        for p in plan.pools
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("pool:N", sort=[v["pool"] for v in values], title=None),
        x=alt.X("price:Q", title=f"{unit} for one more chip",
                scale=alt.Scale(domain=[0, most * 1.5 or 1.0], nice=False), axis=alt.Axis(tickCount=4, format="~g")),
    )  # fmt: skip
    bars = base.mark_bar(size=14, cornerRadiusEnd=2, color=charts.SERVE)
    words = base.mark_text(align="left", dx=5, color=charts.INK).encode(text="says:N")
    drawn = alt.layer(bars, words).properties(width=NARROW - 90, height=alt.Step(18))
    return charts.styled(drawn, "What one more chip is worth", f"{plan.scenario}: at the margin, in {unit}")


def _software(facts: Facts) -> Any:
    if facts.savings is None:
        raise InputError("there is no waterfall to draw", why="savings are left out")
    return savings.waterfall(facts.savings, width=NARROW - 90, step=18)


def _runway(facts: Facts) -> Any:
    if facts.runway is None:
        raise InputError("there is no runway to draw", why="it is left out")
    return fan.draw(facts.runway, width=NARROW - 60, step=22, chips=False)


def _stock(facts: Facts) -> Any:
    if facts.runway is None:
        raise InputError("there is no runway to draw", why="it is left out")
    return fan.draw(facts.runway)


def _advantage(facts: Facts) -> Any:
    if facts.why is None:
        raise InputError("there is no advantage to draw", why="reasons are left out")
    return advantage.chart(list(facts.why.worths), facts.why.base)


def _worth(facts: Facts) -> Any:
    if facts.worth is None:
        raise InputError("there are no curves to draw", why="worth is left out")
    return worth.chart(facts.worth)


DRAWN: dict[str, tuple[str, Callable[[Facts], Any]]] = {
    "day": ("Share of each pool's chips that each workload takes through the day", day),
    "prices": ("What one more chip of each pool is worth", prices),
    "savings": ("Waterfall of what each group of optimisations saves", _software),
    "runway": ("Each generation from start to end, with where 80% of ends lie", _runway),
    "stock": ("Generations, and the chips left of each pool month by month in p10, p50 and p90", _stock),
    "advantage": ("What each chip gives up to do each work", _advantage),
    "worth": ("The objective against chips of each pool", _worth),
}
"""Name, what it shows in words, and how it is drawn."""


def drawings(facts: Facts) -> Iterator[tuple[str, str, Any]]:
    """Every chart there is something to draw of."""
    for name, (said, draw) in DRAWN.items():
        try:
            chart = draw(facts)
        except InputError:
            continue
        yield name, said, chart


def inline(facts: Facts) -> dict[str, Markup]:
    """Charts as parts of a page, by name; each says in words what it shows."""
    return {name: embedded(chart, name, said) for name, said, chart in drawings(facts)}


_ARIA = re.compile(r' (?:aria-[a-z]+|role|xmlns(?::\w+)?|version|class|pointer-events)="[^"]*"')
_ID = re.compile(r'(id="|url\(#|xlink:href="#)')
_HEX = re.compile("|".join(NIGHT), re.IGNORECASE)
_ROOT = re.compile(r'<svg[^>]*?width="([\d.]+)"[^>]*?height="([\d.]+)"[^>]*>')


def embedded(chart: Any, name: str, said: str) -> Markup:
    """A chart as SVG inside a page: no title (the page has one), no ground, the page's colours, ids of its own."""
    text = charts.drawn(chart, "svg", part=True).decode()
    text = _ID.sub(rf"\g<1>{name}-", _ARIA.sub("", text))
    text = _HEX.sub(lambda m: f"var(--c{m[0].lower()[1:]})", text)
    head = _ROOT.search(text)
    assert head is not None
    width, height = float(head[1]), float(head[2])
    root = (
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{min(width * LARGER, max(width, WIDE)):g}px" '
        f'role="img" aria-label="{escape(said)}">'
    )
    return Markup(text.replace(head[0], root, 1))


def night() -> list[tuple[str, str, str]]:
    """Name in the style sheet, colour by day, colour by night."""
    return [(f"--c{by_day[1:]}", by_day, by_night) for by_day, by_night in NIGHT.items()]


def write_all(facts: Facts, folder: Path) -> list[Path]:
    """Every chart as PNG in a folder, which is made.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or ""
        raise InputError(f"{str(folder)!r} cannot be written", why=why, remedy="choose another folder") from error
    return [charts.write(chart, folder / f"{name}.png") for name, _, chart in drawings(facts)]

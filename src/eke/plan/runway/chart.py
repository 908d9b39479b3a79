"""The runway as a picture: each generation's end opening like a fan, and the stock's chips beneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eke import charts
from eke.plan.runway.tell import share
from eke.units import SECONDS

if TYPE_CHECKING:
    from eke.plan.runway.result import Runway

DAYS = SECONDS["mo"] / SECONDS["d"]
WIDTH = 640
ROOM = 0.3
"""Share of the width that words beside a bar need."""


def draw(of: Runway, *, width: int = WIDTH, step: int = 36, chips: bool = True) -> Any:
    """Generations as bars from start to end (median), p10 to p90 of the end as a band; with `chips`, those left by kind
    below.

    Raises:
        NotInstalled: without the extra `charts`.
    """
    alt = charts.altair_module()
    horizon = of.horizon_days / DAYS
    axis = alt.Scale(domain=[0, horizon], nice=False)
    rows, order = _bars(of), [g.name for g in of.generations]
    y = alt.Y("generation:N", sort=order, title=None)
    base = alt.Chart(alt.Data(values=rows))
    when = "months from today"
    body = base.mark_bar(height=step / 3, color=charts.TRAIN).encode(
        x=alt.X("start:Q", scale=axis, title=when), x2="middle:Q", y=y
    )
    early = base.mark_bar(height=0.6 * step, color=charts.TRAIN, opacity=0.35).encode(x="early:Q", x2="late:Q", y=y)
    places = {"after": ("left", 6, 0), "before": ("right", -6, 0), "above": ("left", 0, -step / 2 + 1)}
    said = [
        base.transform_filter(f"datum.place == '{place}'")
        .mark_text(align=align, dx=dx, dy=dy, color=charts.SOFT, fontSize=11)
        .encode(x="label:Q", y=y, text="said:N")
        for place, (align, dx, dy) in places.items()
    ]
    top = alt.layer(body, early, *said).properties(width=width, height=step * len(order) + 8)
    told = f"{of.expected_generations:.1f} generations in {horizon:.0f} months"
    subtitle = f"median of {of.samples:,} futures; pale: where 80% of ends lie"
    if not chips:
        return charts.styled(top, f"{of.scenario}: {told}", subtitle)
    fan = alt.Chart(alt.Data(values=_chips(of))).encode(x=alt.X("month:Q", scale=axis, title=when))
    colour = alt.Color("pool:N", sort=list(of.months[0].chips), scale=alt.Scale(range=list(charts.COLOURS)), title=None)
    band = fan.mark_area(opacity=0.25).encode(y=alt.Y("low:Q", title="chips that can be planned on"), y2="high:Q",
                                              color=colour)  # fmt: skip
    line = fan.mark_line().encode(y="middle:Q", color=colour)
    below = alt.layer(band, line).properties(width=width, height=180)
    return charts.styled(alt.vconcat(top, below, spacing=18), f"{of.scenario}: {told}", subtitle)


def _bars(of: Runway) -> list[dict[str, Any]]:
    rows = []
    for g in of.generations:
        start = g.start_days["p50"]
        if start is None:
            start = g.start_days["p10"]
        if start is None:
            continue
        ends = {k: of.horizon_days if v is None else v for k, v in g.end_days.items()}
        some = g.end_days["p10"] is not None
        # words stand where there is room for them: after the bar, else before it, else above
        place = (
            "after" if ends["p90"] <= (1 - ROOM) * of.horizon_days
            else "before" if start >= ROOM * of.horizon_days else "above"
        )  # fmt: skip
        rows.append(
            {
                "generation": g.name, "start": start / DAYS, "middle": ends["p50"] / DAYS,
                "early": (ends["p10"] if some else ends["p50"]) / DAYS, "late": ends["p90"] / DAYS,
                "label": (ends["p90"] if place == "after" else start) / DAYS, "place": place,
                "said": f"{share(g.chance)} in time" if g.chance < 1 else f"day {ends['p50']:,.0f}",
            }
        )  # fmt: skip
    return rows


def _chips(of: Runway) -> list[dict[str, Any]]:
    return [
        {"month": m.day / DAYS, "pool": pool, "low": q["p10"], "middle": q["p50"], "high": q["p90"]}
        for m in of.months
        for pool, q in m.chips.items()
    ]

"""An explanation as tables for people: rows of plain values. It computes nothing new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eke.plan import explain
from eke.plan.advantage import Worth
from eke.plan.explain import Binds, Explanation, Ruled
from eke.plan.interval import Span, based, percent, told
from eke.plan.options import Option
from eke.plan.show import amount, counted, number

SURE = (
    "In brackets: where a number lies in 80% of cases, the speed of each kind of chip varying by itself in the cost "
    "model's interval, to first order; costs and losses with the plan, and the rule's, made anew at such speeds. The "
    "number stands on the slow side of speeds. Basis: of the speeds that move a number, by their part in it. What a "
    "chip does is that of the best recipe for the model itself; a plan may take another that fills gangs and hours "
    "better. Chips in plan: in the mean over the day."
)

NOTHING = 1e-6
"""Share of the objective that is called nothing."""
BAR = 10
"""Characters of the longest bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


def tables(why: Explanation) -> list[tuple[str, list[dict[str, Any]]]]:
    """Titles and rows, in the order they are read; empty ones are left out."""
    found = [
        (f"What a chip does, and what it gives up of {why.base} for each request/s", advantages(why)),
        ("How else it could be done" if why.what else "The next best", options(why)),
        ("What binds", binds(why)),
        ("What rules of thumb would have given", ruled(why)),
    ]
    return [(title, rows) for title, rows in found if rows]


def _unit(why: Explanation) -> str:
    """Of what is given up."""
    return "tokens/s" if any(w.workload == why.base and w.kind == "train" for w in why.worths) else "requests/s"


def advantages(why: Explanation) -> list[dict[str, Any]]:
    """A row a workload and pool: what a chip gives there, what it gives up, and a bar of how often the least of any
    pool that is.
    """
    rows = []
    for name in dict.fromkeys(w.workload for w in why.worths):
        mine = [w for w in why.worths if w.workload == name and w.gives_up is not None]
        least = min((w.gives_up for w in mine if w.gives_up), default=1.0)
        times = {w.pool: (w.gives_up or 0.0) / least for w in mine}
        scale = max(4.0, *times.values()) if times else 4.0
        for w in sorted(mine, key=lambda w: times[w.pool]):
            rows.append(
                {
                    "workload": name, "pool": w.pool, "requests/s": told(w.rate, w.interval["rate"]),
                    f"gives up, {_unit(why)}": told(w.gives_up or 0.0, w.interval["gives_up"]),
                    "x least": explain.times(w), "": bar(times[w.pool] / scale),
                    "chips in plan": number(w.chips) if w.chips else "", "basis": based(w.basis, w.rests_on),
                }
            )  # fmt: skip
            name = ""
    return rows


def bar(share: float) -> str:
    """A bar of `share` of the longest, to an eighth of a character."""
    eighths = round(min(max(share, 0.0), 1.0) * BAR * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def options(why: Explanation) -> list[dict[str, Any]]:
    """A row a workload and pool; of the whole plan, each workload's best that is not in it."""
    rows = []
    shown: Sequence[Option] = why.options
    if not why.what:
        free = [o for o in why.options if not o.planned and not o.why_not]
        shown = list({o.workload: o for o in reversed(free)}.values())[::-1]
    trains = any(o.tokens_per_s for o in shown)
    for o in shown:
        if o.why_not:
            rows.append(
                {
                    "workload": o.workload,
                    "pool": o.pool,
                    "chips in plan": "",
                    "all": "",
                    "costs": "",
                    "by": o.why_not,
                    "basis": "",
                }
            )
            continue
        cost = "" if o.loses is None else _cost(o.loses, o.interval["loses"], why)
        if trains and o.tokens_per_s:
            cost = f"{counted(o.tokens_per_s, o.interval['tokens_per_s'])} tokens/s"
        rows.append(
            {
                "workload": o.workload, "pool": o.pool, "chips in plan": number(o.planned) if o.planned else "",
                "all": told(o.chips, o.interval.get("chips")), "costs": cost, "by": f"{_form(o, why)}, {o.recipe}",
                "basis": based(o.basis, o.rests_on),
            }
        )  # fmt: skip
    heads = {"all": "chips for all", "costs": "gives" if trains and why.what else "costs"}
    return [{heads.get(k, k): v for k, v in r.items()} for r in rows]


def _cost(value: float, span: Span, why: Explanation) -> str:
    if max(value, *span) <= NOTHING * abs(why.value or 0.0):
        return "nothing"
    return amount(value, why.unit.removesuffix(" of training"), 3, span)


def _form(o: Option, why: Explanation) -> str:
    """Precision, and the model where pools differ in it."""
    models = {p.model for p in why.options if p.workload == o.workload and p.model}
    return f"{o.model} {o.variant}" if len(models) > 1 else o.variant


def binds(why: Explanation) -> list[dict[str, Any]]:
    """A row for each pool that is full and each promise that is tight."""
    return [
        {"what": b.what, "binds by": b.how, "price": _priced(b), "basis": based(b.basis, b.rests_on)}
        for b in why.binds
    ]  # fmt: skip


def _priced(b: Binds) -> str:
    said = told(b.price, b.interval.get("price"))
    return said if said == "0" else f"{said} {b.unit.replace(' of training', '').replace(' per ', ' a ')}"


def ruled(why: Explanation) -> list[dict[str, Any]]:
    """A row a rule of thumb: the objective it reaches and loses; then with each job in one pool."""

    def lost(r: Ruled, name: str, unmet: Sequence[str] = ()) -> str:
        if getattr(r, name) is None:
            return f"not kept: {', '.join(unmet)}" if unmet else "not kept"
        return percent(getattr(r, name), r.interval[name])

    unit = why.unit.removesuffix(" of training")
    return [
        {
            "rule": r.rule, "gives": "" if r.value is None else amount(r.value, unit, 4, r.interval.get("value")),
            "loses": lost(r, "loses", r.unmet), "each job in one pool": lost(r, "loses_alone"), "it says": r.says,
            "basis": based(r.basis, r.rests_on),
        }
        for r in why.rules
    ]  # fmt: skip


def worth_rows(worths: Sequence[Worth]) -> list[dict[str, Any]]:
    """Comparative advantage as plain columns."""
    names = ("workload", "kind", "pool", "chip", "rate", "ahead", "gives_up", "advantage", "chips", "basis")
    ends = [(n, i, f"{n}_{end}") for n in ("rate", "gives_up", "advantage") for i, end in enumerate(("low", "high"))]
    return [
        {n: getattr(w, n) for n in names} | {name: w.interval[n][i] if n in w.interval else None for n, i, name in ends}
        for w in worths
    ]

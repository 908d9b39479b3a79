"""What chips are worth as tables for people: rows of plain values. It computes nothing new."""

from __future__ import annotations

from typing import Any

from eke.plan.interval import Span, based, told
from eke.plan.worth import STEPS, Holding, Offer, Worth

SURE = (
    "In brackets: where a number lies in 80% of cases, the speed of each kind of chip varying by itself in the cost "
    "model's interval; the number stands on the slow side of speeds, as plans do. Basis: of the speeds that move a "
    "row's numbers, by their part in them. 0: enough chips of that pool are left over."
)
NAMED = 6
"""Kinds named in a line."""


def keeping(of: Worth) -> list[dict[str, Any]]:
    """A row a pool: what is lost without it, what the promises need of it; with a value, when it is better off."""
    return [_kept(h, of.value) for h in of.holdings]


def buying(of: Worth, most: int | None = None) -> list[dict[str, Any]]:
    """A row a kind of chip that would add something: the best `most` of them."""
    return [_bought(o, of) for o in useful(of)[:most]]


def useful(of: Worth) -> list[Offer]:
    """Kinds that would add something."""
    return [o for o in of.offers if o.adds > 0]


def nothing(of: Worth) -> list[str]:
    """Which kinds would add nothing, and why: a line a reason."""
    why: dict[str, list[str]] = {}
    for o in of.offers:
        if o.adds <= 0:
            why.setdefault(o.reason or "", []).append(o.chip)
    return [f"Nothing is added by {_few(chips)}: {reason}." for reason, chips in why.items()]


def _few(chips: list[str]) -> str:
    return f"{', '.join(chips[:NAMED])}{f' and {len(chips) - NAMED} more' if len(chips) > NAMED else ''}"


def reached(of: Worth) -> str:
    """What the stock as it is reaches, and how sure that is."""
    reaches = f"{told(of.reached, of.interval['reached'], 4)} {of.unit}; {based(of.basis, of.rests_on)}"
    return (
        f"the stock as it is reaches {reaches}. Replicas and gangs are split here, so that margins have no "
        "steps in them: the plan, in whole ones, reaches a little less."
    )


def _kept(h: Holding, value: float | None) -> dict[str, Any]:
    row = {
        "pool": h.pool, "chip": h.chip, "chips": f"{h.chips:,.0f}",
        "without it": "promises break" if h.lost is None else _without(h.lost, h.interval["lost"]),
        "chips needed": told(h.least, h.interval["least"]),
        "10% less": _step(h, "less"), "10% more": _step(h, "more"),
        "kW": "unknown" if h.kilowatts is None else f"{h.kilowatts:,.0f}",
    }  # fmt: skip
    if value is not None:
        row |= {
            "off above, a kWh": _price(h.power_price, h, "power_price"),
            "off above, a chip-hour": _price(h.rent, h, "rent"),
        }
    return row | {"basis": based(h.basis, h.rests_on)}


def _without(lost: float, span: Span) -> str:
    return told(-lost, (-span[1], -span[0]))


def _step(h: Holding, name: str) -> str:
    at = {round(chips / h.chips, 6): y for chips, y in h.curve} if h.chips else {}
    now, then = at.get(1.0), at.get(STEPS[name])
    return "promises break" if then is None or now is None else told(then - now, h.interval[name])


def _price(price: float | None, h: Holding, name: str) -> str:
    return "never" if price is None else told(price, h.interval[name])


def _bought(o: Offer, made: Worth) -> dict[str, Any]:
    return {
        "chip": o.chip, "adds": told(o.adds, o.interval.get("adds")),
        f"one = so many {made.beside}": (
            "" if o.replaces is None else told(o.replaces, o.interval.get("replaces"), 2)
        ),
        "W": "unknown" if o.watts is None else f"{o.watts:,.0f}", "basis": based(o.basis, o.rests_on),
    }  # fmt: skip

"""What chips are worth as tables for people: rows of plain values. It computes nothing new."""

from __future__ import annotations

from typing import Any

from eke.plan.worth import Holding, Offer, Worth


def keeping(of: Worth) -> list[dict[str, Any]]:
    """A row a pool: what is lost without it, what the promises need of it; with a value, when it is better off."""
    return [_kept(h, of.value) for h in of.holdings]


def buying(of: Worth, most: int | None = None) -> list[dict[str, Any]]:
    """A row a kind of chip that would add something: the best `most` of them."""
    return [_bought(o, of) for o in useful(of)[:most]]


def useful(of: Worth) -> list[Offer]:
    """Kinds that would add something."""
    return [o for o in of.offers if o.adds > 0]


def _kept(h: Holding, value: float | None) -> dict[str, Any]:
    row = {
        "pool": h.pool, "chip": h.chip, "chips": f"{h.chips:,.0f}",
        "without it": "promises break" if h.lost is None else f"-{h.lost:,.4g}",
        "needed at least": f"{h.least:,.0f}",
        "one in ten less": _step(h, 0.9), "one in ten more": _step(h, 1.1),
        "kW": "unknown" if h.kilowatts is None else f"{h.kilowatts:,.0f}",
    }  # fmt: skip
    if value is not None:
        row |= {"off above, a kWh": _price(h.power_price), "off above, a chip-hour": _price(h.rent)}
    return row


def _step(h: Holding, times: float) -> str:
    at = {round(chips / h.chips, 6): y for chips, y in h.curve} if h.chips else {}
    now, then = at.get(1.0), at.get(times)
    return "promises break" if then is None or now is None else f"{then - now:+,.3g}"


def _price(price: float | None) -> str:
    return "never" if price is None else f"{price:,.3g}"


def _bought(o: Offer, made: Worth) -> dict[str, Any]:
    return {
        "chip": o.chip, "adds": f"{o.adds:,.4g}", "share": f"{o.adds / made.reached:.3%}" if made.reached else "",
        f"one is worth, {made.beside}": "" if o.replaces is None else f"{o.replaces:.2f}",
        "W": "unknown" if o.watts is None else f"{o.watts:,.0f}", "basis": o.basis,
    }  # fmt: skip

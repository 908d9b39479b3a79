"""Savings as tables for people: rows of plain values. It computes nothing new."""

from __future__ import annotations

from typing import Any

from eke.plan.interval import Span, across, based, told
from eke.plan.savings import BARE, Savings, steps


def replacing(of: Savings) -> list[dict[str, Any]]:
    """A row an optimisation in use: chips that would replace it, with their intervals."""
    return [
        {"optimisation": o.name}
        | {p: _chips(o.chips_saved.get(p), o.interval["chips_saved"].get(p)) for p in of.pools}
        | {
            name: _chips(getattr(o, key), o.interval.get(key))
            for name, key in (("of the mix", "stock_saved"), ("alone", "alone"), ("fair share", "fair_share"))
        }
        | {"basis": based(o.basis, o.rests_on)}
        for o in of.optimisations
        if o.used
    ]


def waterfall(of: Savings) -> list[dict[str, Any]]:
    """A row a step from nothing to everything, with the interval of what it saves."""
    return [
        {
            "step": name,
            "chips": f"{high:,.0f}" if low == 0 else f"-{high - low:,.0f}",
            "80% of cases": _between(of, name),
        }
        for name, low, high in steps(of)
    ]


def headline(of: Savings) -> str:
    """What all of it saves, in a sentence."""
    if of.bare is None:
        return (
            f"{of.chips:,.0f} chips; the same work without these optimisations: no number of chips of this mix does it"
        )
    return (
        f"{of.chips:,.0f} chips; the same work without these optimisations: {told(of.bare, of.interval['bare'])} of "
        f"this mix. Saved: {told(of.bare - of.needed, of.interval['saved'])} chips; {based(of.basis, of.rests_on)}"
    )


def reasons(of: Savings) -> list[str]:
    """Why optimisations are not used, or have no number."""
    return [f"{o.name}: {o.reason}." for o in of.optimisations if o.reason]


COLUMNS = (
    "A pool's name: chips of that pool alone that would replace the optimisation, all others in use.",
    "Of the mix: chips in the stock's own proportions that would replace it, all others in use.",
    "Alone: chips of the mix that it saves when it is the only one.",
    "Fair share: its part of what all save together, in the mean over the orders in which they can be added (Shapley); "
    "these add up, the others do not.",
)
"""What the columns of `replacing` count."""
COUNTED = (
    "No number (–): these chips alone cannot replace it. In brackets: where a number lies in 80% of cases, the speed "
    "of each kind of chip varying by itself in the cost model's interval, to first order; the number stands on the "
    "slow side of speeds, as plans do. Basis: of the speeds that move a row's numbers, by their part in them."
)


def _between(of: Savings, step: str) -> str:
    span = of.interval["bare"] if step == BARE else of.interval["shared"].get(step)
    return "" if span is None else across((round(span[0]), round(span[1])))


def _chips(value: float | None, span: Span | None) -> str:
    return "–" if value is None else told(round(value), None if span is None else (round(span[0]), round(span[1])))

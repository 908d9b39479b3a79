"""Savings as tables for people: rows of plain values. It computes nothing new."""

from __future__ import annotations

from typing import Any

from eke.plan.savings import Savings


def replacing(of: Savings) -> list[dict[str, Any]]:
    """A row an optimisation in use: chips that would replace it."""
    return [
        {"optimisation": o.name}
        | {p: _chips(o.chips_saved.get(p)) for p in of.quick}
        | {"of the mix": _chips(o.stock_saved), "alone": _chips(o.alone), "fair share": _chips(o.fair_share)}
        for o in of.optimisations
        if o.used
    ]


def reasons(of: Savings) -> list[str]:
    """Why optimisations are not used, or have no number."""
    return [f"{o.name}: {o.reason}." for o in of.optimisations if o.reason]


def counted(of: Savings) -> str:
    """On which side of the predicted speeds it was counted, and what is left of a saving on the other."""
    sides = ", ".join(f"{pool} {share:.2f} ({of.basis[pool]})" for pool, share in of.quick.items())
    return (
        "No number (–): these chips alone cannot replace it. Counted on the slow side of the predicted speeds; on the "
        f"fast side of their 80% intervals a saving is this share of it: {sides}."
    )


def _chips(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"

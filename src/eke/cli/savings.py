"""`eke savings`: what every optimisation is worth in chips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eke.cli.output import ChartFile, Drawing, Drawn, answer, chartable, footnotes, page, rows_table, told

if TYPE_CHECKING:
    from eke.plan.savings import Savings

BAR = 24
"""Characters of the widest bar."""


def savings(
    scenario: Annotated[Path, typer.Argument(help="A scenario file.")],
    output: Drawn = Drawing.table,
    chart: ChartFile = None,
) -> None:
    """What every optimisation is worth in chips of each kind, for the same demand.

    The demand is what the stock can do with everything. Each optimisation is then taken away by itself, added by itself
    to nothing, and given its fair share of what all save together.
    """
    from eke.plan import load
    from eke.plan import savings as counted

    chartable(chart)
    read = load(scenario)
    made = told(lambda say: counted.savings(read, progress=say))
    answer(
        output, chart, table=lambda: _print(made), document=made.to_dict,
        rows=lambda: [_flat(o, made.pools) for o in made.to_dict()["optimisations"]],
        chart=lambda: counted.waterfall(made),
    )  # fmt: skip


def _flat(row: dict[str, Any], pools: Sequence[str]) -> dict[str, Any]:
    saved, spans = row.pop("chips_saved"), row.pop("interval")
    del row["rests_on"]
    by_pool = {f"saved_{pool}": (saved.get(pool), spans.get("chips_saved", {}).get(pool)) for pool in pools}
    found = {name: (row.pop(name), spans.get(name)) for name in ("stock_saved", "alone", "fair_share")} | by_pool
    flat = dict(row)
    for name, (value, span) in found.items():
        low, high = span or (None, None)
        flat |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return flat


def _print(made: Savings) -> None:
    from eke.plan.savings import steps
    from eke.plan.show_savings import COLUMNS, COUNTED, headline, reasons, replacing, waterfall

    page.print(f"[bold]{made.scenario}[/]: {headline(made)}", soft_wrap=True)
    down = steps(made)
    if down:
        most = max(high for _, _, high in down)
        rows = [row | {"": _bar(low, high, most)} for row, (_, low, high) in zip(waterfall(made), down, strict=True)]
        page.print()
        page.print(rows_table(rows, "Fair shares of what all save"))
    page.print()
    page.print(rows_table(replacing(made), "Chips that would replace each"))
    page.print()
    for said in reasons(made):
        page.print(f"- {said}", soft_wrap=True)
    footnotes(*COLUMNS, COUNTED)


def _bar(low: float, high: float, most: float) -> str:
    start = round(low / most * BAR)
    return " " * start + "█" * max(round(high / most * BAR) - start, 1 if high > low else 0)

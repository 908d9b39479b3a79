"""`eke savings`: what every optimisation is worth in chips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eke.cli.output import Format, Output, page, rows_table, show, talk, told

if TYPE_CHECKING:
    from eke.plan.savings import Savings

BAR = 24
"""Characters of the widest bar."""


def savings(
    scenario: Annotated[Path, typer.Argument(help="A scenario file.")],
    output: Output = Format.table,
    chart: Annotated[
        Path | None, typer.Option(help="Also draw the waterfall: a file that ends in .html, .png or .svg.")
    ] = None,
) -> None:
    """What every optimisation is worth in chips of each kind, for the same demand.

    The demand is what the stock can do with everything. Each optimisation is then taken away by itself, added by itself
    to nothing, and given its fair share of what all save together.
    """
    from eke.plan import load
    from eke.plan import savings as counted

    read = load(scenario)
    made = told(lambda say: counted.savings(read, progress=say))
    if chart is not None:
        from eke.charts import write

        write(counted.waterfall(made), chart)
    rows = [_flat(o, made.pools) for o in made.to_dict()["optimisations"]]
    if output is Format.table:
        _print(made)
    else:
        show(made.to_dict(), rows, output)
    if chart is not None:
        talk.print(f"drew {chart}")


def _flat(row: dict[str, Any], pools: Sequence[str]) -> dict[str, Any]:
    saved, spans = row.pop("chips_saved"), row.pop("interval")
    by_pool = {f"saved_{pool}": (saved.get(pool), spans.get("chips_saved", {}).get(pool)) for pool in pools}
    found = {name: (row.pop(name), spans.get(name)) for name in ("stock_saved", "alone", "fair_share")} | by_pool
    flat = dict(row)
    for name, (value, span) in found.items():
        low, high = span or (None, None)
        flat |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return flat


def _print(made: Savings) -> None:
    from eke.plan.savings import steps
    from eke.plan.show_savings import COUNTED, headline, reasons, replacing, waterfall

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
    page.print(f"[dim]- {COUNTED}[/]", soft_wrap=True)


def _bar(low: float, high: float, most: float) -> str:
    start = round(low / most * BAR)
    return " " * start + "█" * max(round(high / most * BAR) - start, 1 if high > low else 0)

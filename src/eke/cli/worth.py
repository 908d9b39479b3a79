"""`eke worth`: what chips would add, and what pools are worth keeping for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eke.cli.output import ChartFile, Drawing, Drawn, answer, chartable, footnotes, page, rows_table, told

if TYPE_CHECKING:
    from eke.plan.worth import Worth

SHOWN = 20
"""Kinds of chip the table shows; the other formats have all."""


def worth(
    scenario: Annotated[Path, typer.Argument(help="A scenario file.")],
    output: Drawn = Drawing.table,
    chips: Annotated[
        str | None, typer.Option(help="Kinds to ask about, with commas; default: every accelerator of the catalogue.")
    ] = None,
    value: Annotated[
        float | None, typer.Option(min=0, help="Currency a day for a unit of the objective, to price power and rent.")
    ] = None,
    overhead: Annotated[
        float, typer.Option(min=1, help="Power of the site over that of its chips: hosts, network, cooling.")
    ] = 1.0,
    chart: ChartFile = None,
) -> None:
    """Chips to buy, keep or switch off: what more of each kind would add, what losing a pool would cost, and at which
    price of power or rent a pool is better off.
    """
    from eke.plan import load
    from eke.plan import worth as priced

    chartable(chart)
    read = load(scenario)
    kinds = None if chips is None else [name.strip() for name in chips.split(",") if name.strip()]
    made = told(lambda say: priced.worth(read, chips=kinds, value=value, overhead=overhead, progress=say))
    answer(
        output, chart, table=lambda: _print(made), document=made.to_dict,
        rows=lambda: [_flat(o) for o in made.to_dict()["offers"]], chart=lambda: priced.chart(made),
    )  # fmt: skip


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    spans = row.pop("interval")
    del row["rests_on"]
    for name in ("adds", "replaces"):
        row[f"{name}_low"], row[f"{name}_high"] = spans.get(name, (None, None))
    return row


def _print(made: Worth) -> None:
    from eke.plan.show_worth import SURE, buying, keeping, nothing, reached, useful

    page.print(f"[bold]{made.scenario}[/]: {reached(made)}", soft_wrap=True)
    page.print()
    page.print(rows_table(keeping(made), f"To keep: what the stock reaches otherwise, in {made.unit}"))
    more = len(useful(made)) - SHOWN
    page.print()
    if bought := buying(made, SHOWN):
        page.print(rows_table(bought, f"To buy: what a node of 8 would add, in {made.unit}"))
    said = [f"{more} more kinds add less; -o csv has all."] if more > 0 else []
    said += nothing(made)
    if made.value is None:
        said.append(
            f"Say what a unit of the objective ({made.unit}) is worth a day, --value, for prices of power and rent."
        )
    footnotes(*said, SURE)

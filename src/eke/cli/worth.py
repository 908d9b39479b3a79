"""`eke worth`: what chips would add, and what pools are worth keeping for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eke.cli.output import Format, Output, page, rows_table, show, talk

if TYPE_CHECKING:
    from eke.plan.worth import Worth

SHOWN = 20
"""Kinds of chip the table shows; the other formats have all."""


def worth(
    scenario: Annotated[Path, typer.Argument(help="A scenario file.")],
    output: Output = Format.table,
    chips: Annotated[
        str | None, typer.Option(help="Kinds to ask about, with commas; default: every accelerator of the catalogue.")
    ] = None,
    value: Annotated[
        float | None, typer.Option(min=0, help="Currency a day for a unit of the objective, to price power and rent.")
    ] = None,
    overhead: Annotated[
        float, typer.Option(min=1, help="Power of the site over that of its chips: hosts, network, cooling.")
    ] = 1.0,
    chart: Annotated[
        Path | None, typer.Option(help="Also draw the curves: a file that ends in .html, .png or .svg.")
    ] = None,
) -> None:
    """Chips to buy, keep or switch off: what more of each kind would add, what losing a pool would cost, and at which
    price of power or rent a pool is better off.
    """
    from eke.plan import load
    from eke.plan import worth as priced

    read = load(scenario)
    kinds = None if chips is None else [name.strip() for name in chips.split(",") if name.strip()]

    def ask(say: Any = None) -> Worth:
        return priced.worth(read, chips=kinds, value=value, overhead=overhead, progress=say)

    if talk.is_terminal:
        with talk.status("reading the scenario") as status:
            made = ask(lambda text: status.update(f"{text} …"))
    else:
        made = ask()
    if chart is not None:
        from eke.charts import write

        write(priced.chart(made), chart)
    document = made.to_dict()
    if output is Format.table:
        _print(made)
    else:
        show(document, document["offers"], output)
    if chart is not None:
        talk.print(f"drew {chart}")


def _print(made: Worth) -> None:
    page.print(f"[bold]{made.scenario}[/]: the stock as it is reaches {made.reached:,.5g} {made.unit}", soft_wrap=True)
    page.print()
    page.print(rows_table([_kept(h, made.value) for h in made.holdings], "To keep"))
    useful = [o for o in made.offers if o.adds > 0]
    page.print()
    if useful:
        page.print(rows_table([_bought(o, made) for o in useful[:SHOWN]], "To buy: what a node of 8 would add"))
    if len(useful) > SHOWN:
        page.print(f"[dim]- {len(useful) - SHOWN} more kinds add less; -o csv has all.[/]")
    idle = [o.chip for o in made.offers if o.adds <= 0]
    if idle:
        named = f"{', '.join(idle[:6])}{f' and {len(idle) - 6} more' if len(idle) > 6 else ''}"
        page.print(f"[dim]- these would add nothing: {named}.[/]", soft_wrap=True)
    if made.value is None:
        page.print(
            f"[dim]- say what a unit of the objective ({made.unit}) is worth a day, --value, for prices of power and "
            "rent.[/]",
            soft_wrap=True,
        )


def _kept(h: Any, value: float | None) -> dict[str, Any]:
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


def _step(h: Any, times: float) -> str:
    at = {round(chips / h.chips, 6): y for chips, y in h.curve} if h.chips else {}
    now, then = at.get(1.0), at.get(times)
    return "promises break" if then is None or now is None else f"{then - now:+,.3g}"


def _price(price: float | None) -> str:
    return "never" if price is None else f"{price:,.3g}"


def _bought(o: Any, made: Worth) -> dict[str, Any]:
    return {
        "chip": o.chip, "adds": f"{o.adds:,.4g}", "share": f"{o.adds / made.reached:.3%}" if made.reached else "",
        f"one is worth, {made.beside}": "" if o.replaces is None else f"{o.replaces:.2f}",
        "W": "unknown" if o.watts is None else f"{o.watts:,.0f}", "basis": o.basis,
    }  # fmt: skip

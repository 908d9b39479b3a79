"""`eke explain`: why a plan is as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eke.cli.output import (
    ChartFile,
    Drawing,
    Drawn,
    answer,
    bullets,
    chartable,
    footnotes,
    narrow,
    page,
    rows_table,
    talk,
)

if TYPE_CHECKING:
    from eke.plan.explain import Explanation


def explain(
    plan: Annotated[Path, typer.Argument(help="A plan file (eke plan SCENARIO --save plan.json), or a scenario.")],
    what: Annotated[str | None, typer.Argument(help="A workload or a pool; default: the whole plan.")] = None,
    output: Drawn = Drawing.table,
    chart: ChartFile = None,
    rules: Annotated[bool, typer.Option(help="Also what rules of thumb would have given; takes some seconds.")] = True,
) -> None:
    """Why this chip serves this and not that: what binds, what each chip gives up, the next best and what it costs.

    Comparative advantage decides: not who does a work fastest, but who gives up least by doing it.
    """
    from eke.plan.show_why import worth_rows

    chartable(chart)
    why = found(plan, what, rules=rules)
    answer(
        output, chart, table=lambda: print_why(why), document=why.to_dict, rows=lambda: worth_rows(why.worths),
        chart=why.chart if why.worths else None,
    )  # fmt: skip


def found(path: Path, what: str | None, *, rules: bool) -> Explanation:
    """The explanation of a plan file, or of the plan of a scenario, with a word of progress on a terminal."""
    from eke.cli.plan import made
    from eke.plan import load, read

    plan = read(path) if path.suffix == ".json" else made(load(path), best_effort=True)
    with talk.status("pricing what is not in the plan …"):
        return plan.explain(what, rules=rules)


def print_why(why: Explanation) -> None:
    """Plain words first, then tables."""
    from eke.plan.show_why import SURE, tables

    page.print(f"[bold]{why.scenario}{f': {why.what}' if why.what else ''}[/]")
    page.print(bullets(why.says))
    for title, rows in tables(why):
        if narrow():
            rows = [{k: v for k, v in row.items() if k not in ("it says", "")} for row in rows]
        page.print()
        page.print(rows_table(rows, title))
    if why.worths:
        footnotes(SURE)

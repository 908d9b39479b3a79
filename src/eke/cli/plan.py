"""`eke plan`: who does what on this stock, how far that is from the best possible, and what a chip is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from eke.cli.output import Format, Output, page, rows_table, talk
from eke.cli.output import show as show_as

if TYPE_CHECKING:
    from eke.plan.plan import Plan
    from eke.plan.scenario import Scenario


WIDE = 180
"""Columns of tables that go into a file or a pipe."""


def plan(
    scenario: Annotated[Path, typer.Argument(help="A scenario file: what you own, what you owe.")],
    output: Output = Format.table,
    save: Annotated[Path | None, typer.Option(help="Write the plan file that `eke up` runs.")] = None,
    best_effort: Annotated[
        bool,
        typer.Option("--best-effort", help="When not all promises can be kept, plan what can be reached, by priority."),
    ] = False,
) -> None:
    """Plan a fleet: which chips train, which serve, with which settings; with a proven bound and the price of a chip.

    Exit status 2 when not all promises can be kept together; the answer then says why, and what would make them hold.
    """
    from eke.plan import load

    plan = made(load(scenario), best_effort=best_effort)
    if save is not None:
        plan.write(save)
    print_plan(plan, output)
    if save is not None:
        talk.print(f"saved {save}")
    if not plan.feasible:
        raise typer.Exit(2)


def made(scenario: Scenario, *, best_effort: bool) -> Plan:
    """The plan of a scenario, with a word of progress on a terminal."""
    from eke.plan import make

    if not talk.is_terminal:
        return make(scenario, best_effort=best_effort)
    with talk.status("reading the scenario") as status:
        return make(scenario, best_effort=best_effort, progress=lambda text: status.update(f"{text} …"))


def print_plan(made: Plan, output: Format = Format.table) -> None:
    """Print a plan: for people its pools, promises, recipes and reasons."""
    from eke.plan import show

    rows = [{**_scalars(p), **p.recipe, **p.capacity} for p in made.placements]
    if output is not Format.table:
        show_as(made.to_dict(), _even(rows), output)
        return
    out = page if page.is_terminal else Console(width=WIDE, highlight=False)
    out.print(f"[bold]{show.headline(made)}[/]", soft_wrap=True)
    for title, of in (
        ("Who does what", show.pools),
        ("What is promised", show.promises),
        ("With which recipes", show.placements),
    ):
        if found := of(made):
            out.print()
            out.print(rows_table(found, title))
    _why(made)


def _why(made: Plan) -> None:
    if made.infeasible_because:
        page.print("\n[bold]Not everything holds together[/]")
    for conflict in made.infeasible_because:
        page.print(
            f"  [red]{', '.join(conflict.demands)}[/] on {', '.join(conflict.pools)}: {conflict.reason}", soft_wrap=True
        )
        for i, repair in enumerate(conflict.repairs):
            page.print(f"    {'this would do:' if i == 0 else 'or:          '} {repair}", soft_wrap=True)
        if not conflict.repairs:
            page.print("    no single change of pool, rate, deadline or latency makes it hold", soft_wrap=True)
    notes = [*made.notes, *(f"{w.name}: {w.note}." for w in made.workloads if w.note)]
    if notes:
        page.print()
    for note in notes:
        page.print(f"- {note}", soft_wrap=True)
    if made.pools and made.objective.value is not None:
        workload = made.workloads[0].price_unit if made.workloads else ""
        page.print(f"[dim]price of a pool: {made.pools[0].price_unit}; of a workload: {workload}[/]", soft_wrap=True)
    took = made.seconds
    page.print(f"[dim]recipes {took['recipes']:.1f} s, solver {took['solve']:.1f} s[/]", soft_wrap=True)


def _scalars(placement: Any) -> dict[str, Any]:
    names = (
        "workload",
        "kind",
        "role",
        "pool",
        "slot",
        "replicas",
        "chips_per_replica",
        "chips",
        "model",
        "variant",
        "share",
        "basis",
    )
    return {name: getattr(placement, name) for name in names}


def _even(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of equal keys, those every row has first."""
    names = dict.fromkeys(k for row in sorted(rows, key=len, reverse=True) for k in row)
    return [{name: row.get(name) for name in names} for row in rows]

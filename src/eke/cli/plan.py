"""`eke plan`: who does what on this stock, how far that is from the best possible, and what a chip is worth."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eke.cli.output import (
    PICTURES,
    ChartFile,
    Drawing,
    answer,
    bullets,
    chartable,
    flat,
    footnotes,
    narrow,
    page,
    rows_table,
    talk,
    told,
)
from eke.errors import EkeError, InputError

if TYPE_CHECKING:
    from eke.plan.difference import Difference
    from eke.plan.pareto import Kind
    from eke.plan.pins import Pin
    from eke.plan.plan import Plan
    from eke.plan.scenario import Scenario
    from eke.plan.serving import Seen


class Against(StrEnum):
    """What `--pareto` takes."""

    headroom = "headroom"
    latency = "latency"


def plan(
    scenario: Annotated[Path, typer.Argument(help="A scenario file: what you own, what you owe.")],
    output: Annotated[Drawing, typer.Option("-o", "--output", help="How to print; png, svg: only with --pareto.")] = (
        Drawing.table
    ),
    save: Annotated[Path | None, typer.Option(help="Write the plan file that `eke up` runs.")] = None,
    best_effort: Annotated[
        bool,
        typer.Option("--best-effort", help="When not all promises can be kept, plan what can be reached, by priority."),
    ] = False,
    diff: Annotated[
        Path | None, typer.Option("--diff", metavar="OLD", help="Print what would change from this plan file.")
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(
            "--pin", "--fix", metavar="WORKLOAD[@POOL]", help="Keep this as it is in --from; @POOL: all of it."
        ),
    ] = None,
    old: Annotated[
        Path | None, typer.Option("--from", metavar="OLD", help="The plan file that --pin holds to.")
    ] = None,
    pareto: Annotated[
        Against | None,
        typer.Option(help="A curve: the objective against more requests, or chips against latency."),
    ] = None,
    chart: ChartFile = None,
    watch: Annotated[bool, typer.Option("--watch", help="Plan anew whenever the file changes; print what differs.")] = (
        False
    ),
) -> None:
    """Plan a fleet: which chips train, which serve, with which settings; with a proven bound and the price of a chip.

    Exit status 2 when not all promises can be kept together (the answer then says why, and what would make them hold),
    and with --diff also when changes are pending.
    """
    from eke.plan import load, read

    if pareto is not None:
        chartable(chart)
        _curve(load(scenario), pareto.value, output, chart)
        return
    if chart is not None:
        raise InputError("a plan has no chart, a curve has", remedy="--pareto headroom --chart FILE, or eke report")
    held = _pins(pin or [], old)
    before = read(diff) if diff else None
    seen: Seen = {}
    plan = made(load(scenario), best_effort=best_effort, pinned=held, seen=seen)
    if save is not None:
        plan.write(save)
    pending = False
    if before is not None and plan.placements:
        pending = print_difference(plan.diff(before), output)
    else:
        print_plan(plan, output)
    if save is not None:
        talk.print(f"saved {save}")
    if watch:
        _watch(scenario, plan, save=save, best_effort=best_effort, pinned=held, seen=seen)
    if not plan.feasible or pending:
        raise typer.Exit(2)


def _pins(names: list[str], old: Path | None) -> tuple[Pin, ...]:
    """What `--pin` names, as it is in the plan of `--from`."""
    from eke.plan import pins, read

    if bool(names) != (old is not None):
        raise InputError("--pin and --from go together", remedy="--pin WORKLOAD --from plan.json")
    before = read(old) if old else None
    found: list[Pin] = []
    for name in names:
        workload, _, pool = name.partition("@")
        assert before is not None
        found += pins.of(before, [workload] if workload else None, [pool] if pool else None)
    return tuple(found)


def print_difference(found: Difference, output: Drawing) -> bool:
    """Print what would change; whether anything would."""
    if output is Drawing.table:
        page.print(bullets(found.says))
        if found.changes:
            page.print()
            page.print(rows_table(found.rows()))
    else:
        flat(found.to_dict(), [asdict(c) for c in found.changes], _data(output))
    return found.pending


def _curve(scenario: Scenario, kind: Kind, output: Drawing, chart: Path | None) -> None:
    from eke.plan import pareto

    found = told(lambda say: pareto.curve(scenario, kind, say))

    def table() -> None:
        page.print(f"[bold]{pareto.headline(found)}[/]", soft_wrap=True)
        page.print()
        page.print(rows_table(found.table()))
        footnotes(pareto.SURE)

    answer(output, chart, table=table, document=found.to_dict, rows=found.rows, chart=found.chart)


def _watch(
    path: Path, plan: Plan, *, save: Path | None, best_effort: bool, pinned: tuple[Pin, ...], seen: Seen
) -> None:  # fmt: skip
    """Plan anew whenever the scenario changes, until Ctrl-C; mistakes in it are said, and the last plan stays."""
    from watchfiles import watch

    from eke.plan import load

    talk.print(f"watching {path}; Ctrl-C ends")
    for changes in watch(path.absolute().parent, recursive=False):
        if path.absolute() not in {Path(name) for _, name in changes}:
            continue
        try:
            new = made(load(path), best_effort=best_effort, pinned=pinned, seen=seen)
        except EkeError as error:
            talk.print(f"[red bold]error[/] {error}", soft_wrap=True)
            continue
        page.print()
        if new.placements:
            print_difference(new.diff(plan), Drawing.table)
            plan = new
        else:
            print_plan(new)
        if save is not None and new.placements:
            new.write(save)


def _data(output: Drawing) -> Drawing:
    if output in PICTURES:
        raise InputError(f"there is no {output.value} of this", remedy="-o table, json, csv or yaml")
    return output


def made(
    scenario: Scenario, *, best_effort: bool, pinned: tuple[Pin, ...] = (), seen: Seen | None = None
) -> Plan:  # fmt: skip
    """The plan of a scenario, with a word of progress on a terminal."""
    from eke.plan import make

    return told(lambda say: make(scenario, best_effort=best_effort, progress=say, pinned=pinned, seen=seen))


def print_plan(made: Plan, output: Drawing = Drawing.table) -> None:
    """Print a plan: for people its pools, promises, recipes and reasons."""
    from eke.plan import show

    if output is Drawing.html:
        typer.echo(show.document(made))
        return
    if output is not Drawing.table:
        flat(made.to_dict(), made.to_frame().rows, _data(output))
        return
    tight = narrow()
    page.print(f"[bold]{show.headline(made)}[/]", soft_wrap=True)
    use, promised = show.pools(made), show.promises(made)
    for title, rows in (
        ("Who does what", show.unpriced(use) if tight else use),
        ("What is promised", show.unpriced(promised) if tight else promised),
        ("What it is worth", show.prices(made) if tight else []),
        ("With which recipes", show.placements(made, narrow=tight)),
    ):
        if rows:
            page.print()
            page.print(rows_table(rows, title))
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
    if made.together:
        page.print("  Each mends what it stands under, not the rest. Everything holds with all changes of one line:")
    for changes in made.together:
        page.print(f"    - {'; '.join(changes)}", soft_wrap=True)
    if made.infeasible_because and not made.placements:
        page.print("  As it is, --best-effort plans what can be reached, by priority.")
    from eke.plan import energy, show

    notes = [*made.notes, *(f"{w.name}: {w.note}." for w in made.workloads if w.note)]
    if notes:
        page.print()
        page.print(bullets(notes))
    said = []
    if made.pools and made.objective.value is not None:
        workload = made.workloads[0].price_unit if made.workloads else ""
        said = [f"Price of a pool: {made.pools[0].price_unit}; of a workload: {workload}.", show.SURE]
    took = made.seconds
    worked = f"Recipes took {took['recipes']:.1f} s, the solver {took['solve']:.1f} s."
    footnotes(*said, *filter(None, [energy.line(made)]), worked, based=bool(made.placements))

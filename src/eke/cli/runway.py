"""`eke runway`: how many generations the stock will train beside its service, and what would lengthen that."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eke.cli.output import (
    PICTURES,
    ChartFile,
    Drawing,
    Drawn,
    answer,
    chartable,
    footnotes,
    narrow,
    page,
    rows_table,
    told,
)
from eke.errors import InputError

if TYPE_CHECKING:
    from eke.plan.runway import Levers, Runway


def runway(
    scenario: Annotated[Path, typer.Argument(help="A scenario file with a `generations` section.")],
    output: Drawn = Drawing.table,
    levers: Annotated[
        bool, typer.Option("--levers", help="What would lengthen it most: software, shifts of work, chips, dates.")
    ] = False,
    chips: Annotated[int, typer.Option(help="With --levers: how many more chips of each kind.")] = 512,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="With --levers: a catalogue chip to ask about; may be given several times."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Futures to draw.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    horizon: Annotated[
        str | None, typer.Option(help="How far to look, instead of the scenario's: '36 mo', '5 y'.")
    ] = None,
    chart: ChartFile = None,
) -> None:
    """How many generations of the model this stock will train while service keeps its promises; with dates, chances
    and what binds.

    Months are drawn many times: chips die and arrive, serving grows, jobs fail, speeds lie within the cost model's
    intervals.
    """
    from eke import units
    from eke.plan import load
    from eke.plan.runway import levers as lengthen
    from eke.plan.runway import make

    chartable(chart)
    read = load(scenario)
    horizon_s = None if horizon is None else units.read("seconds", horizon, "--horizon")
    if levers:
        if chart is not None or output in PICTURES:
            raise InputError("there is no chart of levers", remedy="-o table, json, csv or yaml; no --chart")
        ask = partial(lengthen.rank, read, samples=samples, seed=seed, horizon_s=horizon_s, chips=chips)
        print_levers(told(lambda say: ask(kinds=kind or (), progress=say)), output)
        return
    made = told(lambda say: make(read, samples=samples, seed=seed, horizon_s=horizon_s, progress=say))
    print_runway(made, output, chart)


def print_runway(made: Runway, output: Drawing = Drawing.table, chart: Path | None = None) -> None:
    """Print a runway: for people its generations, until when the stock suffices, and what was assumed."""
    from eke.plan.runway import chart as fan
    from eke.plan.runway import tell

    answer(
        output, chart, table=lambda: _print(made), document=made.to_dict, rows=lambda: tell.flat(made),
        chart=lambda: fan.draw(made),
    )  # fmt: skip


def _print(made: Runway) -> None:
    from eke.plan.runway import tell

    page.print(f"[bold]{tell.headline(made)}[/]", soft_wrap=True)
    dates, trained = tell.generations(made), tell.trained(made)
    if not narrow():
        known = [row.pop("basis") for row in dates]
        dates = [{**a, **b, "basis": known} for a, b, known in zip(dates, trained, known, strict=True)]
    for title, rows in (
        ("Generations: days from now, median and p10–p90", dates),
        ("Who trains them", trained if narrow() else []),
        ("How long the stock suffices", tell.suffices(made)),
        ("Day each generation ends, should chips fail more or less often", tell.failures(made)),
    ):
        if rows:
            page.print()
            page.print(rows_table(rows, title))
    page.print()
    for g in made.generations:
        if g.pools or not g.chance:
            page.print(f"- {g.name}: what binds is {g.binds}.", soft_wrap=True, markup=False)
    page.print(f"- First to run out: {made.first_to_run_out}.", soft_wrap=True, markup=False)
    footnotes(
        *made.assumptions, *filter(None, [tell.beside_the_plan(made)]),
        f"{made.samples:,} futures, seed {made.seed}; a month's training is overstated by {made.tolerance:.2%} in the "
        f"mean; {made.seconds['total']:.0f} s.",
    )  # fmt: skip


def print_levers(made: Levers, output: Drawing = Drawing.table) -> None:
    """Print what would lengthen a runway, most first."""
    from eke.plan.runway import tell

    answer(
        output, None, table=lambda: _print_levers(made), document=made.to_dict, rows=lambda: tell.flat_levers(made),
        chart=None,
    )  # fmt: skip


def _print_levers(made: Levers) -> None:
    from eke.plan.runway import tell

    page.print(f"[bold]{tell.levers_headline(made)}[/]", soft_wrap=True)
    for title, rows in tell.levers(made):
        page.print()
        page.print(rows_table(rows, title))
    footnotes(*made.notes)

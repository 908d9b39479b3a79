"""`eke usage`: what was served, to whom, and when."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from eke.cli.output import Format, Output, rows_table, show, talk

FORMAT = "eke.usage/1"


def usage(
    run: Annotated[str | None, typer.Argument(help="Name or folder of a run; default: the one that is up.")] = None,
    by: Annotated[str, typer.Option(help="Any of model, app, task, status, minute, hour, day; comma between.")] = (
        "model,app,day"
    ),
    since: Annotated[str | None, typer.Option(help="Only the last while: 36 h, 7 d.")] = None,
    output: Output = Format.table,
) -> None:
    """Show requests, tokens and seconds from the ledger. Days are those of UTC."""
    from eke.runtime.ledger import Ledger
    from eke.runtime.run import find
    from eke.units import read

    folder = find(run)
    start = time.time() - read("seconds", since, "--since") if since else None
    groups = [word.strip() for word in by.split(",") if word.strip()]
    sums = [asdict(row) for row in Ledger(folder).usage(groups, start)]
    rows = [row.pop("key") | row for row in sums]
    document = {"format": FORMAT, "run": folder.name, "by": groups, "since": start, "usage": rows}
    if output is Format.table and not rows:
        talk.print("no requests yet")
    else:
        show(document, rows, output, rows_table([_short(row) for row in rows]))


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row that fits a terminal: tokens without the word, what is under way and seconds left to the other formats."""
    return {key.removesuffix("_tokens"): value for key, value in row.items() if key not in ("running", "seconds")}

"""`eke app`: what the stock is good for. One verb an application; all of them speak to the gateway only."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eke.cli.output import talk

if TYPE_CHECKING:
    from eke.apps.meeting.minutes import Minutes
    from eke.apps.meeting.transcript import Transcript

app = typer.Typer(help="Applications on the served models.", no_args_is_help=True)


class Paper(StrEnum):
    """What `eke app meeting -o` takes."""

    md = "md"
    json = "json"
    vtt = "vtt"


BaseUrl = Annotated[str, typer.Option("--base-url", envvar="EKE_URL", help="Where the gateway is.")]
Model = Annotated[str | None, typer.Option("--model", help="Which served model; default: the first.")]


@app.callback()
def _app() -> None:
    """Applications on the served models."""


@app.command()
def meeting(
    transcript: Annotated[Path, typer.Argument(help="VTT, SRT, JSON, or text with lines such as `Ann: Good morning.`")],
    output: Annotated[Paper, typer.Option("-o", "--output", help="How to print.")] = Paper.md,
    base_url: BaseUrl = "http://127.0.0.1:8400",
    model: Model = None,
) -> None:
    """Minutes of a meeting: summary, decisions, actions; owner and due date only if somebody said them."""
    from eke.apps.meeting import show
    from eke.apps.meeting.transcript import read

    minutes = asyncio.run(_minutes(read(transcript), base_url, model))
    typer.echo(show.FORMATS[output](minutes), nl=False)


async def _minutes(transcript: Transcript, base_url: str, model: str | None) -> Minutes:
    """Write the minutes, with a bar on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from eke.apps.client import Client
    from eke.apps.meeting.minutes import write

    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as bar:
        task = bar.add_task("cutting into parts", total=None)
        async with Client(base_url, app="meeting", model=model) as client:
            return await write(
                client, transcript, lambda done, of, what: bar.update(task, completed=done, total=of, description=what)
            )

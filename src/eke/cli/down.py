"""`eke down`: end everything of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from eke.cli.output import talk


def down(
    run: Annotated[str | None, typer.Argument(help="Name or folder of a run; default: the one that is up.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Kill at once, waiting for no checkpoint.")] = False,
) -> None:
    """Stop everything of a run: training writes its checkpoint, open requests are finished, nothing is left."""
    from eke.runtime.run import down as end
    from eke.runtime.run import find

    folder = find(run)
    with talk.status(f"stopping {folder.name}"):
        ended = end(folder, hurry=now)
    talk.print(f"{folder.name}: stopped {', '.join(ended)}" if ended else f"{folder.name}: nothing was running")

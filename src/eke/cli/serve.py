"""`eke serve`: the gateway and the console of a run, on one port. `eke up` starts it as one of the run's tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    run: Annotated[str | None, typer.Argument(help="A run, by name or folder; default: the one that is up.")] = None,
    port: Annotated[int, typer.Option(help="Where to listen.")] = 8400,
    host: Annotated[str, typer.Option(help="On which address; 0.0.0.0 for all.")] = "127.0.0.1",
) -> None:
    """Serve a run: /v1 for programs, / for people."""
    import uvicorn

    from eke.console import app as console
    from eke.gateway import app as gateway

    folder = _folder(run)
    served = gateway.build(folder, fallback=console.build(folder))
    uvicorn.run(served, host=host, port=port, log_level="warning", **gateway.SERVER)


def _folder(run: str | None) -> Path:
    """The folder given, which may still be empty; else the run of that name, or the one that is up."""
    from eke.runtime.run import find

    return Path(run).absolute() if run and Path(run).is_dir() else find(run)

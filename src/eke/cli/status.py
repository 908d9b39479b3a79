"""`eke status`: what is running now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from eke.cli.output import Format, Output, page, rows_table, show


def status(
    run: Annotated[str | None, typer.Argument(help="Name or folder of a run; default: the one that is up.")] = None,
    output: Output = Format.table,
) -> None:
    """Show what is running now: tasks, cores, restarts, requests and training."""
    from eke.runtime import status as runtime
    from eke.runtime.run import find

    folder = find(run)
    document = runtime.read(folder)
    if output is Format.table:
        page.print(f"[bold]{document['run']}[/] {document['state']}  [dim]{document['folder']}[/]")
        page.print(rows_table([_row(task) for task in document["tasks"]]))
        page.print(_words(document))
    else:
        show(document, [_flat(task) for task in document["tasks"]], output)


def _row(task: dict[str, Any]) -> dict[str, Any]:
    from eke.units import show_bytes, show_seconds

    return {
        "task": task["name"],
        "status": task["status"] + (f", again in {task['retry_in_s']:.0f} s" if task["retry_in_s"] else ""),
        "for": show_seconds(task["seconds"]) if task["seconds"] else "",
        "model": task["model"] or "",
        "cores": ",".join(map(str, task["cpus"])) or "any",
        "port": task["port"] or "",
        "pid": task["pid"] or "",
        "restarts": task["restarts"],
        "cpu": show_seconds(task["cpu_s"]) if task["cpu_s"] else "",
        "memory": show_bytes(task["rss_bytes"]) if task["rss_bytes"] else "",
        "why": task["error"] or "",
    }


def _flat(task: dict[str, Any]) -> dict[str, Any]:
    return {**task, "cpus": " ".join(map(str, task["cpus"]))}


def _words(document: dict[str, Any]) -> str:
    total, minute, waiting = document["requests"], document["requests"]["last_minute"], document["pressure"]["waiting"]
    return (
        f"{total['requests']} requests ({total['running']} running, {waiting} waiting, {total['failed']} failed, "
        f"{total['cancelled']} cancelled), {total['prompt_tokens']} prompt and {total['output_tokens']} output tokens; "
        f"last minute: {minute['requests']} requests, {minute['output_tokens']} output tokens"
    )

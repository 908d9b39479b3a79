"""`eke report`: one page to decide by, and the detail, as one file that opens offline and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eke.cli.output import talk

if TYPE_CHECKING:
    from eke.plan.plan import Plan
    from eke.report import Facts


def report(
    plan: Annotated[Path, typer.Argument(help="A plan file (eke plan SCENARIO --save plan.json), or a scenario.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")] = Path("report.html"),
    png: Annotated[Path | None, typer.Option(help="Also write the charts as PNG into this folder.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out explain, savings, worth or runway; each takes a minute or so. May be given again."
        ),
    ] = None,
    levers: Annotated[
        bool, typer.Option("--levers", help="Also what would lengthen the runway; takes minutes.")
    ] = False,
) -> None:
    """A report for those who decide: who does what, bound, prices, what software saves, how long the
    stock lasts, risks and how good the numbers are on one page; then recipes, promises, reasons, chips to keep and to
    buy, assumptions and sources.

    One HTML file: no script, nothing loaded; it prints on A4.
    """
    from eke.charts import altair_module
    from eke.errors import InputError
    from eke.report import html, write_all

    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"{str(output)!r}: a report is an HTML page", remedy="name it report.html; a browser prints it to PDF"
        )
    altair_module()  # said now rather than after a minute of planning
    facts = found(plan, (*(without or ()), *(() if levers else ("levers",))))
    _write(output, html(facts))
    talk.print(f"wrote {output}")
    if png is not None:
        talk.print(f"drew {', '.join(p.name for p in write_all(facts, png))} in {png}")


def found(path: Path, without: tuple[str, ...]) -> Facts:
    """What the report speaks of, with a word of progress on a terminal."""
    from eke.report import check, gather

    check(without)
    plan = _plan(path)
    if not talk.is_terminal:
        return gather(plan, without=without)
    with talk.status("reading the plan") as status:
        return gather(plan, without=without, progress=lambda text: status.update(f"{text} …"))


def _plan(path: Path) -> Plan:
    from eke.cli.plan import made
    from eke.plan import load, read

    return read(path) if path.suffix == ".json" else made(load(path), best_effort=True)


def _write(path: Path, text: str) -> None:
    """Write the file, whole or not at all."""
    from eke.errors import InputError

    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        why = error.strerror or ""
        raise InputError(f"{str(path)!r} cannot be written", why=why, remedy="choose another place") from error

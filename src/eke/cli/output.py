"""How every reading verb prints: a table for people, JSON, CSV or YAML for scripts. Data on stdout, talk on stderr."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eke.errors import InputError

T = TypeVar("T")
NARROW = 130
"""Columns below which tables leave out what a narrow page has no room for."""
WIDE = 200  # columns where no terminal says how many it has: a file or a pipe should not fold words

talk = Console(stderr=True, highlight=False)
page = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)


class Format(StrEnum):
    """What `-o` takes."""

    table = "table"
    json = "json"
    csv = "csv"
    yaml = "yaml"


class Drawing(StrEnum):
    """What `-o` takes where there is a chart too."""

    table = "table"
    json = "json"
    csv = "csv"
    yaml = "yaml"
    html = "html"
    png = "png"
    svg = "svg"


PICTURES = (Drawing.html, Drawing.png, Drawing.svg)
Output = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]
Drawn = Annotated[Drawing, typer.Option("-o", "--output", help="How to print; html, png, svg: the chart.")]
ChartFile = Annotated[
    Path | None, typer.Option("--chart", help="Also draw the chart, into a file that ends in .html, .png or .svg.")
]


def narrow() -> bool:
    """Whether the page has no room for all that tables could say."""
    return page.width < NARROW


def rows_table(rows: Sequence[Mapping[str, Any]], title: str = "") -> Table:
    """Rows of equal keys as a table; numbers to the right, the first column and numbers never folded. On a narrow page
    a basis is a letter (`footnotes` say which).
    """
    if narrow() and rows and "basis" in rows[0]:
        from eke.plan.interval import initials

        rows = [{**row, "basis": initials(row["basis"] or "")} for row in rows]
    cells = [["" if v is None else str(v) for v in row.values()] for row in rows]
    heads = [key.replace("_", " ") for key in (rows[0] if rows else ())]
    numeric = [all(isinstance(r[key], (int, float)) for r in rows) for key in (rows[0] if rows else ())]
    # Names, numbers and bars are not cut in two.
    whole = [place == 0 or numeric[place] or not head for place, head in enumerate(heads)]
    gap, widths = _widths(heads, cells, whole)
    table = Table(
        title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False,
        padding=(0, gap - 1, 0, 1), collapse_padding=False,
    )  # fmt: skip
    for head, right, one, width in zip(heads, numeric, whole, widths, strict=True):
        table.add_column(head, justify="right" if right else "left", overflow="fold", no_wrap=one, width=width)
    for row in cells:
        table.add_row(*map(escape, row))
    return table


def _widths(
    heads: Sequence[str], cells: Sequence[Sequence[str]], whole: Sequence[bool]
) -> tuple[int, list[int | None]]:
    """Blanks between columns and how wide each is, so that what must wrap does so between words; None: as it likes."""
    texts = [[head, *column] for head, column in zip(heads, zip(*cells, strict=True), strict=True)] if cells else []
    full = [max(map(cell_len, column)) for column in texts]
    least = [
        n if one else max(cell_len(word) for text in column for word in text.split(" "))
        for n, one, column in zip(full, whole, texts, strict=True)
    ]
    for gap in (2, 1):
        room = page.width - gap * (len(full) - 1)
        if sum(full) <= room:
            return gap, [None] * len(heads)
        if (spare := room - sum(least)) >= 0:
            widths = list(least)
            wishes = sorted(range(len(full)), key=lambda i: full[i] - least[i])
            for left, i in zip(range(len(full), 0, -1), wishes, strict=True):  # who wishes for little gets it all
                widths[i] += min(full[i] - least[i], spare // left)
                spare -= widths[i] - least[i]
            return gap, list(widths)
    return 2, [None] * len(heads)


def footnotes(*lines: str, based: bool = True) -> None:
    """Print what a reader of the tables above may want to know, small; on a narrow page also the letters of a basis."""
    from eke.plan.interval import LEGEND

    page.print()
    for line in (*([LEGEND] if based and narrow() else []), *lines):
        page.print(f"[dim]- {escape(line)}[/]", soft_wrap=True)


def bullets(lines: Sequence[str]) -> Table:
    """Sentences, one below the other, their further lines indented."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        grid.add_row("-", escape(line))
    return grid


def show(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], output: Format, *tables: Any) -> None:
    """Print `document` (json, yaml), its flat `rows` (csv), or the `tables` (default: the rows as one)."""
    if output is Format.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201
    elif output is Format.yaml:
        print(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True), end="")  # noqa: T201
    elif output is Format.csv:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        for table in tables or (rows_table(rows),):
            page.print(table)


def chartable(file: Path | None) -> None:
    """Refuse a chart's file now rather than after a minute's work.

    Raises:
        InputError: its name ends in no picture's.
    """
    from eke import charts

    if file is not None:
        charts.checked(file)
        charts.altair_module()


def answer(
    output: Drawing, file: Path | None, *, table: Callable[[], None], document: Callable[[], Mapping[str, Any]],
    rows: Callable[[], Sequence[Mapping[str, Any]]], chart: Callable[[], Any] | None,
) -> None:  # fmt: skip
    """Print an answer as every verb with a chart does: `table` for people, a document or its flat `rows` for a script,
    the `chart` as a page or picture; and draw it into `file` as well.

    Raises:
        InputError: a picture of what has none, or on a terminal.
    """
    from eke import charts

    if (output in PICTURES or file is not None) and chart is None:
        kind = output.value if output in PICTURES else "chart"
        raise InputError(f"there is no {kind} of this", remedy="-o table, json, csv or yaml")
    made = chart() if chart is not None and (output in PICTURES or file is not None) else None
    if file is not None:
        charts.write(made, file)
    if output in PICTURES:
        draw(made, output)
    elif output is Drawing.table:
        table()
    else:
        show(document(), rows(), Format(output.value))
    if file is not None:
        talk.print(f"drew {file}")


def flat(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], output: Drawing) -> None:
    """Print a document, or its flat rows (csv), for a script."""
    show(document, rows, Format(output.value))


def draw(chart: Any, output: Drawing) -> None:
    """Print a chart as a page or a picture.

    Raises:
        InputError: a picture on a terminal.
    """
    from eke import charts

    if sys.stdout.isatty():
        file = f"chart.{output.value}"
        raise InputError(f"{output.value} is not for a terminal", remedy=f"-o {output.value} > {file}")
    sys.stdout.buffer.write(charts.drawn(chart, output.value))
    sys.stdout.buffer.flush()


def told(work: Callable[[Callable[[str], None] | None], T]) -> T:
    """Do it, with a word of progress on a terminal."""
    if not talk.is_terminal:
        return work(None)
    with talk.status("reading the scenario") as status:
        return work(lambda text: status.update(f"{text} …"))

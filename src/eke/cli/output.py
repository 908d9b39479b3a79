"""How every reading verb prints: a table for people, JSON, CSV or YAML for scripts. Data on stdout, talk on stderr."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

talk = Console(stderr=True, highlight=False)
page = Console(highlight=False)


class Format(StrEnum):
    """What `-o` takes."""

    table = "table"
    json = "json"
    csv = "csv"
    yaml = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]


def rows_table(rows: Sequence[Mapping[str, Any]], title: str = "") -> Table:
    """Rows of equal keys as a table; numbers to the right."""
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for key in rows[0] if rows else ():
        numeric = all(isinstance(r[key], (int, float)) for r in rows)
        table.add_column(key.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    return table


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

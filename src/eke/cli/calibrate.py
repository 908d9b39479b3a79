"""`eke calibrate`: what chips really do, measured here or taken from your own records; later plans rest on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eke import units
from eke.cli.output import Format, Output, rows_table, show, talk

if TYPE_CHECKING:
    from eke.cost.calibrate.devices import Place
    from eke.cost.calibrate.runs import Outcome
    from eke.cost.calibration import Calibration, Figures, Fit
    from eke.fleet.chip import Chip

app = typer.Typer(help="Measure the chips at hand, or fit your own records; later plans and estimates use it.")

Dry = Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")]


@app.callback(invoke_without_command=True)
def calibrate(
    context: typer.Context,
    records: Annotated[
        Path | None, typer.Option("--from", help="Fit a CSV of your own serving or training runs instead of measuring.")
    ] = None,
    chip: Annotated[str | None, typer.Option(help="Which chip, if there are several; `here`: this CPU.")] = None,
    engine: Annotated[str | None, typer.Option(help="With --from: which engine or framework, if several.")] = None,
    device: Annotated[
        str | None, typer.Option(help="torch's name of the device to measure: cuda:1, npu, cpu …")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Time for kernels; links and start come on top.")] = 120.0,
    dry_run: Dry = False,
    output: Output = Format.table,
) -> None:
    """Measure the chips at hand: products per precision, memory, attention, links between chips.

    A CPU needs nothing installed for its peaks; shares of them, and every accelerator, are measured through torch.
    """
    if context.invoked_subcommand is not None:
        return
    if records is not None:
        _fit(records, chip, engine, dry_run=dry_run, output=output)
    else:
        _measure(chip, device, seconds, dry_run=dry_run, output=output)


def _measure(wanted: str | None, device: str | None, seconds: float, *, dry_run: bool, output: Format) -> None:
    from importlib.util import find_spec

    from eke.cost import calibration
    from eke.cost.calibrate import cores, devices
    from eke.fleet import detect

    detected = [pool.chip for pool in detect.fleet().pools]
    cpu = next((c for c in detected if c.kind == "cpu" and wanted in (None, "here", c.name)), None)
    found = calibration.Calibration(cpu.name if cpu else "")
    if cpu is not None and device in (None, "cpu"):
        with _progress() as told:
            figures = cores.measure(cpu, told)
        found = replace(found, figures=figures) if dry_run else cores.keep(cpu, figures)
        detected = [cores.apply(c, figures) if c is cpu else c for c in detected]
    if cpu is None or find_spec("torch") is not None:
        place = devices.find(detected, None if cpu else wanted and _name(wanted), device)
        fit = _kernels(place, seconds)
        found = replace(calibration.load(place.chip.name) or found, chip=place.chip.name, kernels=fit)
        if not dry_run:
            calibration.save(found)
    talk.print("nothing is written" if dry_run else f"written to {calibration.path(found.chip)}")
    _show(found, output)


def _fit(file: Path, chip: str | None, engine: str | None, *, dry_run: bool, output: Format) -> None:
    from eke.cost import calibration
    from eke.cost.calibrate import records, runs

    reading = records.read(file, chip, engine, _known)
    words = f" --chip {chip}" * (chip is not None) + f" --engine {engine}" * (engine is not None)
    outcome = runs.fit(reading, f"eke calibrate --from {file.name}{words}", str(file.resolve()))
    for line in records.told(outcome.rejected):
        talk.print(f"not used: {line}", markup=False, soft_wrap=True)
    written = outcome.better and not dry_run
    if written:
        talk.print(f"written to {calibration.save(outcome.kept())}")
    document = {"format": "eke.calibration-fit/1", **outcome.document(), "written": written}
    rows = _outcome_rows(outcome)
    title = f"{reading.chip.name}, {reading.kind} under {reading.engine}: {outcome.used} rows used"
    tables = [title, rows_table(rows), "", rows_table(_error_rows(outcome.fit, "held-out rows"))]
    show(document, rows, output, *tables)
    if not outcome.better:
        talk.print("held-out rows are predicted no better than before: nothing is written")
        raise typer.Exit(2)
    if dry_run:
        talk.print("nothing is written (--dry-run)")


def _known(name: str) -> Chip:
    """A chip of the catalogue, or this machine's CPU, by the core."""
    from eke.cost import calibrate as calibrating
    from eke.fleet import catalogue
    from eke.fleet.detect import cpu

    here = cpu.chip()
    if name.casefold() in ("here", here.name):
        return calibrating.ensure(here).core()
    return catalogue.chip(name)


def _outcome_rows(outcome: Outcome) -> list[dict[str, Any]]:
    now = _flat(outcome.fit.coefficients)
    return [{"coefficient": name, "before": was, "now": now[name]} for name, was in _flat(outcome.before).items()]


def _flat(coefficients: Mapping[str, Any]) -> dict[str, float]:
    """Coefficients by name; entries of tables as `gemm bf16`."""
    tables = {n: v if isinstance(v, Mapping) else {"": v} for n, v in coefficients.items()}
    return {f"{n} {entry}".strip(): value for n, table in tables.items() for entry, value in table.items()}


def _kernels(place: Place, seconds: float) -> Fit:
    from eke.cost import profile
    from eke.cost.calibrate import devices, shares

    with _progress() as told:
        timings = devices.measure(place, seconds, told)
    return shares.fit(place, profile.find(place.chip, "vllm", own=None), timings, "eke calibrate")


@app.command("show")
def show_calibration(
    chip: Annotated[str | None, typer.Argument(help="A chip, or `here`; default: all that were calibrated.")] = None,
    output: Output = Format.table,
) -> None:
    """What was calibrated here: when, from what, with which error before and after."""
    from eke.cost import calibration
    from eke.errors import InputError

    if chip is None:
        rows = [row for found in calibration.every() for row in _parts(found)]
        document = {"format": "eke.calibrations/1", "calibrations": [c.document() for c in calibration.every()]}
        if not rows and output is Format.table:
            talk.print("nothing was calibrated here yet: eke calibrate")
        show(document, rows, output)
        return
    found = calibration.load(_name(chip))
    if found is None:
        raise InputError(f"{_name(chip)} was never calibrated here", remedy="eke calibrate show")
    _show(found, output)


@app.command("remove")
def remove(chip: Annotated[str, typer.Argument(help="A chip, or `here`.")]) -> None:
    """Forget what was calibrated for a chip: predictions are again as shipped."""
    from eke.cost import calibration
    from eke.errors import InputError

    if not calibration.remove(_name(chip)):
        raise InputError(f"{_name(chip)} was never calibrated here", remedy="eke calibrate show")
    talk.print(f"removed {calibration.path(_name(chip))}")


def _name(chip: str) -> str:
    """A chip by the name that was typed: `here`, this CPU, one that was calibrated, or one of the catalogue."""
    from eke.cost import calibration
    from eke.fleet import catalogue, detect

    if chip == "here":
        return detect.fleet().pools[0].chip.name
    own = {c.chip.casefold(): c.chip for c in calibration.every()}
    return own.get(chip.casefold()) or catalogue.chip(chip).name


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """One line that says what is measured, on a terminal only."""
    if not talk.is_terminal:
        yield lambda _what, _done: None
        return
    with talk.status("measuring") as status:
        yield lambda what, done: status.update(f"measuring {what} ({done:.0%})")


def _parts(found: Calibration) -> list[dict[str, Any]]:
    """One row a part of a calibration."""
    fits = {"kernels": found.kernels} if found.kernels else {}
    fits |= {f"serving, {k}": v for k, v in found.serving.items()} | {
        f"training, {k}": v for k, v in found.training.items()
    }
    rows = [_part(found.chip, "peaks", found.figures.date, found.figures.command)] if found.figures else []
    return rows + [_part(found.chip, part, fit.date, fit.command, fit) for part, fit in fits.items()]


def _part(chip: str, part: str, date: str, command: str, fit: Fit | None = None) -> dict[str, Any]:
    errors = fit.errors.items() if fit else ()
    told = ", ".join(f"{kind} {_percent(e.before)} → {_percent(e.after)}" for kind, e in errors)
    return {
        "chip": chip, "part": part, "date": date, "points": fit.points if fit else "", "error": told, "by": command,
    }  # fmt: skip


def _show(found: Calibration, output: Format) -> None:
    fits = ([found.kernels] if found.kernels else []) + [*found.serving.values(), *found.training.values()]
    titles = (["kernels"] if found.kernels else []) + [*found.serving, *found.training]
    tables: list[Any] = [_about(found), rows_table(_figure_rows(found.figures)), ""] if found.figures else []
    rows: list[dict[str, Any]] = []
    for title, fit in zip(titles, fits, strict=True):
        coefficients = _coefficient_rows(fit)
        rows += [{"part": title, **row} for row in coefficients]
        where = ", ".join(f"{k} {v}" for k, v in fit.made_on.items())
        tables += [f"{found.chip}, {title}: {fit.date}, {where}", rows_table(coefficients), ""]
        tables += [rows_table(_error_rows(fit)), ""]
    flat = [{"part": "peaks", "coefficient": n, "value": f.value} for n, f in _values(found.figures).items()] + rows
    show(found.document(), flat, output, *tables)


def _about(found: Calibration) -> str:
    figures = found.figures
    return f"{found.chip}: {figures.host}, {figures.cores} cores, {figures.date}" if figures else found.chip


def _values(figures: Figures | None) -> Mapping[str, Any]:
    return figures.values if figures else {}


def _figure_rows(figures: Figures) -> list[dict[str, Any]]:
    rows = [
        {
            "figure": name, "all cores": _shown(name, f.value), "one core": _shown(name, f.one_core),
            "spread": units.show_fraction(f.spread),
        }
        for name, f in figures.values.items()
    ]  # fmt: skip
    return rows + [
        {"figure": name, "all cores": f"not measured: {why}", "one core": "", "spread": ""}
        for name, why in figures.skipped.items()
    ]


def _coefficient_rows(fit: Fit) -> list[dict[str, Any]]:
    return [{"coefficient": name, "value": value} for name, value in _flat(fit.coefficients).items()]


def _error_rows(fit: Fit, where: str = "") -> list[dict[str, Any]]:
    return [
        {
            "median error": f"{kind}, {where}" if where else kind, "points": e.points,
            "before": _percent(e.before), "now": _percent(e.after),
        }
        for kind, e in fit.errors.items()
    ]  # fmt: skip


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _shown(name: str, value: float) -> str:
    if name.endswith(".weights"):
        return f"{units.show_count(value)} weights/s"
    return units.show_bytes_per_s(value) if name == "memory_bandwidth" else units.show_flop_per_s(value)

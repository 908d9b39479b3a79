"""`eke calibrate`: measure this machine once, so that plans rest on what it really does."""

from __future__ import annotations

from typing import Annotated

import typer

from eke import units
from eke.cli.output import Format, Output, rows_table, show, talk


def calibrate(
    force: Annotated[bool, typer.Option("--force", help="Measure again, even if it was measured before.")] = False,
    output: Output = Format.table,
) -> None:
    """Measure products and memory bandwidth of this machine's cores, and the embedded engine, in about 20 seconds."""
    from dataclasses import asdict

    from eke.cost import calibrate as calibration
    from eke.fleet import detect

    chip = detect.fleet().pools[0].chip
    found = None if force else calibration.load(chip)
    if found is None:
        with talk.status("measuring") as status:
            found = calibration.measure(chip, lambda what, done: status.update(f"measuring {what} ({done:.0%})"))
        calibration.save(found, calibration.path(chip))
        talk.print(f"written to {calibration.path(chip)}")
    rows = [
        {
            "figure": name, "all cores": _shown(name, f.value), "one core": _shown(name, f.one_core),
            "spread": units.show_fraction(f.spread),
        }
        for name, f in found.figures.items()
    ]  # fmt: skip
    rows += [{"figure": name, "all cores": f"not measured: {why}", "one core": "", "spread": ""}
             for name, why in found.skipped.items()]  # fmt: skip
    title = f"{found.chip}: {found.host_cpu}, {found.cores} cores, {found.date}"
    show({"format": calibration.FORMAT, **asdict(found)}, rows, output, rows_table(rows, title))


def _shown(name: str, value: float) -> str:
    if name.endswith(".weights"):
        return f"{units.show_count(value)} weights/s"
    return units.show_bytes_per_s(value) if name == "memory_bandwidth" else units.show_flop_per_s(value)

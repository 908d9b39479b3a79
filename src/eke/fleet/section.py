"""A fleet as the `fleet:` section of a scenario, which reads back to the same fleet. It knows no file."""

from __future__ import annotations

from typing import Any

from eke.fleet.pool import Fleet, Pool


def section(fleet: Fleet) -> dict[str, Any] | str:
    """What to write under `fleet:`; a machine planned by its CPU is simply detected again."""
    if any(p.chip.kind == "cpu" for p in fleet.pools):
        return "detect"
    document: dict[str, Any] = {"pools": [_pool(p) for p in fleet.pools]}
    if fleet.links:
        document["links"] = [{"between": list(k.between), "bandwidth": _bandwidth(k.bandwidth)} for k in fleet.links]
    return document


def _pool(pool: Pool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": pool.name, "chip": pool.chip.name, "nodes": pool.nodes, "chips_per_node": pool.chips_per_node,
    }  # fmt: skip
    if pool.scale_out:
        row["scale_out"] = _bandwidth(pool.scale_out)
    if pool.available != 1.0:
        row["available"] = pool.available
    if pool.reserved:
        row["reserved"] = pool.reserved
    if pool.power_cap is not None:
        row["power_cap"] = f"{pool.power_cap / 1e3:.12g} kW"
    if pool.storage is not None:
        row["storage"] = f"{pool.storage / 1e9:.12g} GB/s"
    return row


def _bandwidth(bytes_per_s: float) -> str:
    """Networks are spoken of in bits: `200 Gb/s`."""
    return f"{bytes_per_s * 8 / 1e9:.12g} Gb/s"

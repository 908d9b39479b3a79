"""One vendor's YAML to chips. A figure is `[value with unit, source key, status]` and perhaps a note why this value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from eke import units
from eke.errors import InputError
from eke.figures import Figure, Precision, Status
from eke.fleet.chip import Chip

KINDS = {
    "memory": "bytes", "memory_bandwidth": "bytes_per_s", "scale_out": "bytes_per_s", "tdp": "watts",
}  # fmt: skip
_KEYS = {"architecture", "kind", "aliases", "reported", "relative", "engines", "flops", "scale_up", *KINDS}
_STATUSES: tuple[Status, ...] = get_args(Status)
_PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_DOMAIN = re.compile(r"(\d+) x (.+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A chip and the names under which its vendor's tool reports it."""

    chip: Chip
    reported: tuple[str, ...]


def vendor_entries(document: Mapping[str, Any]) -> list[Entry]:
    """All chips of one vendor's file."""
    return [_entry(name, raw, document) for name, raw in document["chips"].items()]


def _entry(name: str, raw: Mapping[str, Any], document: Mapping[str, Any]) -> Entry:
    if unknown := sorted(raw.keys() - _KEYS):
        raise InputError(f"{name}: unknown key {unknown[0]!r}", remedy=f"one of {', '.join(sorted(_KEYS))}")
    sources = document["sources"]
    figures = {k: _figure(f"{name}.{k}", raw[k], KINDS[k], sources) for k in KINDS if k in raw}
    for precisions, value in raw["flops"].items():
        figure = _figure(f"{name}.flops.{precisions}", value, "flop_per_s", sources)
        figures |= {f"flops.{_precision(name, p)}": figure for p in precisions.split(", ")}
    if "scale_up" in raw:
        figures |= _scale_up(name, raw["scale_up"], sources)
    return Entry(_chip(name, raw, document, figures), tuple(raw.get("reported", ())))


def _chip(name: str, raw: Mapping[str, Any], document: Mapping[str, Any], figures: dict[str, Figure]) -> Chip:
    value = {k: f.value for k, f in figures.items()}
    return Chip(
        name=name,
        vendor=document["vendor"],
        kind=raw.get("kind", document.get("kind", "gpu")),
        architecture=raw.get("architecture", ""),
        flops={p: value[f"flops.{p}"] for p in _PRECISIONS if f"flops.{p}" in value},
        memory=value["memory"],
        memory_bandwidth=value["memory_bandwidth"],
        scale_up_chips=int(value.get("scale_up_chips", 1)),
        scale_up=value.get("scale_up"),
        scale_out=value.get("scale_out"),
        tdp=value.get("tdp"),
        engines=tuple(raw.get("engines", document.get("engines", ()))),
        relative=raw.get("relative"),
        aliases=tuple(raw.get("aliases", ())),
        figures=figures,
    )


def _figure(key: str, raw: Sequence[str], kind: str, sources: Mapping[str, str]) -> Figure:
    value, source, status, note = (*raw, "") if len(raw) == 3 else raw
    for known in _STATUSES:
        if status == known and source in sources:
            return Figure(units.read(kind, value, key), sources[source], known, note)
    raise InputError(f"{key}: source {source!r} or status {status!r} is not known", remedy="name it in `sources`")


def _scale_up(name: str, raw: Sequence[str], sources: Mapping[str, str]) -> dict[str, Figure]:
    match = _DOMAIN.fullmatch(raw[0])
    if match is None:
        raise InputError(f"{name}.scale_up: {raw[0]!r} is not a domain", remedy="scale_up: [8 x 200 GB/s, …]")
    bandwidth = _figure(f"{name}.scale_up", [match[2], *raw[1:]], "bytes_per_s", sources)
    chips = Figure(float(match[1]), bandwidth.source, bandwidth.status, bandwidth.note)
    return {"scale_up_chips": chips, "scale_up": bandwidth}


def _precision(name: str, text: str) -> Precision:
    for precision in _PRECISIONS:
        if text == precision:
            return precision
    raise InputError(f"{name}.flops: {text!r} is not a precision", remedy=f"one of {', '.join(_PRECISIONS)}")

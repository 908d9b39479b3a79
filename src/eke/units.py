"""Quantities as people write them, to base units and back.

`80 GB`, `3.35 TB/s`, `400 Gb/s` (bits) and `400 GB/s` (bytes), `989 TFLOPS`, `300 TOPS`, `300 W`, `15T` tokens,
`50 ms`, `36 h`, `120 d`, `6 mo`, `3/s`, `40/min`, `7%`, `4%/mo`. GB is 10^9, GiB is 2^30. A bare number is in the base
unit.

Every reader takes the value and the key it came from (for the message) and raises `UnitError`.
"""

from __future__ import annotations

import re

from eke.errors import UnitError

SECONDS = {
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "kh": 3.6e6,
    "d": 86400.0, "w": 604800.0, "mo": 86400.0 * 365.25 / 12, "y": 86400.0 * 365.25,
}  # fmt: skip
_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_COUNT = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "P": 1e15}

_BYTES = {p + "B": f for p, f in (_DECIMAL | _BINARY).items()}
_BITS = {p + "b": f / 8 for p, f in _DECIMAL.items()} | {p + "bit": f / 8 for p, f in _DECIMAL.items()}
_PER_SECOND = {"/s": 1.0, "ps": 1.0}
_NUMBER = re.compile(r"\s*([-+]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")

_UNITS: dict[str, tuple[dict[str, float], str]] = {
    "bytes": (_BYTES, "80 GB"),
    "bytes_per_s": (
        {u + p: f for u, f in (_BYTES | _BITS).items() for p in _PER_SECOND},
        "400 Gb/s (bits) or 50 GB/s (bytes)",
    ),
    "flop_per_s": (
        {p + u: f for p, f in _DECIMAL.items() for u in ("FLOPS", "FLOP/s", "flops", "OPS", "OP/s")},
        "989 TFLOPS",
    ),
    "seconds": (SECONDS, "50 ms, 36 h or 120 d"),
    "tokens": (_COUNT, "15T or 15e12"),
    "per_s": ({f"/{u}": 1 / s for u, s in SECONDS.items()}, "3/s or 40/min"),
    "fraction": ({"%": 0.01}, "97% or 0.97"),
    "fraction_per_s": ({f"%/{u}": 0.01 / s for u, s in SECONDS.items()}, "4%/mo or 6%/y"),
    "watts": ({"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6}, "300 W"),
}

_MEANT = {
    "bytes": "a size", "bytes_per_s": "a bandwidth", "flop_per_s": "a speed of computing", "seconds": "a time",
    "tokens": "a number of tokens", "per_s": "a rate", "fraction": "a share", "fraction_per_s": "a change over time",
    "watts": "a power",
}  # fmt: skip


def example(kind: str) -> str:
    """How quantities of `kind` are written."""
    return _UNITS[kind][1]


def read(kind: str, value: object, key: str = "value") -> float:
    """A quantity of `kind` (a key of the table above) in its base unit.

    Raises:
        UnitError: names the key, the value, what was expected, and an example that works.
    """
    units, example = _UNITS[kind]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    unit = match[2] if match else ""
    if match is None or (unit and unit not in units):
        raise UnitError(f"{key}: {value!r} is not {_MEANT[kind]}", remedy=f"{key}: {example}")
    return float(match[1].replace(",", "").replace("_", "")) * (units[unit] if unit else 1.0)


def bare(value: object) -> float | None:
    """The number that `value` is, where it has no unit; None where it has one or is no number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return None if match is None or match[2] else float(match[1].replace(",", "").replace("_", ""))


def _scaled(value: float, unit: str, prefixes: str = " kMGTPE") -> str:
    size, power = abs(value), 0
    while size >= 999.5 and power < len(prefixes) - 1:
        size, power = size / 1000, power + 1
    number = f"{value / 1000**power:.3g}" if size < 999.5 else f"{value / 1000**power:,.0f}"
    return f"{number} {prefixes[power].strip()}{unit}".rstrip()


def show_bytes(value: float) -> str:
    """Bytes: `8e10` as `80 GB`."""
    return _scaled(value, "B")


def show_capacity(value: float) -> str:
    """Bytes of a memory, as drivers count them: `85899345920` as `80 GiB`."""
    return f"{value / 2**30:.4g} GiB"


def show_bytes_per_s(value: float) -> str:
    """Bytes a second: `3.35e12` as `3.35 TB/s`."""
    return _scaled(value, "B/s")


def show_flop_per_s(value: float) -> str:
    """FLOP a second: `9.89e14` as `989 TFLOPS`."""
    return _scaled(value, "FLOPS")


def show_count(value: float) -> str:
    """Any number: `7e12` as `7T`, `1234` as `1.23k`."""
    return _scaled(value, "", " kMBTPE").replace(" ", "")


def show_seconds(value: float) -> str:
    """Seconds: `0.05` as `50 ms`, `1.3e7` as `150 d`, `1.4e8` as `1,620 d`."""
    for unit, size in (("d", 172800.0), ("h", 7200.0), ("min", 120.0), ("s", 0.9995), ("ms", 0.9995e-3)):
        if value >= size:
            many = value / SECONDS[unit]
            return f"{many:.3g} {unit}" if many < 999.5 else f"{many:,.0f} {unit}"
    return f"{value / SECONDS['us']:.3g} us" if value else "0 s"


def show_fraction(value: float) -> str:
    """A share: `0.974` as `97.4%`."""
    return f"{value:.3g}%" if value == 0 else f"{100 * value:.3g}%"

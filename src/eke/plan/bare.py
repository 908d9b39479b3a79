"""Numbers without a unit that were probably meant in another one: `deadline: 180` is three minutes, not days.

A bare number is in the base unit; that is the format, and stays. Here are only remarks on those no fleet has.
"""

from __future__ import annotations

from collections.abc import Iterator

from eke import units

UNLIKELY: dict[str, tuple[float, float, str, str]] = {
    "deadline": (86400.0, float("inf"), "s", "d"),
    "horizon": (86400.0, float("inf"), "s", "mo"),
    "mean_time_between_failures": (86400.0, float("inf"), "s", "h"),
    "ttft": (0.0, 60.0, "s", "ms"),
    "tpot": (0.0, 1.0, "s", "ms"),
    "scale_out": (1e6, float("inf"), "bytes/s", "Gb/s"),
    "bandwidth": (1e6, float("inf"), "bytes/s", "Gb/s"),
    "memory_bandwidth": (1e6, float("inf"), "bytes/s", "GB/s"),
    "memory": (1e6, float("inf"), "bytes", "GB"),
    "power_cap": (100.0, float("inf"), "W", "kW"),
}
"""By key: from and up to where a bare number is believed, the unit it is read in, and the one that was likely meant."""


def remarks(document: object, where: str = "") -> Iterator[str]:
    """A line for each bare number that is hardly meant as it is read; `where`: the keys to `document`."""
    if isinstance(document, list):
        for i, item in enumerate(document):
            yield from remarks(item, f"{where}[{i}]")
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        at = f"{where}.{key}" if where else str(key)
        number = units.bare(value)
        if key in UNLIKELY and number is not None:
            least, most, unit, meant = UNLIKELY[key]
            if not least <= number <= most:
                read = f"{at}: {number:g} has no unit and was read as {number:g} {unit}"
                yield f"{read}; say {number:g} {meant} if that was meant."
        yield from remarks(value, at)

"""From what a tool prints to a chip of the catalogue: the name says the family, memory says which of its parts.

Some cards show as two devices, one a die: then two devices are one chip.
"""

from __future__ import annotations

import re

from eke.errors import UnknownName
from eke.fleet import catalogue
from eke.fleet.chip import Chip
from eke.fleet.detect.base import Device

# What a driver shows of a chip's memory differs by its version and by what error correction takes: 0.86 to 1.12.
_SAME = (0.86, 1.12)
_MAKERS = re.compile(
    r"^(?:nvidia|tesla|geforce|amd|instinct|iluvatar|metax|ascend|kunlun|hygon|huawei)[ -]+", re.IGNORECASE
)


def chip_of(device: Device) -> tuple[Chip, int]:
    """The chip and how many such devices make one of it.

    Raises:
        UnknownName: the catalogue has none of that name and memory; says how to name it inline.
    """
    found = _candidates(device.name)
    if device.memory_bytes is None and found:
        return found[0], 1
    for dies in (1, 2):
        fitting = [c for c in found if _SAME[0] <= dies * (device.memory_bytes or 0) / c.memory <= _SAME[1]]
        if fitting:
            return fitting[0], dies
    raise _unknown(device, found)


def _candidates(name: str) -> list[Chip]:
    folded = name.casefold().strip()
    found = list(catalogue.reported().get(folded, ()))
    known = {n.casefold(): c for c in catalogue.chips().values() for n in (c.name, *c.aliases)}
    bare = folded
    while (shorter := _MAKERS.sub("", bare)) != bare:
        bare = shorter
        found += catalogue.reported().get(bare, ())
    for spelled in (folded, bare, bare.replace(" ", "-"), bare.replace(" ", "")):
        if spelled in known:
            found.append(known[spelled])
    return list(dict.fromkeys(found)) if not found else [c for n, c in enumerate(found) if c not in found[:n]]


def _unknown(device: Device, found: list[Chip]) -> UnknownName:
    size = f" with {device.memory_bytes / 2**30:.0f} GiB" if device.memory_bytes else ""
    gigabytes = f"{(device.memory_bytes or 64e9) / 1e9:.0f} GB"
    error = UnknownName(
        "chip",
        f"{device.name}{size}",
        (),
        remedy="name it in the scenario with its datasheet's figures: "
        f"chip: {{name: {device.name}, memory: {gigabytes}, memory_bandwidth: … TB/s, flops: {{bf16: … TFLOPS}}}}",
    )
    error.why = f"known: {', '.join(c.name for c in found)}, of other memory" if found else ""
    return error

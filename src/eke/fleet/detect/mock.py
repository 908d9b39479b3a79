"""A made-up mixed cluster, to try everything without owning anything: `EKE_MOCK_FLEET=1` or `eke fleet detect --mock`.

`EKE_MOCK_FLEET` may also say what to own: `H800-SXM=4x8,L20=2x8` is four nodes of eight and two of eight.
"""

from __future__ import annotations

import re

from eke.errors import InputError
from eke.fleet import catalogue
from eke.fleet.detect.base import MIB, Device
from eke.fleet.pool import Fleet, Pool

VENDOR = "mock"
PCI_IDS: frozenset[str] = frozenset()
VISIBLE = ("EKE_MOCK_VISIBLE_DEVICES",)
COMMANDS = ()

MIXED = "H800-SXM=4x8,A800-SXM=2x8,H20-96=4x8,L20=2x8,Ascend-910B2=2x8"
_POOL = re.compile(r"\s*([^=]+?)\s*=\s*(\d+)\s*x\s*(\d+)\s*")


def parse(text: str) -> list[Device]:
    """Devices of one node of each pool that `text` describes."""
    names = [pool.chip for pool in fleet(text).pools for _ in range(pool.chips_per_node)]
    return [Device(n, chip.name, chip.memory // MIB * MIB, 0.0, 0.0, uuid=f"MOCK-{n}") for n, chip in enumerate(names)]


def fleet(text: str = MIXED) -> Fleet:
    """The cluster that `text` describes.

    Raises:
        InputError: not of the form `chip=NODESxCHIPS,…`.
    """
    pools = []
    for part in (MIXED if text in ("", "1") else text).split(","):
        match = _POOL.fullmatch(part)
        if match is None:
            raise InputError(f"mock fleet: {part!r} is not chip=NODESxCHIPS", remedy=f"EKE_MOCK_FLEET={MIXED}")
        chip = catalogue.chip(match[1])
        pools.append(Pool(chip.name.lower(), chip, int(match[2]), int(match[3]), scale_out=chip.scale_out))
    return Fleet(tuple(pools))

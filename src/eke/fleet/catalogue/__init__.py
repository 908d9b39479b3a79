"""The chips Eke knows by name: one YAML file a vendor, every figure with its source. It knows no machine and no pool.

Names and aliases are looked up without regard to case; two chips can never answer to one name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from eke import document
from eke.errors import InputError, UnknownName
from eke.fleet.catalogue._read import Entry, vendor_entries
from eke.fleet.chip import Chip


@cache
def _entries() -> tuple[Entry, ...]:
    texts = sorted((f.name, f) for f in files(__package__).iterdir() if f.name.endswith(".yaml"))
    return tuple(e for _, f in texts for e in vendor_entries(document.read(f.read_text("utf-8"))))


def index(chips: Iterable[Chip]) -> dict[str, Chip]:
    """Chips by folded name and alias.

    Raises:
        InputError: two chips answer to one name.
    """
    found: dict[str, Chip] = {}
    for chip in chips:
        for name in (chip.name, *chip.aliases):
            if (other := found.setdefault(name.casefold(), chip)) is not chip:
                raise InputError(f"{name!r} names both {other.name} and {chip.name}", remedy="rename one of them")
    return found


@cache
def chips() -> Mapping[str, Chip]:
    """All chips by name, in the order of the files."""
    return MappingProxyType({e.chip.name: e.chip for e in _entries()})


@cache
def _by_name() -> dict[str, Chip]:
    return index(chips().values())


def chip(name: str) -> Chip:
    """The chip of that name or alias, whatever its case.

    Raises:
        UnknownName: with the nearest names.
    """
    known = _by_name()
    if (found := known.get(name.casefold())) is None:
        every = [n for c in known.values() for n in (c.name, *c.aliases)]
        raise UnknownName("chip", name, every, remedy="" if _near(name, every) else "`eke fleet chips` lists them all")
    return found


def _near(name: str, names: Iterable[str]) -> bool:
    return any(name.casefold()[:4] in n.casefold() for n in names)


@cache
def reported() -> Mapping[str, tuple[Chip, ...]]:
    """Names as vendors' tools print them (folded) → chips that report so; memory tells variants apart."""
    table: dict[str, tuple[Chip, ...]] = {}
    for entry in _entries():
        for name in entry.reported:
            table[name.casefold()] = (*table.get(name.casefold(), ()), entry.chip)
    return MappingProxyType(table)

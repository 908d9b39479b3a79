"""A list of nodes, as any inventory exports it, to pools of like nodes. It reads a table; it writes nothing.

Columns are found by their names, whatever their case (`_`, `-` and blanks are alike):

    chip      chip, gpu model, gpu type, accelerator, product, model, or `gpu` where it holds words
    count     chips, gpu count, num gpus, gpus, cards, or `gpu` where it holds numbers; none: a row is one chip
    node      node, node name, name, hostname, host, sn, id
    memory    of one chip: gpu memory, vram, chip memory (MiB where no unit is given)
    pool      pool, cluster, network, zone: nodes of other pools are never put together
    scale out scale out, scale out per chip, nic per chip: of one chip, one way
    nic       nic, nic speed, network bandwidth, bandwidth, or `network` where it holds bandwidths: of a node, one way,
              and shared by its chips (`8 x 400 Gb/s` is eight of them)
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eke import units
from eke.errors import InputError, UnknownName
from eke.fleet import catalogue
from eke.fleet.chip import Chip
from eke.fleet.detect.base import Device, mib
from eke.fleet.identify import chip_of
from eke.fleet.pool import Fleet, Pool

COLUMNS: dict[str, tuple[str, ...]] = {
    "chip": (
        "chip", "chip name", "gpu model", "gpu type", "gpu name", "gpu product", "accelerator", "product", "card type",
        "model", "gpu",
    ),
    "count": (
        "count", "chips", "chips per node", "gpu count", "gpu num", "num gpus", "gpus", "cards", "accelerators", "gpu",
    ),
    "node": ("node", "node name", "name", "hostname", "host", "sn", "id", "ip"),
    "memory": ("gpu memory", "gpu mem", "gpu memory mib", "vram", "vram mib", "chip memory"),
    "scale_out": ("scale out", "scale out per chip", "scale out per gpu", "nic per chip", "nic per gpu"),
    "nic": (
        "nic", "nics", "nic speed", "nic bandwidth", "node bandwidth", "network bandwidth", "network speed",
        "bandwidth", "network",
    ),
    "pool": ("pool", "cluster", "network", "zone", "fabric"),
}  # fmt: skip
BANDWIDTH = re.compile(r"(?:(?P<count>\d+)\s*[x*×]\s*)?(?P<each>\d.*)", re.IGNORECASE)
SHOWN_LINES = 4
SHOWN_CAUSES = 10


@dataclass(frozen=True, slots=True)
class Import:
    """What came of a list: the fleet, rows without any chip that were left out, and what was assumed, in sentences."""

    fleet: Fleet
    nodes: int
    without_chips: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    node: str
    chip: Chip
    count: int
    pool: str
    scale_out: float | None
    nic: float | None


def read(text: str, mapping: Mapping[str, str] | None = None, columns: Mapping[str, str] | None = None) -> Import:
    """Pools from a CSV of nodes.

    Args:
        text: the CSV with a header.
        mapping: what a word in the chip column stands for, for lists with names of their own (`G2` → `A10`).
        columns: header of a role, where its name does not tell (`{"chip": "sku"}`).

    Raises:
        InputError: no column of chips, or rows that cannot be read, each with its line.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=_delimiter(text))
    table = [(reader.line_num, [c.strip() for c in row]) for row in reader]
    table = [(n, row) for n, row in table if any(row)]
    if len(table) < 2:
        raise InputError("the list of nodes is empty", remedy="a header and a row a node: node,gpu model,gpu count")
    places = _places(table[0][1], [row for _, row in table[1:]], columns or {})
    known = {k.casefold(): catalogue.chip(v) for k, v in (mapping or {}).items()}
    rows, wrong, without = [], [], 0
    for line, cells in table[1:]:
        try:
            row = _row(line, cells, places, known, len(table[0][1]))
            without += row is None
            rows += [row] if row else []
        except InputError as error:
            wrong.append((line, error))
    wrong += _twice(rows) if "count" in places else []
    if wrong:
        raise _all(wrong)
    done = _pools(rows, without)
    if "nic" not in places or not any(row.nic for row in rows):
        return done
    name = table[0][1][places["nic"]]
    note = (
        f"{name} was read as what a whole node has, shared by its chips; where each chip has as much for itself: "
        f"--column scale_out={name}"
    )
    return replace(done, notes=(note,))


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _places(header: Sequence[str], rows: Sequence[Sequence[str]], columns: Mapping[str, str]) -> dict[str, int]:
    """Where each role's column stands."""
    words = [re.sub(r"[\s_-]+", " ", h).strip().casefold() for h in header]
    found: dict[str, int] = {}
    for role, name in columns.items():
        if role not in COLUMNS or name.casefold() not in (heads := [h.casefold() for h in header]):
            raise InputError(
                f"no column {name!r} for {role!r}",
                why=f"columns: {', '.join(header)}; roles: {', '.join(COLUMNS)}",
                remedy="--column chip=NAME",
            )
        found[role] = heads.index(name.casefold())
    for role, names in COLUMNS.items():
        fits = FITS.get(role, _anything)
        for name in names:
            if role not in found and name in words and words.index(name) not in found.values():
                place = words.index(name)
                if fits([row[place] for row in rows if len(row) > place]):
                    found[role] = place
    if "chip" not in found:
        raise InputError("no column says which chip", why=f"columns: {', '.join(header)}", remedy="--column chip=NAME")
    return found


def _numbers(cells: Sequence[str]) -> bool:
    return sum(c.isdigit() for c in cells) * 2 > len(cells)


def _words(cells: Sequence[str]) -> bool:
    return not _numbers(cells)


def _bandwidths(cells: Sequence[str]) -> bool:
    filled = [c for c in cells if c]
    return sum(BANDWIDTH.fullmatch(c) is not None for c in filled) * 2 > len(filled)


def _anything(_cells: Sequence[str]) -> bool:
    return True


FITS = {"count": _numbers, "chip": _words, "nic": _bandwidths}
"""What cells must look like for a column to have a role that its name allows."""


def _row(
    line: int, cells: Sequence[str], places: Mapping[str, int], known: Mapping[str, Chip], width: int
) -> _Row | None:
    """One row; None: a node without chips."""
    if len(cells) != width:
        raise InputError(f"{len(cells)} cells, the header has {width}")
    at = {role: cells[place] for role, place in places.items()}
    name = at["chip"]
    count = at.get("count", "1" if name else "0") or ("" if name else "0")
    if not count.isdigit():
        raise InputError(f"{count!r} is not a number of chips")
    if int(count) == 0:
        return None
    chip = known.get(name.casefold()) or _chip(name, at.get("memory", ""))
    out, nic = (_bandwidth(at.get(role, ""), role.replace("_", " ")) for role in ("scale_out", "nic"))
    return _Row(line, at.get("node", ""), chip, int(count), at.get("pool", ""), out, nic)


def _bandwidth(text: str, key: str) -> float | None:
    """Bytes/s of `400 Gb/s` or `8 x 400 Gb/s`; None where nothing is said."""
    if not text:
        return None
    match = BANDWIDTH.fullmatch(text)
    each = match["each"] if match else text
    if units.bare(each) is not None:
        raise InputError(f"{key}: {text!r} has no unit", remedy=f"{text} Gb/s")
    return int((match and match["count"]) or 1) * units.read("bytes_per_s", each, key)


def _chip(name: str, memory: str) -> Chip:
    if not name:
        raise InputError("a number of chips, but not which")
    try:
        return chip_of(Device(0, name, mib(memory)))[0]
    except UnknownName as error:
        if error.why:
            raise
        near = UnknownName("chip", name, [n for c in catalogue.chips().values() for n in (c.name, *c.aliases)])
        near.remedy = f"--map {name}=CHIP, a name of `eke fleet chips`"
        raise near from None


def _twice(rows: Sequence[_Row]) -> list[tuple[int, InputError]]:
    """Nodes that are there twice with the same kind of chip."""
    first: dict[tuple[str, str], int] = {}
    for row in reversed(rows):
        first[row.node, row.chip.name] = row.line
    again = [(r.line, first[r.node, r.chip.name], r.node) for r in rows if r.node]
    return [(line, InputError(f"node {node!r} was there before, on line {n}")) for line, n, node in again if n != line]


def _all(wrong: Sequence[tuple[int, InputError]]) -> InputError:
    """One error for all rows: each cause with the lines it is on."""
    causes: dict[str, list[int]] = {}
    for line, error in sorted(wrong, key=lambda w: w[0]):
        causes.setdefault(error.what + (f" ({error.why})" if error.why else ""), []).append(line)
    told = [f"{_lines(lines)}: {cause}" for cause, lines in list(causes.items())[:SHOWN_CAUSES]]
    more = [f"and {len(causes) - SHOWN_CAUSES} more causes"] if len(causes) > SHOWN_CAUSES else []
    remedies = dict.fromkeys(e.remedy for _, e in wrong if e.remedy)
    rows = f"{len(wrong):,} row{'s' * (len(wrong) > 1)}"
    return InputError(
        f"{rows} cannot be read; nothing was imported",
        why="\n".join(told + more),
        remedy="; ".join(list(remedies)[:SHOWN_LINES]),
    )


def _lines(lines: Sequence[int]) -> str:
    shown = ", ".join(str(n) for n in lines[:SHOWN_LINES])
    return f"line{'s' * (len(lines) > 1)} {shown}" + (f" … ({len(lines):,} rows)" if len(lines) > SHOWN_LINES else "")


def _pools(rows: Sequence[_Row], without: int) -> Import:
    chips_of: Counter[tuple[str, str, str, float | None]] = Counter()
    in_all: Counter[tuple[str, str]] = Counter()
    of = [(row.pool, row.node or f"#{n}") for n, row in enumerate(rows)]
    for node, row in zip(of, rows, strict=True):  # a node may take several rows: one a chip, or one a kind of chip
        in_all[node] += row.count
    for node, row in zip(of, rows, strict=True):
        out = row.scale_out or (row.nic / in_all[node] if row.nic else None)
        chips_of[*node, row.chip.name, out] += row.count
    alike = Counter((pool, chip, count, out) for (pool, _, chip, out), count in chips_of.items())
    sizes = Counter((pool, chip) for pool, chip, _, _ in alike)
    pools, names = [], Counter[str]()
    for (pool, name, count, out), nodes in alike.most_common():
        chip = catalogue.chip(name)
        title = "-".join(filter(None, (pool, name))).lower() + (f"-x{count}" if sizes[pool, name] > 1 else "")
        names[title] += 1
        unique = title if names[title] == 1 else f"{title}-{names[title]}"
        pools.append(Pool(unique, chip, nodes, count, scale_out=out or chip.scale_out))
    if not pools:
        raise InputError("no row has a chip", why=f"{without} rows without")
    return Import(Fleet(tuple(pools)), sum(alike.values()), without)

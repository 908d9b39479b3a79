"""A user's serving or training records, read row by row: what can be used, and of every other row why not.

Rows are judged alone here: names, numbers, layouts, whether they are of this chip. Whether a row is far from all others
is for `runs.py`, which knows what was predicted.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast, get_args

from eke.cost.calibrate import columns
from eke.cost.calibrate.columns import Table
from eke.cost.tables import Layouts
from eke.cost.training_job import Recompute, State
from eke.errors import EkeError, InputError, UnknownName
from eke.figures import BITS, Precision
from eke.fleet.chip import Chip
from eke.models import catalogue as models
from eke.models.architecture import Architecture
from eke.models.variant import Variant, variants

# What no engine does: then a unit is wrong, or a digit.
TTFT_S, TPOT_S, STEP_S = (1e-4, 3600.0), (1e-5, 30.0), (1e-3, 86400.0)
RATE = (0.01, 1e7)  # tokens a second of one chip
SHOWN = 6  # lines named a reason
_ALSO: Mapping[str, Precision] = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float8": "fp8", "w8a8": "int8", "nvfp4": "fp4",
    "mxfp4": "fp4", "float32": "fp32",
}  # fmt: skip

_ADDED = re.compile(r"[-_](fp8|nvfp4|fp4|bf16|int8|awq|gptq|instruct|chat|dynamic|kv|w8a8)$", re.IGNORECASE)

Layout = tuple[int, int, int, int]  # tp, pp, ep, dp


@dataclass(frozen=True, slots=True)
class Serving:
    """What one serving run had: seconds, tokens; None where it was not measured."""

    line: int
    engine: str
    model: Architecture
    variant: Variant
    layout: Layout
    clients: float
    prompt: float
    output: float
    ttft_s: float | None
    tpot_s: float | None

    @property
    def group(self) -> tuple[object, ...]:
        """Rows of a group are alike: they are seen together or held out together."""
        return self.model.name, self.variant.name, self.layout

    @property
    def shape(self) -> tuple[object, ...]:
        """A smaller group, where there are few."""
        return *self.group, self.prompt, self.output


@dataclass(frozen=True, slots=True)
class Training:
    """What one training run had. `rate`: tokens a second of one chip."""

    line: int
    engine: str
    model: Architecture
    precision: Precision
    layout: Layout
    cp: int
    sequence: float
    batch_tokens: float
    micro_batch: float
    recompute: Recompute | None
    sharding: State
    rate: float

    @property
    def group(self) -> tuple[object, ...]:
        """Rows of a group are alike: they are seen together or held out together."""
        return self.model.name, self.precision, self.layout

    @property
    def shape(self) -> tuple[object, ...]:
        """A smaller group, where there are few."""
        return *self.group, self.sequence, self.batch_tokens


Record = Serving | Training


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not used."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds of one chip under one engine."""

    kind: str
    chip: Chip
    engine: str
    records: Sequence[Record]
    rejected: Sequence[Rejected]


def read(file: Path, chip: str | None, engine: str | None, find_chip: Callable[[str], Chip]) -> Reading:
    """The rows of `file` that are of one chip and one engine.

    Args:
        file: CSV; columns as in docs/calibrate.md.
        chip: the chip to fit; default: the one the file names, if it is one.
        engine: engine family or training framework; default: the one the file names; else vllm or megatron.
        find_chip: a chip by name.

    Raises:
        InputError: wrong columns, several chips or engines and none asked for, or no row of the one asked for.
    """
    kind, table = columns.read(file)
    rows = list(table.cells())
    named = "engine" if kind == "serving" else "framework"
    wanted, others = _chip(rows, chip, find_chip)
    used = [row for row in rows if row[0] not in others]
    usual: str = "llamacpp" if wanted.kind == "cpu" else "vllm" if kind == "serving" else "megatron"
    family: str = engine or _only(named, Counter(c[named].casefold() for _, c in used if named in c)) or usual
    make = _serving if kind == "serving" else _training
    found: list[Record] = []
    rejected = [Rejected(line, f"it is of {name}, not {wanted.name}") for line, name in others.items()]
    for line, cells in used:
        other = cells.get(named, family).casefold()
        try:
            if other != family:
                raise InputError(f"it is of {other}, not {family}")
            found.append(make(line, cells, table, family))
        except EkeError as error:
            rejected.append(Rejected(line, " ".join(filter(None, (error.what, error.why and f"({error.why})")))))
    return Reading(kind, wanted, family, found, sorted(rejected, key=lambda r: r.line))


def _chip(
    rows: Sequence[tuple[int, Mapping[str, str]]], asked: str | None, find_chip: Callable[[str], Chip]
) -> tuple[Chip, dict[int, str]]:
    """The chip to fit, and lines of other chips with their names."""
    known: dict[str, str] = {}
    for name in dict.fromkeys(cells["chip"] for _, cells in rows if "chip" in cells):
        try:
            known[name] = find_chip(name).name
        except InputError:
            known[name] = name
    counted = Counter(known[cells["chip"]] for _, cells in rows if "chip" in cells)
    only = asked or _only("chip", counted)
    if only is None:
        raise InputError("no row says of which chip it is", remedy="--chip NAME, or a column `chip`")
    wanted = find_chip(only)
    others = {line: known[c["chip"]] for line, c in rows if "chip" in c and known[c["chip"]] != wanted.name}
    if len(others) == len(rows):
        told = ", ".join(f"{n} ({times:,} rows)" for n, times in counted.most_common(SHOWN))
        raise InputError(
            f"no row is of {wanted.name}; nothing is written",
            why=f"the file holds {told}: a profile for another chip would spoil every later plan",
            remedy=f"--chip {counted.most_common(1)[0][0]}",
        )
    return wanted, others


def _only(what: str, names: Counter[str]) -> str | None:
    if len(names) > 1:
        told = ", ".join(f"{name} ({times:,} rows)" for name, times in names.most_common(SHOWN))
        option = "engine" if what == "framework" else what
        raise InputError(
            f"rows of {len(names)} {what}s: one at a time", why=told, remedy=f"--{option} {names.most_common(1)[0][0]}"
        )
    return next(iter(names), None)


def _serving(line: int, cells: Mapping[str, str], table: Table, engine: str) -> Serving:
    model = _model(_needed(cells, "model"))
    prompt, output = _positive(table, cells, "prompt"), _positive(table, cells, "output")
    if prompt + output > 1.01 * model.max_context:
        raise InputError(
            f"prompt {prompt:,.0f} + output {output:,.0f} tokens; {model.name} has room for {model.max_context:,}",
            why="totals over all requests?",
        )
    ttft, tpot = _within(table, cells, "ttft", TTFT_S), _within(table, cells, "tpot", TPOT_S)
    if ttft is None and tpot is None:
        raise InputError("neither ttft nor tpot")
    layout = _layout(table, cells)
    clients, rate = _above(table, cells, "concurrency"), _above(table, cells, "rate")
    if clients is None:
        if rate is None or ttft is None or tpot is None:
            raise InputError("no concurrency", why="a rate will do where ttft and tpot are there too")
        clients = max(1.0, rate * (ttft + output * tpot))  # Little's law
    return Serving(
        line, engine, model, _variant(model, cells.get("variant")), layout, clients, prompt, output, ttft, tpot
    )


def _training(line: int, cells: Mapping[str, str], table: Table, framework: str) -> Training:
    model = _model(_needed(cells, "model"))
    sequence, batch = _positive(table, cells, "sequence"), _positive(table, cells, "global_batch")
    layout, cp = _layout(table, cells), int(_above(table, cells, "cp") or 1)
    rate, step = _within(table, cells, "tokens_per_second_per_chip", RATE), _within(table, cells, "step", STEP_S)
    tokens, chips = batch * sequence, layout[0] * layout[1] * layout[3] * cp
    if rate is None and step is not None:
        rate = tokens / step / chips
    if rate is None:
        raise InputError("neither tokens_per_second_per_chip nor step")
    micro = _above(table, cells, "micro_batch") or 1.0
    if batch * 1.001 < micro * layout[3]:
        raise InputError(f"global batch of {batch:g} sequences, dp {layout[3]} takes {micro * layout[3]:g} at once")
    return Training(
        line, framework, model, _precision(cells.get("precision", "bf16")), layout, cp, sequence, tokens, micro,
        cast("Recompute | None", _choice(cells, "recompute", get_args(Recompute))),
        cast("State", _choice(cells, "sharding", get_args(State)) or "zero1"), rate,
    )  # fmt: skip


@cache
def _model(name: str) -> Architecture:
    """A model by its name, without its maker's and without what quantisers add to it."""
    short = name.rsplit("/", 1)[-1]
    tries = [name, short]
    while (shorter := _ADDED.sub("", short)) != short:
        tries.append(short := shorter)
    for candidate in tries:
        with contextlib.suppress(UnknownName):
            return models.architecture(candidate)
    return models.architecture(tries[1])


@cache
def _variant(model: Architecture, name: str | None) -> Variant:
    known = variants(model)
    if name is None:
        return known.get(model.native_precision) or known.get("bf16") or next(iter(known.values()))
    folded = name.casefold()
    wanted = folded if folded in known else _precision(name)
    if wanted not in known:
        raise InputError(f"{model.name} in {name}: no such variant", why=f"known: {', '.join(known)}")
    return known[wanted]


def _precision(name: str) -> Precision:
    folded = name.casefold()
    found = _ALSO.get(folded, folded)
    if found not in BITS:
        raise InputError(f"precision {name!r}", why=f"known: {', '.join(BITS)}")
    return found


def _layout(table: Table, cells: Mapping[str, str]) -> Layout:
    tp, pp, ep, dp = (int(_above(table, cells, name) or 1) for name in ("tp", "pp", "ep", "dp"))
    Layouts.of(tp, pp, ep, dp)
    return tp, pp, ep, dp


def _needed(cells: Mapping[str, str], name: str) -> str:
    if name not in cells:
        raise InputError(f"no {name}")
    return cells[name]


def _above(table: Table, cells: Mapping[str, str], name: str) -> float | None:
    """A number above 0; None where the cell is empty or infinite, as tools write where nothing was set."""
    if cells.get(name, "").casefold() in ("inf", "none", "null", "nan", "-"):
        return None
    value = table.number(cells, name)
    if value is not None and value <= 0:
        raise InputError(f"{table.places[name].header} {value:g} cannot be")
    return value


def _positive(table: Table, cells: Mapping[str, str], name: str) -> float:
    if (value := _above(table, cells, name)) is None:
        raise InputError(f"no {name}")
    return value


def _within(table: Table, cells: Mapping[str, str], name: str, bounds: tuple[float, float]) -> float | None:
    value = _above(table, cells, name)
    if value is not None and not bounds[0] <= value <= bounds[1]:
        raise InputError(f"{table.places[name].header} {cells[name]} cannot be", why="the wrong unit?")
    return value


def _choice(cells: Mapping[str, str], name: str, known: Sequence[str]) -> str | None:
    if (word := cells.get(name)) is None:
        return None
    if word.casefold() not in known:
        raise InputError(f"{name} {word!r}", why=f"one of {', '.join(known)}")
    return word.casefold()


def told(rejected: Sequence[Rejected]) -> list[str]:
    """One line a reason, with the lines it holds for."""
    lines: dict[str, list[int]] = {}
    for one in rejected:
        lines.setdefault(one.why, []).append(one.line)
    return [f"{_lines(numbers)}: {why}" for why, numbers in lines.items()]


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = f" … ({len(numbers):,} rows)" if len(numbers) > SHOWN else ""
    return f"line{'s' * (len(numbers) > 1)} {shown}{more}"

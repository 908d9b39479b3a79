"""The columns of a user's records: their names, what else they are called, and units in headers. Knows no model.

A header may carry its unit (`ttft_ms`, `TTFT [s]`), and so may a cell (`350 ms`). Where a mean and a median are there,
the mean is taken: that is what the cost model predicts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eke import units
from eke.errors import InputError, UnitError


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it is called, what else, what its cells hold (`text`, `count`, `seconds`, `per_s`)."""

    name: str
    holds: str
    also: tuple[str, ...] = ()


WHERE = (
    Column("model", "text", ("model_name", "model_path", "model_id")),
    Column("chip", "text", ("system", "gpu", "accelerator", "device", "hardware")),
    Column("tp", "count", ("tp_size", "tensor_parallel", "tensor_parallel_size")),
    Column("pp", "count", ("pp_size", "pipeline_parallel", "pipeline_parallel_size")),
    Column("dp", "count", ("dp_size", "data_parallel", "data_parallel_size", "attention_dp_size")),
    Column("ep", "count", ("ep_size", "expert_parallel", "expert_parallel_size", "moe_ep_size")),
)
SERVING = (
    *WHERE,
    Column("engine", "text", ("backend", "framework")),
    Column("variant", "text", ("precision", "dtype", "quantization")),
    Column("concurrency", "count", ("clients", "users", "max_concurrency", "batch", "batch_size", "num_concurrent")),
    Column("rate", "per_s", ("request_rate", "qps", "req_per_s", "requests_per_second", "request_throughput")),
    Column("prompt", "count", ("isl", "input_len", "input_length", "prompt_tokens", "random_input_len")),
    Column("output", "count", ("osl", "output_len", "output_length", "completion_tokens", "random_output_len")),
    Column("ttft", "seconds", ("time_to_first_token", "first_token_latency")),
    Column("tpot", "seconds", ("itl", "time_per_output_token", "inter_token_latency")),
)
TRAINING = (
    *WHERE,
    Column("framework", "text", ("engine", "backend", "trainer")),
    Column("precision", "text", ("variant", "dtype")),
    Column("cp", "count", ("cp_size", "context_parallel", "context_parallel_size")),
    Column("sequence", "count", ("seq", "seq_len", "sequence_length", "seq_length")),
    Column("global_batch", "count", ("gbs", "global_batch_size")),
    Column("micro_batch", "count", ("mbs", "micro_batch_size")),
    Column("recompute", "text", ("activation_checkpointing",)),
    Column("sharding", "text", ("zero",)),
    Column(
        "tokens_per_second_per_chip",
        "count",
        ("tokens_per_s_per_chip", "tokens_per_s_per_gpu", "tokens_per_sec_per_gpu"),
    ),
    Column("step", "seconds", ("step_time", "iteration_time", "time_per_step")),
)

_UNIT = re.compile(r"(?:[\s_]+|[\s_]*[\[(])(us|ms|milliseconds|s|sec|secs|seconds)[\])]?$", re.IGNORECASE)
_FACTORS = {"us": 1e-6, "ms": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0}
_STATISTICS = ("mean", "avg", "average", "", "median", "p50")  # the best first


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column stands, and seconds of a bare number in it; None: nobody says which unit."""

    at: int
    factor: float | None
    header: str


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows by line number, and where each column stands."""

    places: Mapping[str, Place]
    rows: Sequence[tuple[int, Sequence[str]]]
    holds: Mapping[str, str]

    def cells(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Each row's line and its cells by column; empty cells left out."""
        for line, row in self.rows:
            filled = {n: row[p.at].strip() for n, p in self.places.items() if p.at < len(row)}
            yield line, {name: cell for name, cell in filled.items() if cell}

    def number(self, cells: Mapping[str, str], name: str) -> float | None:
        """A cell's value in base units; None where it is empty.

        Raises:
            UnitError: not a number, or a time of which nobody says the unit.
        """
        if (cell := cells.get(name)) is None:
            return None
        place, holds = self.places[name], self.holds[name]
        kind = {"count": "tokens", "seconds": "seconds", "per_s": "per_s"}[holds]
        value = units.read(kind, cell, place.header)
        if holds == "seconds" and re.fullmatch(r"[-+.,\deE]+", cell):
            if place.factor is None:
                raise UnitError(f"{place.header}: in which unit?", remedy=f"name the column {name}_ms or {name}_s")
            value *= place.factor
        return value


def read(file: Path) -> tuple[str, Table]:
    """`serving` or `training`, and the table.

    Raises:
        InputError: no such file, no rows, or columns that say neither.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{file} cannot be read", why=str(fault)) from fault
    lines = text.splitlines()
    delimiter = max(",\t;", key=(lines[0] if lines else "").count)
    reader = csv.reader(lines, delimiter=delimiter)
    header = next(reader, [])
    rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    if not rows:
        raise InputError(f"{file} has no rows", remedy="docs/calibrate.md says which columns it takes")
    serving, training = _places(header, SERVING), _places(header, TRAINING)
    if "ttft" in serving or "tpot" in serving:
        return "serving", _table(header, serving, rows, SERVING, ("prompt", "output"), ("concurrency", "rate"))
    if "step" in training or "tokens_per_second_per_chip" in training:
        return "training", _table(header, training, rows, TRAINING, ("sequence", "global_batch"), ())
    raise InputError(
        f"{file.name} holds neither serving nor training records",
        why=f"its columns: {', '.join(header)}",
        remedy="ttft_ms or tpot_ms for serving; tokens_per_second_per_chip or step_s for training (docs/calibrate.md)",
    )


def _table(
    header: Sequence[str],
    places: Mapping[str, Place],
    rows: Sequence[tuple[int, Sequence[str]]],
    columns: Sequence[Column],
    needed: Sequence[str],
    either: Sequence[str],
) -> Table:
    missing = [name for name in ("model", *needed) if name not in places]
    if not any(name in places for name in either):
        missing += either
    if missing:
        raise InputError(
            f"no column {', '.join(missing)}" + " (one of the last two will do)" * (missing[-2:] == list(either)),
            why=f"columns: {', '.join(header)}",
            remedy="; ".join(f"{c.name} may be called {', '.join(c.also)}" for c in columns if c.name in missing),
        )
    return Table(places, rows, {c.name: c.holds for c in columns})


def _places(header: Sequence[str], columns: Sequence[Column]) -> dict[str, Place]:
    found: dict[str, tuple[int, Place]] = {}
    known = {name: column for column in reversed(columns) for name in (*column.also, column.name)}
    known |= {column.name: column for column in columns}
    for at, cell in enumerate(header):
        word, factor = cell.strip(), None
        for _ in range(2):
            name, rank = _plain(word)
            column = known.get(name)
            if column is not None:
                if column.name not in found or rank < found[column.name][0]:
                    found[column.name] = rank, Place(at, factor, cell.strip())
                break
            unit = _UNIT.search(word)
            if unit is None:
                break
            word, factor = word[: unit.start()], _FACTORS[unit[1].casefold()]
    return {name: place for name, (_, place) in found.items()}


def _plain(word: str) -> tuple[str, int]:
    """A header without its statistic, and how good that is."""
    name = re.sub(r"[^a-z0-9]+", "_", word.casefold()).strip("_")
    for rank, statistic in enumerate(_STATISTICS):
        if statistic and name.startswith(f"{statistic}_"):
            return name.removeprefix(f"{statistic}_"), rank
    return name, _STATISTICS.index("")

"""Recorded arrivals, read into what a plan needs of them: rate, shape of the day, lengths, prefix hits.

CSV and JSON lines, one request each; the columns of Azure's, Vidur's and Mooncake's traces are known by name.
It knows no scenario.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eke.errors import InputError
from eke.plan.distribution import Distribution, from_samples

BLOCK_TOKENS = 512
"""Tokens of one prefix block in Mooncake's traces."""

# time column → (prompt column, output column, seconds per unit of time; 0: a date)
COLUMNS: dict[str, tuple[str, str, float]] = {
    "TIMESTAMP": ("ContextTokens", "GeneratedTokens", 0.0),
    "arrived_at": ("num_prefill_tokens", "num_decode_tokens", 1.0),
    "timestamp": ("input_length", "output_length", 1e-3),
}


@dataclass(frozen=True, slots=True)
class Trace:
    """What a recording says. `hours` are 24 multiples of `rate_per_s`; flat when it is shorter than a day."""

    rate_per_s: float
    hours: tuple[float, ...]
    prompt: Distribution
    output: Distribution
    prefix_hit: float


def read(path: Path) -> Trace:
    """The trace in `path`.

    Raises:
        InputError: no such file, unknown columns, or fewer than two requests.
    """
    try:
        rows = list(_rows(path))
    except OSError as error:
        raise InputError(f"trace {str(path)!r} cannot be read", why=error.strerror or "") from error
    except ValueError as error:
        raise InputError(f"trace {str(path)!r} cannot be understood", why=str(error)) from error
    time = next((c for c in COLUMNS if rows and c in rows[0]), None)
    if time is None or len(rows) < 2:
        known = "; ".join(f"{t}, {p}, {o}" for t, (p, o, _) in COLUMNS.items())
        raise InputError(
            f"trace {str(path)!r} has {len(rows)} requests and no known columns", remedy=f"use columns {known}"
        )
    prompt, output, unit = COLUMNS[time]
    try:
        seconds = np.array([_seconds(row[time], unit) for row in rows])
        tokens = np.array([(float(row[prompt]), float(row[output])) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"trace {str(path)!r}: a row lacks a number", why=str(error)) from error
    rate, hours = _shape(seconds)
    hit = _prefix_hit(rows, float(tokens[:, 0].sum()))
    return Trace(rate, hours, from_samples(tokens[:, 0]), from_samples(tokens[:, 1]), hit)


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            yield from (json.loads(line) for line in file if line.strip())
        else:
            yield from csv.DictReader(file)


def _seconds(value: Any, unit: float) -> float:
    return float(value) * unit if unit else datetime.fromisoformat(str(value)[:26]).timestamp()


def _shape(seconds: npt.NDArray[np.float64]) -> tuple[float, tuple[float, ...]]:
    span = float(np.ptp(seconds)) or 1.0
    if span < 86400:
        return len(seconds) / span, (1.0,) * 24
    hour = ((seconds - seconds.min()) // 3600).astype(int)
    days = np.bincount(np.arange(hour.max() + 1) % 24, minlength=24)
    rates = np.bincount(hour % 24, minlength=24) / (3600 * days)
    return float(rates.max()), tuple((rates / rates.max()).tolist())


def _prefix_hit(rows: list[Mapping[str, Any]], prompt_tokens: float) -> float:
    """Share of prompt tokens an endless cache would hold: leading blocks that an earlier request had too."""
    seen: set[int] = set()
    hits = 0
    for row in rows:
        blocks = row.get("hash_ids") or ()
        leading = next((i for i, block in enumerate(blocks) if block not in seen), len(blocks))
        hits += min(leading * BLOCK_TOKENS, int(row.get("input_length", 0)))
        seen.update(blocks)
    return min(0.99, hits / prompt_tokens) if prompt_tokens else 0.0

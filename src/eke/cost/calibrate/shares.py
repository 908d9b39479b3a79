"""From timed kernels to a profile's coefficients: shares of peak, half-sizes, what links reach.

Kernels are priced by the cost model's own formulas (`kernels.py`, `forward.py`, `collectives.py`), so what is fitted
here is what predictions use. Knows how a timing's line looks, not how it came about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from eke.cost.calibrate import squares
from eke.cost.calibrate.coefficients import Coefficient, moved, rounded, values
from eke.cost.calibrate.devices import Place, Timings, spoken
from eke.cost.calibration import Error, Fit
from eke.cost.collectives import Group
from eke.cost.forward import visible
from eke.cost.kernels import gemm
from eke.cost.machine import Machine, machine
from eke.cost.profile import Profile
from eke.cost.tables import FloatArray
from eke.errors import EkeError, InputError
from eke.figures import BITS
from eke.fleet.chip import Chip

KINDS = ("gemm", "stream", "prefill", "decode", "all-reduce")
# A kernel that takes less than so many launches of an empty one tells of the host, not of the chip: calls of attention
# take the host longer.
HOST_BOUND = {"gemm": 4.0, "stream": 4.0, "prefill": 10.0, "decode": 10.0, "all-reduce": 0.0}
LEAST_PRODUCTS = 12
ENOUGH = 3  # timings of a kind from which it says anything

# More of its peak than this and a chip is not the one it is taken for (boost clocks and rounding give some percent).
TOO_FAST = 1.2

Line = Mapping[str, Any]


def fit(place: Place, profile: Profile, timings: Timings, command: str) -> Fit:
    """The coefficients that `timings` at `place` tell, starting at `profile`.

    Raises:
        InputError: it is faster than the chip can be.
        EkeError: too little was measured.
    """
    unit = place.unit
    lines = _usable(unit, timings.lines)
    if (products := sum(line["what"] == "gemm" for line in lines)) < LEAST_PRODUCTS:
        why = "; ".join(dict.fromkeys(str(line["failed"]) for line in timings.failed))
        what = f"{products} matrix products could be timed, {LEAST_PRODUCTS} are needed"
        raise EkeError(f"{what}; what was calibrated before stays", why=why, remedy="more time: --seconds 300")
    wanted = _coefficients(lines)

    def residuals(x: FloatArray) -> FloatArray:
        on = _machine(unit, moved(profile, wanted, x))
        away: FloatArray = np.log(_predicted(on, lines) / _column(lines, "seconds"))
        return away

    before = residuals(np.zeros(len(wanted)))
    x = squares.fit(residuals, len(wanted), pull=0.1)
    after, found = residuals(x), moved(profile, wanted, x)
    _refuse_another(unit, lines)
    kinds = np.array([line["what"] for line in lines], dtype=object)
    return Fit(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        made_on=timings.versions,
        points=len(lines),
        coefficients=values(found, wanted),
        errors={
            kind: Error(int((kinds == kind).sum()), _error(before[kinds == kind]), _error(after[kinds == kind]))
            for kind in KINDS
            if (kinds == kind).any()
        },
        left_out={spoken(line): str(line["failed"]) for line in timings.failed},
    )


def _usable(chip: Chip, lines: Sequence[Line]) -> list[Line]:
    """Timings that say something of the chip: not of the host that launches, nor of a CPU's sockets."""
    launch = next((line["seconds"] for line in lines if line["what"] == "launch"), 0.0)
    kinds = KINDS if chip.kind != "cpu" else KINDS[:-1]  # a CPU's cores share memory, gloo is not how they talk
    found = [x for x in lines if x["what"] in kinds and x["seconds"] > HOST_BOUND[x["what"]] * launch]
    many = {kind: sum(line["what"] == kind for line in found) for kind in KINDS}
    return [line for line in found if many[line["what"]] >= ENOUGH]


def _coefficients(lines: Sequence[Line]) -> list[Coefficient]:
    """What the lines there are can tell."""
    precisions = dict.fromkeys(line["precision"] for line in lines if line["what"] == "gemm")
    kinds = {line["what"] for line in lines}
    found = [Coefficient("gemm", p) for p in precisions]
    found += [Coefficient(name) for name in ("pad_m", "pad_n", "pad_k", "memory", "ramp_bytes")]
    if "prefill" in kinds:
        found += [Coefficient("attention", most=1.0), Coefficient("pad_query")]
    if "decode" in kinds:
        found += [Coefficient("attention_memory", most=1.1)]
    if "all-reduce" in kinds:
        found += [Coefficient("link_up", most=1.1), Coefficient("latency_up_s")]
        if len({line["ranks"] for line in lines if line["what"] == "all-reduce"}) > 1:
            found += [Coefficient("latency_hop_s"), Coefficient("link_pair", most=1.1)]
    return found


def _machine(chip: Chip, profile: Profile) -> Machine:
    """`chip` under `profile`; kernels run in bursts, and products come one by one."""
    return machine(
        chip, chips_per_node=max(chip.scale_up_chips, 8), scale_out=None,
        profile=replace(profile, sustained=1.0, one_shot=0.0),
    )  # fmt: skip


def _predicted(on: Machine, lines: Sequence[Line]) -> FloatArray:
    """Seconds of each line by the cost model."""
    kinds = np.array([line["what"] for line in lines], dtype=object)
    seconds = np.full(len(lines), np.nan)
    for kind, price in _PRICES.items():
        at = np.flatnonzero(kinds == kind)
        if len(at):
            seconds[at] = price(on, [lines[int(i)] for i in at])
    return seconds


def _column(lines: Sequence[Line], name: str) -> FloatArray:
    return np.array([line[name] for line in lines], dtype=np.float64)


def _gemm(on: Machine, lines: Sequence[Line]) -> FloatArray:
    held = np.array([BITS[line["precision"]] / 8 for line in lines])
    rate = np.array([on.rate(line["precision"]) for line in lines])
    m, n, k = (_column(lines, name) for name in "mnk")
    compute, memory = gemm(on, rate, m, n, k, held)  # type: ignore[arg-type]  # arrays broadcast
    return np.maximum(compute, memory)


def _stream(on: Machine, lines: Sequence[Line]) -> FloatArray:
    return (_column(lines, "bytes") + on.profile.ramp_bytes) / (on.bandwidth * on.profile.memory)


def _attention_rate(on: Machine, lines: Sequence[Line]) -> FloatArray:
    return np.array([on.chip.flops[on.precision(line["precision"])] for line in lines])


def _prefill(on: Machine, lines: Sequence[Line]) -> FloatArray:
    """As `forward._softmax` prices a prompt: 4 d a pair of query and visible key, a head; half-sizes in queries."""
    tokens, width = _column(lines, "tokens"), 4.0 * _column(lines, "heads") * _column(lines, "head_dim")
    pairs = visible(tokens, np.zeros_like(tokens), None) + on.profile.pad_query * tokens / 2
    return width * pairs / (_attention_rate(on, lines) * on.profile.attention)


def _decode(on: Machine, lines: Sequence[Line]) -> FloatArray:
    """As `forward._softmax` prices a step: every cache is read once."""
    tokens = _column(lines, "sequences") * _column(lines, "context")
    width = 4.0 * _column(lines, "heads") * _column(lines, "head_dim")
    p = on.profile
    compute = width * tokens / (_attention_rate(on, lines) * p.attention_decode)
    moved = tokens * _column(lines, "cache_bytes_per_token") + p.ramp_bytes
    return np.maximum(compute, moved / (on.bandwidth * p.attention_memory))


def _all_reduce(on: Machine, lines: Sequence[Line]) -> FloatArray:
    link, latency = Group(on, _column(lines, "ranks").astype(np.int64)).all_reduce(_column(lines, "bytes"))
    return np.asarray(link + latency)


_PRICES = {"gemm": _gemm, "stream": _stream, "prefill": _prefill, "decode": _decode, "all-reduce": _all_reduce}


def _refuse_another(chip: Chip, lines: Sequence[Line]) -> None:
    """A chip cannot beat its own peaks: then it is another."""
    for line in lines if chip.kind != "cpu" else ():  # a CPU's peaks are measured, and libraries differ
        if line["what"] == "gemm":
            peak, unit = chip.flops.get(line["precision"], np.inf), "FLOP/s"
            reached = 2.0 * line["m"] * line["n"] * line["k"] / line["seconds"]
        elif line["what"] == "stream" and line["bytes"] > 1e8:
            peak, unit, reached = chip.memory_bandwidth, "B/s", line["bytes"] / line["seconds"]
        else:
            continue
        if reached > TOO_FAST * peak:
            raise InputError(
                f"this is not a {chip.name}: {spoken(line)} reaches {reached:.3g} {unit}, and its peak is {peak:.3g}",
                why="a profile for another chip would spoil every later plan; nothing is written",
                remedy="name the chip it is (--chip), or correct its peaks in the catalogue",
            )


def _error(away: FloatArray) -> float:
    return rounded(float(np.median(np.abs(np.expm1(away)))))

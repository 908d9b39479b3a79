"""The measuring process of `eke calibrate` on a torch device: times kernels over shapes, one line of JSON each.

What serving and training spend their time on: matrix products per precision over tokens and widths, memory streams over
sizes, attention over a prompt and over long caches, and what launching a kernel costs. The same code on every device.
Knows no chip, no profile, no file.

Run as `python -m eke.cost.calibrate._kernels --device cuda:0 --precisions bf16,fp8 --seconds 120`.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from eke.cost.calibrate._device import DTYPES, Device, Run, find_kind, say, versions

# [m, k] x [k, n]: tokens of a decode step up to a long prompt; widths (n, k) of models from 1B to 70B.
# The first of each list is small: it tells how long the others will take.
TOKENS = (64, 1, 2048, 16, 512, 8192, 256, 128, 32)
WIDTHS = ((1024, 1024), (8192, 8192), (4096, 4096), (14336, 4096), (4096, 14336), (1024, 4096), (28672, 8192))
INT8_LEAST = 32  # torch._int_mm takes more than 16 rows
STREAMS = (2**20, 2**22, 2**24, 2**26, 2**28, 2**30)  # bytes
HEADS, KV_HEADS, HEAD_DIM = 32, 8, 128  # of Llama-3-8B
# Query heads that share a cache, where torch is new enough (2.5); else as many of either.
SHARES = "enable_gqa" in (functional.scaled_dot_product_attention.__doc__ or "")
GROUPED: dict[str, Any] = {"enable_gqa": True} if SHARES else {}
PROMPTS = (512, 2048, 8192, 1024, 4096, 16384, 32768)
CACHES = ((1, 4096), (8, 4096), (32, 4096), (1, 32768), (8, 16384), (64, 2048), (1, 131072))  # sequences, tokens each

COLD_BYTES, COLD_CPU_BYTES = 1e9, 256e6  # weights in turn: more than caches hold, as a model's are
MOST_TURNS = 256
LONGEST_S = 0.1  # one run; longer shapes say nothing that shorter ones do not
LEAST_SLICE_S = 0.15


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to time.

    Attributes:
        line: what it is. work: from which the time it takes is guessed. size: bytes of what changes from run to run.
        make: sets it up.
    """

    line: dict[str, Any]
    work: float
    size: float
    make: Callable[[Device], Run]

    @property
    def pace(self) -> tuple[str, str]:
        """Steps of one pace do work at about one rate."""
        return self.line["what"], self.line.get("precision", "")


def _cold(on_cpu: bool) -> float:
    return COLD_CPU_BYTES if on_cpu else COLD_BYTES


def _turns(device: Device, precision: str, shape: Sequence[int]) -> Iterator[torch.Tensor]:
    """Tensors of `shape`, one after the other and round again: together more than caches hold."""
    size = math.prod(shape)
    count = max(2, math.ceil(_cold(device.is_cpu) / (size * DTYPES[precision].itemsize)))
    flat = device.reservoir(count * size, precision)
    return itertools.cycle([flat[i * size : (i + 1) * size].view(*shape) for i in range(min(count, MOST_TURNS))])


def gemm(precision: str, m: int, n: int, k: int) -> Step:
    """A product of m tokens with weights [n, k], as a linear layer does it; weights change from run to run."""

    def make(device: Device) -> Run:
        x, turn = device.values((m, k), precision), _turns(device, precision, (n, k))
        if precision == "fp8":
            one = torch.ones((), dtype=torch.float32, device=device.torch)
            return lambda: torch._scaled_mm(
                x, next(turn).t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
            )
        if precision == "int8":
            return lambda: torch._int_mm(x, next(turn).t())
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        return lambda: functional.linear(x, next(turn))

    return Step(
        {"what": "gemm", "precision": precision, "m": m, "n": n, "k": k},
        2.0 * m * n * k,
        float(n * k * DTYPES[precision].itemsize),
        make,
    )


def stream(size: int) -> Step:
    """A copy of `size` bytes: as many are read as written."""

    def make(device: Device) -> Run:
        turn = _turns(device, "fp32", (size // 4,))

        def copy() -> None:
            next(turn).copy_(next(turn))

        return copy

    return Step({"what": "stream", "bytes": 2 * size}, 2.0 * size, float(size), make)


def prefill(precision: str, tokens: int) -> Step:
    """Causal attention over one prompt."""

    def make(device: Device) -> Run:
        held = KV_HEADS if SHARES else HEADS
        q, k, v = (device.values((1, h, tokens, HEAD_DIM), precision) for h in (HEADS, held, held))
        return lambda: functional.scaled_dot_product_attention(q, k, v, is_causal=True, **GROUPED)

    shape = {"heads": HEADS, "head_dim": HEAD_DIM, "tokens": tokens}
    work = 4.0 * HEADS * HEAD_DIM * tokens * (tokens + 1) / 2
    return Step({"what": "prefill", "precision": precision, **shape}, work, 0.0, make)


def decode(precision: str, sequences: int, context: int) -> Step:
    """One query row of each of `sequences` over its cache; caches change from run to run."""
    heads = HEADS if SHARES else KV_HEADS
    size = 2 * KV_HEADS * HEAD_DIM * DTYPES[precision].itemsize  # of a token

    def make(device: Device) -> Run:
        shape = (sequences, KV_HEADS, context, HEAD_DIM)
        q = device.values((sequences, heads, 1, HEAD_DIM), precision)
        turn = _turns(device, precision, shape)
        return lambda: functional.scaled_dot_product_attention(q, next(turn), next(turn), **GROUPED)

    line = {"what": "decode", "precision": precision, "heads": heads, "head_dim": HEAD_DIM, "sequences": sequences}
    read = float(sequences * context * size)
    return Step({**line, "context": context, "cache_bytes_per_token": size}, read, read / 2, make)


def launch() -> Step:
    """A kernel that does next to nothing: what is left is the launch."""

    def make(device: Device) -> Run:
        x = torch.zeros(16, device=device.torch)
        return lambda: x.add_(1.0)

    return Step({"what": "launch"}, 1.0, 0.0, make)


def steps(precisions: Sequence[str], attention: str, *, on_cpu: bool) -> list[Step]:
    """Everything to time, in an order in which whatever time runs out leaves a fair sample of each."""
    found = [launch()]
    products = [
        gemm(p, m, n, k)
        for m, (n, k) in sorted(itertools.product(TOKENS, WIDTHS), key=_diagonal)
        for p in precisions
        if p != "int8" or m >= INT8_LEAST
    ]
    both = [*map(stream, STREAMS)] + [prefill(attention, t) for t in PROMPTS] + [decode(attention, *c) for c in CACHES]
    every = max(1, len(products) // len(both))
    for at, product in enumerate(products):
        found.append(product)
        if at % every == 0 and both:
            found.append(both.pop(0))
    return [step for step in found + both if step.size <= _cold(on_cpu)]


def _diagonal(shape: tuple[int, tuple[int, int]]) -> tuple[int, int]:
    """Each stretch of the list has small and large shapes of each kind."""
    m, width = TOKENS.index(shape[0]), WIDTHS.index(shape[1])
    return (m + width) % len(TOKENS), m


def measurements(device: Device, todo: Sequence[Step], seconds: float) -> Iterator[dict[str, Any]]:
    """Each step's line with `seconds`, `spread` and `rounds`, or with `failed` and why."""
    began = time.monotonic()
    rates: dict[tuple[str, str], float] = {}
    unable: dict[tuple[str, str], str] = {}
    for done, step in enumerate(todo):
        left = seconds - (time.monotonic() - began)
        expected = step.work / rates.get(step.pace, math.inf)
        if step.pace in unable:
            yield step.line | {"failed": unable[step.pace]}
        elif left <= 0:
            yield step.line | {"failed": "no time left"}
        elif expected > LONGEST_S:
            yield step.line | {"failed": f"one run would take {expected:.1f} s"}
        else:
            yield step.line | _one(device, step, max(left / (len(todo) - done), LEAST_SLICE_S), rates, unable)


def _one(
    device: Device, step: Step, budget_s: float, rates: dict[tuple[str, str], float], unable: dict[tuple[str, str], str]
) -> dict[str, Any]:
    try:
        timing = device.timed(step.make(device), budget_s)
    except (RuntimeError, TypeError, AttributeError, NotImplementedError, ValueError) as fault:
        why = f"{type(fault).__name__}: {str(fault).strip().splitlines()[0] if str(fault).strip() else ''}"
        if "memory" in why.casefold():
            getattr(device.api, "empty_cache", lambda: None)()
        elif step.pace not in rates:
            unable[step.pace] = why  # the first of its kind fails: it is the kind, not the shape
        return {"failed": why}
    rates[step.pace] = max(step.work / timing.seconds, rates.get(step.pace, 0.0))
    return {"seconds": timing.seconds, "spread": timing.spread, "rounds": timing.rounds}


def main() -> None:
    """Say how many steps there are, then each as it is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precisions", default="fp32,bf16,int8")
    parser.add_argument("--attention", default="fp32")
    parser.add_argument("--seconds", type=float, default=120.0)
    asked = parser.parse_args()
    device = Device(asked.device)
    precisions = [p for p in asked.precisions.split(",") if p in DTYPES]
    todo = steps(
        [p for p in precisions if p != "tf32" or device.kind.name == "cuda"], asked.attention, on_cpu=device.is_cpu
    )
    say({"steps": len(todo), "versions": versions(find_kind(device.kind.name))})
    torch.manual_seed(0)
    with torch.inference_mode():
        for line in measurements(device, todo, asked.seconds):
            say(line)


if __name__ == "__main__":
    main()

"""The measuring process of `eke calibrate`: runs kernels on this machine's cores and prints what they reach.

It runs alone, with one BLAS thread a Python thread, so that one core and all cores are measured by the same code: NumPy
and torch let go of the interpreter lock inside these kernels. Rates are per second of the thread's own processor time,
so that a busy neighbour costs little. One line of JSON a measurement on stdout; knows no chip, no profile, no file.

Run as `python -m eke.cost.calibrate._cores`, with OMP_NUM_THREADS=1 and its like set before.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

ROUNDS = 6
ENOUGH = 3  # rounds that will do when time is up
BUDGET_S = 12.0
SECONDS = 0.1  # of one repeat
GEMM_SIZE = 1024
STREAM_BYTES = 384e6  # over all threads: more than the caches hold

Kernel = Callable[[], object]
Maker = Callable[[int], tuple[Kernel, float]]  # threads → what one thread runs, and the work of one run


def sgemm(threads: int) -> tuple[Kernel, float]:
    """FLOP of a square matrix product in fp32."""
    del threads
    a = np.ones((GEMM_SIZE, GEMM_SIZE), np.float32)
    b, c = a.copy(), np.empty_like(a)
    return lambda: np.matmul(a, b, out=c), 2.0 * GEMM_SIZE**3


def stream(threads: int) -> tuple[Kernel, float]:
    """Bytes read from memory: a dot product of two long vectors."""
    n = int(max(STREAM_BYTES / threads, 32e6) / 8)
    x, y = np.ones(n, np.float32), np.ones(n, np.float32)
    return lambda: np.dot(x, y), 8.0 * n


def torch_gemm(dtype: str) -> Maker:
    """FLOP of a square matrix product in torch's `dtype`."""

    def make(threads: int) -> tuple[Kernel, float]:
        del threads
        import torch

        torch.set_num_threads(1)
        kind = getattr(torch, dtype)
        a, b = (torch.ones(GEMM_SIZE, GEMM_SIZE).to(kind) for _ in range(2))
        product = torch._int_mm if dtype == "int8" else torch.mm
        return lambda: product(a, b), 2.0 * GEMM_SIZE**3

    return make


def kernels() -> dict[str, Maker]:
    """What can be measured here, by the name of the figure."""
    found: dict[str, Maker] = {"flops.fp32": sgemm, "memory_bandwidth": stream}
    if find_spec("torch") is not None:
        found |= {"flops.bf16": torch_gemm("bfloat16"), "flops.int8": torch_gemm("int8")}
    return found


def rate(make: Maker, cores: list[int]) -> float:
    """Work per second of processor time with one pinned thread a core, summed over the threads."""
    rates: list[float] = []
    faults: list[Exception] = []
    barrier = threading.Barrier(len(cores))

    def work(core: int) -> None:
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, {core})  # 0: this thread
            kernel, amount = make(len(cores))
            kernel()
            barrier.wait(timeout=60)
            rates.append(_rate(kernel, amount))
        except Exception as fault:  # noqa: BLE001 a thread's fault is the probe's; raised again below
            faults.append(fault)
            barrier.abort()

    threads = [threading.Thread(target=work, args=(core,)) for core in cores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return sum(rates)


def _rate(kernel: Kernel, amount: float) -> float:
    began, own, runs = time.perf_counter(), time.thread_time(), 0
    while time.perf_counter() - began < SECONDS or runs == 0:
        kernel()
        runs += 1
    return runs * amount / (time.thread_time() - own)


def measurements(cores: list[int]) -> Iterator[dict[str, Any]]:
    """Every figure on one core and on all, in rounds: a slow spell of the machine then touches few repeats of each.

    A kernel this machine cannot run is left out with its reason.
    """
    able, began = kernels(), time.monotonic()
    for done in range(ROUNDS):
        if done >= ENOUGH and time.monotonic() - began > BUDGET_S:  # others use this machine too
            return
        for name, make in list(able.items()):
            for used in ([cores[0]], cores):
                line: dict[str, Any] = {"name": name, "cores": len(used)}
                try:
                    line["rate"] = rate(make, used)
                except (RuntimeError, TypeError, AttributeError, ImportError, MemoryError) as fault:
                    line["failed"] = f"{type(fault).__name__}: {fault}"
                    able.pop(name, None)
                yield line


def main() -> None:
    """Print what there is to measure, then each measurement as it is done."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if find_spec("torch") is not None:
        from importlib.metadata import version

        versions["torch"] = version("torch")
    head = {"steps": 2 * ROUNDS * len(kernels()), "cores": len(cores), "versions": versions}
    _say(head)
    for line in measurements(cores):
        _say(line)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

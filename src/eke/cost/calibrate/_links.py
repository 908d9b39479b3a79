"""One of the processes that measure links: all-reduces of growing size between the chips of this machine.

One process a chip, all started by `devices.py`, meeting through a file. First two of them, then all: what a pair
reaches, and what a whole host does. The first prints one line of JSON a size. Knows no chip, no profile.

Run as `python -m eke.cost.calibrate._links --device cuda:0 --rank 0 --world 8 --meet /tmp/…/meet`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import timedelta

import torch
from torch import distributed

from eke.cost.calibrate._device import Device, backend, say

SIZES = tuple(2**n for n in range(13, 29, 3))  # 8 KB to 256 MB
ROUNDS = 5
PATIENCE = timedelta(seconds=300)


def main() -> None:
    """Meet, time, part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--world", type=int, required=True)
    parser.add_argument("--meet", required=True)
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    device = Device(asked.device)
    distributed.init_process_group(
        backend(device.kind), init_method=f"file://{asked.meet}", rank=asked.rank, world_size=asked.world,
        timeout=PATIENCE,
    )  # fmt: skip
    sizes = sorted({2, asked.world})
    if asked.rank == 0:
        say({"steps": len(SIZES) * len(sizes)})
    for ranks in sizes:
        group = distributed.new_group(list(range(ranks)))
        if asked.rank < ranks:
            _all_reduces(device, group, ranks, asked.seconds / len(sizes), speaks=asked.rank == 0)
        distributed.barrier()
    distributed.destroy_process_group()


def _all_reduces(device: Device, group: distributed.ProcessGroup, ranks: int, seconds: float, *, speaks: bool) -> None:
    """Sizes in turn, until `seconds` are used up on any of the ranks."""
    began = time.monotonic()
    for size in SIZES:
        dtype = torch.float32 if device.is_cpu else torch.float16
        tensor = torch.zeros(size // dtype.itemsize, dtype=dtype, device=device.torch)

        def reduce(x: torch.Tensor = tensor) -> None:
            distributed.all_reduce(x, group=group)

        times = max(1, min(20, 2**24 // size))  # the same on all ranks
        device.elapsed(reduce, times, wall=device.is_cpu)
        rounds = [device.elapsed(reduce, times, wall=device.is_cpu) / times for _ in range(ROUNDS)]
        low, median, high = statistics.quantiles(rounds, n=4)
        if speaks:
            line = {"what": "all-reduce", "ranks": ranks, "bytes": size, "seconds": median}
            say(line | {"spread": (high - low) / median, "rounds": ROUNDS})
        late = torch.tensor([float(time.monotonic() - began > seconds)], device=device.torch)
        distributed.all_reduce(late, op=distributed.ReduceOp.MAX, group=group)
        if late.item():
            return


if __name__ == "__main__":
    main()

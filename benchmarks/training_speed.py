"""How fast the trainer is on this machine: tokens a second of the tiny model, by threads and precision.

Each row is whole optimizer steps (forward, backward, update) in a process of its own.
The best of several steps is told, by the wall and by CPU time; on a busy machine only the second is comparable.

    python benchmarks/training_speed.py [--json OUT] [--steps 3] [--tokens 8192]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path

SEQUENCE = 256
FLOP_PER_PARAMETER = 6  # forward and backward, a token (Kaplan et al., arXiv:2001.08361)

COLUMNS = {"threads": 8, "precision": 11, "tokens_per_s": 14, "tokens_per_cpu_s": 18, "gflop_per_cpu_s": 17}


def measure(threads: int, precision: str, tokens: int, steps: int) -> dict[str, float | int | str]:
    """Best of `steps` optimizer steps of `tokens` tokens."""
    from eke.training.threads import wait_asleep

    wait_asleep()
    import torch

    from eke.training import job, loop, optimizer, text
    from eke.training.corpus import DEFAULT
    from eke.training.model import GPT

    torch.set_num_threads(threads)
    what = job.make("tiny", tokens=tokens, global_batch=tokens, threads=threads)
    net = GPT(what.model)
    net.initialise(what.seed)
    adam = optimizer.make(net, what)
    rows = text.batch(text.load(DEFAULT, SEQUENCE).train, SEQUENCE, what.seed, 0, what.sequences)
    wall, cpu = [], []
    for _ in range(steps + 1):  # the first is warm-up
        wall_from, cpu_from = time.perf_counter(), time.process_time()
        loop.accumulate(net, rows, what.micro_batch, precision)
        optimizer.update(net, adam, what.learning_rate)
        wall.append(time.perf_counter() - wall_from)
        cpu.append(time.process_time() - cpu_from)
    seconds, cpu_seconds = min(wall[1:]), min(cpu[1:])
    return {
        "threads": threads,
        "precision": precision,
        "tokens_per_s": round(tokens / seconds),
        "tokens_per_cpu_s": round(tokens / cpu_seconds),
        "gflop_per_cpu_s": round(FLOP_PER_PARAMETER * what.model.parameters * tokens / cpu_seconds / 1e9),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=8192, help="tokens a step")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    counts = sorted({1, *(2**n for n in range(cores.bit_length()) if 2**n <= cores), cores})
    rows = []
    print("".join(f"{key:>{width}}" for key, width in COLUMNS.items()))
    for threads in counts:
        for precision in ("bf16", "fp32"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row = pool.apply(measure, (threads, precision, arguments.tokens, arguments.steps))
            rows.append(row)
            print(
                "{threads:>7} {precision:>9} {tokens_per_s:>8} {tokens_per_cpu_s:>9} {gflop_per_cpu_s:>11}".format(
                    **row
                )
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"format": "eke.bench.training/1", "runs": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

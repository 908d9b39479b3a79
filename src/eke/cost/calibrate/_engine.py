"""The measuring process of the embedded engine: what llama.cpp's own kernels for quantised weights reach on one core.

They are integer vector code whose speed depends on the types of the weights and on the build, and follows no other
product closely. Two passes of one model tell their two rates apart: reading a prompt costs mostly products, writing a
token mostly the weights (fetched and unpacked once a pass). With w weights in the blocks and h in the output matrix:

    read m tokens   (w + h)/U + 2 (w m + h)/R        write one   (w + h)/U + 2 (w + h)/R

Seconds are of the process's own time, so that neighbours cost little. One line of JSON a measurement on stdout.

Run as `python -m eke.cost.calibrate._engine weights.gguf w h`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable

ROUNDS = 3
READ, WRITTEN = 48, 8  # tokens; enough that one pass more or less does not matter


def rates(read_s: float, write_s: float, blocks: float, head: float) -> tuple[float, float]:
    """(R in FLOP/s, U in weights/s) from the seconds to read `READ` tokens and to write one."""
    products = 2.0 * blocks * (READ - 1) / max(read_s - write_s, 1e-9)
    fetching = write_s - 2.0 * (blocks + head) / products
    return products, (blocks + head) / max(fetching, 0.05 * write_s)


def _engine(path: str) -> Callable[[int, int], float]:
    """A llama.cpp of one thread and one slot: (prompt, tokens written) → seconds of processor time."""
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path = path
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
    p.n_parallel, p.n_ctx, p.ui, p.warmup = 1, 256, False, False
    p.hostnames, p.port, p.verbosity = ["127.0.0.1"], 0, 0
    server, draw = xllamacpp.Server(p), random.Random(0)

    def run(prompt: int, written: int) -> float:
        tokens = [draw.randrange(1000, 20000) for _ in range(prompt)]
        began = time.process_time()
        server.handle_completions(
            {"prompt": tokens, "n_predict": written, "ignore_eos": True, "cache_prompt": False, "temperature": 0}
        )
        return time.process_time() - began

    return run


def main() -> None:
    """Print what there is to measure, then each measurement as it is done."""
    path, blocks, head = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    _say({"steps": 2 * ROUNDS, "cores": 1, "versions": {}})
    run = _engine(path)
    run(1, 1)
    for _ in range(ROUNDS):
        read = run(READ, 1)
        products, weights = rates(read, (run(1, 1 + WRITTEN) - run(1, 1)) / WRITTEN, blocks, head)
        _say({"name": "llamacpp.products", "cores": 1, "rate": products})
        _say({"name": "llamacpp.weights", "cores": 1, "rate": weights})


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

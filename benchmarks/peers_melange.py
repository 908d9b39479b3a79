"""Mélange's setting: one model at least cost over 4 to 8 kinds of GPU, its program and ours on the same instances.

    python benchmarks/peers_melange.py [--peer PYTHON] [--json OUT]

Mélange (arXiv 2404.14527) cuts the requests of each size into slices and gives every slice to one kind of GPU:

    minimise sum_g cost_g y_g   s.t.  sum_g x[i,g] = 1,  sum_i x[i,g] load[i,g] <= y_g,  x 0/1, y whole

Slices of one bucket are alike. Ours counts them instead, sum_g n[b,g] = slices, n whole: the same optimum, without the
many equal ways to reach it, and solved to a gap of 0. With `--peer` its own program is solved as it does (PuLP and CBC,
`pip install pulp==2.8.0`), in that interpreter. Its repository holds a 2 x 2 example and no profiles, so the instances
here are generated: rates of a memory- and compute-bound GPU, 60 buckets, seeded. The example is solved too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eke.cost import FloatArray
from eke.plan import solve
from eke.plan.part import Part

# Dollars an hour, bytes/s, FLOP/s, bytes: list prices of clouds of 2024 and datasheets, rounded; they set the scene.
GPUS = {
    "L4": (0.70, 0.30e12, 121e12, 24e9), "A10G": (1.01, 0.60e12, 125e12, 24e9), "A100": (3.67, 2.04e12, 312e12, 80e9),
    "H100": (7.52, 3.35e12, 989e12, 80e9), "L40S": (1.86, 0.86e12, 362e12, 48e9), "T4": (0.53, 0.32e12, 65e12, 16e9),
    "V100": (2.50, 0.90e12, 125e12, 32e9), "A40": (1.30, 0.70e12, 150e12, 48e9),
}  # fmt: skip
PROMPTS = (25, 100, 250, 500, 1000, 2000, 4000, 6000, 8000, 12000)
OUTPUTS = (25, 100, 250, 500, 1000, 2000)
WEIGHTS, KV_PER_TOKEN = 13.5e9, 524288.0  # bytes of Llama-2-7B in 16 bits, and of its cache
TPOT_S = 0.12
CENT = 0.01
EXAMPLE = {"A10G": (1.01, ((2, 1), (5, 2))), "A100-80GB": (3.67, ((20, 20), (40, 20)))}
SIZES = (
    (4, 8, 8.0),
    (4, 8, 64.0),
    (4, 8, 256.0),
    (8, 8, 64.0),
    (8, 8, 512.0),
    (8, 32, 64.0),
    (6, 4, 32.0),
    (6, 16, 128.0),
)
"""Kinds, slices a bucket, requests/s."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What is asked: dollars an hour of a GPU [kinds], requests/s of each bucket, and GPUs one request/s takes."""

    name: str
    cost: FloatArray  # [kinds]
    rate: FloatArray  # [buckets]
    load: FloatArray  # [buckets, kinds]
    slices: int


def instance(kinds: int, slices: int, rate: float) -> Instance:
    """Requests of sixty sizes, lognormal, on the first `kinds` GPUs."""
    cost, bandwidth, flops, memory = np.array(list(GPUS.values())[:kinds]).T
    prompt, output = (g.ravel().astype(float) for g in np.meshgrid(PROMPTS, OUTPUTS, indexing="ij"))
    share = np.exp(-((np.log(prompt / 500) / 1.2) ** 2) / 2 - (np.log(output / 200) / 1.0) ** 2 / 2)
    context = (prompt + output / 2)[:, None]
    fits = np.maximum(0.9 * memory - WEIGHTS, KV_PER_TOKEN) / (KV_PER_TOKEN * context)
    batch = np.clip(np.minimum(fits, (TPOT_S * bandwidth * 0.7 - WEIGHTS) / (KV_PER_TOKEN * context)), 1.0, 256.0)
    step = (WEIGHTS + batch * KV_PER_TOKEN * context) / (0.7 * bandwidth)
    seconds = output[:, None] * step / batch + prompt[:, None] * WEIGHTS / (0.5 * flops)
    return Instance(f"{kinds} kinds, {slices} slices, {rate:g}/s", cost, rate * share / share.sum(), seconds, slices)


def example() -> Instance:
    """The one in its repository."""
    cost = np.array([c for c, _ in EXAMPLE.values()])
    most = np.array([t for _, t in EXAMPLE.values()], dtype=float).reshape(2, -1).T
    return Instance("its example", cost, 30.0 * np.array([0.2, 0.1, 0.5, 0.2]), 1 / most, 1)


def ours(of: Instance) -> tuple[float, float, float]:
    """Cost, proven bound, CPU seconds: slices of a bucket counted together."""
    began = time.process_time()
    buckets, kinds = of.load.shape
    n = buckets * kinds
    at = np.arange(n)
    each = (of.load * (of.rate / of.slices)[:, None]).ravel()  # GPUs one slice takes
    rows = np.concatenate([at // kinds, buckets + at % kinds, buckets + np.arange(kinds)])
    columns = np.concatenate([at, at, n + np.arange(kinds)])
    entries = np.concatenate([np.ones(n), each, -np.ones(kinds)])
    given = np.full(buckets, float(of.slices))
    most = np.ceil(each.reshape(buckets, kinds).sum(axis=0) * of.slices + 1)
    upper = np.concatenate([np.full(n, float(of.slices)), most])
    posed = Part(
        np.arange(n + kinds), np.arange(buckets + kinds), np.zeros(n + kinds), upper,
        np.append(given, np.full(kinds, -np.inf)), np.append(given, np.zeros(kinds)), rows, columns, entries,
    )  # fmt: skip
    objective = -np.append(np.zeros(n), of.cost)
    gpus = np.append(np.zeros(n, dtype=bool), np.ones(kinds, dtype=bool))
    # Slices that may be cut: nothing costs less. Where whole slices fit the same GPUs, that is the optimum, proven.
    cut = solve.search(posed, objective, (posed.lower, upper), gpus, seconds=60.0, gap=0.0, slack=0.9 * CENT)
    assert cut.x is not None, "there are always enough GPUs to rent"
    held = np.where(gpus, cut.x, posed.lower), np.where(gpus, cut.x, upper)
    fits = solve.search(posed, np.zeros(n + kinds), held, ~gpus, seconds=1.0, gap=0.0)
    if fits.x is not None:
        return -cut.value, _whole(-cut.bound), time.process_time() - began
    got = solve.search(
        posed, objective, (posed.lower, upper), np.ones_like(gpus), seconds=60.0, gap=0.0, slack=0.9 * CENT
    )
    return -got.value, _whole(-got.bound), time.process_time() - began


def _whole(cost: float) -> float:
    """The least cost not below it: all are whole cents, so a plan less than a cent above the bound is the best."""
    return float(np.ceil(cost / CENT - 1e-6) * CENT)


PROGRAM = """
import json, sys, time, pulp
of = json.load(sys.stdin)
began = time.process_time()
slices = [(b, of["rate"][b] / of["slices"]) for b in range(len(of["rate"])) for _ in range(of["slices"])]
kinds = range(len(of["cost"]))
p = pulp.LpProblem("GpuAllocation", pulp.LpMinimize)
x = [[pulp.LpVariable(f"x_{i}_{g}", 0, 1, pulp.LpInteger) for g in kinds] for i in range(len(slices))]
y = [pulp.LpVariable(f"y_{g}", 0, None, pulp.LpInteger) for g in kinds]
p += pulp.lpSum(y[g] * of["cost"][g] for g in kinds)
for row in x:
    p += pulp.lpSum(row) == 1
for g in kinds:
    p += pulp.lpSum(x[i][g] * of["load"][b][g] * r for i, (b, r) in enumerate(slices)) <= y[g]
p.solve(pulp.PULP_CBC_CMD(msg=0, timeLimit=120))
import resource
cpu = time.process_time() - began + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
print(json.dumps({"status": pulp.LpStatus[p.status], "cost": pulp.value(p.objective), "cpu_s": cpu}))
"""
"""Its program, written anew from the paper and `melange/solver.py` (no licence: nothing of it is here)."""


def theirs(of: Instance, interpreter: Path) -> dict[str, Any]:
    """Status, cost and CPU seconds of its program, CBC's included."""
    posed = {"cost": of.cost.tolist(), "rate": of.rate.tolist(), "load": of.load.tolist(), "slices": of.slices}
    done = subprocess.run(
        [interpreter, "-c", PROGRAM], input=json.dumps(posed), capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer", type=Path, help="interpreter that holds pulp")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    print(f"{'dollars an hour':28}{'Eke':>10}{'proven':>10}{'CPU s':>7}{'Mélange':>12}{'CPU s':>8}")
    for of in (example(), *(instance(*size) for size in SIZES)):
        cost, bound, seconds = ours(of)
        row: dict[str, Any] = {"instance": of.name, "cost": cost, "bound": bound, "cpu_s": seconds}
        line = f"{of.name:28}{cost:10.3f}{bound:10.3f}{seconds:7.2f}"
        if asked.peer:
            row["melange"] = theirs(of, asked.peer)
            line += f"{row['melange']['cost']:12.3f}{row['melange']['cpu_s']:8.2f}"
        print(line, flush=True)
        rows.append(row)
    if asked.json:
        asked.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Time, memory and gap of a plan against the size of the fleet: the same kinds, demands grown with the chips.

    python benchmarks/plan_scale.py [--chips 1000 10000 …] [--json OUT]

12 kinds of chips, 40 workloads, 24 slots, generated under a seed; each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

KINDS = (
    "H800-SXM", "A800-SXM", "H20-96", "L20", "Ascend-910B2", "Ascend-910B3", "Kunlun-P800-OAM", "A10", "A100-SXM-80",
    "V100-SXM2-32", "T4", "Hygon-K100_AI",
)  # fmt: skip
MODELS = ("Qwen3-8B", "Qwen3-32B", "Hunyuan-7B-Instruct", "Hunyuan-A13B-Instruct", "Qwen2.5-1.5B", "ERNIE-4.5-21B-A3B")
SIZES = (1_000, 10_000, 100_000, 1_000_000)
PROFILES = ("flat", "office-day", "evening-peak")


def scenario(chips: int, workloads: int = 40, seed: int = 1) -> dict[str, Any]:
    """A generated scenario: 36 services, 2 jobs, 2 piles; rates in proportion to the chips."""
    rng = random.Random(seed)
    nodes = max(1, round(chips / 8 / len(KINDS)))
    pools = [{"name": f"p{i}", "chip": kind, "nodes": nodes, "scale_out": "200 Gb/s"} for i, kind in enumerate(KINDS)]
    owed: list[dict[str, Any]] = []
    for i in range(workloads - 4):
        prompt, output = rng.choice((400, 1000, 2500, 6000)), rng.choice((30, 130, 400))
        lengths = {"prompt": {"p50": prompt, "p99": 4 * prompt}, "output": {"p50": output, "p99": 4 * output}}
        rate = chips / workloads * rng.uniform(0.1, 0.6) * 200 / (prompt / 4 + output)
        traffic = {"rate": rate, "profile": rng.choice(PROFILES), "lengths": lengths}
        slo = {"ttft": f"{rng.choice((1, 2, 4))} s", "tpot": f"{rng.choice((50, 80, 120))} ms"}
        owed.append({"serve": f"s{i}", "model": rng.choice(MODELS), "traffic": traffic, "slo": slo})
    for i, model in enumerate(("Qwen3-32B", "Hunyuan-A13B-Instruct")):
        job = {"train": f"t{i}", "model": model, "tokens": 1e12, "sequence": 4096, "global_batch": 8e6}
        owed.append(job | {"pools": [p["name"] for p in pools][i::2]})
    for i in range(2):
        lengths = {"prompt": {"p50": 2000}, "output": {"p50": 200}}
        owed.append({"batch": f"b{i}", "model": "Qwen3-8B", "tokens_per_day": chips * 1e6, "lengths": lengths})
    return {
        "format": "eke.scenario/1",
        "name": f"scale-{chips}",
        "fleet": {"pools": pools},
        "workloads": owed,
        "slots": 24,
    }


def measure(chips: int) -> dict[str, Any]:
    """One plan, in this process."""
    from eke.plan import make, parse

    owed = parse(json.dumps(scenario(chips)))
    wall, cpu = time.perf_counter(), time.process_time()
    plan = make(owed)
    return {
        "chips": chips,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "gap": plan.objective.gap,
        "feasible": plan.feasible,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "parts": dict(plan.seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, nargs="*", default=SIZES)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.one:
        print(json.dumps(measure(told.one)))
        return
    runs = []
    print(f"{'chips':>10} {'seconds':>8} {'cpu':>8} {'gap':>8} {'memory':>9}")
    for chips in told.chips:
        command = [sys.executable, __file__, "--one", str(chips)]
        run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        gap = "-" if run["gap"] is None else f"{run['gap']:.2%}"
        memory = f"{run['peak_memory_bytes'] / 2**20:.0f} MiB"
        print(f"{chips:>10,} {run['seconds']:>8.1f} {run['cpu_seconds']:>8.1f} {gap:>8} {memory:>9}", flush=True)
        runs.append(run)
    if told.json:
        told.json.write_text(json.dumps({"runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""One model over mixed nodes: our placement and bound in Helix's own settings.

    python benchmarks/peers_helix.py [--json OUT]

Helix (ASPLOS 2025) places Llama-2-70B over 24 and 42 nodes by an integer program of layers and flow. What a node passes
with k layers is rebuilt by its rule from its measured layer times (`../shared/data/perf/layer_times`, or LAYER_TIMES in
the environment) and the cache sizes in its code; its plans, bounds and times are those of its own logs, on 20 threads.
Nodes are joined pairwise at 1 Gb/s: 268 Mb/s of activations a stage at 2,046 tokens/s, so links do not bind.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eke.plan.mixed_pipeline import Members, Pipeline, place

LAYERS = 80
PROMPT, OUTPUT = 750, 240  # tokens; Helix's mean request
BLOCK, USED = 16, 0.3  # tokens of a cache block; share of the cache Helix counts on
SOURCE = "Thesys-lab/Helix-ASPLOS25@148b733 (Apache-2.0)"
# Cache blocks vLLM found beside 1, 2, … layers, by kind of node (llama2_70b/*/llama2_70b_*.py).
BLOCKS = {
    "A100": (498326, 236107, 148700, 104997, 78775, 61294, 48807, 39442, 32158, 26331, 21564, 17591),
    "V100": (172256, 71952, 38517, 21800),
    "L4": (266146, 121017, 71296, 46944, 32333, 22592, 15634),
    "L4x2": (578630, 275491, 174956, 124689, 94529, 74422, 60060, 49288, 40910, 34208, 28724, 24155, 20288, 16974),
    "T4": (155320, 63484, 32872, 17566),
    "T4x2": (366898, 168665, 103099, 70316, 50646, 37533, 28167, 21142, 15678),
    "T4x4": (
        763104, 366320, 235082, 169464, 130092, 103845, 85097, 71036, 60099, 51350, 44192, 38226, 33179, 28852, 25102,
        21822, 18927, 16353,
    ),
}  # fmt: skip
# Layers a node is taken to hold, and its first guess of tokens/s through one layer, when the cache's share is found.
TYPICAL = {"A100": 8, "V100": 3, "L4": 4, "L4x2": 9, "T4": 3, "T4x2": 6, "T4x4": 12}
SPEED = {"A100": 80.0, "V100": 40.0, "L4": 20.0, "L4x2": 30.0, "T4": 12.5, "T4x2": 20.0, "T4x4": 30.0}


@dataclass(frozen=True, slots=True)
class Setting:
    """Nodes, and what Helix's own logs say of them: tokens/s planned, its bound, seconds on 20 threads."""

    name: str
    nodes: dict[str, int]
    planned: float
    bound: float
    seconds: float


SETTINGS = (
    Setting("24 nodes", {"A100": 4, "L4": 8, "T4": 12}, 1289.56, 78062.0, 600.0),
    Setting(
        "42 nodes",
        {"A100": 4, "V100": 6, "L4": 8, "L4x2": 4, "T4": 10, "T4x2": 6, "T4x4": 4},
        4892.24,
        275073.0,
        4382.0,
    ),
)


def folder() -> Path:
    """Where the layer times are."""
    return Path(os.environ.get("LAYER_TIMES", Path(__file__).parents[2] / "shared/data/perf/layer_times"))


def members(nodes: dict[str, int]) -> tuple[Members, ...]:
    """Tokens/s of each kind of node by layers held, as Helix works it out: ten rounds from a first guess."""
    speed = {n: SPEED[n] for n in nodes}
    for _ in range(10):
        speed = {n: _passes(n, TYPICAL[n], nodes, speed) * TYPICAL[n] for n in nodes}
    return tuple(
        Members(n, count, tuple(_passes(n, k, nodes, speed) for k in range(1, len(BLOCKS[n]) + 1)))
        for n, count in nodes.items()
    )


def _passes(kind: str, layers: int, nodes: dict[str, int], speed: dict[str, float]) -> float:
    """Tokens/s of a node: its batch is the share of the requests in the cache that are here, not elsewhere."""
    held = sum(nodes[n] * TYPICAL[n] for n in nodes)
    mean = sum(nodes[n] * TYPICAL[n] / speed[n] for n in nodes) / held
    here = layers / speed[kind]
    share = here / ((LAYERS - layers) * mean + here)
    requests = int(USED * BLOCK * BLOCKS[kind][layers - 1]) / (PROMPT + OUTPUT) * share
    prompts, decoding = requests / OUTPUT, round(requests)
    read = round(prompts * PROMPT)
    if prompts > 1:
        prompts, read, decoding = 1.0, PROMPT, OUTPUT
    seconds = _layer(kind, "prompt", int(read / prompts)) + _layer(kind, "decode", decoding) / prompts
    return float((read + decoding) / prompts / (layers * seconds))


def _layer(kind: str, phase: str, tokens: float) -> float:
    """Seconds of one layer, measured."""
    with (folder() / f"llama2_70b_{kind.lower()}_{phase}_bs2time.csv").open(encoding="utf-8") as lines:
        rows = [(float(n), float(ms)) for n, ms in csv.reader(lines)]
    return float(np.interp(tokens, *zip(*rows, strict=True))) / 1e3


def measure(setting: Setting) -> tuple[Pipeline, float]:
    """Our pipeline, and the CPU seconds it took."""
    of = members(setting.nodes)
    began = time.process_time()
    found = place(of, LAYERS)
    return found, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if not folder().is_dir():
        parser.exit(64, f"no layer times in {folder()}; set LAYER_TIMES to the folder that holds them\n")
    runs = []
    print(
        f"{'Llama-2-70B, tokens/s':22}{'Eke':>9}{'bound':>9}{'bound/plan':>12}{'CPU s':>7}   Helix's logs: plan, bound"
    )
    for setting in SETTINGS:
        found, seconds = measure(setting)
        over = found.bound / found.rate
        print(f"{setting.name:22}{found.rate:9.1f}{found.bound:9.1f}{over:12.3f}{seconds:7.2f}", end="   ")
        print(f"{setting.planned:8.1f}{setting.bound:9.0f} after {setting.seconds:.0f} s")
        alike = Counter((s.layers, tuple(sorted(s.members.items())), round(s.rate)) for s in found.stages)
        for (layers, held, rate), count in alike.items():
            by = " + ".join(f"{n} {name}" for name, n in held)
            print(f"    {count:2} stages of {layers:2} layers  {by:20}{rate:7}")
        runs.append(
            {
                "setting": setting.name, "tokens_per_s": found.rate, "bound": found.bound, "cpu_seconds": seconds,
                "helix": {"tokens_per_s": setting.planned, "bound": setting.bound, "seconds": setting.seconds},
            }
        )  # fmt: skip
    if asked.json:
        asked.json.write_text(json.dumps({"source": SOURCE, "runs": runs}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

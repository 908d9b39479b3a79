"""Serving predictions against figures that no coefficient was fitted to: GPUStack's lab (A100, H100, Ascend 910B under
vLLM, SGLang, TensorRT-LLM, MindIE) and operators' statements (H800, H20, Kunlun P800).

These say little about their set-up; what is taken where they say nothing stands beside it. Predicted over stated speed
is printed by chip.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eke.cost import CostModel, Layouts
from eke.cost.tables import FloatArray
from eke.errors import EkeError
from eke.fleet import catalogue as chips
from eke.fleet.chip import Chip
from eke.models.variant import Variant
from serving_rows import find_model, variant

SEED = 1
STEP_TOKENS = {"vllm": 8192, "sglang": 8192, "trtllm": 8192}
# Sequences at once where a command line names none: vLLM takes 1,024 on chips of 70 GiB and more that are not an A100,
# 256 elsewhere (engine/arg_utils.py); the others as many as their cache holds.
SEQUENCES = {"vllm": 1024, "sglang": 1024, "trtllm": 2048}
FEW, FEW_ON = 256, ("A100", "Ascend")


@dataclass(frozen=True, slots=True)
class Check:
    """One stated speed: tokens/s, and what is predicted for it."""

    group: str
    name: str
    stated: float
    predicted: float


def report(perf: Path, *, rows: bool = False) -> dict[str, Any]:
    """Predicted over stated speed, by source and chip; printed."""
    found: dict[str, Any] = {}
    for title, checks in (
        ("GPUStack's lab", lab(perf)),
        ("operators", stated(perf)),
    ):
        by: dict[str, list[Check]] = defaultdict(list)
        for check in checks:
            by[check.group].append(check)
        print(f"{title:36} {'rows':>5} {'error':>7} {'ratio':>6}   predicted over stated speed, nothing fitted")
        for group, some in sorted(by.items()):
            ratio = np.array([c.predicted / c.stated for c in some])
            print(f"  {group:34} {len(some):5d} {np.median(abs(ratio - 1)):7.1%} {np.median(ratio):6.2f}")
            found[f"{title}: {group}"] = {"rows": len(some), "median_error": float(np.median(abs(ratio - 1))),
                                          "ratio": float(np.median(ratio))}  # fmt: skip
            if rows:
                for c in some:
                    print(f"      {c.predicted / c.stated:5.2f} {c.stated:10.1f} {c.name}")
    return found


# --- GPUStack's lab: all requests at once, output tokens a second -----------------------------------------------------

ENGINES = {"vllm serve": "vllm", "sglang.launch_server": "sglang", "trtllm-serve": "trtllm", "mindie serve": "vllm"}
LAB_CHIPS = {"H200": "H200-SXM", "H100": "H100-SXM", "A100": "A100-SXM-80", "910B": "Ascend-910B3"}
OTHERWISE = re.compile(
    r"-dp|--dp|enable-dp|expert-parallel|ep-size|ep_size|speculative|AWQ|W8A8|prefix-caching|fp8_e4m3|pp "
)


def lab(perf: Path) -> Iterator[Check]:
    """Runs whose command line is plain: tensor ranks alone, weights in 16 or 8 bits."""
    seen = set()
    with (perf / "serving_gpustack_lab.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            script = row["serving_script"]
            engine = next((known for tag, known in ENGINES.items() if tag in script), None)
            if engine is None or OTHERWISE.search(script) or float(row["request_rate"] or 1000) < 100:
                continue
            name = re.search(r"(?:serve|--model-path) +(\S+)", script)
            chip = next((c for tag, c in LAB_CHIPS.items() if tag in row["hardware"]), None)
            requests, inside, outside = (
                int(float(row[k])) for k in ("successful_requests", "input_tokens", "output_tokens")
            )
            tp = int((re.search(r"(?:-tp|--tp-size|--tp_size) +(\d+)", script) or [0, 1])[1])
            if name is None or chip is None or row["max_concurrency"]:
                continue
            key = (name[1], chip, "mindie" if "mindie" in script else engine, tp, requests, inside // 10_000)
            if key in seen:  # the first of several settings is the engine as it comes
                continue
            seen.add(key)
            try:
                speed = at_once(name[1], chips.chip(chip), engine, tp, requests, inside / requests, outside / requests)
            except EkeError:
                continue
            tool = "MindIE" if "mindie" in script else engine
            yield Check(f"{chip}, {tool}", f"{name[1]} tp{tp} {inside // requests} in, {outside // requests} out",
                        float(row["out_tok_per_s"]), speed)  # fmt: skip


def at_once(name: str, chip: Chip, engine: str, tp: int, requests: int, prompt: float, output: float) -> float:
    """Output tokens a second where all requests come at once; lengths are exponential about their means (assumed), or
    equal where prompts are long.
    """
    model = find_model(name)
    held = variant({"precision": "fp8" if "FP8" in name.upper() else ""}, model, chip)
    cost = CostModel(model, chip, held, engine=engine)
    draw = np.random.default_rng(SEED)
    equal = prompt > 4096
    reads = np.full(requests, prompt) if equal else np.maximum(draw.exponential(prompt, requests), 4.0)
    writes = np.full(requests, output) if equal else np.maximum(draw.exponential(output, requests), 1.0)
    most = FEW if engine == "vllm" and chip.name.startswith(FEW_ON) else SEQUENCES[engine]
    return float(writes.sum()) / _finish(cost, Layouts.of(tp), reads, writes.round(), most, STEP_TOKENS[engine])


def _finish(cost: CostModel, layout: Layouts, left: FloatArray, more: FloatArray, most: int, budget: float) -> float:
    """Seconds until the last of these requests is done: first come, first served, prompts in pieces beside decodes."""
    room = float(cost.max_sequences(layout, 1.0)[0])
    if room <= 0:
        raise EkeError("the weights do not fit")
    left, more = left.copy(), more.copy()
    whole = left + more
    held = np.zeros_like(left)
    now, next_one, running = 0.0, 0, np.zeros(0, dtype=int)
    while next_one < len(left) or len(running):
        while next_one < len(left) and len(running) < most:
            promised = held[running].sum() + left[running].sum() + left[next_one]
            if promised > room and len(running):
                break
            running = np.append(running, next_one)
            next_one += 1
        reading = left[running] > 0
        decoding = running[~reading]
        read = 0.0
        for k in running[reading]:
            part = min(left[k], budget - len(decoding) - read)
            if part <= 0:
                break
            left[k] -= part
            held[k] += part
            read += part
        # Where nothing is read, several like steps are taken at once, until the next request is done or comes in.
        steps = 1.0
        if not reading.any():
            steps = max(float(more[decoding].min()), 1.0)
        context = float(held[decoding].mean() + steps / 2) if len(decoding) else float(whole[running].mean())
        now += steps * float(cost.mixed(layout, read, float(len(decoding)), context).seconds[0])
        held[decoding] += steps
        more[decoding] -= steps
        running = running[more[running] > 0]
    return now


# --- What operators state ---------------------------------------------------------------------------------------------


def stated(perf: Path) -> Iterator[Check]:
    """DeepSeek's production, RTP-LLM's and SGLang's reports, Kunlun's table: each read as its source describes it."""
    with (perf / "published_serving.csv").open(encoding="utf-8") as lines:
        table = {
            (r["software"], r["model"], r["metric"]): float(r["value"].split("-")[0]) for r in csv.DictReader(lines)
        }
    deep = find_model("DeepSeek-V3")
    fp8 = Variant("fp8", 8.0, "fp8", 16.0, None)
    on = CostModel(deep, chips.chip("H800-SXM"), fp8, engine="sglang")
    # Production decodes over 18 nodes (EP144) and reads over 4 (EP32): open-infra-index, day 6. 20-22 tokens/s a user
    # at that speed makes 88 sequences a chip, 4,989 tokens each.
    node = table["DeepSeek in-house", "DeepSeek-V3/R1", "decode output throughput"]
    yield _decoded(
        "H800, DeepSeek's production", "decode, EP144", on, Layouts.of(1, 1, 144, 144), 8, node, node / 8 / 21.0, 4989
    )
    # 56.3% of what is read comes from a cache on disk and costs nothing here. Prompt length is not stated: 4,096 taken.
    node = table["DeepSeek in-house", "DeepSeek-V3/R1", "prefill input throughput"] * (1 - 0.563)
    yield _read("H800, DeepSeek's production", "prefill, EP32", on, Layouts.of(1, 1, 32, 32), 8, node)
    node = table["RTP-LLM", "DeepSeek-V3/R1", "decode throughput"]
    yield _decoded(
        "H800, RTP-LLM", "decode, EP128 taken", on, Layouts.of(1, 1, 128, 128), 8, node, node / 8 / 20.0, 4096 + 1024
    )
    node = table["RTP-LLM", "DeepSeek-V3/R1", "prefill throughput"]
    yield _read("H800, RTP-LLM", "prefill, EP32 taken", on, Layouts.of(1, 1, 32, 32), 8, node)
    h20 = CostModel(deep, chips.chip("H20-96"), fp8, engine="sglang")
    node = table["SGLang", "DeepSeek-R1", "prefill throughput"]
    yield _read("H20, SGLang", "prefill, TP8", h20, Layouts.of(8), 8, node)
    # Lengths are not stated: 1,024 in and 1,024 out taken.
    int8 = Variant("int8", 8.0, "int8", 16.0, None)
    for model, name in (
        ("DeepSeek-R1 671B", "DeepSeek-V3"),
        ("70B", "Llama-3.1-70B"),
        ("32B", "Qwen3-32B"),
        ("14B", "Qwen3-14B"),
    ):
        kunlun = CostModel(find_model(name), chips.chip("Kunlun-P800-OAM"), int8, engine="vllm")
        yield _decoded("Kunlun P800, Qianfan", f"{model} INT8, TP8, 256 at once", kunlun, Layouts.of(8), 8,
                       table["Qianfan", model, "throughput"], 256 / 8, 1536)  # fmt: skip


def _decoded(
    group: str,
    name: str,
    cost: CostModel,
    layout: Layouts,
    chips_of: int,
    speed: float,
    per_chip: float,
    context: float,
) -> Check:
    """Output tokens/s of `chips_of` chips with `per_chip` sequences a chip."""
    n = float(layout.chips[0])
    seconds = float(cost.decode(layout, per_chip * n, context).seconds[0])
    return Check(group, f"{name}, {per_chip:.0f} a chip: {seconds * 1e3:.0f} ms", speed, per_chip * chips_of / seconds)


def _read(group: str, name: str, cost: CostModel, layout: Layouts, chips_of: int, speed: float) -> Check:
    """Input tokens/s of `chips_of` chips, prompts of 4,096 tokens four at a time."""
    prompts = 4.0
    seconds = float(cost.prefill(layout, 4096.0, prompts=prompts).seconds[0])
    data = float(layout.dp[0])
    return Check(group, name, speed, 4096.0 * prompts * data / seconds * chips_of / float(layout.chips[0]))

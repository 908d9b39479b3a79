"""Predictions against older figures: layers on T4, L4, V100 and A100 (Helix), Llama-2-70B and BLOOM under early vLLM
(Splitwise), and each request of a logged vLLM run (LLMServingSim). Prints and returns median absolute errors.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eke.cost import CostModel, Layouts
from eke.cost.tables import FloatArray, Times
from eke.fleet import catalogue as chips
from eke.models import catalogue as models
from eke.models.architecture import Architecture, Attention, Block, FeedForward
from eke.models.variant import Variant

FP16 = Variant("fp16", 16.0, "fp16", 16.0, None)
LAYER_CHIPS = {"a100": "A100-SXM-40", "v100": "V100-SXM2-16", "l4": "L4", "t4": "T4"}


def llama_30b() -> Architecture:
    """LLaMA-30B (Touvron et al. 2023, table 2), which the catalogue does not have."""
    h, wide = 6656, 3 * 6656 * 17920
    attention = Attention("full", 52, 52, 128, 128, parameters=4 * h * h)
    block = Block(60, attention, FeedForward(17920, 3, wide, wide))
    return Architecture("LLaMA-30B", h, 32000, (block,), 32000 * h, 32000 * h)


LAYER_MODELS: dict[str, Callable[[], Architecture]] = {
    "llama1_30b": llama_30b,
    "llama2_70b": lambda: models.architecture("Llama-2-70B"),
}
PROMPT, CONTEXT = 763, 880  # mean tokens of the trace these layers were measured for: prompt; with half an answer
ENDS = ("head", "engine", "pipeline send")


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds of one layer over batch sizes, on `chips` (one kind, perhaps several) in a phase: [n] each."""

    model: str
    chips: str
    phase: str
    measured: FloatArray
    predicted: FloatArray


def layer_curves(perf: Path) -> Iterator[Curve]:
    """The files of layer times; times below two of the file's steps are left out."""
    for file in sorted((perf / "layer_times").glob("*_bs2time.csv")):
        family, size, device, phase, _ = file.stem.split("_")
        kind, _, many = device.partition("x")
        try:
            model = LAYER_MODELS[f"{family}_{size}"]()
            cost = CostModel(model, chips.chip(LAYER_CHIPS[kind]), FP16, chips_per_node=int(many or 1))
        except KeyError:
            continue
        batch, seconds = _curve(file)
        layout = Layouts.of(np.full(len(batch), int(many or 1)))
        yield Curve(model.name, device, phase, seconds, _layer(cost, layout, batch, phase) / model.layers)


def layers(perf: Path) -> dict[str, Any]:
    """Seconds of one layer, at the batch sizes of the files."""
    errors: dict[str, list[float]] = defaultdict(list)
    for curve in layer_curves(perf):
        size = curve.model.rsplit("-", 1)[-1].lower()
        errors[f"{size} {curve.chips} {curve.phase}"] += list(abs(curve.predicted / curve.measured - 1.0))
    return _medians("layer times", errors)


def _curve(file: Path) -> tuple[FloatArray, FloatArray]:
    table = np.loadtxt(file, delimiter=",")
    table = table[table[:, 1] >= (2.0 if "prompt" in file.stem else 1.0)]
    return table[:, 0], table[:, 1] / 1e3


def _layer(cost: CostModel, layout: Layouts, batch: FloatArray, phase: str) -> FloatArray:
    if phase == "prompt":
        prompts = np.maximum(np.round(batch / PROMPT), 1.0)
        return _inner(cost.prefill(layout, batch / prompts, prompts=prompts))
    return _inner(cost.decode(layout, batch, CONTEXT))


def _inner(times: Times) -> FloatArray:
    kept = [name not in ENDS for name in times.operators]
    total: FloatArray = times.by_operator[kept].sum(axis=0)
    return total


SPLITWISE_CHIPS = {"a100-80gb": "A100-SXM-80", "h100-80gb": "H100-SXM"}
SPLITWISE_MODELS = {"llama2-70b": "Llama-2-70B", "bloom-176b": "BLOOM-176B"}


def splitwise(perf: Path) -> dict[str, Any]:
    """Prompt and token times of Llama-2-70B and BLOOM-176B; runs under a power cap are left out."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with (perf / "splitwise_perf_model.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["hardware"] in SPLITWISE_CHIPS:
                groups[row["model"], row["hardware"]].append(row)
    errors: dict[str, list[float]] = defaultdict(list)
    for (model, device), rows in groups.items():
        cost = CostModel(
            models.architecture(SPLITWISE_MODELS[model]), chips.chip(SPLITWISE_CHIPS[device]), FP16, engine="eager"
        )
        names = ("tensor_parallel", "batch_size", "prompt_size", "token_size", "prompt_time", "token_time")
        tp, batch, prompt, output, ttft, tpot = (np.array([float(row[n]) for row in rows]) for n in names)
        layout = Layouts.of(tp.astype(int))
        reads = cost.prefill(layout, prompt, prompts=batch).seconds + cost.profile.request_s
        steps = cost.decode(layout, batch, prompt + output / 2).seconds
        errors[f"{model} {device} prompt"] += list(abs(reads / ttft * 1e3 - 1.0))
        errors[f"{model} {device} token"] += list(abs(steps / tpot * 1e3 - 1.0))
    return _medians("splitwise", errors)


REQUEST_CHIPS = {"rtx4090": "RTX-4090", "rtxpro6000": "RTX-PRO-6000-Server"}
TOKENS_A_STEP, MOST_SEQUENCES = 2048, 128  # what the engine of these logs was started with


def requests(perf: Path) -> dict[str, Any]:
    """Each request of a logged run, the engine's iterations replayed one by one."""
    found = {}
    for file in sorted((perf / "serving_requests").glob("*.jsonl")):
        log = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        log.sort(key=lambda r: r["queued_ts"])
        ttft, tpot = replay(REQUEST_CHIPS[file.stem.split("_")[0]], log)
        first = np.array([r["first_token_ts"] - r["queued_ts"] for r in log])
        each = np.array([(r["last_token_ts"] - r["first_token_ts"]) / max(r["output_toks"] - 1, 1) for r in log])
        found[file.stem] = {
            "rows": len(log),
            "ttft_mean_error": float(ttft.mean() / first.mean() - 1.0),
            "tpot_mean_error": float(tpot.mean() / each.mean() - 1.0),
            "ttft_median_error": float(np.median(abs(ttft / first - 1.0))),
            "tpot_median_error": float(np.median(abs(tpot / each - 1.0))),
        }
        shown = {name.replace("_", " "): value for name, value in found[file.stem].items() if name != "rows"}
        line = "  ".join(f"{name} {value:.1%}" for name, value in shown.items())
        print(f"requests {file.stem} {len(log)}: {line}")
    return found


def replay(chip: str, log: list[dict[str, Any]]) -> tuple[FloatArray, FloatArray]:
    """Seconds to the first token and for each after it, by request: first come, first served, chunks beside decodes."""
    bf16 = Variant("bf16", 16.0, "bf16", 16.0, None)
    cost = CostModel(models.architecture("Llama-3.1-8B"), chips.chip(chip), bf16)
    one = Layouts.of(1)
    room = float(cost.max_sequences(one, 1.0)[0])  # tokens
    came = np.array([r["queued_ts"] for r in log]) - log[0]["queued_ts"]
    left = np.array([r["input_toks"] for r in log], dtype=float)
    more = np.array([r["output_toks"] for r in log], dtype=float)
    held, first, last = left * 0, left * 0, left * 0
    now, next_one, running = 0.0, 0, list[int]()
    while next_one < len(log) or running:
        while next_one < len(log) and came[next_one] <= now and len(running) < MOST_SEQUENCES:
            if held[running].sum() + left[running].sum() + left[next_one] > room:
                break
            running.append(next_one)
            next_one += 1
        if not running:
            now = came[next_one]
            continue
        decoding = [k for k in running if left[k] == 0]
        budget = float(TOKENS_A_STEP - len(decoding))
        read = 0.0
        for k in running:
            if left[k] > 0 and budget > 0:
                part = min(left[k], budget)
                left[k] -= part
                held[k] += part
                budget -= part
                read += part
                if left[k] == 0:
                    decoding.append(k)
        context = float(held[decoding].mean()) if decoding else float(held[running].mean())
        now += float(cost.mixed(one, read, float(len(decoding)), context).seconds[0])
        for k in decoding:
            held[k] += 1
            more[k] -= 1
            first[k] = first[k] or now
            last[k] = now
        running = [k for k in running if more[k] > 0]
    out = np.array([max(r["output_toks"] - 1, 1) for r in log])
    return first - came + cost.profile.request_s, (last - first) / out


def _medians(title: str, errors: dict[str, list[float]]) -> dict[str, Any]:
    everything = [error for some in errors.values() for error in some]
    print(f"{title:36} {len(everything):5d} {np.median(everything):7.1%}   median absolute error")
    for name, some in errors.items():
        print(f"  {name:34} {len(some):5d} {np.median(some):7.1%}")
    groups = {name: {"rows": len(some), "median_error": float(np.median(some))} for name, some in errors.items()}
    return {"all": {"rows": len(everything), "median_error": float(np.median(everything))}, **groups}

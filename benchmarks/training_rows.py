"""Published training speeds as rows the cost model can be asked about. Reads `../shared/data/perf`; predicts nothing.

A row that states its layout keeps it. What a row leaves open is `None` and found by search (`fidelity_training`).
Choices that are ours, not the source's, are marked `assumed` and listed in docs/how-good-training.md.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from eke.fleet import catalogue as chips
from eke.fleet.chip import Chip
from eke.models import catalogue as models
from eke.models.architecture import Architecture, Attention, Block, FeedForward

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "perf"


@dataclass(frozen=True, slots=True)
class Row:
    """One measured run: what it is, and tokens/s of one chip."""

    source: str
    model: str
    chip: str
    family: str
    chips: int
    precision: str
    sequence: int
    batch: int | None  # sequences a step
    measured: float
    tp: int | None = None
    pp: int = 1
    ep: int = 1
    cp: int = 1
    micro: int = 1
    chunks: int | None = None
    sharding: str = "zero1"
    recompute: str | None = None
    frozen: bool = False
    note: str = ""

    @property
    def stated(self) -> bool:
        """Whether the layout is known."""
        return self.tp is not None

    @property
    def name(self) -> str:
        """Short name for a table."""
        return f"{self.model} {self.precision} {self.chips}x{self.chip} s{self.sequence} {self.note}".strip()


# Chips that the catalogue lacks, by the relative they differ from.
@cache
def chip(name: str) -> Chip:
    """A chip of the catalogue, or one of a source that no catalogue has."""
    if name == "H100-96-HBM2e":  # torchtitan's: 96 GB HBM2e at 2.4 TB/s, 500 W (their benchmark notes)
        base = chips.chip("H100-SXM")
        return replace(base, name=name, memory=96e9, memory_bandwidth=2.4e12, relative="H100-SXM")
    return chips.chip(name)


MPT = {  # layers, width, heads: llm-foundry scripts/train/yamls, MPT sizes
    "125m": (12, 768, 12), "350m": (24, 1024, 16), "760m": (24, 1536, 12), "1b": (24, 2048, 16), "3b": (32, 2560, 20),
    "7b": (32, 4096, 32), "13b": (40, 5120, 40), "30b": (48, 7168, 56), "70b": (80, 8192, 64),
}  # fmt: skip
OTHERS = {  # layers, width, heads, kv heads, feed-forward width, vocabulary, matrices; from the models' config.json
    "Aquila2-7B": (32, 4096, 32, 32, 11008, 100008, 3), "Baichuan-7B": (32, 4096, 32, 32, 11008, 64000, 3),
    "Baichuan-13B": (40, 5120, 40, 40, 13696, 64000, 3), "Baichuan2-13B": (40, 5120, 40, 40, 13696, 125696, 3),
    "Bloom-7B1": (30, 4096, 32, 32, 16384, 250880, 2), "Bloom-176B": (70, 14336, 112, 112, 57344, 250880, 2),
    "ChatGLM3-6B": (28, 4096, 32, 2, 13696, 65024, 3), "InternLM-7B": (32, 4096, 32, 32, 11008, 103168, 3),
    "InternLM-65B": (80, 8192, 64, 64, 22016, 65632, 3), "LLaMA-7B": (32, 4096, 32, 32, 11008, 32000, 3),
    "LLaMA-65B": (80, 8192, 64, 64, 22016, 32000, 3), "Qwen-7B": (32, 4096, 32, 32, 11008, 151936, 3),
    "Qwen-14B": (40, 5120, 40, 40, 13696, 152064, 3), "Qwen-72B": (80, 8192, 64, 64, 24576, 152064, 3),
    "Qwen1.5-1.8B": (24, 2048, 16, 16, 5504, 151936, 3), "Qwen1.5-4B": (40, 2560, 20, 20, 6912, 151936, 3),
    "Qwen1.5-7B": (32, 4096, 32, 32, 11008, 151936, 3), "Qwen1.5-14B": (40, 5120, 40, 40, 13696, 152064, 3),
    "Qwen1.5-32B": (64, 5120, 40, 8, 27392, 152064, 3), "Qwen1.5-72B": (80, 8192, 64, 64, 24576, 152064, 3),
    "Qwen1.5-110B": (80, 8192, 64, 8, 49152, 152064, 3), "Qwen2-72B": (80, 8192, 64, 8, 29568, 152064, 3),
    "Gemma-2B": (18, 2048, 8, 1, 16384, 256000, 3), "Gemma-7B": (28, 3072, 16, 16, 24576, 256000, 3),
    "Gemma2-9B": (42, 3584, 16, 8, 14336, 256000, 3), "Gemma2-27B": (46, 4608, 32, 16, 36864, 256000, 3),
    "MiniCPM-2B": (40, 2304, 36, 36, 5760, 122753, 3), "GPT-175B": (96, 12288, 96, 96, 49152, 64000, 2),
    "MT-NLG-530B": (105, 20480, 128, 128, 81920, 51200, 2),
}  # fmt: skip
HEAD_DIM = {"Gemma-2B": 256, "Gemma-7B": 256, "Gemma2-9B": 256, "Gemma2-27B": 128}
SAME = {"Llama2-7B": "Llama-2-7B", "Llama2-70B": "Llama-2-70B", "LLaMA3-8B": "Llama-3-8B",
        "LLaMA3.1-8B": "Llama-3.1-8B", "LLaMA3.1-70B": "Llama-3.1-70B", "LLaMA2-7B": "Llama-2-7B"}  # fmt: skip


def dense(
    name: str, layers: int, h: int, heads: int, kv: int, width: int, vocabulary: int, matrices: int
) -> Architecture:
    """A plain decoder."""
    d = HEAD_DIM.get(name, h // heads)
    attention = Attention("full", heads, kv, d, d, parameters=2 * h * (heads + kv) * d)
    one = matrices * h * width
    return Architecture(
        name,
        h,
        vocabulary,
        (Block(layers, attention, FeedForward(width, matrices, one, one)),),
        vocabulary * h,
        vocabulary * h,
    )


@cache
def architecture(name: str) -> Architecture:
    """A model of the catalogue, or one written down here."""
    if name.startswith("mpt-"):
        layers, h, heads = MPT[name[4:]]
        return dense(name, layers, h, heads, heads, 4 * h, 50368, 2)
    if name in OTHERS:
        return dense(name, *OTHERS[name])
    if name == "Qwen1.5-MoE-A2.7B":  # config.json: 24 layers, 60 experts of 1408, 4 a token, shared 5632
        one, h = 3 * 2048 * 1408, 2048
        attention = Attention("full", 16, 16, 128, 128, parameters=4 * h * h)
        shared = 3 * h * 5632
        f = FeedForward(
            1408, 3, 60 * one + shared, 4 * one + shared, experts=60, experts_per_token=4, shared_intermediate=5632
        )
        return Architecture(name, h, 151936, (Block(24, attention, f),), 151936 * h, 151936 * h)
    return models.architecture(SAME.get(name, name))


def _read(file: str) -> list[dict[str, str]]:
    with (DATA / file).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


BRIDGE_MODELS = {"LLAMA3_8B": "Llama-3-8B", "LLAMA3_70B": "Llama-3-70B", "LLAMA3.1_405B": "Llama-3.1-405B",
                 "DeepSeekV3": "DeepSeek-V3", "Qwen3_30B_a3B": "Qwen3-30B-A3B", "Qwen3_235B_a22B": "Qwen3-235B-A22B",
                 "GPT OSS 120B": "gpt-oss-120b"}  # fmt: skip
BRIDGE_CHIPS = {"B200": "B200-SXM", "H100": "H100-SXM"}
BRIDGE_EXPERTS = {"H100-SXM Qwen3-235B-A22B": 2048}  # global batch of the row whose cell is malformed: assumed


def bridge() -> Iterator[Row]:
    """Megatron-Bridge's performance summary: two files, some rows in both."""
    seen = set()
    for r in _read("training_megatron_bridge.csv"):
        model, on = BRIDGE_MODELS[r["model"]], BRIDGE_CHIPS.get(r["system"], r["system"])
        gbs = int(r["gbs"] or BRIDGE_EXPERTS[f"{on} {model}"])
        layout = {k: int(r[k] or 1) for k in ("tp", "pp", "cp", "ep", "mbs", "fsdp")}
        row = _bridge(
            model,
            on,
            int(r["gpus"]),
            r["precision"],
            gbs,
            int(r["seq_len"]),
            layout,
            r["vp"],
            r["tokens_per_s_per_gpu"],
        )
        seen.add((row.model, row.chip, row.precision, row.note, round(row.measured)))
        yield row
    for r in _read("published_training_runs.csv"):
        if not r["run"].startswith("Megatron-Bridge"):
            continue
        cells = dict(re.findall(r"(FSDP|TP|PP|CP|VP|EP|MBS|GA)(\d*)", r["parallelism"]))
        layout = {k.lower(): int(cells[k] or 1) for k in ("TP", "PP", "CP", "EP", "MBS", "FSDP")}
        row = _bridge(r["model"], r["chip"], int(r["chips"]), r["precision"], int(r["global_batch"]), int(r["seq_len"]),
                      layout, cells["VP"], r["tokens_per_s_per_chip"])  # fmt: skip
        if (row.model, row.chip, row.precision, row.note, round(row.measured)) not in seen:
            yield row


def _bridge(
    model: str, on: str, gpus: int, precision: str, gbs: int, s: int, at: dict[str, int], vp: str, rate: str
) -> Row:
    p = {"BF16": "bf16", "NVFP4": "fp4"}.get(precision, "fp8")
    return Row(
        "Megatron-Bridge",
        model,
        on,
        "megatron-bridge",
        gpus,
        p,
        s,
        gbs,
        float(rate),
        at["tp"],
        at["pp"],
        at["ep"],
        at["cp"],
        at["mbs"],
        int(vp) if vp and at["pp"] > 1 else 1,
        "zero3" if at["fsdp"] else "zero1",
        note=precision,
    )


def mosaic() -> Iterator[Row]:
    """MosaicML's llm-foundry tables: MPT on A100 and H100, FSDP."""
    on = {"h100_80gb": "H100-SXM", "a100_80gb": "A100-SXM-80", "a100_40gb": "A100-SXM-40"}
    for r in _read("training_mosaic_mpt.csv"):
        yield Row(
            "MosaicML",
            f"mpt-{r['Model']}",
            on[r["GPU"]],
            "llm-foundry",
            int(r["# GPUs"]),
            "fp8" if "fp8" in r["Precision"] else "bf16",
            int(r["SeqLen (T)"]),
            int(r["GlobalBatchSize"]),
            float(r["Throughput (T/s/GPU)"]),
            1,
            micro=int(r["MicroBatchSize"]),
            sharding="zero3" if r["Sharding Strategy"] == "FULL_SHARD" else "zero2",
            recompute="full" if r["Activation Checkpointing"] == "True" else "none",
            note=r["MP Mode"].lower(),
        )


def torchtitan() -> Iterator[Row]:
    """Torchtitan's notes on an H100 of 96 GB HBM2e and 500 W."""
    for r in _read("published_training_runs.csv"):
        if not r["run"].startswith("torchtitan"):
            continue
        cells = {k: int(v) for k, v in re.findall(r"(FSDP|TP|CP)(\d+)", r["parallelism"])}
        gpus, tp, cp = int(r["chips"]), cells.get("TP", 1), cells.get("CP", 1)
        local = re.search(r"local batch (\d+)", r["note"])
        dp = gpus // tp // cp
        gbs = int(r["global_batch"] or 0) or (int(local[1]) if local else 1) * dp
        full = "full activation" in r["note"] or "70B" in r["model"]
        short = r["parallelism"] in ("FSDP", "FSDP + compile")
        family = (
            "torch"
            if r["parallelism"] == "FSDP"
            else "torchtitan-async"
            if "Async" in r["parallelism"]
            else "torchtitan"
        )
        yield Row(
            "torchtitan",
            r["model"],
            "H100-96-HBM2e",
            family,
            gpus,
            "fp8" if "FP8" in r["precision"] else "bf16",
            int(r["seq_len"] or 8192),
            gbs,
            float(r["tokens_per_s_per_chip"]),
            tp,
            cp=cp,
            micro=gbs // dp,
            sharding="zero3",
            recompute="full" if full else "selective",
            note=f"{r['parallelism']} {r['precision']}" if not short else r["precision"],
        )


FLAGPERF_CHIPS = (
    ("C500", "MetaX-C500-OAM"),
    ("H800", "H800-SXM"),
    ("H100", "H100-SXM"),
    ("A100", "A100-SXM-80"),
    ("A800", "A800-SXM"),
)
# case: model, sequence, batch (a step), micro-batch, recomputation; defaults as the cases' own pages state them.
FLAGPERF = {
    "llama3_8B-megatron": ("Llama-3-8B", 8192, 512, 1, "selective"),
    "llama3_70B-megatron": ("Llama-3-70B", 8192, 512, 1, "selective"),
    "qwen1.5_MoE-megatron": ("Qwen1.5-MoE-A2.7B", 8192, 512, 1, None),
    "mixtral_8x7B-megatron": ("Mixtral-8x7B", 4096, 512, 1, None),
    "llama2_7b-megatron-deepspeed": ("Llama-2-7B", 4096, 1024, 1, None),
    "llama2_70B-megatron": ("Llama-2-70B", 4096, 1024, 1, None),
}


def flagperf() -> Iterator[Row]:
    """FlagPerf: what states layout and batch, or whose case page does. Speed from MFU (6 N, peak) where that is all."""
    for r in _read("llm_training_inference_tables.csv"):
        if r["kind"] != "training" or r["case"] not in FLAGPERF:
            continue
        got = dict(x.split("=", 1) for x in r["fields"].split(" ; ") if "=" in x)
        on = next((name for tag, name in FLAGPERF_CHIPS if tag in r["config"]), None)
        nodes = re.search(r"[(（](\d+)x(\d+)[)）]", r["config"])
        degrees = {k: int(v) for k, v in re.findall(r"(TP|PP|DP|EP)(\d+)", got.get("parallel", ""))}
        if not (on and nodes and degrees) or got.get("precision") == "fp32":
            continue
        model, sequence, batch, micro, recompute = FLAGPERF[r["case"]]
        if "GBS=1024" not in got["fix_hp"] and r["case"] == "llama2_70B-megatron":
            continue  # its default batch is not known, and eight stages wait on it
        if "gbs=1760" in got["fix_hp"]:
            batch = 1760
        n = int(nodes[1]) * int(nodes[2])
        tp, pp = degrees.get("TP", 1), degrees.get("PP", 1)
        if "EP" not in degrees and "MoE" in r["case"]:
            degrees["EP"] = n // tp // pp
        rate = got.get("token/p/s", "/")
        if rate in ("/", "--"):
            mfu = float(got["MFU"].rstrip("%")) / 100
            rate = str(mfu * chip(on).flops["bf16"] / 6 / architecture(model).active_parameters)
        yield Row(
            "FlagPerf",
            model,
            on,
            "megatron",
            n,
            "fp8" if "fp8" in got.get("precision", "") else "bf16",
            sequence,
            batch,
            float(rate),
            tp,
            pp,
            degrees.get("EP", 1),
            micro=micro,
            chunks=1,
            recompute=recompute,
            note=got.get("parallel", ""),
        )


MLPERF = {"llama31_8b": ("Llama-3.1-8B", 8192, False), "llama31_405b": ("Llama-3.1-405B", 8192, False),
          "llama2_70b_lora": ("Llama-2-70B", 8192, True)}  # fmt: skip
MLPERF_CHIPS = {
    "GB300": "GB300", "GB200": "GB200", "B300": "B300-SXM", "B200": "B200-SXM", "H200": "H200-SXM", "H100": "H100-SXM",
    "MI355X": "MI355X", "MI350X": "MI350X", "MI325X": "MI325X", "MI300X": "MI300X",
}  # fmt: skip


def mlperf() -> Iterator[Row]:
    """MLPerf Training 5.1. Layout and precision are not stated: fp4 on NVIDIA's Blackwell, fp8 elsewhere (assumed).

    Speed is what the log says, or samples over time.
    """
    for r in _read("training_mlperf_v5.1.csv"):
        if r["benchmark"] not in MLPERF:
            continue
        model, sequence, frozen = MLPERF[r["benchmark"]]
        on = next(name for tag, name in MLPERF_CHIPS.items() if tag in r["accelerator"])
        n, amd = int(r["accel_total"]), on.startswith("MI")
        minutes = float(r["olympic_mean_minutes"])
        per_s = float(r["median_logged_throughput"] or 0) or float(r["median_last_eval_samples"]) / minutes / 60
        yield Row(
            "MLPerf LoRA" if frozen else "MLPerf",
            model,
            on,
            "amd-mlperf" if amd else "nemo-mlperf",
            n,
            "fp4" if on in ("GB300", "GB200", "B300-SXM", "B200-SXM") else "fp8",
            sequence,
            int(r["global_batch_size"]),
            per_s * sequence / n,
            frozen=frozen,
            note=r["submitter"],
        )


MINDSPEED_MODELS = {"DeepSeek-V2-Lite-16B": "DeepSeek-V2-Lite"}
LENGTHS = {"2K": 2048, "4K": 4096, "8K": 8192, "32K": 32768, "64K": 65536, "128K": 131072}
# The table states no layout; the repository's own scripts of that commit (examples/**/pretrain_*.sh) do:
# tp, pp, cp, ep, micro-batch, sequences a step, recomputation. A row without a script takes the best layout found.
MINDSPEED = {
    ("Aquila2-7B", "2K"): (8, 1, 1, 1, 8, 64), ("Baichuan-13B", "4K"): (8, 1, 1, 1, 1, 32),
    ("Baichuan-7B", "4K"): (8, 1, 1, 1, 4, 32), ("Baichuan2-13B", "4K"): (8, 1, 1, 1, 2, 128),
    ("Bloom-176B", "2K"): (8, 12, 1, 1, 2, 2048, "full"), ("Bloom-7B1", "2K"): (8, 1, 1, 1, 4, 512),
    ("ChatGLM3-6B", "8K"): (1, 2, 1, 1, 1, 128), ("ChatGLM3-6B", "32K"): (1, 1, 8, 1, 1, 32),
    ("ChatGLM3-6B", "64K"): (1, 1, 16, 1, 1, 64), ("Gemma-2B", "8K"): (1, 2, 1, 1, 1, 256),
    ("Gemma-7B", "8K"): (8, 1, 1, 1, 2, 64), ("Gemma2-9B", "8K"): (8, 1, 1, 1, 1, 64),
    ("Gemma2-27B", "8K"): (8, 2, 1, 1, 1, 64),
    ("InternLM-7B", "2K"): (8, 1, 1, 1, 8, 64), ("InternLM-65B", "2K"): (8, 4, 1, 1, 2, 256),
    ("LLaMA-7B", "2K"): (1, 8, 1, 1, 4, 256), ("LLaMA-65B", "2K"): (8, 4, 1, 1, 2, 128),
    ("LLaMA3-8B", "8K"): (8, 1, 1, 1, 2, 64), ("LLaMA3.1-8B", "8K"): (8, 1, 1, 1, 2, 64),
    ("LLaMA3.1-8B", "128K"): (8, 1, 4, 1, 1, 32), ("LLaMA3.1-70B", "8K"): (8, 4, 1, 1, 1, 512),
    ("Qwen-7B", "8K"): (8, 1, 1, 1, 2, 64), ("Qwen-14B", "2K"): (8, 1, 1, 1, 4, 64),
    ("Qwen-72B", "8K"): (8, 8, 1, 1, 1, 512),
    ("Qwen1.5-1.8B", "8K"): (1, 1, 1, 1, 1, 64), ("Qwen1.5-4B", "8K"): (1, 2, 1, 1, 1, 64),
    ("Qwen1.5-7B", "8K"): (8, 1, 1, 1, 2, 64), ("Qwen1.5-14B", "8K"): (4, 1, 1, 1, 1, 64),
    ("Qwen1.5-32B", "8K"): (8, 4, 1, 1, 1, 64), ("Qwen1.5-72B", "8K"): (8, 8, 1, 1, 1, 64),
    ("Qwen1.5-110B", "8K"): (8, 8, 1, 1, 1, 64), ("Qwen2-72B", "4K"): (8, 4, 1, 1, 1, 64),
    ("Mixtral-8x7B", "32K"): (8, 4, 2, 1, 1, 128), ("Mixtral-8x22B", "32K"): (8, 4, 2, 1, 1, 16, "full"),
    ("Mistral-7B", "32K"): (8, 1, 1, 1, 1, 32), ("DeepSeek-V2-Lite", "8K"): (1, 1, 1, 8, 1, 8, "full"),
    ("MiniCPM-2B", "4K"): (1, 1, 1, 1, 2, 32),
}  # fmt: skip
NO_FLASH = ("Baichuan-13B", "Bloom-7B1", "Bloom-176B")  # ALiBi: their scripts do not turn flash attention on
PIECES = {"Mixtral-8x22B": 7, "Qwen1.5-72B": 5}  # layers of a stage over layers of a virtual stage


def mindspeed() -> Iterator[Row]:
    """MindSpeed-LLM on Atlas 900 A2 (910B, 64 GB; taken as 910B3, whose peak FlagPerf's MFU there fits)."""
    for r in _read("training_ascend_mindspeed.csv"):
        if not r["seq_len"] or not r["tokens_per_s_per_device"]:
            continue
        name = f"{r['model']}-{r['params']}"
        name = MINDSPEED_MODELS.get(name, name)
        tp, pp, cp, ep, micro, batch, *rest = MINDSPEED[name, r["seq_len"]]
        family = (
            "megatron-unfused" if name in NO_FLASH else "mindspeed-legacy" if r["impl"] == "Legacy" else "mindspeed"
        )
        yield Row(
            "MindSpeed",
            name,
            "Ascend-910B3",
            family,
            int(r["n_devices"]),
            "bf16",
            LENGTHS[r["seq_len"]],
            int(batch),
            float(r["tokens_per_s_per_device"]),
            int(tp),
            int(pp),
            int(ep),
            int(cp),
            int(micro),
            PIECES.get(name, 1),
            recompute=str(rest[0]) if rest else "none",
            note=r["impl"],
        )


LLAMA_405B, CAUSAL_405B = 6 * 405e9, 6 * 126 * 16384  # FLOP a token of weights, and a token and position of attention
META = "Llama-3.1-405B", "H100-SXM", "megatron"
# run: model, chip, framework, chips, precision, sequence, sequences a step, tokens/s of a chip, tp, pp, ep, cp, pieces,
# recomputation. Meta states FLOP/s of a chip (arXiv 2407.21783, table 4); DeepSeek 14.8T tokens in 2.664M hours, PP16,
# EP64, ZeRO-1 (arXiv 2412.19437, sections 3.2 and 4.2); MegaScale tokens/s; MT-NLG 60.1 s a step on 280 nodes, TP8 PP35,
# 1,920 sequences (arXiv 2201.11990, section 2).
RUNS = {
    "Meta 8K, 8,192": (*META, 8192, "bf16", 8192, 2048, 430e12 / (LLAMA_405B + CAUSAL_405B * 8192), 8, 16, 1, 1, 8, "none"),
    "Meta 8K, 16,384": (*META, 16384, "bf16", 8192, 2048, 400e12 / (LLAMA_405B + CAUSAL_405B * 8192), 8, 16, 1, 1, 8, "none"),
    "Meta 131K, 16,384": (*META, 16384, "bf16", 131072, 128, 380e12 / (LLAMA_405B + CAUSAL_405B * 131072), 8, 16, 1, 16, 8, "none"),
    "DeepSeek": ("DeepSeek-V3", "H800-SXM", "dualpipe", 2048, "fp8", 4096, 15360, 14.8e12 / 2.664e6 / 3600, 1, 16, 64, 1, 1, None),
    "MegaScale": ("GPT-175B", "A100-SXM-80", "megatron", 12288, "bf16", 2048, 6144, 161.5, 8, 8, 1, 1, 6, None),
    "MT-NLG": ("MT-NLG-530B", "A100-SXM-80", "megatron-unfused", 2240, "bf16", 2048, 1920, 1920 * 2048 / 60.1 / 2240,
               8, 35, 1, 1, 1, "full"),
}  # fmt: skip


def runs() -> Iterator[Row]:
    """Whole published runs whose inputs are known; layouts from the papers where the table has none."""
    names = (
        "model",
        "chip",
        "family",
        "chips",
        "precision",
        "sequence",
        "batch",
        "measured",
        "tp",
        "pp",
        "ep",
        "cp",
        "chunks",
    )
    for note, (*values, recompute) in RUNS.items():
        yield Row("published runs", **dict(zip(names, values, strict=True)), recompute=recompute, note=note)


def rows() -> list[Row]:
    """Every row of every source."""
    return [r for source in (bridge, mosaic, torchtitan, flagperf, mlperf, mindspeed, runs) for r in source()]


if __name__ == "__main__":
    print(json.dumps({}, indent=1), len(rows()))

"""Published training speeds as rows the cost model can be asked about. Reads files; predicts nothing.

A row that states its layout keeps it; what it leaves open is `None` and found by search (`fidelity_training`).
Choices that are ours, not the source's, are marked `assumed` and listed in docs/how-good-training.md.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eke.errors import EkeError
from training_models import architecture, chip

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "perf"
Record = Mapping[str, str]


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


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


BRIDGE_MODELS = {
    "LLAMA3_8B": "Llama-3-8B", "LLAMA3_70B": "Llama-3-70B", "LLAMA3.1_405B": "Llama-3.1-405B",
    "GPT OSS 120B": "gpt-oss-120b", "DeepSeekV3": "DeepSeek-V3", "Qwen3_30B_a3B": "Qwen3-30B-A3B",
    "Qwen3_235B_a22B": "Qwen3-235B-A22B",
}  # fmt: skip
SXM = {"B200": "B200-SXM", "B300": "B300-SXM", "H100": "H100-SXM", "H200": "H200-SXM"}
BRIDGE_BATCH = 2048  # sequences a step of a row whose cell is malformed: assumed


def bridge(r: Record) -> Row:
    """Megatron-Bridge's performance summary."""
    layout = {k: int(r[k] or 1) for k in ("tp", "pp", "cp", "ep", "mbs", "fsdp")}
    model = BRIDGE_MODELS.get(r["model"], r["model"])
    size = int(r["gpus"]), int(r["gbs"] or BRIDGE_BATCH), int(r["seq_len"])
    return _bridge(
        model, SXM.get(r["system"], r["system"]), r["precision"], size, layout, r["vp"], r["tokens_per_s_per_gpu"]
    )


def _bridge(
    model: str, on: str, precision: str, size: tuple[int, int, int], at: Mapping[str, int], vp: str, rate: str
) -> Row:
    p = {"BF16": "bf16", "NVFP4": "fp4"}.get(precision.upper(), "fp8")
    return Row(
        "Megatron-Bridge", model, on, "megatron-bridge", size[0], p, size[2], size[1], float(rate), at["tp"], at["pp"],
        at["ep"], at["cp"], at["mbs"], int(vp) if vp and at["pp"] > 1 else 1, "zero3" if at["fsdp"] else "zero1",
        note=precision,
    )  # fmt: skip


MOSAIC_CHIPS = {"h100_80gb": "H100-SXM", "a100_80gb": "A100-SXM-80", "a100_40gb": "A100-SXM-40"}
MOSAIC_STATE = {"FULL_SHARD": "zero3", "SHARD_GRAD_OP": "zero2", "NO_SHARD": "zero1"}


def mosaic(r: Record) -> Row:
    """MosaicML's llm-foundry tables: MPT on A100 and H100, FSDP."""
    return Row(
        "MosaicML", f"mpt-{r['Model']}", MOSAIC_CHIPS[r["GPU"]], "llm-foundry", int(r["# GPUs"]),
        "fp8" if "fp8" in r["Precision"] else "bf16", int(r["SeqLen (T)"]), int(r["GlobalBatchSize"]),
        float(r["Throughput (T/s/GPU)"]), 1, micro=int(r["MicroBatchSize"]),
        sharding=MOSAIC_STATE[r["Sharding Strategy"]],
        recompute="full" if r["Activation Checkpointing"] == "True" else "none", note=r["MP Mode"].lower(),
    )  # fmt: skip


def published(r: Record) -> Row | None:
    """The table of published runs and benchmarks, by who states them."""
    if r["run"].startswith("Megatron-Bridge"):
        cells = dict(re.findall(r"(FSDP|TP|PP|CP|VP|EP|MBS|GA)(\d*)", r["parallelism"]))
        layout = {k.lower(): int(cells[k] or 1) for k in ("TP", "PP", "CP", "EP", "MBS", "FSDP")}
        size = int(r["chips"]), int(r["global_batch"]), int(r["seq_len"])
        return _bridge(r["model"], r["chip"], r["precision"], size, layout, cells["VP"], r["tokens_per_s_per_chip"])
    if r["run"].startswith("torchtitan"):
        return _torchtitan(r)
    known = next((note for tag, note in RUN_NAMES.items() if r["run"].startswith(tag)), None)
    if known:
        *values, recompute = RUNS[known]
        stated = dict(zip(RUN_COLUMNS, values, strict=True))
        return Row("published runs", **stated, recompute=recompute, note=known)
    return _run(r)


def _torchtitan(r: Record) -> Row:
    """Torchtitan's notes on an H100 of 96 GB HBM2e and 500 W."""
    cells = {k: int(v) for k, v in re.findall(r"(FSDP|TP|CP|PP)(\d+)", r["parallelism"])}
    gpus, tp, cp, pp = int(r["chips"]), cells.get("TP", 1), cells.get("CP", 1), cells.get("PP", 1)
    local = re.search(r"local batch (\d+)", r["note"])
    dp = gpus // tp // cp // pp
    gbs = int(r["global_batch"] or 0) or (int(local[1]) if local else 1) * dp
    full = "full activation" in r["note"] or "70B" in r["model"] or "405B" in r["model"]
    short = r["parallelism"] in ("FSDP", "FSDP + compile")
    family = (
        "torch" if r["parallelism"] == "FSDP" else "torchtitan-async" if "Async" in r["parallelism"] else "torchtitan"
    )
    return Row(
        "torchtitan", r["model"], r["chip"].replace("96GB", "96").replace("-500W", ""), family, gpus,
        "fp8" if "FP8" in r["precision"] else "bf16", int(r["seq_len"] or 8192), gbs, float(r["tokens_per_s_per_chip"]),
        tp, pp, cp=cp, micro=max(gbs // dp // (2 * pp if pp > 1 else 1), 1), sharding="zero3",
        recompute="full" if full else "selective",
        note=r["precision"] if short else f"{r['parallelism']} {r['precision']}",
    )  # fmt: skip


def _run(r: Record) -> Row | None:
    """Any other run that states a speed a chip, for a model and a chip of the catalogues."""
    rate, tflops = r["tokens_per_s_per_chip"], r["tflops_per_chip"]
    if not ((rate or tflops) and r["chips"] and r["model"] and r["chip"]):
        return None
    sequence = int(r["seq_len"] or 4096)
    if not rate:
        mixers = [(b.count, b.attention) for b in architecture(r["model"]).blocks]
        scores = sum(n * a.heads * (a.head_dim + a.v_head_dim) for n, a in mixers) * sequence / 2
        rate = str(float(tflops) * 1e12 / 6 / (architecture(r["model"]).active_parameters + scores))
    at = {k: int(v) for k, v in re.findall(r"(TP|PP|CP|EP)(\d+)", r["parallelism"])}
    return Row(
        "published runs", r["model"], SXM.get(r["chip"], r["chip"]), "megatron", int(float(r["chips"])),
        "fp8" if "FP8" in r["precision"].upper() else "bf16", sequence, int(r["global_batch"] or 2048), float(rate),
        at.get("TP"), at.get("PP", 1), at.get("EP", 1), at.get("CP", 1), note=r["run"][:40],
    )  # fmt: skip


LLAMA_405B, CAUSAL_405B = 6 * 405e9, 6 * 126 * 16384  # FLOP a token of weights, and a token and position of attention
META = "Llama-3.1-405B", "H100-SXM", "megatron"
SHORT, LONG = LLAMA_405B + CAUSAL_405B * 8192, LLAMA_405B + CAUSAL_405B * 131072
# run: model, chip, framework, chips, precision, sequence, sequences a step, tokens/s of a chip, tp, pp, ep, cp, pieces,
# recomputation. Meta states FLOP/s of a chip (arXiv 2407.21783, table 4); DeepSeek 14.8T tokens in 2.664M hours,
# PP16, EP64, ZeRO-1 (arXiv 2412.19437, sections 3.2 and 4.2); MegaScale tokens/s; MT-NLG 60.1 s a step on 280 nodes,
# TP8 PP35, 1,920 sequences (arXiv 2201.11990, section 2).
RUNS = {
    "Meta 8K, 8,192": (*META, 8192, "bf16", 8192, 2048, 430e12 / SHORT, 8, 16, 1, 1, 8, "none"),
    "Meta 8K, 16,384": (*META, 16384, "bf16", 8192, 2048, 400e12 / SHORT, 8, 16, 1, 1, 8, "none"),
    "Meta 131K, 16,384": (*META, 16384, "bf16", 131072, 128, 380e12 / LONG, 8, 16, 1, 16, 8, "none"),
    "DeepSeek": ("DeepSeek-V3", "H800-SXM", "dualpipe", 2048, "fp8", 4096, 15360, 14.8e12 / 2.664e6 / 3600,
                 1, 16, 64, 1, 1, None),
    "MegaScale": ("GPT-175B", "A100-SXM-80", "megatron", 12288, "bf16", 2048, 6144, 161.5, 8, 8, 1, 1, 6, None),
    "MT-NLG": ("MT-NLG-530B", "A100-SXM-80", "megatron-unfused", 2240, "bf16", 2048, 1920, 1920 * 2048 / 60.1 / 2240,
               8, 35, 1, 1, 1, "full"),
}  # fmt: skip
RUN_COLUMNS = ("model", "chip", "family", "chips", "precision", "sequence", "batch", "measured", "tp", "pp", "ep", "cp",
               "chunks")  # fmt: skip
RUN_NAMES = {
    "Llama-3.1-405B 8K, 8,192": "Meta 8K, 8,192", "Llama-3.1-405B 8K, 16,384": "Meta 8K, 16,384",
    "Llama-3.1-405B 131K": "Meta 131K, 16,384", "DeepSeek-V3 pre-training": "DeepSeek", "MegaScale": "MegaScale",
    "Epoch: Megatron-Turing": "MT-NLG",
}  # fmt: skip


FLAGPERF_CHIPS = (("C500", "MetaX-C500-OAM"), ("C550", "MetaX-C550"), ("H800", "H800-SXM"), ("H100", "H100-SXM"),
                  ("A100", "A100-SXM-80"), ("A800", "A800-SXM"), ("Atlas 800T", "Ascend-910B3"))  # fmt: skip
# case: model, sequence, batch (a step), micro-batch, recomputation; as the cases' own pages state them, else assumed.
FLAGPERF = {
    "llama3_8B-megatron": ("Llama-3-8B", 8192, 512, 1, "selective"),
    "llama3_70B-megatron": ("Llama-3-70B", 8192, 512, 1, "selective"),
    "qwen1.5_MoE-megatron": ("Qwen1.5-MoE-A2.7B", 8192, 512, 1, None),
    "mixtral_8x7B-megatron": ("Mixtral-8x7B", 4096, 512, 1, None),
    "llama2_7b-megatron-deepspeed": ("Llama-2-7B", 4096, 1024, 1, None),
    "llama2_70B-megatron": ("Llama-2-70B", 4096, 1024, 1, None),
}


def flagperf(r: Record) -> Row | None:
    """FlagPerf: what states layout and batch, or whose case page does. Speed from MFU (6 N, peak) where that is all."""
    if r["kind"] != "training" or r["case"] not in FLAGPERF:
        return None
    got = dict(x.split("=", 1) for x in r["fields"].split(" ; ") if "=" in x)
    on = next((name for tag, name in FLAGPERF_CHIPS if tag in r["config"]), None)
    nodes = re.search(r"[(（](\d+)x(\d+)[)）]", r["config"])
    degrees = {k: int(v) for k, v in re.findall(r"(TP|PP|DP|EP)(\d+)", got.get("parallel", ""))}
    if not (on and nodes and degrees) or got.get("precision") == "fp32":
        return None
    model, sequence, batch, micro, recompute = FLAGPERF[r["case"]]
    if "GBS=1024" not in got["fix_hp"] and r["case"] == "llama2_70B-megatron":
        return None  # its default batch is not known, and eight stages wait on it
    if "gbs=1760" in got["fix_hp"]:
        batch = 1760
    n = int(nodes[1]) * int(nodes[2])
    tp, pp = degrees.get("TP", 1), degrees.get("PP", 1)
    ep = degrees.get("EP", n // tp // pp if "MoE" in r["case"] else 1)
    rate = got.get("token/p/s", "/")
    if rate in ("/", "--"):
        rate = str(
            float(got["MFU"].rstrip("%")) / 100 * chip(on).flops["bf16"] / 6 / architecture(model).active_parameters
        )
    return Row(
        "FlagPerf", model, on, "megatron", n, "fp8" if "fp8" in got.get("precision", "") else "bf16", sequence, batch,
        float(rate), tp, pp, ep, micro=micro, chunks=1, recompute=recompute, note=got.get("parallel", ""),
    )  # fmt: skip


MLPERF = {"gpt3": ("GPT-175B", 2048, False), "gpt3_175b": ("GPT-175B", 2048, False),
          "llama31_8b": ("Llama-3.1-8B", 8192, False), "llama31_405b": ("Llama-3.1-405B", 8192, False),
          "llama2_70b_lora": ("Llama-2-70B", 8192, True)}  # fmt: skip
MLPERF_CHIPS = {
    "GB300": "GB300", "GB200": "GB200", "B300": "B300-SXM", "B200": "B200-SXM", "H200": "H200-SXM", "H100": "H100-SXM",
    "Gaudi2": "Gaudi2", "Gaudi 2": "Gaudi2", "v5p": "TPU-v5p", "MI355X": "MI355X",
    "MI350X": "MI350X", "MI325X": "MI325X", "MI300X": "MI300X",
}  # fmt: skip


def mlperf(r: Record) -> Row | None:
    """MLPerf Training 5.1. Layout and precision are not stated: fp4 on NVIDIA's Blackwell, fp8 elsewhere (assumed).

    Speed is what the log says, or samples over time.
    """
    if r["benchmark"] not in MLPERF:
        return None
    model, sequence, frozen = MLPERF[r["benchmark"]]
    on = next(name for tag, name in MLPERF_CHIPS.items() if tag in r["accelerator"])
    n, amd = int(r["accel_total"]), on.startswith("MI")
    minutes = float(r["olympic_mean_minutes"])
    per_s = float(r["median_logged_throughput"] or 0) or float(r["median_last_eval_samples"]) / minutes / 60
    return Row(
        "MLPerf LoRA" if frozen else "MLPerf", model, on, "amd-mlperf" if amd else "nemo-mlperf", n,
        "fp4" if on in ("GB300", "GB200", "B300-SXM", "B200-SXM") else "fp8", sequence, int(r["global_batch_size"]),
        per_s * sequence / n, frozen=frozen, note=r["submitter"],
    )  # fmt: skip


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
    ("MiniCPM-2B", "4K"): (1, 1, 1, 1, 2, 32), ("Aquila-7B", "2K"): (8, 1, 1, 1, 8, 64),
    ("Aquila2-34B", "4K"): (8, 2, 1, 1, 2, 1024), ("Baichuan2-7B", "4K"): (8, 1, 1, 1, 4, 64),
    ("CodeLlama-34B", "4K"): (8, 2, 1, 1, 2, 1024), ("GPT3-15B", "2K"): (8, 1, 1, 1, 1, 64),
    ("GPT3-175B", "2K"): (8, 16, 1, 1, 2, 1024), ("LLaMA-13B", "2K"): (1, 8, 1, 1, 1, 128),
    ("LLaMA-33B", "2K"): (4, 4, 1, 1, 4, 256), ("LLaMA2-7B", "4K"): (1, 2, 1, 1, 1, 256),
    ("LLaMA2-13B", "4K"): (8, 1, 1, 1, 4, 512), ("LLaMA2-34B", "4K"): (8, 2, 1, 1, 2, 1024),
    ("LLaMA2-70B", "4K"): (8, 4, 1, 1, 1, 1024), ("LLaMA3-70B", "8K"): (8, 4, 1, 1, 1, 512),
    ("GLM4-9B", "8K"): (2, 2, 1, 1, 1, 64), ("GLM4-9B", "32K"): (2, 2, 4, 1, 1, 64),
    ("InternLM2-20B", "4K"): (4, 2, 1, 1, 2, 256), ("CodeQwen1.5-7B", "8K"): (2, 1, 1, 1, 1, 256),
    ("Qwen1.5-0.5B", "8K"): (1, 1, 1, 1, 1, 64), ("Qwen2-0.5B", "4K"): (1, 1, 1, 1, 2, 128),
    ("Qwen2-0.5B", "32K"): (1, 1, 2, 1, 1, 16), ("Qwen2-1.5B", "4K"): (1, 1, 1, 1, 2, 64),
    ("Qwen2-1.5B", "32K"): (1, 1, 4, 1, 1, 64), ("Qwen2-7B", "4K"): (1, 2, 1, 1, 1, 256),
    ("Qwen2-7B", "32K"): (4, 2, 1, 1, 1, 64), ("Qwen2-72B", "32K"): (8, 4, 4, 1, 1, 256),
    ("Yi-34B", "4K"): (8, 2, 1, 1, 2, 1024),
    ("DeepSeek-V2-236B", "8K"): (1, 1, 1, 8, 1, 64), ("LLaMA3.1-70B", "128K"): (8, 6, 4, 1, 1, 256),
    ("Mixtral-8x22B", "64K"): (8, 4, 4, 1, 1, 64, "full"),
}  # fmt: skip
NO_FLASH = ("Baichuan-13B", "Bloom-7B1", "Bloom-176B")  # ALiBi: their scripts do not turn flash attention on
PIECES = {"Mixtral-8x22B": 7, "Qwen1.5-72B": 5}  # layers of a stage over layers of a virtual stage


def mindspeed(r: Record) -> Row | None:
    """MindSpeed-LLM on Atlas 900 A2 (910B, 64 GB; taken as 910B3, whose peak FlagPerf's MFU there fits)."""
    if not r["tokens_per_s_per_device"]:
        return None
    name = f"{r['model']}-{r['params']}"
    name = MINDSPEED_MODELS.get(name, name)
    lengths = [s for (model, s) in MINDSPEED if model == name]  # early tables state no length: the shortest script's
    length = r["seq_len"] or min(lengths, key=LENGTHS.__getitem__, default="4K")
    tp, pp, cp, ep, micro, batch, *rest = MINDSPEED.get((name, length), (None, 1, 1, 1, 1, 128))
    legacy = r["impl"] != "Mcore"
    family = "megatron-unfused" if name in NO_FLASH else "mindspeed-legacy" if legacy else "mindspeed"
    n = int(r["n_devices"])
    if tp and n % (tp * pp * cp):
        tp, pp, cp = None, 1, 1  # the script is for another number of chips
    return Row(
        "MindSpeed", name, "Ascend-910B3", family, n, "bf16", LENGTHS[length], int(batch or 128),
        float(r["tokens_per_s_per_device"]), tp, int(pp or 1), int(ep or 1), int(cp or 1), int(micro or 1),
        PIECES.get(name, 1),
        recompute=str(rest[0]) if rest else "none" if tp else None, note=r["impl"] or r["readme_date"],
    )  # fmt: skip


READERS: tuple[tuple[str, Callable[[Record], Row | None]], ...] = (
    ("tokens_per_s_per_gpu", bridge), ("Throughput (T/s/GPU)", mosaic), ("tflops_per_chip", published),
    ("case", flagperf), ("olympic_mean_minutes", mlperf), ("tokens_per_s_per_device", mindspeed),
)  # fmt: skip
FILES = (
    "training_megatron_bridge.csv", "training_mosaic_mpt.csv", "published_training_runs.csv",
    "llm_training_inference_tables.csv", "training_mlperf_v5.1.csv", "training_ascend_mindspeed.csv",
)  # fmt: skip


def rows(files: Sequence[Path] | None = None) -> tuple[list[Row], list[str]]:
    """Every training speed of `files` (default: all that lie beside the repository), and what could not be read.

    A file is known by its columns. A run that two files state counts once.
    """
    found: dict[object, Row] = {}
    unread: list[str] = []
    for file in files or [DATA / name for name in FILES]:
        for number, record in enumerate(_read(file), 2):
            reader = next((read for column, read in READERS if column in record), None)
            try:
                row = reader(record) if reader else None
                if row is not None:
                    architecture(row.model), chip(row.chip)
                    found.setdefault(_key(row, file), row)
            except (EkeError, LookupError, ValueError, StopIteration) as wrong:
                unread.append(f"{file.name}:{number}: {type(wrong).__name__}: {str(wrong).splitlines()[0][:100]}")
    return list(found.values()), unread


def _key(row: Row, file: Path) -> object:
    if row.source == "Megatron-Bridge":
        return (row.model, row.chip, row.chips, row.note, round(row.measured))
    return (row, file) if row.source != "MindSpeed" else replace(row, note="")

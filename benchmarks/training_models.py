"""Models and chips that published training tables name and the catalogues lack, by shape. Knows no measurement."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from eke.fleet import catalogue as chips
from eke.fleet.chip import Chip
from eke.models import catalogue as models
from eke.models.architecture import Architecture, Attention, Block, FeedForward


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
    "LLaMA-13B": (40, 5120, 40, 40, 13824, 32000, 3), "LLaMA-33B": (60, 6656, 52, 52, 17920, 32000, 3),
    "LLaMA2-34B": (48, 8192, 64, 8, 22016, 32000, 3), "CodeLlama-34B": (48, 8192, 64, 8, 22016, 32000, 3),
    "Aquila-7B": (32, 4096, 32, 32, 11008, 100008, 3), "Aquila2-34B": (60, 6144, 48, 8, 24576, 100008, 3),
    "Baichuan2-7B": (32, 4096, 32, 32, 11008, 125696, 3), "Qwen1.5-0.5B": (24, 1024, 16, 16, 2816, 151936, 3),
    "CodeQwen1.5-7B": (32, 4096, 32, 4, 13440, 92416, 3), "InternLM2-20B": (48, 6144, 48, 8, 16384, 92544, 3),
    "InternLM2-7B": (32, 4096, 32, 8, 14336, 92544, 3), "Yi-34B": (60, 7168, 56, 8, 20480, 64000, 3),
    "GLM4-9B": (40, 4096, 32, 2, 13696, 151552, 3), "GPT3-15B": (40, 5120, 40, 40, 20480, 50257, 2),
    "GPT3-175B": (96, 12288, 96, 96, 49152, 50257, 2),
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
    plain = re.sub(r"(?i)^qwen2-(0\.5|1\.5|7)b", r"Qwen2.5-\1B", SAME.get(name, name))  # the same shapes
    return models.architecture(re.sub(r"(?i)^llama[ _]?-?(\d)", r"Llama-\1", plain.replace("_", "-")))

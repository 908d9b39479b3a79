"""Hypothesis strategies for Eke's nouns, all in one place."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import yaml
from hypothesis import strategies as st

from eke.figures import BITS
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture, Attention, Block, FeedForward
from eke.runtime.base import Task


def _powers(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most).map(lambda i: 2**i)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Dense models and mixtures of experts with full, sliding, latent or constant-state attention."""
    hidden = draw(st.sampled_from([256, 1024, 4096, 8192]))
    head_dim = draw(st.sampled_from([64, 128]))
    heads = draw(_powers(6))
    kv_heads = min(heads, draw(_powers(3)))
    kind = draw(st.sampled_from(["full", "sliding", "mla", "linear"]))
    rank, rope = (512, 64) if kind == "mla" else (0, 0)
    attention = Attention(
        kind, heads, kv_heads, head_dim, head_dim,
        parameters=2 * hidden * (heads + kv_heads) * head_dim + hidden * (rank + rope),
        window=draw(st.sampled_from([128, 4096])) if kind == "sliding" else None,
        kv_rank=rank, rope_dim=rope, state=heads * head_dim * head_dim if kind == "linear" else 0,
    )  # fmt: skip
    width, experts = draw(st.sampled_from([512, 4096, 14336])), draw(st.sampled_from([0, 8, 128]))
    chosen = draw(st.sampled_from([1, 2, 8])) if experts else 0
    one = 3 * hidden * width
    feed_forward = FeedForward(width, 3, one * max(experts, 1), one * max(chosen, 1), experts, chosen)
    vocabulary = draw(st.sampled_from([256, 32000, 152064]))
    return Architecture(
        "drawn", hidden, vocabulary, (Block(draw(st.integers(1, 96)), attention, feed_forward),),
        vocabulary * hidden, draw(st.sampled_from([0, vocabulary * hidden])),
    )  # fmt: skip


@st.composite
def accelerators(draw: st.DrawFn) -> Chip:
    """Accelerators from a tenth to twice an H100, with and without 8-bit units and fast links."""
    size = draw(st.floats(0.1, 2.0))
    precisions = draw(st.sampled_from([("fp16",), ("fp16", "bf16"), ("fp16", "bf16", "fp8", "int8")]))
    return Chip(
        "drawn", "nobody", {p: size * 1e15 * (16 / BITS[p]) for p in precisions}, size * 8e10, size * 3e12,
        scale_up_chips=draw(st.sampled_from([1, 8])), scale_up=draw(st.sampled_from([None, 32e9, 450e9])),
        scale_out=draw(st.sampled_from([None, 25e9])),
    )  # fmt: skip


def tasks(names: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Task]:
    """Any task a run may hold."""
    word = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
    table = st.dictionaries(word, word, max_size=3)
    return st.builds(
        Task,
        name=names or word,
        kind=st.sampled_from(["engine", "trainer", "service"]),
        argv=st.lists(word, min_size=1, max_size=4).map(tuple),
        env=table,
        cpus=st.lists(st.integers(0, 3), max_size=3, unique=True).map(tuple),
        port=st.none() | st.integers(0, 65535),
        health=st.none() | st.just("/health"),
        restart=st.sampled_from(["always", "on-failure"]),
        grace_s=st.floats(0, 60),
        standby=st.booleans(),
        priority=st.integers(1, 5),
        labels=table,
    )


@st.composite
def dense_configs(draw: st.DrawFn) -> dict[str, object]:
    """A `config.json` of a dense model with grouped attention."""
    heads = draw(_powers(6))
    return {
        "model_type": draw(st.sampled_from(["llama", "qwen2", "qwen3", "gemma2", "mistral"])),
        "hidden_size": heads * draw(st.sampled_from([32, 64, 128])),
        "num_attention_heads": heads,
        "num_key_value_heads": min(heads, draw(_powers(4))),
        "intermediate_size": draw(st.integers(1, 30_000)),
        "num_hidden_layers": 6 * draw(st.integers(1, 20)),
        "vocab_size": draw(st.integers(256, 300_000)),
        "sliding_window": draw(st.sampled_from([None, 8, 4096])),
        "tie_word_embeddings": draw(st.booleans()),
    }


@st.composite
def mangled(draw: st.DrawFn, text: str) -> str:
    """A text with one to three of its words replaced by something unexpected."""
    words = text.split(" ")
    odd = st.sampled_from(["|", "-1", "0", "1e400", "nan", "[]", "{}", "null", "true", "§", "10GB", "3/s", "'"])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(words) - 1))
        tail = words[at][len(words[at].rstrip(",}]\n")) :]
        words[at] = draw(odd) + tail
    return " ".join(words)


@st.composite
def scaled(draw: st.DrawFn, text: str) -> str:
    """A scenario with some of its whole numbers made far smaller or far larger; most of them still load."""
    parts = re.split(r"(?<=[ :])(\d+)(?=[,\s/BM%}])", text)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(parts) // 2 - 1)) * 2 + 1
        parts[at] = str(max(1, int(int(parts[at]) * draw(st.sampled_from([0.01, 0.3, 3, 50, 10_000])))))
    return "".join(parts)


CHIPS = ("H800-SXM", "H20-96", "L20", "Ascend-910B2", "Kunlun-P800-OAM", "V100-SXM2-32", "Inferentia2")
MODELS = ("tiny", "Qwen3-8B", "Qwen3-32B", "Hunyuan-A13B-Instruct", "DeepSeek-V3")
RATES = ("0/s", "1/d", "1e-9/s", "0.3/s", "7/s", "120/s", "20k/min", "1e7/s")
LENGTHS = ({"p50": 1}, {"p50": 100, "p99": 300}, {"p50": 1020, "p90": 2735, "p99": 4142}, {"p50": 30_000}, 7)
SLOTS = (1, 2, 3, 4, 6, 8, 12, 24)


@st.composite
def _odd_pools(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One to three pools: none, one or millions of nodes, cut down chips, odd nodes, links missing or a trickle."""
    inline = {"name": "odd", "memory": draw(st.sampled_from(["1 MB", "8 GB", "2 TB"])), "memory_bandwidth": "1 TB/s",
              "flops": {"bf16": draw(st.sampled_from(["1 GFLOPS", "300 TFLOPS", "900 PFLOPS"]))}}  # fmt: skip
    pools = []
    for i in range(draw(st.integers(1, 3))):
        nodes = draw(st.sampled_from([0, 1, 1, 2, 3, 8, 8, 30, 400, 1_250_000]))
        chip = draw(st.sampled_from([*CHIPS, *CHIPS, inline]))
        pool: dict[str, Any] = {"name": f"p{i}", "chip": chip, "nodes": nodes}
        odd = {
            "chips_per_node": st.sampled_from([1, 2, 3, 4, 7, 16]),
            "scale_out": st.sampled_from(["1 kb/s", "25 Gb/s", "400 Gb/s", "9 PB/s"]),
            "available": st.sampled_from([0, "50%", "97%", 1]),
            "reserved": st.integers(0, nodes),
            "storage": st.sampled_from(["1 kB/s", "2 GB/s"]),
            "power_cap": st.sampled_from(["1 W", "3 kW", "40 kW", "9 MW"]),
        }
        for key in draw(st.sets(st.sampled_from(sorted(odd)), max_size=2)):
            pool[key] = draw(odd[key])
        pools.append(pool)
    return pools


@st.composite
def _odd_workloads(draw: st.DrawFn, pools: list[str], slots: int) -> dict[str, Any]:
    """Something owed: nothing at all, far too much, due at once, or quite usual."""
    kind = draw(st.sampled_from(["serve", "serve", "train", "batch"]))
    common: dict[str, Any] = {kind: f"{kind}-{draw(st.integers(0, 10**6))}", "model": draw(st.sampled_from(MODELS))}
    if draw(st.integers(0, 3)) == 0:
        common["pools"] = draw(st.lists(st.sampled_from(pools), min_size=1, max_size=2, unique=True))
    if draw(st.booleans()):
        common["priority"] = draw(st.sampled_from([0, 1, 1, 2, 1000]))
    if draw(st.booleans()):
        common["value"] = draw(st.sampled_from([0.0, 1e-6, 1.0, 1e6]))
    lengths = {"prompt": draw(st.sampled_from(LENGTHS)), "output": draw(st.sampled_from(LENGTHS[:3]))}
    if kind == "train":
        job = {"tokens": draw(st.sampled_from([1, "2B", "15T", "1e18"])), "sequence": draw(st.sampled_from([1, 4096])),
               "global_batch": draw(st.sampled_from([1, "4M", "1e12"])),
               "precision": draw(st.sampled_from(["bf16", "bf16", "fp8"]))}  # fmt: skip
        due = draw(st.sampled_from([None, "1 ms", "30 d", "180 d", "1e6 y"]))
        return common | job | ({"deadline": due} if due else {})
    some: dict[str, Any] = {}
    if draw(st.integers(0, 2)) == 0:
        some["variants"] = draw(st.lists(st.sampled_from(["bf16", "fp8", "int8", "int4"]), min_size=1, unique=True))
    if draw(st.integers(0, 2)) == 0:
        some["min_quality"] = draw(st.sampled_from([0.0, 0.9, 0.97, 1.0]))
    if kind == "batch":
        tokens = draw(st.sampled_from([1, "3M", "60B", "1e18"]))
        return common | some | {"tokens_per_day": tokens, "lengths": lengths}
    if draw(st.integers(0, 2)) == 0:
        quality, share = draw(st.sampled_from([0.5, 0.94, 1.2])), draw(st.sampled_from([0, "60%", 1]))
        some["alternatives"] = [{"model": draw(st.sampled_from(MODELS)), "quality": quality, "share": share}]
    multipliers = st.lists(st.sampled_from([0.0, 1e-6, 0.3, 1.0, 7.0]), min_size=slots, max_size=slots)
    profile = draw(st.sampled_from(["flat", "office-day", "evening-peak"]) | multipliers)
    traffic = {"rate": draw(st.sampled_from(RATES)), "profile": profile, "lengths": lengths,
               "prefix_hit": draw(st.sampled_from([0, 0.3, 0.99]))}  # fmt: skip
    slo = {"ttft": draw(st.sampled_from(["1 us", "300 ms", "2 s", "2 s", "1 y"])),
           "tpot": draw(st.sampled_from(["1 us", "20 ms", "60 ms", "60 ms", "1 y"])),
           "percentile": draw(st.sampled_from([50, 95, 95, 99.999]))}  # fmt: skip
    if draw(st.integers(0, 3)) == 0:
        some["survives"] = draw(st.sampled_from([1, "1 node", 2, 100]))
    return common | some | {"traffic": traffic, "slo": slo}


@st.composite
def odd_scenarios(draw: st.DrawFn) -> str:
    """Scenarios of every key with the strangest values it takes, and plain ones; nearly all of them load."""
    slots = draw(st.sampled_from(SLOTS))
    pools = draw(_odd_pools())
    names = [p["name"] for p in pools]
    speeds = st.sampled_from(["1 b/s", "100 Gb/s", "9 PB/s"])
    pairs = [list(pair) for pair in combinations(names, 2) if draw(st.booleans())]
    links = [{"between": pair, "bandwidth": draw(speeds)} for pair in pairs]
    count = draw(st.integers(1, 4))
    owed: dict[str, dict[str, Any]] = {}
    for _ in range(count):
        w = draw(_odd_workloads(names, slots))
        owed[str(next(iter(w.values())))] = w
    off = draw(st.sampled_from([[], [], ["mixed-placement"], ["day-night"], ["prefill-decode-split", "fp8"]]))
    said = {
        "format": "eke.scenario/1", "name": "odd", "fleet": {"pools": pools, "links": links},
        "workloads": list(owed.values()), "slots": slots, "without": off,
        "objective": draw(st.sampled_from(["train-progress", "fewest-chips", "least-energy", "value"])),
    }  # fmt: skip
    return yaml.safe_dump(said, sort_keys=False)

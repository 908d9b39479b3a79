"""Hypothesis strategies for Eke's nouns, all in one place."""

from __future__ import annotations

import re

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

"""What a Hugging Face `config.json` says of a model, reduced to what costs time and memory. Knows no chip.

A model is groups of equal blocks, in order of first appearance; a block is one attention and one feed-forward.
Counts are exact for the published families. Caches are counted in values, not bytes: precision is the planner's choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Attention:
    """One token mixer.

    Attributes:
        kind: `full` (MHA and GQA), `sliding`, `mla`, or `linear` (Mamba, gated delta and other constant-state mixers).
        window: tokens a sliding layer sees.
        shares_kv: reads the KV cache of the layer before (cross-layer attention), stores none of its own.
        kv_rank, rope_dim, q_rank: MLA's compressed widths.
        state: values of recurrent state per sequence (linear only).
        parameters: weights of this mixer, with its norms.
        selects: cached tokens a query reads at most (sparse attention); all are kept. None: every one in reach.
        compression: tokens that share one KV entry; beyond 1, `window` tokens are kept uncompressed besides.
        index_dim: values per KV entry kept for the indexer that selects.
    """

    kind: Literal["full", "sliding", "mla", "linear", "none"]
    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int
    parameters: int
    window: int | None = None
    shares_kv: bool = False
    kv_rank: int = 0
    rope_dim: int = 0
    q_rank: int = 0
    state: int = 0
    selects: int | None = None
    compression: int = 1
    index_dim: int = 0


@dataclass(frozen=True, slots=True)
class FeedForward:
    """One channel mixer, dense (`experts == 0`) or a mixture; `intermediate == 0` where a block has none.

    Attributes:
        intermediate: width of a dense layer, or of one routed expert.
        matrices: 3 with a gate, else 2.
        shared_intermediate: width of all shared experts together.
        parameters: weights, all experts.
        active_parameters: weights one token touches.
        latent: width routed experts read and write; None: the residual stream's.
    """

    intermediate: int
    matrices: int
    parameters: int
    active_parameters: int
    experts: int = 0
    experts_per_token: int = 0
    shared_intermediate: int = 0
    latent: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """`count` equal layers."""

    count: int
    attention: Attention
    feed_forward: FeedForward


@dataclass(frozen=True, slots=True)
class Cache:
    """What `layers` equal layers keep of one sequence, in values.

    Attributes:
        kind: `keys and values`, `latent` (MLA's compressed ones) or `state`.
        per_token: of a layer, for each token. window: of the last so many tokens; None: of all.
        state: of a layer, whatever the sequence's length.
    """

    layers: int
    kind: Literal["keys and values", "latent", "state"]
    per_token: float
    window: int | None
    state: int

    def values(self, context: float) -> float:
        """Of all its layers, after `context` tokens."""
        return self.layers * (self.per_token * min(context, self.window or context) + self.state)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model's shape.

    Attributes:
        hidden: width of the residual stream.
        embedding_parameters: input embedding (and position table), once.
        head_parameters: output matrix; 0 when tied to the input embedding.
        other_parameters: anything outside the blocks, such as final norms.
        max_context: tokens.
        native_precision: of the published weights (`bf16`, `fp8`, `fp4` …).
        parameters, active_parameters: totals; active counts what one token multiplies with, head included,
            input embedding not.
    """

    name: str
    hidden: int
    vocabulary: int
    blocks: tuple[Block, ...]
    embedding_parameters: int
    head_parameters: int
    other_parameters: int = 0
    max_context: int = 4096
    native_precision: str = "bf16"

    @property
    def layers(self) -> int:
        """Blocks, top to bottom."""
        return sum(b.count for b in self.blocks)

    @property
    def parameters(self) -> int:
        """All weights."""
        blocks = sum(b.count * (b.attention.parameters + b.feed_forward.parameters) for b in self.blocks)
        return blocks + self.embedding_parameters + self.head_parameters + self.other_parameters

    @property
    def active_parameters(self) -> int:
        """Weights one token multiplies with: blocks with its experts, and the output matrix."""
        blocks = sum(b.count * (b.attention.parameters + b.feed_forward.active_parameters) for b in self.blocks)
        return blocks + (self.head_parameters or self.embedding_parameters) + self.other_parameters

    @property
    def has_experts(self) -> bool:
        """Whether any layer is a mixture of experts."""
        return any(b.feed_forward.experts for b in self.blocks)

    def caches(self) -> tuple[Cache, ...]:
        """What a sequence leaves behind, equal kinds of layers together."""
        layers: Counter[Cache] = Counter()
        for block in self.blocks:
            for one in _caches(block.attention):
                layers[one] += block.count
        return tuple(replace(one, layers=count) for one, count in layers.items())

    def kv_values(self, context: float) -> float:
        """Values in the KV cache (and recurrent state) of one sequence of `context` tokens."""
        return sum(cache.values(context) for cache in self.caches())


def _caches(a: Attention) -> Iterator[Cache]:
    """Of one layer: a constant state, a window of recent tokens, and what grows with the sequence."""
    if a.state:
        yield Cache(1, "state", 0.0, None, a.state)
    if a.kind in ("linear", "none") or a.shares_kv:
        return
    width = a.kv_rank + a.rope_dim if a.kind == "mla" else a.kv_heads * (a.head_dim + a.v_head_dim)
    kind: Literal["latent", "keys and values"] = "latent" if a.kind == "mla" else "keys and values"
    if a.kind == "sliding":
        yield Cache(1, kind, width + a.index_dim, a.window, 0)
        return
    yield Cache(1, kind, (width + a.index_dim) / a.compression, None, 0)
    if a.compression > 1:
        yield Cache(1, kind, width, a.window, 0)

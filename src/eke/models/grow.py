"""A larger model of the same kind: the next generation of an architecture, grown in depth and width. Knows no chip.

Depth and width grow together, as a family's sizes do (weights ∝ layers · width², so each by the cube root); then
feed-forward widths take what rounding left, so that all and active weights meet the factor. What a kernel or a layout
needs stays: width of a head, count of KV heads, count of experts and how many a token visits.
"""

from __future__ import annotations

from dataclasses import replace

from eke.models.architecture import Architecture, Attention, Block, FeedForward

STEPS = 8
"""Rounds in which feed-forward widths are fitted; they settle in two or three."""


def grown(a: Architecture, factor: float) -> Architecture:
    """`a` with `factor` times its weights, all and active, as near as whole layers, heads and widths allow.

    Args:
        a: the model to grow.
        factor: of weights; below 1 it shrinks. 1 gives `a` itself.
    """
    if abs(factor - 1.0) < 1e-9:
        return a
    cube = factor ** (1 / 3)
    hidden = _near(a.hidden * cube, _grain(a.hidden, 128))
    shape = _Shape(a, hidden, _depths(a.blocks, a.layers * factor / (hidden / a.hidden) ** 2))
    routed = always = cube
    for _ in range(STEPS):
        made = shape.model(factor, routed, always)
        off_total = factor * a.parameters - made.parameters
        off_active = factor * a.active_parameters - made.active_parameters
        in_experts, per_token, rest = shape.feed_forward(made)
        if in_experts:  # two widths, two targets: those of routed experts meet all weights, the others the active ones
            change = off_total / in_experts
            routed *= max(0.5, min(2.0, 1.0 + change))
            always *= max(0.5, min(2.0, 1.0 + (off_active - change * per_token) / rest)) if rest else 1.0
        elif rest:
            always *= max(0.5, min(2.0, 1.0 + off_total / rest))
    return shape.model(factor, routed, always)


class _Shape:
    """Depth and width of the larger model; feed-forward widths are still open."""

    def __init__(self, a: Architecture, hidden: int, depths: list[int]) -> None:
        self.a, self.hidden, self.depths = a, hidden, depths
        self.wide = hidden / a.hidden

    def model(self, factor: float, routed: float, always: float) -> Architecture:
        """The model with routed experts `routed` times, other feed-forward layers `always` times as wide."""
        blocks = tuple(
            Block(n, self._attention(b.attention), self._feed_forward(b.feed_forward, routed, always))
            for n, b in zip(self.depths, self.a.blocks, strict=True)
        )
        return replace(
            self.a,
            name=f"{self.a.name} ×{factor:.3g}",
            hidden=self.hidden,
            blocks=blocks,
            embedding_parameters=round(self.a.embedding_parameters * self.wide),
            head_parameters=round(self.a.head_parameters * self.wide),
            other_parameters=round(self.a.other_parameters * self.wide),
        )

    def feed_forward(self, made: Architecture) -> tuple[float, float, float]:
        """Weights of `made` in routed experts: all, and what a token visits; and in other feed-forward layers."""
        every = per_token = rest = 0.0
        for b in made.blocks:
            f = b.feed_forward
            expert = f.matrices * (f.latent or made.hidden) * f.intermediate if f.experts else 0
            every += b.count * f.experts * expert
            per_token += b.count * f.experts_per_token * expert
            rest += b.count * f.matrices * made.hidden * (f.shared_intermediate if f.experts else f.intermediate)
        return every, per_token, rest

    def _attention(self, a: Attention) -> Attention:
        """Heads grow with the width; KV heads and compressed widths stay."""
        if a.kind == "none" or not a.heads:
            return a
        grain = max(a.kv_heads if a.kind in ("full", "sliding") else 1, _grain(a.heads, 8))
        grain = grain if a.heads % grain == 0 else _grain(a.heads, 8)
        heads = _near(a.heads * self.wide, grain)
        more, h = heads / a.heads, self.a.hidden
        both = h * a.heads * (a.head_dim + a.v_head_dim) if not (a.kind == "mla" and a.q_rank) else 0
        both = both or h * a.heads * a.v_head_dim  # queries through a low rank: only the output meets the full width
        both = min(both, a.parameters)
        keys = h * a.kv_heads * (a.head_dim + a.v_head_dim) if a.kind in ("full", "sliding") and not a.shares_kv else 0
        down = h * (a.q_rank + a.kv_rank + a.rope_dim) if a.kind == "mla" else 0
        one = min(keys + down, a.parameters - both)
        left = a.parameters - both - one
        if a.kind == "mla":
            rest = left * more
        elif left > 8 * h:  # gates as wide as queries
            rest = left * more * self.wide
        else:  # norms and biases
            rest = left * self.wide
        return replace(
            a,
            heads=heads,
            kv_heads=heads if a.kv_heads == a.heads else a.kv_heads,
            state=round(a.state * more),
            parameters=round(both * more * self.wide + one * self.wide * (more if a.kv_heads == a.heads else 1) + rest),
        )

    def _feed_forward(self, f: FeedForward, routed: float, always: float) -> FeedForward:
        if not f.matrices:
            return f
        h, c = self.a.hidden, f.matrices
        if not f.experts:
            width = _near(f.intermediate * always, _grain(f.intermediate, 128))
            parameters = c * self.hidden * width + round((f.parameters - c * h * f.intermediate) * self.wide)
            return replace(f, intermediate=width, parameters=parameters, active_parameters=parameters)
        latent = None if f.latent is None else _near(f.latent * self.wide, _grain(f.latent, 64))
        width = _near(f.intermediate * routed, _grain(f.intermediate, 16))
        shared = 0
        if f.shared_intermediate:
            shared = _near(f.shared_intermediate * always, _grain(f.shared_intermediate, 16))
        expert = c * (f.latent or h) * f.intermediate
        kept = f.parameters - f.experts * expert - c * h * f.shared_intermediate  # router, norms, latent projections
        kept = round(kept * self.wide) + c * self.hidden * shared
        bigger = c * (latent or self.hidden) * width
        return replace(
            f, intermediate=width, shared_intermediate=shared, latent=latent,
            parameters=kept + f.experts * bigger, active_parameters=kept + f.experts_per_token * bigger,
        )  # fmt: skip


def _grain(value: int, most: int) -> int:
    """The largest power of two up to `most` that divides `value`, so that the larger one divides as well."""
    grain = 1
    while grain < most and value % (grain * 2) == 0:
        grain *= 2
    return grain


def _near(value: float, grain: int) -> int:
    """`value` in whole grains, at least one."""
    return max(1, round(value / grain)) * grain


def _depths(blocks: tuple[Block, ...], layers: float) -> list[int]:
    """Layers of each block, their sum near `layers` and as even as before; single layers stay single."""
    before = sum(b.count for b in blocks)
    total = _near(layers, _grain(before, 4))
    single = [b.count <= 2 and len(blocks) > 1 for b in blocks]
    fixed = sum(b.count for b, s in zip(blocks, single, strict=True) if s)
    free = [0 if s else b.count for b, s in zip(blocks, single, strict=True)]
    if not sum(free):
        free, fixed = [b.count for b in blocks], 0
    wanted = [(total - fixed) * n / sum(free) for n in free]
    depths = [max(b.count if s and fixed else 1, int(w)) for b, s, w in zip(blocks, single, wanted, strict=True)]
    order = sorted(range(len(blocks)), key=lambda i: int(wanted[i]) - wanted[i])
    for i in order[: max(0, total - sum(depths))]:
        depths[i] += 1
    return depths

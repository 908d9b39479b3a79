"""Does a model fit: forms of it on layouts of one kind of chip, what fills the memory, how many requests it leaves room
for, and how long.

Built on `CostModel`'s bytes. Knows no time, and no demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from eke.cost.model import CostModel
from eke.cost.tables import FloatArray, IntArray, Layouts
from eke.errors import InputError
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture
from eke.models.variant import Variant

PIPELINES = (*range(1, 9), 10, 12, 16)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every form and layout.

    Attributes:
        batch: requests in flight over the replica. context: tokens each of them holds, prompt and answer.
        per_node: chips of a node. nodes: at hand; None: as many as it takes.
        free: bytes of a chip that others leave; None: all.
    """

    architecture: Architecture
    chip: Chip
    engine: str
    batch: int
    context: int
    per_node: int = 8
    nodes: int | None = None
    free: float | None = None

    @property
    def chips(self) -> float:
        """Chips at hand."""
        return self.nodes * self.per_node if self.nodes else np.inf


@dataclass(frozen=True, slots=True)
class Row:
    """One form of the model on one layout.

    Attributes:
        parts: bytes a chip, by what they are. limit: bytes of a chip that may be used.
        max_batch: requests of the asked context. max_context: tokens of each of the asked requests, no more than
            the model was made for; 0: not one.
    """

    variant: Variant
    tp: int
    pp: int
    ep: int
    dp: int
    parts: Mapping[str, float]
    limit: float
    max_batch: int
    max_context: int

    @property
    def chips(self) -> int:
        """Chips of one replica."""
        return self.tp * self.pp * self.dp

    @property
    def total(self) -> float:
        """Bytes a chip."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether what was asked fits."""
        return self.total <= self.limit


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that would make it fit, as an option of the command line, and what then fits."""

    option: str
    row: Row


def rows(asked: Question, variant: Variant, layouts: Layouts) -> list[Row]:
    """`variant` on every layout."""
    model = CostModel(asked.architecture, asked.chip, variant, engine=asked.engine, chips_per_node=asked.per_node)
    limit = min(model.memory_limit, asked.free or np.inf)
    parts = model.memory_parts(layouts, asked.batch, asked.context)
    contexts = _max_context(model, layouts, asked, limit)
    batches = _max_batch(model, layouts, asked, limit)
    return [
        Row(
            variant, int(layouts.tp[i]), int(layouts.pp[i]), int(layouts.ep[i]), int(layouts.dp[i]),
            {name: float(part[i]) for name, part in parts.items() if part[i] > 0},
            limit, int(batches[i]), int(contexts[i]),
        )
        for i in range(len(layouts))
    ]  # fmt: skip


def _max_batch(model: CostModel, layouts: Layouts, asked: Question, limit: float) -> IntArray:
    """Most requests of the asked context. [n]"""
    empty, one = (model.serving_memory(layouts, n, asked.context).total for n in (0, layouts.dp))
    most: IntArray = (np.floor(np.maximum(limit - empty, 0.0) / np.maximum(one - empty, 1.0)) * layouts.dp).astype(
        np.int64
    )
    return most


def _max_context(model: CostModel, layouts: Layouts, asked: Question, limit: float) -> IntArray:
    """Longest context of the asked requests, by bisection: memory never falls as contexts grow. [n]"""

    def held(context: FloatArray | IntArray) -> FloatArray:
        return model.serving_memory(layouts, asked.batch, context).total

    low = np.zeros(len(layouts), dtype=np.int64)  # 0 holds no token, so it is no answer but "none"
    high = np.full_like(low, asked.architecture.max_context)
    while (low < high).any():
        middle = (low + high + 1) // 2
        good = held(middle) <= limit
        low, high = np.where(good, middle, low), np.where(good, high, middle - 1)
    return low


def layouts(asked: Question, *, dp: int = 1, ep: int = 1, pipelines: Iterable[int] = PIPELINES) -> Layouts:
    """Layouts that engines can make, in parts of a node that divide it or in whole nodes; fewest chips first, tensor
    ranks before stages.

    Raises:
        InputError: there is none.
    """
    a, cpu = asked.architecture, asked.chip.kind == "cpu"
    domain = asked.chip.scale_up_chips if asked.chip.scale_up_chips > 1 else asked.per_node
    heads = _heads(a)
    degrees = range(1, domain + 1) if cpu else [2**k for k in range(domain.bit_length()) if 2**k <= domain]
    pairs = [
        (t, p)
        for t, p in product(degrees, (1,) if cpu else pipelines)
        if p <= a.layers and (cpu or (all(h % t == 0 for h in heads) and _places(t * p * dp, asked.per_node)))
        if t * p * dp <= asked.chips
    ]
    if not pairs:
        raise InputError(
            f"{dp} data ranks have no place on nodes of {asked.per_node} chips", remedy="more --nodes, or another --dp"
        )
    pairs.sort(key=lambda pair: (pair[0] * pair[1], pair[1]))
    tp, pp = (np.array(column) for column in zip(*pairs, strict=True))
    return Layouts.of(tp, pp, np.where((tp * dp) % ep == 0, ep, 1), dp)


def _places(chips: int, per_node: int) -> bool:
    return (per_node % chips if chips < per_node else chips % per_node) == 0


def smallest(candidates: Sequence[Row]) -> Row | None:
    """The first that fits: they come fewest chips first."""
    return next((row for row in candidates if row.fits), None)


def divides(architecture: Architecture, tp: int) -> None:
    """Engines cut attention by whole heads.

    Raises:
        InputError: `tp` does not divide them; says which near number does.
    """
    heads = _heads(architecture)
    if uneven := sorted(h for h in heads if h % tp):
        fitting = [n for n in range(1, 2 * tp) if all(h % n == 0 for h in heads)]
        raise InputError(
            f"--tp {tp}: {architecture.name} has {uneven[0]} attention heads, and they are not cut",
            remedy=f"--tp {min(fitting, key=lambda n: abs(n - tp))}",
        )


def _heads(architecture: Architecture) -> set[int]:
    return {b.attention.heads for b in architecture.blocks if b.attention.kind in ("full", "sliding", "mla")}


def replicas(asked: Question, chips: int) -> int | None:
    """Replicas of `chips` chips on the nodes at hand; None: nobody said how many there are."""
    if asked.nodes is None:
        return None
    if chips <= asked.per_node:
        return asked.nodes * (asked.per_node // chips)
    return asked.nodes // -(-chips // asked.per_node)


def changes(row: Row, forms: Iterable[Variant], candidates: Sequence[Row], asked: Question) -> list[Change]:
    """What would make a `row` that does not fit, fit: each change alone.

    Args:
        row: what was asked.
        forms: other variants that may be taken.
        candidates: the same variant on other layouts, fewest chips first.
        asked: the question.
    """
    found: list[Change] = []
    if row.max_batch:
        found.append(Change(f"--batch {row.max_batch}", row))
    if row.max_context:
        found.append(Change(f"--context {row.max_context}", row))
    here = Layouts.of(row.tp, row.pp, row.ep, row.dp)
    fewer = (rows(asked, form, here)[0] for form in forms if form.weight_bits < row.variant.weight_bits)
    found += [Change(f"--variant {other.variant.name}", other) for other in fewer if other.fits]
    larger, nodes = smallest(candidates), ""
    if larger is None and asked.nodes is not None:
        anywhere = layouts(replace(asked, nodes=None), dp=row.dp, ep=row.ep)
        if (larger := smallest(rows(asked, row.variant, anywhere))) is not None:
            nodes = f" --nodes {-(-larger.chips // asked.per_node)}"
    if larger is not None:
        stages = f" --pp {larger.pp}" if max(larger.pp, row.pp) > 1 else ""
        found.append(Change(f"--tp {larger.tp}{stages}{nodes}", larger))
    return found

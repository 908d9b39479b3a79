"""A recipe: one way to run a workload on a pool, the chips it takes and what it gives. Knows no demand and no other
recipe.

`serving` makes those of serve and batch workloads, `gangs` those of training; here is what they have in common:
the noun, the engines, and the filter that keeps only recipes some plan could want.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from eke.cost import CostModel, FloatArray, Profile
from eke.cost.profile import find
from eke.fleet.chip import Chip
from eke.fleet.pool import Fleet, Pool
from eke.models.architecture import Architecture
from eke.models.variant import Variant

Basis = Literal["measured", "modelled", "guessed"]
Kind = Literal["serve", "train", "batch"]

ENGINES: dict[tuple[str, bool], str] = {
    ("cpu", False): "llamacpp", ("cpu", True): "torch",
}  # fmt: skip
"""Engine family by (kind of chip, training); every other chip: vllm to serve, megatron to train."""


START_S = 60.0
"""An engine's start besides its weights: processes, graphs, warming up; estimated."""
STORAGE = 1e9
"""Bytes/s of weights read from disk or network storage for each chip, where a pool does not say; estimated, a slow
SSD."""
UNKNOWN_LINK = 12.5e9
"""Bytes/s per chip between pools when nobody says: 100 Gb/s."""
SLIGHT = 0.05
"""A larger recipe must give this share more than copies of a smaller one to be worth its size."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to run a workload on a pool.

    Attributes:
        units: chips one replica occupies (cores on a CPU), in whole nodes where it spans nodes.
        rate: what one replica gives: requests/s (serve, batch) or tokens/s (train), on the pessimistic side of the
        model.
        quality: share of the demanded model's score that its answers keep; None: nobody published it.
        chunk: prompt tokens one iteration reads at most.
        context: tokens of cache one replica holds.
        holds: whether it keeps the workload's latency bound at `rate`.
        accumulate: micro-batches of a data rank in a step of training.
        part: what it does of a request, where others do the rest. to: pool of those a reader of prompts works for;
        handover_bytes: cache of a mean prompt that goes there.
        joint: of a part of a gang over several pools, the group of pools it may join with; else empty.
        ttft_s, tpot_s: at the workload's percentile and `rate`; 0 for training and batch.
        start_s: until a replica that starts answers; 0 for training.
        spread: no two of its replicas stand on one node.
    """

    workload: str
    kind: Kind
    pool: str
    model: str
    variant: str
    engine: str
    tp: int
    pp: int
    dp: int
    ep: int
    units: int
    rate: float
    basis: Basis
    quality: float | None = 1.0
    max_batch: int = 0
    chunk: int = 0
    context: int = 0
    ttft_s: float = 0.0
    tpot_s: float = 0.0
    holds: bool = True
    micro_batch: int = 0
    accumulate: int = 0
    mfu: float = 0.0
    flop_per_token: float = 0.0
    joint: str = ""
    part: Literal["", "prefill", "decode"] = ""
    to: str = ""
    handover_bytes: float = 0.0
    start_s: float = 0.0
    spread: bool = False

    @property
    def role(self) -> str:
        """What its replicas do."""
        return self.part or ("mixed" if self.kind == "serve" else self.kind)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a recipe may stand: like chips on like nodes. Pools that are alike share their recipes.

    Attributes:
        chip: what is shared out: a core of a CPU, else the chip.
        per_node: units of a node.
        units: units of the largest pool of this kind that can be planned on.
        storage: bytes/s of weights that one unit reads.
    """

    chip: Chip
    per_node: int
    scale_out: float | None
    units: int
    storage: float = STORAGE

    @property
    def domain(self) -> int:
        """Units one tensor-parallel group may span: inside a node and one scale-up domain."""
        return self.per_node if self.chip.scale_up_chips <= 1 else min(self.per_node, self.chip.scale_up_chips)

    def profile(self, *, training: bool) -> Profile:
        """Efficiencies of the engine that runs here."""
        return find(self.chip, self.engine(training=training))

    def cost(
        self, architecture: Architecture, variant: Variant, *, training: bool, profile: Profile | None = None
    ) -> CostModel:  # fmt: skip
        """The cost model of one model in one variant here; `profile`: of this place, where it is at hand."""
        return CostModel(
            architecture, self.chip, variant, engine=self.engine(training=training), chips_per_node=self.per_node,
            scale_out=self.scale_out, profile=profile,
        )  # fmt: skip

    def engine(self, *, training: bool) -> str:
        """Family of engine that runs here."""
        return ENGINES.get((self.chip.kind, training), "megatron" if training else "vllm")


Place = tuple[Site, tuple[str, ...]]
"""A kind of place, and the pools of that kind."""


def starting(
    architecture: Architecture, variant: Variant, parts: ArrayLike, storage: float | None = None
) -> FloatArray:  # fmt: skip
    """Seconds until a replica that starts answers: its weights read, each of `parts` its share at `storage` bytes/s,
    and its engine started.
    """
    return START_S + architecture.parameters * variant.weight_bits / 8 / ((storage or STORAGE) * np.asarray(parts))


def units_per_chip(chip: Chip) -> int:
    """Parts one chip is shared out in: the cores of a CPU; other chips are whole."""
    return chip.cores if chip.kind == "cpu" else 1


def units(pool: Pool) -> int:
    """Units of a pool that can be planned on."""
    return pool.plannable_chips * units_per_chip(pool.chip)


def sites(pools: Iterable[Pool]) -> list[Place]:
    """Kinds of place in a fleet, with the names of the pools that are of that kind."""
    alike: list[tuple[Site, list[str]]] = []
    for pool in pools:
        parts = units_per_chip(pool.chip)
        here = Site(
            pool.chip.core() if pool.chip.kind == "cpu" else pool.chip,
            pool.chips_per_node * parts,
            pool.scale_out,
            units(pool),
            (pool.storage or STORAGE) / parts,
        )
        for i, (site, names) in enumerate(alike):
            if replace(site, units=0) == replace(here, units=0):
                alike[i] = (replace(site, units=max(site.units, here.units)), [*names, pool.name])
                break
        else:
            alike.append((here, [pool.name]))
    return [(site, tuple(names)) for site, names in alike]


def link(fleet: Fleet, a: str, b: str) -> float:
    """Bytes/s per chip between two pools: as stated, else the slower network of the two; inside one, its network."""
    stated = [joined.bandwidth for joined in fleet.links if set(joined.between) == {a, b}]
    return stated[0] if stated else min(fleet.pool(p).scale_out or UNKNOWN_LINK for p in (a, b))


def undominated(recipes: Sequence[Recipe], *, by_quality: bool) -> list[Recipe]:
    """Recipes without those that whole copies of another replace, all but `SLIGHT` of what they give.

    r is dropped for s when floor(units_r / units_s) copies of s give as much: they fit wherever r fits. With
    `by_quality`, s must answer at least as well.
    """
    kept: list[Recipe] = []
    for r in sorted(recipes, key=lambda r: (r.units, -r.rate)):
        worse = any(
            r.units // s.units * s.rate >= r.rate * (1 - SLIGHT)
            and (not by_quality or (s.quality or 0.0) >= (r.quality or 0.0))
            for s in kept
        )
        if r.rate > 0 and not worse:
            kept.append(r)
    return kept

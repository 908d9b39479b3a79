"""The stock: pools of like nodes on one network, and the links between them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from eke.fleet.chip import Chip


@dataclass(frozen=True, slots=True)
class Pool:
    """Like nodes on one network.

    Attributes:
        scale_out: bytes/s one way per chip between nodes of this pool; None: unknown.
        available: share of nodes that can be planned on.
        reserved: nodes kept out of the plan.
        power_cap: watts that the chips in use may draw together, each its TDP.
        storage: bytes/s of weights that a replica that starts reads for each of its chips; None: not said.
    """

    name: str
    chip: Chip
    nodes: int
    chips_per_node: int = 8
    scale_out: float | None = None
    available: float = 1.0
    reserved: int = 0
    power_cap: float | None = None
    storage: float | None = None

    @property
    def chips(self) -> int:
        """All chips owned."""
        return self.nodes * self.chips_per_node

    @property
    def plannable_nodes(self) -> int:
        """Whole nodes the planner may use: owned, less reserved, less the share expected to be down."""
        return max(0, int((self.nodes - self.reserved) * self.available + 1e-9))

    @property
    def plannable_chips(self) -> int:
        """Chips of those nodes that may work at once under the power cap."""
        chips = self.plannable_nodes * self.chips_per_node
        if self.power_cap is None or not self.chip.tdp:
            return chips
        return min(chips, int(self.power_cap / self.chip.tdp + 1e-9))


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two pools; bytes/s one way per chip, as `scale_out` is."""

    between: tuple[str, str]
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """What you own."""

    pools: tuple[Pool, ...]
    links: tuple[Link, ...] = ()

    def pool(self, name: str) -> Pool:
        """The pool of that name; `KeyError` when there is none."""
        return {p.name: p for p in self.pools}[name]

    @property
    def digest(self) -> str:
        """Changes when the stock changes: a plan is made for one digest."""
        rows = sorted(
            (p.name, p.chip.name, p.chip.memory, p.nodes, p.chips_per_node, p.reserved, round(p.available, 6))
            + (() if p.power_cap is None else (p.power_cap,))
            + (() if p.storage is None else ("storage", p.storage))
            for p in self.pools
        )
        return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]

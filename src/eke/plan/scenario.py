"""The nouns of a scenario: what you own and what you owe. In base units, checked; it knows no YAML and no solver.

Everything is a promise with a priority: lower numbers are kept first when not all can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from eke.fleet.pool import Fleet
from eke.models.architecture import Architecture
from eke.plan.distribution import Distribution
from eke.plan.pins import Pin

if TYPE_CHECKING:
    from eke.plan.pareto import Curve, Kind
    from eke.plan.plan import Plan

Goal = Literal["train-progress", "fewest-chips", "least-energy", "value"]
LESS: tuple[Goal, ...] = ("fewest-chips", "least-energy")
"""Goals of which less is better."""


@dataclass(frozen=True, slots=True)
class Slo:
    """Latency promised to `percentile` per cent of requests: to the first token, and per token after it."""

    ttft_s: float
    tpot_s: float
    percentile: float = 95.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests as they come.

    Attributes:
        rate_per_s: at a profile value of 1.
        profile: what the rate is multiplied with, one number a slot.
        prefix_hit: share of prompt tokens found in a prefix cache.
    """

    rate_per_s: float
    profile: tuple[float, ...]
    prompt: Distribution
    output: Distribution
    prefix_hit: float = 0.0

    @property
    def rates(self) -> tuple[float, ...]:
        """Requests per second, slot by slot."""
        return tuple(self.rate_per_s * m for m in self.profile)


@dataclass(frozen=True, slots=True)
class Alternative:
    """A smaller model that may answer at most `share` of the requests, with `quality` of the first model's score."""

    model: str
    architecture: Architecture
    quality: float
    share: float


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer requests within a latency bound; also while any `survives` nodes are down, whichever they are."""

    name: str
    model: str
    architecture: Architecture
    traffic: Traffic
    slo: Slo
    variants: tuple[str, ...] | None = None
    alternatives: tuple[Alternative, ...] = ()
    min_quality: float = 0.97
    priority: int = 1
    value: float | None = None
    pools: tuple[str, ...] | None = None
    survives: int = 0

    @property
    def kind(self) -> Literal["serve"]:
        """Which kind of workload this is."""
        return "serve"


@dataclass(frozen=True, slots=True)
class Train:
    """Train a model on `tokens`, in one gang at a time; `deadline_s` is a promise, more progress is the aim."""

    name: str
    model: str
    architecture: Architecture
    tokens: float
    sequence: int
    global_batch: float
    deadline_s: float | None = None
    precision: Literal["bf16", "fp8"] = "bf16"
    pools: tuple[str, ...] | None = None
    priority: int = 1
    value: float | None = None

    @property
    def kind(self) -> Literal["train"]:
        """Which kind of workload this is."""
        return "train"

    @property
    def tokens_per_s(self) -> float:
        """Mean rate that meets the deadline; 0 without one."""
        return self.tokens / self.deadline_s if self.deadline_s else 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Work through tokens every day, with no latency bound, when and where chips are free."""

    name: str
    model: str
    architecture: Architecture
    tokens_per_day: float
    prompt: Distribution
    output: Distribution
    variants: tuple[str, ...] | None = None
    min_quality: float = 0.97
    prefix_hit: float = 0.0
    priority: int = 9
    value: float | None = None
    pools: tuple[str, ...] | None = None

    @property
    def kind(self) -> Literal["batch"]:
        """Which kind of workload this is."""
        return "batch"

    @property
    def requests_per_s(self) -> float:
        """Mean rate over a day."""
        return self.tokens_per_day / 86400 / (self.prompt.mean + self.output.mean)


Workload = Serve | Train | Batch


@dataclass(frozen=True, slots=True)
class Arrival:
    """Nodes that may join a pool."""

    pool: str
    nodes: int
    at_s: float
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class Generations:
    """How demand and stock move over months; read by the runway.

    Attributes:
        serving_growth_per_s, attrition_per_s: fractions a second; attrition by pool name, or `default`.
        mean_time_between_failures_s: of one chip.
        checkpoint_s: between two; None: the best. checkpoint_stall_s: what one holds a job up.
    """

    first: str
    compute_growth: float
    model_growth: float
    serving_growth_per_s: float
    horizon_s: float
    attrition_per_s: tuple[tuple[str, float], ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    mean_time_between_failures_s: float | None = None
    recovery_s: float | None = None
    checkpoint_s: float | None = None
    checkpoint_stall_s: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """What you own, what you owe, what you aim at.

    Attributes:
        detected: the fleet is this machine (or cluster); its chips are measured before they are planned on.
        source: the text it was read from.
        slots: equal parts of a day the plan may differ in.
        pinned: what a plan is held to.
        notes: what was odd about the file, in sentences.
        without: optimisations that may not be used, by their names in `eke.plan.optimisations`.
    """

    name: str
    fleet: Fleet
    workloads: tuple[Workload, ...]
    objective: Goal = "train-progress"
    slots: int = 1
    generations: Generations | None = None
    detected: bool = False
    path: Path | None = None
    source: str = ""
    without: frozenset[str] = frozenset()
    pinned: tuple[Pin, ...] = ()
    notes: tuple[str, ...] = ()

    def plan(self, *, best_effort: bool = False) -> Plan:
        """Who does what, with its bound and prices."""
        from eke.plan.planner import make

        return make(self, best_effort=best_effort)

    def pareto(self, kind: Kind = "headroom") -> Curve:
        """The objective against more requests (`headroom`), or chips against latency (`latency`)."""
        from eke.plan.pareto import curve

        return curve(self, kind)

    def _repr_html_(self) -> str:
        from eke.plan.show import scenario

        return scenario(self)

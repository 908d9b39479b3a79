"""What an engine is: how to start a replica of a model with it, and what to expect of it once it runs.

An engine is a module that holds these names. Knows nothing of plans, chips or the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from eke.runtime.base import Task


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of a model, as the plan wants it.

    Attributes:
        name: of its task, unique within the run: `assistant-0`.
        workload: whom it serves.
        model: the name clients ask for.
        weights: path of the weights; engines that need none ignore it.
        slots: concurrent requests.
        context: tokens each of them may hold, prompt and output together.
        cpus: its cores; it computes with exactly as many threads.
        variant: precision of the weights.
        pool: where it is.
        priority: lower is more important.
        standby: only under pressure.
    """

    name: str
    workload: str
    model: str
    weights: str = ""
    slots: int = 1
    context: int = 4096
    cpus: tuple[int, ...] = ()
    variant: str = ""
    pool: str = ""
    priority: int = 1
    standby: bool = False


class Engine(Protocol):
    """A module of `eke.runtime.engines`."""

    @property
    def NAME(self) -> str:
        """As in a plan's recipe."""

    @property
    def HEALTH(self) -> str:
        """Path that answers 200 once requests are served."""

    @property
    def METRICS(self) -> Mapping[str, str]:
        """Our word for a figure (`running`, `waiting`, `prompt_tokens`, `output_tokens`) → its Prometheus series."""

    @property
    def EXACT_USAGE(self) -> Mapping[str, Any]:
        """What to add to the body of a streaming request so that every chunk says how many tokens there were so far."""

    def task(self, replica: Replica) -> Task:
        """The task that serves `replica`."""


def labels(replica: Replica, engine: str) -> dict[str, str]:
    """What others want to know of an engine's task."""
    return {
        "workload": replica.workload,
        "model": replica.model,
        "engine": engine,
        "variant": replica.variant,
        "pool": replica.pool,
        "slots": str(replica.slots),
        "context": str(replica.context),
    }

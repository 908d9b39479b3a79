"""Which engines there are: reads the run's state now and then, seats guests accordingly, reports how long the line is.

The state is a database, so it is read and written by one thread beside the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from eke.gateway.limits import Limits
from eke.gateway.seats import Seats
from eke.runtime.base import Task
from eke.runtime.state import Endpoint, State

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Card:
    """A name that can be asked for: a model, or a workload and the model behind it."""

    name: str
    model: str


class Directory:
    """The names this run serves, ready or not.

    Args:
        seats: told which engines answer.
        limits: how often to look.
    """

    def __init__(self, seats: Seats, limits: Limits) -> None:
        self.cards: dict[str, Card] = {}
        self._seats, self._limits = seats, limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._polling: asyncio.Task[None] | None = None

    async def start(self, state: State) -> None:
        """Look once, then keep looking."""
        await self._look(state)
        self._polling = asyncio.create_task(self._poll(state))

    async def stop(self) -> None:
        """Look no more."""
        if self._polling:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        self._thread.shutdown()

    async def _poll(self, state: State) -> None:
        said, due = -1, 0.0
        while True:
            now = time.monotonic()
            waiting = self._seats.waiting
            try:
                await self._look(state)
                if now >= due and (waiting or waiting != said):
                    await self._run(state.set_pressure, waiting, self._seats.oldest(now))
                    said, due = waiting, now + self._limits.pressure_s
            except Exception as error:  # noqa: BLE001 - whatever it is, serve on with what was last known
                log.warning("the state of the run cannot be read, trying again: %s", error)
            await asyncio.sleep(self._limits.poll_s)

    async def _look(self, state: State) -> None:
        tasks = await self._run(state.tasks)
        endpoints = await self._run(state.endpoints)
        self.cards = cards(tasks, endpoints)
        self._seats.refresh(endpoints, time.monotonic())

    async def _run(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)


def cards(tasks: Sequence[Task], endpoints: Sequence[Endpoint]) -> dict[str, Card]:
    """Every name engines are to serve, models first."""
    pairs = [(t.labels.get("model", t.name), t.labels.get("workload", t.name)) for t in tasks if t.kind == "engine"]
    pairs += [(e.model, e.workload) for e in endpoints]
    models = {model: Card(model, model) for model, _ in pairs}
    return models | {w: Card(w, model) for model, w in pairs if w and w not in models}

"""How much the gateway takes, and how long it waits. One table of figures; it does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one gateway.

    Attributes:
        body_bytes: largest request body; beyond it 413.
        queue: requests that may wait for a free slot, all models together; beyond it 429.
        wait_s: longest time from arrival to an engine that answers; beyond it 503. Longer than an engine's restart.
        attempts: engines a request may see die before it is given up as the likely cause (502).
        connect_s: to open a connection to an engine.
        silence_s: longest time an engine may send nothing; beyond it 504. A long prompt on a CPU takes minutes.
        poll_s: how often the state of the engines is read.
        pressure_s: how often the length of the queue is reported.
        progress_s: how often running requests are written to the ledger; a killed gateway loses at most this.
        flush_s: how long finished requests may wait to be written together.
    """

    body_bytes: int = 16 * 2**20
    queue: int = 1024
    wait_s: float = 120.0
    attempts: int = 3
    connect_s: float = 2.0
    silence_s: float = 600.0
    poll_s: float = 0.25
    pressure_s: float = 1.0
    progress_s: float = 1.0
    flush_s: float = 0.1

"""Stopping when asked: the first signal asks, the second is obeyed at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody has asked this process to stop, and with which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.signal is not None


@contextmanager
def asked() -> Iterator[Stop]:
    """Listen to SIGTERM and SIGINT for the block; after the first, both do again what they did before."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hear(number: int, frame: FrameType | None) -> None:
        del frame
        stop.signal = signal.Signals(number)
        restore()

    for number in before:
        signal.signal(number, hear)
    try:
        yield stop
    finally:
        restore()

"""A measuring process: started, listened to line by line, and gone when its answers are in, whatever happens.

Measuring runs in processes of its own: a driver that hangs or dies takes nothing with it, and no framework is imported
where plans are made. They print one line of JSON a measurement; what they complain of becomes one error. It knows
nothing of what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eke.errors import EkeError

Line = dict[str, Any]

# One BLAS thread a Python thread: cores are then counted by us, not by a library.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def python(module: str, *words: str) -> tuple[str, ...]:
    """The command that runs one of our modules."""
    return (sys.executable, "-m", module, *words)


def lines(commands: Sequence[Sequence[str]], patience_s: float, env: Mapping[str, str] | None = None) -> Iterator[Line]:
    """What the first of `commands`, all started at once, prints; ends when all have ended.

    Raises:
        EkeError: one of them failed, or they took longer than `patience_s` together.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        running = [
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE if command is commands[0] else subprocess.DEVNULL,
                stderr=complaints,
                stdin=subprocess.DEVNULL,
                text=True,
                env={**os.environ, **ONE_THREAD, **(env or {})},
            )
            for command in commands
        ]
        late = threading.Timer(patience_s, _kill, (running,))
        late.start()
        spoken = running[0].stdout
        assert spoken is not None
        try:
            for text in spoken:
                yield json.loads(text)
            codes = [process.wait() for process in running]
        finally:
            timely = late.is_alive()
            late.cancel()
            _kill(running)
            spoken.close()
        if any(codes):
            complaints.seek(0)
            raise _failed(commands[0], next(filter(None, codes)), complaints.read(), timely, patience_s)


def _kill(running: Sequence[subprocess.Popen[str]]) -> None:
    for process in running:
        process.kill()
    for process in running:
        process.wait()


def _failed(command: Sequence[str], code: int, said: str, timely: bool, patience_s: float) -> EkeError:
    words = said.strip().splitlines()
    ended = f"ended with status {code}" if timely else f"took longer than {patience_s:.0f} s"
    return EkeError(
        f"the measuring process {ended}; what was calibrated before stays",
        why=words[-1] if words else "",
        remedy=f"run it by hand: {' '.join(command)}",
    )

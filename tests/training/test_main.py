"""`python -m eke.training`: a real process, asked to stop, and killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eke.training import checkpoint, lock, loop, metrics

LONG = 3600 * 128  # tokens of a job that outlives any test
PATIENCE_S = 120.0


@contextmanager
def _trainer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "eke.training", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true() and process.poll() is None:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def _made(folder: Path) -> int:
    path = folder / metrics.FILE
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_sigterm_saves_and_says_to_be_continued(make: Callable[..., Path]) -> None:
    """Asked to stop, it ends the step, saves exactly that step, and exits 75."""
    folder = make(tokens=LONG, checkpoint_every_steps=10**6)
    with _trainer(folder) as process:
        _until(lambda: _made(folder) >= 2, process)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 75, said
    found = checkpoint.latest(folder)
    assert found is not None
    assert found[1]["step"] == _made(folder) >= 2
    assert "step 1 of 3600" in said
    assert "tok/s" in said


def test_a_second_sigterm_is_obeyed_at_once(make: Callable[..., Path]) -> None:
    """In the middle of a step that would take minutes, the second signal ends it."""
    folder = make(global_batch=LONG, tokens=LONG, micro_batch=1)
    with _trainer(folder) as process:
        _until(lambda: lock.is_held(folder), process)
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
    assert process.returncode == -signal.SIGTERM
    assert _made(folder) == 0


def test_killed_at_random_it_makes_the_same_curve(
    make: Callable[..., Path], curve: Callable[[Path], list[dict[str, Any]]]
) -> None:
    """SIGKILL at random moments, many of them inside the writing of a checkpoint, leaves no trace in the losses."""
    steps, kills = 150, 3
    sizes = {"tokens": steps * 128, "checkpoint_every_steps": 2, "evaluate_every_steps": 50}
    whole, killed = make("whole", **sizes), make("killed", **sizes)
    assert loop.train(whole, on_step=lambda _: None, stop=lambda: False)
    chance = random.Random()
    for kill in range(kills):
        target = chance.randrange(kill * steps // (kills + 1), (kill + 1) * steps // (kills + 1))
        with _trainer(killed) as process:
            _until(lambda target=target: _made(killed) > target, process)
            time.sleep(chance.random() * 0.03)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "it was to die before it was done"
    with _trainer(killed) as process:
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
    assert curve(killed) == curve(whole)
    assert len(curve(killed)) == steps


def test_a_folder_without_a_job_is_bad_input(tmp_path: Path) -> None:
    """Exit 64, and the message says what is missing; no traceback."""
    with _trainer(tmp_path) as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 64
    assert "no training job" in said
    assert "Traceback" not in said

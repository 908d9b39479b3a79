"""How far a training is, for anybody who asks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eke.errors import InputError
from eke.training import lock, metrics, progress
from eke.training.metrics import Step


def _made(folder: Path, count: int) -> None:
    with (folder / metrics.FILE).open("w") as file:
        for n in range(1, count + 1):
            metrics.append(file, Step(n, n * 128, 10.0 - n, 1e-3, 1.0, 0.5, 9.5 if n == 4 else None))


def test_a_job_passes_through_its_states(make: Callable[..., Path]) -> None:
    """New, training while somebody holds the lock, paused when nobody does, done at the last step."""
    folder = make()
    assert progress.read(folder).state == "new"
    with lock.held(folder):
        assert progress.read(folder).state == "training"
    _made(folder, 5)
    assert progress.read(folder).state == "paused"
    _made(folder, 12)
    assert progress.read(folder).state == "done"


def test_the_figures_are_those_of_the_metrics(make: Callable[..., Path]) -> None:
    """Speed and time left follow from the lines: 128 tokens in half a second, seven steps to go."""
    folder = make()
    _made(folder, 5)
    with lock.held(folder):
        now = progress.read(folder)
    assert (now.step, now.steps, now.tokens, now.total_tokens) == (5, 12, 5 * 128, 12 * 128)
    assert (now.loss, now.validation_loss) == (5.0, 9.5)
    assert now.tokens_per_s == pytest.approx(256)
    assert now.eta_s == pytest.approx(3.5)
    assert [p.loss for p in now.history] == [9.0, 8.0, 7.0, 6.0, 5.0]


def test_a_paused_job_promises_no_end(make: Callable[..., Path]) -> None:
    """Nobody works on it, so there is no time left to state."""
    folder = make()
    _made(folder, 5)
    assert progress.read(folder).eta_s is None


def test_a_long_history_is_thinned(make: Callable[..., Path]) -> None:
    """However many steps, the curve has at most 200 points, ends at the last step, and keeps the mean loss."""
    folder = make(tokens=128 * 5000)
    _made(folder, 1009)
    history = progress.read(folder).history
    assert 100 < len(history) <= progress.MOST_POINTS
    assert history[-1].step == 1009
    assert history[0].loss == pytest.approx(10 - (1 + history[0].step) / 2)
    assert [p.validation_loss for p in history].count(9.5) == 1


def test_no_job_is_bad_input(tmp_path: Path) -> None:
    """A folder that holds no job is named."""
    with pytest.raises(InputError, match="no training job"):
        progress.read(tmp_path)


def test_watching_needs_no_torch() -> None:
    """Neither the console nor the planner loads torch to know of a training."""
    code = "import sys, eke.training.progress, eke.training.task; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

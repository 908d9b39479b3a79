"""One line a step."""

from __future__ import annotations

from pathlib import Path

from eke.training import metrics
from eke.training.metrics import Step


def _steps(count: int) -> list[Step]:
    return [Step(n, n * 128, 1 / 3 / n, 1e-3, 1.0, 0.5, 0.1 if n % 2 else None) for n in range(1, count + 1)]


def _write(folder: Path, steps: list[Step]) -> None:
    with (folder / metrics.FILE).open("a") as file:
        for step in steps:
            metrics.append(file, step)


def test_steps_come_back_bit_for_bit(tmp_path: Path) -> None:
    """A loss read is the loss that was written, to the last bit."""
    _write(tmp_path, _steps(5))
    assert metrics.read(tmp_path) == _steps(5)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """A process that died while writing a line costs that line alone."""
    _write(tmp_path, _steps(3))
    path = tmp_path / metrics.FILE
    path.write_bytes(path.read_bytes()[:-20])
    assert metrics.read(tmp_path) == _steps(2)


def test_no_step_stands_twice(tmp_path: Path) -> None:
    """What came after the checkpoint is forgotten before it is lived again."""
    _write(tmp_path, _steps(5))
    metrics.truncate(tmp_path, 3)
    _write(tmp_path, _steps(5)[3:])
    assert metrics.read(tmp_path) == _steps(5)


def test_nothing_yet_is_no_steps(tmp_path: Path) -> None:
    """A folder without metrics has made no step; truncating it makes an empty file."""
    assert metrics.read(tmp_path) == []
    metrics.truncate(tmp_path, 0)
    assert (tmp_path / metrics.FILE).read_text() == ""

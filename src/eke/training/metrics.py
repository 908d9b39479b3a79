"""What happened at each step, one JSON line a step in `metrics.jsonl`. Readable without torch and while it grows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from eke.training import atomic

FILE = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step.

    Attributes:
        step: counted from 1; `tokens` so far, this one included.
        loss: mean nats a byte over the batch, before the update.
        seconds: wall time since the step before (or since the start), evaluation and checkpoint included.
        validation_loss: on held-out text after the update; most steps have none.
    """

    step: int
    tokens: int
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    validation_loss: float | None = None


def append(file: TextIO, step: Step) -> None:
    """Add a line; it survives the death of this process."""
    file.write(json.dumps(asdict(step)) + "\n")
    file.flush()


def read(folder: Path) -> list[Step]:
    """All whole lines; a last one torn by a sudden end is left out."""
    try:
        lines = (folder / FILE).read_text().splitlines()
    except FileNotFoundError:
        return []
    steps = []
    for line in lines:
        try:
            steps.append(Step(**json.loads(line)))
        except (ValueError, TypeError):
            break
    return steps


def truncate(folder: Path, step: int) -> None:
    """Forget what came after `step`: a trainer that resumes there will live it again."""
    kept = [s for s in read(folder) if s.step <= step]
    with atomic.replacing(folder / FILE) as partial:
        partial.write_text("".join(json.dumps(asdict(s)) + "\n" for s in kept))

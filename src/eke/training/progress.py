"""How far a training job is, read from its folder by anybody, without torch and without disturbing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from eke.training import job, lock, metrics
from eke.training.metrics import Step

State = Literal["new", "training", "paused", "done"]
RATE_OVER_STEPS = 20
MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the loss curve: mean loss of some steps, the last of them, a validation loss if there was one."""

    step: int
    tokens: int
    loss: float
    validation_loss: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Attributes:
        state: `new` before the first step, `training` while a process works on it, `paused` while none does, `done`.
        loss, validation_loss: nats a byte, at the last step and at the last evaluation.
        tokens_per_s: over the last steps made, whenever that was.
        eta_s: only while training.
        history: the loss curve in at most 200 points.
    """

    model: str
    state: State
    step: int
    steps: int
    tokens: int
    total_tokens: int
    loss: float | None
    validation_loss: float | None
    tokens_per_s: float | None
    eta_s: float | None
    history: tuple[Point, ...]


def read(folder: Path) -> Progress:
    """Progress of the job in `folder`.

    Raises:
        InputError: no job is there.
    """
    what = job.read(folder)
    made = metrics.read(folder)
    last = made[-1] if made else None
    recent = made[-RATE_OVER_STEPS:]
    seconds = sum(s.seconds for s in recent)
    rate = len(recent) * what.global_batch / seconds if seconds else None
    state = _state(what.steps, last, running=lock.is_held(folder))
    done = last.step if last else 0
    return Progress(
        model=what.name,
        state=state,
        step=done,
        steps=what.steps,
        tokens=done * what.global_batch,
        total_tokens=what.steps * what.global_batch,
        loss=last.loss if last else None,
        validation_loss=next((s.validation_loss for s in reversed(made) if s.validation_loss is not None), None),
        tokens_per_s=rate,
        eta_s=(what.steps - done) * what.global_batch / rate if rate and state == "training" else None,
        history=_history(made),
    )


def _state(steps: int, last: Step | None, *, running: bool) -> State:
    if running:
        return "training"
    if last is None:
        return "new"
    return "done" if last.step >= steps else "paused"


def _history(made: list[Step]) -> tuple[Point, ...]:
    size = max(1, -(-len(made) // MOST_POINTS))
    points = []
    for start in range(0, len(made), size):
        group = made[start : start + size]
        validation = next((s.validation_loss for s in reversed(group) if s.validation_loss is not None), None)
        points.append(Point(group[-1].step, group[-1].tokens, fmean(s.loss for s in group), validation))
    return tuple(points)

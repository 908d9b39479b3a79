"""The training loop: batches in, better weights out, able to stop or die at any moment. Knows no terminal.

A step is a pure function of (weights, optimizer state, step number): the batch comes from (seed, step), the rate from
the step, and nothing draws random numbers. So a checkpoint of the three is all it takes to go on exactly.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from eke.errors import EkeError, InputError
from eke.training import atomic, checkpoint, lock, metrics, model, optimizer, text
from eke.training import job as jobs
from eke.training.job import Job
from eke.training.metrics import Step
from eke.training.model import GPT
from eke.training.text import Bytes, Text
from eke.training.threads import usable

HELD_OUT_WINDOWS = 64
log = logging.getLogger(__name__)


def train(folder: Path, *, on_step: Callable[[Step], None], stop: Callable[[], bool]) -> bool:
    """Work on the job in `folder` until it is done or `stop()` says so after a step.

    Returns:
        Whether it is done. Either way a checkpoint of the last step is on the disk.

    Raises:
        EkeError: another process trains there, or the loss is no longer a number.
        InputError: no job is there, or its text has changed.
    """
    job = jobs.read(folder)
    with lock.held(folder):
        source = _source(job)
        _prepare(job.threads)
        run = _resume(folder, job)
        last_saved, saved_at = run.step, time.monotonic()
        with (folder / metrics.FILE).open("a") as file:
            while run.step < job.steps and not stop():
                step = run.advance(source)
                metrics.append(file, step)
                on_step(step)
                due = time.monotonic() - saved_at >= job.checkpoint_every_s
                if due or run.step - last_saved >= job.checkpoint_every_steps:
                    last_saved, saved_at = run.step, time.monotonic()
                    run.save(folder)
        if last_saved < run.step:
            run.save(folder)
        return run.step >= job.steps


@dataclass(slots=True)
class Run:
    """Weights, optimizer and the number of the last step made."""

    job: Job
    model: GPT
    optimizer: torch.optim.AdamW
    step: int
    since: float

    def advance(self, source: Text) -> Step:
        """Make the next step."""
        job, number = self.job, self.step + 1
        rows = text.batch(source.train, job.sequence, job.seed, self.step * job.sequences, job.sequences)
        loss = accumulate(self.model, rows, job.micro_batch, job.precision)
        if not math.isfinite(loss):
            raise EkeError(
                f"the loss of step {number} is {loss}",
                why="training diverged; the last checkpoint is from before",
                remedy="a lower learning_rate in job.json",
            )
        rate = optimizer.learning_rate(job, number)
        norm = optimizer.update(self.model, self.optimizer, rate)
        validation = None
        if number % job.evaluate_every_steps == 0 or number == job.steps:
            held_out = text.held_out(source.validation, job.sequence, HELD_OUT_WINDOWS)
            validation = evaluate(self.model, held_out, job.micro_batch, job.precision)
        now = time.monotonic()
        seconds, self.since, self.step = now - self.since, now, number
        return Step(number, number * job.global_batch, loss, rate, norm, seconds, validation)

    def save(self, folder: Path) -> None:
        """Write a checkpoint; what the metrics say up to here is on the disk before it."""
        atomic.flush(folder / metrics.FILE)
        state = {
            "job": asdict(self.job),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        path = checkpoint.save(folder, self.step, state, self.job.keep)
        log.info("saved %s", path.name)


def accumulate(net: GPT, rows: Bytes, micro_batch: int, precision: str) -> float:
    """Add the gradient of the mean loss over `rows` [n, sequence + 1] to the weights, a micro-batch at a time."""
    total = 0.0
    for part in _parts(rows, micro_batch):
        share = len(part) / len(rows)
        with autocast(precision):
            loss = model.loss(net, part) * share
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


@torch.no_grad()
def evaluate(net: GPT, rows: Bytes, micro_batch: int, precision: str) -> float:
    """Mean loss over `rows` [n, sequence + 1]."""
    total = 0.0
    for part in _parts(rows, micro_batch):
        with autocast(precision):
            total += model.loss(net, part).item() * len(part) / len(rows)
    return total


def autocast(precision: str) -> torch.autocast:
    """The context in which matrix products run in `precision`."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16" or (precision == "auto" and has_bf16()))


@cache
def has_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware; without, it is slower than fp32."""
    able = torch.cpu.get_capabilities()
    return any(able.get(feature, False) for feature in ("amx_bf16", "avx512_bf16", "bf16"))


def _parts(rows: Bytes, size: int) -> list[Tensor]:
    return [torch.from_numpy(rows[i : i + size]).long() for i in range(0, len(rows), size)]


def _source(job: Job) -> Text:
    path = Path(job.corpus)
    if text.digest(path) != job.corpus_sha256:
        raise InputError(
            f"{path} is not the text this training began with",
            remedy="restore it, or begin anew in another folder",
        )
    return text.load(path, job.sequence)


def _prepare(threads: int) -> None:
    torch.set_num_threads(usable(threads))
    torch.use_deterministic_algorithms(True)


def _resume(folder: Path, job: Job) -> Run:
    atomic.sweep(folder)
    atomic.sweep(folder / checkpoint.FOLDER)
    net = GPT(job.model)
    adam = optimizer.make(net, job)
    found = checkpoint.latest(folder, set_aside=True)
    step = 0
    if found is None:
        net.initialise(job.seed)
    else:
        path, state = found
        net.load_state_dict(state["model"])
        adam.load_state_dict(state["optimizer"])
        step = int(state["step"])
        log.info("resumed from %s", path.name)
    metrics.truncate(folder, step)
    return Run(job, net, adam, step, time.monotonic())

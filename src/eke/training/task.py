"""A training job as a task of the runtime. Writes `job.json`, says the command line; starts nothing, needs no torch."""

from __future__ import annotations

import sys
from pathlib import Path

from eke.runtime.base import Task
from eke.training import job
from eke.training.threads import ENVIRONMENT

# A step must end before the checkpoint is written: seconds on one idle core, several times that on a busy one.
GRACE_S = 90.0


def folder(run_dir: Path, workload: str) -> Path:
    """Where the training of a workload lives in a run."""
    return run_dir / "train" / workload


def task(
    run_dir: Path,
    workload_name: str,
    model: str,
    tokens: int,
    sequence: int,
    global_batch: int,
    threads: int,
    cpus: tuple[int, ...],
    corpus: Path | None = None,
    *,
    priority: int = 1,
) -> Task:
    """The task that trains `model` for a workload; one that has begun goes on.

    Raises:
        InputError: the folder holds the training of another model, text or batch.
    """
    place = folder(run_dir, workload_name)
    what = job.make(model, tokens=tokens, sequence=sequence, global_batch=global_batch, threads=threads, corpus=corpus)
    job.settle(place, what)
    return Task(
        name=workload_name,
        kind="trainer",
        argv=(sys.executable, "-m", "eke.training", str(place)),
        env={"OMP_NUM_THREADS": str(threads), **ENVIRONMENT},
        cpus=cpus,
        restart="on-failure",
        grace_s=GRACE_S,
        priority=priority,
        labels={"workload": workload_name, "model": model},
    )

"""A training job as a task of the runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eke.errors import InputError, UnknownName
from eke.training import job as jobs
from eke.training.task import task


def test_the_task_starts_the_job_it_wrote(tmp_path: Path) -> None:
    """The command line names the folder of the workload, whose job.json says what the plan said."""
    made = task(tmp_path, "next-generation", "tiny", 20_000_000, 256, 16_384, 1, (1,))
    folder = tmp_path / "train" / "next-generation"
    assert made.argv == (sys.executable, "-m", "eke.training", str(folder))
    assert (made.kind, made.restart, made.cpus, made.port) == ("trainer", "on-failure", (1,), None)
    assert made.labels == {"workload": "next-generation", "model": "tiny"}
    assert made.env == {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    job = jobs.read(folder)
    assert (job.tokens, job.sequence, job.global_batch, job.threads) == (20_000_000, 256, 16_384, 1)


def test_the_same_plan_twice_is_the_same_job(tmp_path: Path) -> None:
    """Asked again, with another share of the machine, it is the same job on other threads."""
    task(tmp_path, "next", "tiny", 10**6, 256, 16_384, 1, (1,))
    task(tmp_path, "next", "tiny", 10**6, 256, 16_384, 2, (0, 1))
    assert jobs.read(tmp_path / "train" / "next").threads == 2


def test_another_text_is_refused(tmp_path: Path) -> None:
    """A training that has begun does not turn into another."""
    mine = tmp_path / "mine.txt"
    mine.write_bytes(b"once upon a time " * 100)
    task(tmp_path, "next", "tiny", 10**6, 256, 16_384, 1, ())
    with pytest.raises(InputError, match="corpus_sha256 differ"):
        task(tmp_path, "next", "tiny", 10**6, 256, 16_384, 1, (), mine)


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    """A model the trainer cannot build is said so before anything is written."""
    with pytest.raises(UnknownName, match="Llama"):
        task(tmp_path, "next", "Llama-3-8B", 10**6, 256, 16_384, 1, ())
    assert not (tmp_path / "train").exists()

"""Training jobs as job.json says them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eke.errors import InputError
from eke.training import job as jobs
from eke.training.job import Job


def test_a_job_comes_back_as_it_was_written(tmp_path: Path, small_job: Callable[..., Job]) -> None:
    """Written and read, it is the same job; nothing half-written lies beside it."""
    job = jobs.settle(tmp_path / "a", small_job())
    assert jobs.read(tmp_path / "a") == job
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["job.json"]


def test_steps_round_up(small_job: Callable[..., Job]) -> None:
    """The last step may see more than was asked for, never less."""
    assert small_job(tokens=1, global_batch=128).steps == 1
    assert small_job(tokens=129, global_batch=128).steps == 2


@pytest.mark.parametrize("change", [{"threads": 2}, {"micro_batch": 4}, {"tokens": 128 * 99}, {"keep": 5}])
def test_how_it_is_run_may_change(tmp_path: Path, small_job: Callable[..., Job], change: dict[str, Any]) -> None:
    """More tokens, other threads: the job goes on, and job.json says the new."""
    jobs.settle(tmp_path, small_job())
    jobs.settle(tmp_path, small_job(**change))
    assert jobs.read(tmp_path) == small_job(**change)


@pytest.mark.parametrize(
    "change", [{"sequence": 16}, {"global_batch": 256}, {"seed": 9}, {"corpus_sha256": "other"}, {"model": None}]
)
def test_what_it_is_may_not(tmp_path: Path, small_job: Callable[..., Job], change: dict[str, Any]) -> None:
    """Another model, text or batch in the same folder is refused, says which, and leaves the folder as it was."""
    job = small_job()
    if "model" in change:
        change = {"model": replace(job.model, hidden_size=64)}
    jobs.settle(tmp_path, job)
    with pytest.raises(InputError, match=f"{next(iter(change))} differ"):
        jobs.settle(tmp_path, small_job(**change))
    assert jobs.read(tmp_path) == job


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": 0}, "tokens is 0"),
        ({"micro_batch": -1}, "micro_batch is -1"),
        ({"sequence": 64}, "at most 32"),
        ({"global_batch": 100}, "no multiple"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(
    small_job: Callable[..., Job], change: dict[str, Any], said: str
) -> None:
    """The message names the size and the limit."""
    with pytest.raises(InputError, match=said):
        jobs.check(small_job(**change))


def test_the_remedy_for_a_batch_works(small_job: Callable[..., Job]) -> None:
    """What the message proposes is accepted."""
    with pytest.raises(InputError) as caught:
        jobs.check(small_job(global_batch=100))
    assert caught.value.remedy == "global_batch: 96"
    jobs.check(small_job(global_batch=96))


def test_a_folder_without_a_job_is_named(tmp_path: Path) -> None:
    """No job, or one that cannot be understood: the message says which file and what is wrong."""
    with pytest.raises(InputError, match=r"no training job"):
        jobs.read(tmp_path)
    (tmp_path / "job.json").write_text('{"name": "x"}')
    with pytest.raises(InputError, match=r"job\.json: model"):
        jobs.read(tmp_path)

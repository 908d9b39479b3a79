"""A model small enough to train in a blink, and jobs for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eke.training import job as jobs
from eke.training.corpus import DEFAULT
from eke.training.job import Job
from eke.training.shape import Shape
from eke.training.text import digest

SHAPE = Shape(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=32
)


def _job(**changes: Any) -> Job:
    words: dict[str, Any] = {
        "name": "small", "model": SHAPE, "corpus": str(DEFAULT), "corpus_sha256": digest(DEFAULT),
        "tokens": 12 * 128, "sequence": 32, "global_batch": 128, "micro_batch": 2, "learning_rate": 1e-2,
        "checkpoint_every_steps": 3, "evaluate_every_steps": 4,
    }  # fmt: skip
    return Job(**(words | changes))


@pytest.fixture
def shape() -> Shape:
    """The shape of the small model."""
    return SHAPE


@pytest.fixture
def small_job() -> Callable[..., Job]:
    """A job of twelve steps of four sequences; words change it."""
    return _job


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """A folder that holds such a job."""

    def folder(name: str = "training", **changes: Any) -> Path:
        place = tmp_path / name
        jobs.settle(place, _job(**changes))
        return place

    return folder


@pytest.fixture
def curve() -> Callable[[Path], list[dict[str, Any]]]:
    """What `metrics.jsonl` of a folder says, without the wall time."""

    def read(folder: Path) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]

    return read

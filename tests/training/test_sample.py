"""Text from a trained model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eke.errors import EkeError
from eke.training import loop, sample, text
from eke.training.model import GPT
from eke.training.shape import Shape


def test_a_model_says_what_it_learnt(tmp_path: Path, make: Callable[..., Path]) -> None:
    """Trained on one saying, the likeliest continuation of its beginning is its end."""
    path = tmp_path / "saying.txt"
    path.write_bytes(b"make do and mend. " * 200)
    folder = make(corpus=str(path), corpus_sha256=text.digest(path), tokens=128 * 80, checkpoint_every_steps=1000)
    assert loop.train(folder, on_step=lambda _: None, stop=lambda: False)
    said = "".join(sample.sample(sample.load(folder), "make do a", length=9, temperature=0))
    assert said == "nd mend. "


def test_the_seed_decides(shape: Shape) -> None:
    """The same seed says the same, another something else, also beyond the model's window."""
    model = GPT(shape)
    model.initialise(1)
    one, same, other = ("".join(sample.sample(model, "", length=40, seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_without_a_checkpoint_it_is_silent(make: Callable[..., Path]) -> None:
    """Before the first checkpoint the message says what to do."""
    with pytest.raises(EkeError, match="no checkpoint yet"):
        sample.load(make())

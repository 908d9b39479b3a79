"""Text, split by position and dealt like a shuffled deck."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.errors import InputError
from eke.training import text
from eke.training.corpus import DEFAULT

seeds = st.integers(0, 2**32)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[text.Bytes, int]:
    """A text whose bytes are their own positions, and a sequence length that fits it."""
    sequence = draw(st.integers(1, 12))
    length = draw(st.integers(2 * sequence, 20 * sequence))
    return np.arange(length, dtype=np.int64).astype(np.uint8), sequence


@given(size=st.integers(1, 3000), seed=seeds)
def test_a_shuffle_deals_every_card_once(size: int, seed: int) -> None:
    """For any deck and any seed, the shuffle is a permutation."""
    keys = np.random.SeedSequence(seed).generate_state(4, np.uint64)
    dealt = text.shuffle(np.arange(size), size, keys)
    assert np.array_equal(np.sort(dealt), np.arange(size))


def test_a_shuffle_mixes() -> None:
    """Neighbours do not stay neighbours: the mean step between them is near a third of the deck, as by chance."""
    keys = np.random.SeedSequence(1).generate_state(4, np.uint64)
    dealt = text.shuffle(np.arange(3000), 3000, keys)
    assert 900 < np.abs(np.diff(dealt)).mean() < 1100


@given(cut=cuts(), seed=seeds, epoch=st.integers(0, 3))
def test_an_epoch_covers_the_text_once(cut: tuple[text.Bytes, int], seed: int, epoch: int) -> None:
    """Whatever the epoch, its windows lie side by side without gap or overlap, and leave out less than two."""
    source, sequence = cut
    count = text.windows(source, sequence)
    dealt = text.batch(source, sequence, seed, epoch * count, count)
    starts = np.sort(dealt[:, 0].astype(np.int64))
    assert np.array_equal(starts, starts[0] + np.arange(count) * sequence)
    assert len(source) - count * sequence < 2 * sequence


@given(cut=cuts(), seed=seeds, first=st.integers(0, 200), count=st.integers(1, 50))
def test_a_batch_depends_on_its_numbers_alone(cut: tuple[text.Bytes, int], seed: int, first: int, count: int) -> None:
    """Dealt together or one by one, across epochs too, the windows are the same; each is a stretch of the text."""
    source, sequence = cut
    together = text.batch(source, sequence, seed, first, count)
    one_by_one = [text.batch(source, sequence, seed, first + i, 1)[0] for i in range(count)]
    assert np.array_equal(together, one_by_one)
    assert np.array_equal(together, (together[:, :1] + np.arange(sequence + 1)).astype(np.uint8))


def test_seeds_and_epochs_differ() -> None:
    """Another seed, or the next epoch, is another order."""
    source = text.load(DEFAULT, 256).train
    count = text.windows(source, 256)
    deals = [text.batch(source, 256, seed, first, 8).tobytes() for seed, first in ((1, 0), (2, 0), (1, count))]
    assert len(set(deals)) == 3


def test_held_out_text_is_the_end() -> None:
    """Training never sees the last 5%, and the evaluation is always the same windows of it."""
    parts = text.load(DEFAULT, 256)
    assert bytes(parts.train) + bytes(parts.validation) == DEFAULT.read_bytes()
    assert len(parts.validation) == pytest.approx(0.05 * DEFAULT.stat().st_size, rel=0.01)
    windows = text.held_out(parts.validation, 256, 64)
    assert windows.shape == (64, 257)
    assert np.array_equal(windows, text.held_out(parts.validation, 256, 64))


def test_a_text_too_short_is_refused(tmp_path: Path) -> None:
    """The message says how many bytes there are and how many it takes; one that just suffices works."""
    path = tmp_path / "short.txt"
    path.write_bytes(b"x" * 96)
    with pytest.raises(InputError, match=r"96 bytes.*at least 97"):
        text.load(path, 32)
    path.write_bytes(b"x" * 97)
    parts = text.load(path, 32)
    assert text.batch(parts.train, 32, 1, 0, 4).shape == (4, 33)
    assert text.held_out(parts.validation, 32, 64).shape == (1, 33)


def test_a_missing_text_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(InputError, match=r"gone\.txt"):
        text.digest(tmp_path / "gone.txt")

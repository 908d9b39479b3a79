"""Text as bytes, split by position into what is learnt and what is held out, and dealt into batches. Knows no model.

The order is a pure function of (seed, index): an epoch cuts the text into windows at an offset of its own and deals
them like a shuffled deck, each once. So a trainer resumes from its step number alone; there is no iterator to save.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eke.errors import InputError

Bytes = NDArray[np.uint8]
VALIDATION_SHARE = 0.05
ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Text:
    """A text file, its first 95% to train on and its end held out."""

    train: Bytes
    validation: Bytes


def digest(path: Path) -> str:
    """SHA-256 of the file at `path`, by which a resumed job knows its text again."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read the text {path}", why=error.strerror or str(error)) from error


def load(path: Path, sequence: int) -> Text:
    """Map the file into memory and split it.

    Raises:
        InputError: the text is too short for windows of `sequence` bytes.
    """
    size = path.stat().st_size
    split = size - max(round(size * VALIDATION_SHARE), sequence + 1)
    if split < 2 * sequence:
        raise InputError(
            f"{path} has {size} bytes; sequences of {sequence} need at least {3 * sequence + 1}",
            remedy="a longer text, or shorter sequences",
        )
    everything: Bytes = np.memmap(path, dtype=np.uint8, mode="r")
    return Text(everything[:split], everything[split:])


def windows(train: Bytes, sequence: int) -> int:
    """How many windows one epoch deals. One sequence is left over so that each epoch may start somewhere else."""
    return (len(train) - sequence) // sequence


def batch(train: Bytes, sequence: int, seed: int, first: int, count: int) -> Bytes:
    """Windows number `first` to `first + count` of the endless deal, [count, sequence + 1]."""
    index = np.arange(first, first + count)
    per_epoch = windows(train, sequence)
    starts = np.empty(count, dtype=np.int64)
    for epoch in range(first // per_epoch, (first + count - 1) // per_epoch + 1):
        here = index // per_epoch == epoch
        keys = np.random.SeedSequence([seed, epoch]).generate_state(ROUNDS + 1, np.uint64).astype(np.uint64)
        starts[here] = shuffle(index[here] % per_epoch, per_epoch, keys[1:]) * sequence + int(keys[0] % sequence)
    return _cut(train, starts, sequence)


def held_out(validation: Bytes, sequence: int, most: int) -> Bytes:
    """Up to `most` windows spread evenly over the held-out text, always the same ones, [n, sequence + 1]."""
    available = (len(validation) - 1) // sequence
    starts = np.linspace(0, available - 1, min(most, available)).astype(np.int64) * sequence
    return _cut(validation, starts, sequence)


def shuffle(cards: NDArray[np.int64], size: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where a shuffle of `size` cards puts each of `cards`, without holding the deck.

    A Feistel network permutes [0, 4^b) ⊇ [0, size); what falls outside walks on until it is inside
    (Black and Rogaway 2002).
    """
    half_bits = np.uint64(max(1, -(-(size - 1).bit_length() // 2)))
    mask = np.uint64((1 << int(half_bits)) - 1)
    x = cards.astype(np.uint64)
    outside = np.ones(len(x), dtype=bool)
    while outside.any():
        left, right = x[outside] >> half_bits, x[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        x[outside] = left << half_bits | right
        outside = x >= size
    return x.astype(np.int64)


def _cut(source: Bytes, starts: NDArray[np.int64], sequence: int) -> Bytes:
    return np.asarray(source[starts[:, None] + np.arange(sequence + 1)], dtype=np.uint8)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64 bits (the finish of splitmix64, Steele, Lea and Flood 2014)."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)

"""The tables that go in and out of the cost model, as NumPy arrays with one entry a recipe. Numbers, no rules.

A layout lays one model over chips. Ranks are placed as Megatron and vLLM do: tensor ranks are neighbours, then data
(and expert) ranks, then pipeline stages. Expert ranks lie inside tp*dp, so a replica takes tp*pp*dp chips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eke.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Basis = Literal["measured", "modelled", "guessed"]

BOUNDS = ("compute", "memory", "link", "overhead")
COMPUTE, MEMORY, LINK, OVERHEAD = range(4)


@dataclass(frozen=True, slots=True)
class Layouts:
    """A table: one row a way to lay a model over chips; int64 arrays [n].

    Attributes:
        tp: tensor ranks. pp: pipeline stages. ep: expert ranks, inside tp*dp. dp: data ranks of one replica.
    """

    tp: IntArray
    pp: IntArray
    ep: IntArray
    dp: IntArray

    @classmethod
    def of(cls, tp: ArrayLike = 1, pp: ArrayLike = 1, ep: ArrayLike = 1, dp: ArrayLike = 1) -> Layouts:
        """A table from numbers or sequences, broadcast against each other.

        Raises:
            InputError: a degree below one, or expert ranks that do not divide tp*dp.
        """
        columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, dtype=np.int64)) for x in (tp, pp, ep, dp)))
        table = cls(*columns)
        if any((column < 1).any() for column in columns):
            raise InputError("tp, pp, ep and dp are at least 1")
        if ((table.tp * table.dp) % table.ep).any():
            row = int(np.flatnonzero((table.tp * table.dp) % table.ep)[0])
            raise InputError(
                f"ep {table.ep[row]} does not divide tp*dp = {table.tp[row] * table.dp[row]}",
                why="expert ranks lie inside the tensor and data ranks of a replica",
                remedy="choose ep that divides tp*dp",
            )
        return table

    def __len__(self) -> int:
        return len(self.tp)

    def upright(self) -> Layouts:
        """Its columns as [n, 1], to stand beside k counts of each layout."""
        return Layouts(self.tp[:, None], self.pp[:, None], self.ep[:, None], self.dp[:, None])

    @property
    def chips(self) -> IntArray:
        """Chips a replica takes. [n]"""
        return self.tp * self.pp * self.dp


@dataclass(frozen=True, slots=True)
class Times:
    """What n predictions take.

    Attributes:
        seconds: [n]
        operators: k names.
        by_operator: [k, n] seconds; they add up to `seconds`.
        bound: [k, n] index into `BOUNDS`: the largest term of that operator.
    """

    seconds: FloatArray
    operators: tuple[str, ...]
    by_operator: FloatArray
    bound: IntArray


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes per chip, each [n]; of the fullest chip of a replica.

    Attributes:
        activations: working memory, with what the engine keeps for itself.
        optimizer: gradients and optimizer state (training only).
        fits: [n] whether `total` is within what the engine may use of the chip.
        recomputed: [n] share of layers whose activations are computed twice (training only).
    """

    weights: FloatArray
    kv: FloatArray
    activations: FloatArray
    optimizer: FloatArray
    total: FloatArray
    fits: NDArray[np.bool_]
    recomputed: FloatArray

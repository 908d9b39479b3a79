"""Cost models of one architecture, asked together: each row of a question goes to one of them.

Arrays over the rows of a single model are so short that NumPy's calls cost more than its work. Here the numbers in
which chips and variants differ become columns beside the rows, and one call answers for all. Knows no formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from eke.cost import memory, serving
from eke.cost.forward import Pass
from eke.cost.layers import sharding
from eke.cost.model import CostModel
from eke.cost.tables import FloatArray, IntArray, Layouts


class Stack:
    """Serving by several cost models of one architecture: on accelerators, or on CPUs.

    Attributes:
        slow: of each model, the factor on seconds at the slow end of its interval. [k]
    """

    def __init__(self, models: Sequence[CostModel]) -> None:
        alone = [m.over(Layouts.of()) for m in models]
        self._shared = alone[0]
        self._columns = _differing(alone)
        self.slow: FloatArray = np.array([m.interval[1] for m in models])

    def max_sequences(self, which: IntArray, layouts: Layouts, context: FloatArray) -> IntArray:
        """As `CostModel.max_sequences`, row i asked of model `which[i]`. [n]"""
        return memory.max_sequences(self._over(which, layouts), context)

    def seconds(
        self, which: IntArray, layouts: Layouts, prefill_tokens: ArrayLike, sequences: FloatArray, context: FloatArray,
        depth: FloatArray,
    ) -> FloatArray:  # fmt: skip
        """As `CostModel.seconds`, k counts of each row, which is asked of model `which[i]`. [n, k]"""
        fresh = np.broadcast_to(np.asarray(prefill_tokens, dtype=np.float64), sequences.shape)
        of = self._over(which[:, None], layouts.upright())
        return serving.seconds(of, fresh, sequences, context[:, None], depth[:, None])

    def _over(self, which: IntArray, layouts: Layouts) -> Pass:
        to = sharding(layouts, training=False, shares_memory=self._shared.to.shares_memory)
        of: Pass = _picked(self._shared, self._columns, which)
        return replace(of, layouts=layouts, to=to)


def _differing(alike: Sequence[Any]) -> dict[str, Any]:
    """Columns [k] of the numbers in which dataclasses of one shape differ, by field; of fields within, theirs."""
    found: dict[str, Any] = {}
    for name in (f.name for f in fields(alike[0])):
        values = [getattr(one, name) for one in alike]
        if all(v is values[0] for v in values):
            continue
        if all(map(is_dataclass, values)):
            found[name] = _differing(values)
        elif all(isinstance(v, int | float) for v in values) and len(set(values)) > 1:
            found[name] = np.array(values)
    return {name: columns for name, columns in found.items() if len(columns)}


def _picked(shared: Any, columns: dict[str, Any], which: IntArray) -> Any:
    """A dataclass with columns over rows instead of the numbers that differ."""
    return replace(
        shared,
        **{
            name: _picked(getattr(shared, name), v, which) if isinstance(v, dict) else v[which]
            for name, v in columns.items()
        },
    )

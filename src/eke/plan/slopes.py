"""How a relaxation moves with speeds: its value, its prices and what its columns lack, by the logarithm of each speed.

Rows i, columns j, entries a_ij, objective c, row prices y; B: the basic columns, which lack nothing: y_B B = c_B.

    d = c - y A                            what columns lack (their reduced costs)
    r = ∂c/∂ln f - y ∂A/∂ln f              the same of what a speed moves; ∂a_ij/∂ln f is a_ij where that is a rate of
                                           what runs at the speed f, else 0
    ∂v/∂ln f = r x
    ∂y/∂ln f = r_B B⁻¹                     as long as the same columns stay basic
    ∂d/∂ln f = r - (∂y/∂ln f) A

It knows rows and columns; not what they are worth to anybody.
"""

from __future__ import annotations

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan.interval import Speed
from eke.plan.part import Rows
from eke.plan.program import Bools, Program
from eke.plan.scenario import Train
from eke.plan.solve import Posed


class Slopes:
    """Which entries of a program move with which speed.

    Args:
        built: the program. rows: what is solved of it: its own rows and columns first, then others.
        aimed: the row of what is aimed at, if there is one.
    """

    def __init__(self, built: Program, rows: Rows, aimed: int | None = None) -> None:
        problem, runs = built.problem, built.runs
        self.speeds: list[Speed] = [(p, trains) for p in problem.units for trains in (False, True)]
        at = {speed: i for i, speed in enumerate(self.speeds)}
        of = np.array([at[r.pool, r.kind == "train"] for r in problem.recipes], dtype=np.int64)
        self.of: IntArray = np.full(len(rows.lower), -1, dtype=np.int64)
        """Which speed a column runs at; -1: none."""
        self.of[runs.at] = of[runs.recipe]
        for kept in built.reserves:
            self.of[kept.used] = self.of[kept.at]  # what a node takes away grows with what it gave
        self._rows, self._shape = rows, (len(self.speeds), len(rows.lower))
        limit = self._limits(built)
        moved = self._are_rates(built, limit, aimed)
        self._rated, self._limit = moved, limit[moved]
        self._row, self._entry = rows.rows[moved], rows.entries[moved]
        self._at = self.of[rows.columns[moved]] * len(rows.lower) + rows.columns[moved]
        self._earning = np.flatnonzero((self.of >= 0) & (problem.goal in ("train-progress", "value")))

    def _limits(self, built: Program) -> FloatArray:
        """What entries come to at any speed at most: all that is asked; of a loss, all that such replicas take."""
        limit = np.ones(len(self._rows.entries))
        for kept in built.reserves:
            gives = np.ones(len(self.of))
            gives[kept.at] = gives[kept.used] = kept.gives
            # Row mean moves by a power between one and two of its speed, and is held to one: never more than is lost.
            loss = np.isin(self._rows.rows, kept.losses)
            limit[loss] = np.abs(self._rows.entries[loss]) / gives[self._rows.columns[loss]]
        return limit

    def _are_rates(self, built: Program, limit: FloatArray, aimed: int | None) -> Bools:
        """Which entries say what a column gives, and grow with its speed; the others count its chips, or itself."""
        rows, columns = self._rows.rows, self._rows.columns
        total = np.zeros(len(self._rows.row_lower), dtype=bool)  # what gangs give: tokens, and what is aimed at
        counts = np.zeros(len(total), dtype=bool)
        counts[: len(built.problem.units) * len(built.problem.weights)] = True  # rows `pool`: the first ones
        for counting in (built.nodes, *built.pinned.values(), *(kept.counts for kept in built.reserves)):
            counts[counting] = True
        for w in built.problem.workloads:
            if isinstance(w, Train):
                total[built.scaled[w.name][0]] = True
        full = np.abs(self._rows.entries) >= limit  # gives all that is asked: no speed gives more
        if aimed is not None:
            total[aimed] = True
            full &= rows != aimed
        gang = np.zeros(len(self.of), dtype=bool)
        gang[built.runs.at[built.runs.gang]] = True
        found: Bools = (self.of[columns] >= 0) & ~full & np.where(gang[columns], total[rows], ~counts[rows])
        return found

    def moved(
        self, prices: FloatArray, objective: FloatArray | None = None, entries: FloatArray | None = None
    ) -> FloatArray:
        """r, by speed and column [speeds, columns].

        Args:
            prices: y.
            objective: c, where it is earned at the speeds themselves.
            entries: of the rows at other speeds (`faster`).
        """
        entry = self._entry
        if entries is not None:
            entry = np.where(
                np.abs(entries[self._rated]) < self._limit, entries[self._rated], 0.0
            )  # one that gives all gives no more
        gives = np.bincount(self._at, prices[self._row] * entry, self._shape[0] * self._shape[1])
        found = -gives.reshape(self._shape)
        if objective is not None:
            earning = self._earning
            found[self.of[earning], earning] = found[self.of[earning], earning] + objective[earning]
        return np.asarray(found)

    def faster(self, times: FloatArray, objective: FloatArray) -> tuple[Posed, FloatArray]:
        """The same rows and objective with every speed so many times as fast [speeds]."""
        rows, earning, entries, aim = self._rows, self._earning, self._rows.entries.copy(), objective.copy()
        # Nothing gives more than all that is asked.
        faster = self._entry * times[self.of[rows.columns[self._rated]]]
        entries[self._rated] = np.clip(faster, -self._limit, self._limit)
        aim[earning] = aim[earning] * times[self.of[earning]]
        return Posed(rows.lower, rows.row_lower, rows.row_upper, rows.rows, rows.columns, entries), aim

    def by_speed(self, values: FloatArray) -> dict[Speed, float]:
        """Numbers by speed that are not 0 [speeds]."""
        return {speed: float(g) for speed, g in zip(self.speeds, values, strict=True) if g}


def lacking(rows: Rows, objective: FloatArray, prices: FloatArray) -> FloatArray:
    """d, by column: what the objective gains beside what the prices say a column takes."""
    return np.asarray(objective - np.bincount(rows.columns, prices[rows.rows] * rows.entries, len(objective)))

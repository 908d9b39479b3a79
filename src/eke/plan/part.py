"""A part of a program: some of its columns, everything else standing as in a solution. Knows no meaning of either."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan.program import Program


@dataclass(frozen=True, slots=True)
class Part:
    """A program by itself, for `solve`.

    Attributes:
        at: columns of the whole program. row_of: rows of it.
        rows, columns, entries: by the part's own numbers.
    """

    at: IntArray
    row_of: IntArray
    lower: FloatArray
    upper: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    rows: IntArray
    columns: IntArray
    entries: FloatArray


def whole(program: Program) -> Part:
    """All of a program."""
    return Part(
        np.arange(len(program.lower)), np.arange(len(program.row_lower)), program.lower, program.upper,
        program.row_lower, program.row_upper, program.rows, program.columns, program.entries,
    )  # fmt: skip


def part(program: Program | Part, bounds: tuple[FloatArray, FloatArray], x: FloatArray, at: IntArray) -> Part:
    """The columns `at` and the rows they have a part in, when all other columns stay as in `x`."""
    inside = np.zeros(len(program.lower), dtype=bool)
    inside[at] = True
    mine = inside[program.columns]
    touched = np.zeros(len(program.row_lower), dtype=bool)
    touched[program.rows[mine]] = True
    row_of = np.flatnonzero(touched)
    number = np.cumsum(touched) - 1
    fixed = ~mine & touched[program.rows]
    stands = program.entries[fixed] * x[program.columns[fixed]]
    taken = np.bincount(number[program.rows[fixed]], stands, minlength=len(row_of))
    column = np.zeros(len(program.lower), dtype=np.int64)
    column[at] = np.arange(len(at))
    return Part(
        at, row_of, bounds[0][at], bounds[1][at], program.row_lower[row_of] - taken, program.row_upper[row_of] - taken,
        number[program.rows[mine]], column[program.columns[mine]], program.entries[mine],
    )  # fmt: skip


def added(of: Part, rows: IntArray, upper: FloatArray, value: float) -> Part:
    """The part with one more column from 0 to `upper` for each of `rows`, of entry `value` there."""
    n = len(of.lower)
    return Part(
        of.at, of.row_of, np.append(of.lower, np.zeros(len(rows))), np.append(of.upper, upper),
        of.row_lower, of.row_upper,
        np.append(of.rows, rows), np.append(of.columns, np.arange(n, n + len(rows))),
        np.append(of.entries, np.full(len(rows), value)),
    )  # fmt: skip

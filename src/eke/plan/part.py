"""A part of a program: some of its columns, everything else standing as in a solution. Knows no meaning of either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan.program import Program

TOLERANCE = 1e-6
"""By which a row may be broken, as solvers have it."""


class Rows(Protocol):
    """What is solved: bounds of columns and rows, and entries in coordinate form."""

    @property
    def lower(self) -> FloatArray: ...  # noqa: D102
    @property
    def row_lower(self) -> FloatArray: ...  # noqa: D102
    @property
    def row_upper(self) -> FloatArray: ...  # noqa: D102
    @property
    def rows(self) -> IntArray: ...  # noqa: D102
    @property
    def columns(self) -> IntArray: ...  # noqa: D102
    @property
    def entries(self) -> FloatArray: ...  # noqa: D102


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


def part(program: Rows, bounds: tuple[FloatArray, FloatArray], x: FloatArray, at: IntArray) -> Part:
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


def stand(program: Rows, x: FloatArray, rows: IntArray) -> bool:
    """Whether `x` keeps those rows."""
    done = np.bincount(program.rows, program.entries * x[program.columns], minlength=len(program.row_lower))[rows]
    least, most = program.row_lower[rows], program.row_upper[rows]
    return bool(((done >= least - TOLERANCE) & (done <= most + TOLERANCE)).all())

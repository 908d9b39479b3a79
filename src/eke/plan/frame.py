"""A plan as tidy tables: a row an observation, a column a variable, for Polars, pandas or anything that takes columns.

Depends on neither: a `Frame` is columns by name, and asks for the library only when it is turned into its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from eke.errors import InputError, NotInstalled

if TYPE_CHECKING:
    from eke.plan.plan import Plan

Of = Literal["placements", "pools", "workloads"]


@dataclass(frozen=True, slots=True)
class Frame(Mapping[str, list[Any]]):
    """Columns of equal length by name: `pandas.DataFrame(frame)` and `polars.DataFrame(dict(frame))` take it."""

    columns: dict[str, list[Any]]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The same row by row."""
        names = list(self.columns)
        return [dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def to_polars(self) -> Any:
        """A Polars DataFrame.

        Raises:
            NotInstalled: without Polars.
        """
        return _library("polars").DataFrame(self.columns)

    def to_pandas(self) -> Any:
        """A pandas DataFrame.

        Raises:
            NotInstalled: without pandas.
        """
        return _library("pandas").DataFrame(self.columns)

    def _repr_html_(self) -> str:
        from eke.plan.show import table

        return table(self.rows)


def of(plan: Plan, which: Of = "placements") -> Frame:
    """A plan's placements (a row a recipe, pool and slot), pools (a row a pool and slot) or workloads (likewise)."""
    if which == "placements":
        return _even([_placement(p) for p in plan.placements])
    if which == "pools":
        return _even(
            [
                {"pool": p.name, "chip": p.chip, "slot": t, "chips": p.chips, "used_chips": used, "price": p.price,
                 **_ends(p), "price_unit": p.price_unit, "basis": p.basis}
                for p in plan.pools for t, used in enumerate(p.used_chips)
            ]
        )  # fmt: skip
    if which == "workloads":
        return _even([row for w in plan.workloads for row in _workload(w, plan.slots)])
    raise InputError(f"a plan has no {which!r}", remedy="placements, pools or workloads")


def _placement(p: Any) -> dict[str, Any]:
    names = [n for n in p.__dataclass_fields__ if n not in ("recipe", "capacity")]
    return {n: getattr(p, n) for n in names} | dict(p.recipe) | dict(p.capacity)


def _ends(of: Any) -> dict[str, float]:
    """Both ends of the interval of each number that has one."""
    return {f"{n}_{end}": v for n, span in of.interval.items() for end, v in zip(("low", "high"), span, strict=True)}


def _workload(w: Any, slots: int) -> list[dict[str, Any]]:
    names = [n for n in w.__dataclass_fields__ if n not in ("demand_rps", "served_rps", "rests_on", "interval")]
    whole = {n: getattr(w, n) for n in names} | _ends(w)
    return [
        whole | {
            "slot": t, "demand_rps": w.demand_rps[t] if w.demand_rps else None,
            "served_rps": w.served_rps[t] if w.served_rps else None,
        }
        for t in range(slots)
    ]  # fmt: skip


def _even(rows: Sequence[Mapping[str, Any]]) -> Frame:
    names = dict.fromkeys(n for row in sorted(rows, key=len, reverse=True) for n in row)
    return Frame({n: [row.get(n) for row in rows] for n in names})


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise NotInstalled(name, "") from error

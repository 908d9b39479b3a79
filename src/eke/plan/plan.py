"""A plan: who does what, with its bound and its prices; written to a file and read back. It knows no solver and no
cost model.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eke.errors import InputError

if TYPE_CHECKING:
    from eke.plan.difference import Difference
    from eke.plan.explain import Explanation
    from eke.plan.frame import Frame, Of

FORMAT = "eke.plan/1"
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """Replicas of one recipe of one workload, in a pool and a slot.

    Attributes:
        chips: in all; a fraction where cores of a CPU are shared out.
        recipe: engine, tp, pp, dp, ep and what else the engine must be told.
        capacity: `requests_per_s`, `ttft_s`, `tpot_s` of all replicas together, or `tokens_per_s`.
        share: of the workload's demand (of its tokens, for training) in that slot that is done here.
        faster: times as fast as planned at the fast end of the 80% interval of its speed; plans take the slow end.
    """

    workload: str
    kind: str
    role: str
    pool: str
    slot: int
    replicas: int
    chips_per_replica: float
    chips: float
    model: str
    variant: str
    recipe: Mapping[str, Any]
    capacity: Mapping[str, float]
    share: float
    basis: str
    quality: float | None = None
    faster: float = 1.0


@dataclass(frozen=True, slots=True)
class PoolUse:
    """What is used of a pool, slot by slot, and what one more chip of it would be worth.

    Attributes:
        power_kw: of the chips in use, slot by slot, at their TDP; None: not known.
        starting_chips: busy with replicas that start for the next slot, in the mean of each slot. late_chips: those
            of them for which there is no room beside `used_chips`, so that their replicas come late.
        basis: of the least known speed that the price rests on; None: on none. rests_on: share of what speeds move in
            it, by basis. interval: of `price`, 80% by the cost model.
    """

    name: str
    chip: str
    chips: float
    used_chips: tuple[float, ...]
    price: float
    price_unit: str
    power_kw: tuple[float, ...] | None = None
    starting_chips: tuple[float, ...] = ()
    late_chips: tuple[float, ...] = ()
    basis: str | None = None
    rests_on: Mapping[str, float] = field(default_factory=dict)
    interval: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """How a workload's promise is kept. Fields that do not fit its kind are None; `promise` is what was promised, in
    words.

    Attributes:
        starts_per_day: replicas that start because demand comes and goes. start_chip_hours: what they cost a day, in
            hours of a chip. start_s: the longest start of one.
        basis, rests_on, interval: as of a pool, of the price; the interval also of `tokens_per_s`, `days`, `mfu` and
            `tokens_per_day`, by this very plan.
    """

    name: str
    kind: str
    met: bool
    price_per_million_tokens: float
    price_unit: str
    demand_rps: tuple[float, ...] | None = None
    served_rps: tuple[float, ...] | None = None
    tokens_per_s: float | None = None
    days: float | None = None
    mfu: float | None = None
    tokens_per_day: float | None = None
    note: str = ""
    promise: str = ""
    tokens_per_joule: float | None = None
    starts_per_day: int | None = None
    start_chip_hours: float | None = None
    start_s: float | None = None
    basis: str | None = None
    rests_on: Mapping[str, float] = field(default_factory=dict)
    interval: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conflict:
    """The fewest demands and pools that cannot hold together, and what would make them hold: any one of `repairs`."""

    demands: tuple[str, ...]
    pools: tuple[str, ...]
    reason: str
    repairs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Objective:
    """What was aimed at. No plan on this stock, under this cost model, passes `bound`; `gap` is the share between.

    All three are None when there is no plan.

    Attributes:
        basis, rests_on: as of a pool, of `value`. interval: of `value`, where a plan made at those speeds reaches it.
    """

    name: str
    unit: str
    value: float | None
    bound: float | None
    gap: float | None
    basis: str | None = None
    rests_on: Mapping[str, float] = field(default_factory=dict)
    interval: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who does what. Infeasible is an answer: then `infeasible_because` says why.

    Attributes:
        together: lists of changes; with all of one list made, every promise holds. Empty where `repairs` are that.
        source: the scenario it was made from, as it was written; `eke up` runs a saved plan by it.
    """

    scenario: str
    fleet_digest: str
    feasible: bool
    objective: Objective
    seconds: Mapping[str, float]
    pools: tuple[PoolUse, ...]
    placements: tuple[Placement, ...]
    workloads: tuple[Kept, ...]
    infeasible_because: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""
    together: tuple[tuple[str, ...], ...] = ()

    @property
    def slots(self) -> int:
        """Equal parts of the day it tells apart."""
        return len(self.pools[0].used_chips) if self.pools else 1

    def to_dict(self) -> dict[str, Any]:
        """The plan file's content."""
        return {"format": FORMAT, **json.loads(json.dumps(asdict(self)))}

    def write(self, path: str | Path) -> Path:
        """Write the plan file, whole or not at all."""
        path = Path(path)
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
            ) as file:
                json.dump(self.to_dict(), file, indent=1, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except OSError as error:
            raise InputError(
                f"plan {str(path)!r} cannot be written", why=error.strerror or "", remedy="choose another place"
            ) from error
        return path

    def to_frame(self, which: Of = "placements") -> Frame:
        """Its placements, pools or workloads as tidy columns, for Polars or pandas."""
        from eke.plan.frame import of

        return of(self, which)

    def diff(self, before: Plan) -> Difference:
        """What would change if this plan took the place of `before`."""
        from eke.plan.difference import between

        return between(before, self)

    def explain(self, what: str | None = None, *, rules: bool = True) -> Explanation:
        """Why it is as it is: all of it (with `rules`, beside rules of thumb), or one workload or pool."""
        from eke.plan.explain import why

        return why(self, what, rules=rules)

    def _repr_html_(self) -> str:
        from eke.plan.show import html

        return html(self)


def read(path: str | Path) -> Plan:
    """The plan in a file.

    Raises:
        InputError: no such file, or not a plan of this format.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"plan {str(path)!r} cannot be read", why=str(error), remedy="make one: eke plan SCENARIO --save plan.json"
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(
            f"{str(path)!r} is not a plan",
            why=f"its format is not {FORMAT}",
            remedy="eke plan SCENARIO --save plan.json",
        )
    try:
        return from_dict(document)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"plan {str(path)!r} is incomplete", why=str(error), remedy="make it again with eke plan"
        ) from error


def from_dict(d: Mapping[str, Any]) -> Plan:
    """A plan from a plan file's content; keys it does not know are left out."""
    return Plan(
        d["scenario"], d["fleet_digest"], d["feasible"], _row(Objective, d["objective"]), d["seconds"],
        tuple(_row(PoolUse, p) for p in d["pools"]), tuple(_row(Placement, p) for p in d["placements"]),
        tuple(_row(Kept, w) for w in d["workloads"]), tuple(_row(Conflict, c) for c in d["infeasible_because"]),
        tuple(d.get("notes", ())), d.get("source", ""),
        tuple(tuple(changes) for changes in d.get("together", ())),
    )  # fmt: skip


def _row(kind: Any, values: Mapping[str, Any]) -> Any:
    known = kind.__dataclass_fields__
    spans = {name: tuple(span) for name, span in values.get("interval", {}).items()}
    row = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
    return kind(**row | ({"interval": spans} if "interval" in known else {}))

"""Parts of a plan that must stay: so many replicas of a workload in a pool, and in which form. Knows no solver."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eke.errors import InputError, UnknownName
from eke.plan.recipes import Recipe

if TYPE_CHECKING:
    from eke.plan.plan import Placement, Plan
    from eke.plan.scenario import Scenario

Shape = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Form:
    """What is replicated: a model in a variant, laid out in tensor, pipeline, data and expert ranks, in a role."""

    model: str
    variant: str
    shape: Shape
    role: str = "mixed"

    def __str__(self) -> str:
        ranks = zip(("tp", "pp", "dp", "ep"), self.shape, strict=True)
        role = [] if self.role == "mixed" else [self.role]
        return " ".join([*role, self.model, self.variant, *(f"{name}{n}" for name, n in ranks if n > 1)])


@dataclass(frozen=True, slots=True)
class Pin:
    """At least and at most so many replicas of a workload in a pool; a training job's gang is one replica.

    Attributes:
        most: None: as many as fit.
        form: None: of whatever form.
        slot: of the day; None: every slot.
    """

    workload: str
    pool: str
    least: int = 0
    most: int | None = None
    form: Form | None = None
    slot: int | None = None

    def matches(self, recipe: Recipe) -> bool:
        """Whether replicas of `recipe` count for it."""
        mine = (recipe.workload, recipe.pool) == (self.workload, self.pool)
        return mine and self.form in (None, form_of(recipe))

    def __str__(self) -> str:
        many = f"{self.least}" if self.most == self.least else f"at least {self.least}" if self.most is None else ""
        many = many or f"{self.least} to {self.most}"
        what = f" of {self.form}" if self.form else ""
        when = "" if self.slot is None else f" in slot {self.slot}"
        return f"{self.workload} on {self.pool}: {many} replicas{what}{when}"


def form_of(recipe: Recipe) -> Form:
    """The form of a recipe's replicas."""
    return Form(recipe.model, recipe.variant, (recipe.tp, recipe.pp, recipe.dp, recipe.ep), recipe.role)


def of(plan: Plan, workloads: Collection[str] | None = None, pools: Collection[str] | None = None) -> tuple[Pin, ...]:
    """Pins that hold a plan's placements as they are: of these workloads, in these pools (default: all).

    Where one is held, nothing else of the same workload comes into the pool; in a pool that is held by name nothing
    else comes at all.

    Raises:
        UnknownName: the plan has no such workload or pool.
    """
    everyone, everywhere = [w.name for w in plan.workloads], [p.name for p in plan.pools]
    _known("workload", workloads or (), everyone)
    _known("pool", pools or (), everywhere)
    slots = max((len(p.used_chips) for p in plan.pools), default=1)
    total: dict[tuple[str, str], list[int]] = {
        (w, p): [0] * slots for w in everyone for p in everywhere
        if (workloads is None or w in workloads) and (pools is None or p in pools)
    }  # fmt: skip
    forms: dict[tuple[str, str, Form], list[int]] = defaultdict(lambda: [0] * slots)
    for p in plan.placements:
        if (p.workload, p.pool) in total:
            total[p.workload, p.pool][p.slot] += p.replicas
            forms[p.workload, p.pool, _form(p)][p.slot] += p.replicas
    held = [(Pin(w, p), counts, True) for (w, p), counts in total.items()]
    held += [(Pin(w, p, form=f), counts, False) for (w, p, f), counts in forms.items()]
    return tuple(pin for one, counts, exactly in held for pin in _by_slot(one, counts, exactly=exactly))


def _form(p: Placement) -> Form:
    tp, pp, dp, ep = (int(p.recipe[k]) for k in ("tp", "pp", "dp", "ep"))
    return Form(p.model, p.variant, (tp, pp, dp, ep), p.role)


def _by_slot(pin: Pin, counts: list[int], *, exactly: bool) -> list[Pin]:
    """One pin where every slot has as many replicas, else one a slot."""
    spans = [(None, counts[0])] if len(set(counts)) == 1 else list(enumerate(counts))
    return [
        replace(pin, least=n, most=n if exactly else None, slot=slot) for slot, n in spans if exactly or n > 0
    ]  # fmt: skip


def check(pins: Iterable[Pin], scenario: Scenario) -> None:
    """Refuse pins that no plan of the scenario could have.

    Raises:
        UnknownName: no such workload or pool.
        InputError: a slot the day does not have, or more replicas at least than at most.
    """
    for pin in pins:
        _known("workload", [pin.workload], [w.name for w in scenario.workloads])
        _known("pool", [pin.pool], [p.name for p in scenario.fleet.pools])
        if pin.slot is not None and not 0 <= pin.slot < scenario.slots:
            raise InputError(f"pinned: {pin}", why=f"the day has slots 0 to {scenario.slots - 1}")
        if pin.least < 0 or (pin.most is not None and pin.most < pin.least):
            raise InputError(f"pinned: {pin}", why="that is no number of replicas")


def _known(kind: str, names: Iterable[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownName(kind, name, known)

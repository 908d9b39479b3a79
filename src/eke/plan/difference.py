"""What would change from one plan to another: what starts, stops and moves, and which training stands still for how
long. It knows plans only; the one that runs is asked nothing.

Where a plan differs through the day, replicas are compared slot by slot; a row says the most of any slot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from eke import units
from eke.errors import EkeError
from eke.models.architecture import Architecture
from eke.models.variant import variants
from eke.plan import show
from eke.plan.gangs import MOVE_S
from eke.plan.plan import Placement, Plan
from eke.plan.reading import parse
from eke.plan.recipes import starting
from eke.plan.scenario import Serve

FORMAT = "eke.diff/1"
Action = Literal["start", "stop", "grow", "shrink", "other hours", "restart"]


@dataclass(frozen=True, slots=True)
class Change:
    """One recipe of one workload in one pool, before and after.

    Attributes:
        before, after: replicas at the fullest slot. chips_before, chips_after: likewise.
        seconds: until a replica that starts answers, or for which training stands still; None where nothing starts.
    """

    workload: str
    kind: str
    pool: str
    action: Action
    before: int
    after: int
    chips_before: float
    chips_after: float
    recipe: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes from one plan to another; none when both do the same."""

    before: str
    after: str
    changes: tuple[Change, ...]
    says: tuple[str, ...]

    @property
    def pending(self) -> bool:
        """Whether anything would change."""
        return bool(self.changes)

    def to_dict(self) -> dict[str, Any]:
        """What `eke plan --diff -o json` prints."""
        return {"format": FORMAT, "pending": self.pending, **asdict(self)}

    def rows(self) -> list[dict[str, Any]]:
        """A row a change, for people."""
        return [
            {
                "workload": c.workload, "pool": c.pool, "change": c.action,
                "chips": f"{show.number(c.chips_before)} → {show.number(c.chips_after)}"
                if c.chips_before != c.chips_after else show.number(c.chips_after),
                "takes": units.show_seconds(c.seconds) if c.seconds else "", "recipe": c.recipe,
            }
            for c in self.changes
        ]  # fmt: skip


Key = tuple[str, str, str, str, float]
Ready = Callable[[Placement], float | None]


def between(before: Plan, after: Plan) -> Difference:
    """What changes from `before` to `after`."""
    old, new = _by_key(before), _by_key(after)
    ready = _ready(after)
    found = []
    for key in sorted(old.keys() | new.keys()):
        pair = old.get(key, []), new.get(key, [])
        change = _gang(*pair) if key[1] == "train" else _change(*pair, before.slots == after.slots, ready)
        if change:
            found.append(change)
    changes = tuple(found)
    return Difference(before.scenario, after.scenario, changes, tuple(_words(before, after, changes)))


def _by_key(plan: Plan) -> dict[Key, list[Placement]]:
    found: dict[Key, list[Placement]] = defaultdict(list)
    for p in plan.placements:  # a job is one gang a pool, whatever its form
        form = ("", 0.0) if p.kind == "train" else (_recipe(p), p.chips_per_replica)
        found[p.workload, p.kind, p.pool, *form].append(p)
    return found


def _recipe(p: Placement) -> str:
    return f"{p.model} {p.variant}, {show.recipe(p)}"


def _change(old: list[Placement], new: list[Placement], same_day: bool, ready: Ready) -> Change | None:
    """The change of one recipe; None where it stays as it is."""
    p = (new or old)[0]
    was, now = _by_slot(old), _by_slot(new)
    most_was, most_now = max(was.values(), default=0), max(now.values(), default=0)
    if most_was == most_now and (was == now or not same_day):
        return None
    action: Action = (
        "start" if not old else "stop" if not new
        else "grow" if most_now > most_was else "shrink" if most_now < most_was else "other hours"
    )  # fmt: skip
    seconds = None
    if action in ("start", "grow"):
        seconds = ready(p)
    each = p.chips_per_replica
    return Change(
        p.workload, p.kind, p.pool, action, most_was, most_now, most_was * each, most_now * each,
        _recipe(p), seconds,
    )  # fmt: skip


def _by_slot(placed: Iterable[Placement]) -> dict[int, int]:
    found: dict[int, int] = defaultdict(int)
    for p in placed:
        found[p.slot] += p.replicas
    return dict(found)


def _gang(old: list[Placement], new: list[Placement]) -> Change | None:
    """The change of a job in one pool; None where it stays as it is, in every slot."""
    was, now = ({p.slot: (p.chips, _recipe(p)) for p in placed} for placed in (old, new))
    if was == now or (set(was.values()) == set(now.values()) and len(set(now.values())) == 1):
        return None
    p = max(new or old, key=lambda p: p.chips)
    action: Action = "start" if not old else "stop" if not new else "restart"
    before, after = (max((c for c, _ in of.values()), default=0.0) for of in (was, now))
    seconds = MOVE_S if new else None
    return Change(
        p.workload, p.kind, p.pool, action, int(bool(old)), int(bool(new)), before, after, _recipe(p), seconds
    )


def _ready(plan: Plan) -> Ready:
    """Seconds until a replica of a placement that starts answers; None where the plan does not say what it was made
    from.
    """
    try:
        scenario = parse(plan.source) if plan.source else None
    except EkeError:
        scenario = None
    models: dict[tuple[str, str], Architecture] = {}
    for w in scenario.workloads if scenario else ():
        models[w.name, w.model] = w.architecture
        models |= {(w.name, a.model): a.architecture for a in w.alternatives} if isinstance(w, Serve) else {}
    storage = {p.name: p.storage for p in scenario.fleet.pools} if scenario else {}

    def seconds(p: Placement) -> float | None:
        architecture = models.get((p.workload, p.model))
        variant = None if architecture is None else variants(architecture).get(p.variant)
        if architecture is None or variant is None:
            return None
        return float(starting(architecture, variant, p.chips_per_replica, storage.get(p.pool)))

    return seconds


def _words(before: Plan, after: Plan, changes: tuple[Change, ...]) -> list[str]:
    if not changes:
        return ["Nothing would change."]
    lines = []
    serving = [c for c in changes if c.kind != "train"]
    starts = sum(max(0, c.after - c.before) for c in serving)
    stops = sum(max(0, c.before - c.after) for c in serving)
    if serving:
        slowest = max((c.seconds or 0.0 for c in serving), default=0.0)
        said = f", the slowest ready after {units.show_seconds(slowest)}" if slowest else ""
        lines.append(f"{starts} replicas start{said}; {stops} stop.")
    for name in dict.fromkeys(c.workload for c in serving):
        moved = _moved([c for c in serving if c.workload == name])
        if moved:
            lines.append(f"{name} moves {moved}.")
    jobs = dict.fromkeys(c.workload for c in changes if c.kind == "train")
    lines += [_training(name, before, after) for name in jobs]
    mine, theirs = after.objective.value, before.objective.value
    if mine is not None and theirs is not None and before.objective.name == after.objective.name:
        unit = after.objective.unit
        lines.append(f"The objective: {show.amount(theirs, unit, 4)} before, {show.amount(mine, unit, 4)} after.")
    return lines


def _moved(changes: list[Change]) -> str:
    """`12 chips from h800, 4 from a800 to h20`."""
    by: dict[str, float] = defaultdict(float)
    for c in changes:
        by[c.pool] += c.chips_after - c.chips_before
    less, more = ([(p, abs(v)) for p, v in by.items() if v * sign > 0] for sign in (-1, 1))
    if not less or not more:
        return ""
    away, to = (", ".join(f"{show.number(v)} in {p}" for p, v in part) for part in (less, more))
    return f"from {away} to {to} (chips at the fullest slot)"


def _training(name: str, before: Plan, after: Plan) -> str:
    """How long a job stands still, and what that costs."""
    was = next((w.tokens_per_s or 0.0 for w in before.workloads if w.name == name), 0.0)
    now = next((w.tokens_per_s or 0.0 for w in after.workloads if w.name == name), 0.0)
    if not was:
        return f"{name} starts to train at {units.show_count(now)} tokens/s."
    if not now:
        return f"{name} stops after a checkpoint."
    rates = f"{units.show_count(was)} tokens/s before, {units.show_count(now)} after"
    lost = units.show_count(was * MOVE_S)
    gain = f", made up for in {units.show_seconds(was * MOVE_S / (now - was))}" if now > was * (1 + 1e-6) else ""
    return (
        f"{name} is interrupted: checkpoint, stop and restart take {units.show_seconds(MOVE_S)} (estimated), "
        f"{lost} tokens of work{gain}; {rates}."
    )

"""The integer program of a plan: rows and columns as sparse arrays. It knows recipes and demands; no solver and no
latency.

Symbols, as in docs/mathematics.md. Indices: p pool, s serve or batch workload, j training job, r recipe, g answers of
equal model and quality, t slot (equal slots of a day are one, with its share w_t of the day).

    x[r,t]  replicas, integer          z[r,·]  the gang of a job: one size all day, or (z[r,t]) another size each slot,
                                       binary a[g,·]  whether the gang is made of parts in several pools of group g
    f[s,p→d,t] share whose prompts are read in p for writers in d (of one model and variant)
    y[s,g,t] share answered by g       d[s,t], d[j]  share of a promise that is missing
    u[p]    units set aside            o[s,t]  whether a workload runs at all (best effort only)

Rows:

    pool     Σ_r units_r x[r,t] + Σ units_r z[r,·] ≤ u[p]                      u[p] ≤ units of p
    answer   Σ_{r in g} min(rate_r / D[s,t], 1) x[r,t] + Σ_{f of g} f[s,·,t] ≥ y[s,g,t]
    read     Σ_{readers r in p for d} min(rate_r / D[s,t], 1) x[r,t] ≥ f[s,p→d,t]
    write    Σ_{writers r in d} min(rate_r / D[s,t], 1) x[r,t] ≥ Σ_p f[s,p→d,t]
    demand   Σ_g y[s,g,t] + d[s,t] = 1                                         where D[s,t] > 0
    share    Σ_{g of model m} y[s,g,t] ≤ share_m
    quality  Σ_g (q_g - floor_s) y[s,g,t] ≥ 0
    gang     Σ_r z[r] + Σ_r z[r,t] + Σ_g (a[g] + a[g,t]) ≤ 1                   over gangs that stand alone
    part     Σ_{r in p, of g} z[r,·] ≤ a[g,·]                                  one part in each pool
    tokens   Σ min(w_t rate_r deadline_j / tokens_j, 1) z[r,·] + d[j] ≥ 1
    pile     Σ_t Σ_r min(w_t rate_r / D[s], 1) x[r,t] + d[s] ≥ 1               batch work, over the day
    pin      least ≤ Σ_{r of the form} x[r,t] + z[r,·] ≤ most                  what must stay of an earlier plan

and where s survives k nodes (b[r,t] whether r is used, h[s,g,t] the share of s that k nodes may take away with them):

    answer   … ≥ y[s,g,t] + h[s,g,t]
    used     x[r,t] ≤ M b[r,t]
    lost     h[s,g,t] ≥ k (max_{r in p} loss_r b[r,t] + Σ_{r in p, spread} min(rate_r / D[s,t], 1) b[r,t])    each p
    nodes    Σ_{spread r in p} x[r,t] + Σ_{others in p} units_r / node_p x[r,t] ≤ nodes of p
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from eke.cost import FloatArray, IntArray
from eke.plan.gangs import MOVE_S
from eke.plan.pins import Pin
from eke.plan.recipes import Recipe
from eke.plan.scenario import Goal, Serve, Train, Workload

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Problem:
    """What the program is made from.

    Attributes:
        units: of each pool, that can be planned on. per_chip: parts one chip of the pool is shared out in.
        weights: share of the day of each class of equal slots. slots: of each class, the slots of the day it stands
        for.
        demand: requests/s of each serve workload by class.
        worth: what one chip of a pool counts for when chips are spared; 1 where nothing is said.
        even: every workload is spread over all pools that can run it, by their chips (no mixed placement).
        watts: a chip's TDP by pool; None: not known.
        per_node: units of a node by pool.
    """

    workloads: tuple[Workload, ...]
    recipes: tuple[Recipe, ...]
    units: Mapping[str, int]
    per_chip: Mapping[str, int]
    weights: FloatArray
    slots: tuple[tuple[int, ...], ...]
    demand: Mapping[str, FloatArray]
    goal: Goal = "train-progress"
    worth: Mapping[str, float] = field(default_factory=dict)
    even: bool = False
    pinned: tuple[Pin, ...] = ()
    watts: Mapping[str, float | None] = field(default_factory=dict)
    per_node: Mapping[str, int] = field(default_factory=dict)

    def spared(self, recipe: Recipe) -> float:
        """What it is worth to do without a replica of `recipe`: its chips, a strong one counting for more."""
        return recipe.units / self.per_chip[recipe.pool] * self.worth.get(recipe.pool, 1.0)

    @property
    def slot_s(self) -> float:
        """Seconds of one slot of the day."""
        return 86400.0 / sum(len(s) for s in self.slots)


@dataclass(frozen=True, slots=True)
class Columns:
    """Replicas of recipes. `slot` is a class of slots; -1: all day."""

    recipe: IntArray
    slot: IntArray
    at: IntArray  # column in the program
    gang: Bools  # of a training job


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests of a workload whose prompts are read in one pool and answered in another (or the same) one."""

    workload: str
    model: str
    quality: float
    variant: str
    read: str
    written: str

    @property
    def group(self) -> tuple[str, str, float]:
        """Key of the answers it gives."""
        return self.workload, self.model, self.quality


@dataclass(frozen=True, slots=True)
class Reserve:
    """What nodes may take away with them of the answers of one workload and group.

    Attributes:
        at: columns x. used: columns b of the same recipes. slot: of both. gives: by one replica, of the demand.
        shares: columns h and the most lost by pool, by slot.
        counts: rows used. losses: rows lost, where what goes down gives as much as it gave.
    """

    at: IntArray
    used: IntArray
    slot: IntArray
    gives: FloatArray
    shares: tuple[IntArray, ...]
    counts: IntArray
    losses: IntArray


@dataclass(frozen=True, slots=True)
class Program:
    """maximise c·x, rows within bounds, columns within bounds, some integer; entries in coordinate form.

    Attributes:
        runs: the columns that stand for replicas and gangs.
        aside: column u by pool. missing: columns d by workload. answered: columns y by (workload, model, quality).
        pinned: rows that hold what is pinned. flows: columns f.
        scaled: rows whose right-hand side grows with a workload's demand, and that side.
        wanted: what was promised, one number a slot for serve.
        progress, value, used: objectives by column: training FLOP/s, currency a day, chips in the mean over the day.
        spared: chips in the mean over the day, each counting for its worth.
        reserves: of workloads that survive nodes. nodes: rows nodes.
    """

    problem: Problem
    lower: FloatArray
    upper: FloatArray
    integer: Bools
    row_lower: FloatArray
    row_upper: FloatArray
    rows: IntArray
    columns: IntArray
    entries: FloatArray
    runs: Columns
    aside: Mapping[str, int]
    missing: Mapping[str, IntArray]
    answered: Mapping[tuple[str, str, float], IntArray]
    scaled: Mapping[str, tuple[IntArray, FloatArray]]
    wanted: Mapping[str, FloatArray]
    started: Mapping[str, int]
    progress: FloatArray
    value: FloatArray
    used: FloatArray
    spared: FloatArray
    pinned: Mapping[Pin, IntArray] = field(default_factory=dict)
    flows: Mapping[Flow, IntArray] = field(default_factory=dict)
    reserves: tuple[Reserve, ...] = ()
    nodes: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def freed(self, pins: Iterable[Pin]) -> Program:
        """The program without those pins."""
        lower, upper = self.row_lower.copy(), self.row_upper.copy()
        for pin in pins:
            lower[self.pinned[pin]], upper[self.pinned[pin]] = -np.inf, np.inf
        kept = {pin: rows for pin, rows in self.pinned.items() if pin not in set(pins)}
        return replace(self, row_lower=lower, row_upper=upper, pinned=kept)

    def promised(self, names: Sequence[str] | None = None, *, larger: bool = False) -> tuple[FloatArray, FloatArray]:
        """Column bounds in which the promises of `names` (default: all) must be kept in full.

        With `larger` also parts of gangs that are larger than their pool: a relaxation for prices, in which gangs come
        in any size.
        """
        upper = self.upper.copy()
        if larger:
            upper[self.runs.at] = np.maximum(upper[self.runs.at], 1.0)
        for name in self.missing if names is None else names:
            upper[self.missing[name]] = 0.0
        return self.lower, upper

    @property
    def moving(self) -> float:
        """Share of a slot left to a gang that may change size at every slot: it pays a move at each, changed or not."""
        return max(0.0, 1 - MOVE_S / self.problem.slot_s)

    def group(self, recipe: Recipe, w: Serve) -> tuple[str, str, float]:
        """Key of the answers a recipe belongs to."""
        quality = w.min_quality if recipe.quality is None else recipe.quality
        key = (w.name, recipe.model, quality)
        return key if key in self.answered else (w.name, recipe.model, 1.0)

    def kept(self, name: str) -> FloatArray:
        """Objective: minus the missing share of a promise, in the mean over the day."""
        c = np.zeros(len(self.lower))
        wanted = self.wanted[name]
        part = wanted * self.problem.weights if len(wanted) == len(self.problem.weights) else wanted
        c[self.missing[name]] = -part / part.sum() if part.sum() > 0 else 0.0
        return c


@dataclass
class _Sheet:
    """Rows, columns and entries as they are added."""

    lower: list[FloatArray] = field(default_factory=list)
    upper: list[FloatArray] = field(default_factory=list)
    integer: list[Bools] = field(default_factory=list)
    row_lower: list[FloatArray] = field(default_factory=list)
    row_upper: list[FloatArray] = field(default_factory=list)
    entries: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    width: int = 0
    height: int = 0

    def column(self, n: int, upper: float | FloatArray, *, integer: bool = False) -> IntArray:
        """`n` more columns from 0 to `upper`."""
        self.lower.append(np.zeros(n))
        self.upper.append(np.broadcast_to(np.asarray(upper, dtype=float), n).copy())
        self.integer.append(np.full(n, integer))
        self.width += n
        return np.arange(self.width - n, self.width)

    def row(self, lower: float | FloatArray, upper: float | FloatArray, n: int = 1) -> IntArray:
        """`n` more rows between `lower` and `upper`."""
        self.row_lower.append(np.broadcast_to(np.asarray(lower, dtype=float), n).copy())
        self.row_upper.append(np.broadcast_to(np.asarray(upper, dtype=float), n).copy())
        self.height += n
        return np.arange(self.height - n, self.height)

    def put(self, rows: IntArray, columns: IntArray, values: float | FloatArray) -> None:
        """Entries, broadcast against each other."""
        r, c, v = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=float))
        self.entries.append((r.ravel(), c.ravel(), v.ravel()))


def build(problem: Problem, *, best_effort: bool = False) -> Program:
    """The program of a problem; with `best_effort` also the columns that say whether a workload runs at all."""
    sheet, classes = _Sheet(), len(problem.weights)
    runs = _runs(sheet, problem)
    pools = {p: i for i, p in enumerate(problem.units)}
    aside = {p: int(sheet.column(1, float(n))[0]) for p, n in problem.units.items()}
    of = _Of(problem, runs)

    pool_rows = sheet.row(-np.inf, 0.0, len(pools) * classes).reshape(len(pools), classes)
    pool_of = np.array([pools[r.pool] for r in problem.recipes], dtype=np.int64)
    for t in range(classes):
        here = (runs.slot == t) | (runs.slot < 0)
        sheet.put(pool_rows[pool_of[runs.recipe[here]], t], runs.at[here], of.units[here])
        sheet.put(pool_rows[:, t], np.array([aside[p] for p in pools], dtype=np.int64), -1.0)

    missing: dict[str, IntArray] = {}
    answered: dict[tuple[str, str, float], IntArray] = {}
    flows: dict[Flow, IntArray] = {}
    scaled: dict[str, tuple[IntArray, FloatArray]] = {}
    wanted: dict[str, FloatArray] = {}
    reserves: list[Reserve] = []
    for w in problem.workloads:
        mine = of.workload == problem.workloads.index(w)
        if isinstance(w, Serve):
            wanted[w.name] = problem.demand[w.name]
            missing[w.name], scaled[w.name] = _serve(sheet, problem, w, runs, mine, answered, flows, reserves)
        else:
            goal = w.tokens_per_s if isinstance(w, Train) else w.requests_per_s
            wanted[w.name] = np.array([goal])
            missing[w.name], scaled[w.name] = _total(sheet, problem, runs, mine, of.rate, goal)
            if isinstance(w, Train):
                _one_gang(sheet, problem, runs, mine, classes)
        if problem.even and not isinstance(w, Train):
            _spread(sheet, problem, runs, mine, of.rate, wanted[w.name], missing[w.name])
    nodes = _nodes(sheet, problem, runs, classes) if reserves else np.zeros(0, dtype=np.int64)
    started = (
        {w.name: _started(sheet, problem, w, runs, of.workload == i) for i, w in enumerate(problem.workloads)}
        if best_effort
        else {}
    )
    pinned = {pin: _pinned(sheet, problem, runs, pin) for pin in problem.pinned}
    return _close(
        sheet, problem, of, runs, aside, missing, answered, scaled, wanted, started, pinned, flows, reserves, nodes
    )


class _Of:
    """What each run column's recipe says, as arrays over the run columns."""

    def __init__(self, problem: Problem, runs: Columns) -> None:
        names = {w.name: i for i, w in enumerate(problem.workloads)}
        recipes = problem.recipes

        def column(values: list[float]) -> FloatArray:
            return np.array(values, dtype=float)[runs.recipe]

        self.workload: IntArray = np.array([names[r.workload] for r in recipes], dtype=np.int64)[runs.recipe]
        self.units = column([r.units for r in recipes])
        self.chips = column([r.units / problem.per_chip[r.pool] for r in recipes])
        self.spared = column([problem.spared(r) for r in recipes])
        self.flop = column([r.flop_per_token for r in recipes])
        # A gang that may change size at every slot pays a move at every slot, whether it changes or not.
        moves = (runs.slot >= 0) & (self.flop > 0)
        kept = np.where(moves, max(0.0, 1 - MOVE_S / problem.slot_s), 1.0)
        self.rate = column([r.rate for r in recipes]) * kept
        self.share = np.where(runs.slot < 0, 1.0, problem.weights[runs.slot])


def _runs(sheet: _Sheet, problem: Problem) -> Columns:
    """Replicas x[r,t], whole-day gangs z[r], and, if the day has several kinds of slot, gangs z[r,t]."""
    classes = len(problem.weights)
    recipe: list[int] = []
    slot: list[int] = []
    most: list[float] = []
    for i, r in enumerate(problem.recipes):
        whole = float(problem.units[r.pool] // r.units)
        spans = list(range(classes)) if r.kind != "train" else [-1] if classes == 1 else [-1, *range(classes)]
        recipe += [i] * len(spans)
        slot += spans
        most += [min(1.0, whole) if r.kind == "train" else whole] * len(spans)
    at = sheet.column(len(recipe), np.array(most), integer=True)
    trains = np.array([r.kind == "train" for r in problem.recipes], dtype=bool)
    which = np.array(recipe, dtype=np.int64)
    return Columns(which, np.array(slot, dtype=np.int64), at, trains[which])


def _serve(
    sheet: _Sheet,
    problem: Problem,
    w: Serve,
    runs: Columns,
    mine: Bools,
    answered: dict[tuple[str, str, float], IntArray],
    flows: dict[Flow, IntArray],
    reserves: list[Reserve],
) -> tuple[IntArray, tuple[IntArray, FloatArray]]:
    """Rows answer, read, write, demand, share and quality of one serve workload; its missing columns, and the rows
    that grow with it.
    """
    wanted, classes = problem.demand[w.name], len(problem.weights)
    asked = (wanted > 0).astype(float)
    demand = sheet.row(asked, asked, classes)
    missing = sheet.column(classes, asked)
    sheet.put(demand, missing, 1.0)
    recipes = [problem.recipes[i] for i in runs.recipe[mine]]
    at, slot = runs.at[mine], runs.slot[mine]
    rate = np.array([r.rate for r in recipes])
    part = np.array([r.part for r in recipes], dtype=str)
    quality_of = [w.min_quality if r.quality is None else r.quality for r in recipes]
    below = any(q < w.min_quality for q in quality_of)
    key = [(r.model, q if below else 1.0) for r, q in zip(recipes, quality_of, strict=True)]
    groups = sorted(set(key))
    shares = {a.model: sheet.row(-np.inf, a.share * asked, classes) for a in w.alternatives}
    quality = sheet.row(0.0, np.inf, classes) if below else None
    for group in groups:
        model, q = group
        y = answered[w.name, model, q] = sheet.column(classes, asked)
        answer = sheet.row(0.0, np.inf, classes)
        here = np.array([k == group for k in key])
        whole = here & (part == "")
        sheet.put(answer[slot[whole]], at[whole], _tight(rate[whole], wanted[slot[whole]]))
        read, write = here & (part == "prefill"), here & (part == "decode")
        gives = _tight(rate, wanted[slot])
        for flow, f in _flows(sheet, recipes, q, read, write, at, slot, gives, asked).items():
            flows[flow] = f
            sheet.put(answer, f, 1.0)
        sheet.put(answer, y, -1.0)
        if w.survives:
            gives = _tight(rate[whole], wanted[slot[whole]])
            some = [r for r, mine in zip(recipes, whole, strict=True) if mine]
            reserves.append(_reserve(sheet, problem, w.survives, some, at[whole], slot[whole], gives, asked, answer))
        sheet.put(demand, y, 1.0)
        if model in shares:
            sheet.put(shares[model], y, 1.0)
        if quality is not None:
            sheet.put(quality, y, q - w.min_quality)
    grow = [demand, *shares.values()]
    sides = [asked, *(a.share * asked for a in w.alternatives)]
    return missing, (np.concatenate(grow), np.concatenate(sides))


def _reserve(
    sheet: _Sheet, problem: Problem, nodes: int, recipes: Sequence[Recipe], at: IntArray, slot: IntArray,
    gives: FloatArray, asked: FloatArray, answer: IntArray,
) -> Reserve:  # fmt: skip
    """Columns b and h of the answers of one workload and group, and their rows used and lost.

    Whatever shares a node goes down with it: a node full of one recipe, and one replica of each that is spread. Since
    no plan needs more than it is asked for and what it may lose, the mean of what its replicas lose bounds h from
    below too, which makes the relaxation nearly as good as the program.
    """
    classes, pool = len(asked), np.array([r.pool for r in recipes])
    spread = np.array([r.spread for r in recipes], dtype=bool)
    each = np.array([1.0 if r.spread else max(1.0, problem.per_node[r.pool] / r.units) for r in recipes])
    loss = nodes * each * gives
    most = np.zeros(classes)
    np.maximum.at(most, slot, loss)
    np.add.at(most, slot[spread], loss[spread])
    h = sheet.column(classes, most * asked)
    sheet.put(answer, h, -1.0)
    fit = np.array([float(problem.units[r.pool] // r.units) for r in recipes])
    needed = fit if problem.pinned else np.ceil((1 + most[slot]) / gives) + 1
    b = sheet.column(len(at), 1.0, integer=True)
    used = sheet.row(0.0, np.inf, len(at))
    sheet.put(used, b, needed)
    sheet.put(used, at, -1.0)
    fulls, losses = [], []
    for p in sorted(set(pool.tolist())):
        here, packed = np.flatnonzero(pool == p), np.flatnonzero((pool == p) & ~spread)
        full = sheet.column(classes, most)
        lost, nodeful = sheet.row(0.0, np.inf, classes), sheet.row(0.0, np.inf, len(packed))
        fulls.append(full)
        losses += [lost, nodeful]
        sheet.put(nodeful, full[slot[packed]], 1.0)
        sheet.put(nodeful, b[packed], -loss[packed] * asked[slot[packed]])
        sheet.put(lost, h, 1.0)
        sheet.put(lost, full, -1.0)
        apart = here[spread[here]]
        sheet.put(lost[slot[apart]], b[apart], -loss[apart] * asked[slot[apart]])
    if not problem.pinned:
        mean = sheet.row(0.0, np.inf, classes)
        losses.append(mean)
        sheet.put(mean, h, 1.0)
        sheet.put(mean[slot], at, -loss * gives / (2 + most[slot]) * asked[slot])
    return Reserve(at, b, slot, gives, (h, *fulls), used, np.concatenate(losses))


def _nodes(sheet: _Sheet, problem: Problem, runs: Columns, classes: int) -> IntArray:
    """Rows nodes: what is spread stands on nodes that larger replicas do not fill; smaller ones fit in beside it."""
    found = [np.zeros(0, dtype=np.int64)]
    for p, units in problem.units.items():
        mine = np.array([r.pool == p for r in problem.recipes], dtype=bool)[runs.recipe]
        spread = mine & np.array([r.spread for r in problem.recipes], dtype=bool)[runs.recipe]
        if not spread.any():
            continue
        size = np.array([r.units for r in problem.recipes], dtype=float)[runs.recipe]
        larger = mine & ~spread & (size > size[spread].min())
        rows = sheet.row(-np.inf, float(units // problem.per_node[p]), classes)
        found.append(rows)
        for t in range(classes):
            now = (runs.slot == t) | (runs.slot < 0)
            sheet.put(rows[[t]], runs.at[spread & now], 1.0)
            sheet.put(rows[[t]], runs.at[larger & now], size[larger & now] / problem.per_node[p])
    return np.concatenate(found)


def _flows(
    sheet: _Sheet, recipes: Sequence[Recipe], quality: float, read: Bools, write: Bools, at: IntArray, slot: IntArray,
    gives: FloatArray, asked: FloatArray,
) -> dict[Flow, IntArray]:  # fmt: skip
    """Columns f of the answers of one workload and group, and their rows read and write."""
    flow_of = [
        Flow(r.workload, r.model, quality, r.variant, r.pool, r.to) if r.part == "prefill" else None for r in recipes
    ]
    place = [(r.model, r.variant, r.pool) for r in recipes]
    flows: dict[Flow, IntArray] = {}
    written: dict[tuple[str, str, str], IntArray] = {}
    for k in np.flatnonzero(read).tolist():
        flow = flow_of[k]
        if flow is None or flow in flows:
            continue
        f = flows[flow] = sheet.column(len(asked), asked)
        row = sheet.row(0.0, np.inf, len(asked))
        here = read & np.array([other == flow for other in flow_of])
        sheet.put(row[slot[here]], at[here], gives[here])
        sheet.put(row, f, -1.0)
        there = (flow.model, flow.variant, flow.written)
        if there not in written:
            written[there] = sheet.row(0.0, np.inf, len(asked))
            here = write & np.array([other == there for other in place])
            sheet.put(written[there][slot[here]], at[here], gives[here])
        sheet.put(written[there], f, -1.0)
    return flows


def _total(
    sheet: _Sheet, problem: Problem, runs: Columns, mine: Bools, rate: FloatArray, goal: float
) -> tuple[IntArray, tuple[IntArray, FloatArray]]:
    """The row that holds a total over the day (tokens, pile), and the column of what is missing."""
    asked = float(goal > 0)
    row = sheet.row(asked, np.inf)
    missing = sheet.column(1, asked)
    sheet.put(row, missing, 1.0)
    weight = np.where(runs.slot[mine] < 0, 1.0, problem.weights[runs.slot[mine]])
    sheet.put(row, runs.at[mine], _tight(weight * rate[mine], np.full(int(mine.sum()), goal)))
    return missing, (row, np.array([asked]))


def _tight(gives: FloatArray, wanted: FloatArray) -> FloatArray:
    """What a replica gives as a share of what is wanted; more than all of it is no use, and would loosen the bound."""
    return np.where(wanted > 0, np.minimum(gives, wanted) / np.maximum(wanted, 1e-300), 1.0)


def _one_gang(sheet: _Sheet, problem: Problem, runs: Columns, mine: Bools, classes: int) -> None:
    """Rows gang and part of one job: it stands in one pool, or in parts over one group of pools."""
    rows = sheet.row(-np.inf, 1.0, classes)
    at, slot = runs.at[mine], runs.slot[mine]
    place = [(problem.recipes[i].joint, problem.recipes[i].pool) for i in runs.recipe[mine]]
    alone = np.array([not group for group, _ in place], dtype=bool)
    for t in range(classes):
        sheet.put(rows[[t]], at[alone & ((slot == t) | (slot < 0))], 1.0)
    parts = {p: np.array([p == other for other in place]) for p in sorted(set(place)) if p[0]}
    for g in sorted({group for group, _ in parts}):
        for span in sorted(set(slot.tolist())):
            joined = sheet.column(1, 1.0)
            sheet.put(rows if span < 0 else rows[[span]], joined, 1.0)
            for mine in (here for (group, _), here in parts.items() if group == g):
                part = sheet.row(-np.inf, 0.0)
                sheet.put(part, at[mine & (slot == span)], 1.0)
                sheet.put(part, joined, -1.0)


def _spread(
    sheet: _Sheet, problem: Problem, runs: Columns, mine: Bools, rate: FloatArray, wanted: FloatArray, missing: IntArray
) -> None:
    """Rows even: Σ_{r in p} rate_r x[r,t] / D[s,t] + d[s,t] ≥ the share of pool p in what all chips that can run s
    would give: each pool gives an equal share of its chips.
    """
    pool = np.array([problem.recipes[i].pool for i in runs.recipe])
    each = rate / np.array([problem.recipes[i].units for i in runs.recipe])
    gives = {p: problem.units[p] * float(each[mine & (pool == p)].max()) for p in sorted(set(pool[mine]))}
    for p, most in gives.items():
        here = mine & (pool == p)
        share = np.where(wanted > 0, most / sum(gives.values()), 0.0)
        rows = sheet.row(share, np.inf, len(wanted))
        sheet.put(rows, missing, 1.0)
        daily = len(wanted) == 1  # a pile: any slot of the day will do
        weight = problem.weights[runs.slot[here]] if daily else np.ones(int(here.sum()))
        at = np.zeros(int(here.sum()), dtype=np.int64) if daily else runs.slot[here]
        sheet.put(rows[at], runs.at[here], _tight(weight * rate[here], wanted[at]))


def _started(sheet: _Sheet, problem: Problem, w: Workload, runs: Columns, mine: Bools) -> int:
    """The column that says a workload runs: at least one replica, of serving in every slot that asks for it."""
    started = sheet.column(1, 1.0, integer=True)
    asked = np.flatnonzero(problem.demand[w.name] > 0) if isinstance(w, Serve) else np.zeros(1, dtype=np.int64)
    for t in asked.tolist():
        here = mine & ((runs.slot == t) | (runs.slot < 0)) if isinstance(w, Serve) else mine
        row = sheet.row(0.0, np.inf)
        sheet.put(row, started, -1.0)
        sheet.put(row, runs.at[here], 1.0)
    return int(started[0])


def _pinned(sheet: _Sheet, problem: Problem, runs: Columns, pin: Pin) -> IntArray:
    """Rows that hold the replicas of a pin, one for each class of slots it names."""
    mine = np.array([pin.matches(r) for r in problem.recipes], dtype=bool)[runs.recipe]
    named = [t for t, slots in enumerate(problem.slots) if pin.slot is None or pin.slot in slots]
    rows = sheet.row(float(pin.least), np.inf if pin.most is None else float(pin.most), len(named))
    for row, t in zip(rows, named, strict=True):
        here = mine & ((runs.slot == t) | (runs.slot < 0))
        sheet.put(np.array([row]), runs.at[here], 1.0)
    return rows


def _close(
    sheet: _Sheet, problem: Problem, of: _Of, runs: Columns, aside: dict[str, int], missing: dict[str, IntArray],
    answered: dict[tuple[str, str, float], IntArray], scaled: dict[str, tuple[IntArray, FloatArray]], wanted: dict[str,
    FloatArray],
    started: dict[str, int], pinned: dict[Pin, IntArray], flows: dict[Flow, IntArray],
    reserves: list[Reserve], nodes: IntArray,
) -> Program:  # fmt: skip
    progress, value, used, spared = (np.zeros(sheet.width) for _ in range(4))
    progress[runs.at] = of.share * of.rate * of.flop
    used[runs.at] = of.share * of.chips
    spared[runs.at] = of.share * of.spared
    for w in problem.workloads:
        if w.value is None:
            continue
        million_a_day = w.value * 86400 / 1e6
        if isinstance(w, Serve):
            for (name, _, _), y in answered.items():
                if name == w.name:
                    value[y] = problem.weights * wanted[w.name] * million_a_day * w.traffic.output.mean
        else:
            mine = of.workload == problem.workloads.index(w)
            each = 1.0 if isinstance(w, Train) else w.output.mean
            value[runs.at[mine]] = of.share[mine] * of.rate[mine] * million_a_day * each
    rows, columns, entries = (np.concatenate(parts) for parts in zip(*sheet.entries, strict=True))
    return Program(
        problem, np.concatenate(sheet.lower), np.concatenate(sheet.upper), np.concatenate(sheet.integer),
        np.concatenate(sheet.row_lower), np.concatenate(sheet.row_upper), rows, columns, entries, runs, aside, missing,
        answered, scaled, wanted, started, progress, value, used, spared, pinned, flows,
        tuple(reserves), nodes,
    )  # fmt: skip

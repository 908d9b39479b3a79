"""The program of one month: chips of each pool shared between service, slot by slot of a day, and one training job.

The planner's program with replicas that may be split, one column for the best recipe of each answer and pool, and
right-hand sides that are data: chips N_p, growth s of serving, work b_k promised a day. Solved again and again from
where it was.

    maximise Σ_p c_p z_p               (a gang that stays all day)   or   Σ_pt w_t c_p z_pt   (one that moves)
    pool     Σ_j x_jpt + z_p + z_pt ≤ N_p
    answer   Σ_p rate_jp x_jpt ≥ Y_jt
    demand   Σ_j Y_jt = s D_wt         share   Σ_{j of model m} Y_jt ≤ s share_m D_wt
    quality  Σ_j (q_j - floor_w) Y_jt ≥ 0
    total    Σ_t w_t Σ_p rate_kp x_kpt / B_k ≥ b_k            batch work and other training, over the day

Any prices π of the rows below `pool` bound every month from above, whatever its chips, growth and speeds:

    value ≤ Σ_p N_p max(Σ_t ρ_pt, c_p) - s α - Σ_k β_k b_k,     ρ_pt = max_j rate_jp π_jt,

so prices found in one month are used for all (`prices.py`). It knows no time and no probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan import solve
from eke.plan.program import Problem
from eke.plan.recipes import Recipe
from eke.plan.scenario import Serve, Train


@dataclass(frozen=True, slots=True)
class Answer:
    """One way a workload may be answered: a model in a quality; best requests/s (or tokens/s) a unit by pool."""

    workload: str
    model: str
    quality: float
    rate: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Prices:
    """Row prices, reduced to what bounds a month.

    Attributes:
        chips: ρ [pools, slots], what service would pay for a unit in a slot.
        serving: α, what growth of serving by one costs. totals: β [totals], what each promised total costs.
    """

    chips: FloatArray
    serving: float
    totals: FloatArray


@dataclass(frozen=True, slots=True)
class Solved:
    """A month: its value, units that train [pools] and serve each workload in the mean over the day, its prices."""

    value: float
    training: FloatArray
    serving: Mapping[str, FloatArray]
    prices: Prices


@dataclass(frozen=True, slots=True)
class _Columns:
    growth: int
    chips: IntArray  # [pools]
    totals: IntArray  # [totals]
    steady: IntArray  # z_p [pools]
    moving: IntArray  # z_pt [pools, slots]


class Month:
    """The program, built once; asked for any chips, growth and speeds."""

    def __init__(self, problem: Problem, pools: Sequence[str], *, late: bool = True) -> None:
        self.pools = tuple(pools)
        self.weights = problem.weights
        self.answers = answers(problem, late=late)
        self.demand = problem.demand
        self.totals = tuple(a.workload for a in self.answers if a.workload not in problem.demand)
        self._of_total = {w.name: _per_s(w) for w in problem.workloads if not isinstance(w, Serve)}
        self._sheet = _Sheet()
        self._placed: list[tuple[str, int, IntArray]] = []  # workload, pool, columns x
        self._columns = self._build(problem)
        self._rows = self._sheet.close()
        n = len(self._rows.lower)
        self._growing = solve.Relaxation(self._rows, _one(n, self._columns.growth))
        self._training = solve.Relaxation(self._rows, np.zeros(n))

    def _build(self, problem: Problem) -> _Columns:
        sheet, p, t = self._sheet, len(self.pools), len(self.weights)
        growth = int(sheet.columns(1)[0])
        chips = sheet.columns(p)
        totals = sheet.columns(len(self.totals))
        steady, moving = sheet.columns(p), sheet.columns(p * t).reshape(p, t)
        self.pool_rows = sheet.rows(p * t, -np.inf, 0.0).reshape(p, t)
        sheet.put(self.pool_rows, chips[:, None], -1.0)
        sheet.put(self.pool_rows, steady[:, None], 1.0)
        sheet.put(self.pool_rows, moving, 1.0)
        self.answer_rows: list[IntArray] = []
        shares: list[tuple[IntArray, FloatArray]] = []  # rows whose right side grows with s, and that side
        for w in problem.workloads:
            mine = [a for a in self.answers if a.workload == w.name]
            if isinstance(w, Serve):
                shares += self._serve(w, mine, growth)
            elif mine:
                row = sheet.rows(1, 0.0, np.inf)
                sheet.put(row, totals[self.totals.index(w.name)], -1.0)
                for place, rate in self._units(mine[0]):
                    sheet.put(row, place, self.weights * rate / self._of_total[w.name])
                self.answer_rows.append(row)
        self.growing = (np.concatenate([r for r, _ in shares] or [np.zeros(0, dtype=np.int64)]),
                        np.concatenate([s for _, s in shares] or [np.zeros(0)]))  # fmt: skip
        return _Columns(growth, chips, totals, steady, moving)

    def _units(self, answer: Answer) -> list[tuple[IntArray, float]]:
        """Columns x_jpt [slots] of an answer in each pool that can give it, with the rate of a unit."""
        found = []
        for i, pool in enumerate(self.pools):
            if (rate := answer.rate.get(pool, 0.0)) > 0:
                x = self._sheet.columns(len(self.weights))
                self._sheet.put(self.pool_rows[i], x, 1.0)
                found.append((x, rate))
                self._placed.append((answer.workload, i, x))
        return found

    def _serve(self, w: Serve, mine: Sequence[Answer], growth: int) -> list[tuple[IntArray, FloatArray]]:
        sheet, slots, wanted = self._sheet, len(self.weights), self.demand[w.name]
        demand = sheet.rows(slots, 0.0, 0.0)
        sheet.put(demand, growth, -wanted)
        share = {a.model: (sheet.rows(slots, -np.inf, 0.0), a.share * wanted) for a in w.alternatives}
        for row, side in share.values():
            sheet.put(row, growth, -side)
        quality = sheet.rows(slots, 0.0, np.inf) if any(a.quality < w.min_quality for a in mine) else None
        for a in mine:
            row, y = sheet.rows(slots, 0.0, np.inf), sheet.columns(slots)
            self.answer_rows.append(row)
            sheet.put(row, y, -1.0)
            sheet.put(demand, y, 1.0)
            if a.model in share:
                sheet.put(share[a.model][0], y, 1.0)
            if quality is not None:
                sheet.put(quality, y, a.quality - w.min_quality)
            for x, rate in self._units(a):
                sheet.put(row, x, rate)
        return [(demand, wanted), *share.values()]

    def train(
        self, chips: FloatArray, growth: float, totals: FloatArray, speed: FloatArray, moves: float
    ) -> Solved | None:
        """The month in which most is trained; None when its promises cannot be kept.

        Args:
            chips: N [pools].
            growth: s.
            totals: b [totals].
            speed: c [pools], what a unit trains; 0 where it may not.
            moves: share of a slot left to a gang that moves; 0: it stays all day.
        """
        at, n = self._columns, len(self._rows.lower)
        lower, upper = self._bounds(chips, totals)
        lower[at.growth] = upper[at.growth] = growth
        objective = np.zeros(n)
        if moves:
            upper[at.steady] = 0.0
            objective[at.moving] = speed[:, None] * self.weights * moves
            upper[at.moving] = np.where(speed[:, None] > 0, np.inf, 0.0)
        else:
            upper[at.moving] = 0.0
            objective[at.steady] = speed
            upper[at.steady] = np.where(speed > 0, np.inf, 0.0)
        self._training.aim(objective)
        found = self._training.under((lower, upper))
        if found.value is None:
            return None
        z = found.x[at.moving] @ self.weights + found.x[at.steady]
        return Solved(found.value, z, self._serving(found.x), self._prices(found.row_dual))

    def most(self, chips: FloatArray, totals: FloatArray) -> Solved | None:
        """The largest growth of serving that can be kept, nothing being trained; None when totals alone are too much.

        Args:
            chips: N [pools].
            totals: b [totals].
        """
        at = self._columns
        lower, upper = self._bounds(chips, totals)
        upper[at.steady], upper[at.moving] = 0.0, 0.0
        upper[at.growth] = 1e6
        found = self._growing.under((lower, upper))
        return None if found.value is None else Solved(
            found.value, np.zeros(len(self.pools)), self._serving(found.x), self._prices(found.row_dual)
        )  # fmt: skip

    def _serving(self, x: FloatArray) -> dict[str, FloatArray]:
        used: dict[str, FloatArray] = {}
        for name, pool, columns in self._placed:
            used.setdefault(name, np.zeros(len(self.pools)))[pool] += float(self.weights @ x[columns])
        return used

    def _bounds(self, chips: FloatArray, totals: FloatArray) -> tuple[FloatArray, FloatArray]:
        at, n = self._columns, len(self._rows.lower)
        lower, upper = np.zeros(n), np.full(n, np.inf)
        lower[at.chips] = upper[at.chips] = chips
        lower[at.totals] = upper[at.totals] = totals
        return lower, upper

    def _prices(self, dual: FloatArray) -> Prices:
        """What the rows' duals say of chips and promises, made consistent: ρ covers every column by itself."""
        worth = np.abs(dual)  # of a maximum: answers are worth what their row would lose
        rho = np.zeros((len(self.pools), len(self.weights)))
        for a, row in zip(self.answers, self.answer_rows, strict=True):
            total = a.workload in self.totals
            price = self.weights * worth[row[0]] / self._of_total[a.workload] if total else worth[row]
            for i, pool in enumerate(self.pools):
                rho[i] = np.maximum(rho[i], a.rate.get(pool, 0.0) * price)
        rows, sides = self.growing
        betas = [worth[r[0]] for a, r in zip(self.answers, self.answer_rows, strict=True) if a.workload in self.totals]
        return Prices(rho, float(-dual[rows] @ sides), np.array(betas, dtype=float))


def answers(problem: Problem, *, late: bool = True) -> list[Answer]:
    """Ways to answer each workload, in the order of the workloads; of each, the recipe that gives most a unit.

    A replica that gives more than is ever asked counts for what is asked. Recipes that break the latency promise count
    only for workloads no other recipe answers, and only with `late`.
    """
    found = []
    for w in problem.workloads:
        mine = [r for r in problem.recipes if r.workload == w.name and r.units <= problem.units[r.pool]]
        mine = [r for r in mine if r.holds] or (mine if late else [])
        if not isinstance(w, Serve):
            if not isinstance(w, Train) or w.deadline_s is not None:
                alone = [r for r in mine if not r.joint]
                found.append(Answer(w.name, w.model, 1.0, _rates(alone, np.inf)))
            continue
        most = float(problem.demand[w.name].max(initial=0.0)) or np.inf
        quality = {r: w.min_quality if r.quality is None else r.quality for r in mine}
        below = any(q < w.min_quality for q in quality.values())
        key = {r: (r.model, q if below else 1.0) for r, q in quality.items()}
        kinds = sorted(set(key.values()))
        found += [Answer(w.name, *k, _rates([r for r in mine if key[r] == k], most)) for k in kinds]
        if not mine:
            found.append(Answer(w.name, w.model, 1.0, {}))
    return found


def _rates(recipes: Sequence[Recipe], most: float) -> dict[str, float]:
    best: dict[str, float] = {}
    for r in recipes:
        best[r.pool] = max(best.get(r.pool, 0.0), min(r.rate, most) / r.units)
    return best


def _per_s(w: object) -> float:
    """What is promised of a workload that is no service, a second."""
    return float(getattr(w, "tokens_per_s", 0.0) or getattr(w, "requests_per_s", 0.0) or 1.0)


def _one(n: int, at: int) -> FloatArray:
    objective = np.zeros(n)
    objective[at] = 1.0
    return objective


class _Sheet:
    """Rows, columns and entries as they are added."""

    def __init__(self) -> None:
        self._width, self._lower, self._upper = 0, list[FloatArray](), list[FloatArray]()
        self._height, self._entries = 0, list[tuple[IntArray, IntArray, FloatArray]]()

    def columns(self, n: int) -> IntArray:
        """`n` more columns."""
        self._width += n
        return np.arange(self._width - n, self._width)

    def rows(self, n: int, lower: float, upper: float) -> IntArray:
        """`n` more rows between `lower` and `upper`."""
        self._lower.append(np.full(n, lower))
        self._upper.append(np.full(n, upper))
        self._height += n
        return np.arange(self._height - n, self._height)

    def put(self, rows: IntArray, columns: IntArray | int, values: float | FloatArray) -> None:
        """Entries, broadcast against each other."""
        r, c, v = np.broadcast_arrays(rows, np.asarray(columns), np.asarray(values, dtype=float))
        self._entries.append((r.ravel(), c.ravel(), v.ravel()))

    def close(self) -> solve.Posed:
        """The rows as `solve` reads them."""
        r, c, v = (np.concatenate(parts) for parts in zip(*self._entries, strict=True))
        return solve.Posed(np.zeros(self._width), np.concatenate(self._lower), np.concatenate(self._upper), r, c, v)

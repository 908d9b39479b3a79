"""What would lengthen the runway most: each change reckoned in the same futures, ranked by generations gained.

Days are taken in few kinds of slot and fewer futures are drawn than for the runway itself; what a lever gains is the
difference between two such reckonings with the same chance, so that chance cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from eke import units
from eke.cost import Basis, FloatArray
from eke.errors import InputError
from eke.fleet import catalogue
from eke.fleet.chip import Chip
from eke.fleet.pool import Link, Pool
from eke.plan import planner
from eke.plan.interval import weakest
from eke.plan.program import Problem
from eke.plan.reading import available_by_default
from eke.plan.runway.generation import Known, generation
from eke.plan.runway.month import answers
from eke.plan.runway.result import Quantiles
from eke.plan.runway.run import Outlooks, basis_of, growth_of, intervals, posed, share_done
from eke.plan.runway.stock import MONTH_S, quantiles
from eke.plan.runway.timeline import DAY_S
from eke.plan.scenario import Alternative, Arrival, Batch, Generations, Scenario, Serve, Train

FUTURES, SLOTS, ROUNDS = 64, 4, 3
"""Futures, kinds of slot, and rounds of looking for prices: enough for differences of 0.02 generations."""
CHIPS, AFTER_S = 512, 6 * MONTH_S
"""How many further chips are asked about, and when they come."""
SMALLER = 0.6
"""A model is smaller when it multiplies with at most this share of another's weights."""
LINK = 12.5e9
"""A link between vendors' pools that is asked about: 100 Gb/s a chip."""
DOMESTIC = (
    "Baidu", "Biren", "Cambricon", "Enflame", "Huawei", "Hygon", "Iluvatar", "MetaX", "Moore Threads", "T-Head",
)  # fmt: skip
"""Vendors whose training chips are asked about although none is owned: those no export rule concerns."""
MEMORY = 60e9
"""Bytes such a chip has at least."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Lever:
    """One change.

    Attributes:
        kind: `software`, `work`, `chips`, `dates` or `growth`; `in use` for what the stock already lives on, with what
            would be lost without it.
        generations: gained within the horizon in the mean; p10 and p90 of the futures.
        end_days: p50 of the first generation that is not certain to be done, before and after; None beyond the horizon.
            end_interval: its p10 and p90 after.
        basis: of the least known speed that training then rests on, and of the chips that join.
        note: what it takes, or why it does nothing.
    """

    kind: str
    name: str
    generations: float
    p10: float
    p90: float
    end_days: tuple[float | None, float | None]
    end_interval: tuple[float | None, float | None]
    basis: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Chips of a kind that do what one export chip does; 80% intervals from the cost model.

    Attributes:
        training: by generation name. serving: by workload. Each: (ratio, low, high); None where one of them cannot.
    """

    export: str
    domestic: str
    owned: bool
    training: dict[str, tuple[float, float, float] | None]
    serving: dict[str, tuple[float, float, float] | None]


@dataclass(frozen=True, slots=True)
class Levers:
    """Levers, most first; what is in use; replacement ratios."""

    scenario: str
    horizon_days: float
    generations: float
    samples: int
    seed: int
    levers: tuple[Lever, ...]
    in_use: tuple[Lever, ...]
    replacement: tuple[Replacement, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As `eke runway --levers -o json` prints it."""
        return {"format": "eke.runway-levers/1", **asdict(self)}


@dataclass(frozen=True, slots=True)
class _Change:
    """A scenario with one thing changed, and what need not be asked again."""

    kind: str
    name: str
    scenario: Scenario
    problem: Problem | None = None
    note: str = ""
    basis: Basis | None = None
    horizon_s: float | None = None
    alone: bool = False
    steady: bool = False


def rank(
    scenario: Scenario, *, samples: int = FUTURES, seed: int = 0, horizon_s: float | None = None,
    chips: int = CHIPS, kinds: Sequence[str] = (), progress: Progress | None = None,
) -> Levers:  # fmt: skip
    """What would lengthen the runway, most first.

    Args:
        scenario: as for `make`.
        samples: futures, at most `FUTURES`.
        seed: as for `make`.
        horizon_s: as for `make`.
        chips: how many more of each kind.
        kinds: catalogue chips to ask about instead of the usual ones.
        progress: as for `make`.

    Raises:
        InputError: as `make`; chips that are no positive number.
    """
    if not 1 <= chips <= 10_000_000:
        raise InputError(f"chips: {chips} must be between 1 and 10,000,000", remedy="--chips 512")
    say = progress or (lambda _: None)
    moves, assumed = growth_of(scenario)
    if horizon_s is not None:
        moves = replace(moves, horizon_s=horizon_s)
    scenario = replace(scenario, generations=moves)
    known: Known = {}
    asked = _Asked(min(samples, FUTURES), seed, known)
    base = asked.of(_Change("", "", scenario))
    before = base.score
    found: list[Lever] = []
    used: list[Lever] = []
    changes = [*_software(base.outlooks), *_work(base.outlooks), *_growth(scenario, moves)]
    changes += list(_chips(base.outlooks, chips, kinds))
    for change in changes:
        say(f"what if: {change.name}")
        after = asked.of(change, like=base.outlooks)
        lever = _lever(change, base, after)
        (used if change.kind == "in use" else found).append(lever)
    notes = [
        f"{base.outlooks.samples} futures, a day in at most {SLOTS} kinds of slot; gains below 0.02 generations are "
        "noise.",
        "A gain is the difference in the mean of all futures; in brackets where 80% of the futures lie.",
    ]
    if assumed:
        notes.append("The scenario has no `generations`: growth is assumed, see `eke runway`.")
    return Levers(
        scenario.name, moves.horizon_s / DAY_S, round(float(before.mean()), 3), base.outlooks.samples, seed,
        tuple(sorted(found, key=lambda x: -x.generations)), tuple(sorted(used, key=lambda x: x.generations)),
        tuple(_replacements(base.outlooks, kinds)), tuple(notes),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a scenario came to: generations done [samples], and the end of each [generations][samples]."""

    outlooks: Outlooks
    score: FloatArray
    ends: tuple[FloatArray, ...]
    basis: Basis | None


class _Asked:
    def __init__(self, samples: int, seed: int, known: Known) -> None:
        self._samples, self._seed, self._known = samples, seed, known

    def of(self, change: _Change, like: Outlooks | None = None) -> _Answer:
        """The reckoning of a changed scenario; `like`: one whose recipes and prices it may take over."""
        seen = None if like is None else like.problem
        outlooks = Outlooks(
            change.scenario, samples=self._samples, seed=self._seed, horizon_s=change.horizon_s,
            problem=change.problem or (None if seen is None else _again(seen, change.scenario)), known=self._known,
            rounds=ROUNDS, slots=SLOTS, alone=change.alone, steady=change.steady, like=like,
        )  # fmt: skip
        trained = outlooks.trained()
        horizon = outlooks.moves.horizon_s
        done = np.sum([share_done(t, horizon) for t in trained], axis=0)
        return _Answer(outlooks, done, tuple(t.end for t in trained), weakest(*map(basis_of, trained)))


def _again(seen: Problem, scenario: Scenario) -> Problem | None:
    """The recipes of `seen` where the scenario's other work and pools are those it was posed for; else None."""
    mine = {w.name: w for w in scenario.workloads}
    same = all(mine.get(w.name) == w for w in seen.workloads) and set(seen.units) == {
        p.name for p in scenario.fleet.pools
    }
    return seen if same else None


def _lever(change: _Change, base: _Answer, after: _Answer) -> Lever:
    gain = after.score - base.score
    low, high = np.quantile(gain, (0.1, 0.9))
    horizon = base.outlooks.moves.horizon_s / DAY_S
    unsure = next((i for i, e in enumerate(base.ends) if (e > base.outlooks.moves.horizon_s).any()), 0)
    nothing: Quantiles = dict.fromkeys(("p10", "p50", "p90"))
    was, now = (quantiles(a.ends[unsure] / DAY_S, horizon) if unsure < len(a.ends) else nothing for a in (base, after))
    basis = weakest(after.basis, change.basis)
    return Lever(
        change.kind, change.name, round(float(gain.mean()), 3), round(float(low), 3), round(float(high), 3),
        (was["p50"], now["p50"]), (now["p10"], now["p90"]), basis or "", change.note,
    )  # fmt: skip


# Software


def _software(o: Outlooks) -> Iterator[_Change]:
    """What optimisations in use carry, and those that could be used."""
    s = o.scenario
    used = {r.variant for r in o.problem.recipes if r.kind in ("serve", "batch")}
    for precision in ("fp8", "int8", "int4"):
        of = {v for v in used if v.startswith(precision)}
        without = _without(o.problem, lambda r, of=of: r.variant in of)  # type: ignore[misc]
        if of and without is not None:
            yield _Change("in use", f"serving in {precision}", s, without, f"without {', '.join(sorted(of))}")
        elif of:
            yield _Change("in use", f"serving in {precision}", s, note="some work runs in nothing else here")
    smaller = [w.name for w in s.workloads if isinstance(w, Serve) and w.alternatives]
    if smaller:
        plain = tuple(replace(w, alternatives=()) if isinstance(w, Serve) else w for w in s.workloads)
        first = {w.name: w.model for w in s.workloads if isinstance(w, Serve)}
        without = _without(o.problem, lambda r: r.workload in first and r.model != first[r.workload])
        if without is not None:
            kept = tuple(w for w in plain if w is not o.first and w.name != o.first.name)
            yield _Change(
                "in use", "smaller models for a share of traffic", replace(s, workloads=plain),
                replace(without, workloads=kept), f"without alternatives of {', '.join(smaller)}",
            )  # fmt: skip
    if planner.groups(s.fleet, [p.name for p in s.fleet.pools]):
        yield _Change("in use", "several pools train one model in step", s, o.problem, "each alone", alone=True)
    if len(o.problem.weights) > 1:
        flat = {n: np.array([float(d.max())]) for n, d in o.problem.demand.items()}
        slots = (tuple(i for part in o.problem.slots for i in part),)
        peak = replace(o.problem, weights=np.ones(1), slots=slots, demand=flat)
        yield _Change("in use", "day and night shared with training", s, peak, "each at its peak all day", steady=True)
    if o.first.precision == "bf16":
        can = [p.name for p in s.fleet.pools if "fp8" in p.chip.flops and o.first.name in _trains(o, p.name)]
        if can:
            note = f"on {', '.join(can)} only; DeepSeek-V3's loss stayed within 0.25% of bf16's (arXiv 2412.19437)"
            yield _Change("software", "train in fp8", _with(s, replace(o.first, precision="fp8")), o.problem, note)
        else:
            yield _Change("software", "train in fp8", s, o.problem, "no pool that trains has fp8")
    if o.any_restarts.recovery_s > 120:
        quick = replace(o.moves, recovery_s=60.0)
        note = f"recovery in 1 min instead of {units.show_seconds(o.any_restarts.recovery_s)} (warm spares)"
        yield _Change("software", "faster restarts", replace(s, generations=quick), o.problem, note)
    yield from _joined(o)
    yield from _smaller(o)


def _trains(o: Outlooks, pool: str) -> set[str]:
    w = o.first
    return {w.name} if w.pools is None or pool in w.pools else set()


def _without(problem: Problem, drop: Callable[[Any], bool]) -> Problem | None:
    """The problem without some recipes; None where work would be left with none."""
    kept = tuple(r for r in problem.recipes if not drop(r))
    have = {r.workload for r in kept if r.holds}
    had = {r.workload for r in problem.recipes if r.holds}
    return replace(problem, recipes=kept) if have == had else None


def _joined(o: Outlooks) -> Iterator[_Change]:
    """Pools of different vendors that could train in step."""
    s = o.scenario
    able = [p for p in s.fleet.pools if p.chip.kind != "cpu" and p.chip.flops]
    groups = [set(g) for g in planner.groups(s.fleet, [p.name for p in able])]
    lead = max(able, key=lambda p: p.chips * max(p.chip.flops.values()), default=None)
    for pool in able:
        if lead is None or pool is lead or any({pool.name, lead.name} <= g for g in groups):
            continue
        links = (*s.fleet.links, Link((lead.name, pool.name), LINK))
        yield _Change(
            "software", f"{pool.name} trains in step with {lead.name}", replace(s, fleet=replace(s.fleet, links=links)),
            o.problem, f"needs a link of {LINK * 8 / 1e9:.0f} Gb/s a chip, and one trainer for both vendors' chips",
            basis="guessed",
        )  # fmt: skip


def _smaller(o: Outlooks) -> Iterator[_Change]:
    """Half of a workload's requests answered by the largest clearly smaller model that is served anyway."""
    s = o.scenario
    models = {w.model: w.architecture for w in s.workloads if isinstance(w, Serve | Batch)}
    for w in s.workloads:
        if not isinstance(w, Serve) or w.alternatives:
            continue
        small = [m for m, a in models.items() if a.active_parameters <= SMALLER * w.architecture.active_parameters]
        if not small:
            continue
        best = max(small, key=lambda m: models[m].active_parameters)
        half = replace(
            w, alternatives=(Alternative(best, models[best], 1.0, 0.5),), min_quality=min(w.min_quality, 0.97)
        )
        yield _Change(
            "work", f"half of {w.name} on {best}", _with(s, half),
            note="what it saves; whether its answers are good enough is not asked here",
        )  # fmt: skip


# Work, growth, dates


def _slower(w: Serve) -> Serve:
    return replace(w, slo=replace(w.slo, ttft_s=1.5 * w.slo.ttft_s, tpot_s=1.5 * w.slo.tpot_s))


def _with(s: Scenario, new: Serve | Batch | Train) -> Scenario:
    return replace(s, workloads=tuple(new if w.name == new.name else w for w in s.workloads))


def _work(o: Outlooks) -> Iterator[_Change]:
    s = o.scenario
    slow = tuple(_slower(w) if isinstance(w, Serve) else w for w in s.workloads)
    if slow != s.workloads:
        yield _Change(
            "dates", "all answers 1.5x as late", replace(s, workloads=slow), note="first token and each after"
        )
    for w in s.workloads:
        if isinstance(w, Batch):
            half = replace(w, tokens_per_day=w.tokens_per_day / 2)
            yield _Change("work", f"half of {w.name}", _with(s, half), note="or twice the days")
        if isinstance(w, Train) and w.name != o.first.name and w.deadline_s:
            late = replace(w, deadline_s=1.25 * w.deadline_s)
            yield _Change("dates", f"{w.name}: deadline a quarter later", _with(s, late))


def _growth(s: Scenario, g: Generations) -> Iterator[_Change]:
    def moved(**changes: Any) -> Scenario:
        return replace(s, generations=replace(g, **changes))

    later = g.horizon_s + 6 * MONTH_S
    yield _Change("dates", "6 months more", s, note="everything may be done 6 months later", horizon_s=later)
    lower = 1 + (g.compute_growth - 1) * 0.75
    yield _Change(
        "growth", f"generations grow {lower:.3g}x instead of {g.compute_growth:.3g}x", moved(compute_growth=lower),
        note="smaller generations count as whole ones",
    )  # fmt: skip
    if g.serving_growth_per_s:
        half = g.serving_growth_per_s / 2
        name = f"serving grows {100 * half * MONTH_S:.3g}% a month instead of {200 * half * MONTH_S:.3g}%"
        yield _Change("growth", name, moved(serving_growth_per_s=half))
    if any(rate for _, rate in g.attrition_per_s):
        slower = tuple((n, r / 2) for n, r in g.attrition_per_s)
        yield _Change("growth", "half the attrition", moved(attrition_per_s=slower), note="repair, spares")


# Chips


def _chips(o: Outlooks, chips: int, kinds: Sequence[str]) -> Iterator[_Change]:
    """More of each kind: owned ones join their pool, others a pool of their own."""
    s = o.scenario
    when = f"{chips:,} {{}} in month {AFTER_S / MONTH_S:.0f}"
    for pool in s.fleet.pools:
        if pool.chip.kind == "cpu":
            continue
        more = Arrival(pool.name, max(1, round(chips / pool.chips_per_node)), AFTER_S)
        moves = replace(o.moves, arrivals=(*o.moves.arrivals, more))
        name, basis = when.format(pool.chip.name), _served(o.problem, pool.name)
        yield _Change("chips", name, replace(s, generations=moves), note=f"to {pool.name}", basis=basis)
    owned = {p.chip.name for p in s.fleet.pools}
    for chip in _kinds(kinds):
        if chip.name in owned:
            continue
        per_node = max(8, min(chip.scale_up_chips, 16))
        nodes = max(1, round(chips / per_node))
        pool = Pool(chip.name.casefold(), chip, 0, per_node, chip.scale_out, available_by_default(nodes))
        fleet = replace(s.fleet, pools=(*s.fleet.pools, pool))
        moves = replace(o.moves, arrivals=(*o.moves.arrivals, Arrival(pool.name, nodes, AFTER_S)))
        changed = replace(s, fleet=fleet, generations=moves)
        note = "a pool of its own" + ("; failure rate unknown" if chip.vendor in DOMESTIC else "")
        beside = _posed_beside(o, changed, pool, nodes)
        basis = _served(beside, pool.name) or "guessed"
        yield _Change("chips", when.format(chip.name), changed, beside, note, basis=basis)


def _served(problem: Problem, pool: str) -> Basis | None:
    """Of the least known speed at which a pool's chips serve."""
    return weakest(*(r.basis for r in problem.recipes if r.pool == pool))


def _kinds(names: Sequence[str]) -> list[Chip]:
    """Chips to ask about: those named, else the strongest of each domestic vendor."""
    if names:
        return [catalogue.chip(n) for n in names]
    strongest: dict[str, Chip] = {}
    for chip in catalogue.chips().values():
        able = chip.vendor in DOMESTIC and chip.memory >= MEMORY and chip.scale_up_chips > 1
        best = _peak(strongest[chip.vendor]) if chip.vendor in strongest else 0.0
        if able and _peak(chip) > best:
            strongest[chip.vendor] = chip
    return list(strongest.values())


def _peak(chip: Chip) -> float:
    return max(chip.flops.get("bf16", 0.0), chip.flops.get("fp16", 0.0))


def _posed_beside(o: Outlooks, changed: Scenario, pool: Pool, nodes: int) -> Problem:
    """The known recipes and those of a further pool."""
    fleet = replace(changed.fleet, pools=(replace(pool, nodes=nodes),))
    names = tuple(w.name for w in changed.workloads if w.name != o.first.name)
    more = posed(replace(changed, fleet=fleet), names)
    known = o.problem
    have = {r.workload for r in known.recipes if r.holds}
    fresh = tuple(r for r in more.recipes if r.holds or r.workload not in have)
    return replace(
        known, recipes=(*known.recipes, *fresh), units={**known.units, **more.units},
        per_chip={**known.per_chip, **more.per_chip},
    )  # fmt: skip


# What replaces what


def _replacements(o: Outlooks, kinds: Sequence[str]) -> Iterator[Replacement]:
    """Each export chip against each domestic one, owned or asked about."""
    s = o.scenario
    export = [p for p in s.fleet.pools if p.chip.vendor not in DOMESTIC and p.chip.kind != "cpu"]
    domestic = [(p, True) for p in s.fleet.pools if p.chip.vendor in DOMESTIC]
    owned = {p.chip.name for p, _ in domestic}
    domestic += [
        (Pool(c.name.casefold(), c, 64, max(8, min(c.scale_up_chips, 16)), c.scale_out), False)
        for c in _kinds(kinds)
        if c.name not in owned and c.vendor in DOMESTIC
    ]
    rates = {p.name: _rates(o, p) for p in [*export, *(p for p, _ in domestic)]}
    for a in export:
        for b, mine in domestic:
            (train_a, serve_a, span_a), (train_b, serve_b, span_b) = rates[a.name], rates[b.name]
            yield Replacement(
                a.chip.name, b.chip.name, mine,
                {g: _ratio(train_a[g], train_b[g], span_a[True], span_b[True]) for g in train_a},
                {w: _ratio(serve_a.get(w, 0.0), serve_b.get(w, 0.0), span_a[False], span_b[False])
                 for w in dict.fromkeys([*serve_a, *serve_b])},
            )  # fmt: skip


def _ratio(
    a: float, b: float, span_a: tuple[float, float], span_b: tuple[float, float]
) -> tuple[float, float, float] | None:
    """Chips of b for one of a, with its 80% interval; rates stand on the slow side of theirs."""
    if a <= 0 or b <= 0:
        return None
    middle = a * span_a[1] / (b * span_b[1]) / (np.sqrt(span_a[0] * span_a[1]) / np.sqrt(span_b[0] * span_b[1]))
    wide = float(np.exp(np.hypot(np.log(span_a[1] / span_a[0]) / 2, np.log(span_b[1] / span_b[0]) / 2)))
    return round(float(middle), 2), round(float(middle / wide), 2), round(float(middle * wide), 2)


def _rates(o: Outlooks, pool: Pool) -> tuple[dict[str, float], dict[str, float], dict[bool, tuple[float, float]]]:
    """What one chip of a pool trains of two generations (tokens/s), serves (requests/s), and the intervals."""
    big = replace(pool, nodes=max(pool.nodes, 64))
    alone = replace(o.scenario.fleet, pools=(big,), links=())
    most = {pool.name: big.chips}
    training = {}
    for number in (1, 2):
        g = generation(number, replace(o.first, pools=None), alone, most, o.moves.compute_growth, o.moves.model_growth,
                       {pool.name: o.any_restarts}, o.known)  # fmt: skip
        training[g.name] = float(g.teams[0].speed[0]) if g.teams else 0.0
    others = tuple(w.name for w in o.scenario.workloads if isinstance(w, Serve | Batch))
    problem = posed(replace(o.scenario, fleet=alone), others)
    serving: dict[str, float] = {}
    for a in answers(problem, late=False):
        asked = next(w for w in problem.workloads if w.name == a.workload)
        if a.model == asked.model:
            serving[a.workload] = max(serving.get(a.workload, 0.0), a.rate.get(pool.name, 0.0))
    known = intervals(replace(o.scenario, fleet=alone), o.first)
    return training, serving, {t: known[pool.chip.name, t] for t in (True, False)}

"""Why a plan is as it is: what binds, what each chip gives up, what the next best would have cost.

The scenario that a plan carries is posed again and its relaxation solved; its reduced costs say what every recipe that
is not in the plan would cost the objective. `rules` adds what rules of thumb would have given. It changes no plan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import copysign
from typing import Any

from eke import units
from eke.cost import Basis
from eke.errors import UnknownName
from eke.plan import advantage, rules
from eke.plan.advantage import Worth
from eke.plan.interval import Estimate, Span, based, percent, told
from eke.plan.marginal import Marginal
from eke.plan.options import Option, Priced
from eke.plan.plan import Kept, Placement, Plan
from eke.plan.scenario import LESS, Batch, Serve, Train, Workload
from eke.plan.show import amount, counted

FORMAT = "eke.explain/1"
TIGHT = 0.93
"""Share of a latency promise from which it is said to bind."""
NOTABLE = 1e-3
"""A price this share of another is next to nothing."""
NEAR = 0.02
"""A share or a deadline binds this near to its limit."""


@dataclass(frozen=True, slots=True)
class Binds:
    """What keeps a plan from being better: a full pool, a tight promise; with the price it has in the plan."""

    what: str
    kind: str
    how: str
    price: float
    unit: str
    basis: str | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Span]


@dataclass(frozen=True, slots=True)
class Ruled:
    """What a rule of thumb gives.

    Attributes:
        loses: of the plan's objective. alone, loses_alone: with each job in one pool, as is usual.
        basis: of the least known speed these rest on. rests_on: share of what speeds move in `loses`, by basis.
        interval: of each, 80% by the cost model, the plan and the rule's made anew at other speeds.
    """

    rule: str
    says: str
    value: float | None
    loses: float | None
    alone: float | None
    loses_alone: float | None
    unmet: tuple[str, ...]
    basis: Basis | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Span]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a plan is as it is. `says`: in sentences; the rest as rows."""

    scenario: str
    what: str
    says: tuple[str, ...]
    worths: tuple[Worth, ...]
    options: tuple[Option, ...]
    binds: tuple[Binds, ...]
    rules: tuple[Ruled, ...]
    base: str
    unit: str
    value: float | None

    def to_dict(self) -> dict[str, Any]:
        """What `eke explain -o json` prints."""
        return {"format": FORMAT, **asdict(self)}

    def chart(self) -> Any:
        """Comparative advantage as an Altair chart (extra `charts`)."""
        return advantage.chart(list(self.worths), self.base)


def why(plan: Plan, what: str | None = None, *, rules: bool = True) -> Explanation:
    """Why a plan is as it is: all of it (with `rules`, beside rules of thumb), or one workload or pool. Of one that
    places nothing, why nothing holds.

    Raises:
        InputError: the plan does not say what it was made from.
        UnknownName: nothing in it is called `what`.
    """
    if not plan.placements and plan.infeasible_because:
        o = plan.objective
        return Explanation(plan.scenario, "", tuple(_broken(plan)), (), (), (), (), "", o.unit, o.value)
    explainer = Explainer(plan)
    return explainer.of(what) if what else explainer.all(ruled=rules)


class Explainer:
    """A plan with its scenario posed and priced again, to be asked about as often as one likes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.priced = Priced(plan)
        self.problem = self.priced.problem

    def all(self, *, ruled: bool = True) -> Explanation:
        """The whole plan; with `ruled`, beside what rules of thumb give (seconds)."""
        beside = tuple(self.rules()) if ruled and self.plan.feasible else ()
        options = [o for w in self.problem.workloads if not isinstance(w, Train) for o in self.priced.options(w)]
        return self._explanation("", [*_broken(self.plan), *self._in_all(), *_ruled_words(beside)], options, beside)

    def of(self, what: str) -> Explanation:
        """One workload or one pool.

        Raises:
            UnknownName: neither is called so.
        """
        workloads, pools = {w.name: w for w in self.problem.workloads}, {p.name for p in self.plan.pools}
        if what in workloads:
            w = workloads[what]
            options = self.priced.options(w)
            return self._explanation(what, self._of_workload(w, options), options, ())
        if what in pools:
            options = [o for w in self.problem.workloads for o in self.priced.options(w) if o.pool == what]
            return self._explanation(what, self._of_pool(what), options, ())
        raise UnknownName("workload or pool of this plan", what, [*workloads, *pools])

    def _explanation(self, what: str, says: list[str], options: list[Option], beside: tuple[Ruled, ...]) -> Explanation:
        rows = self._worths()
        shown = tuple(r for r in rows if what in ("", r.workload, r.pool))
        binds = tuple(b for b in self.binds() if what in ("", b.what)) if self.plan.placements else ()
        return Explanation(
            self.plan.scenario, what, tuple(says), shown, tuple(options), binds, beside,
            advantage.base(self.problem), self.plan.objective.unit,
            self.plan.objective.value,
        )  # fmt: skip

    def _worths(self) -> list[Worth]:
        return advantage.worths(self.plan, self.problem, self.priced.speeds)

    # What binds

    def binds(self) -> list[Binds]:
        """Pools that are full and promises that are tight."""
        found = []
        for p in self.plan.pools:
            room, used = self.problem.units[p.name] / self.problem.per_chip[p.name], max(p.used_chips, default=0.0)
            full = sum(u >= room - 1e-9 for u in p.used_chips)
            if p.price > 0 or full:
                how = (
                    f"all {room:,.4g} chips that can be planned on are used in {full} of {self.plan.slots} slots"
                    if full
                    else f"{used:,.4g} of {room:,.4g} chips at its fullest; only the relaxation uses the rest"
                )
                known = (p.basis, p.rests_on, {"price": p.interval["price"]} if p.interval else {})
                found.append(Binds(p.name, "pool", how, p.price, p.price_unit, *known))
        for w, kept in zip(self.problem.workloads, self.plan.workloads, strict=True):
            if how := self._tight(w, kept):
                span = kept.interval.get("price_per_million_tokens")
                known = (kept.basis, kept.rests_on, {"price": span} if span else {})
                found.append(Binds(w.name, w.kind, how, kept.price_per_million_tokens, kept.price_unit, *known))
        return found

    def _tight(self, w: Workload, kept: Kept) -> str:
        mine = self.priced.placed(w.name)
        if isinstance(w, Train):
            if kept.days and w.deadline_s and kept.days * 86400 > w.deadline_s * (1 - NEAR):
                return f"its deadline of {units.show_seconds(w.deadline_s)}"
            return ""
        if isinstance(w, Batch):
            return f"{units.show_count(w.tokens_per_day)} tokens a day"
        said = _latency(w, mine)
        for a in w.alternatives:
            shares = [sum(p.share for p in mine if p.model == a.model and p.slot == t) for t in range(self.plan.slots)]
            at = sum(s > a.share - NEAR for s in shares)
            if at:
                said.append(f"{a.model} answers all of its {units.show_fraction(a.share)} in {at} slots")
        return "; ".join(said)

    def rules(self) -> list[Ruled]:
        """What rules of thumb give, the best first; each also with every job in one pool."""
        plan, found, speeds = self.plan, [], self.priced.speeds
        mine, sign = _reached(plan, self.priced.marginal), self.priced.goal.sign
        for rule in rules.RULES:
            both = [
                rules.moving(rule, self.priced.scenario, self.problem, speeds, across=across)
                for across in (True, False)
            ]
            gives = [_reached(*made) if made[0].feasible else None for made in both]
            loses = [(mine - e) / mine * copysign(sign, mine.value) if e and mine.value else None for e in gives]
            unmet = tuple(w.name for w in both[0][0].workloads if not w.met)
            names = ("value", "alone", "loses", "loses_alone")
            numbers = dict(zip(names, (*gives, *loses), strict=True))
            sure = speeds.sure(numbers)
            value = {name: None if e is None else e.value for name, e in numbers.items()}
            rests_on = speeds.rests_on(*(e for e in loses if e))
            found.append(
                Ruled(
                    rule.name, rule.says, value["value"], value["loses"], value["alone"], value["loses_alone"], unmet,
                    sure.basis, rests_on, sure.interval,
                )
            )  # fmt: skip
        return sorted(found, key=lambda r: (r.loses is None, r.loses or 0.0))

    # In words

    def _in_all(self) -> list[str]:
        plan = self.plan
        lines = []
        dear = sorted((p for p in plan.pools if p.price > 0), key=lambda p: -p.price)
        if dear and plan.objective.name not in LESS:
            first, rest = dear[0], [p for p in dear[1:] if p.price > NOTABLE * dear[0].price]
            beside = ", ".join(f"{p.name} {self._beside(p.name, first.name)}" for p in rest)
            adds = amount(first.price, plan.objective.unit, 3, first.interval.get("price"))
            known = based(first.basis, first.rests_on)
            lines.append(
                f"One more {first.chip} in {first.name} would add {adds}{f' ({known})' if known else ''}"
                + (f"; of that, one more in {beside}" if beside else "; a chip of any other pool next to nothing")
                + "."
            )
        rows = self._worths()
        idle = {p.name for p in plan.pools if self._has_no_better_work(p.name)}
        for name in (w.name for w in self.problem.workloads if isinstance(w, Serve)):
            able = sorted(
                (r for r in rows if r.workload == name and r.gives_up is not None), key=lambda r: r.gives_up or 0.0
            )
            if any(r.chips for r in able) and len(able) > 1:
                lines.append(f"{name} {_place(able, idle, advantage.base(self.problem))}.")
        return [*lines, *plan.notes]

    def _beside(self, pool: str, other: str) -> str:
        """A pool's price beside another's, in per cent."""
        part = self.priced.marginal.pool(pool), self.priced.marginal.pool(other)
        if not part[1].value:
            return units.show_fraction(0.0)
        ratio = part[0] / part[1]
        return percent(ratio.value, self.priced.speeds.interval(ratio))

    def _of_workload(self, w: Workload, options: list[Option]) -> list[str]:
        kept = next(k for k in self.plan.workloads if k.name == w.name)
        lines = [f"{w.name} is {_work(w)}; {'its promise is kept' if kept.met else 'its promise is NOT kept'}."]
        used = [o for o in options if o.planned]
        if used:
            stands = ", ".join(f"{o.planned:,.4g} of {o.pool}" for o in sorted(used, key=lambda o: -o.planned))
            lines.append(f"At its fullest it stands on {stands} chips.")
        else:
            lines.append("The plan gives it no chips.")
        rows = [r for r in self._worths() if r.workload == w.name and r.rate > 0]
        base = advantage.base(self.problem)
        if w.name == base or not isinstance(w, Serve | Batch):
            ranked = sorted(rows, key=lambda r: -r.rate)
            says = ", ".join(f"{r.pool} {counted(r.rate, r.interval['rate'])}" for r in ranked)
            lines.append(f"A chip gives, in {'tokens/s' if isinstance(w, Train) else 'requests/s'}: {says}.")
        else:
            ranked = sorted((r for r in rows if r.gives_up is not None), key=lambda r: r.gives_up or 0.0)
            says = ", ".join(f"{r.pool} {counted(r.gives_up or 0.0, r.interval['gives_up'])}" for r in ranked)
            unit = (
                "tokens/s" if base in {t.name for t in self.problem.workloads if isinstance(t, Train)} else "requests/s"
            )
            lines.append(f"A request/s of it gives up so much of {base}, in {unit}: {says}.")
            lines += self._why_elsewhere(ranked[0].pool, [o.pool for o in used]) if ranked else []
        if isinstance(w, Serve) and w.survives and kept.met:
            many = "any node" if w.survives == 1 else f"any {w.survives} nodes"
            peak = max(range(self.plan.slots), key=lambda t: (kept.demand_rps or (0.0,))[t])
            capacity = sum(p.capacity["requests_per_s"] for p in self.priced.placed(w.name) if p.slot == peak)
            lines.append(
                f"It holds with {many} down, whichever: at its peak {capacity:,.4g} requests/s stand for "
                f"{max(w.traffic.rates):,.4g}."
            )
        if kept.starts_per_day:
            hours, longest = kept.start_chip_hours or 0.0, units.show_seconds(kept.start_s or 0.0)
            when = "ahead of the slot that needs it" if isinstance(w, Serve) else "of its own time"
            lines.append(
                f"{kept.starts_per_day} of its replicas start a day, each up to {longest} {when}: {hours:,.3g} "
                "chip-hours a day."
            )
        if how := self._tight(w, kept):
            lines.append(f"What binds: {how}.")
        lines += self._runner_up(w, options)
        lines += [f"Not on {o.pool}: {o.why_not}." for o in options if o.why_not]
        return lines

    def _why_elsewhere(self, least: str, used: Sequence[str]) -> list[str]:
        """Why a workload does not stand where it gives up least."""
        if least in used or not used:
            return []
        free = [p for p in used if self._has_no_better_work(p)]
        if free:
            return [f"It is not on {least} all the same: chips of {', '.join(free)} train nothing in this plan."]
        return [f"It is not on {least} all the same: there its replicas would not fill whole gangs and hours as well."]

    def _has_no_better_work(self, pool: str) -> bool:
        """Whether no chip of a pool trains, or one more is worth next to nothing."""
        price = {p.name: p.price for p in self.plan.pools}
        trains = any(p.pool == pool and p.kind == "train" for p in self.plan.placements)
        return not trains or price[pool] <= NOTABLE * max(price.values())

    def _runner_up(self, w: Workload, options: list[Option]) -> list[str]:
        free = [o for o in options if not o.planned and not o.why_not]
        if isinstance(w, Train):
            return [
                f"In {o.pool} alone it would train at {counted(o.tokens_per_s or 0.0, o.interval['tokens_per_s'])} "
                f"tokens/s "
                f"on {o.chips:,.4g} chips."
                for o in options[:1]
                if o.tokens_per_s and len({p.pool for p in self.priced.placed(w.name)}) > 1
            ]
        if not free or free[0].loses is None:
            return []
        o = free[0]
        cost = self._cost(o)
        return [f"The runner-up is {o.pool} with {o.model} in {o.variant} ({o.recipe}): all of it there would take "
                f"{told(o.chips, o.interval['chips'])} chips and cost {cost}."]  # fmt: skip

    def _cost(self, o: Option) -> str:
        """What an option loses, in words."""
        value, scale = o.loses or 0.0, abs(self.plan.objective.value or 0.0)
        if value > 1e-5 * scale:
            many = told(o.loses_chips or 0.0, o.interval.get("loses_chips"), 2)
            chips = f", what {many} chips of {self._dearest()} give" if o.loses_chips else ""
            known = based(o.basis, o.rests_on)
            lost = amount(value, self.plan.objective.unit, 3, o.interval["loses"])
            return f"{lost}: {units.show_fraction(value / scale)} of all{chips} ({known})"
        if o.spares >= 0.05:
            return f"nothing of the objective, but chips worth {o.spares:,.3g} of the strongest"
        return "nothing: it is as good"

    def _dearest(self) -> str:
        return max(self.plan.pools, key=lambda p: p.price).name

    def _of_pool(self, pool: str) -> list[str]:
        p = next(p for p in self.plan.pools if p.name == pool)
        room = self.problem.units[pool] / self.problem.per_chip[pool]
        lines = [f"{pool} is {p.chips:,.4g} {p.chip}, {room:,.4g} of which can be planned on."]
        by: dict[str, list[float]] = {}
        for q in self.plan.placements:
            if q.pool == pool:
                by.setdefault(q.workload, [0.0] * self.plan.slots)[q.slot] += q.chips
        if by:
            ranked = sorted(by.items(), key=lambda item: -sum(item[1]))
            says = ", ".join(f"{n} ({sum(v) / self.plan.slots:,.4g} chips in the mean)" for n, v in ranked)
            lines.append(f"It does {says}.")
        else:
            lines.append("It does nothing in this plan.")
        price = amount(p.price, p.price_unit.removesuffix(" per chip"), 3, p.interval.get("price"))
        more = f"one more chip would be worth {price} ({based(p.basis, p.rests_on)})"
        idle = room - max(p.used_chips, default=0.0)
        lines.append(
            f"{more[0].upper()}{more[1:]}."
            if p.price > 1e-9
            else f"{idle:,.4g} chips stay idle; one more is worth nothing."
        )
        for w in self.problem.workloads:
            if w.name in by or isinstance(w, Train):
                continue
            mine = next(o for o in self.priced.options(w) if o.pool == pool)
            if mine.why_not:
                lines.append(f"Not {w.name}: {mine.why_not}.")
            elif mine.loses is not None:
                lines.append(
                    f"Not {w.name}: all of it here would take {told(mine.chips, mine.interval['chips'])} chips and "
                    f"cost {self._cost(mine)}."
                )
        return lines


def _broken(plan: Plan) -> list[str]:
    """Why not all promises can be kept, and what would make them hold."""
    if plan.feasible:
        return []
    lines = ["No plan on this stock keeps all promises."]
    for c in plan.infeasible_because:
        alone = f" With one of these it would: {'; '.join(c.repairs)}." if c.repairs else ""
        lines.append(f"{', '.join(c.demands)}: {c.reason}.{alone}")
    lines += [f"Everything holds with all of these: {'; '.join(changes)}." for changes in plan.together]
    if plan.placements:
        lines.append("What follows is of the best that can be reached all the same, by priority (--best-effort).")
    return lines


def _latency(w: Serve, placed: Sequence[Placement]) -> list[str]:
    """Which part of the latency promise binds, recipe by recipe in words."""
    at: dict[str, set[str]] = {}
    for p in placed:
        which = [
            name
            for name, reached, promised in (
                (f"time to first token ({units.show_seconds(w.slo.ttft_s)})", p.capacity["ttft_s"], w.slo.ttft_s),
                (f"time per token ({units.show_seconds(w.slo.tpot_s)})", p.capacity["tpot_s"], w.slo.tpot_s),
            )
            if reached >= TIGHT * promised
        ]
        for name in which or ["memory and throughput"]:
            at.setdefault(name, set()).add(p.pool)
    return [f"{name} on {', '.join(sorted(pools))}" for name, pools in at.items()]


def _work(w: Workload) -> str:
    if isinstance(w, Serve):
        return f"{max(w.traffic.rates):,.4g} requests/s of {w.model} at its peak"
    if isinstance(w, Train):
        return f"the training of {w.model} on {units.show_count(w.tokens)} tokens"
    return f"{units.show_count(w.tokens_per_day)} tokens a day through {w.model}"


def _place(able: Sequence[Worth], idle: Collection[str], base: str) -> str:
    """Where a workload mostly stands, and why there; `able` by what they give up."""
    main, least = max(able, key=lambda r: r.chips), able[0]
    where = f"stands mostly on {main.pool}"
    if main is least:
        last = able[-1]
        return f"{where}, which gives up least of {base} for it; {last.pool} would give up " + (
            f"{times(last)} times as much" if least.gives_up else "some"
        )
    if main.pool in idle:
        return (
            f"{where}, whose chips have no training to do in this plan, although {least.pool} gives up less of {base}"
        )
    return (
        f"{where}, which gives up {times(main)} times what {least.pool} would of {base}, but fits in beside the gangs"
    )


def times(of: Worth) -> str:
    """What a chip gives up beside the one that gives up least, and where that lies."""
    if not of.advantage:
        return "1"
    low, high = of.interval.get("advantage", (of.advantage, of.advantage))
    return told(1 / of.advantage, (1 / high, 1 / low if low > 0 else 1 / of.advantage), 2)


def _reached(made: Plan, marginal: Marginal) -> Estimate:
    """A plan's objective, moving with speeds as its relaxation does."""
    value = made.objective.value or 0.0
    if marginal.reached is None or not marginal.reached.value:
        return Estimate(value)
    return marginal.reached * (value / marginal.reached.value)


def _ruled_words(beside: Sequence[Ruled]) -> list[str]:
    kept = [r for r in beside if r.loses is not None]
    if not kept:
        return ["No rule of thumb keeps all promises."] if beside else []
    first = kept[0]
    assert first.loses is not None
    lost = percent(max(first.loses, 0.0), first.interval["loses"])
    line = f'The best rule of thumb here, "{first.rule}", loses {lost} of the objective'
    if first.loses_alone is not None and first.loses_alone > first.loses + 5e-4:
        line += f"; with each job in one pool, as is usual, {percent(first.loses_alone, first.interval['loses_alone'])}"
    return [f"{line} ({based(first.basis, first.rests_on)})."]

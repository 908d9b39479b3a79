"""Curves of what can be had against what: training against room for more requests, chips against latency.

A point is a plan of the same stock with one thing scaled. For `headroom` all requests grow together and recipes are
asked for once; for `latency` all latency promises are scaled, and chips are those that serving and batch work need.
Each point has a bound of its own, so that the curve is known to within the gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from eke.cost import Basis
from eke.errors import InputError
from eke.plan import branches, planner, program
from eke.plan.interval import Span, Speeds, based, told, weakest
from eke.plan.marginal import Marginal, as_in, stands
from eke.plan.program import Problem
from eke.plan.scenario import Scenario, Serve, Train
from eke.plan.show import amount
from eke.plan.solve import Relaxation

FORMAT = "eke.pareto/1"
Kind = Literal["headroom", "latency"]

POINTS = 6
"""On the curve between what is asked today and what is possible."""
LATENCIES = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
"""Scales of the promised latencies."""
LEAST, MOST = 0.5, 1024.0
"""Scales of requests that are tried."""
SURE = (
    "In brackets: where a number lies in 80% of cases, the speed of each kind of chip varying by itself in the cost "
    "model's interval, with the point planned anew at such speeds; the number stands on the slow side of them. Basis: "
    "of the speeds that move it, by their part in it."
)
SECONDS, GAP = 1.5, 5e-3
"""CPU seconds and gap of one point."""
STEPS = 12
"""Halvings to find how far requests can grow."""


@dataclass(frozen=True, slots=True)
class Point:
    """One plan. `value` and `bound` are None where nothing holds.

    Attributes:
        basis, rests_on, interval: of `value`, as of a plan's objective.
    """

    scale: float
    value: float | None
    bound: float | None
    basis: Basis | None = None
    rests_on: Mapping[str, float] = field(default_factory=dict)
    interval: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Curve:
    """What is scaled, what is reached, and the points from low to high."""

    scenario: str
    kind: Kind
    scaled: str
    reached: str
    unit: str
    points: tuple[Point, ...]

    def to_dict(self) -> dict[str, Any]:
        """What `eke plan --pareto -o json` prints."""
        return {"format": FORMAT, **asdict(self)}

    def rows(self) -> list[dict[str, Any]]:
        """Points as plain columns."""
        return [
            {"scale": p.scale, "value": p.value, "value_low": low, "value_high": high, "bound": p.bound,
             "basis": p.basis}
            for p in self.points for low, high in [p.interval.get("value", (None, None))]
        ]  # fmt: skip

    def table(self) -> list[dict[str, Any]]:
        """A row a point, for people, with a bar."""
        from eke.plan.show_why import bar

        top = max((p.value or 0.0 for p in self.points), default=0.0) or 1.0
        unit = "" if self.unit.startswith(self.reached) else self.unit.split(" of ")[0]
        return [
            {
                self.scaled: f"x {p.scale:.3g}",
                self.reached: (
                    "does not hold" if p.value is None else amount(p.value, unit, 4, p.interval.get("value"))
                ),
                "": bar((p.value or 0.0) / top),
                "bound": "" if p.bound is None else amount(p.bound, unit, 4),
                "basis": based(p.basis, p.rests_on),
            }
            for p in self.points
        ]  # fmt: skip

    def rests_on(self) -> dict[str, float]:
        """Share of what speeds move in the points, by how well they are known; each point counts alike."""
        some = [p.rests_on for p in self.points if p.rests_on]
        return {b: sum(r.get(b, 0.0) for r in some) / len(some) for b in dict.fromkeys(b for r in some for b in r)}

    def chart(self) -> Any:
        """The curve as an Altair chart (extra `charts`)."""
        from eke import charts

        alt = charts.altair_module()
        title = self.unit if self.unit.startswith(self.reached) else f"{self.reached} ({self.unit})"
        values = [row for row in self.rows() if row["value"] is not None]
        base = alt.Chart(alt.Data(values=values)).encode(
            x=alt.X("scale:Q", title=f"{self.scaled}, times what the scenario says", scale=alt.Scale(zero=False))
        )
        line = base.mark_line(color=charts.TRAIN, point={"color": charts.TRAIN, "size": 55}).encode(
            y=alt.Y("value:Q", title=title),
            tooltip=[alt.Tooltip("scale:Q", format=".3g"),
                     *(alt.Tooltip(f"{n}:Q", format=",.4g") for n in ("value", "value_low", "value_high")), "basis:N"],
        )  # fmt: skip
        sure = base.mark_area(color=charts.TRAIN, opacity=0.18).encode(
            y=alt.Y("value_low:Q", title=title), y2="value_high:Q"
        )
        bound = base.mark_line(color=charts.SOFT, strokeDash=[3, 3], strokeWidth=1).encode(y="bound:Q")
        today = alt.Chart(alt.Data(values=[{"scale": 1.0}])).mark_rule(color=charts.SERVE).encode(x="scale:Q")
        known = based(weakest(*(p.basis for p in self.points)), self.rests_on())
        said = f"{self.scenario}; shaded: 80% of cases ({known}); dashed: the bound; upright: as the scenario is"
        drawn = (sure + bound + line + today).properties(width=520, height=300)
        return charts.styled(drawn, f"{self.reached[0].upper()}{self.reached[1:]} against {self.scaled}", said)


def curve(scenario: Scenario, kind: Kind, progress: Callable[[str], None] | None = None) -> Curve:
    """The curve of a scenario.

    Raises:
        InputError: nothing is served, so that there is nothing to scale.
    """
    if not any(isinstance(w, Serve) for w in scenario.workloads):
        raise InputError("there is no curve without a serve workload", remedy="add one, or eke plan without --pareto")
    scenario = planner.ready(scenario)
    return (_headroom if kind == "headroom" else _latency)(scenario, progress or (lambda _: None))


def _headroom(scenario: Scenario, say: Callable[[str], None]) -> Curve:
    """Requests of all serve workloads scaled together."""
    say("asking the cost model for recipes")
    problem = planner.pose(scenario)
    problem = replace(problem, recipes=tuple(r for r in problem.recipes if r.holds))
    say("looking for how far requests can grow")
    most = _furthest(problem)
    if most <= LEAST:
        scales = [LEAST * f for f in (0.25, 0.5, 0.75, 1.0)]
    else:
        scales = [LEAST, *np.linspace(1.0, most, POINTS - 1).tolist()] if most > 1 else [LEAST, most]
    points, speeds = [], Speeds.of(scenario)
    for i, scale in enumerate(sorted({round(s, 4) for s in scales})):
        say(f"point {i + 1} of {len(scales)}: requests x {scale:.3g}")
        points.append(_solved(_scaled(problem, scale), scale, speeds))
    goal = planner.aim(program.build(problem))
    reached = {"train-progress": "training", "fewest-chips": "chips", "least-energy": "power", "value": "value"}[
        goal.name
    ]
    return Curve(scenario.name, "headroom", "requests", reached, goal.unit, tuple(points))


def _latency(scenario: Scenario, say: Callable[[str], None]) -> Curve:
    """Latency promises of all serve workloads scaled together; chips that serving and batch work need."""
    points, speeds = [], Speeds.of(scenario)
    for i, scale in enumerate(LATENCIES):
        say(f"point {i + 1} of {len(LATENCIES)}: latency x {scale:g}")
        served = tuple(
            replace(w, slo=replace(w.slo, ttft_s=w.slo.ttft_s * scale, tpot_s=w.slo.tpot_s * scale))
            if isinstance(w, Serve) else w
            for w in scenario.workloads if not isinstance(w, Train)
        )  # fmt: skip
        problem = planner.pose(replace(scenario, workloads=served, objective="fewest-chips"))
        points.append(_solved(replace(problem, recipes=tuple(r for r in problem.recipes if r.holds)), scale, speeds))
    return Curve(scenario.name, "latency", "latency promised", "chips", "chips", tuple(points))


def _scaled(problem: Problem, scale: float) -> Problem:
    return replace(problem, demand={name: rates * scale for name, rates in problem.demand.items()})


def _furthest(problem: Problem) -> float:
    """The largest scale at which promises may still hold: the relaxation's, so a little beyond what whole replicas
    reach.
    """

    def holds(scale: float) -> bool:
        built = program.build(_scaled(problem, scale))
        names = tuple(built.missing)
        return Relaxation(built, np.zeros(len(built.lower))).under(built.promised(names)).value is not None

    low = LEAST
    if not holds(low):
        return low
    high = 2 * low
    while high < MOST and holds(high):
        low, high = high, 2 * high
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low * 0.995  # whole replicas need a little room


def _solved(problem: Problem, scale: float, speeds: Speeds) -> Point:
    """The plan's objective at one point, with its bound and how sure it is."""
    if not problem.recipes:
        return Point(scale, None, None)
    built = program.build(problem)
    goal = planner.aim(built)
    bounds = built.promised(goal.promises)
    found = branches.optimise(built, goal.combined, bounds, seconds=SECONDS, gap=GAP)
    if found.x is None:
        return Point(scale, None, None)
    value = float(goal.primary @ found.x)
    chips = sum(n / problem.per_chip[p] for p, n in problem.units.items())
    bound = max(value, found.bound + goal.tie * chips)
    reached = Marginal(built, goal, speeds, as_in(built, goal.promises, stands(built, found.x))).reached
    if reached is None or not reached.value:
        return Point(scale, goal.sign * value, goal.sign * bound)
    sure = speeds.sure({"value": reached * (goal.sign * value / reached.value)})
    return Point(scale, goal.sign * value, goal.sign * bound, sure.basis, sure.rests_on, sure.interval)


def headline(of: Curve) -> str:
    """What the curve says, in a sentence."""
    held = [p for p in of.points if p.value is not None]
    if not held:
        return f"{of.scenario}: nothing holds anywhere on the curve"
    first, last = held[0], held[-1]
    if of.kind == "headroom":
        values = [amount(p.value or 0.0, of.unit, 4, p.interval.get("value")) for p in (first, last)]
        ends = ", ".join(f"{v} at x {p.scale:.3g}" for v, p in zip(values, (first, last), strict=True))
        return f"{of.scenario}: requests can grow to x {last.scale:.3g}; {of.reached}: {ends}"
    return (
        f"{of.scenario}: {told(first.value or 0.0, first.interval.get('value'))} chips at x {first.scale:g} of the "
        f"promised latencies, {told(last.value or 0.0, last.interval.get('value'))} at x {last.scale:g}"
    )

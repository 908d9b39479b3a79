"""Curves of what can be had against what: training against room for more requests, chips against latency.

A point is a plan of the same stock with one thing scaled. For `headroom` all requests grow together and recipes are
asked for once; for `latency` all latency promises are scaled, and chips are those that serving and batch work need.
Each point has a bound of its own, so that the curve is known to within the gap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from eke.errors import InputError
from eke.plan import branches, planner, program
from eke.plan.program import Problem
from eke.plan.scenario import Scenario, Serve, Train
from eke.plan.show import amount, number
from eke.plan.solve import Relaxation

FORMAT = "eke.pareto/1"
Kind = Literal["headroom", "latency"]

POINTS = 6
"""On the curve between what is asked today and what is possible."""
LATENCIES = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
"""Scales of the promised latencies."""
LEAST, MOST = 0.5, 1024.0
"""Scales of requests that are tried."""
SECONDS, GAP = 1.5, 5e-3
"""CPU seconds and gap of one point."""
STEPS = 12
"""Halvings to find how far requests can grow."""


@dataclass(frozen=True, slots=True)
class Point:
    """One plan. `value` and `bound` are None where nothing holds."""

    scale: float
    value: float | None
    bound: float | None


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
        return [asdict(p) for p in self.points]

    def table(self) -> list[dict[str, Any]]:
        """A row a point, for people, with a bar."""
        from eke.plan.show_why import bar

        top = max((p.value or 0.0 for p in self.points), default=0.0) or 1.0
        return [
            {
                self.scaled: f"x {p.scale:.3g}",
                self.reached: "does not hold" if p.value is None else amount(p.value, self.unit.split(" of ")[0], 4),
                "bound": "" if p.bound is None else amount(p.bound, self.unit.split(" of ")[0], 4),
                "": bar((p.value or 0.0) / top),
            }
            for p in self.points
        ]

    def chart(self) -> Any:
        """The curve as an Altair chart (extra `charts`)."""
        from eke import charts

        alt = charts.altair_module()
        values = [{"scale": p.scale, "value": p.value, "bound": p.bound} for p in self.points if p.value is not None]
        base = alt.Chart(alt.Data(values=values)).encode(
            x=alt.X("scale:Q", title=f"{self.scaled}, times what the scenario says", scale=alt.Scale(zero=False))
        )
        line = base.mark_line(color=charts.TRAIN, point={"color": charts.TRAIN, "size": 55}).encode(
            y=alt.Y("value:Q", title=f"{self.reached} ({self.unit})"),
            tooltip=[alt.Tooltip("scale:Q", format=".3g"), alt.Tooltip("value:Q", format=",.4g")],
        )
        bound = base.mark_line(color=charts.SOFT, strokeDash=[3, 3], strokeWidth=1).encode(y="bound:Q")
        today = alt.Chart(alt.Data(values=[{"scale": 1.0}])).mark_rule(color=charts.SERVE).encode(x="scale:Q")
        said = f"{self.scenario}; dashed: the bound; the upright line: the scenario as it is"
        drawn = (bound + line + today).properties(width=520, height=300)
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
    points = []
    for i, scale in enumerate(sorted({round(s, 4) for s in scales})):
        say(f"point {i + 1} of {len(scales)}: requests x {scale:.3g}")
        points.append(_solved(_scaled(problem, scale), scale))
    goal = planner.aim(program.build(problem))
    reached = {"train-progress": "training", "fewest-chips": "chips", "least-energy": "power", "value": "value"}[
        goal.name
    ]
    return Curve(scenario.name, "headroom", "requests", reached, goal.unit, tuple(points))


def _latency(scenario: Scenario, say: Callable[[str], None]) -> Curve:
    """Latency promises of all serve workloads scaled together; chips that serving and batch work need."""
    points = []
    for i, scale in enumerate(LATENCIES):
        say(f"point {i + 1} of {len(LATENCIES)}: latency x {scale:g}")
        served = tuple(
            replace(w, slo=replace(w.slo, ttft_s=w.slo.ttft_s * scale, tpot_s=w.slo.tpot_s * scale))
            if isinstance(w, Serve) else w
            for w in scenario.workloads if not isinstance(w, Train)
        )  # fmt: skip
        problem = planner.pose(replace(scenario, workloads=served, objective="fewest-chips"))
        points.append(_solved(replace(problem, recipes=tuple(r for r in problem.recipes if r.holds)), scale))
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


def _solved(problem: Problem, scale: float) -> Point:
    """The plan's objective at one point, with its bound."""
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
    return Point(scale, goal.sign * value, goal.sign * bound)


def headline(of: Curve) -> str:
    """What the curve says, in a sentence."""
    held = [p for p in of.points if p.value is not None]
    if not held:
        return f"{of.scenario}: nothing holds anywhere on the curve"
    first, last = held[0], held[-1]
    if of.kind == "headroom":
        ends = [f"{amount(p.value or 0.0, of.unit, 4)} at x {p.scale:.3g}" for p in (first, last)]
        return f"{of.scenario}: requests can grow to x {last.scale:.3g}; {of.reached}: {ends[0]}, {ends[1]}"
    return (
        f"{of.scenario}: {number(first.value or 0.0)} chips at x {first.scale:g} of the promised latencies, "
        f"{number(last.value or 0.0)} at x {last.scale:g}"
    )

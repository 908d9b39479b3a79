"""Do prices lie in their intervals? Speeds drawn as the cost model has them, everything asked anew.

    python benchmarks/price_intervals.py ../shared/scenarios/two-generations.yaml --draws 100 --json intervals.json

Each draw moves the speed of every kind of chip, serving and training apart, by its own log-normal factor; the plan's
jobs stay where they stand. Told: the share of draws in which the objective and each price lies in the interval that
`eke plan` tells, and where 80% of the draws lie.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from eke.plan import load, make, planner, program
from eke.plan.interval import Z80, Estimate, Speed, Speeds, across, told
from eke.plan.marginal import Marginal, Stands, as_in
from eke.plan.options import Priced
from eke.plan.program import Problem


def main() -> None:
    """Draw, ask, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", type=Path)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = measure(asked.scenario, asked.draws, asked.seed)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("number", "told", "80% of draws", "inside"):
        table.add_column(name)
    for row in found:
        value = told(row["value"], tuple(row["interval"]))
        table.add_row(row["number"], value, across(tuple(row["drawn"])), f"{row['inside']:.0%}")
    Console().print(table)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(path: Path, draws: int, seed: int) -> list[dict[str, Any]]:
    """A row for the objective and each price that is one."""
    priced = Priced(make(load(path)))
    problem, speeds, where = priced.problem, priced.speeds, priced.where
    problem = replace(problem, recipes=tuple(r for r in problem.recipes if r.holds))

    def ask(times: dict[Speed, float]) -> dict[str, Estimate]:
        recipes = (replace(r, rate=r.rate * times.get((r.pool, r.kind == "train"), 1.0)) for r in problem.recipes)
        return prices(replace(problem, recipes=tuple(recipes)), speeds, where)

    now = {name: e for name, e in ask({}).items() if e.value}
    rng = np.random.default_rng(seed)
    drawn: list[dict[str, float]] = []
    for _ in range(draws):
        by_chip = {k: exp(d * (Z80 + rng.standard_normal())) for k, d in speeds.deviations.items()}
        chips = speeds.chips.items()
        times = {(pool, trains): by_chip[chip, trains] for pool, chip in chips for trains in (False, True)}
        drawn.append({name: e.value for name, e in ask(times).items()})
    rows = []
    for name, e in now.items():
        values, (low, high) = np.array([d[name] for d in drawn]), speeds.interval(e)
        inside = float(((values >= low * (1 - 1e-3)) & (values <= high * (1 + 1e-3))).mean())
        ends = [float(q) for q in np.quantile(values, (0.1, 0.9))]
        rows.append({"number": name, "value": e.value, "interval": [low, high], "drawn": ends, "inside": inside})
    return rows


def prices(problem: Problem, speeds: Speeds, where: Stands) -> dict[str, Estimate]:
    """The objective, and every price."""
    built = program.build(problem)
    goal = planner.aim(built)
    found = Marginal(built, goal, speeds, as_in(built, goal.promises, where))
    return {
        "objective": found.reached or Estimate(0.0), **{f"a chip of {p}": found.pool(p) for p in problem.units},
        **{f"1M tokens of {w.name}": found.workload(w) for w in problem.workloads},
    }  # fmt: skip


if __name__ == "__main__":
    main()

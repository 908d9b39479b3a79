"""What a plan gains over rules of thumb, on the same recipes and the same cost model.

    python benchmarks/plan_quality.py [--scenario FILE …] [--json OUT]

Every scenario of `../shared/scenarios` and `examples/`, by default. The rules are those of `eke explain`
(`eke.plan.rules`): each says who serves where; training is then laid out on the rest by the planner itself, once with
jobs that may stand in several pools, once (`one pool a job`) as most systems do. `eke.plan.check` checks all.

Ceiling: what the fleet would train if nothing had to be served at all. No plan, hence no gain, is above it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import eke
from eke.plan import Plan, Scenario, check, make, planner, rules
from eke.plan.scenario import Train

HERE = Path(__file__).parents[1]


def reached(plan: Plan) -> tuple[int, float]:
    """What ranks a plan: promises broken, then the objective (more is better)."""
    sign = -1.0 if plan.objective.name == "fewest-chips" else 1.0
    return -sum(not w.met for w in plan.workloads), sign * (plan.objective.value or 0.0)


def ceiling(scenario: Scenario) -> float | None:
    """The objective with training alone; None where nothing is trained or something else is wanted."""
    jobs = tuple(w for w in scenario.workloads if isinstance(w, Train))
    if not jobs or scenario.objective != "train-progress":
        return None
    return make(replace(scenario, workloads=jobs)).objective.value


def measure(file: Path) -> dict[str, Any]:
    """Our plan of a scenario and what every rule gives."""
    scenario = planner.ready(eke.load(file))
    began = time.process_time()
    plan = make(scenario, best_effort=True)
    seconds = time.process_time() - began
    row: dict[str, Any] = {
        "scenario": scenario.name, "file": file.name, "objective": plan.objective.name, "unit": plan.objective.unit,
        "value": plan.objective.value, "bound": plan.objective.bound, "feasible": plan.feasible, "cpu_seconds": seconds,
        "broken": -reached(plan)[0], "faults": check.faults(plan, scenario), "ceiling": ceiling(scenario), "rules": [],
    }  # fmt: skip
    for across in (True, False):
        for name, other in rules.compared(scenario, across=across).items():
            row["rules"].append(
                {
                    "rule": name, "one_pool": not across, "value": other.objective.value, "feasible": other.feasible,
                    "broken": -reached(other)[0], "faults": check.faults(other, scenario), "gain": gain(plan, other),
                    "worse": reached(plan)[0] < reached(other)[0] or (
                        reached(plan)[0] == reached(other)[0] and plan.feasible
                        and reached(plan)[1] < reached(other)[1] - 1e-6 * abs(reached(other)[1])
                    ),
                }
            )  # fmt: skip
    return row


def gain(plan: Plan, other: Plan) -> float | None:
    """The plan's objective over the rule's, above 1 where the plan is better; None where one keeps fewer promises."""
    ours, theirs = plan.objective.value, other.objective.value
    if not plan.feasible or reached(plan)[0] != reached(other)[0] or not ours or not theirs:
        return None
    return theirs / ours if plan.objective.name == "fewest-chips" else ours / theirs


def show(row: dict[str, Any]) -> None:
    """One scenario as a table."""
    print(f"\n{row['scenario']} ({row['file']}): {row['objective']}, {row['unit']}")
    told = f"{row['broken']} promises broken" if row["broken"] else "all promises kept"
    print(f"  {'plan':28}{_figure(row['value']):>11}{'':8}  {told}; bound {_figure(row['bound'])}", end="")
    print(f"; no plan passes {_figure(row['ceiling'])}, nothing served" if row["ceiling"] else "")
    for rule in row["rules"]:
        name = rule["rule"] + (", one pool a job" if rule["one_pool"] else "")
        if rule["one_pool"] and any(_same(rule, other) for other in row["rules"]):
            continue
        broken = f"{rule['broken']} promises broken" if rule["broken"] else ""
        told = f"{rule['gain']:.3f} x" if rule["gain"] else "-"
        print(f"  {name:44}"[:46] + f"{_figure(rule['value']):>11}{told:>10}  {broken}{'  WORSE' * rule['worse']}")


def _same(rule: dict[str, Any], other: dict[str, Any]) -> bool:
    return rule["rule"] == other["rule"] and not other["one_pool"] and rule["value"] == other["value"]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if abs(value) < 100 else f"{value:,.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenario", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = [*(HERE.parent / "shared/scenarios").glob("*.yaml"), *(HERE / "examples").glob("*.yaml")]
    rows = []
    for file in sorted(asked.scenario or found, key=lambda f: f.name):
        rows.append(measure(file))
        show(rows[-1])
    wrong = [r["scenario"] for r in rows if r["faults"] or any(o["worse"] or o["faults"] for o in r["rules"])]
    print(f"\nworse than a rule, or wrong by the checker: {', '.join(wrong) or 'none'}")
    if asked.json:
        asked.json.write_text(json.dumps({"scenarios": rows}, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

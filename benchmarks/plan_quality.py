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
from eke.plan import Plan, Scenario, check, effort, make, planner, rules
from eke.plan.scenario import Train

HERE = Path(__file__).parents[1]
SAME = 1e-4
"""Plans that differ by no more than this share are equally good: what the solver leaves of each step."""


def worse(plan: Plan, other: Plan, scenario: Scenario) -> bool:
    """Whether the plan is worse than the other in the order that `--best-effort` plans in: workloads that run at all,
    by priority; promises, by priority; the objective. No plan is worse than one with less room for what starts.
    """
    if effort.late(other) > effort.late(plan) + SAME:
        return False
    pairs = zip(effort.rank(plan, scenario.workloads), effort.rank(other, scenario.workloads), strict=True)
    differ = next(((ours, theirs) for ours, theirs in pairs if abs(ours - theirs) > SAME * abs(theirs)), (0.0, 0.0))
    return differ[0] < differ[1]


def alike(plan: Plan, other: Plan, scenario: Scenario) -> bool:
    """Whether both run the same workloads and keep as much of their promises."""
    ours, theirs = (effort.rank(p, scenario.workloads)[:-1] for p in (plan, other))
    return all(abs(a - b) <= SAME * abs(b) for a, b in zip(ours, theirs, strict=True))


def lost(plan: Plan) -> dict[str, list[str]]:
    """Workloads that do not run at all, others whose promise is not kept, and pools without room for what starts."""
    run = {p.workload for p in plan.placements}
    broken = [w.name for w in plan.workloads if not w.met]
    late = [p.name for p in plan.pools if any(p.late_chips)]
    return {"stopped": [n for n in broken if n not in run], "broken": [n for n in broken if n in run], "late": late}


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
        **lost(plan), "faults": check.faults(plan, scenario), "ceiling": ceiling(scenario), "rules": [],
    }  # fmt: skip
    for across in (True, False):
        for name, other in rules.compared(scenario, across=across).items():
            row["rules"].append(
                {
                    "rule": name, "one_pool": not across, "value": other.objective.value, "feasible": other.feasible,
                    **lost(other), "faults": check.faults(other, scenario), "gain": gain(plan, other, scenario),
                    "worse": worse(plan, other, scenario),
                }
            )  # fmt: skip
    return row


def gain(plan: Plan, other: Plan, scenario: Scenario) -> float | None:
    """The plan's objective over the rule's, above 1 where the plan is better; None where they do not serve alike."""
    ours, theirs = plan.objective.value, other.objective.value
    if not alike(plan, other, scenario) or not ours or not theirs:
        return None
    return theirs / ours if plan.objective.name in ("fewest-chips", "least-energy") else ours / theirs


def show(row: dict[str, Any]) -> None:
    """One scenario as a table."""
    print(f"\n{row['scenario']} ({row['file']}): {row['objective']}, {row['unit']}")
    told = _lost(row) or "all promises kept"
    print(f"  {'plan':28}{_figure(row['value']):>11}{'':8}  {told}; bound {_figure(row['bound'])}", end="")
    print(f"; no plan passes {_figure(row['ceiling'])}, nothing served" if row["ceiling"] else "")
    for rule in row["rules"]:
        name = rule["rule"] + (", one pool a job" if rule["one_pool"] else "")
        if rule["one_pool"] and any(_same(rule, other) for other in row["rules"]):
            continue
        told = f"{rule['gain']:.3f} x" if rule["gain"] else "-"
        print(f"  {name:44}"[:46] + f"{_figure(rule['value']):>11}{told:>10}  {_lost(rule)}{'  WORSE' * rule['worse']}")


def _lost(row: dict[str, Any]) -> str:
    told = [f"{names}: {', '.join(row[names])}" for names in ("stopped", "broken", "late") if row[names]]
    return "; ".join(told)


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

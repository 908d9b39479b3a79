"""Scenarios for tests, small enough to plan in a moment."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import exp
from pathlib import Path

import numpy as np

from eke.plan import Plan, load, make, parse
from eke.plan.interval import Z80, Speed, Speeds
from eke.plan.program import Problem
from eke.plan.scenario import Scenario

LENGTHS = "{prompt: {p50: 1020, p90: 2735, p99: 4142}, output: {p50: 129, p90: 424, p99: 601}}"

SMALL = f"""
format: eke.scenario/1
name: small
fleet:
  pools:
    - {{name: h800, chip: H800-SXM, nodes: 8, scale_out: 400 Gb/s}}
    - {{name: l20, chip: L20, nodes: 6, scale_out: 100 Gb/s}}
workloads:
  - serve: chat
    model: Qwen3-8B
    traffic: {{rate: 40/s, profile: office-day, lengths: {LENGTHS}}}
    slo: {{ttft: 2 s, tpot: 60 ms, percentile: 95}}
  - train: next
    model: Qwen3-8B
    tokens: 100B
    sequence: 4096
    global_batch: 2M
    deadline: 90 d
    priority: 2
  - batch: clean
    model: Qwen3-8B
    tokens_per_day: 200M
    lengths: {{prompt: {{p50: 1000}}, output: {{p50: 100}}}}
objective: train-progress
slots: 4
"""

MIXED_QUALITY = f"""
format: eke.scenario/1
name: mixed-quality
fleet: {{pools: [{{name: l20, chip: L20, nodes: 12, scale_out: 100 Gb/s}}]}}
workloads:
  - serve: answers
    model: Qwen3-32B
    variants: [bf16, int8]
    alternatives: [{{model: Qwen3-8B, quality: 0.94, share: 60%}}]
    min_quality: 0.95
    traffic: {{rate: 15/s, lengths: {LENGTHS}}}
    slo: {{ttft: 6 s, tpot: 150 ms, percentile: 95}}
objective: fewest-chips
"""

STEADY = SMALL.replace("slots: 4", "slots: 1").replace("office-day", "flat")
"""The same all day: what asks for many relaxations is sooner done."""


def over_a_year(compute: float, text: str = SMALL) -> str:
    """A scenario's text with generations, each of `compute` times the one before, over a year."""
    return (
        text.replace("slots: 4", "slots: 2").replace("name: small", "name: growing")
        + f"""
generations:
  first: next
  compute_growth: {compute}
  model_growth: 2.0
  serving_growth: 5%/mo
  horizon: 12 mo
  attrition: {{default: 10%/y}}
  arrivals: [{{pool: l20, nodes: 4, at: 3 mo, chance: 50%}}]
  restarts: {{mean_time_between_failures: 40 kh, recovery: 15 min}}
"""
    )


TOO_MUCH = SMALL.replace("rate: 40/s", "rate: 4000/s").replace("name: small", "name: too-much")


@cache
def planned(text: str) -> Plan:
    """The plan of a scenario's text; tests that only look at it share it."""
    return make(parse(text))


@cache
def reference(path: Path) -> tuple[Scenario, Plan]:
    """A reference scenario and its plan, likewise."""
    scenario = load(path)
    return scenario, make(scenario)


def faster(problem: Problem, times: dict[Speed, float]) -> Problem:
    """The problem with every recipe of a pool and kind of work so many times as fast."""
    kept = (replace(r, rate=r.rate * times.get((r.pool, r.kind == "train"), 1.0)) for r in problem.recipes)
    return replace(problem, recipes=tuple(kept))


def drawn(speeds: Speeds, rng: np.random.Generator) -> dict[Speed, float]:
    """How many times as fast as planned everything is, drawn as the cost model has it: chips of a kind alike."""
    by_chip = {k: exp(d * (Z80 + rng.standard_normal())) for k, d in speeds.deviations.items()}
    return {(pool, trains): by_chip[chip, trains] for pool, chip in speeds.chips.items() for trains in (False, True)}

from __future__ import annotations

from dataclasses import replace

import pytest

import eke
from eke.cost import calibrate
from eke.figures import Figure
from eke.fleet.chip import Chip


def test_a_machine_too_slow_for_its_promise_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores that cannot keep the example's promise still serve on one and train on the other."""

    def measured(chip: Chip, *_: object, **__: object) -> Chip:
        rates = {"flops.fp32": 157e9, "llamacpp.products": 53e9, "llamacpp.weights": 19e9}
        figures = {name: Figure(value, "here", "measured") for name, value in rates.items()}
        flops = {"fp32": 157e9, "bf16": 650e9}
        return replace(chip, flops=flops, memory_bandwidth=20e9, memory=24e9, cores=2, figures=figures)  # type: ignore[arg-type]

    monkeypatch.setattr(calibrate, "ensure", measured)
    plan = eke.load("examples/this-machine.yaml").plan(best_effort=True)
    assert not plan.feasible
    assert {p.workload for p in plan.placements} == {"assistant", "next-generation"}

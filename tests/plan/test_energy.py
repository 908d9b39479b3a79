"""Power and energy: counted by the chips in use, capped, and made the objective."""

from __future__ import annotations

import pytest
from tests.plan.scenarios import SMALL

from eke.errors import InputError
from eke.fleet import catalogue
from eke.plan import check, energy, parse

CAPPED = SMALL.replace("nodes: 8,", "nodes: 8, power_cap: 20 kW,")


def test_power_is_of_the_chips_in_use() -> None:
    """Chips in use times TDP, slot by slot; tokens of a day over joules of a day."""
    scenario = parse(SMALL)
    plan = scenario.plan()
    for p in plan.pools:
        assert p.power_kw == pytest.approx([n * (catalogue.chip(p.chip).tdp or 0) / 1e3 for n in p.used_chips])
    joules = 86400e3 * sum(sum(p.power_kw or ()) / plan.slots for p in plan.pools)
    tokens = {w.name: w for w in plan.workloads}
    spent = sum(
        (sum(w.served_rps or ()) / plan.slots * scenario.workloads[0].traffic.output.mean * 86400
         if w.kind == "serve" else (w.tokens_per_s or 0) * 86400 + (w.tokens_per_day or 0)) / w.tokens_per_joule
        for w in tokens.values() if w.tokens_per_joule
    )  # fmt: skip
    assert spent == pytest.approx(joules, rel=1e-6)
    assert "MWh a day" in energy.line(plan)


def test_tokens_a_joule_carry_their_interval() -> None:
    """Those of training and batch work move with speeds as their tokens do; those of a service are asked for."""
    plan = parse(SMALL).plan()
    for w in plan.workloads:
        if w.kind == "serve":
            assert "tokens_per_joule" not in w.interval
            continue
        done = w.tokens_per_s or w.tokens_per_day or 1.0
        ends = w.interval["tokens_per_s" if w.kind == "train" else "tokens_per_day"]
        assert w.interval["tokens_per_joule"] == pytest.approx([(w.tokens_per_joule or 0) * e / done for e in ends])
        assert f"{w.name} " in energy.line(plan).split("Tokens a joule: ")[1]


def test_a_cap_holds() -> None:
    """20 kW are 28 H800 of 700 W; the plan keeps to it in every slot, and so does the second look."""
    scenario = parse(CAPPED)
    plan = scenario.plan()
    (h800, _) = plan.pools
    assert h800.power_kw is not None
    assert 0 < max(h800.power_kw) <= 20.0
    assert check.faults(plan, scenario) == []
    loose = parse(SMALL).plan()
    assert (loose.objective.value or 0) > (plan.objective.value or 0)
    assert check.faults(loose, scenario), "a plan made without the cap breaks it"


def test_least_energy() -> None:
    """It keeps the promises for no more power than any other objective does."""
    frugal = parse(SMALL.replace("objective: train-progress", "objective: least-energy")).plan()
    fewest = parse(SMALL.replace("objective: train-progress", "objective: fewest-chips")).plan()
    assert frugal.feasible
    drawn = [sum(sum(p.power_kw or ()) for p in plan.pools) / plan.slots for plan in (frugal, fewest)]
    assert frugal.objective.value == pytest.approx(drawn[0], rel=1e-6)
    assert drawn[0] <= drawn[1] * 1.005
    assert frugal.objective.bound is not None
    assert frugal.objective.bound <= drawn[0] * (1 + 1e-9)


def test_unknown_power_is_said() -> None:
    """A cap on a chip whose draw nobody knows cannot be kept."""
    inline = "chip: {name: mine, memory: 48 GB, memory_bandwidth: 864 GB/s, flops: {bf16: 119 TFLOPS}}"
    text = SMALL.replace("chip: L20, nodes: 6,", f"{inline}, nodes: 6, power_cap: 9 kW,")
    with pytest.raises(InputError, match="what a mine draws is not known"):
        parse(text)
    plan = parse(text.replace(", power_cap: 9 kW", "")).plan()
    assert plan.pools[1].power_kw is None

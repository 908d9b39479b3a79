"""Curves: more of one thing never gives more of the other."""

from __future__ import annotations

import itertools

import pytest
from tests.plan.scenarios import SMALL

from eke.errors import InputError
from eke.plan import make, pareto, parse

SERVING = SMALL.split("  - train: next")[0] + "objective: fewest-chips\n"


def test_more_requests_leave_less_training() -> None:
    """Training falls as requests grow, never above its bound; at the scenario's own requests it is the plan's."""
    scenario = parse(SMALL)
    curve = pareto.curve(scenario, "headroom")
    held = [p for p in curve.points if p.value is not None and p.bound is not None]
    assert len(held) >= 4
    for p, q in itertools.pairwise(held):
        assert p.scale < q.scale
        assert (q.value or 0.0) <= (p.bound or 0.0) * (1 + 1e-6)
    assert all((p.value or 0.0) <= (p.bound or 0.0) * (1 + 1e-9) for p in held)
    today = next(p for p in held if p.scale == 1.0)
    assert today.value == pytest.approx(make(scenario).objective.value, rel=0.02)


def test_every_point_has_its_interval_and_basis() -> None:
    """What is reached lies in its interval, at the scenario's own requests the plan's; table, rows and chart say so."""
    scenario = parse(SMALL)
    curve = pareto.curve(scenario, "headroom")
    held = [p for p in curve.points if p.value is not None]
    for p in held:
        low, high = p.interval["value"]
        assert low <= p.value * (1 + 1e-9)
        assert p.value <= high * (1 + 1e-9)
        assert low < high
        assert p.basis in ("measured", "modelled", "guessed")
        assert sum(p.rests_on.values()) == pytest.approx(1.0)
    today, plan = next(p for p in held if p.scale == 1.0), make(scenario).objective
    wide = [of.interval["value"][1] / of.interval["value"][0] for of in (today, plan)]
    assert wide[0] == pytest.approx(wide[1], rel=0.05)
    assert all("(" in row["training"] and row["basis"] for row in curve.table() if row["bound"])
    assert {"value_low", "value_high", "basis"} <= curve.rows()[0].keys()
    pytest.importorskip("altair", reason="the extra `charts` is not installed")
    drawn = curve.chart().to_dict()
    assert any(layer["mark"].get("type") == "area" for layer in drawn["layer"])
    assert "80% of cases" in str(drawn["title"])


def test_looser_latency_needs_no_more_chips() -> None:
    """Chips fall, or stay, as the promised latencies are loosened."""
    curve = pareto.curve(parse(SERVING), "latency")
    held = [p for p in curve.points if p.value is not None]
    assert any(p.scale == 1.0 for p in held)
    for p, q in itertools.pairwise(held):
        assert (q.bound or 0.0) <= (p.value or 0.0) * (1 + 1e-6)


def test_without_requests_there_is_no_curve() -> None:
    """Nothing served: an input error."""
    text = SMALL[: SMALL.index("  - serve: chat")] + SMALL[SMALL.index("  - train: next") :]
    with pytest.raises(InputError, match="serve"):
        pareto.curve(parse(text), "headroom")

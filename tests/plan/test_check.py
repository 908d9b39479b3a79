"""The second look finds what it should."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.plan.scenarios import SMALL, planned

from eke.plan import Plan, check, parse
from eke.plan.plan import Placement


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan of the small scenario."""
    return planned(SMALL)


def altered(plan: Plan, kind: str, **changes: object) -> Plan:
    """The plan with its first placement of a kind changed."""
    at = next(i for i, p in enumerate(plan.placements) if p.kind == kind)
    rows: list[Placement] = list(plan.placements)
    rows[at] = replace(rows[at], **changes)  # type: ignore[arg-type]
    return replace(plan, placements=tuple(rows))


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("serve", {"replicas": 500, "chips": 500.0, "chips_per_replica": 1.0}, "chips used of"),
        ("serve", {"chips_per_replica": 3.0}, "do not make"),
        ("serve", {"capacity": {"requests_per_s": 0.1, "ttft_s": 1.0, "tpot_s": 0.01}}, "called met with"),
        ("serve", {"capacity": {"requests_per_s": 999.0, "ttft_s": 9.0, "tpot_s": 0.01}}, "late"),
        ("serve", {"quality": 0.1}, "quality"),
        ("serve", {"chips_per_replica": 1e-3}, "weights and cache"),
        ("train", {"replicas": 2}, "gangs in"),
        ("train", {"capacity": {"tokens_per_s": -1e12}}, "called met with"),
    ],
)
def test_finds(plan: Plan, kind: str, changes: dict[str, object], said: str) -> None:
    """Too many chips, broken nodes, missing capacity, lateness, poor answers, no memory, two gangs: each is found."""
    assert check.faults(plan, parse(SMALL)) == []
    assert any(said in fault for fault in check.faults(altered(plan, kind, **changes), parse(SMALL)))

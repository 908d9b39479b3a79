"""What would change from one plan to another."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.plan.scenarios import SMALL, planned

from eke.plan import difference, make, parse, recipes
from eke.plan.gangs import MOVE_S
from eke.plan.plan import Plan


@pytest.fixture(scope="module")
def small() -> Plan:
    """The plan of the small scenario."""
    return planned(SMALL)


def test_a_plan_does_not_differ_from_itself(small: Plan) -> None:
    """Nothing changes, and that is said; also when it was written and read again."""
    found = difference.between(small, small)
    assert not found.pending
    assert found.says == ("Nothing would change.",)


def test_every_replica_is_accounted_for(small: Plan) -> None:
    """Before plus starts less stops is after, for every workload and pool, at the fullest slot of each recipe."""
    other = make(parse(SMALL.replace("rate: 40/s", "rate: 120/s").replace("nodes: 6,", "nodes: 3,")))
    found = difference.between(small, other)
    assert found.pending
    for c in found.changes:
        for plan, chips in ((small, c.chips_before), (other, c.chips_after)):
            of = [p for p in plan.placements if (p.workload, p.pool) == (c.workload, c.pool)]
            assert chips <= max((p.chips for p in of), default=0.0)
    back = difference.between(other, small)
    assert {(c.workload, c.pool, c.before, c.after) for c in found.changes} == {
        (c.workload, c.pool, c.after, c.before) for c in back.changes
    }
    assert json.loads(json.dumps(found.to_dict()))["pending"] is True


def test_training_that_changes_size_stands_still(small: Plan) -> None:
    """A gang in another layout restarts: once, for as long as a move takes."""
    trains = [p for p in small.placements if p.kind == "train"]
    halved = tuple(
        replace(p, chips=p.chips / 2, chips_per_replica=p.chips_per_replica / 2, recipe={**p.recipe, "dp": 1})
        if p.kind == "train" else p for p in small.placements
    )  # fmt: skip
    found = difference.between(small, replace(small, placements=halved))
    (change,) = {(c.workload, c.pool, c.action, c.seconds) for c in found.changes}
    assert change == (trains[0].workload, trains[0].pool, "restart", MOVE_S)
    assert any("is interrupted" in line for line in found.says)


def test_a_move_is_said(small: Plan) -> None:
    """Replicas that leave a pool and come up in another are a move, with the time their weights take to load."""
    there = {"l20": "h800", "h800": "l20"}
    moved = tuple(replace(p, pool=there[p.pool]) if p.workload == "chat" else p for p in small.placements)
    found = difference.between(small, replace(small, placements=moved))
    assert {c.action for c in found.changes} == {"start", "stop"}
    assert any(line.startswith("chat moves from") for line in found.says)
    assert all(c.seconds and c.seconds > recipes.START_S for c in found.changes if c.action == "start")

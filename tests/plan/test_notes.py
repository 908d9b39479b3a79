"""Notes of a plan: every figure in them carries where it lies and what it rests on."""

from __future__ import annotations

import re

import pytest
from tests.plan.scenarios import SMALL

from eke.plan import make, notes, parse
from eke.plan.interval import Estimate, Speeds
from eke.plan.plan import Plan

AHEAD = re.compile(r"\d(?:\.\d+)?x \((?:\d[\d.]*–\d[\d.]*, )?(?:measured|modelled|guessed)\)")
MIXED = SMALL.replace("chip: L20, nodes: 6", "chip: A800-SXM, nodes: 8")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two kinds of one vendor, both of which train."""
    return make(parse(MIXED))


def test_how_far_one_chip_is_ahead(plan: Plan) -> None:
    """Each ratio in the sentences about chips that train although others train faster has an interval and basis."""
    said = [n for n in plan.notes if "although" in n or "trains best" in n]
    assert said
    for line in said:
        assert len(AHEAD.findall(line)) == len(re.findall(r"\dx ", line)) > 0, line


def test_a_ratio_of_one_chip_is_sure() -> None:
    """Speeds of one kind of chip cancel; those of two add up."""
    speeds = Speeds.of(parse(MIXED))
    one, other = Estimate(3.0, {("h800", True): 3.0}, "modelled"), Estimate(1.5, {("h800", True): 1.5}, "modelled")
    assert notes._ahead(one, other, speeds) == "2x (modelled)"
    slower = Estimate(1.5, {("l20", True): 1.5}, "guessed")
    assert re.fullmatch(r"2x \(1\.\d–[23](\.\d)?, guessed\)", notes._ahead(one, slower, speeds))


def test_gangs_of_whole_nodes_say_what_computes(plan: Plan) -> None:
    """Where a gang computes on fewer chips than its nodes have, a note says on how many; else none does."""
    short = {
        p.pool for p in plan.placements
        if p.kind == "train" and p.replicas * p.recipe["tp"] * p.recipe["pp"] * p.recipe["dp"] < p.chips
    }  # fmt: skip
    said = [n for n in plan.notes if "nodes are taken whole" in n]
    assert len(said) == len(short)
    assert all(any(pool in n for n in said) for pool in short)
